"""Admission: which of the waiting units may start, under pools with limits.

The queues form a tree: the root, its runs, their pools, and the pools in those. Each node keeps a heap of the
units that wait in it and of the children below it *that could start a unit now*. A full child offers nothing to its
parent, so what waits behind it is never looked at; a slot that frees makes each node on the way up offer again.
That is all the work a change causes: one heap operation for each level, whatever the number that waits.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count

Priority = tuple[float, ...]  #: Smaller goes first.
_Rank = tuple[Priority, int]  # unique in a queue: the number is taken from the clock of its Admission


@dataclass(frozen=True, slots=True)
class Pool:
    """A limit on the units that run at the same moment, with the limits above it.

    Parameters
    ----------
    id : str
        What identifies the pool: equal pools may arrive as many objects.
    limit : int
        How many units may run in the pool and in the pools below it together, at least 1.
    parent : Pool, optional
        The next pool whose limit holds as well.
    """

    id: str
    limit: int
    parent: Pool | None = None

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"pool {self.id!r}: the limit must be at least 1, not {self.limit!r}")
        if self.parent is not None and any(above.id == self.id for above in self.parent.chain()):
            raise ValueError(f"pool {self.id!r} cannot be above itself")

    def chain(self) -> Iterator[Pool]:
        """Yield this pool, then those above it, innermost first."""
        pool: Pool | None = self
        while pool is not None:
            yield pool
            pool = pool.parent


class _Queue:
    """A heap of ranked entries, any of which can be removed: its rank stays in the heap until it surfaces."""

    __slots__ = ("entries", "heap")

    def __init__(self) -> None:
        self.entries: dict[_Rank, _Unit | _Node] = {}
        self.heap: list[_Rank] = []

    def add(self, rank: _Rank, entry: _Unit | _Node) -> None:
        self.entries[rank] = entry
        heappush(self.heap, rank)

    def remove(self, rank: _Rank) -> None:
        del self.entries[rank]
        # A child that fills and frees again and again, below a better entry, never surfaces.
        if len(self.heap) > 2 * len(self.entries) + 16:
            self.heap = list(self.entries)
            heapify(self.heap)

    def first(self) -> _Rank | None:
        while self.heap and self.heap[0] not in self.entries:
            heappop(self.heap)
        return self.heap[0] if self.heap else None


@dataclass(slots=True, eq=False)
class _Node:
    """A pool, a run or the root."""

    id: str
    limit: float
    parent: _Node | None
    members: int = 0  # units that wait or run here or below
    running: int = 0
    queue: _Queue = field(default_factory=_Queue)
    offered: _Rank | None = None  # our rank in the parent's queue

    def chain(self) -> Iterator[_Node]:
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def offer(self) -> _Rank | None:
        return self.queue.first() if self.running < self.limit else None

    def change(self, *, members: int = 0, running: int = 0) -> None:
        """Count, and bring our place in the parent's queue up to date: children must have done so before."""
        self.members += members
        self.running += running
        if self.parent is None or (offer := self.offer()) == self.offered:
            return
        if self.offered is not None:
            self.parent.queue.remove(self.offered)
        if offer is not None:
            self.parent.queue.add(offer, self)
        self.offered = offer


@dataclass(slots=True, eq=False)
class _Run(_Node):
    """A run, which the root ranks by when its turn was last: a run that was blocked has not lost its place."""

    turn: int = field(kw_only=True)

    def offer(self) -> _Rank | None:
        return None if self.queue.first() is None else ((), self.turn)


@dataclass(slots=True, eq=False)
class _Unit:
    key: str
    run: str
    node: _Node  # where it waits
    rank: _Rank
    slots: dict[_Node, None] = field(default_factory=dict)  # outermost first; empty while it waits

    def nodes(self) -> Iterator[_Node]:
        """Yield the nodes it counts in, a child always before its parent."""
        return reversed(self.slots) if self.slots else self.node.chain()


class Admission:
    """The waiting and running units, and who is next.

    A unit waits for one slot in each pool of a chain and takes all or none of them. Within a pool the smaller priority
    goes first, then the earlier; between runs it is one unit a turn, round robin.

    Notes
    -----
    Not thread-safe: it is meant for one event loop. `enqueue`, `release` and each admitted key cost O(log n) for each
    pool of the chain, amortised. A run or pool is forgotten as soon as no unit refers to it.

    Examples
    --------
    >>> admission = Admission()
    >>> one_at_a_time = Pool("map", limit=1)
    >>> for key in ("a", "b"):
    ...     admission.enqueue(key, run="run", pool=one_at_a_time, priority=(0,))
    >>> admission.admit()
    ['a']
    >>> admission.admit()
    []
    >>> admission.release("a")
    >>> admission.admit()
    ['b']
    """

    def __init__(self) -> None:
        self._root = _Node("", math.inf, None)
        self._runs: dict[str, _Run] = {}
        self._pools: dict[str, _Node] = {}
        self._units: dict[str, _Unit] = {}
        self._clock = count()
        self._changed: dict[str, bool] = {}

    def take_changed(self) -> dict[str, bool]:
        """Return the pools whose last slot was taken, or first one freed, since the last call, with whether they are full now.

        That one is full is told only of those that let more than one unit run, and fewer than the capacity.
        """
        changed, self._changed = self._changed, {}
        return changed

    def _count(self, node: _Node, members: int, running: int) -> None:
        was_full = node.running >= node.limit
        node.change(members=members, running=running)
        full = node.running >= node.limit
        if full is not was_full and node.parent is not None:
            self._changed[node.id] = full and 1 < node.limit < self._root.limit

    @property
    def capacity(self) -> int | None:
        """How many units may run at the same moment in all; None is no bound."""
        return None if self._root.limit == math.inf else int(self._root.limit)

    @capacity.setter
    def capacity(self, capacity: int | None) -> None:
        if capacity is not None and capacity < 0:
            raise ValueError(f"the capacity must be at least 0, not {capacity!r}")
        self._root.limit = math.inf if capacity is None else capacity

    @property
    def n_running(self) -> int:
        """How many units run."""
        return self._root.running

    @property
    def n_waiting(self) -> int:
        """How many units wait."""
        return self._root.members - self._root.running

    def starving(self) -> set[str]:
        """Return the runs of which nothing runs, though something could if others left it a place."""
        if self._root.running < self._root.limit:
            return set()
        return {run.id for run in self._runs.values() if not run.running and run.offered is not None}

    def is_empty(self) -> bool:
        """Return True if nothing waits or runs, and no run or pool is remembered."""
        return not (self._units or self._runs or self._pools)

    def running(self, pool_id: str) -> int:
        """Return how many units hold a slot of the pool."""
        return self._pools[pool_id].running if pool_id in self._pools else 0

    def free(self, pool: Pool) -> int:
        """Return how many more units the limits of *pool* and of those above it allow, whatever the capacity."""
        return max(0, min(link.limit - self.running(link.id) for link in pool.chain()))

    def enqueue(self, key: str, *, run: str, pool: Pool | None, priority: Priority) -> None:
        """Let *key*, of the top-level run *run*, wait for a slot in each pool of the chain (None: in no pool).

        Raises
        ------
        ValueError
            If *key* waits or runs already, or a pool is known with another limit, parent or run.
        """
        if key in self._units:
            raise ValueError(f"key {key!r} is {'running' if self._units[key].slots else 'waiting'} already")
        node = self._node(run, pool)
        unit = self._units[key] = _Unit(key, run, node, (priority, next(self._clock)))
        node.queue.add(unit.rank, unit)
        for each in node.chain():
            each.change(members=1)

    def hold(self, key: str, pool: Pool) -> None:
        """Give the running *key* a slot in each pool of the chain where it has none, even past the limit.

        Raises
        ------
        ValueError
            If *key* is not running, or a pool is known with another limit, parent or run.
        """
        unit = self._units.get(key)
        if unit is None or not unit.slots:
            raise ValueError(f"key {key!r} is not running")
        node = self._node(unit.run, pool)
        chain = list(node.chain())
        for each in chain:
            new = each not in unit.slots
            self._count(each, new, new)
        unit.slots.update(dict.fromkeys(reversed(chain)))  # what it had keeps its place

    def release(self, key: str) -> None:
        """Forget *key*, if it is known: it no longer waits, or all its slots are free."""
        unit = self._units.pop(key, None)
        if unit is None:
            return
        if not unit.slots:
            unit.node.queue.remove(unit.rank)
        for node in unit.nodes():
            self._count(node, -1, -bool(unit.slots))
            if not node.members:
                self._forget(node)

    def admit(self) -> list[str]:
        """Start each unit that the limits and the capacity allow, and return their keys in order."""
        admitted = []
        while self._root.running < self._root.limit and (unit := self._next()) is not None:
            self._start(unit)
            admitted.append(unit.key)
        return admitted

    def _next(self) -> _Unit | None:
        node = self._root
        while (rank := node.queue.first()) is not None:
            entry = node.queue.entries[rank]
            if isinstance(entry, _Unit):
                return entry
            node = entry
        return None

    def _start(self, unit: _Unit) -> None:
        unit.node.queue.remove(unit.rank)
        unit.slots = dict.fromkeys(reversed(list(unit.node.chain())))
        self._runs[unit.run].turn = next(self._clock)
        for node in unit.nodes():
            self._count(node, 0, 1)

    def _node(self, run: str, pool: Pool | None) -> _Node:
        """Return the node of *pool* (or *run*), made with those above it where they are new."""
        chain = [] if pool is None else list(pool.chain())
        for link in chain:  # all, before any is made: a refused chain must leave nothing behind
            self._check(run, link)
        if run not in self._runs:
            self._runs[run] = _Run(run, math.inf, self._root, turn=next(self._clock))
        node: _Node = self._runs[run]
        for link in reversed(chain):
            node = self._pools.get(link.id) or self._pools.setdefault(link.id, _Node(link.id, link.limit, node))
        return node

    def _check(self, run: str, pool: Pool) -> None:
        known = self._pools.get(pool.id)
        if known is None:
            return
        parent = self._runs.get(run) if pool.parent is None else self._pools.get(pool.parent.id)
        if known.limit != pool.limit or known.parent is not parent:
            above = f"run {run!r}" if pool.parent is None else f"pool {pool.parent.id!r}"
            raise ValueError(f"pool {pool.id!r} is known with another limit or parent than {pool.limit} in {above}")

    def _forget(self, node: _Node) -> None:
        if isinstance(node, _Run):
            del self._runs[node.id]
        elif node is not self._root:
            del self._pools[node.id]

    def validate(self) -> None:
        """Assert that all counts and queues are what the units say."""
        nodes = {self._root, *self._runs.values(), *self._pools.values()}
        members: Counter[_Node] = Counter()
        running: Counter[_Node] = Counter()
        entries: defaultdict[_Node, dict[_Rank, _Unit | _Node]] = defaultdict(dict)
        for unit in self._units.values():
            members.update(unit.nodes())
            running.update(iter(unit.slots))  # as a mapping it would be taken for counts
            if not unit.slots:
                entries[unit.node][unit.rank] = unit
        for node in nodes:
            if node.parent is not None and node.offered is not None:
                entries[node.parent][node.offered] = node
        assert nodes == {self._root, *members}
        for node in nodes:
            assert (members[node], running[node], entries[node]) == (node.members, node.running, node.queue.entries)
            assert set(node.queue.entries) <= set(node.queue.heap)
            assert len(node.queue.heap) <= 2 * len(node.queue.entries) + 16
            assert node.queue.first() == min(entries[node], default=None)
            assert node.parent is None or node.offered == node.offer()
