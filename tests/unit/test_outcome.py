"""Exceptions that travel: what arrives of them."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

import pytest

from daskflow.errors import RunFailed
from daskflow.failed import Failed, map_notes
from daskflow.outcome import Failure, annotate, forget, where_of
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


class Told(Exception):
    """An exception that has its text twice."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Noted(Exception):
    """An exception whose notes are none."""

    __notes__ = 5


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


def test_what_is_hidden_stays() -> None:
    """What an exception was raised in the handling of does not travel where it is not shown; so it may hold what it likes."""
    for error in (ValueError("odd"), Picky("odd", 7)):
        error.__context__, error.__suppress_context__ = Holder("hush"), True
        arrived = travelled(error)
        assert type(arrived) is type(error)
        assert arrived.__context__ is None
        assert b"hush" not in (Failure.of(error).pickled or b"")


def test_a_long_cause_arrives() -> None:
    """What an exception was raised from may have been thousands of frames deep."""

    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    assert type(travelled(raised(ValueError("odd"), caught.value)).__cause__) is RecursionError


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


@pytest.mark.parametrize(
    "error",
    [
        SyntaxError("odd", ("flow.py", 3, 1, "def", 3, 2)),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
        StopIteration(3),
        ImportError("odd", name="flow"),
        FileNotFoundError(2, "No such file", "flow.py"),
        ExceptionGroup("odd", [ValueError(1), KeyError(2)]),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_pythons_own_constructors_know_arrives(error: BaseException) -> None:
    """Python's own exceptions keep their texts, and what is beside the text."""
    arrived = travelled(raised(error))
    assert (type(arrived), str(arrived)) == (type(error), str(error))
    for name in ("msg", "lineno", "reason", "value", "name", "filename"):
        assert getattr(arrived, name, None) == getattr(error, name, None)


def test_a_text_that_an_exception_has_twice_is_cut_twice() -> None:
    """An exception of megabytes of text arrives as itself, wherever it keeps them; the one that was raised keeps its own."""
    error = raised(Told("x" * 3_000_000), KeyError("y" * 3_000_000))
    arrived = travelled(error)
    assert isinstance(arrived, Told)
    assert arrived.message == str(arrived)
    assert str(arrived).endswith("…(2 980 000 characters more)")
    assert type(arrived.__cause__) is KeyError
    assert len(str(error)) == 3_000_000


def test_what_is_too_large_is_told() -> None:
    """An exception that is too large whatever is cut arrives as a RunFailed."""
    error = Told("x" * 30_000)
    vars(error)["blob"] = bytes(3_000_000)
    assert type(travelled(raised(error))) is RunFailed


def test_what_stands_in_says_the_same() -> None:
    """What is told of an exception is the same here and where only what stands in for it arrived, however often that travels."""
    error = raised(Holder("held"))
    annotate(error, Where("r1", "step"))
    there = Failure.of(error)
    for arrived in (travelled(error), travelled(travelled(error))):
        assert Failure.seen(arrived)._replace(pickled=None) == there


def test_an_exception_leaves_as_it_was() -> None:
    """Making the record of an exception does not change what is shown of it."""
    error = raised(ValueError("odd"))
    error.__context__, error.__suppress_context__ = raised(Holder("inner")), False
    trace = error.__traceback__
    Failure.of(error)
    assert not error.__suppress_context__
    assert isinstance(error.__context__, Holder)
    assert error.__traceback__ is trace


def test_records_hold_no_lone_surrogates() -> None:
    """Whatever a text is, a record can be sent: what cannot be written as UTF-8 would cut the worker off."""
    error = raised(ValueError("odd \udcff"), KeyError("\udcfe"))
    error.add_note("note \udcff")
    annotate(error, Where("r1", "step", worker="\udcff"))
    record = Failure.of(error)
    assert record.message == "odd \\udcff"
    repr(tuple(record)).encode()
    for text in (*record.notes, record.trace, *(line for line, _ in record.causes), str((record.where or {})["worker"])):
        text.encode()
    assert str(record.exception()) == "odd \udcff"


def test_notes_that_are_none_are_left_alone() -> None:
    """An exception class may have something else in the place of its notes."""
    assert Failure.of(raised(Noted("x"))).notes == ()


def test_notes_that_are_left_out_are_counted() -> None:
    """Of very many notes the first are told, and how many more there are."""
    error = raised(ValueError("odd"))
    for number in range(25):
        error.add_note(str(number))
    assert Failure.of(error).notes[-2:] == ("19", "…(5 notes more)")


def test_causes_are_told() -> None:
    """Each exception behind another has a line: how it came to it, what it was, and where; of a group, which."""
    group = ExceptionGroup("two", [raised(ValueError("a\nb")), raised(KeyError(1), OSError("deep"))])
    lines, places = zip(*Failure.of(raised(RuntimeError("odd"), group)).causes, strict=True)
    assert lines == (
        "raised from ExceptionGroup: two (2 sub-exceptions)",
        "[0] ValueError: a\\nb",
        "[1] KeyError: 1",
        "[1] raised from OSError: deep",
    )
    assert places[1].startswith(__file__)
    many = Failure.of(raised(ExceptionGroup("many", [ValueError(number) for number in range(50)]))).causes
    assert (len(many), many[-1]) == (21, ("…(30 exceptions more)", ""))


def test_code_is_the_users_own() -> None:
    """Lines of libraries are left out, but for the one that raised; of very many the first and last are told, and how many are between."""
    import json

    def deeper(n: int) -> Any:
        return deeper(n - 1) if n else json.loads("{")

    def code(n: int) -> list[str]:
        with pytest.raises(ValueError, match="Expecting") as caught:
            deeper(n)
        for record in (Failure.of(caught.value), Failure.seen(travelled(caught.value))):
            names = [name if place else f"… {text}" for name, place, text in record.code]
        return names

    assert code(2) == ["code", "deeper", "deeper", "deeper", "raw_decode"]
    assert code(200) == ["code", *["deeper"] * 4, "… 183", *["deeper"] * 14, "raw_decode"]


def test_an_exception_that_is_raised_elsewhere_forgets() -> None:
    """What was noted with an exception object can be taken from it; the user's own notes stay."""
    error = raised(ValueError("odd"))
    error.add_note("mine")
    annotate(error, Where("r1", "one"))
    forget(error)
    assert error.__notes__ == ["mine"]
    annotate(error, Where("r1", "two"))
    assert error.__notes__ == ["mine", "at r1:two"]


def test_map_notes_are_bounded() -> None:
    """However many items fail, for however many reasons, the notes are short, and count what they leave out."""
    alternate = map_notes("map of f", 0, dict.fromkeys(range(0, 100_000, 2), "ValueError: no"))
    assert alternate[1] == "  [0], [2], [4], [6], [8], [10], [12], [14], …(49 992 items more): ValueError: no"
    different = map_notes("map of f", 0, {index: f"ValueError: {index}" for index in range(1000)})
    assert (len(different), different[-1]) == (12, "  …(990 messages more)")


def test_a_cancelled_coroutine_is_a_failure() -> None:
    """What would be taken for the cancellation of whoever waits stands for a failure."""
    import asyncio

    assert type(Failed(asyncio.CancelledError("x")).exception()) is RunFailed
