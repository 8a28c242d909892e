"""Frames: the state of a graph that is being executed, as plain data on an explicit stack.

A frame knows the nodes that are left to do and the values so far. Nothing of it lives on Python's stack, so
depth costs memory only, and somebody else may take away what has not been started.

A value that another unit makes is an :class:`External` until it has come; a node that needs one waits. A map's results are
too many for an object each: ranges of them are :class:`Away`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daskflow.caching import CacheOptions
from daskflow.entity import Entity
from daskflow.failed import Failed
from daskflow.frame import DROPPED, MISSING, Away, External, Frame, Mark, Missing, Part, Root, known
from daskflow.graph import Graph, Node
from daskflow.levels import Level
from daskflow.outcome import where_of
from daskflow.scope import Scope
from daskflow.taskoptions import TaskOptions

__all__ = ["DROPPED", "MISSING", "Away", "External", "Frame", "GraphFrame", "MapFrame", "Mark", "Missing", "Part", "Root", "known"]


class GraphFrame(Frame):
    """The frame of a workflow's, dynamic's or launch plan's graph, or of a part of one.

    Attributes
    ----------
    graph : Graph or Part
        The graph, or what is left of it.
    todo : sequence of Node
        What is left, in order.
    cursor : int
        How many of them have been started.
    waiting : list of Node
        Nodes passed over since a value that they need is made by another unit.
    exports : tuple of int, or None
        The slots whose values are the frame's result, for a part; ``None`` for the output of the graph.
    key : str or None
        The cache's key of the output, where it is to be stored.
    failing : Failed or None
        Why the frame has failed, while its handler is executed.
    """

    __slots__ = ("cursor", "exports", "failing", "graph", "key", "todo", "waiting")

    def __init__(
        self,
        graph: Graph | Part,
        values: Any,
        entity: Entity[..., Any] | None,
        parent: Frame | None,
        slot: int,
        todo: Sequence[Node] | None = None,
        exports: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(entity, parent, slot, values)
        self.graph = graph
        self.todo: Sequence[Node] = graph.nodes if todo is None else todo  # type: ignore[union-attr]
        self.cursor = 0
        self.waiting: list[Node] = []
        self.exports = exports
        self.key: str | None = None
        self.failing: Failed | None = None

    @property
    def holds_run(self) -> bool:
        return isinstance(self.graph, Root)

    @property
    def catches(self) -> bool:
        return self.entity is not None and self.entity.keep_going and self.failing is None

    @property
    def handler(self) -> Node | None:
        return None if self.entity is None or self.exports is not None else self.entity.handler

    def domain_of(self, slot: int) -> tuple[str, ...]:
        if self.failing is None and (self.catches or self.entity is None or self.entity.handler is None):
            return super().domain_of(slot)
        return self.scope.inner_domain("body" if self.failing is None else "handler", len(self.scope.address) + 1)

    def reach(self, slot: int) -> int:
        if slot < 0:
            return super().reach(slot)
        # Whoever means all calls of a name means each of them.
        label = self.label(slot)
        return len(self.scope.join(label.rpartition("[")[0] if label.endswith("]") else label))

    def fail(self, error: BaseException, handler: Node) -> None:
        """Give up what is left, but for what is to be executed once the frame has failed."""
        self.failing = Failed(error)
        self.todo, self.cursor, self.waiting, self.outstanding = [handler.told(error, _address(error))], 0, [], {}
        known: dict[int, Any] = dict(enumerate(self.values)) if isinstance(self.values, list) else self.values
        self.values = {**known, handler.slot: MISSING}

    def label(self, slot: int) -> str:
        if self.entity is not None and self.entity.handler is not None and slot == self.entity.handler.slot:
            return "on_failure"
        return self.graph.label(slot)

    def place(self, slot: int) -> int:
        places = self.graph.places
        return slot if places is None or slot < 0 else places[slot]

    def slot_at(self, place: int) -> int:
        """Return the slot of the node that a place tells from the others.

        Raises
        ------
        LookupError
            When there is no such node here.
        """
        places = self.graph.places
        if places is None or place < 0:
            return place
        for slot, one in places.items():
            if one == place:
                return slot
        raise LookupError(place)

    @property
    def left(self) -> int:
        return len(self.todo) - self.cursor

    def with_values(self, values: dict[int, Any], todo: Sequence[Node]) -> GraphFrame:
        """Return the same frame with other values, and nodes that need those."""
        copy = GraphFrame(self.graph, values, self.entity, None, self.slot, todo, self.exports)
        copy.scope, copy.outstanding, copy.key, copy.failing = self.scope, self.outstanding, self.key, self.failing
        copy.mark = self.mark
        return copy

    def part(self, nodes: Sequence[Node], exports: tuple[int, ...] | None, inner: int | None = None) -> GraphFrame:
        """Return a frame with only some of the nodes, and the values that they need; it gives the exports, or the output.

        The slot of a frame that goes on top of it keeps its name.
        """
        values = {slot: self.values[slot] for node in nodes for slot in node.deps}
        for slot in self.graph.output_slots if exports is None else exports:
            values[slot] = self.values[slot]
        if exports is None:
            values.update(self._beside())
        for node in nodes:
            values[node.slot] = MISSING
        labels = {node.slot: self.label(node.slot) for node in nodes}
        if inner is not None:
            labels[inner] = self.label(inner)
        kind = Root if isinstance(self.graph, Root) else Part
        graph = kind(labels, self.graph.output, self.graph.output_slots) if exports is None else kind(labels)
        if self.graph.places is not None:
            graph.places = {slot: self.graph.places[slot] for slot in (*labels, *values) if slot in self.graph.places}
        part = GraphFrame(graph, values, self.entity, None, self.slot, nodes, exports)
        part.scope, part.key = self.traced(), self.key if exports is None else None
        part.failing, part.mark = self.failing, self.mark if exports is None else None
        return part

    def _beside(self) -> dict[int, Any]:
        """Return values that the frame's end needs beside its output: failures to be told, and what its handler is given."""
        kept = dict.fromkeys(self.handler.deps) if self.handler is not None else {}
        if self.catches:
            slots = self.values.items() if isinstance(self.values, dict) else enumerate(self.values)
            kept.update((slot, None) for slot, value in slots if type(value) in (External, Failed))
        return {slot: self.values[slot] for slot in kept}

    def resumed(self, current: bool, inner: int | None = None) -> GraphFrame:
        todo = [*self.waiting, *self.todo[self.cursor - current :]]
        copy = self.part(todo, self.exports, inner)
        copy.outstanding = self.outstanding
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        assert isinstance(self.graph, Part)
        rest = (self.exports, self.scope, tuple(self.outstanding), self.key, self.failing, self.mark)
        return _graph_frame, (self.graph, self.values, self.entity, self.slot, tuple(self.todo[self.cursor :]), *rest)


def drops_values(frame: GraphFrame) -> bool:
    """Tell whether values of a frame go when no node needs them any more; not while one that was passed over waits for others."""
    # A part may have its nodes in another order, and what is told of a failure, or to whoever handles one, may be any of them.
    return frame.exports is None and (frame.entity is None or not (frame.entity.keep_going or frame.entity.handler is not None))


class MapFrame(Frame):
    """The frame of a map, or of a range of its items.

    Attributes
    ----------
    lists, shared : dict
        The inputs that are taken item by item, by index, and those that are the same for all.
    offset : int
        The index of the first item here in the whole map.
    cursor, end : int
        The items from `cursor` to before `end` have not been started; both count from the first item here.
    exports : bool
        Whether it is a range of the items, whose results are given as a tuple, and not the whole map.
    away : list of Away
        The results that other units give; they are missing among the values.
    cache : CacheOptions or None
        How the items' results are cached, if they are.
    allowed : int or None
        How many of the whole map's items may fail; ``None`` where none may, and the first failure is the map's.
    failures : int
        How many have failed here.
    options : TaskOptions or None
        How attempts of the items run.
    """

    __slots__ = ("allowed", "away", "cache", "cursor", "end", "exports", "failures", "lists", "offset", "options", "shared")

    def __init__(
        self,
        entity: Entity[..., Any],
        parent: Frame | None,
        slot: int,
        length: int,
        lists: dict[str, Any],
        shared: dict[str, Any],
        offset: int = 0,
        exports: bool = False,
    ) -> None:
        super().__init__(entity, parent, slot, [MISSING] * length)
        self.exports = exports
        self.lists = lists
        self.shared = shared
        self.offset = offset
        self.cursor = 0
        self.end = length
        self.away: list[Away] = []
        self.cache: CacheOptions | None = None
        self.allowed: int | None = None
        self.failures = 0
        self.options: TaskOptions | None = None

    @property
    def catches(self) -> bool:
        return self.allowed is not None

    def label(self, slot: int) -> str:
        return f"[{self.place(slot)}]"

    def item(self, slot: int) -> int | None:
        return self.place(slot) if slot >= 0 else self.scope.item

    def level(self) -> Level | None:
        return super().level() if self.parent is not None and self.parent.holds_run else None

    def inputs(self, item: int) -> dict[str, Any]:
        """Return the inputs of an item; of the whole map where it is negative."""
        own = self.lists if item < 0 else {name: items[item] for name, items in self.lists.items()}
        return {**own, **self.shared}

    def place(self, slot: int) -> int:
        return slot + self.offset

    @property
    def left(self) -> int:
        return self.end - self.cursor

    def part(self, start: int, stop: int) -> MapFrame:
        """Return a frame with only the items from `start` to before `stop`, which gives their results as a tuple."""
        assert self.entity is not None
        lists = {name: _cut(items, start, stop) for name, items in self.lists.items()}
        part = MapFrame(self.entity, None, self.slot, stop - start, lists, self.shared, self.offset + start, exports=True)
        part.scope, part.cache, part.options, part.allowed = self.traced(), self.cache, self.options, self.allowed
        return part

    def resumed(self, current: bool, inner: int | None = None) -> MapFrame:
        assert self.entity is not None
        copy = MapFrame(self.entity, None, self.slot, 0, {}, self.shared, self.offset, self.exports)
        copy.values, copy.outstanding, copy.scope = self.values, self.outstanding, self.traced()
        copy.cursor, copy.end, copy.away = self.cursor - current, self.end, self.away
        copy.cache, copy.options, copy.allowed, copy.failures = self.cache, self.options, self.allowed, self.failures
        left = range(copy.cursor, copy.end)
        copy.lists = {name: {item: items[item] for item in left} for name, items in self.lists.items()}
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        away = [tuple(one) for one in self.away]
        rest = (self.offset, self.cursor, self.end, self.exports, self.scope, tuple(self.outstanding), away, self.cache)
        rest = (*rest, self.options, self.allowed, self.failures)  # type: ignore[assignment]
        return _map_frame, (self.entity, self.slot, _packed(self.values), self.lists, self.shared, *rest)


def _address(error: BaseException) -> str:
    where = where_of(error)
    return where.address if where is not None else ""


def _cut(items: Any, start: int, stop: int) -> list[Any]:
    return items[start:stop] if isinstance(items, list) else [items[item] for item in range(start, stop)]


def _graph_frame(
    graph: Part,
    values: dict[int, Any],
    entity: Any,
    slot: int,
    todo: Sequence[Node],
    exports: tuple[int, ...] | None,
    scope: Scope,
    outstanding: Sequence[str],
    key: str | None,
    failing: Failed | None,
    mark: Mark | None,
) -> GraphFrame:
    frame = GraphFrame(graph, values, entity, None, slot, todo, exports)
    frame.scope, frame.key, frame.failing, frame.mark = scope, key, failing, mark
    frame.outstanding = dict.fromkeys(outstanding)
    return frame


def _map_frame(
    entity: Any,
    slot: int,
    values: tuple[list[Any], int],
    lists: dict[str, Any],
    shared: dict[str, Any],
    offset: int,
    cursor: int,
    end: int,
    exports: bool,
    scope: Scope,
    outstanding: Sequence[str],
    away: Sequence[tuple[int, int, str, int]],
    cache: CacheOptions | None,
    options: TaskOptions | None,
    allowed: int | None,
    failures: int,
) -> MapFrame:
    frame = MapFrame(entity, None, slot, 0, lists, shared, offset, exports)
    there, missing = values
    frame.values = [*there, *[MISSING] * missing]
    frame.cursor, frame.end, frame.scope = cursor, end, scope
    frame.away = [Away(*one) for one in away]
    frame.cache, frame.options, frame.allowed, frame.failures = cache, options, allowed, failures
    frame.outstanding = dict.fromkeys(outstanding)
    return frame


def _packed(values: list[Any]) -> tuple[list[Any], int]:
    """Write a map's values without those missing at their end, which are only counted."""
    stop = len(values)
    while stop and values[stop - 1] is MISSING:
        stop -= 1
    return values[:stop], len(values) - stop
