"""Bodies and maps of a run, as far as units told of them: a few bytes for each node. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from daskflow.graph import numbered
from daskflow.nodeviews import QUEUED, RECOVERED, SUCCEEDED

#: In the place of a phase: there is no such node.
ABSENT = 255

#: A place as large as this is a digest, by which a call of an eager is known, and no slot.
_DIGEST = 1 << 31

#: The highest number of a worker that there is room for.
MOST_WORKERS = 0xFFFF

_MAP = "map"


class Body:
    """The nodes of one body, or the items of one map.

    Attributes
    ----------
    address : str
        Where it is.
    above : (Body, int) or None
        The body that calls it, and as which of its nodes; while that is not known, or never told since it is short, the nearest one.
    is_placed : bool
        Whether that is the body that calls it.
    entity, kind : str
        What it is of; empty where only child runs are told of.
    run_id, digest
        What the ids of its child runs are made from.
    is_map : bool
        Whether its nodes are the items of a map.
    states : bytearray
        For each node by its index what was told of it: a phase, :data:`QUEUED` where nothing was, :data:`ABSENT` for a gap.
    starts, ends : array of float
        When each began and ended, in seconds since the epoch; 0 where nobody has told.
    workers : array of int
        The number of the worker where each ended; 0 where that is not known.
    inside : array of int, or None
        How many nodes ended inside each of which nothing else was told; ``None`` while that is so of none.
    begun : dict of int to (float, int)
        The nodes that have begun and of whose end nothing was told: since when, and the number of the worker.
    caches : dict of int to str, or None
        What the cache did for items of a map.
    inner : dict of int to Body
        The bodies of nodes.
    told : bool
        Whether its nodes are told of; otherwise only child runs are.
    collapsed : bool
        Whether it was executed once more as a part of something short: its nodes are counted in some node above.
    """

    __slots__ = (
        "_digests", "_index", "_labels", "_names", "_numbered", "_places", "_table", "_which", "above", "address", "begun", "caches",
        "collapsed", "digest", "ends", "entity", "inner", "inside", "is_map", "is_placed", "kind", "run_id", "starts", "states",
        "told", "workers",
    )  # fmt: skip

    def __init__(self, address: str) -> None:
        self.address = address
        self.entity = self.kind = self.run_id = ""
        self.above: tuple[Body, int] | None = None
        self.is_placed = False
        self.is_map = False
        self.digest = b""
        self.states = bytearray()
        self.starts = array("d")
        self.ends = array("d")
        self.workers = array("H")
        self.inside: array[int] | None = None
        self.begun: dict[int, tuple[float, int]] = {}
        self.inner: dict[int, Body] = {}
        self.caches: dict[int, str] | None = None
        self.told = False
        self.collapsed = False
        self._places: dict[int, int] = {}
        #: The same from the index.
        self._digests: dict[int, int] = {}
        self._labels: dict[int, str] = {}
        self._names: tuple[int, list[str]] | None = None
        self._numbered: list[str] | None = None
        self._index: dict[str, int] | None = None
        self._table: list[tuple[str, str]] = []
        self._which = array("H")

    # ------------------------------------------------------------ what is where

    def put_below(self, above: Body, index: int, exact: bool) -> None:
        """Take up what it is called by."""
        self.above, self.is_placed = (above, index), exact
        if exact:
            above.inner[index] = self
        # What is counted as a whole may have been executed before, or again, and been told of in detail then: it counts once.
        if above.collapsed or (above.inside is not None and above.inside[index]):
            self.uncount()

    def describe(self, kind: str, entity: str, total: int) -> None:
        """Take up what it is of."""
        self.kind, self.entity = kind, entity
        self.is_map = kind == _MAP
        if self.is_map and total > len(self.states):
            self._grow(total)

    def name(self, labels: Any, entities: Sequence[tuple[str, str]], which: int | Sequence[int]) -> None:
        """Take up the names of nodes, and what they call."""
        if labels is None:
            self.is_map = True
            self._table = self._table or list(entities)
            return
        numbers = [self._number(one) for one in entities]
        if isinstance(labels, Mapping):
            places: Iterable[int] = labels
            self._label({self.index(place): label for place, label in labels.items()})
        else:
            first, names = labels
            places = range(first, first + len(names))
            if self._names is None:
                self._names, self._index = (first, names), None
        for position, place in enumerate(places):
            index = self.index(place)
            self._appear(index)
            number = numbers[which if isinstance(which, int) else which[position]]
            if self._table[number][0] or not self._table[self._which[index]][0]:
                self._which[index] = number

    def name_one(self, index: int, label: str, called: tuple[str, str]) -> None:
        """Take up the name of one node, and what it calls."""
        if self.is_map:
            self._table = self._table or [called]
            self._grow(index + 1)
            return
        if not self._is_numbered(index) and self._labels.get(index) != label:
            self._label({index: label})
        number = self._number(called)
        self._appear(index)
        if called[0]:
            self._which[index] = number

    def _label(self, labels: dict[int, str]) -> None:
        self._labels.update(labels)
        if self._index is not None:
            # Making it anew for each report would take very long where there are very many of both.
            self._index.update((label, index) for index, label in labels.items())

    def _number(self, called: tuple[str, str]) -> int:
        called = tuple(called)  # type: ignore[assignment]
        if not self._table:
            self._table.append(("", ""))
        if called not in self._table:
            self._table.append(called)
        return self._table.index(called)

    def _appear(self, index: int) -> None:
        self._grow(index + 1)
        if self.states[index] == ABSENT:
            self.states[index] = QUEUED
            if self._index is not None:
                self._index[self.label(index)] = index

    def _grow(self, count: int) -> None:
        more = count - len(self.states)
        if more <= 0:
            return
        self.states += bytes([QUEUED if self.is_map else ABSENT]) * more
        for numbers in (self.starts, self.ends, self.workers):
            numbers.frombytes(bytes(more * numbers.itemsize))
        if self.inside is not None:
            self.inside.frombytes(bytes(more * self.inside.itemsize))
        if not self.is_map:
            self._which.frombytes(bytes(more * self._which.itemsize))

    def index(self, place: int) -> int:
        """Return the index of what a place tells from the others."""
        if place < _DIGEST:
            return place
        index = self._places.get(place)
        if index is None:
            index = self._places[place] = len(self.states)
            self._digests[index] = place
            self._grow(index + 1)
        return index

    def place(self, index: int) -> int:
        """Return what tells a node from the others."""
        return self._digests.get(index, index)

    def _is_numbered(self, index: int) -> bool:
        return self._names is not None and 0 <= index - self._names[0] < len(self._names[1])

    def label(self, index: int) -> str:
        """Return a node's name in addresses."""
        if self.is_map:
            return f"[{index}]"
        if self._names is not None and self._is_numbered(index):
            if self._numbered is None:
                self._numbered = numbered(self._names[1])
            return self._numbered[index - self._names[0]]
        return self._labels.get(index, f"({index})")

    def find(self, label: str) -> int | None:
        """Return the index of the node of a name."""
        if self.is_map:
            digits = label[1:-1]
            found = label[:1] == "[" and label[-1:] == "]" and digits.isdecimal() and digits.isascii() and str(int(digits)) == digits
            return int(digits) if found and int(digits) < len(self.states) else None
        if self._index is None:
            self._index = {self.label(index): index for index in self.nodes()}
        return self._index.get(label)

    def called(self, index: int) -> tuple[str, str]:
        """Return the name and kind of what a node calls."""
        if self.is_map:
            return self._table[0] if self._table else ("", "")
        return self._table[self._which[index]] if self._table else ("", "")

    def nodes(self) -> Sequence[int]:
        """Return the indices of all nodes, in the order of the calls."""
        if ABSENT not in self.states:
            return range(len(self.states))
        return [index for index, state in enumerate(self.states) if state != ABSENT]

    # ------------------------------------------------------------ what becomes of them

    def begin(self, index: int, since: float, worker: int) -> bool:
        """Note that a node has begun; tell whether that is new."""
        self._appear(index)
        if self.states[index] != QUEUED:
            return False
        known = self.begun.get(index)
        # One whose worker died begins anew.
        self.begun[index] = (min(known[0], since) if known and known[0] else since, worker)
        return known is None

    def settle(self, index: int, state: int, since: float, when: float, worker: int) -> bool:
        """Note what has become of a node; tell whether that is new. What was told to have succeeded has."""
        self._appear(index)
        known = self.states[index]
        if known in (state, RECOVERED) or (known == SUCCEEDED and state != RECOVERED):
            return False
        self.states[index] = state
        begun = self.begun.pop(index, None)
        if not self.ends[index] or state == SUCCEEDED:
            # The unit that has its end may have had no more than that of it.
            self.starts[index] = min(since or inf, begun[0] or inf) if begun is not None and (since or begun[0]) else since
            self.ends[index] = when
            self.workers[index] = worker
        return True

    def settle_all(self, places: Any, since: float, ends: array[float], inside: Any, worker: int) -> Sequence[int]:
        """Note that nodes have succeeded, one after the other; return those of which that is new."""
        if isinstance(places, tuple):
            indices: Sequence[int] = range(*places)
            if self._settle_range(places[0], places[1], since, ends, worker):
                self._count_inside(indices, inside)
                return indices
        else:
            indices = [self.index(place) for place in places]
        new = []
        for position, index in enumerate(indices):
            if self.settle(index, SUCCEEDED, since, ends[position], worker):
                new.append(index)
                self._count_inside([index], inside if isinstance(inside, int) else [inside[position]])
            since = ends[position]
        return new

    def _settle_range(self, first: int, stop: int, since: float, ends: array[float], worker: int) -> bool:
        """Do all at once, if nothing is known of any of them."""
        if not self.is_map or stop - first < 2:
            return False
        self._grow(stop)
        count = stop - first
        if self.states.count(QUEUED, first, stop) != count:
            return False
        self.states[first:stop] = bytes([SUCCEEDED]) * count
        self.ends[first:stop] = ends
        self.starts[first] = since
        self.starts[first + 1 : stop] = ends[:-1]
        if worker:
            self.workers[first:stop] = array("H", [worker]) * count
        for index in [one for one in self.begun if first <= one < stop]:
            del self.begun[index]
        return True

    def _count_inside(self, indices: Sequence[int], inside: Any) -> None:
        if isinstance(inside, int) and not inside:
            return
        if self.inside is None:
            self.inside = array("I", bytes(4 * len(self.states)))
        for position, index in enumerate(indices):
            count = self.inside[index] = inside if isinstance(inside, int) else inside[position]
            if count and index in self.inner:
                self.inner[index].uncount()

    def uncount(self) -> None:
        """Note that what is in it was executed once more, and is counted above."""
        bodies: list[Body] = [self]
        while bodies:
            body = bodies.pop()
            body.collapsed = True
            bodies.extend(body.inner.values())
