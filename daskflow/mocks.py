"""Mocks of entities, for tests: :func:`mock`, and :func:`task_mock` and :func:`patch` as Flyte has them.

Which mocks there are is the process' own, as it is for :mod:`unittest.mock`; each run takes along those that there are when it begins.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from daskflow import context
from daskflow.doubles import UNSET, Double
from daskflow.entity import Entity
from daskflow.errors import MockError, OptionError, UnusedMock
from daskflow.probe import Call, Event, Probe, Recording, read

P = ParamSpec("P")
T = TypeVar("T")


class Tape(Protocol):
    """What has runs noted.

    Attributes
    ----------
    values : bool
        Whether the values of nodes are.
    """

    values: bool

    def begin(self, story: Story) -> None:
        """Take up a run that begins."""
        ...


_numbers = itertools.count()
_lock = threading.RLock()
#: Those that are active, the innermost last.
_mocks: list[Mock] = []
_tapes: list[Tape] = []


def _changed() -> None:
    context.mocks = _begun if _mocks or _tapes else None


def _begun(entity: Entity[..., Any]) -> _RunProbe:
    with _lock:
        return _RunProbe(entity, tuple(reversed(_mocks)), tuple(_tapes))


def begin_tape(tape: Tape) -> None:
    """Have every run that begins from now on noted by a tape."""
    with _lock:
        _tapes.append(tape)
        _changed()


def end_tape(tape: Tape) -> None:
    """Have runs that begin from now on noted no longer."""
    with _lock:
        _tapes.remove(tape)
        _changed()


class _RunProbe(Probe):
    """The probe of a run that begins in this process."""

    def __init__(self, entity: Entity[..., Any], mocks: tuple[Mock, ...], tapes: tuple[Tape, ...]) -> None:
        recording = Recording(any(tape.values for tape in tapes)) if tapes else None
        super().__init__([mock._double for mock in mocks], recording, entity)
        self._mocks = {mock._double.number: mock for mock in mocks}
        self.called = self._tell
        self._story = Story(entity.short_name, self.events, self._tell)
        for tape in tapes:
            tape.begin(self._story)

    def _tell(self, call: Call) -> None:
        self._mocks[call.number]._noted.append(call)

    def follow(self, run: Any) -> None:
        """Have what units note of a run on a cluster come to the mocks and records."""
        self._story.run = run
        for mock in self._mocks.values():
            mock._stories.append(self._story)


class Story:
    """What is noted of one run.

    Attributes
    ----------
    name : str
        What is run.
    run : Run or None
        Of a run on a cluster, its handle, until it has ended and what units noted is here.
    """

    def __init__(self, name: str, events: deque[Event], tell: Callable[[Call], None]) -> None:
        self.name = name
        self.run: Any = None
        self._events = events
        self._tell = tell

    @property
    def events(self) -> list[Event]:
        """What happened to nodes, as far as it is here."""
        self.collect()
        return list(self._events)

    def collect(self) -> bool:
        """Take up what units noted, once the run has ended; tell whether all is here."""
        run = self.run
        if run is None:
            return True
        if run._ended is None or run._family is None:
            return False
        self.run = None
        for noted in run._family.probed:
            calls, events = read(noted)
            for call in calls:
                self._tell(call)
            self._events.extend(events)
        return True


class MockCall(dict[str, Any]):
    """The inputs of one call that a mock answered, by name.

    Attributes
    ----------
    path : str
        The node that was called; empty for what a run was started with.
    """

    def __init__(self, inputs: Mapping[str, Any], path: str) -> None:
        super().__init__(inputs)
        self.path = path


class Mock:
    """Stands for an entity while it is active. Made by :func:`mock` and :func:`task_mock`.

    It is a context manager, and decorates tests. Beside what is listed here it has the assertions of :class:`unittest.mock.Mock`, such as
    ``assert_called_once_with(a=1)``; inputs are given by name.
    """

    def __init__(self, entity: Entity[..., Any], *, at: str | None, strict: bool, unused_ok: bool) -> None:
        self._double = Double(_entity(entity), next(_numbers), at, _flag("strict", strict, entity))
        self._unused_ok = _flag("unused_ok", unused_ok, entity)
        self._noted: list[Call] = []
        self._stories: list[Story] = []

    @property
    def return_value(self) -> Any:
        """What every call gives; it may be set anew, and is checked against the entity's outputs then."""
        return self._double.return_value

    @return_value.setter
    def return_value(self, value: Any) -> None:
        self._double.return_value = value

    @property
    def side_effect(self) -> Any:
        """What every call does: a function of the inputs, an exception to raise, or a list, one for each call."""
        return self._double.side_effect

    @side_effect.setter
    def side_effect(self, effect: Any) -> None:
        self._double.side_effect = effect

    @property
    def calls(self) -> list[MockCall]:
        """The inputs of each call, in the order of time; of runs on a cluster once they have ended."""
        self._is_complete()
        return [MockCall(call.inputs, call.path) for call in sorted(self._noted, key=lambda call: call.when)]

    @property
    def call_count(self) -> int:
        """How many calls it answered."""
        self._is_complete()
        return len(self._noted)

    @property
    def called(self) -> bool:
        """Whether it answered any call."""
        return self.call_count > 0

    def _is_complete(self) -> bool:
        # All of them, since one that is behind must not hide those that are not.
        return not [story for story in self._stories if not story.collect()]

    def __enter__(self) -> Self:
        with _lock:
            if self in _mocks:
                raise MockError(f"{self!r} is active already; make another one with mock(...)")
            self._noted, self._stories = [], []
            self._double.renewed()
            _mocks.append(self)
            _changed()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with _lock:
            _mocks.remove(self)
            _changed()
        if kind is not None or self._unused_ok or self.called:
            return
        # Of a run that goes on nobody can say yet.
        if self._is_complete():
            where = f" at {self._double.at!r}" if self._double.at is not None else ""
            raise UnusedMock(f"nothing called {self._double.entity_name}{where} while it was mocked; with unused_ok=True that is no error")

    def __call__(self, function: Callable[P, T]) -> Callable[P, T]:
        """Decorate a test: the mock is active while it runs."""
        decorated: Callable[P, T] = _decorated(function, self, given=False)
        return decorated

    def __getattr__(self, name: str) -> Any:
        if name.startswith("assert_") or name in ("call_args", "call_args_list", "mock_calls"):
            from unittest.mock import MagicMock

            replay = MagicMock(name=self._double.entity_name)
            for call in self.calls:
                replay(**call)
            return getattr(replay, name)
        raise AttributeError(f"{self!r} has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<mock of {self._double.entity_name}>"


def _entity(entity: Any) -> Entity[..., Any]:
    if not isinstance(entity, Entity):
        raise MockError(
            f"mock takes a task, workflow, dynamic, launch plan or map, not {entity!r}; for what is called inside a task use unittest.mock"
        )
    return entity


def _flag(name: str, value: Any, entity: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionError(f"{name} of the mock of {entity.name} must be bool; got {value!r}")
    return value


def mock(
    entity: Entity[..., Any],
    *,
    return_value: Any = UNSET,
    side_effect: Any = None,
    at: str | None = None,
    strict: bool = False,
    unused_ok: bool = False,
) -> Mock:
    """Let something else answer the engine's calls of an entity, in this process and in runs on clusters that begin meanwhile.

    Of mocks of one entity the innermost answers. A mocked node has nothing to do with the cache; and while anything is mocked, neither
    has a workflow, dynamic or launch plan, since the mock may have a part in its result.

    Parameters
    ----------
    entity
        A task, workflow, dynamic, launch plan or map; also what is mapped, where the mock answers for the items. Entities are told by
        kind and name; one map of a target is like another.
    return_value
        What each call gives. It is checked against the entity's outputs.
    side_effect
        In its place: a function that takes the inputs by name; an exception or its class, to be raised; or a list of values and
        exceptions, one for each call, which is for runs in this process only. What is to be given on a cluster travels by value.
    at : str, optional
        A pattern of the paths where it answers, as of :func:`daskflow.patterns.matches`: ``level1/level2[1]/**``.
    strict : bool
        Whether the entity may be executed for real elsewhere; with True that is a :class:`~daskflow.errors.RealCall`.
    unused_ok : bool
        Whether it is no error when nothing calls it.

    Returns
    -------
    Mock
        A context manager, and decorator of tests, with ``called``, ``call_count`` and ``calls``.

    Raises
    ------
    MockError, OptionError, OutputError
        When what is given does not fit.
    UnusedMock
        At the end of the block, when nothing called it; not while another exception passes, or a run that it is part of goes on.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def price(item: str) -> float:
    ...     raise OSError("no network")
    >>> @workflow
    ... def offer(item: str) -> float:
    ...     return price(item=item)
    >>> with mock(price, return_value=9.5) as m:
    ...     offer(item="tea")
    9.5
    >>> m.calls
    [{'item': 'tea'}]
    """
    made = Mock(entity, at=at, strict=strict, unused_ok=unused_ok)
    if return_value is not UNSET and side_effect is not None:
        raise OptionError(f"{made!r} has both return_value and side_effect; give one of them")
    if return_value is UNSET and side_effect is None and made.return_value is UNSET:
        raise OptionError(f"{made!r} has neither return_value nor side_effect; give one of them")
    if return_value is not UNSET:
        made.return_value = return_value
    made.side_effect = side_effect
    return made


def task_mock(entity: Entity[..., Any]) -> Mock:
    """Return a mock whose ``return_value`` or ``side_effect`` is set later, as that of Flyte's testing module; it may stay unused.

    A run on a cluster has what they were when it began.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def roll() -> int:
    ...     return 4
    >>> with task_mock(roll) as m:
    ...     m.return_value = 6
    ...     roll()
    6
    """
    return Mock(entity, at=None, strict=False, unused_ok=True)


def patch(entity: Entity[..., Any]) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorate a test that takes a :func:`task_mock` of an entity as its first argument, as that of Flyte's testing module.

    Of several decorators the lowest gives the first argument. Fixtures of pytest are given beside them.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def roll() -> int:
    ...     return 4
    >>> @patch(roll)
    ... def test_luck(rolled):
    ...     rolled.return_value = 6
    ...     assert roll() == 6
    >>> test_luck()
    """
    made = task_mock(entity)
    return lambda function: _decorated(function, made, given=True)


def _decorated(function: Any, mock: Mock, given: bool) -> Any:
    if isinstance(function, type):
        raise MockError(f"{mock!r} decorates a test function, not the class {function.__qualname__}")
    parameters = list(inspect.signature(function).parameters.values())
    first = 1 if parameters and parameters[0].name in ("self", "cls") else 0

    def arguments(args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*args[:first], mock, *args[first:]) if given else args

    replaced = (_async if inspect.iscoroutinefunction(function) else _sync)(function, mock, arguments)
    if given:
        del parameters[first]
        # What collects tests must not take the mock for a fixture.
        replaced.__signature__ = inspect.Signature(parameters)
    return replaced


def _sync(function: Any, mock: Mock, arguments: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Any:
    @functools.wraps(function)
    def replaced(*args: Any, **kwargs: Any) -> Any:
        with mock:
            return function(*arguments(args), **kwargs)

    return replaced


def _async(function: Any, mock: Mock, arguments: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> Any:
    @functools.wraps(function)
    async def replaced(*args: Any, **kwargs: Any) -> Any:
        with mock:
            return await function(*arguments(args), **kwargs)

    return replaced
