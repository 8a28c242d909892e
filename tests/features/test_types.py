"""Values of every type go through every kind of entity, wherever it runs, and come back as they were; wrong ones are refused alike."""

from __future__ import annotations

import collections
import datetime
import enum
import pickle
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import FunctionType
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, Protocol, TypedDict, TypeVar, Union, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest

import daskflow as fl
from daskflow.errors import InputError, OutputError
from tests.features.conftest import Flow
from tests.told import told

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    A = "a"


@dataclass
class Point:
    x: int
    y: float = 0.0


@dataclass
class Shape:
    corners: list[Point]
    colour: Colour | None = None
    names: dict[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class Slotted:
    number: int


@dataclass
class Box(Generic[T]):
    content: list[T]


class Model(pydantic.BaseModel):
    size: int
    inner: Model | None = None


class Pair(NamedTuple):
    low: int
    high: float = 0.0


class Settings(TypedDict, total=False):
    depth: int
    words: list[str]


class Own:
    """A class of a user's, which says nothing of itself."""

    def __init__(self, secret: Any) -> None:
        self.secret = secret


@runtime_checkable
class Goes(Protocol):
    def go(self) -> int: ...


class Car:
    def __init__(self, speed: int) -> None:
        self.speed = speed

    def go(self) -> int:
        return self.speed


def double(a: int) -> int:
    return 2 * a


def first_letters(value: Any) -> str:
    return str(value)[:3]


NAIVE = datetime.datetime(2024, 2, 29, 12)  # noqa: DTZ001
AWARE = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=5)))
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=["r", "s"])

#: What is declared, and values of it.
VALUES: list[tuple[Any, list[Any]]] = [
    (int, [0, -1, 10**30]),
    (float, [1.5, float("inf"), float("nan")]),
    (str, ["", "häß"]),
    (bool, [True, False]),
    (bytes, [b"", b"\x00\xff"]),
    (complex, [1 + 2j]),
    (datetime.datetime, [NAIVE, AWARE]),
    (datetime.date, [datetime.date(2024, 2, 29)]),
    (datetime.time, [datetime.time(12, 30)]),
    (datetime.timedelta, [datetime.timedelta(days=-1, microseconds=1)]),
    (Decimal, [Decimal("1.50")]),
    (uuid.UUID, [uuid.UUID(int=7)]),
    (Path, [Path("a") / "b"]),
    (list[int], [[], [1, 2]]),
    (list[list[float]], [[[1.0], []]]),
    (dict[str, int], [{}, {"a": 1}]),
    (dict[int, list[str]], [{1: ["a"], 2: []}]),
    (dict[str, dict[str, Point]], [{"a": {"b": Point(1)}}]),
    (set[int], [set(), {1, 2}]),
    (frozenset[str], [frozenset({"a"})]),
    (tuple[int, ...], [(), (1, 2)]),
    (collections.deque[int], [collections.deque([1, 2], maxlen=3)]),
    (collections.defaultdict[str, int], [collections.defaultdict(int, a=1)]),
    (list, [[1, "a", None]]),
    (dict, [{"a": [1], 2: {"b": None}}]),
    (tuple, [(1, "a")]),
    (set, [{1, "a"}]),
    (Sequence[int], [[1, 2], (1, 2), range(3)]),
    (Mapping[str, int], [{"a": 1}]),
    (Iterable[float], [[1.0]]),
    (Optional[int], [None, 3]),  # noqa: UP045
    (Union[int, str], [3, "a"]),  # noqa: UP007
    (int | list[int] | None, [None, 3, [1, 2]]),
    (list[Point | None], [[None, Point(1)]]),
    (Colour, [Colour.RED, Colour.BLUE]),
    (Level, [Level.LOW]),
    (Word, [Word.A]),
    (Literal["a", 1, True], ["a", 1, True]),
    (Point, [Point(1, 2.0)]),
    (Shape, [Shape([Point(1), Point(2)], Colour.RED, {"a": ["b"]}), Shape([])]),
    (Slotted, [Slotted(1)]),
    (Box[int], [Box([1, 2])]),
    (Box[list[Point]], [Box([[Point(1)]])]),
    (Model, [Model(size=1, inner=Model(size=2))]),
    (list[Pair], [[Pair(1, 2.0)]]),
    (Settings, [{"depth": 1, "words": ["a"]}, {}]),
    (UserId, [UserId(7)]),
    (Any, [1, "a", None, Own([1])]),
    (object, [Own({"a": 1})]),
    (Own, [Own("x")]),
    (Goes, [Car(3)]),
    (Callable[[int], int], [double]),
    (type[Own], [Own]),
    (np.ndarray, [np.arange(6).reshape(2, 3)]),
    (npt.NDArray[np.float64], [np.zeros(0), np.linspace(0, 1, 5)]),
    (np.float64, [np.float64(1.5)]),
    (np.int32, [np.int32(3)]),
    (pd.DataFrame, [FRAME]),
    (pd.Series, [FRAME["a"]]),
    (pl.DataFrame, [pl.DataFrame({"a": [1, None]})]),
    (pa.Table, [pa.table({"a": [1, 2]})]),
    (Annotated[int, pydantic.Field(gt=0)], [3]),
    (Annotated[Own, fl.HashMethod(first_letters)], [Own(2)]),
    (Annotated[pd.DataFrame, fl.HashMethod(first_letters)], [FRAME]),
]


def same(found: Any, given: Any) -> bool:
    """Tell whether a value is what another one is, types included."""
    if type(found) is not type(given):
        return False
    if isinstance(given, FunctionType):
        # A user's function travels by value.
        return found.__code__ == given.__code__ and bool(found(3) == given(3))
    if isinstance(given, np.ndarray):
        return found.dtype == given.dtype and np.array_equal(found, given)
    if hasattr(given, "equals"):
        return bool(found.equals(given))
    if isinstance(given, (Own, Car)):
        return vars(found) == vars(given)
    if isinstance(given, dict):
        return list(found) == list(given) and all(same(found[key], given[key]) for key in given)
    if isinstance(given, (list, tuple)):
        return len(found) == len(given) and all(map(same, found, given))
    return bool(found == given) or (found != found and given != given)


def declared(function: Any, annotation: Any, gives: Any) -> Any:
    function.__annotations__ = {"a": annotation, "return": gives}
    return function


def entities(annotation: Any) -> dict[str, Any]:
    """Return entities of every kind whose input and output are of a type."""

    @fl.task
    def given(a: annotation) -> annotation:
        return a

    @fl.workflow
    def flow(a: annotation) -> annotation:
        return given(a=given(a=a))

    plan = fl.LaunchPlan.get_or_create(flow)

    @fl.dynamic
    def body(a: annotation) -> annotation:
        return flow(a=a)

    @fl.dynamic
    def all_kinds(a: annotation) -> list[annotation]:
        return [given(a=a), flow(a=a), body(a=a), plan(a=given(a=a)), fl.map_task(given)(a=[a, given(a=a)])[1], a]

    return {"task": given, "workflow": flow, "dynamic": body, "plan": plan, "map": fl.map_task(given), "all": all_kinds}


@pytest.mark.parametrize(("annotation", "values"), VALUES, ids=[str(annotation) for annotation, _ in VALUES])
def test_values_come_back(flow: Flow, mode: str, annotation: Any, values: list[Any]) -> None:
    """A value goes through tasks, workflows, dynamics, launch plans and maps, alone and within each other, and is the same at the end."""
    kinds = entities(annotation)
    for value in values:
        found = flow(kinds["all"], a=value)
        assert len(found) == 6
        assert all(same(one, value) for one in found), (found, value)
    if mode == "a task for each node":
        # Alone they are what they are within each other there.
        return
    assert same(flow(kinds["task"], a=values[0]), values[0])
    assert same(flow(kinds["plan"], a=values[0]), values[0])
    assert same(flow(kinds["map"], a=values), values)


@fl.task
def of_none(a: None) -> None:
    return a


@fl.workflow
def of_none_wf(a: None) -> None:
    return of_none(a=of_none(a=a))


def test_none(flow: Flow) -> None:
    """What is declared ``None`` takes ``None``, and gives nothing."""
    assert flow(of_none_wf, a=None) is None
    assert flow(fl.map_task(of_none), a=[None, None]) is None
    assert flow(fl.LaunchPlan.get_or_create(of_none_wf), a=None) is None


@fl.task
def several(a: int) -> tuple[int, str, list[Point]]:
    return a, str(a), [Point(a)]


@fl.task
def pair(a: Pair) -> Pair:
    return a


@fl.workflow
def several_wf(a: int) -> tuple[str, Pair, int]:
    number, text, points = several(a=a)
    low, _ = pair(a=Pair(3, 4.0))
    return text, pair(a=pair(a=Pair(number, 2.0))), points[0].x if a is None else low


@fl.dynamic
def several_dynamic(a: int) -> Pair:
    _, found, low = fl.LaunchPlan.get_or_create(several_wf)(a=a)
    return Pair(low, found.high)


def test_several_outputs(flow: Flow) -> None:
    """A tuple or a NamedTuple as an output is several outputs; as an input it is one value."""
    assert flow(several, a=1) == (1, "1", [Point(1)])
    found = flow(pair, a=Pair(1, 2))
    assert isinstance(found, Pair)
    assert repr(found) == "Pair(low=1, high=2.0)"
    assert flow(several_wf, a=1) == ("1", Pair(1, 2.0), 3)
    assert flow(several_dynamic, a=1) == Pair(3, 2.0)


def test_numbers_become_what_is_declared(flow: Flow) -> None:
    """An int becomes a float where one is declared, and numpy's scalars what they are of, at any depth and in every kind of entity."""
    assert repr(flow(entities(float)["all"], a=1)) == "[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]"
    assert repr(flow(entities(list[float])["task"], a=[1, np.int64(2), np.float32(0.5)])) == "[1.0, 2.0, 0.5]"
    assert repr(flow(entities(int)["plan"], a=np.int64(3))) == "3"
    assert repr(flow(entities(bool)["dynamic"], a=np.bool_(True))) == "True"


# ---------------------------------------------------------------- files


@fl.task
def length(a: fl.File) -> int:
    return len(a.read_text())


@fl.task
def write(text: str) -> fl.File:
    return fl.File.new("text.txt").write_text(text)


@fl.task
def names(a: fl.Directory) -> list[str]:
    return sorted(one.name for one in a)


@fl.task
def fill(a: fl.File) -> fl.Directory:
    folder = fl.Directory.new("folder")
    folder.new_file("copy.txt").write_text(a.read_text())
    return folder


@fl.dynamic
def written(texts: list[str]) -> list[int]:
    files = fl.map_task(write)(text=texts)
    return [*[length(a=files[index]) for index in range(len(texts))], length(a=write(text="abc"))]


@fl.workflow
def filled(a: fl.File) -> list[str]:
    return names(a=fill(a=a))


@pytest.mark.parametrize("where", ["local", "memory"])
def test_files_and_directories(flow: Flow, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and directories, on the disk and where fsspec finds them, are values as any others; paths stand for them."""
    place = str(tmp_path) if where == "local" else f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("DASK_DASKFLOW__FILES__URL", place)
    given = fl.File(f"{place}/given.txt").write_text("four")
    with fl_files(place):
        kinds = entities(fl.File)
        assert all(one.uri == given.uri for one in flow(kinds["all"], a=given))
        assert [one.uri for one in flow(kinds["map"], a=[given, given])] == [given.uri] * 2
        assert flow(length, a=given.uri) == 4
        assert flow(written, texts=["a", "bb"]) == [1, 2, 3]
        assert flow(filled, a=given) == ["copy.txt"]


def fl_files(place: str) -> Any:
    import dask

    return dask.config.set({"daskflow.files.url": place})


def test_files_that_are_not_there(flow: Flow, tmp_path: Path) -> None:
    """A local file that is not there is an error of the call, and of the task that gave it."""

    @fl.task
    def lies() -> fl.File:
        return fl.File(tmp_path / "never")

    for wrong in (str(tmp_path / "gone"), [1]):
        with pytest.raises(InputError, match=r"input 'a' of .*length: (there is no file at .*gone on host|expected File, got \[1\])"):
            flow(length, a=wrong)
    with pytest.raises(OutputError, match=r"lies declares -> File: there is no file at .*never"):
        flow(lies)


# ---------------------------------------------------------------- wrong values


WRONG: list[tuple[Any, Any, str]] = [
    (int, True, "expected int, got True of type bool"),
    (int, "1", "expected int, got '1' of type str"),
    (int, 1.0, "expected int, got 1.0 of type float"),
    (int, None, "expected int, got None of type NoneType"),
    (float, "1", "expected float, got '1'"),
    (float, True, "expected float, got True"),
    (bool, 1, "expected bool, got 1"),
    (str, 1, "expected str, got 1"),
    (bytes, "a", "expected bytes, got 'a'"),
    (datetime.datetime, "2024-02-29", "expected datetime, got '2024-02-29'"),
    (datetime.date, NAIVE, "expected date, got datetime"),
    (list[int], (1,), r"expected list\[int\], got \(1,\) of type tuple"),
    (list[int], [1, "2"], r"at \[1\]: expected int, got '2'"),
    (dict[str, int], {1: 1}, "at key 1: expected str, got 1"),
    (dict[str, list[int]], {"a": [None]}, r"at \['a'\]\[0\]: expected int, got None"),
    (set[int], [1], r"expected set\[int\], got \[1\]"),
    (int | None, "a", r"expected int \| None, got 'a'"),
    (Colour, "red", "expected Colour, got 'red'"),
    (Literal["a", "b"], "c", r"expected Literal\['a', 'b'\], got 'c'"),
    (Literal[1], True, r"expected Literal\[1\], got True of type bool"),
    (Point, {"x": 1}, "expected Point, got {'x': 1}"),
    (Point, Point("a"), "at .x: expected int, got 'a'"),  # type: ignore[arg-type]
    (Shape, Shape([Point(1), Point(2, "b")]), r"at .corners\[1\].y: expected float, got 'b'"),  # type: ignore[arg-type]
    (Box[int], Box(["a"]), r"at .content\[0\]: expected int, got 'a'"),
    (Model, {"size": 1}, "expected Model, got {'size': 1}"),
    (Settings, {"hight": 1}, "the key 'hight' is not declared"),
    (Own, Point(1), "expected Own, got Point"),
    (Goes, Own(1), "expected Goes, got"),
    (npt.NDArray[np.float64], np.zeros(2, int), "expected .*float64.*, got array"),
    (pd.DataFrame, {"a": [1]}, "expected DataFrame, got"),
    (Annotated[int, pydantic.Field(gt=0)], 0, "input should be greater than 0, got 0"),
    (Sequence[int], iter([1]), "gives its items only once; make a list of it"),
]


@fl.task
def untyped(a: Any) -> Any:
    return a


def test_wrong_values(flow: Flow) -> None:
    """What does not fit is refused with one message, whatever took it, whatever gave it, and wherever that ran."""
    found = []
    for annotation, value, said in WRONG:
        if "iter" in type(value).__name__:
            continue
        kinds = entities(annotation)
        gives = fl.task(declared(lambda a: a, Any, annotation))

        cases: list[tuple[Any, Any, Any, type[Exception]]] = [
            *((kinds[kind], value, "input 'a' of", InputError) for kind in ("task", "workflow", "dynamic", "plan")),
            (kinds["map"], [value], "input 'a' of map of", InputError),
            (gives, value, "declares -> ", OutputError),
        ]
        found += [(annotation, _refused(flow, entity, a), rf"{where}.*{_inside(said)}", kind) for entity, a, where, kind in cases]
    assert not [
        (annotation, error) for annotation, error, said, kind in found if type(error) is not kind or not re.search(said, str(error))
    ]


def _inside(said: str) -> str:
    # In a map's list there is one more step before the place that is told of.
    return said.partition(": ")[2] if said.startswith("at ") else said


def _refused(flow: Flow, entity: Any, value: Any) -> BaseException | None:
    try:
        flow(entity, a=value)
    except Exception as error:
        return error
    return None


def test_values_that_are_wrong_when_they_arrive(flow: Flow) -> None:
    """What is wrong of a node's output for the next one's input is refused when it arrives, with the address of the node that took it."""

    @fl.dynamic
    def passes(a: Any) -> list[int]:
        return fl.map_task(takes_points)(a=[[Point(1)], untyped(a=a)])

    with pytest.raises(InputError, match=r"input 'a' of .*map of .*takes_points: at \[1\]\[0\].x: expected int, got 'x'"):
        flow(passes, a=[Point("x")])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"input 'a' of .*takes_points: expected list\[.*Point\], got 3") as failed:
        flow(fl.dynamic(declared(lambda a: takes_points(a=untyped(a=a)), Any, Any)), a=3)
    assert told(failed.value).address == "takes_points"


@fl.task
def takes_points(a: list[Point]) -> int:
    return len(a)


# ---------------------------------------------------------------- promises


#: What is given where what else is declared, and whether that may be.
PROMISED: list[tuple[Any, Any, bool]] = [
    (int, float, True),
    (int, str, False),
    (str, int, False),
    (bool, int, False),
    (int, int | None, True),
    (int | None, int, False),
    (list[int], list[float], True),
    (list[int], list[str], False),
    (list[int], Sequence[int], True),
    (list[int | None], list[int], False),
    (dict[str, int], dict[str, str], False),
    (dict[str, int], Mapping[str, int], True),
    (Point, Shape, False),
    (Point, Point | None, True),
    (Box[int], Box[int], True),
    (Model, Point, False),
    (Colour, Literal["red"], False),
    (Literal["a"], str, True),
    (Any, int, True),
    (int, Any, True),
    (np.ndarray, pd.DataFrame, True),
    (fl.File, fl.File, True),
    (datetime.datetime, datetime.date, False),
]


@pytest.mark.parametrize("build", [fl.workflow, fl.dynamic])
def test_promised_types(build: Any) -> None:
    """Of a promise the declared type is checked while the graph is built: refused is what could not be accepted."""
    wrong = []
    for gives, takes, fits in PROMISED:
        source = fl.task(declared(lambda a: a, Any, gives))
        target = fl.task(declared(lambda a: a, takes, Any))
        built = True
        try:
            _built(build, source, target)
        except (InputError, OutputError) as error:
            # Of a dynamic that could be built, values may be wrong.
            built = "is declared" not in str(error)
        if built is not fits:
            wrong.append((gives, takes, built))
    assert not wrong


def _built(build: Any, source: Any, target: Any) -> None:
    body = declared(lambda a: target(a=source(a=a)), Any, Any)
    if build is fl.workflow:
        fl.workflow(body).prepare()
    else:
        fl.dynamic(body)(a=1)


def test_types_travel() -> None:
    """An interface that was pickled checks what it checked."""
    for annotation, values in VALUES:
        given = entities(annotation)["task"].interface
        again = pickle.loads(pickle.dumps(given)) if annotation != type[Own] else given
        assert all(same(again.check_input("a", value), given.check_input("a", value)) for value in values)
