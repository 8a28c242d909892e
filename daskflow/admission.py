"""Admission: which of the waiting units may start, under pools with limits.

The queues form a tree: the root, its runs, their pools, and the pools in those. Each node keeps a heap of the
units that wait in it and of the children below it *that could start a unit now*. A full child offers nothing to its
parent, so what waits behind it is never looked at; a slot that frees makes each node on the way up offer again.
That is all the work a change causes: one heap operation for each level, whatever the number that waits.

Units that ask for the same resources of a worker wait together, in a bundle of their own wherever they wait. It is set
aside when its turn comes and as many run as there is room for, and offers again, in turn with others, when one ends.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from daskflow.queues import Asked, Bundle, Member, Node, Priority, Rank, RunNode

__all__ = ["Admission", "Pool", "Priority"]


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


class Admission:
    """The waiting and running units, and who is next.

    A unit waits for one slot in each pool of a chain and takes all or none of them. Within a pool the smaller priority
    goes first, then the earlier; between runs it is one unit a turn, round robin. Of those that ask for the same
    resources so many run as there is room for, and one at least: what there is no room for at all waits where it is sent to.

    Attributes
    ----------
    room : callable
        Tells how many units that ask for some resources may run at the same moment; by default any number.

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
        self._root = Node("", math.inf, None)
        self._runs: dict[str, RunNode] = {}
        self._pools: dict[str, Node] = {}
        self._units: dict[str, Member] = {}
        self.room: Callable[[Asked], float] = lambda _: math.inf
        self._having: Counter[Asked] = Counter()  # how many units run that have asked for it
        self._bundles: dict[tuple[Node, Asked], Bundle] = {}
        self._aside: dict[Asked, dict[RunNode, dict[Bundle, None]]] = {}  # by run, the first set aside first
        self._clock = count()
        self._changed: dict[str, bool] = {}

    def take_changed(self) -> dict[str, bool]:
        """Return the pools whose last slot was taken, or first one freed, since the last call, with whether they are full now.

        That one is full is told only of those that let more than one unit run, and fewer than the capacity.
        """
        changed, self._changed = self._changed, {}
        return changed

    def _count(self, node: Node, members: int, running: int) -> None:
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
        return not (self._units or self._runs or self._pools or self._bundles or self._aside or self._having)

    def running(self, pool_id: str) -> int:
        """Return how many units hold a slot of the pool."""
        return self._pools[pool_id].running if pool_id in self._pools else 0

    def free(self, pool: Pool) -> int:
        """Return how many more units the limits of *pool* and of those above it allow, whatever the capacity."""
        return max(0, min(link.limit - self.running(link.id) for link in pool.chain()))

    def enqueue(self, key: str, *, run: str, pool: Pool | None, priority: Priority, asked: Asked = ()) -> None:
        """Let *key*, of the top-level run *run*, wait for a slot in each pool of the chain (None: in no pool), and for resources.

        Raises
        ------
        ValueError
            If *key* waits or runs already, or a pool is known with another limit, parent or run.
        """
        if key in self._units:
            raise ValueError(f"key {key!r} is {'running' if self._units[key].slots else 'waiting'} already")
        node = self._node(run, pool)
        if asked:
            node = self._bundle(run, node, asked)
        unit = self._units[key] = Member(key, run, node, (priority, next(self._clock)))
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
        elif isinstance(unit.node, Bundle):
            self._having[unit.node.asked] -= 1
            if not self._having[unit.node.asked]:
                del self._having[unit.node.asked]
        for node in unit.nodes():
            self._count(node, -1, -bool(unit.slots))
            if not node.members:
                self._forget(node)

    def admit(self) -> list[str]:
        """Start each unit that the limits and the capacity allow, and return their keys in order."""
        admitted = []
        while self._root.running < self._root.limit:
            fetched = self._fetch()
            if (unit := self._next()) is not None:
                self._start(unit)
                admitted.append(unit.key)
            elif not fetched:
                break
        return admitted

    def _next(self) -> Member | None:
        node = self._root
        while (rank := node.queue.first()) is not None:
            entry = node.queue.entries[rank]
            if isinstance(entry, Member):
                return entry
            if isinstance(entry, Bundle) and not self._fits(entry.asked):
                self._set_aside(entry)
                entry = self._root
            node = entry
        return None

    def _fits(self, asked: Asked) -> bool:
        return self._having[asked] < max(1, self.room(asked))

    def _set_aside(self, bundle: Bundle) -> None:
        bundle.aside = True
        self._aside.setdefault(bundle.asked, {}).setdefault(bundle.run, {})[bundle] = None
        for node in bundle.chain():
            node.change()

    def _fetch(self) -> bool:
        """Let one bundle offer again for each kind that there is room for; tell whether there was one.

        Its pool may be full, and then the next one is fetched: each is looked at once until it is set aside again.
        """
        found = [runs[min(runs, key=lambda run: run.turn)] for asked, runs in self._aside.items() if self._fits(asked)]
        for bundle in [next(iter(bundles)) for bundles in found]:
            self._bring_back(bundle)
            for node in bundle.chain():
                node.change()
        return bool(found)

    def _bring_back(self, bundle: Bundle) -> None:
        bundle.aside = False
        runs = self._aside[bundle.asked]
        del runs[bundle.run][bundle]
        if not runs[bundle.run]:
            del runs[bundle.run]
        if not runs:
            del self._aside[bundle.asked]

    def _start(self, unit: Member) -> None:
        unit.node.queue.remove(unit.rank)
        unit.slots = dict.fromkeys(reversed(list(unit.node.chain())))
        self._runs[unit.run].turn = next(self._clock)
        if isinstance(unit.node, Bundle):
            self._having[unit.node.asked] += 1
        for node in unit.nodes():
            self._count(node, 0, 1)

    def _node(self, run: str, pool: Pool | None) -> Node:
        """Return the node of *pool* (or *run*), made with those above it where they are new."""
        chain = [] if pool is None else list(pool.chain())
        for link in chain:  # all, before any is made: a refused chain must leave nothing behind
            self._check(run, link)
        if run not in self._runs:
            self._runs[run] = RunNode(run, math.inf, self._root, turn=next(self._clock))
        node: Node = self._runs[run]
        for link in reversed(chain):
            node = self._pools.get(link.id) or self._pools.setdefault(link.id, Node(link.id, link.limit, node))
        return node

    def _bundle(self, run: str, node: Node, asked: Asked) -> Bundle:
        if (node, asked) not in self._bundles:
            self._bundles[node, asked] = Bundle("", math.inf, node, run=self._runs[run], asked=asked)
        return self._bundles[node, asked]

    def _check(self, run: str, pool: Pool) -> None:
        known = self._pools.get(pool.id)
        if known is None:
            return
        parent = self._runs.get(run) if pool.parent is None else self._pools.get(pool.parent.id)
        if known.limit != pool.limit or known.parent is not parent:
            above = f"run {run!r}" if pool.parent is None else f"pool {pool.parent.id!r}"
            raise ValueError(f"pool {pool.id!r} is known with another limit or parent than {pool.limit} in {above}")

    def _forget(self, node: Node) -> None:
        if isinstance(node, RunNode):
            del self._runs[node.id]
        elif isinstance(node, Bundle):
            assert node.parent is not None
            del self._bundles[node.parent, node.asked]
            if node.aside:
                self._bring_back(node)
        elif node is not self._root:
            del self._pools[node.id]

    def validate(self) -> None:
        """Assert that all counts and queues are what the units say."""
        nodes: set[Node] = {self._root, *self._runs.values(), *self._pools.values(), *self._bundles.values()}
        members: Counter[Node] = Counter()
        running: Counter[Node] = Counter()
        entries: defaultdict[Node, dict[Rank, Member | Node]] = defaultdict(dict)
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
        self._validate_resources()

    def _validate_resources(self) -> None:
        having = Counter(unit.node.asked for unit in self._units.values() if unit.slots and isinstance(unit.node, Bundle))
        assert having == self._having
        assert all(self._having.values())
        aside = [bundle for runs in self._aside.values() for bundles in runs.values() for bundle in bundles]
        assert len(aside) == len(set(aside))
        assert set(aside) == {bundle for bundle in self._bundles.values() if bundle.aside}
        assert all(self._aside[bundle.asked][bundle.run] for bundle in aside)
