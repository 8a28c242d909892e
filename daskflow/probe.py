"""Probes: what stands between an executor and its nodes where tests look on: it lets doubles answer, and notes what happens.

An execution asks its probe, where it has one, what is to be executed in a node's place. In the place of what a double answers for,
and of a task whose beginning and end are noted, stands a task of the probe's own; so whatever the engine does for a task is done for
those as well. A probe travels with a run, as opaque bytes among its options; what it has noted comes back with the reports of units.
"""

from __future__ import annotations

import copy
import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow import shipping
from daskflow.doubles import Double
from daskflow.entity import LAUNCH_PLAN, MAP, TASK, Entity
from daskflow.errors import RealCall
from daskflow.frames import Frame, GraphFrame, MapFrame, Root
from daskflow.nodecache import effective_version
from daskflow.outcome import Failure
from daskflow.stacks import node_address
from daskflow.task import Task
from daskflow.types import shorten

if TYPE_CHECKING:
    from daskflow.execute import Execution

#: Inputs and values that take more bytes than this do not come back from workers.
_MOST_BYTES = 64 << 10


class Call(NamedTuple):
    """A call that a double answered.

    Attributes
    ----------
    number : int
        The double.
    when : float
        In seconds since the epoch.
    path : str
        The node.
    inputs : dict
        Its inputs; each is pickled where they travel.
    """

    number: int
    when: float
    path: str
    inputs: dict[str, Any]


class Event(NamedTuple):
    """Something that happened to a node.

    Attributes
    ----------
    path : str
        The node.
    kind : str
        What kind of entity it calls.
    what : str
        ``began``, ``ended``, ``mocked``, ``failed``, ``cached`` or ``skipped``.
    when : float
        In seconds since the epoch.
    detail
        The value of a node that ended, if it is kept, or the exception of one that failed; those are records where they have travelled.
    where : str
        The worker's address, where it was on a cluster.
    """

    path: str
    kind: str
    what: str
    when: float
    detail: Any = None
    where: str = ""


class Withheld:
    """Stands for a value that did not come back from a worker: it is large, or does not pickle."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<withheld: {self.text}>"


class Recording(NamedTuple):
    """What is noted of nodes.

    Attributes
    ----------
    values : bool
        Whether their values are.
    """

    values: bool = False


class Probe:
    """What one execution asks and tells.

    Parameters
    ----------
    doubles : sequence of Double
        What answers, the first that does.
    recording : Recording, optional
        What is noted of nodes; without it nothing is.
    root : Entity, optional
        What the run was started with: of a launch plan the workflow is what is executed.

    Attributes
    ----------
    calls : deque of Call
        Calls that doubles answered.
    events : deque of Event
        What happened to nodes.
    called
        Told of each call instead, if set.
    """

    def __init__(self, doubles: Sequence[Double], recording: Recording | None = None, root: Entity[..., Any] | None = None) -> None:
        self.doubles = tuple(doubles)
        self.recording = recording
        self.root = root if root is not None and root.kind == LAUNCH_PLAN else None
        self.calls: deque[Call] = deque()
        self.events: deque[Event] = deque()
        self.called: Callable[[Call], None] = self.calls.append
        self.where = ""
        self._path = ""
        self._kind_name = ""
        self._stubs: dict[tuple[int, int], Task[..., Any]] = {}
        self._versions: dict[int, tuple[Any, Any]] = {}
        self._told: BaseException | None = None
        self._travelled = False

    # ------------------------------------------------------------ what an execution asks and tells

    def before(self, execution: Execution, frame: Frame, slot: int, entity: Any, cache: Any) -> tuple[Any, Any]:
        """Return what is executed as a node, or item, and how its result is cached."""
        path = self._path = path_of(frame, slot, entity)
        self._kind_name = entity.kind_name
        double = self._double(frame, entity, path) if self.doubles else None
        if double is not None:
            return self._stub(entity, double), None
        if self.doubles and entity.kind not in (TASK, MAP):
            # What a double has a part in is nobody else's result.
            cache = None
        if self.recording is not None:
            if entity.kind == TASK:
                return self._stub(entity), self._versioned(execution, entity, cache)
            self._note(path, "began")
        return entity, cache

    def hit(self, frame: Frame, slot: int) -> None:
        """Note that a node's result came from the cache."""
        if self.recording is not None:
            self._note(path_at(frame, slot), "cached")

    def skipped(self, frame: Frame, slot: int) -> None:
        """Note that a node is not to be executed."""
        if self.recording is not None:
            self._note(path_at(frame, slot), "skipped")

    def ended(self, frame: Frame, result: Any) -> None:
        """Note that a body, or map, has its result; parts of one have none."""
        is_part = frame.exports if isinstance(frame, MapFrame) else getattr(frame, "exports", None) is not None
        if self.recording is not None and frame.entity is not None and not is_part:
            self._note(frame.scope.address, "ended", self._kept(result), frame.entity.kind_name)

    def failed(self, execution: Execution, error: BaseException) -> None:
        """Note that the node that an execution is at failed."""
        if self.recording is not None and error is not self._told:
            self._note(path_at(*execution.current), "failed", self._failure(error))

    # ------------------------------------------------------------ doubles

    def _double(self, frame: Frame, entity: Any, path: str) -> Double | None:
        is_root = isinstance(frame, GraphFrame) and isinstance(frame.graph, Root)
        for double in self.doubles:
            covers = double.covers(entity) or (is_root and self.root is not None and double.covers(self.root))
            if covers and (double.is_at(path) or double.strict):
                return double
        return None

    def _stub(self, entity: Any, double: Double | None = None) -> Task[..., Any]:
        """Return a task with the name and interface of an entity, which asks a double, or notes when it begins and ends."""
        mark = (id(entity), -1 if double is None else double.number)
        stub = self._stubs.get(mark)
        if stub is None:
            stub = self._stubs[mark] = copy.copy(entity) if entity.kind == TASK else Task(_nothing, {})
            stub.name, stub.short_name, stub.interface = entity.name, entity.short_name, entity.interface
            stub.fn = stub.body = _Stub(self, entity, double)
        return stub

    def answer(self, double: Double, inputs: dict[str, Any]) -> Any:
        """Let a double answer for the node that is executing."""
        path = self._path
        if not double.is_at(path):
            raise RealCall(f"{double.entity_name} was to be executed at {path!r}; its mock is strict, and answers at {double.at!r} only")
        # Of a launch plan that the run was started with, those of its workflow are more.
        inputs = {name: inputs[name] for name in double.inputs}
        given = {name: self._pickled(value) for name, value in inputs.items()} if self._travelled else dict(inputs)
        self.called(Call(double.number, time.time(), path, given))
        return double.answer(inputs)

    # ------------------------------------------------------------ notes

    def executed(self, function: Callable[[], Any], what: str) -> Any:
        """Call a function as the node that is executing; note when it begins and ends."""
        if self.recording is None:
            return function()
        path = self._path
        self._note(path, "began")
        try:
            value = function()
        except BaseException as error:
            self._told = error
            self._note(path, "failed", self._failure(error))
            raise
        self._note(path, what, self._kept(value))
        return value

    def _note(self, path: str, what: str, detail: Any = None, kind: str | None = None) -> None:
        if path:
            known = self._kind_name if path == self._path else ""
            self.events.append(Event(path, kind or known, what, time.time(), detail, self.where))

    def _kept(self, value: Any) -> Any:
        if self.recording is None or not self.recording.values:
            return None
        return self._pickled(value) if self._travelled else value

    def _failure(self, error: BaseException) -> Any:
        return tuple(Failure.of(error)) if self._travelled else error

    def _versioned(self, execution: Execution, entity: Any, cache: Any) -> Any:
        """Return how a task's result is cached, with the version that its own code makes, and not that of what stands in its place."""
        if cache is None or cache.version or execution.cache is None or not execution.cache.enabled:
            return cache
        known = self._versions.get(id(cache))
        if known is None:
            versioned = copy.copy(cache)
            versioned.version = effective_version(entity, cache)
            known = self._versions[id(cache)] = (cache, versioned)
        return known[1]

    # ------------------------------------------------------------ travelling

    def shipped(self) -> bytes:
        """Return the probe as it travels.

        Raises
        ------
        OptionError
            When a double means nothing where calls happen in several processes.
        """
        for double in self.doubles:
            double.check_travels()
        root = None if self.root is None else _Named(self.root.kind, self.root.name)
        return shipping.dumps_by_value((self.doubles, self.recording, root))

    @classmethod
    def arrived(cls, data: bytes, run: str, where: str) -> Probe:
        """Return a probe of a run, in a worker process; doubles of one run are the same objects in all of a process' units."""
        doubles, recording, root = _unpickled(run, data)
        probe = cls(doubles, recording, root)
        probe._travelled, probe.where = True, where
        return probe

    def take(self) -> bytes | None:
        """Return what was noted since the last time, for :func:`read`."""
        calls, events = _drained(self.calls), _drained(self.events)
        if not calls and not events:
            return None
        return shipping.dumps(([tuple(one) for one in calls], [tuple(one) for one in events]))

    def _pickled(self, value: Any) -> bytes:
        try:
            data = shipping.dumps(value)
        except Exception as error:
            return shipping.dumps(Withheld(f"{shorten(value)}, which does not pickle: {type(error).__name__}"))
        if len(data) <= _MOST_BYTES:
            return data
        return shipping.dumps(Withheld(f"{shorten(value)}, of {len(data)} bytes"))


class _Named(NamedTuple):
    """As much of an entity as a double looks at."""

    kind: int
    name: str


class _Stub:
    """What a stand-in's function is."""

    def __init__(self, probe: Probe, entity: Any, double: Double | None) -> None:
        self._probe = probe
        self._entity = entity
        self._double = double
        self.__name__ = entity.short_name
        # The cache names a script's function by its file.
        self.__code__ = getattr(getattr(entity, "fn", None), "__code__", None)

    def __call__(self, **inputs: Any) -> Any:
        probe, double = self._probe, self._double
        if double is None:
            return probe.executed(lambda: self._entity.body(**inputs), "ended")
        return probe.executed(lambda: probe.answer(double, inputs), "mocked")


def _nothing() -> None:
    pass


@functools.lru_cache(maxsize=16)
def _unpickled(run: str, data: bytes) -> Any:
    return shipping.loads(data)


def _drained(queue: deque[Any]) -> list[Any]:
    # Another thread may add to it meanwhile.
    taken = []
    while queue:
        taken.append(queue.popleft())
    return taken


def read(noted: bytes) -> tuple[list[Call], list[Event]]:
    """Return what a probe that has travelled noted; inputs are as they were."""
    calls, events = shipping.loads(noted)
    return [_call(*one) for one in calls], [_arrived(Event(*one)) for one in events]


def _call(number: int, when: float, path: str, inputs: dict[str, bytes]) -> Call:
    return Call(number, when, path, {name: shipping.loads(value) for name, value in inputs.items()})


def _arrived(event: Event) -> Event:
    if event.what == "failed":
        return event._replace(detail=Failure(*event.detail).exception())
    return event if event.detail is None else event._replace(detail=shipping.loads(event.detail))


def path_of(frame: Frame, slot: int, entity: Any) -> str:
    """Return the path of a node that calls an entity; of the call that a run begins with, unless that is a task or map, it is empty."""
    if isinstance(frame, GraphFrame) and isinstance(frame.graph, Root) and entity.kind not in (TASK, MAP):
        return ""
    return node_address(frame, slot)


def path_at(frame: Frame, slot: int) -> str:
    """Return the path of a node; of the frame itself where the slot is negative."""
    if slot >= 0 and isinstance(frame, GraphFrame) and isinstance(frame.graph, Root):
        return path_of(frame, slot, frame.todo[0].entity) if frame.todo else ""
    return node_address(frame, slot)
