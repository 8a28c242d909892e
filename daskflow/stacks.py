"""Stacks of frames: what an execution begins with, what arrives for it, and what it gives."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.entity import Entity
from daskflow.failed import AllFailed, Failed
from daskflow.frames import MISSING, External, Frame, GraphFrame, MapFrame, Part, Root
from daskflow.graph import Node, Ref, resolve
from daskflow.levels import Level, bounded, level_of
from daskflow.scope import Scope, is_in


def is_run(bottom: Frame) -> bool:
    """Tell whether the result of the frame is that of a whole top-level run."""
    return isinstance(bottom, GraphFrame) and isinstance(bottom.graph, Root)


def unit_result(bottom: Frame, value: Any) -> tuple[Any, ...]:
    """Return the result of a unit from that of its lowest frame: always a tuple, from which an :class:`External` picks."""
    if isinstance(bottom, MapFrame):
        return tuple(value) if bottom.exports else (value,)
    assert isinstance(bottom, GraphFrame)
    return (value,) if bottom.exports is None else tuple(value)


def stack(frame: Frame | None) -> list[Frame]:
    """Return a stack of frames, lowest first, from its top."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.parent
    frames.reverse()
    return frames


def node_address(frame: Frame, slot: int) -> str:
    """Return the address of a node, without the run; of the frame itself where `slot` is negative."""
    scope = frame.scope
    if slot < 0:
        return scope.address
    if isinstance(frame, MapFrame):
        return f"{scope.address}{frame.label(slot)}"
    return scope.join(frame.label(slot))


def the_node(frames: Sequence[Frame]) -> int | None:
    """Return the slot of the only node, or item, that a unit executes of its lowest frame; ``None`` where it executes more of that."""
    bottom = frames[0]
    slots = {upper.slot for upper in frames[1:2]}
    if isinstance(bottom, MapFrame):
        slots.update(range(bottom.cursor, min(bottom.end, bottom.cursor + 2)))
        return slots.pop() if bottom.exports and len(slots) == 1 else None
    assert isinstance(bottom, GraphFrame)
    slots.update(node.slot for node in bottom.todo[bottom.cursor :])
    return slots.pop() if bottom.exports is not None and len(slots) == 1 else None


def has_node(frame: Frame, place: str) -> bool:
    """Tell whether a frame has a node left, or an item, at an address or below it."""
    if not is_in(place, frame.scope.address):
        return False
    if isinstance(frame, MapFrame):
        index = place[len(frame.scope.address) + 1 :].partition("]")[0]
        return index.isdecimal() and frame.cursor <= int(index) - frame.offset < frame.end
    assert isinstance(frame, GraphFrame)
    left = (*frame.waiting, *frame.todo[frame.cursor :])
    return any(is_in(address, place) or is_in(place, address) for address in (node_address(frame, node.slot) for node in left))


def unit_address(frames: Sequence[Frame]) -> str:
    """Return the address, without the run, of what a unit executes: a node or item, or the body or map that several of them are of."""
    slot = the_node(frames)
    return node_address(frames[0], -1 if slot is None else slot)


def called(frame: Frame, slot: int) -> Any:
    """Return what the node calls that a frame has started last; what the frame executes itself where `slot` is negative.

    It is None where a node has begun elsewhere: only its own frame has come here then.
    """
    if slot < 0:
        return frame.entity
    if isinstance(frame, MapFrame):
        return frame.entity.target  # type: ignore[union-attr]
    begun = frame.todo[frame.cursor - 1 : frame.cursor] if frame.cursor else ()  # type: ignore[attr-defined]
    return begun[0].entity if begun else None


def levels(frame: Frame, slot: int) -> tuple[Level, ...]:
    """Return the levels that lead to the node that a frame has started last, or to the frame itself where `slot` is negative."""
    trail, entity = frame.traced().trail, called(frame, slot)
    if entity is None or (slot < 0 and not isinstance(frame, MapFrame)):
        return trail
    return bounded((*trail, level_of(entity, node_address(frame, slot), _inputs(frame, slot))))


def _inputs(frame: Frame, slot: int) -> dict[str, Any] | None:
    """Return the inputs of the node that a frame has started last, as they are; None where they are not known."""
    try:
        if isinstance(frame, MapFrame):
            return frame.inputs(slot)
        node: Node = frame.todo[frame.cursor - 1]  # type: ignore[attr-defined]
        nested = {name: resolve(binding, frame.values) for name, binding in node.nested}
        return {**node.constants, **{name: frame.values[at] for name, at, _ in node.whole}, **nested}
    except Exception:
        return None


def link(frames: Sequence[Frame]) -> None:
    """Make a stack of frames that has travelled, lowest first, whole again."""
    for lower, upper in itertools.pairwise(frames):
        upper.parent = lower


def arrive(frames: Sequence[Frame], results: Mapping[str, Any]) -> list[tuple[Frame, int]]:
    """Put the results of units, by their keys, where they are awaited; what has not arrived is outstanding.

    A failure that arrives where a frame cannot do without the value is noted as the frame's; one of a unit of which nothing
    was awaited but its end, as the highest frame's.

    Returns
    -------
    list of (Frame, int)
        The nodes, and items, that a frame can do without and whose units failed: those may not have told that.
    """
    fell: list[tuple[Frame, int]] = []
    for frame in frames:
        slots = _arrive_in_map(frame, results) if isinstance(frame, MapFrame) else _arrive_in_graph(frame, results)
        fell += [(frame, slot) for slot in slots if frame.catches]
        for key in results:
            frame.outstanding.pop(key, None)
    top = frames[-1]
    for result in results.values():
        if type(result) is AllFailed and not top.catches and all(frame.failed is None for frame in frames):
            top.failed = result.failed
    return fell


def _arrive_in_graph(frame: Frame, results: Mapping[str, Any]) -> list[int]:
    """Put results where they are awaited; return the slots of those whose units failed."""
    fell = []
    slots = frame.values.items() if isinstance(frame.values, dict) else enumerate(frame.values)
    for slot, value in list(slots):
        if type(value) is not External:
            continue
        if value.key in results:
            arrived = frame.values[slot] = results[value.key][value.item]
            if type(arrived) is Failed and not frame.catches:
                frame.failed = arrived
            if type(results[value.key]) is AllFailed:
                fell.append(slot)
        else:
            frame.outstanding[value.key] = None
    return fell


def _arrive_in_map(frame: MapFrame, results: Mapping[str, Any]) -> list[int]:
    """Put results where they are awaited; return the slots of those whose units failed."""
    fell: list[int] = []
    for start, stop, key, item in frame.away:
        if key in results:
            frame.values[start:stop] = results[key][item : item + stop - start]
            if type(results[key]) is AllFailed:
                fell += range(start, stop)
                frame.failed = frame.failed if frame.catches else results[key].failed
        else:
            frame.outstanding[key] = None
    frame.away = [one for one in frame.away if one.key not in results]
    frame.lists = {name: _arrived(items, results) for name, items in frame.lists.items()}
    frame.shared = {name: _arrived(value, results) for name, value in frame.shared.items()}
    return fell


def _arrived(value: Any, results: Mapping[str, tuple[Any, ...]]) -> Any:
    """Return a map's input that may be a reference, or a list with references for items."""
    if type(value) is External:
        return results[value.key][value.item]
    if type(value) is list and value and type(value[0]) is External:
        return [results[one.key][one.item] for one in value]
    return value


def root_frame(entity: Entity[..., Any], inputs: dict[str, Any], scope: Scope, label: str | None = None) -> GraphFrame:
    """Return the frame that holds only the call of an entity with its inputs; `label` names it where it is not a run."""
    kind = Root if label is None else Part
    frame = GraphFrame(kind({0: label or entity.short_name}, Ref(0, ()), (0,)), [MISSING], None, None, 0, [Node(0, entity, inputs)])
    frame.scope = scope
    return frame


def has_more(execution: Any) -> bool:
    """Tell whether an execution could go on; as its check, it ends it before whatever comes next."""
    return any(frame.left for frame in stack(execution.frame))
