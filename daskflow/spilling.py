"""Spilling: handing nodes that an execution has not started to units of their own. Pure: frames in, units out.

How much is handed over, and in what pieces, is up to :class:`Policy`. Here it is decided *along which edges*, so that nothing
waits for what it does not need:

- What can start at once (:func:`take`) is cut into **chains** of nodes, each of which only the next one uses; several chains
  make a unit where they are known to be short.
- What waits for other units (:func:`tail`, when an execution cannot go on) is cut into **regions**: a node joins those that it
  alone uses, if it needs nothing besides what they need; and those that need the same and are used by the same become one.
  Whoever waits for a region would wait for all of it anyway. The lowest frame's output becomes the execution's own result.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

from daskflow.admission import Pool
from daskflow.eagerframe import EagerFrame
from daskflow.entity import LAUNCH_PLAN
from daskflow.frames import MISSING, Away, External, Frame, GraphFrame, MapFrame, known
from daskflow.graph import Node
from daskflow.policy import Policy
from daskflow.regions import Region, regions
from daskflow.scope import domain_name
from daskflow.stacks import the_node
from daskflow.terms import NOTHING, Terms


def mean_time(frame: Frame, now: float) -> float | None:
    """Return the mean seconds that a node of the frame took, or ``None`` while none has finished."""
    return (now - frame.started) / frame.done if frame.done else None


class Unit(NamedTuple):
    """What one Dask task of ours is to execute.

    Attributes
    ----------
    key : str
        Its name in the cluster: the same for the same piece of the same unit's work, and for nothing else.
    frames : tuple of Frame
        The stack, lowest first.
    deps : tuple of str
        The units whose results it needs.
    pool : Pool or None
        The innermost limit on it.
    depth : int
        Deeper units go first.
    terms : Terms
        What it needs before it may start, beside these.
    domain : tuple of str
        What fails with the unit, outermost first; empty where its failure is that of the whole run.
    """

    key: str
    frames: tuple[Frame, ...]
    deps: tuple[str, ...]
    pool: Pool | None
    depth: int
    terms: Terms = NOTHING
    domain: tuple[str, ...] = ()

    def contained(self, frame: Frame) -> Unit:
        """Return the unit with what fails with it, where it executes a part of a frame."""
        if frame.catches:
            # Each node fails alone in it; should the unit itself fail, that is nobody else's failure.
            slot = the_node(self.frames)
            reach = len(frame.scope.address) + 1 if slot is None else self.frames[0].reach(slot)
            return self._replace(domain=(*frame.scope.domain, domain_name(self.key, reach)))
        domain = frame.domain_of(-1)
        return self._replace(domain=domain) if domain else self


def unit_key(owner: str, name: str, *parts: object) -> str:
    """Return the key of a piece of the unit `owner`: the name that users know, and a digest."""
    digest = hashlib.blake2b(repr((owner, parts)).encode(), digest_size=16)
    return f"{name}-{digest.hexdigest()}"


def root_unit(frame: GraphFrame) -> Unit:
    """Return the unit that a run begins with."""
    (node,) = frame.todo
    key = unit_key(frame.scope.run_id, node.entity.short_name)
    return Unit(key, (frame,), (), frame.scope.pool, frame.scope.depth)


# ---------------------------------------------------------------- taking what can start


def take(owner: str, frames: Sequence[Frame], policy: Policy, now: float, *, keep: bool, full: Container[str] = frozenset()) -> list[Unit]:
    """Take the nodes that have not been started and whose inputs are known.

    Parameters
    ----------
    owner : str
        The key of the unit that executes the frames.
    frames
        The stack, lowest first. What is taken is outstanding in them afterwards.
    policy
        How much, and in what pieces.
    now : float
        The time on the clock that the frames are timed with, in seconds.
    keep : bool
        Leave the execution something to go on with: for where it is between two nodes, and not busy with one.
    full
        The ids of limits that let nothing more start at the moment: what is under one stays.
    """
    units: list[Unit] = []
    for frame in reversed(frames):
        pending = _pending(frame, policy)
        if keep and pending:
            keep = False
            pending = pending[1:]
        mean = mean_time(frame, now)
        if (policy.eager or _parallel(frame, full)) and policy.worthwhile(len(pending), mean, now - frame.started):
            units.extend(_take_from(owner, frame, pending, policy, mean))
    return units


def _parallel(frame: Frame, full: Container[str]) -> bool:
    """Tell whether another unit could execute nodes of the frame while this one does."""
    pool = frame.scope.pool
    return pool is None or all(one.limit > 1 and one.id not in full for one in pool.chain())


def _slots(frame: Frame) -> float:
    """Return how many nodes of the frame may be executed at the same moment."""
    pool = frame.scope.pool
    return math.inf if pool is None else min(one.limit for one in pool.chain())


def _pending(frame: Frame, policy: Policy) -> Sequence[Any]:
    """Return what may be taken from a frame: chains of nodes, or indices of items."""
    if isinstance(frame, MapFrame):
        return range(frame.cursor, frame.end)
    assert isinstance(frame, GraphFrame)
    if not frame.left:
        return []
    chains = _chains(frame, joined=not policy.eager)
    # What only starts child runs stands under other limits than the rest, and makes units of its own.
    return sorted(chains, key=lambda chain: not _only_child_runs(chain))


def _chains(frame: GraphFrame, joined: bool) -> list[list[Node]]:
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
        elif joined and len(unknown) == 1 and unknown[0] in ends and uses[unknown[0]] == 1:
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


def _result_slots(frame: GraphFrame) -> Iterable[int]:
    if frame.catches and frame.exports is None:
        # Whether the frame has failed is told by all its nodes.
        return list(frame.values) if isinstance(frame.values, dict) else range(len(frame.values))
    return frame.graph.output_slots if frame.exports is None else frame.exports


def _take_from(owner: str, frame: Frame, pending: Sequence[Any], policy: Policy, mean: float | None) -> list[Unit]:
    pieces = [pending[piece.start : piece.stop] for piece in policy.pieces(len(pending), mean, _slots(frame))]
    if isinstance(frame, MapFrame):
        frame.end = pending[0]
        return [_items_unit(owner, frame, piece[0], piece[-1] + 1) for piece in pieces]
    assert isinstance(frame, GraphFrame)
    taken = [[node for chain in part for node in chain] for piece in pieces for part in _by_kind(piece)]
    gone = {node.slot for nodes in taken for node in nodes}
    left = [node for node in frame.todo[frame.cursor :] if node.slot not in gone]
    uses = _uses(frame, (*left, *(node for nodes in taken for node in nodes)))
    frame.todo = [*frame.todo[: frame.cursor], *left]
    return [_chains_unit(owner, frame, nodes, uses) for nodes in taken]


def on_terms(owner: str, frame: Frame, slot: int, terms: Terms) -> Unit:
    """Make a unit of the node, or item, that was started last, which may start on terms."""
    if isinstance(frame, MapFrame):
        unit = _items_unit(owner, frame, slot, slot + 1)
    else:
        assert isinstance(frame, GraphFrame)
        node = frame.todo[frame.cursor - 1]
        key = unit_key(owner, node.entity.short_name, "t", frame.scope.digest, frame.place(slot))
        unit = Unit(key, (frame.part([node], (slot,)),), (), _pool(frame, [node]), frame.scope.depth + 1)
        _hand_over(frame, key, (slot,))
        unit = unit.contained(frame)
    # What only waits takes no slot; what is attempted again later does, then.
    only_waits = terms.waits and not terms.attempt
    return unit._replace(terms=terms, pool=None if only_waits else unit.pool)


def _by_kind(chains: Sequence[list[Node]]) -> list[list[list[Node]]]:
    runs = [chain for chain in chains if _only_child_runs(chain)]
    return [part for part in (runs, list(chains[len(runs) :])) if part]


def _chains_unit(owner: str, frame: GraphFrame, nodes: list[Node], uses: dict[int, int]) -> Unit:
    """Make a unit of whole chains; it gives what is used outside."""
    inside: dict[int, int] = {}
    for node in nodes:
        for slot in node.deps:
            inside[slot] = inside.get(slot, 0) + 1
    exports = tuple(node.slot for node in nodes if uses.get(node.slot, 0) > inside.get(node.slot, 0))
    key = unit_key(owner, nodes[0].entity.short_name, "n", frame.scope.digest, [frame.place(node.slot) for node in nodes])
    unit = Unit(key, (frame.part(nodes, exports),), (), _pool(frame, nodes), frame.scope.depth + 1)
    _hand_over(frame, key, exports)
    return unit.contained(frame)


def _hand_over(frame: Frame, key: str, slots: Iterable[int]) -> None:
    for index, slot in enumerate(slots):
        if isinstance(frame, MapFrame):
            frame.away.append(Away(slot, slot + 1, key, index))
        else:
            frame.values[slot] = External(key, index)
    frame.outstanding[key] = None


def _items_unit(owner: str, frame: MapFrame, start: int, stop: int) -> Unit:
    target = frame.entity.target  # type: ignore[union-attr]
    key = unit_key(owner, target.short_name, "i", frame.scope.digest, start + frame.offset, stop + frame.offset)
    pool = frame.scope.entry_pool if target.kind == LAUNCH_PLAN else frame.scope.pool
    unit = Unit(key, (frame.part(start, stop),), (), pool, frame.scope.depth + 1)
    frame.away.append(Away(start, stop, key, 0))
    frame.outstanding[key] = None
    return unit.contained(frame)


def _only_child_runs(nodes: Sequence[Node]) -> bool:
    return all(node.entity.kind == LAUNCH_PLAN for node in nodes)


def _pool(frame: GraphFrame, nodes: Sequence[Node]) -> Pool | None:
    """Return the limit on some nodes of a frame; putting an output together takes no slot."""
    if not nodes:
        return None
    return frame.scope.entry_pool if _only_child_runs(nodes) else frame.scope.pool


# ---------------------------------------------------------------- what is left


class _Rest(NamedTuple):
    """What is left of the frames from one on upwards: a stack, highest first, that gives that frame's result."""

    stack: list[Frame]
    needs: frozenset[str]
    pool: Pool | None


def tail(owner: str, frames: Sequence[Frame], policy: Policy, now: float, *, stopped: bool = False) -> tuple[list[Unit], str]:
    """Turn all that is left of an execution into units.

    Parameters
    ----------
    owner, frames, policy, now
        As for :func:`take`; nothing of the frames is executing.
    stopped : bool
        Whether the execution could have gone on. What could be executed next is taken from the highest frame as well then.

    Returns
    -------
    list of Unit
        They depend on each other, and on what was taken before.
    str
        The key of the unit whose result is the execution's own.
    """
    units: list[Unit] = []
    rest: _Rest | None = None
    for frame in reversed(frames):
        if (stopped or rest is not None or isinstance(frame, EagerFrame)) and (pending := _pending(frame, policy)):
            units.extend(_take_from(owner, frame, pending, policy, mean_time(frame, now)))
        if isinstance(frame, MapFrame):
            rest = _rest_of_map(owner, frame, rest, units)
        else:
            assert isinstance(frame, GraphFrame)
            rest = _rest_of_graph(owner, frame, rest, units, policy)
    assert rest is not None
    last = _result_unit(owner, rest)
    units.append(last)
    return units, last.key


def _result_unit(owner: str, rest: _Rest) -> Unit:
    lowest = rest.stack[-1]
    name = lowest.entity.short_name if lowest.entity is not None else "result"
    key = unit_key(owner, name, "r", lowest.scope.digest)
    unit = Unit(key, tuple(reversed(rest.stack)), tuple(sorted(rest.needs)), rest.pool, lowest.scope.depth)
    if isinstance(rest.stack[0], EagerFrame):
        # Its body goes on with whichever of its calls ends first.
        unit = unit._replace(terms=Terms(soon=True))
    if isinstance(lowest, (GraphFrame, MapFrame)) and lowest.exports in (None, False):
        return unit._replace(domain=lowest.scope.domain)
    return unit.contained(lowest)


def _settle(owner: str, rest: _Rest, outer: Frame, units: list[Unit]) -> None:
    """Make the result of the inner frames a unit of its own, which the outer frame waits for."""
    unit = _result_unit(owner, rest)
    units.append(unit)
    _hand_over(outer, unit.key, [rest.stack[-1].slot])


def _rest_of_map(owner: str, frame: MapFrame, inner: _Rest | None, units: list[Unit]) -> _Rest:
    if inner is not None and frame.outstanding:
        _settle(owner, inner, frame, units)
        inner = None
    part = frame.resumed(current=False)
    needs, part.outstanding = frozenset(frame.outstanding), {}
    if inner is None:
        return _Rest([part], needs, None)
    return _on(part, inner, None)


def _on(lower: Frame, inner: _Rest, pool: Pool | None) -> _Rest:
    """Put the inner frames on top of another one, to be executed by one unit."""
    inner.stack[-1].parent = lower
    return _Rest([*inner.stack, lower], inner.needs, inner.pool or pool)


def _rest_of_graph(owner: str, frame: GraphFrame, inner: _Rest | None, units: list[Unit], policy: Policy) -> _Rest:
    waiting = sorted([*frame.waiting, *frame.todo[frame.cursor :]], key=lambda node: node.slot)
    frame.waiting, frame.todo, frame.cursor = [], [], 0
    slot = inner.stack[-1].slot if inner is not None else -1
    if inner is not None:
        frame.values[slot] = External(_INNER, 0)
        frame.outstanding[_INNER] = None
    parts, result = regions(waiting, frame.values, _result_slots(frame), frame.outstanding, merge=not policy.eager)
    if inner is not None and not _goes_on(frame, result, parts, inner):
        del frame.outstanding[_INNER]
        _settle(owner, inner, frame, units)
        _rename(parts, result, _INNER, next(reversed(frame.outstanding)))
        inner = None
    keys = _name(owner, frame, parts, result)
    for region in parts:
        units.append(_region_unit(frame, region, keys[region.number]))
        _hand_over(frame, keys[region.number], region.exports)
    if inner is not None:
        frame.values[slot] = MISSING
    part = frame.part(result.nodes, frame.exports, slot if inner is not None else None)
    if inner is not None:
        part.values[slot] = MISSING
        return _on(part, inner, _pool(frame, result.nodes))
    return _Rest([part], frozenset(result.needs), _pool(frame, result.nodes))


_INNER = "(what the frame above gives)"


def _goes_on(frame: GraphFrame, result: Region, parts: list[Region], inner: _Rest) -> bool:
    """Tell whether one unit can execute the inner frames and then the end of this one, with nothing waiting for more than it needs."""
    alone = set(result.needs) == {_INNER} and all(_INNER not in region.needs for region in parts)
    pool = _pool(frame, result.nodes)
    # The unit holds slots for the inner frames' limits; those on the nodes here must be among them.
    return alone and (pool is None or inner.pool is None or pool in inner.pool.chain())


def _rename(parts: list[Region], result: Region, old: Any, new: Any) -> None:
    for region in (*parts, result):
        if old in region.needs:
            region.needs = {new if need == old else need for need in region.needs}


def _name(owner: str, frame: GraphFrame, parts: list[Region], result: Region) -> dict[int, str]:
    """Give regions their keys, and put those in the place of the regions in what others need."""
    keys: dict[int, str] = {}
    for region in parts:
        slots = [frame.place(node.slot) for node in region.nodes]
        keys[region.number] = unit_key(owner, region.nodes[0].entity.short_name, "w", frame.scope.digest, slots)
    for region in (*parts, result):
        region.needs = {keys[need] if isinstance(need, int) else need for need in region.needs}
    return keys


def _region_unit(frame: GraphFrame, region: Region, key: str) -> Unit:
    deps = tuple(sorted(map(str, region.needs)))
    return Unit(key, (frame.part(region.nodes, region.exports),), deps, _pool(frame, region.nodes), frame.scope.depth + 1).contained(frame)
