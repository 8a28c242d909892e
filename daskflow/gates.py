"""Gates: where a run waits for time to pass, or for somebody to answer. No thread, slot or unit is held meanwhile.

On a cluster an answer comes through the run's handle or the command line. In process there is whoever is at the terminal, or
what :func:`answers` says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from daskflow import context
from daskflow.answering import ask, checked_answer, somebody_is_here
from daskflow.entity import GATE, Entity
from daskflow.errors import DefinitionError, Disapproved, GateTimeout, GraphError, OptionError
from daskflow.interface import Interface, Outputs, Parameter
from daskflow.overrides import check_name
from daskflow.promise import Promise
from daskflow.shipping import dumps, dumps_whole, loads
from daskflow.taskcontext import Place
from daskflow.terms import Gate, Terms
from daskflow.types import Checker, describe, shorten

T = TypeVar("T")


class GateEntity(Entity[..., Any]):
    """A call that waits. Made by :func:`sleep`, :func:`wait_for_input` and :func:`approve`."""

    kind = GATE
    kind_name = "gate"
    may_cache = False

    def __init__(self, name: str, parameters: dict[str, Any], annotation: Any, timeout: float | None) -> None:
        self.name = self.short_name = name
        self.timeout = timeout
        self.interface = Interface(name, {one: Parameter(one, kind) for one, kind in parameters.items()}, Outputs(annotation))

    def terms(self, inputs: dict[str, Any], address: str) -> Terms:
        """Return what must happen before the call has its value."""
        raise NotImplementedError

    def answered(self, inputs: dict[str, Any], answer: bytes | None) -> Any:
        """Return the value once that has happened."""
        raise NotImplementedError

    def passed(self, inputs: dict[str, Any], place: Place) -> Any:
        """Wait here and now; return the value."""
        terms = self.terms(inputs, place.address)
        assert terms.gate is not None
        gate = terms.gate
        return self.answered(inputs, dumps(checked_answer(gate, _ask(gate, place))))


class _Sleep(GateEntity):
    def __init__(self) -> None:
        super().__init__("sleep", {"duration": timedelta}, None, None)

    def terms(self, inputs: dict[str, Any], address: str) -> Terms:
        # A unit that is there at once is no unit that waited.
        return Terms(delay=max(inputs["duration"].total_seconds(), 1e-9))

    def answered(self, inputs: dict[str, Any], answer: bytes | None) -> Any:
        return None

    def passed(self, inputs: dict[str, Any], place: Place) -> Any:
        ended = threading.Event()
        left = inputs["duration"].total_seconds()
        while left > 0 and place.cancelled() is None:
            ended.wait(min(left, 0.1))
            left -= 0.1


class _Input(GateEntity):
    def __init__(self, name: str, annotation: Any, timeout: float | None) -> None:
        super().__init__(name, {}, annotation, timeout)

    def terms(self, inputs: dict[str, Any], address: str) -> Terms:
        annotation = self.interface.outputs.annotation
        return Terms(gate=Gate(self.name, address, "input", describe(annotation), dumps_whole(Checker(annotation)), self.timeout))

    def answered(self, inputs: dict[str, Any], answer: bytes | None) -> Any:
        assert answer is not None
        return loads(answer)


class _Approval(GateEntity):
    def __init__(self, name: str, annotation: Any, timeout: float | None) -> None:
        super().__init__(name, {"item": annotation}, annotation, timeout)

    def terms(self, inputs: dict[str, Any], address: str) -> Terms:
        return Terms(gate=Gate(self.name, address, "approval", shorten(inputs["item"]), dumps_whole(Checker(bool)), self.timeout))

    def answered(self, inputs: dict[str, Any], answer: bytes | None) -> Any:
        assert answer is not None
        if not loads(answer):
            raise Disapproved(f"{shorten(inputs['item'])} was not approved at the gate {self.name!r}")
        return inputs["item"]


# ---------------------------------------------------------------- in process

_given = threading.local()


@contextmanager
def answers(given: Mapping[str, Any] | Callable[[Gate], Any]) -> Iterator[None]:
    """Answer gates of runs in process that this thread starts meanwhile.

    Parameters
    ----------
    given
        Answers by the gates' names or addresses, ``True`` or ``False`` where something is to be approved; or what is asked for each.

    Examples
    --------
    >>> from daskflow import workflow
    >>> @workflow
    ... def asks() -> int:
    ...     return wait_for_input("number", expected_type=int)
    >>> with answers({"number": 3}):
    ...     asks()
    3
    """
    outer = getattr(_given, "answers", None)
    _given.answers = given
    try:
        yield
    finally:
        _given.answers = outer


def _ask(gate: Gate, place: Place) -> Any:
    given: Any = getattr(_given, "answers", None)
    if callable(given):
        return given(gate)
    named: Mapping[str, Any] = given or {}
    for name in (gate.address, gate.name):
        if name in named:
            return named[name]
    if not somebody_is_here():
        raise _nobody(gate)
    ends = float("inf") if gate.timeout is None else time.monotonic() + gate.timeout
    try:
        return ask(gate, lambda: time.monotonic() < ends and place.cancelled() is None)
    except EOFError:
        raise _nobody(gate) from None
    except TimeoutError:
        raise place.cancelled() or GateTimeout(f"nobody answered the gate {gate.name!r} within {gate.timeout:g} s") from None


def _nobody(gate: Gate) -> GateTimeout:
    return GateTimeout(
        f"nobody is here to answer the gate {gate.name!r} ({gate.kind}: {gate.text}); run it on a cluster, or in process "
        f"with daskflow.answers({{{gate.name!r}: ...}})"
    )


# ---------------------------------------------------------------- for authors


def sleep(duration: timedelta | Any) -> Any:
    """Let time pass in a workflow or dynamic: what is ordered after it, with ``>>``, starts no sooner.

    Parameters
    ----------
    duration : timedelta
        How long; may be a promise.

    Raises
    ------
    GraphError
        Outside a workflow's or dynamic's body.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def late() -> int:
    ...     return 1
    >>> @workflow
    ... def waits() -> int:
    ...     pause, then = sleep(timedelta(milliseconds=1)), late()
    ...     pause >> then
    ...     return then
    >>> waits()
    1
    """
    return _builder("sleep").add(_Sleep(), {"duration": duration})


def wait_for_input(name: str, timeout: timedelta | float | None = timedelta(hours=1), expected_type: type[T] | Any = str) -> T:
    """Wait in a workflow or dynamic for a value that somebody gives; return its promise.

    Parameters
    ----------
    name : str
        What the gate is called.
    timeout : timedelta or float, optional
        How long, in seconds where it is a number; ``None`` for ever. As in Flyte it is an hour if nothing is said. It counts from
        when the gate is reached.
    expected_type
        What the value must be.

    Raises
    ------
    GraphError
        Outside a workflow's or dynamic's body.
    OptionError
        When the name or timeout is none.
    DefinitionError
        When the type cannot be used.
    """
    try:
        entity = _Input(_name(name), expected_type, _seconds(name, timeout))
    except TypeError as error:
        raise DefinitionError(f"the expected_type of gate {name!r} cannot be used: {error}") from None
    made: Any = _builder("wait_for_input").add(entity, {})
    return made  # type: ignore[no-any-return]


def approve(upstream_item: T, name: str, timeout: timedelta | float | None = timedelta(hours=1)) -> T:
    """Wait in a workflow or dynamic until somebody approves a value; return its promise.

    Parameters
    ----------
    upstream_item
        The promise of what is to be approved, or a value.
    name : str
        What the gate is called.
    timeout : timedelta or float, optional
        As for :func:`wait_for_input`.

    Raises
    ------
    GraphError, OptionError
        As for :func:`wait_for_input`.

    Notes
    -----
    If somebody says no, the node fails with :class:`~daskflow.errors.Disapproved`.
    """
    builder = _builder("approve")
    item: Any = getattr(upstream_item, "_promise", upstream_item)
    annotation = item._annotation if isinstance(item, Promise) else type(item)
    made: Any = builder.add(_Approval(_name(name), annotation, _seconds(name, timeout)), {"item": item})
    return made  # type: ignore[no-any-return]


def _builder(what: str) -> Any:
    if context.state.builder is None:
        raise GraphError(f"{what} outside a @workflow's or @dynamic's body; there is no run that could wait")
    return context.state.builder


def _name(name: Any) -> str:
    check_name(name, "the name of a gate")
    return str(name)


def _seconds(name: str, timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise OptionError(f"timeout of gate {name!r} must be a timedelta, or seconds above 0; got {timeout!r}")
    return float(seconds)
