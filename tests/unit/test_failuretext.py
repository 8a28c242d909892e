"""Short forms of values, levels, and what a failure says."""

from __future__ import annotations

import enum
import pickle
import time
from collections import deque
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daskflow import shortform
from daskflow.failuretext import failure_of, text
from daskflow.levels import Level, bounded
from daskflow.outcome import Failure
from daskflow.records import Crash, plain_failure
from daskflow.runreport import sourced
from daskflow.where import Where


class Slow:
    """An object whose own text must not be asked for."""

    def __repr__(self) -> str:
        raise AssertionError("asked")

    @property
    def shape(self) -> Any:
        raise RuntimeError("no")


class Table:
    shape = (3, 4)


class Color(enum.Enum):
    RED = 1


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class Point:
    x: float
    password: str


@pytest.mark.parametrize(
    ("value", "short"),
    [
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        ("a'b", '"a\'b"'),
        ("\x1b[0m\n", "'\\x1b[0m\\n'"),
        (b"x" * 1000, None),
        (10**1000, "<int of 3 322 bits>"),
        ([1, "a", None], "[1, 'a', None]"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, …(92 more)]"),
        ({"a": 1, "token": "x"}, "{'a': 1, 'token': ***}"),
        (deque([1]), "deque([1])"),
        ([[[[[1]]]]], "[[[<list>]]]"),
        ((1,), "(1,)"),
        (set(), "set()"),
        (date(2024, 1, 2), "datetime.date(2024, 1, 2)"),
        (Path("/x"), "PosixPath('/x')"),
        (Color.RED, "Color.RED"),
        (Pair(1, "b"), "Pair(a=1, b='b')"),
        (Point(1.0, "x"), "Point(x=1.0, password=***)"),
        (Table(), "<Table 3x4>"),
        (Slow(), "<Slow>"),
        ([Slow()], None),
        (Slow, "<class Slow>"),
    ],
)
def test_short_forms(value: Any, short: str | None) -> None:
    """Plain values are shown as they are written, others by their class and shape; none is asked for its own text."""
    made = shortform.value(value)
    assert short is None or made == short
    assert len(made) <= 110


@given(
    st.recursive(
        st.none() | st.text() | st.binary() | st.integers() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_short_forms_are_short(value: Any) -> None:
    """Whatever a value is, its short form is one line of at most some 80 characters, which nothing directs a terminal with."""
    made = shortform.value(value)
    assert len(made) <= 130
    assert made.isprintable()
    assert len(shortform.call("f", {f"input{number}": value for number in range(20)})) <= 280


def test_a_large_value_costs_nothing() -> None:
    """What is shown of a large value is all that is looked at."""
    large = {"a": ["x" * (1 << 20)] * 1_000_000, "b": "y" * (1 << 26), "c": dict.fromkeys(range(10**6), 1)}
    began = time.process_time()
    shortform.call("f", large)
    assert time.process_time() - began < 0.05


def test_levels_in_the_middle_are_left_out() -> None:
    """Levels that come one by one are left out as those that come together, and counted."""
    levels = [Level(f"f[{n}]", f"f[{n}](n={n})", "") for n in range(40)]
    made: tuple[Level, ...] = ()
    for one in levels:
        made = bounded((*made, one))
    assert made == bounded(levels)
    assert len(made) == 16
    assert made[3].call == "… 25 levels"


def failure(message: str = "odd", **more: Any) -> Failure:
    """Return a record of a failure four levels deep."""
    levels = (Level("", "wf(n=4)", "/x/flow.py:9"), Level("m[3]", "m[3](a=3)", "/x/flow.py:7"), Level("step", "step(a=3)", "/x/flow.py:4"))
    where = Where("r0123456789", "m[3]/step", "", 3, "flow.step", levels, 2, 3, "tcp://10.0.0.1:4")
    code = [("step", "/x/flow.py:5", "return helper(a)"), ("helper", "/x/flow.py:2", 'raise ValueError("odd")')]
    notes = (where.line(), *more.pop("notes", ()))
    return Failure("ValueError", message, notes, "Traceback\nwhole", None, where.plain(), code)._replace(**more)


def test_the_text() -> None:
    """What went wrong comes first, then where, with what, through which lines of code, and what can be done."""
    assert text(failure(), seconds=0.84).splitlines() == [
        "✗ wf failed: ValueError: odd   run r0123456789, 0.8 s",
        "  r0123456789:m[3]/step  map index 3, attempt 2/3, on worker tcp://10.0.0.1:4",
        "    wf(n=4)          flow.py:9",
        "    └ m[3](a=3)      flow.py:7",
        "      └ step(a=3)    flow.py:5  return helper(a)",
        '          helper     flow.py:2  raise ValueError("odd")',
        "  logs: daskflow logs 'r0123456789:m[3]/step'",
        "  recover: daskflow recover r0123456789   debug: daskflow debug 'r0123456789:m[3]/step'",
    ]


def test_the_text_survives_the_wire() -> None:
    """A record that has been through lists and pickles gives the same text."""
    made = failure()
    assert text(Failure(*pickle.loads(pickle.dumps(list(made))))) == text(made)
    assert text(failure_of("r0123456789", {"failure": list(made)})) == text(made)


@given(st.text(max_size=3000), st.lists(st.text(max_size=500), max_size=6), st.integers(0, 60), st.integers(0, 200))
def test_the_text_is_bounded(message: str, notes: list[str], frames: int, levels: int) -> None:
    """However long a message, the notes, the levels and the frames are, it is 15 lines, and plain text."""
    made = failure(message, notes=notes)
    where = Where.of(made.where or {})
    calls = bounded(Level(f"f{n}", f"f{n}(a=1)", "flow.py:1") for n in range(levels))
    code = [("helper", f"/x/flow.py:{n}", message[:200]) for n in range(frames)]
    shown = text(made._replace(where=where._replace(levels=calls).plain(), code=code))
    assert len(shown.split("\n")) <= 15
    assert all(line.isprintable() for line in shown.split("\n"))
    assert len(shown) < 8000


def test_what_is_cut_is_counted() -> None:
    """A message that is cut says by how much; all of it is there where it is asked for."""
    shown = text(failure("x" * 5000))
    assert "x…(4 400 characters more)" in shown
    assert "x…(2 999 400 characters more)" in text(Failure.seen(ValueError("x" * 3_000_000)))
    assert "\nwhole" in text(failure(), verbose=True)


def test_what_is_written_out_is_counted_as_it_was() -> None:
    """Characters that are written out take more room, and are counted once."""
    shown = text(failure("\x1b" * 500)).splitlines()[0]
    assert "\\x1b…(350 characters more)   run" in shown


def test_lines_of_code_that_are_left_out_are_counted() -> None:
    """Those that were left out when the record was made are counted with those for which there is no room."""
    rows = [("step", "/x/flow.py:5", "a"), ("f", "/x/flow.py:6", "b"), ("…", "", "900"), *[("g", "/x/flow.py:7", "c")] * 15]
    shown = text(failure(code=rows)).splitlines()
    assert len(shown) == 15
    assert sum(line.endswith("flow.py:7  c") for line in shown) == 7
    assert "          … 909 frames" in [line.rstrip() for line in shown]


def test_lines_that_a_worker_does_not_have_are_read_here(tmp_path: Path) -> None:
    """A record from a worker without the user's files has the lines of the file here, unless that was changed since."""
    file = tmp_path / "flow.py"
    file.write_text("def step(a):\n    return helper(a)\n")
    rows = [("step", f"{file}:2", ""), ("gone", f"{tmp_path}/gone.py:1", ""), ("…", "", "5")]
    made = failure(code=rows)
    assert [source for _, _, source in sourced(made, time.time() + 60).code] == ["return helper(a)", "", "5"]
    assert [source for _, _, source in sourced(made, time.time() - 60).code] == ["", "", "5"]


def test_causes_come_before_notes() -> None:
    """What is behind an exception is told below the code, the user's notes after it, and what has no room is counted."""
    shown = text(failure(notes=[f"note {n}" for n in range(9)], causes=[("raised from KeyError: 'k'", "/x/flow.py:3")])).splitlines()
    assert shown[6:11] == ["  raised from KeyError: 'k'   flow.py:3", "  note 0", "  note 1", "  note 2", "  …(6 lines more)"]


def test_a_long_call_does_not_move_the_code_of_others() -> None:
    """Where one call is long, the lines of code stay under each other, and in sight."""
    made = failure()
    where = Where.of(made.where or {})
    long = Level("step", f"step(a={'x' * 90})", "/x/flow.py:4")
    shown = text(made._replace(where=where._replace(levels=(*where.levels[:2], long)).plain()))
    assert all(len(line) <= 160 for line in shown.splitlines())
    assert shown.splitlines()[5].endswith('  raise ValueError("odd")')


def test_a_crash_says_where() -> None:
    """A worker's death has the address of what it executed, as far as that is known."""
    crash = plain_failure(Crash("step-0123", 4, "m[3]/step"))
    shown = text(failure_of("r0123456789", crash), hints=())
    assert shown.startswith(
        "✗ the run failed: WorkerCrashed: run r0123456789 failed: 4 workers died while they executed m[3]/step (unit step-0123)"
    )
    assert "\n  r0123456789:m[3]/step" in shown
