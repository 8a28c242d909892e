"""Spilling: handing nodes that an execution has not started to units of their own. Pure: frames in, units out.

Two things are decided here. *How much, in what pieces*: :class:`Policy`. And *along which edges*: a unit holds
nodes that may start at the same moment and whose results are wanted at the same moment, so that nothing waits for
a sibling that it does not need:

- a **chain** of nodes, each of which only the next one uses, stays together;
- nodes that wait for the same units, and all flow into one node, stay together with it;
- everything else is a unit of its own, or, where it is known to be short, one of a chunk.

An execution that cannot go on leaves the rest as units too (:func:`tail`): for each frame, from the top of the stack,
its waiting nodes and the assembly of its output; and the output of the lowest frame becomes the execution's own result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daskflow.admission import Pool
from daskflow.entity import LAUNCH_PLAN
from daskflow.frames import MISSING, External, Frame, GraphFrame, MapFrame, Scope, known
from daskflow.graph import Graph, Node


@dataclass(frozen=True, slots=True)
class Policy:
    """How much to spill, and in what pieces.

    Attributes
    ----------
    budget : float
        Seconds that a unit works alone before it hands over what it has not started; 0 makes every node a unit.
    chunk : float
        Seconds of work that a chunk is cut to last, where it is known how long a node takes.
    most : int
        The most units that one frame is cut into at a time; each cuts itself again when it turns out to be long.
    """

    budget: float = 0.02
    chunk: float = 0.05
    most: int = 64

    @property
    def eager(self) -> bool:
        """Whether every node is a unit of its own."""
        return self.budget == 0

    def worthwhile(self, pending: int, mean: float | None) -> bool:
        """Tell whether that many nodes, of that mean time in seconds, are worth a message."""
        return pending > 0 and (mean is None or self.eager or pending * mean >= self.chunk)

    def pieces(self, pending: int, mean: float | None) -> list[range]:
        """Cut that many nodes into contiguous pieces.

        Examples
        --------
        >>> Policy().pieces(10, 0.01)
        [range(0, 5), range(5, 10)]
        >>> len(Policy(most=4).pieces(10, None))
        4
        """
        if self.eager:
            count = pending
        elif mean is None or mean >= self.budget:
            count = min(pending, self.most)
        else:
            count = min(self.most, pending, math.ceil(pending * mean / self.chunk))
        bounds = [round(index * pending / count) for index in range(count + 1)]
        return [range(low, high) for low, high in zip(bounds, bounds[1:], strict=False)]


def mean_time(frame: Frame, now: float) -> float | None:
    """Return the mean seconds that a node of the frame took, or ``None`` while none has finished."""
    return (now - frame.started) / frame.done if frame.done else None


class Unit(NamedTuple):
    """What one Dask task of ours is to execute.

    Attributes
    ----------
    key : str
        Its name in the cluster; the same work gives the same key.
    frames : tuple of Frame
        The stack, lowest first.
    deps : tuple of str
        The units whose results it needs.
    pool : Pool or None
        The innermost limit on it.
    depth : int
        Deeper units go first.
    """

    key: str
    frames: tuple[Frame, ...]
    deps: tuple[str, ...]
    pool: Pool | None
    depth: int


# ---------------------------------------------------------------- taking what is ready


def take(frames: Sequence[Frame], policy: Policy, now: float, *, keep: bool) -> list[Unit]:
    """Take the nodes that have not been started and whose inputs are known.

    Parameters
    ----------
    frames
        The stack, lowest first.
    policy
        How much, and in what pieces.
    now : float
        The time on the clock that the frames are timed with, in seconds.
    keep : bool
        Leave the execution something to go on with: true where it is between two nodes, false where it is busy with one.

    Returns
    -------
    list of Unit
        The frames are changed: what was taken is outstanding in them.
    """
    units: list[Unit] = []
    busy = not keep or policy.eager
    for frame in reversed(frames):
        pending = _pending(frame)
        if not busy and pending:
            # The execution goes on with this frame: only what it will not come to soon may go.
            busy = True
            pending = pending[1:] if len(pending) > 1 else []
            if not pending or not policy.worthwhile(len(pending), mean_time(frame, now)):
                continue
        mean = mean_time(frame, now)
        if policy.worthwhile(len(pending), mean):
            units.extend(_take_from(frame, pending, policy, mean))
    return units


def _pending(frame: Frame) -> list[Any]:
    """Return what may be taken from a frame: chains of nodes, or indices of items."""
    if isinstance(frame, MapFrame):
        return list(range(frame.cursor, frame.end))
    assert isinstance(frame, GraphFrame)
    return _chains(frame) if frame.left else []


def _take_from(frame: Frame, pending: list[Any], policy: Policy, mean: float | None) -> list[Unit]:
    pieces = [pending[piece.start : piece.stop] for piece in policy.pieces(len(pending), mean)]
    if isinstance(frame, MapFrame):
        frame.end = pending[0]
        return [_item_unit(frame, piece[0], piece[-1] + 1) for piece in pieces]
    assert isinstance(frame, GraphFrame)
    if policy.eager:
        pieces = [[[node]] for (chain,) in pieces for node in chain[:1]]
    units = [_chain_unit(frame, [node for chain in piece for node in chain]) for piece in pieces]
    gone = {node.slot for piece in pieces for chain in piece for node in chain}
    frame.todo = [node for node in frame.todo[frame.cursor :] if node.slot not in gone]
    frame.cursor = 0
    return units


def _chains(frame: GraphFrame) -> list[list[Node]]:
    """Return the chains of nodes that begin with one whose inputs are known."""
    values, left = frame.values, frame.todo[frame.cursor :]
    uses = _uses(frame, left)
    chains: list[list[Node]] = []
    ends: dict[int, list[Node]] = {}
    for node in left:
        unknown = [slot for slot in node.deps if not known(values[slot])]
        if not unknown:
            chain = [node]
            chains.append(chain)
        elif len(unknown) == 1 and unknown[0] in ends and uses[unknown[0]] == 1:
            chain = ends.pop(unknown[0])
            chain.append(node)
        else:
            continue
        ends[node.slot] = chain
    return chains


def _uses(frame: GraphFrame, nodes: Iterable[Node]) -> dict[int, int]:
    """Count who uses each slot: nodes to come, and the frame's result."""
    uses: dict[int, int] = {}
    for node in (*nodes, *frame.waiting):
        for slot in node.deps:
            uses[slot] = uses.get(slot, 0) + 1
    for slot in _result_slots(frame):
        uses[slot] = uses.get(slot, 0) + 1
    return uses


def _result_slots(frame: GraphFrame) -> Sequence[int]:
    return frame.graph.output_slots if frame.exports is None else frame.exports


def _chain_unit(frame: GraphFrame, nodes: list[Node]) -> Unit:
    """Make a unit of whole chains: what is used of them is exported."""
    inside = {node.slot for node in nodes}
    uses = _uses(frame, (node for node in frame.todo[frame.cursor :] if node.slot not in inside))
    exports = tuple(node.slot for node in nodes if node.slot in uses)
    key = unit_key(frame, nodes, "n")
    for index, slot in enumerate(exports):
        frame.values[slot] = External(key, index)
    frame.outstanding[key] = None
    part = _part(frame, nodes, exports)
    return Unit(key, (part,), (), _pool(frame.scope, nodes), frame.scope.depth + 1)


def _item_unit(frame: MapFrame, start: int, stop: int) -> Unit:
    key = unit_key(frame, (start + frame.offset, stop + frame.offset), "i")
    for item in range(start, stop):
        frame.values[item] = External(key, item - start)
    frame.outstanding[key] = None
    lists = {name: items[start:stop] for name, items in frame.lists.items()}
    part = MapFrame(frame.entity, None, frame.slot, stop - start, lists, frame.shared, frame.offset + start)  # type: ignore[arg-type]
    part.scope = frame.scope
    over_runs = frame.entity.target.kind == LAUNCH_PLAN  # type: ignore[union-attr]
    return Unit(key, (part,), (), _entry_pool(frame.scope, over_runs), frame.scope.depth + 1)


def unit_key(frame: Frame, what: Any, purpose: str) -> str:
    """Return a unit's key: the user's name first, then one digest of where it stands and what it holds."""
    if isinstance(frame, MapFrame):
        name, parts = frame.entity.short_name, what  # type: ignore[union-attr]
    else:
        nodes: Sequence[Node] = what
        owner = frame.entity
        name = nodes[0].entity.short_name if nodes else owner.short_name if owner is not None else "result"
        parts = tuple(node.slot for node in nodes)
    return f"{name}-{frame.scope.key_digest(purpose, frame.slot, parts)}"


def _pool(scope: Scope, nodes: Sequence[Node]) -> Pool | None:
    return _entry_pool(scope, bool(nodes) and all(node.entity.kind == LAUNCH_PLAN for node in nodes))


def _entry_pool(scope: Scope, over_runs: bool) -> Pool | None:
    # What only starts child runs is bound by the limits that hold for those, not by the run's own default.
    if over_runs and scope.pool is not scope.set_pool:
        return scope.set_pool
    return scope.pool


def _part(frame: GraphFrame, nodes: Sequence[Node], exports: tuple[int, ...] | None) -> GraphFrame:
    """Return a frame that holds only some nodes of another, and the values that they need."""
    values: Any = {slot: frame.values[slot] for node in nodes for slot in node.deps}
    for slot in _result_slots(frame) if exports is None else exports:
        values[slot] = frame.values[slot]
    for node in nodes:
        values[node.slot] = MISSING
    part = GraphFrame(frame.graph, values, frame.entity, None, frame.slot, list(nodes), exports)
    part.scope = frame.scope
    return part


# ---------------------------------------------------------------- what is left


@dataclass(slots=True)
class _Region:
    """Nodes of one frame that make one unit, and what they wait for."""

    nodes: list[Node]
    needs: frozenset[str]
    inner: list[Frame] = field(default_factory=list)
    result: bool = False


def tail(frames: Sequence[Frame], policy: Policy, now: float) -> tuple[list[Unit], str]:
    """Turn all that is left of an execution into units.

    Parameters
    ----------
    frames
        The stack, lowest first; nothing of it is executing.
    policy, now
        As for :func:`take`, for the nodes that could start at once.

    Returns
    -------
    list of Unit
        They depend on each other, and on what was taken before.
    str
        The key of the unit whose result is the execution's own.
    """
    units: list[Unit] = []
    inner: tuple[list[Frame], frozenset[str]] | None = None
    for frame in reversed(frames):
        if inner is not None:
            units.extend(_leave_ready(frame, policy, now))
        if isinstance(frame, MapFrame):
            inner = _map_rest(frame, inner, units)
        else:
            assert isinstance(frame, GraphFrame)
            inner = _graph_rest(frame, inner, units)
    assert inner is not None
    stack, needs = inner
    last = _result_unit(stack, needs)
    units.append(last)
    return units, last.key


def _leave_ready(frame: Frame, policy: Policy, now: float) -> list[Unit]:
    pending = _pending(frame)
    return _take_from(frame, pending, policy, mean_time(frame, now)) if pending else []


def _result_unit(stack: list[Frame], needs: frozenset[str]) -> Unit:
    """Make the unit that ends a stack of frames, given highest first."""
    lowest, top = stack[-1], stack[0]
    nodes = [node for frame in stack if isinstance(frame, GraphFrame) for node in frame.todo]
    pool = _pool(top.scope, nodes) if nodes else None
    name = next((one.entity.short_name for one in stack if one.entity is not None), "result")
    key = f"{name}-{lowest.scope.key_digest('r', lowest.slot, _extent(lowest))}"
    return Unit(key, tuple(reversed(stack)), tuple(sorted(needs)), pool, lowest.scope.depth)


def _extent(frame: Frame) -> Any:
    if isinstance(frame, MapFrame):
        return frame.offset, len(frame.values)
    assert isinstance(frame, GraphFrame)
    return frame.exports, tuple(node.slot for node in frame.todo)


def _settle(inner: tuple[list[Frame], frozenset[str]], outer: Frame, units: list[Unit]) -> str:
    """Make the inner frames' result a unit of its own, and tell the outer frame."""
    unit = _result_unit(*inner)
    units.append(unit)
    outer.values[inner[0][-1].slot] = External(unit.key, 0)
    outer.outstanding[unit.key] = None
    return unit.key


def _map_rest(
    frame: MapFrame, inner: tuple[list[Frame], frozenset[str]] | None, units: list[Unit]
) -> tuple[list[Frame], frozenset[str]]:
    needs = frozenset(frame.outstanding)
    part = MapFrame(frame.entity, frame.parent, frame.slot, 0, {}, {}, frame.offset)  # type: ignore[arg-type]
    part.scope = frame.scope
    part.values = frame.values
    if inner is not None and needs <= inner[1]:
        return [*_onto(inner[0], part), part], inner[1]
    if inner is not None:
        needs |= {_settle(inner, frame, units)}
    return [part], needs


def _onto(stack: list[Frame], lower: Frame) -> list[Frame]:
    """Put a stack, highest first, on top of another frame."""
    stack[-1].parent = lower
    lower.values[stack[-1].slot] = MISSING
    return stack


def _graph_rest(
    frame: GraphFrame, inner: tuple[list[Frame], frozenset[str]] | None, units: list[Unit]
) -> tuple[list[Frame], frozenset[str]]:
    """Cut a frame's waiting nodes into units; return what is left for its result, highest frame first, and its needs."""
    waiting = frame.waiting = sorted([*frame.waiting, *frame.todo[frame.cursor :]], key=lambda node: node.slot)
    frame.todo, frame.cursor = [], 0
    if inner is not None:
        merged = _merge_inner(frame, inner)
        if merged is not None:
            return merged
        _settle(inner, frame, units)
    regions, result = _regions(frame, waiting)
    for region in regions:
        units.append(_region_unit(frame, region))
    part = _part(frame, result.nodes, frame.exports)
    part.parent = frame.parent
    needs = result.needs | _unused(frame)
    return [part], needs


def _merge_inner(
    frame: GraphFrame, inner: tuple[list[Frame], frozenset[str]]
) -> tuple[list[Frame], frozenset[str]] | None:
    """Keep the inner frames in one unit with this frame's rest, where that lets nothing wait for more than it needs."""
    stack, needs = inner
    if not frozenset(frame.outstanding) <= needs:
        return None
    slot = stack[-1].slot
    reached = {slot}
    for node in frame.waiting:
        if not reached.intersection(node.deps):
            return None
        reached.add(node.slot)
    if len(frame.waiting) > 1 and any(len([d for d in node.deps if d in reached]) > 1 for node in frame.waiting):
        return None
    part = _part(frame, frame.waiting, frame.exports)
    part.parent = frame.parent
    part.values.setdefault(slot, MISSING) if isinstance(part.values, dict) else None
    return [*_onto(stack, part), part], needs


def _unused(frame: GraphFrame) -> frozenset[str]:
    """Return the units whose results nobody reads: the frame's own result waits for them all the same."""
    used = {value.key for value in _externals(frame)}
    return frozenset(key for key in frame.outstanding if key not in used)


def _externals(frame: GraphFrame) -> Iterator[External]:
    slots = {slot for node in frame.waiting for slot in node.deps}
    slots.update(_result_slots(frame))
    for slot in slots:
        value = frame.values[slot]
        if type(value) is External:
            yield value


def _regions(frame: GraphFrame, waiting: Sequence[Node]) -> tuple[list[_Region], _Region]:
    """Group waiting nodes into regions; return those, and the one that ends with the frame's result."""
    uses = _uses_of(frame, waiting)
    home: dict[int, _Region] = {}
    regions: dict[int, _Region] = {}
    for node in waiting:
        region = _join(node.deps, frame, home, uses, regions)
        region.nodes.append(node)
        home[node.slot] = region
        regions[id(region)] = region
    unread = [node.slot for node in waiting if not uses.get(node.slot)]
    ends = [*_result_slots(frame), *unread]
    for slot in unread:
        uses[slot] = 1
    result = _join(ends, frame, home, uses, regions)
    regions.pop(id(result), None)
    return _named(frame, list(regions.values()), result, home), result


def _uses_of(frame: GraphFrame, waiting: Sequence[Node]) -> dict[int, int]:
    uses: dict[int, int] = {}
    for node in waiting:
        for slot in node.deps:
            uses[slot] = uses.get(slot, 0) + 1
    for slot in set(_result_slots(frame)):
        uses[slot] = uses.get(slot, 0) + 1
    return uses


def _join(
    deps: Iterable[int],
    frame: GraphFrame,
    home: dict[int, _Region],
    uses: dict[int, int],
    regions: dict[int, _Region],
) -> _Region:
    """Return the region that a node with these dependencies belongs to: one that it alone ends, or a new one."""
    outside: set[str] = set()
    sources: dict[int, _Region] = {}
    alone = True
    for slot in deps:
        if slot in home:
            sources[id(home[slot])] = home[slot]
            alone = alone and uses[slot] == 1
        elif type(frame.values[slot]) is External:
            outside.add(frame.values[slot].key)
    several = list(sources.values())
    if several and alone and all(one.needs == several[0].needs for one in several) and outside <= several[0].needs:
        if all(_ends_in(one, deps, uses) for one in several):
            return _union(several, home, regions)
    return _Region([], frozenset(outside | {f"@{id(one)}" for one in several}))


def _ends_in(region: _Region, deps: Iterable[int], uses: dict[int, int]) -> bool:
    """Tell whether nothing of a region is used outside it but by the node with these dependencies."""
    inside: dict[int, int] = {}
    for node in region.nodes:
        for slot in node.deps:
            inside[slot] = inside.get(slot, 0) + 1
    wanted = set(deps)
    return all(uses.get(node.slot, 0) == inside.get(node.slot, 0) + (node.slot in wanted) for node in region.nodes)


def _union(several: list[_Region], home: dict[int, _Region], regions: dict[int, _Region]) -> _Region:
    first = several[0]
    for other in several[1:]:
        first.nodes.extend(other.nodes)
        for node in other.nodes:
            home[node.slot] = first
        regions.pop(id(other), None)
    first.nodes.sort(key=lambda node: node.slot)
    return first


def _named(frame: GraphFrame, regions: list[_Region], result: _Region, home: dict[int, _Region]) -> list[_Region]:
    """Put keys in the place of regions in what regions need, and externals in the place of their values."""
    keys = {f"@{id(region)}": unit_key(frame, region.nodes, "w") for region in regions}
    for region in (*regions, result):
        region.needs = frozenset(keys.get(need, need) for need in region.needs)
    for region in regions:
        for index, slot in enumerate(node.slot for node in region.nodes):
            frame.values[slot] = External(keys[f"@{id(region)}"], index)
    return regions


def _region_unit(frame: GraphFrame, region: _Region) -> Unit:
    key = unit_key(frame, region.nodes, "w")
    exports = tuple(node.slot for node in region.nodes)
    part = _part(frame, region.nodes, exports)
    return Unit(key, (part,), tuple(sorted(region.needs)), _pool(frame.scope, region.nodes), frame.scope.depth + 1)


__all__ = ["Graph", "Policy", "Unit", "mean_time", "tail", "take", "unit_key"]
