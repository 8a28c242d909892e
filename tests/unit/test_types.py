"""What each declared type accepts, what it makes of it, and what it refuses with what words."""

from __future__ import annotations

import collections
import datetime
import subprocess
import sys
import types
import typing
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Optional, TypeVar, Union

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings
from pydantic.dataclasses import dataclass as pydantic_dataclass

import daskflow as fl
from daskflow.caching import HashMethod
from daskflow.errors import DefinitionError, InputError, OutputError
from daskflow.types import Checker, Mismatch, checks_inside
from tests.unit.typed import (
    CASES,
    Box,
    CanGo,
    CannotGo,
    Case,
    Colour,
    Derived,
    Goes,
    Level,
    Model,
    Named,
    Pair,
    Plain,
    Point,
    Settings,
    Shelf,
    Slotted,
    T,
    Tree,
    UserId,
    Word,
)

POSITIVE = Annotated[int, pydantic.Field(gt=0)]
Json = typing_extensions.TypeAliasType("Json", "dict[str, Json] | list[Json] | str | float | None")


@pydantic_dataclass
class Measured:
    size: int


class Open(pydantic.BaseModel):
    size: int

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_int(cls, value: Any) -> Any:
        return {"size": value} if isinstance(value, int) else value


class Old(typing_extensions.TypedDict):
    a: int


NAIVE = datetime.datetime(2024, 2, 29, 12)  # noqa: DTZ001
AWARE = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)

#: Values that come back as the very objects that they are.
ACCEPTED: list[tuple[Any, Any]] = [
    (int, 3),
    (int, 10**30),
    (float, 1.5),
    (float, float("nan")),
    (str, "a"),
    (bool, True),
    (bytes, b"a"),
    (None, None),
    (complex, 1j),
    (Any, object()),
    (object, object()),
    (datetime.datetime, NAIVE),
    (datetime.datetime, AWARE),
    (datetime.datetime, pd.Timestamp("2024-02-29")),
    (datetime.date, datetime.date(2024, 2, 29)),
    (datetime.time, datetime.time(12)),
    (datetime.timedelta, datetime.timedelta(1)),
    (Decimal, Decimal("NaN")),
    (uuid.UUID, uuid.UUID(int=0)),
    (Path, Path("a")),
    (Fraction, Fraction(1, 2)),
    (Optional[int], None),  # noqa: UP045
    (Union[int, str], "a"),  # noqa: UP007
    (int | None, 3),
    (float | int, 3),
    (Colour, Colour.RED),
    (Literal[1, "a", True], True),
    (Literal[Colour.RED], Colour.RED),
    (Literal[Literal[1], Literal[2]], 2),  # noqa: RUF041
    (Point, Point(1)),
    (Point, Point(1, 2)),
    (Point, Named(1)),
    (Point, Point(np.int64(1), np.float32(2))),  # type: ignore[arg-type]
    (Tree, Tree(1, [Tree(2)], Point(1))),
    (Box[int], Box([1])),
    (Box, Box([1, "a"])),
    (Slotted, Slotted(1)),
    (Measured, Measured(1)),
    (Model, Model(size=1)),
    (Pair, Pair(1, 2.0)),
    (Plain, Derived()),
    (Shelf[int], Shelf()),
    (CanGo, Goes()),
    (Hashable, 1),
    (UserId, 3),
    (type, int),
    (type[int], bool),
    (Callable, len),
    (Callable[[int], int], len),
    (np.ndarray, np.zeros(2)),
    (npt.NDArray[np.float64], np.zeros(2)),
    (npt.NDArray[np.floating], np.zeros(2, np.float32)),
    (npt.NDArray[Any], np.zeros(2)),
    (np.float64, np.float64(1)),
    (pd.DataFrame, pd.DataFrame({"a": [1]})),
    (pd.Series, pd.Series([1])),
    (pl.DataFrame, pl.DataFrame({"a": [1]})),
    (pa.Table, pa.table({"a": [1]})),
    (Annotated[pd.DataFrame, HashMethod(str)], pd.DataFrame()),
    (Annotated[Decimal, pydantic.Field(max_digits=3)], Decimal("1.5")),
    (POSITIVE, 3),
    (Sequence[int], range(3)),
    (Iterable[float], np.zeros(2)),
    (Mapping[str, int], types.MappingProxyType({"a": 1})),
    (Collection[str], {"a": 1}.keys()),
    (T, object()),
]

#: Values that become others: containers are copied, numbers become what is declared.
CONVERTED: list[tuple[Any, Any, Any]] = [
    (float, 1, 1.0),
    (float, np.int64(1), 1.0),
    (float, np.float32(0.5), 0.5),
    (int, np.int64(3), 3),
    (int, np.uint8(3), 3),
    (int, Level.LOW, 1),
    (bool, np.bool_(True), True),
    (str, np.str_("a"), "a"),
    (str, Word.A, "a"),
    (list[int], [1, np.int64(2)], [1, 2]),
    (list[float], [1, 2.5, np.float64(3), np.int8(4)], [1.0, 2.5, 3.0, 4.0]),
    (list[bool], [np.bool_(False)], [False]),
    (list[float | int], [np.int64(1), np.float64(2)], [1, 2.0]),
    (list[list[float]], [[1]], [[1.0]]),
    (dict[str, float], {"a": np.int64(1)}, {"a": 1.0}),
    (dict[int, int], {np.int64(1): 2}, {1: 2}),
    (tuple[float, ...], (1, 2), (1.0, 2.0)),
    (tuple[int, str], (np.int64(1), "a"), (1, "a")),
    (set[int], {1, 2}, {1, 2}),
    (frozenset[int], frozenset({np.int64(1)}), frozenset({1})),
    (list, [1, "a"], [1, "a"]),
    (dict, {1: "a"}, {1: "a"}),
    (tuple, (1, "a"), (1, "a")),
    (set, {1}, {1}),
    (list[Any], [1, None], [1, None]),
    (list[int | None], [None, 1], [None, 1]),
    (Pair, Pair(1, 2), Pair(1, 2.0)),
    (list[Pair], [Pair(np.int64(1))], [Pair(1)]),  # type: ignore[arg-type]
    (Settings, {"depth": np.int64(1), "words": ["a"]}, {"depth": 1, "words": ["a"]}),
    (Settings, {"depth": 1}, {"depth": 1}),
    (Old, {"a": 1}, {"a": 1}),
    (Sequence[float], [1], [1.0]),
    (Sequence[float], (1,), (1.0,)),
    (Mapping[str, float], {"a": 1}, {"a": 1.0}),
    (collections.deque[int], collections.deque([1]), collections.deque([1])),
    (collections.deque[float], collections.deque([1], maxlen=2), collections.deque([1.0], maxlen=2)),
    (collections.deque, collections.deque(["a"]), collections.deque(["a"])),
    (collections.defaultdict[str, float], collections.defaultdict(float, a=1), collections.defaultdict(float, a=1.0)),
    (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2), collections.OrderedDict(b=1, a=2)),
    (collections.Counter[str], collections.Counter("aab"), collections.Counter("aab")),
    (POSITIVE, np.int64(3), 3),
    (Annotated[int, pydantic.BeforeValidator(int)], "3", 3),
    (Json, {"a": ["b", 1, None]}, {"a": ["b", 1.0, None]}),
    (list[UserId], [np.int64(3)], [3]),
    (Open, 3, Open(size=3)),
]

REFUSED: list[tuple[Any, Any, str]] = [
    (int, True, "expected int, got True of type bool"),
    (int, "1", "expected int, got '1' of type str"),
    (int, 1.0, "expected int, got 1.0 of type float"),
    (float, False, "expected float, got False of type bool"),
    (float, "1", "expected float, got '1'"),
    (float, Decimal(1), "expected float, got Decimal"),
    (float, 10**400, "expected float, and 1000.* is too large"),
    (bool, 1, "expected bool, got 1 of type int"),
    (str, 1, "expected str, got 1"),
    (str, b"a", "expected str, got b'a'"),
    (bytes, bytearray(b"a"), "expected bytes"),
    (None, 0, "expected None, got 0"),
    (complex, 1.0, "expected complex, got 1.0"),
    (list[int], [1, True], r"at \[1\]: expected int, got True of type bool"),
    (list[int], [np.int64(1), "2"], r"at \[1\]: expected int, got '2'"),
    (list[float], [True], r"at \[0\]: expected float, got True"),
    (list[float], [Decimal(1)], r"at \[0\]: expected float, got Decimal"),
    (list[bool], [1], r"at \[0\]: expected bool, got 1"),
    (list[str], [1], r"at \[0\]: expected str, got 1"),
    (list[int], (1,), r"expected list\[int\], got \(1,\) of type tuple"),
    (list[int], np.zeros(2, int), r"expected list\[int\], got array"),
    (list, (1,), "expected list, got"),
    (tuple, [1], "expected tuple, got"),
    (tuple[int, ...], [1], r"expected tuple\[int, \.\.\.\], got \[1\] of type list"),
    (tuple[int, str], (1,), r"expected tuple\[int, str\], got \(1,\)"),
    (tuple[int, str], (1, "a", 2), r"expected tuple\[int, str\], got \(1, 'a', 2\)"),
    (tuple[int, str], (1, 2), r"at \[1\]: expected str, got 2"),
    (set[int], frozenset({1}), r"expected set\[int\], got frozenset"),
    (dict[str, int], {1: 1}, "at key 1: expected str, got 1"),
    (dict[str, list[int]], {"a": [1, None]}, r"at \['a'\]\[1\]: expected int, got None"),
    (int | None, "1", r"expected int \| None, got '1'"),
    (list[int | str], [1.0], r"at \[0\]: expected int \| str, got 1.0"),
    (POSITIVE | None, -1, "input should be greater than 0, got -1"),
    (POSITIVE, np.int64(-1), "input should be greater than 0"),
    (list[POSITIVE], [1, 0], r"at \[1\]: input should be greater than 0, got 0"),
    (Annotated[str, pydantic.Field(pattern="^a")], "b", "string should match pattern"),
    (Annotated[list[int], pydantic.Field(max_length=1)], [1, 2], "list should have at most 1 item"),
    (Annotated[datetime.datetime, pydantic.Field(gt=NAIVE)], NAIVE, "input should be greater than"),
    (datetime.date, NAIVE, "expected date, got datetime"),
    (datetime.datetime, datetime.date(2024, 2, 29), "expected datetime, got"),
    (datetime.datetime, "2024-02-29", "expected datetime, got"),
    (Path, "a", "expected Path, got 'a'"),
    (Colour, "red", "expected Colour, got 'red'"),
    (Level, 1, "expected Level, got 1"),
    (Literal[1], True, r"expected Literal\[1\], got True of type bool"),
    (Literal[True], 1, "got 1 of type int"),
    (Literal[1], 1.0, "got 1.0 of type float"),
    (Literal["a"], Word.A, r"expected Literal\['a'\], got"),
    (Literal["a"], [], r"expected Literal\['a'\], got \[\]"),
    (list[Literal["a"]], ["a", "b"], r"at \[1\]: expected Literal\['a'\], got 'b'"),
    (Point, {"x": 1}, "expected Point, got {'x': 1}"),
    (Point, Point("a"), "at .x: expected int, got 'a'"),  # type: ignore[arg-type]
    (Point, Point(True), "at .x: expected int, got True"),
    (list[Point], [Point(1), Point(1, "b")], r"at \[1\].y: expected float, got 'b'"),  # type: ignore[arg-type]
    (Tree, Tree(1, [Tree(2, at=Point(None))]), r"at .children\[0\].at.x: expected int, got None"),  # type: ignore[arg-type]
    (Box[int], Box(["a"]), r"at .content\[0\]: expected int, got 'a'"),
    (Slotted, Slotted("a"), "at .number: expected int"),  # type: ignore[arg-type]
    (Pair, (1, 2.0), "expected Pair, got"),
    (Pair, Pair("a"), "at .low: expected int, got 'a'"),  # type: ignore[arg-type]
    (Settings, {"words": []}, "the key 'depth' is missing"),
    (Settings, {"depth": 1, "hight": 2}, "the key 'hight' is not declared"),
    (Settings, {"depth": 1, "words": [1]}, r"at \['words'\]\[0\]: expected str, got 1"),
    (Model, {"size": 1}, "expected Model, got"),
    (list[Model], [1], r"at \[0\]: expected Model, got 1"),
    (Plain, 1, "expected Plain, got 1"),
    (CanGo, Plain(), "expected CanGo, got"),
    (UserId, "a", "expected UserId, got 'a'"),
    (type[int], str, r"expected type\[int\], got <class 'str'>"),
    (Callable[[int], int], 3, r"expected .*Callable\[\[int\], int\], got 3"),
    (npt.NDArray[np.float64], np.zeros(2, int), r"expected .*\[numpy.float64\].*, got array"),
    (pd.DataFrame, {"a": [1]}, "expected DataFrame, got"),
    (collections.deque[int], [1], r"expected collections.deque\[int\], got \[1\]"),
    (collections.deque[int], collections.deque([1, "a"]), r"at \[1\]: expected int, got 'a'"),
    (collections.OrderedDict[str, int], {"a": 1}, r"expected collections.OrderedDict\[str, int\], got"),
    (collections.Counter[str], collections.Counter([1]), "at key 1: expected str, got 1"),
    (Sequence[int], "12", "text is one value, not many"),
    (Sequence[int], iter([1]), "gives its items only once; make a list of it"),
    (Iterable[int], (one for one in [1]), "gives its items only once; make a list of it"),
    (Iterable[int], map(int, "12"), "gives its items only once"),
    (Sequence[int], [1, "a"], r"at \[1\]: expected int, got 'a'"),
    (Iterable[int], np.array([1.5]), "expected int, got"),
    (Mapping[str, int], types.MappingProxyType({"a": "b"}), r"at \['a'\]: expected int, got 'b'"),
    (typing.NoReturn, 1, "expected NoReturn, got 1"),
    (Annotated[int, pydantic.Field(pattern="a")], 1, "1 cannot be checked against int: TypeError: Unable to apply constraint 'pattern'"),
    (Json, {"a": 1j}, "got"),
]


def _id(value: Any) -> str:
    return str(value)[:40]


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED, ids=_id)
def test_accepted(annotation: Any, value: Any) -> None:
    """A value that is right comes back as the object that it is."""
    assert Checker(annotation).check(value) is value


@pytest.mark.parametrize(("annotation", "value", "expected"), CONVERTED, ids=_id)
def test_converted(annotation: Any, value: Any, expected: Any) -> None:
    """What is accepted and of another kind becomes what is declared, at any depth."""
    found = Checker(annotation).check(value)
    assert found == expected
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(("annotation", "value", "text"), REFUSED, ids=_id)
def test_refused(annotation: Any, value: Any, text: str) -> None:
    """What does not fit is refused, with the place, what is declared there, and what was given."""
    with pytest.raises(Mismatch, match=text):
        Checker(annotation).check(value)


UNUSABLE: list[tuple[Any, str]] = [
    (Iterator[int], r"Iterator\[int\] can be gone through only once.*; declare list\[int\]"),
    (Generator[int, None, None], r"can be gone through only once.*; declare list\[int\]"),
    (AsyncIterator[str], r"declare list\[str\]"),
    (Awaitable[int], "declare what it gives"),
    (list[Iterator[int]], "can be gone through only once"),
    (CannotGo, "CannotGo is a Protocol that values cannot be checked against; decorate it with @runtime_checkable"),
    (ClassVar[int], r"ClassVar\[int\] is not a type of values"),
    (Final[int], "is not a type of values"),
    (InitVar[int], "is not a type of values"),
    (typing.Self, "is not a type of values"),
    (3, "3 is not a type of values"),
    (typing.Generic, "Generic is not a type of values"),
    (collections.defaultdict[int], "says 1 types, and defaultdict has 2"),  # type: ignore[misc]
    (list[int, str], r"list\[int, str\] says 2 types, and list has 1"),  # type: ignore[misc]
    (dict[int], r"dict\[int\] says 1 types, and dict has 2"),  # type: ignore[misc]
    (tuple[int, ..., str], r"has \.\.\. where it means nothing"),  # type: ignore[misc]
    (Annotated[list[int], pydantic.Field(min_length="x")], r"list\[int\] is not a usable annotation: "),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("annotation", "text"), UNUSABLE, ids=_id)
def test_what_cannot_be_declared(annotation: Any, text: str) -> None:
    """What is no type of values, or of values that cannot be checked and used, is refused where it is declared."""
    with pytest.raises(TypeError, match=text):
        Checker(annotation)


def test_refused_at_decoration() -> None:
    """The error of a declaration names the entity and the parameter."""

    def through(numbers: Iterator[int]) -> int:
        return sum(numbers)

    def never(a: typing.Never) -> int:
        return a

    with pytest.raises(DefinitionError, match=r"the annotation of 'numbers' of .*through cannot be used: .*declare list\[int\]"):
        fl.task(through)
    with pytest.raises(DefinitionError, match="the annotation of 'a' of .*never cannot be used: it has no values"):
        fl.task(never)


def test_a_task_that_only_raises() -> None:
    """A function that never returns can say so."""

    @fl.task
    def fail(a: int) -> typing.NoReturn:
        raise KeyError(a)

    @fl.task
    def returns(a: int) -> typing.NoReturn:
        return a  # type: ignore[misc]

    with pytest.raises(KeyError):
        fail(a=1)
    with pytest.raises(OutputError, match="expected NoReturn, got 1"):
        returns(a=1)


def test_what_contains_itself() -> None:
    """A value that contains itself is refused, and does not end the process."""
    tree = Tree(1)
    tree.children.append(tree)
    with pytest.raises(Mismatch, match="contains itself, or is nested too deeply"):
        Checker(Tree).check(tree)


def test_deep_values() -> None:
    """A value may be nested as deeply as code that looks at it could go."""
    tree = Tree(0)
    for _ in range(100):
        tree = Tree(1, [tree])
    assert Checker(Tree).check(tree) is tree
    nested: Any = 1.0
    for _ in range(50):
        nested = [nested]
    assert Checker(Json).check(nested) == nested


def test_containers_are_copies() -> None:
    """What a caller does to its list after a call does not change what it gave."""
    given = [[1], [2]]
    checked = Checker(list[list[int]]).check(given)
    given[0].append(3)
    assert checked == [[1], [2]]


def test_no_instance_is_made() -> None:
    """The check of a dataclass makes no instance of it, since that might do something."""
    made = []

    @dataclass
    class Loud:
        x: int

        def __post_init__(self) -> None:
            made.append(self)

    value = Loud(1)
    assert Checker(list[Loud]).check([value])[0] is value
    assert made == [value]


def test_fields_that_cannot_be_checked() -> None:
    """A field whose type is known to type checkers alone, or is of no use as an input, says nothing of values; the others do."""

    @dataclass
    class Odd:
        known: int
        unknown: OnlyCheckersKnow  # type: ignore[name-defined]  # noqa: F821
        source: Iterator[int]

    check = Checker(Odd).check
    value = Odd(1, object(), iter([1]))
    assert check(value) is value
    with pytest.raises(Mismatch, match="at .known: expected int"):
        check(Odd("a", None, iter([])))  # type: ignore[arg-type]


def test_recursive_local_class() -> None:
    """A class that is local and refers to itself is checked at every depth."""

    @dataclass
    class Chain:
        value: int
        rest: Chain | None = None

    assert Checker(Chain).check(Chain(1, Chain(2)))
    with pytest.raises(Mismatch, match="at .rest.rest.value: expected int, got 'a'"):
        Checker(Chain).check(Chain(1, Chain(2, Chain("a"))))  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_checked_again(case: Case) -> None:
    """What a check gives back passes it again, unchanged; checks are made anew where they travel to."""
    checker = Checker(case[0])
    again = Checker(*checker.__reduce__()[1])
    for value in case[1]:
        checked = checker.check(value)
        assert repr(again.check(checked)) == repr(checked)


@pytest.mark.parametrize(
    ("annotation", "inside"),
    [
        (int, True),
        (list[int], True),
        (dict[str, list[float | None]], True),
        (Literal["a"], True),
        (Colour, True),
        (Point, True),
        (Tree, True),
        (Box[int], True),
        (tuple[int, ...], True),
        (Any, False),
        (list, False),
        (list[Any], False),
        (Box, False),
        (Callable[[int], int], False),
        (list[Callable[[], int]], False),
        (CanGo, False),
        (Iterable, False),
        (T, False),
        (Hashable, False),
        (dict[str, object], False),
    ],
)
def test_checks_inside(annotation: Any, inside: bool) -> None:
    """Where a check lets anything pass, promises are looked for."""
    assert checks_inside(annotation) is inside


def test_promises_where_anything_goes() -> None:
    """A promise in a container is replaced by its value, also where the declared type would accept the promise as it is."""

    @fl.task
    def one() -> int:
        return 1

    @fl.task
    def first(values: list[Hashable], functions: tuple[Callable[..., Any] | int, ...]) -> str:
        return f"{values[0]} {functions[0]}"

    @fl.workflow
    def flow() -> str:
        return first(values=[one()], functions=(one(), 2))

    assert flow() == "1 1"


# ---------------------------------------------------------------- through workflows


class Both(NamedTuple):
    """Two outputs."""

    count: int
    pair: Pair


ROUND_TRIPS = [*ACCEPTED, *((annotation, value) for annotation, value, _ in CONVERTED)]


def _same(left: Any, right: Any) -> bool:
    if hasattr(left, "equals"):
        return bool(left.equals(right))
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else repr(left) == repr(right)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [one for one in ROUND_TRIPS if not isinstance(one[0], TypeVar)],
    ids=_id,
)
def test_round_trip(annotation: Any, value: Any) -> None:
    """A value of each type goes through a workflow and a task, into a list, and comes out as what it became when it was bound."""

    def echo(value):  # type: ignore[no-untyped-def]
        return value

    several = typing.get_origin(annotation) is tuple and Ellipsis not in typing.get_args(annotation)
    output = list[annotation] if several or annotation is Pair else annotation
    echo.__annotations__ = {"value": annotation, "return": output}
    task = fl.task(lambda_like(echo, output is not annotation))

    def through(value):  # type: ignore[no-untyped-def]
        return task(value=value)

    through.__annotations__ = {"value": annotation, "return": output}
    flow = fl.workflow(through)
    expected = Checker(annotation).check(value)
    assert _same(flow(value=value), [expected] if output is not annotation else expected)


def lambda_like(echo: Any, listed: bool) -> Any:
    """Return the function, or one that gives a list of what it gives."""
    if not listed:
        return echo

    def wrapped(value):  # type: ignore[no-untyped-def]
        return [echo(value)]

    wrapped.__annotations__ = echo.__annotations__
    return wrapped


def test_named_tuples_as_inputs() -> None:
    """A NamedTuple goes in as a whole: as a value, as the outputs of a call, and with promises in its fields."""

    @fl.task
    def make(a: int) -> Pair:
        return Pair(a, a / 2)

    @fl.task
    def several(a: int) -> tuple[int, str]:
        return a, str(a)

    @fl.task
    def add(pair: Pair) -> float:
        assert type(pair) is Pair
        return pair.low + pair.high

    @fl.task
    def text(parts: tuple[int, str]) -> str:
        assert type(parts) is tuple
        return f"{parts[0]}{parts[1]}"

    @fl.task
    def plus(a: int) -> int:
        return a + 1

    @fl.workflow
    def flow(a: int) -> tuple[float, float, float, str]:
        return add(pair=make(a=a)), add(pair=Pair(1, 2)), add(pair=Pair(plus(a=a), 0.5)), text(parts=several(a=a))

    assert flow(a=2) == (3.0, 3.0, 3.5, "22")
    assert tuple(flow.to_delayed(a=2).compute(scheduler="synchronous")) == (3.0, 3.0, 3.5, "22")

    @fl.workflow
    def wrong(a: int) -> float:
        return add(pair=Pair(several(a=a)[1]))  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"input 'pair' of .*add\[0\] is declared int, but .* is str"):
        wrong(a=1)


def test_no_import_for_scalars() -> None:
    """Whoever uses scalars alone does not pay for pydantic, numpy, fsspec or a data frame's library."""
    code = (
        "import sys, daskflow as fl\n"
        "exec('def add(a: int, b: float = 1) -> float: return a + b')\n"
        "assert fl.task(add).interface.check_inputs({'a': 1, 'b': 2})\n"
        "print({'pydantic', 'numpy', 'fsspec', 'pandas', 'distributed'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
