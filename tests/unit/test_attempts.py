"""Attempts: when another one is made, after how long, and what the last one's error says."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskflow as fl
from daskflow.attemptpolicy import RECOVERABLE
from daskflow.attempts import after, one_attempt, run_attempts
from daskflow.errors import ProcessDied, RunCancelled
from daskflow.taskcontext import Place
from daskflow.taskoptions import TaskOptions
from tests.told import attempt_of, told


class Trouble(Exception):
    """A user's own."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def place(retries: Any = 0, **more: Any) -> Place:
    """Return where a task runs that has these retries."""
    return Place("t", options=TaskOptions.of({"retries": retries}, "t"), **more)


class Failing:
    """A body that raises what it is given, attempt by attempt, and then gives 1."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 1


# ---------------------------------------------------------------- when

backoffs = st.builds(
    fl.Backoff,
    st.floats(0, 1e6),
    st.floats(1, 1e3),
    st.none() | st.floats(1e-3, 1e6),
    st.floats(0, 1),
)


@given(backoffs, st.integers(0, 2000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_too_long(backoff: fl.Backoff, attempt: int, chance: float) -> None:
    """Whatever the factor and however many attempts, a wait is from 0 to the cap."""
    delay = backoff.delay(attempt, lambda: chance)
    assert 0 <= delay <= (4_000_000 if backoff.cap is None else float(backoff.cap))  # type: ignore[arg-type]


@given(backoffs, st.integers(0, 50))
def test_waits_grow(backoff: fl.Backoff, attempt: int) -> None:
    """Without chance, no wait is shorter than the one before; chance takes at most its share."""
    waits = [backoff.delay(attempt + more, lambda: 0.0) for more in (0, 1)]
    assert waits[0] <= waits[1]
    shortest = backoff.delay(attempt, lambda: 1.0)
    assert shortest == pytest.approx(waits[0] * (1 - backoff.jitter))


@given(st.integers(0, 20), st.integers(0, 40), st.floats(0, 1e5))
def test_attempts_are_counted(count: int, attempt: int, wait: float) -> None:
    """There are as many more attempts as were asked for, each after the same wait if it is a number."""
    delay = fl.Retry(count, backoff=wait).next_delay(attempt, ValueError())
    assert delay == (wait if attempt < count else None)


class Dropped(ConnectionError):
    """A kind of what is retried."""


@pytest.mark.parametrize(
    ("retries", "error", "again"),
    [
        (1, fl.RecoverableException(), True),
        (1, fl.FlyteRecoverableException(), True),
        (1, fl.TaskTimeout(), True),
        (1, ProcessDied(), True),
        (1, ValueError(), False),
        (1, TimeoutError(), False),
        (fl.Retry(1), ValueError(), True),
        (fl.Retry(1), fl.TaskTimeout(), True),
        (fl.Retry(1), fl.NonRecoverableError(), False),
        (fl.Retry(1), RunCancelled(), False),
        (fl.Retry(1), KeyboardInterrupt(), False),
        (fl.Retry(1), SystemExit(1), False),
        (fl.Retry(1), GeneratorExit(), False),
        (fl.Retry(1, on=ConnectionError), Dropped(), True),
        (fl.Retry(1, on=ConnectionError), fl.RecoverableException(), False),
        (fl.Retry(1, on=(KeyError, ConnectionError)), Dropped(), True),
        (fl.Retry(1, on=(KeyError, ConnectionError)), ValueError(), False),
        (fl.Retry(1, on=lambda error: "again" in str(error)), ValueError("again"), True),
        (fl.Retry(1, on=lambda error: "again" in str(error)), ValueError("no"), False),
        (fl.Retry(1, on=fl.NonRecoverableError), fl.NonRecoverableError(), False),
        (fl.Retry(1, on=lambda _: True), fl.NonRecoverableError(), False),
    ],
)
def test_what_is_tried_again(retries: Any, error: BaseException, again: bool) -> None:
    """A number counts for what is recoverable, as in Flyte; a Retry for every exception, or those that it names; some never count."""
    assert (after(error, place(retries), 0) is not None) == again


def test_a_function_that_fails_leaves_the_error_as_it_is() -> None:
    """Where a Retry's own function fails, the task's error is final, and says what happened."""

    def wrong(error: Exception) -> bool:
        return error.missing  # type: ignore[attr-defined,no-any-return]

    error = Trouble(3)
    assert after(error, place(fl.Retry(1, on=wrong)), 0) is None
    assert "Retry's function failed: AttributeError" in error.__notes__[0]


def test_an_error_that_refuses_notes_is_still_the_one() -> None:
    """Where a Retry's own function fails, and there is no way to say so, the task's error is final all the same."""

    class Mute(Exception):
        def add_note(self, note: str) -> None:
            raise RuntimeError("no notes")

    assert after(Mute(), place(fl.Retry(1, on=lambda _: {}["k"])), 0) is None


def test_a_number_is_a_retry() -> None:
    """What `retries=3` means can be said with a Retry, and waits added."""
    assert TaskOptions.of({"retries": 3}, "t").retries == fl.Retry(3, on=RECOVERABLE)
    assert fl.Retry(1, backoff=timedelta(minutes=1)).next_delay(0, ValueError()) == 60.0


# ---------------------------------------------------------------- the loop


def test_attempts_until_one_succeeds() -> None:
    """Each failure is told, waited after, and forgotten once an attempt succeeds."""
    waits: list[float] = []
    told: list[Any] = []
    errors = [Trouble(0), Trouble(1)]
    body = Failing(*errors)
    where = place(fl.Retry(5, backoff=fl.Backoff(1, factor=3)))
    assert run_attempts(body, {}, where, sleep=waits.append, notify=lambda *all: told.append(all)) == 1
    assert (body.calls, waits) == (3, [1.0, 3.0])
    assert told == [(0, errors[0], 1.0), (1, errors[1], 3.0)]


def test_the_users_exception_comes_out_when_attempts_run_out() -> None:
    """It is the last attempt's own exception, of its own type and with its own attributes; the attempts are counted."""
    body = Failing(*(Trouble(number) for number in range(9)))
    with pytest.raises(Trouble) as caught:
        run_attempts(body, {}, place(fl.Retry(2)))
    assert caught.value.code == 2
    assert attempt_of(caught.value) == (3, 3)
    assert body.calls == 3


def test_an_error_that_is_final_at_once() -> None:
    """What is not tried again says which attempt it was; a task without retries has one."""
    with pytest.raises(fl.NonRecoverableError) as caught:
        run_attempts(Failing(fl.NonRecoverableError("no")), {}, place(fl.Retry(2)))
    assert attempt_of(caught.value) == (1, 3)
    with pytest.raises(Trouble) as alone:
        run_attempts(Failing(Trouble(1)), {}, place())
    assert attempt_of(alone.value) == (1, 1)


def test_attempts_in_pieces() -> None:
    """One attempt, and what comes next, can be asked for by themselves, as where the cluster comes back later."""
    body, where = Failing(Trouble(1), Trouble(2)), place(fl.Retry(2, backoff=7))
    with pytest.raises(Trouble) as caught:
        one_attempt(body, {}, where, 0)
    assert after(caught.value, where, 0) == 7.0
    with pytest.raises(Trouble):
        one_attempt(body, {}, where, 1)
    assert run_attempts(body, {}, where, first=2) == 1


def test_a_cancelled_run_makes_no_more_attempts() -> None:
    """A cancellation while an attempt runs makes its error final; one that comes between attempts is what is raised."""
    cancelled: list[BaseException] = []

    def where() -> Place:
        return place(fl.Retry(5), cancelled=lambda: cancelled[-1] if cancelled else None)

    def fails() -> None:
        cancelled.append(RunCancelled("enough"))
        raise Trouble(1)

    with pytest.raises(Trouble):
        run_attempts(fails, {}, where())
    with pytest.raises(RunCancelled):
        run_attempts(Failing(), {}, where())
    cancelled.clear()
    body = Failing(Trouble(1))
    with pytest.raises(RunCancelled, match="while waiting"):
        run_attempts(body, {}, where(), sleep=lambda _: cancelled.append(RunCancelled("while waiting")))
    assert body.calls == 1


def test_the_wait_of_its_own_ends_with_the_run() -> None:
    """Who waits for the next attempt of a cancelled run does not wait to the end."""
    cancelled: list[BaseException] = []
    where = place(fl.Retry(5, backoff=3600), cancelled=lambda: cancelled[-1] if cancelled else None)
    with pytest.raises(RunCancelled):
        run_attempts(Failing(Trouble(1)), {}, where, notify=lambda *_: cancelled.append(RunCancelled("enough")))


# ---------------------------------------------------------------- in a program

failures: dict[str, int] = {}


@fl.task(retries=fl.Retry(3))
def flaky(name: str, times: int) -> int:
    failures[name] = failures.get(name, 0) + 1
    if failures[name] <= times:
        raise Trouble(failures[name])
    return fl.current_context().attempt


@fl.task
def steady(name: str, times: int) -> int:
    failures[name] = failures.get(name, 0) + 1
    if failures[name] <= times:
        raise fl.RecoverableException("not yet")
    return failures[name]


def test_retries_in_a_program() -> None:
    """Retries hold for tasks wherever they are called, for each item of a map by itself, and can be said of one call."""
    name = str(random.random())
    assert flaky(name=name, times=3) == 3
    assert fl.map_task(flaky)(name=[f"{name}{index}" for index in range(3)], times=[0, 2, 1]) == [0, 2, 1]

    @fl.workflow
    def flow(a: str) -> int:
        return steady(name=a, times=2).with_overrides(retries=2)  # type: ignore[attr-defined,no-any-return]

    assert flow(a=name + "x") == 3
    with pytest.raises(Trouble) as caught:
        flaky(name=name + "y", times=9)
    where = told(caught.value)
    assert (where.attempt, where.attempts) == (4, 4)
    assert ", attempt 4/4" in where.line()


def test_retries_of_a_dynamic_are_its_bodys() -> None:
    """A dynamic's body is what is tried again; its nodes are made once."""
    calls: list[int] = []

    @fl.task
    def note(a: int) -> int:
        calls.append(a)
        return a

    @fl.dynamic(retries=fl.Retry(2))
    def shaky(a: int) -> int:
        made = note(a=a)
        if fl.current_context().attempt < 2:
            raise Trouble(a)
        return made

    assert shaky(a=1) == 1
    assert calls == [1]
