"""Frames: the state of a graph that is being executed, as plain data on an explicit stack.

A frame knows the nodes that are left to do and the values so far. Nothing of it lives on Python's stack, so
depth costs memory only, and somebody else may take away what has not been started.

A value that another unit makes is an :class:`External` until it has come; a node that needs one waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from daskflow.admission import Pool
from daskflow.entity import LAUNCH_PLAN, MAP, Entity
from daskflow.graph import Graph, Node, Ref
from daskflow.options import DEFAULT_MAX_PARALLELISM


class External(NamedTuple):
    """A value that the unit `key` gives, as item `index` of its result."""

    key: str
    index: int


class Missing:
    """The only value of its class stands for "not computed yet"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = Missing()


def known(value: Any) -> bool:
    """Tell whether a slot holds its value."""
    return type(value) is not External and value is not MISSING


class Scope(NamedTuple):
    """Where a frame stands: what its addresses, keys and limits are made from.

    Attributes
    ----------
    run_id : str
        The run that the frame's nodes belong to.
    address : str
        The path of labels from the top-level run down to the frame; empty for the run's own body.
    digest : bytes
        Stands for the path in keys; the same whenever the same run is executed again.
    pool : Pool or None
        The innermost limit on the frame's nodes.
    set_pool : Pool or None
        The innermost limit that a user set: what child runs inherit.
    depth : int
        How many frames are above it; deeper units go first.
    """

    run_id: str
    address: str
    digest: bytes
    pool: Pool | None
    set_pool: Pool | None
    depth: int

    @classmethod
    def of_run(cls, run_id: str, max_parallelism: int | None) -> Scope:
        """Return the scope of a top-level run; no limit set means the default, and 0 none at all."""
        digest = _digest(b"", run_id)
        pool = set_pool = None
        if max_parallelism is None:
            pool = Pool(run_id, DEFAULT_MAX_PARALLELISM)
        elif max_parallelism:
            pool = set_pool = Pool(run_id, max_parallelism)
        return cls(run_id, "", digest, pool, set_pool, 0)

    def join(self, label: str) -> str:
        """Return the address of a node in the frame; a map's item follows the map's own label."""
        if not self.address or label.startswith("["):
            return f"{self.address}{label}"
        return f"{self.address}/{label}" if label else self.address

    def inner(self, label: str, part: object) -> Scope:
        """Return the scope of a sub-workflow's or dynamic's frame."""
        return Scope(
            self.run_id, self.join(label), _digest(self.digest, part), self.pool, self.set_pool, self.depth + 1
        )

    def child_run(self, label: str, part: object, limit: int | None) -> Scope:
        """Return the scope of a child run, whose own limit adds to those set above it."""
        digest = _digest(self.digest, part)
        run_id = f"{self.run_id.partition('.')[0]}.{digest.hex()[:10]}"
        pool = set_pool = self.set_pool
        if limit:
            pool = set_pool = Pool(run_id, limit, self.set_pool)
        elif limit is None and self.set_pool is None:
            pool = Pool(run_id, DEFAULT_MAX_PARALLELISM)
        return Scope(run_id, self.join(label), digest, pool, set_pool, self.depth + 1)

    def mapped(self, label: str, part: object, concurrency: int | None, over_runs: bool) -> Scope:
        """Return the scope of a map's items; `over_runs` says that each item is a child run."""
        inner = self.inner(label, part)
        if concurrency is None:
            return inner
        # A child run is not bound by the default limit of the run that starts it, only by limits that were set.
        pool = Pool(f"{self.run_id}/{inner.digest.hex()[:10]}", concurrency, self.set_pool if over_runs else self.pool)
        return inner._replace(pool=pool, set_pool=pool)

    def key_digest(self, *parts: object) -> str:
        """Return 32 hex digits for a unit of the frame's; the same parts give the same digits."""
        return _digest(self.digest, parts).hex()


def _digest(outer: bytes, part: object) -> bytes:
    return hashlib.blake2b(repr(part).encode(), key=outer, digest_size=16).digest()


class Frame:
    """A graph being executed: base of :class:`GraphFrame` and :class:`MapFrame`.

    Attributes
    ----------
    parent : Frame or None
        The frame that waits for this one's output.
    slot : int
        Where the output goes there.
    entity : Entity or None
        What the frame executes; ``None`` for the frame that holds only the call that started the run.
    values : list
        The slots.
    outstanding : dict of str
        The units that took nodes of this frame; its output must wait for them.
    done : int
        How many nodes it has finished.
    started : float
        When it was entered, in seconds of a monotonic clock.
    """

    __slots__ = ("_scope", "done", "entity", "outstanding", "parent", "slot", "started", "values")

    parent: Frame | None

    def __init__(self, entity: Entity[..., Any] | None, parent: Frame | None, slot: int, values: list[Any]) -> None:
        self.entity = entity
        self.parent = parent
        self.slot = slot
        self.values = values
        self.outstanding: dict[str, None] = {}
        self.done = 0
        self.started = 0.0
        self._scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        """Where the frame stands. Worked out when somebody asks, since most frames come and go unasked."""
        if self._scope is None:
            self._scope = self._make_scope()
        return self._scope

    @scope.setter
    def scope(self, scope: Scope) -> None:
        self._scope = scope

    def _make_scope(self) -> Scope:
        assert self.parent is not None and self.entity is not None
        outer, label = self.parent.scope, self.parent.label(self.slot)
        if self.parent.entity is None and self.entity.kind != MAP:
            label = ""
        if self.entity.kind == LAUNCH_PLAN:
            plan: Any = self.entity
            own = plan.max_parallelism if plan.max_parallelism is not None else plan.workflow.max_parallelism
            return outer.child_run(label, self.slot, own)
        if self.entity.kind == MAP:
            mapper: Any = self.entity
            return outer.mapped(label, self.slot, mapper.concurrency, mapper.target.kind == LAUNCH_PLAN)
        return outer.inner(label, self.slot)

    def label(self, slot: int) -> str:
        """Return the name of a node of the frame in addresses."""
        raise NotImplementedError


class GraphFrame(Frame):
    """The frame of a workflow's, dynamic's or launch plan's graph, or of a part of one.

    Attributes
    ----------
    graph : Graph
        The graph; of a part, the labels and the output may be all that is used.
    todo : sequence of Node
        What is left, in order.
    cursor : int
        How many of them have been started.
    waiting : list of Node
        Nodes passed over since a value that they need is made by another unit.
    exports : tuple of int, or None
        The slots whose values are the frame's result, for a part; ``None`` for the output of the graph.
    """

    __slots__ = ("cursor", "exports", "graph", "todo", "waiting")

    def __init__(
        self,
        graph: Graph,
        values: list[Any],
        entity: Entity[..., Any] | None,
        parent: Frame | None,
        slot: int,
        todo: Sequence[Node] | None = None,
        exports: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(entity, parent, slot, values)
        self.graph = graph
        self.todo: Sequence[Node] = graph.nodes if todo is None else todo
        self.cursor = 0
        self.waiting: list[Node] = []
        self.exports = exports

    def label(self, slot: int) -> str:
        return self.graph.label(slot)

    @property
    def left(self) -> int:
        """How many nodes have not been started."""
        return len(self.todo) - self.cursor


class MapFrame(Frame):
    """The frame of a map, or of a range of its items.

    Attributes
    ----------
    lists, shared : dict
        The inputs that are taken item by item, and those that are the same for all.
    offset : int
        The index of the first item here in the whole map.
    cursor, end : int
        The items from `cursor` to before `end` have not been started; both count from the first item here.
    """

    __slots__ = ("cursor", "end", "lists", "map_label", "offset", "shared")

    def __init__(
        self,
        entity: Entity[..., Any],
        parent: Frame | None,
        slot: int,
        length: int,
        lists: dict[str, list[Any]],
        shared: dict[str, Any],
        offset: int = 0,
    ) -> None:
        super().__init__(entity, parent, slot, [MISSING] * length)
        self.lists = lists
        self.shared = shared
        self.offset = offset
        self.cursor = 0
        self.end = length

    def label(self, slot: int) -> str:
        return f"[{slot + self.offset}]"

    @property
    def left(self) -> int:
        """How many items have not been started."""
        return self.end - self.cursor


def root_frame(entity: Entity[..., Any], inputs: dict[str, Any], scope: Scope) -> GraphFrame:
    """Return the frame that holds only the call of an entity with its inputs."""
    frame = GraphFrame(Graph(0, [Node(0, entity, inputs)], Ref(0, ())), [MISSING], None, None, 0)
    frame.scope = scope
    return frame
