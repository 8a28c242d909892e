"""What all frames have in common, and what stands in their slots for values that are not there."""

from __future__ import annotations

from typing import Any, NamedTuple

from daskflow.entity import LAUNCH_PLAN, MAP, WORKFLOW, Entity
from daskflow.failed import Failed
from daskflow.graph import Node
from daskflow.levels import Level, bounded, level_of
from daskflow.scope import Scope


class External(NamedTuple):
    """A value that the unit `key` gives, as one item of its result."""

    key: str
    item: int


class Away(NamedTuple):
    """The results of a map's items from `start` to before `stop`, which the unit `key` gives, as items of its result from `item` on."""

    start: int
    stop: int
    key: str
    item: int


class Mark(NamedTuple):
    """What a node's output is kept by, for another run.

    Attributes
    ----------
    address : str
        Where the node is in its run.
    key : str
        Of its code and its inputs, as the cache's keys are.
    version : str
        Of its code.
    """

    address: str
    key: str
    version: str


class Missing:
    """The only value of its class stands for "not computed yet"."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Dropped:
    """The only value of its class stands for one that was there and is needed no more."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "DROPPED"

    def __reduce__(self) -> str:
        return "DROPPED"


DROPPED = Dropped()


def known(value: Any) -> bool:
    """Tell whether a slot holds its value."""
    return type(value) is not External and value is not MISSING


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
    values : list or dict
        The slots; of a part, only those that it needs.
    outstanding : dict of str
        The units that took nodes of this frame; its output must wait for them.
    done : int
        How many nodes it has finished.
    started : float
        When it was entered, in seconds of a monotonic clock.
    keys : dict or None
        The cache's keys of nodes that were looked up ahead; they do not travel.
    failed : Failed or None
        What has arrived in the place of a result that the frame cannot do without.
    given : dict or None
        The inputs of what it executes, by name; they do not travel by themselves.
    mark : Mark or None
        What its output is kept by for another run, where it was entered elsewhere.
    """

    __slots__ = ("_scope", "done", "entity", "failed", "given", "keys", "mark", "outstanding", "parent", "slot", "started", "values")

    parent: Frame | None

    def __init__(self, entity: Entity[..., Any] | None, parent: Frame | None, slot: int, values: Any) -> None:
        self.entity = entity
        self.parent = parent
        self.slot = slot
        self.values = values
        self.outstanding: dict[str, None] = {}
        self.done = 0
        self.started = 0.0
        self.keys: dict[int, str] | None = None
        self.failed: Failed | None = None
        self.given: dict[str, Any] | None = None
        self.mark: Mark | None = None
        self._scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        """Where the frame stands. Worked out when somebody asks, since most frames come and go unasked."""
        if self._scope is None:
            # Frames may be nested more deeply than Python's own: those above come first.
            unknown: list[Frame] = [self]
            while (above := unknown[-1].parent) is not None and above._scope is None:
                unknown.append(above)
            for frame in reversed(unknown):
                frame._scope = frame._make_scope()
        return self._scope  # type: ignore[return-value]

    @scope.setter
    def scope(self, scope: Scope) -> None:
        self._scope = scope

    def traced(self) -> Scope:
        """Return where the frame stands, with the levels above it told: for what leaves this stack. They are told once."""
        unknown, at = [], self
        while not at.scope.trail:
            unknown.append(at)
            if at.parent is None:
                break
            at = at.parent
        trail = at.scope.trail
        for frame in reversed(unknown):
            level = frame.level()
            if level is not None:
                trail = bounded((*trail, level))
            frame._scope = frame.scope._replace(trail=trail)
        return self.scope

    def level(self) -> Level | None:
        """Return what the frame executes as a level; None where that is none, as with maps, whose items are."""
        return None if self.entity is None else level_of(self.entity, self.scope.address, self.given)

    def item(self, slot: int) -> int | None:
        """Return a node's index in the innermost map that it is in, if it is in one."""
        return self.scope.item

    def place(self, slot: int) -> int:
        """Return what tells a node from the others of the whole graph or map, however that was cut."""
        return slot

    @property
    def holds_run(self) -> bool:
        """Whether it holds only the call that a run begins with."""
        return False

    @property
    def catches(self) -> bool:
        """Whether a node, or item, may fail while the others go on."""
        return False

    @property
    def handler(self) -> Node | None:
        """What is to be executed once the frame has failed."""
        return None

    def domain_of(self, slot: int) -> tuple[str, ...]:
        """Return what fails with a node, or item, of the frame; with the frame's own result where the slot is negative."""
        return self.scope.inner_domain(self.place(slot), self.reach(slot)) if self.catches else self.scope.domain

    def reach(self, slot: int) -> int:
        """Return how long an address must be at least for its failure to be that of a node, or item, of the frame alone."""
        return len(self.scope.join(self.label(slot))) if slot >= 0 else len(self.scope.address) + 1

    def _make_scope(self) -> Scope:
        assert self.parent is not None
        assert self.entity is not None
        place = self.parent.place(self.slot)
        outer, label = self.parent.scope, self.parent.label(self.slot)
        outer = outer._replace(item=self.parent.item(self.slot), domain=self.parent.domain_of(self.slot))
        is_run = self.parent.holds_run
        if self.entity.kind != MAP and is_run:
            label = ""
        if self.entity.kind == LAUNCH_PLAN:
            plan: Any = self.entity
            own = plan.max_parallelism if plan.max_parallelism is not None else plan.workflow.max_parallelism
            return outer.in_plan(plan).child_run(label, place, own, plan.overwrite_cache)
        if self.entity.kind == MAP:
            mapper: Any = self.entity
            return outer.mapped(label, place, mapper.concurrency, mapper.target.kind == LAUNCH_PLAN)
        if self.entity.kind == WORKFLOW and not is_run:
            flow: Any = self.entity
            return outer.sub_workflow(label, place, flow.max_parallelism)
        return outer.inner(label, place)

    @property
    def left(self) -> int:
        """How many nodes, or items, have not been started."""
        raise NotImplementedError

    def label(self, slot: int) -> str:
        """Return the name of a node of the frame in addresses."""
        raise NotImplementedError

    def resumed(self, current: bool, inner: int | None = None) -> Frame:
        """Return a frame that goes on from here, in another process.

        Parameters
        ----------
        current
            Whether the node that was started last is to be executed once more.
        inner
            The slot of the frame above, if there is one.
        """
        raise NotImplementedError


class Part:
    """What a part of a graph keeps of the whole: the names of its nodes, and the output where the part is to give it."""

    __slots__ = ("_labels", "output", "output_slots", "places")

    def __init__(
        self,
        labels: dict[int, str],
        output: Any = None,
        output_slots: tuple[int, ...] = (),
        places: dict[int, int] | None = None,
    ) -> None:
        self._labels = labels
        self.output = output
        self.output_slots = output_slots
        #: What tells a node from the others, where that is not its slot.
        self.places = places

    def add(self, slot: int, label: str, place: int) -> None:
        """Add a node of a graph that is being made."""
        assert self.places is not None
        self._labels[slot], self.places[slot] = label, place

    def label(self, slot: int) -> str:
        """Return the name of a node in addresses."""
        return self._labels.get(slot, f"({slot})")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._labels, self.output, self.output_slots, self.places)


class Root(Part):
    """The part that holds only the call that a run begins with, which does not show in addresses: it is the run."""

    __slots__ = ()
