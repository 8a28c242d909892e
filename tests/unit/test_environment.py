"""Environment variables of attempts, in one process that they share, and in processes of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import daskflow as fl
from daskflow.attempts import one_attempt
from daskflow.environ import applied, without_attempts
from daskflow.errors import OptionError, RunCancelled
from daskflow.taskcontext import Place
from daskflow.taskoptions import TaskOptions

A, B = "DASKFLOW_TEST_A", "DASKFLOW_TEST_B"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(B, "before")
    before = dict(os.environ)
    yield
    assert dict(os.environ) == {**before, "PYTEST_CURRENT_TEST": os.environ["PYTEST_CURRENT_TEST"]}


class Holder:
    """A thread that holds variables until it is let go."""

    def __init__(self, values: dict[str, str]) -> None:
        self.holds, self.waits, self.go = threading.Event(), threading.Event(), threading.Event()
        self.stop: list[BaseException] = []
        self.seen: dict[str, str | None] = {}
        self.error: BaseException | None = None
        self._values = values
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            with applied(self._values, "a holder", self._check):
                self.seen = {name: os.environ.get(name) for name in self._values}
                self.holds.set()
                assert self.go.wait(30)
                assert {name: os.environ.get(name) for name in self._values} == self.seen
        except BaseException as error:
            self.error = error

    def _check(self) -> None:
        self.waits.set()
        if self.stop:
            raise self.stop[0]

    def end(self) -> None:
        """Let it go, and wait until it has."""
        self.go.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextmanager
def holding(*values: dict[str, str]) -> Iterator[list[Holder]]:
    """Start threads one after the other, each once the one before has its variables or waits for them."""
    made: list[Holder] = []
    for one in values:
        made.append(Holder(one))
        _has_begun(made[-1])
    try:
        yield made
    finally:
        for holder in made:
            holder.end()


def _has_begun(holder: Holder) -> None:
    while not holder.holds.is_set():
        if holder.waits.wait(0.01):
            return


def test_variables_are_set_and_restored() -> None:
    """What was there before is there afterwards, and what was not is not."""
    with applied({A: "1", B: "2"}, "t"):
        assert (os.environ[A], os.environ[B]) == ("1", "2")
        assert without_attempts()[B] == "before"
        assert A not in without_attempts()
    assert (A in os.environ, os.environ[B]) == (False, "before")
    with pytest.raises(KeyError), applied({B: "2"}, "t"):
        raise KeyError
    assert os.environ[B] == "before"


def test_equal_values_are_shared() -> None:
    """Attempts that want the same do not wait for each other, and the last one restores."""
    with holding({A: "1"}, {A: "1", B: "2"}) as (first, second):
        assert first.holds.wait(30)
        assert second.holds.wait(30)
        first.end()
        assert (os.environ[A], os.environ[B]) == ("1", "2")
    assert (A in os.environ, os.environ[B]) == (False, "before")


def test_different_values_wait() -> None:
    """An attempt that wants another value begins when the first one ends, and has its own value then."""
    with holding({A: "1"}, {A: "2", B: "2"}) as (first, second):
        assert second.waits.wait(30)
        assert (os.environ[A], os.environ[B], second.holds.is_set()) == ("1", "before", False)
        first.end()
        assert second.holds.wait(30)
        assert second.seen == {A: "2", B: "2"}


def test_first_come_first_served() -> None:
    """Who wants what is set now does not pass those who wait for another value: they would wait for ever."""
    with holding({A: "1"}, {A: "2"}, {A: "1"}) as (first, second, third):
        assert third.waits.wait(30)
        first.end()
        assert second.holds.wait(30)
        assert not third.holds.is_set()
        second.end()
        assert third.holds.wait(30)


def test_other_variables_do_not_wait() -> None:
    """Who waits holds nothing, so only who wants the same variable waits for it."""
    with holding({A: "1"}, {A: "2", B: "2"}, {"DASKFLOW_TEST_C": "3"}) as (_, second, third):
        assert third.holds.wait(30)
        assert second.waits.is_set()


def test_a_part_of_an_attempt_does_not_wait_for_itself() -> None:
    """What runs inside an attempt may set the same again, whoever waits meanwhile; another value is an error."""
    with applied({A: "1"}, "outer"):
        waiting = Holder({A: "2"})
        assert waiting.waits.wait(30)
        with applied({A: "1"}, "inner"):
            assert os.environ[A] == "1"
        assert os.environ[A] == "1"
        with pytest.raises(OptionError, match=f"environment of inner sets {A}, of which what it runs in has set another value"):
            applied({A: "secret"}, "inner").__enter__()
    assert waiting.holds.wait(30)
    waiting.end()


def test_who_is_not_wanted_any_more_stops_to_wait() -> None:
    """A cancelled attempt leaves the queue, and those behind it go on."""
    with holding({A: "1"}, {A: "2"}, {A: "1"}) as (_, second, third):
        assert third.waits.wait(30)
        second.stop.append(RunCancelled("enough"))
        second.thread.join(30)
        assert isinstance(second.error, RunCancelled)
        assert third.holds.wait(30)


def test_many_attempts_at_once() -> None:
    """Whatever the order, each sees its own values from beginning to end, and nothing stays."""
    wrong: list[str] = []

    def worker(number: int) -> None:
        for turn in range(30):
            values = {f"DASKFLOW_TEST_{(number + turn) % 3}": str(turn % 2), "DASKFLOW_TEST_3": str(number % 2)}
            with applied(values, "t"):
                wrong.extend(name for name, value in values.items() if os.environ.get(name) != value)

    threads = [threading.Thread(target=worker, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert not any(one.is_alive() for one in threads)
    assert wrong == []


# ---------------------------------------------------------------- attempts


def place(environment: dict[str, str], **options: Any) -> Place:
    """Return where a task runs that has this environment."""
    return Place("t", options=TaskOptions.of({"environment": environment, **options}, "t"))


def variable(name: str) -> str | None:
    return os.environ.get(name)


@fl.task(environment={A: "of the task"})
def read(name: str) -> str | None:
    return os.environ.get(name)


def test_tasks_have_their_environment() -> None:
    """A task sees its variables while it runs; a call, or a map's items, may have others."""

    @fl.dynamic
    def both() -> list[str | None]:
        one = read(name=A)
        other = read(name=A).with_overrides(environment={A: "of the call"})  # type: ignore[union-attr]
        return [one, other, read(name=B)]

    assert both() == ["of the task", "of the call", "before"]
    assert fl.map_task(read)(name=[A, B]) == ["of the task", "before"]
    assert A not in os.environ


def test_an_attempt_left_alone_holds_nothing() -> None:
    """When time is up the environment is restored at once, though the thread goes on."""
    go = threading.Event()
    with pytest.raises(fl.TaskTimeout):
        one_attempt(lambda: go.wait(30), {}, place({A: "1"}, timeout=0.01))
    assert A not in os.environ
    assert one_attempt(variable, {"name": A}, place({A: "2"})) == "2"
    go.set()


def test_a_process_of_its_own_waits_for_nobody() -> None:
    """A killable attempt has its variables, not those of other attempts, and takes none from them."""
    killable = fl.Timeout(60, killable=True)
    with holding({A: "1", B: "1"}):
        assert one_attempt(variable, {"name": A}, place({A: "2"}, timeout=killable)) == "2"
        assert one_attempt(variable, {"name": B}, place({A: "2"}, timeout=killable)) == "before"
        assert os.environ[A] == "1"


def test_a_cancelled_attempt_does_not_wait() -> None:
    """An attempt that waits for its variables ends with its run."""
    why: list[BaseException] = []

    def cancelled() -> BaseException | None:
        # Asked for the second time it waits.
        why.append(RunCancelled("enough"))
        return why[1] if len(why) > 1 else None

    where = Place("t", options=TaskOptions.of({"environment": {A: "2"}}, "t"), cancelled=cancelled)
    with holding({A: "1"}), pytest.raises(RunCancelled):
        one_attempt(variable, {"name": A}, where)
