"""From interfaces to command-line options, and from text to inputs."""

from __future__ import annotations

import datetime
import enum
import io
import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import daskflow as fl
from daskflow.cliargs import from_json, options, read_inputs
from daskflow.errors import InputError


class Colour(enum.Enum):
    """An enum."""

    RED = "r"
    BLUE = "b"


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: list[float]


@fl.task
def everything(
    number: int,
    share: float = 0.5,
    some_text: str = "x",
    flag: bool = False,
    colour: Colour = Colour.RED,
    mode: Literal["fast", "slow"] = "fast",
    maybe: int | None = None,
    items: list[int] = [1],  # noqa: B006
    point: Point | None = None,
    when: datetime.date = datetime.date(2020, 1, 2),
    anything: Any = None,
) -> None:
    """Take everything.

    Parameters
    ----------
    number : int
        How many
        there are.
    share, some_text
        Two at once.

    Returns
    -------
    None
    """


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Return what the options of the task make of arguments."""
    found: dict[str, Any] = {}
    command = click.Command("everything", callback=lambda **given: found.update(given), params=list(options(everything)))
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--number", "3"], {"number": 3}),
        (["--share", "0.25"], {"share": 0.25}),
        (["--some-text", "a b"], {"some_text": "a b"}),
        (["--some_text", "1"], {"some_text": "1"}),
        (["--flag"], {"flag": True}),
        (["--no-flag"], {"flag": False}),
        (["--colour", "BLUE"], {"colour": Colour.BLUE}),
        (["--colour", "b"], {"colour": Colour.BLUE}),
        (["--mode", "slow"], {"mode": "slow"}),
        (["--maybe", "7"], {"maybe": 7}),
        (["--items", "[1, 2]"], {"items": [1, 2]}),
        (["--point", '{"x": 1, "y": [0.5]}'], {"point": Point(1, [0.5])}),
        (["--when", "2021-03-04"], {"when": datetime.date(2021, 3, 4)}),
        (["--anything", '{"a": [1]}'], {"anything": {"a": [1]}}),
        (["--anything", "plain"], {"anything": "plain"}),
        ([], {}),
    ],
)
def test_options_give_values(arguments: list[str], expected: dict[str, Any]) -> None:
    """Scalars and enums have flags of their own kind, everything else is JSON; what is not given is left out."""
    assert parsed(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--number", "x"], "'x' is not a valid integer"),
        (["--items", "[1, \"2\"]"], "'--items': '[1, \"2\"]' is not list[int] as JSON: at [1]: Input should be a valid integer"),
        (["--items", "[1"], "Invalid JSON"),
        (["--colour", "GREEN"], "'GREEN' is not one of 'RED', 'BLUE'"),
        (["--when", "yesterday"], "is not date as JSON"),
        (["--numbr", "1"], "No such option"),
    ],
)  # fmt: skip
def test_options_refuse(arguments: list[str], text: str) -> None:
    """What does not fit is refused with the option's name and what is wrong."""
    result = CliRunner().invoke(click.Command("everything", params=list(options(everything))), arguments)
    assert result.exit_code == 2
    assert text in result.output


def test_help() -> None:
    """The help shows each input with its type, its default and what the docstring says of it."""
    output = " ".join(CliRunner().invoke(click.Command("everything", params=list(options(everything))), ["--help"]).output.split())
    assert "--number INTEGER How many there are. [required]" in output
    assert "--some-text, --some_text TEXT Two at once. [default: 'x']" in output
    assert "--items JSON (list[int]) [default: [1]]" in output


values = st.recursive(
    st.integers() | st.booleans() | st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)


@given(st.lists(st.builds(Point, st.integers(), st.lists(st.floats(allow_nan=False, allow_infinity=False)))))
def test_json_round_trip(points: list[Point]) -> None:
    """A value written as JSON is read as what it was."""
    assert from_json(list[Point], json.dumps([asdict(point) for point in points])) == points


@given(values)
def test_any_round_trip(value: Any) -> None:
    """Where anything is taken, JSON is read as JSON."""
    assert from_json(Any, json.dumps(value)) == value


@pytest.mark.parametrize(
    ("name", "text"), [("in.json", '{"number": 3, "point": {"x": 1, "y": [2]}}'), ("in.yaml", "number: 3\npoint: {x: 1, y: [2]}\n")]
)
def test_inputs_from_a_file(name: str, text: str, tmp_path: Path) -> None:
    """Inputs are read from JSON and from YAML, and fit the interface."""
    (tmp_path / name).write_text(text)
    assert read_inputs(str(tmp_path / name), everything.interface) == {"number": 3, "point": Point(1, [2.0])}


def test_inputs_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash stands for standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO("colour: BLUE\nwhen: 2021-03-04\n"))
    assert read_inputs("-", everything.interface) == {"colour": Colour.BLUE, "when": datetime.date(2021, 3, 4)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "must hold a mapping from inputs to values, not"),
        ("numbr: 1", "names the input 'numbr'; .*everything takes number: int"),
        ("number: x", "input 'number' in .*: '\"x\"' is not int as JSON"),
        ("{", "inputs cannot be read from"),
    ],
)
def test_files_that_do_not_fit(text: str, message: str, tmp_path: Path) -> None:
    """A file that cannot be read, or does not fit, is refused with its name."""
    (tmp_path / "in.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_inputs(str(tmp_path / "in.yaml"), everything.interface)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file is refused with its name."""
    with pytest.raises(InputError, match=r"inputs cannot be read from .*none\.json"):
        read_inputs(str(tmp_path / "none.json"), everything.interface)


def test_files_and_the_like() -> None:
    """A file is given by its path, and what has a text of its own by that, with no quotes."""

    @fl.task
    def use(table: fl.File, folder: fl.Directory | None = None, path: Path = Path(), share: Decimal = Decimal(0)) -> None: ...

    made = {one.name: one for one in options(use)}
    assert made["table"].type is click.STRING
    assert made["folder"].type is click.STRING
    assert made["path"].type.convert("a/b", None, None) == Path("a/b")
    assert made["share"].type.convert("1.50", None, None) == Decimal("1.50")
    assert use.interface.check_input("table", __file__) == fl.File(__file__)
