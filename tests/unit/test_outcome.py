"""Exceptions that travel: what arrives of them."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

from daskflow.errors import RunFailed
from daskflow.outcome import Failure, annotate, where_of
from daskflow.traces import users_traceback
from daskflow.where import Where


class Picky(Exception):
    """An exception that can only be made with two arguments."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Hostile(Exception):
    """An exception that refuses everything."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)

    def add_note(self, note: str) -> None:
        raise RuntimeError("no notes")


class Holder(Exception):
    """An exception with a value that does not pickle."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.value = (one for one in "abc")


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """Return an exception that has been raised."""
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def travelled(error: BaseException) -> BaseException:
    """Return what arrives of an exception in another process."""
    failure: Failure = pickle.loads(pickle.dumps(Failure.of(error)))
    return failure.exception()


def test_type_message_notes_and_traceback_arrive() -> None:
    """A user's exception arrives as what it was, with its notes and the lines that raised it."""
    error = raised(ValueError("odd"))
    annotate(error, Where("r1", "level[0]/step[3]", map_index=3))
    arrived = travelled(error)
    assert type(arrived) is ValueError
    assert str(arrived) == "odd"
    assert arrived.__notes__ == ["at r1:level[0]/step[3], map index 3"]
    assert where_of(arrived) == Where("r1", "level[0]/step[3]", map_index=3)
    assert "raise error from cause" in "".join(traceback.format_tb(arrived.__traceback__))


def test_attributes_arrive() -> None:
    """An exception that cannot be made from its arguments alone still arrives, with its attributes."""
    arrived = travelled(raised(Picky("odd", 7)))
    assert isinstance(arrived, Picky)
    assert arrived.code == 7


def test_causes_arrive() -> None:
    """What an exception was raised from arrives with it."""
    arrived = travelled(raised(ValueError("odd"), KeyError("even")))
    assert repr(arrived.__cause__) == "KeyError('even')"


def test_a_cause_that_does_not_pickle_costs_only_itself() -> None:
    """Where only the cause cannot travel, the exception itself does."""
    arrived = travelled(raised(ValueError("odd"), Holder("held")))
    assert type(arrived) is ValueError
    assert arrived.__cause__ is None


@pytest.mark.parametrize("error", [Holder("held"), Hostile("x")], ids=repr)
def test_what_cannot_travel_is_told(error: BaseException) -> None:
    """An exception that does not pickle arrives as a RunFailed that holds its name and its traceback."""
    arrived = travelled(raised(error))
    assert type(arrived) is RunFailed
    assert str(arrived).startswith(type(error).__name__)
    assert any("raise error from cause" in note for note in arrived.__notes__)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
def test_what_would_end_the_program_does_not(error: BaseException) -> None:
    """An exception that is no Exception arrives as a RunFailed: it must not end the driver."""
    assert type(travelled(raised(error))) is RunFailed


def test_long_texts_are_cut() -> None:
    """A message of megabytes is cut, and the record says how long it was."""
    failure = Failure.of(raised(Holder("x" * 3_000_000)))
    assert len(failure.message) < 21_000
    assert failure.message.endswith("…(2 980 000 characters more)")


def test_deep_recursion_arrives() -> None:
    """An exception raised thousands of frames deep arrives as itself."""

    def deeper(n: int) -> int:
        return deeper(n + 1)

    with pytest.raises(RecursionError) as caught:
        deeper(0)
    assert type(travelled(caught.value)) is RecursionError


def test_notes_are_added_once() -> None:
    """An exception that passes several levels keeps the notes of the innermost."""
    error = raised(ValueError("odd"))
    annotate(error, Where("r1", "inner"))
    annotate(error, Where("r1", "outer"))
    assert error.__notes__ == ["at r1:inner"]


def test_an_exception_that_refuses_notes_is_left_alone() -> None:
    """An exception class that refuses attributes and notes is no reason for another exception."""
    error = raised(Hostile("x"))
    annotate(error, Where("r1", "node"))
    assert not hasattr(error, "__notes__")
    assert Failure.of(error).where == Where("r1", "node").plain()


def test_the_engines_frames_are_cut() -> None:
    """The traceback that a user sees begins in their own code."""
    import daskflow as fl

    @fl.task
    def fail(a: int) -> int:
        raise ValueError(a)

    with pytest.raises(ValueError, match="1") as caught:
        fail(a=1)
    frames = [one.name for one in traceback.extract_tb(users_traceback(caught.value.__traceback__))]
    assert frames[-1] == "fail"
