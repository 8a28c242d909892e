"""The tree of queues that :mod:`daskflow.admission` keeps: runs, pools, bundles, and the units that wait or run in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

Priority = tuple[float, ...]  #: Smaller goes first.
Rank = tuple[Priority, int]  #: Unique in a queue: the number is taken from the clock of its Admission.
Asked = tuple[tuple[str, float], ...]  #: Names of resources, with how much of each.


class Queue:
    """A heap of ranked entries, any of which can be removed: its rank stays in the heap until it surfaces."""

    __slots__ = ("entries", "heap")

    def __init__(self) -> None:
        self.entries: dict[Rank, Member | Node] = {}
        self.heap: list[Rank] = []

    def add(self, rank: Rank, entry: Member | Node) -> None:
        """Let an entry wait."""
        self.entries[rank] = entry
        heappush(self.heap, rank)

    def remove(self, rank: Rank) -> None:
        """Let the entry of that rank wait no more."""
        del self.entries[rank]
        # A child that fills and frees again and again, below a better entry, never surfaces.
        if len(self.heap) > 2 * len(self.entries) + 16:
            self.heap = list(self.entries)
            heapify(self.heap)

    def first(self) -> Rank | None:
        """Return the rank of who is next, None where nobody waits."""
        while self.heap and self.heap[0] not in self.entries:
            heappop(self.heap)
        return self.heap[0] if self.heap else None


@dataclass(slots=True, eq=False)
class Node:
    """A pool, a run or the root."""

    id: str
    limit: float
    parent: Node | None
    #: Units that wait or run here or below.
    members: int = 0
    running: int = 0
    queue: Queue = field(default_factory=Queue)
    #: Our rank in the parent's queue.
    offered: Rank | None = None

    def chain(self) -> Iterator[Node]:
        """Yield this node, then those above it."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def offer(self) -> Rank | None:
        """Return the rank of the unit that could start here; None where none could."""
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
class RunNode(Node):
    """A run, which the root ranks by when its turn was last: a run that was blocked has not lost its place."""

    turn: int = field(kw_only=True)

    def offer(self) -> Rank | None:
        return None if self.queue.first() is None else ((), self.turn)


@dataclass(slots=True, eq=False)
class Bundle(Node):
    """The units of a pool, or of a run, that ask for the same resources; it is set aside while these are not to be had."""

    run: RunNode = field(kw_only=True)
    asked: Asked = field(kw_only=True)
    aside: bool = False

    def offer(self) -> Rank | None:
        return None if self.aside else self.queue.first()


@dataclass(slots=True, eq=False)
class Member:
    """A unit that waits at a node, or runs."""

    key: str
    run: str
    node: Node
    rank: Rank
    #: Where it runs, outermost first; empty while it waits.
    slots: dict[Node, None] = field(default_factory=dict)

    def nodes(self) -> Iterator[Node]:
        """Yield the nodes it counts in, a child always before its parent."""
        return reversed(self.slots) if self.slots else self.node.chain()
