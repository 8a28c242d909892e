"""Whether promises may be given where they are, and what stands behind their paths, before there are values."""

from __future__ import annotations

import datetime
import enum
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings

import daskflow as fl
from daskflow.caching import HashMethod
from daskflow.errors import InputError, PromiseError
from daskflow.types import Checker, Mismatch, assignable, hint, item_type
from tests.unit.typed import (
    CASES,
    PLAIN_CASES,
    Box,
    CanGo,
    Case,
    Colour,
    Depth,
    Derived,
    Goes,
    Level,
    Model,
    Named,
    Pair,
    Plain,
    Point,
    Settings,
    Tree,
    UserId,
)


def refuses(annotation: Any, value: Any) -> bool:
    try:
        Checker(annotation).check(value)
    except Mismatch:
        return True
    return False


@settings(max_examples=400, deadline=None)
@given(PLAIN_CASES, CASES)
def test_what_is_refused_early_is_refused_late(source: Case, target: Case) -> None:
    """A promise that is refused while the graph is built would have been refused for each value that it could have had."""
    for value in source[1]:
        assert not refuses(source[0], value)
    if not assignable(source[0], target[0]):
        for value in source[1]:
            assert refuses(target[0], value), value


@settings(max_examples=400, deadline=None)
@given(CASES, CASES)
def test_unions_are_refused_for_a_member(source: Case, target: Case) -> None:
    """A promise of a union is refused only for a member whose values are refused."""
    assert not any(refuses(source[0], value) for value in source[1])
    if not assignable(source[0], target[0]):
        assert any(refuses(target[0], value) for value in source[1])


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_a_type_is_assignable_to_itself(case: Case) -> None:
    """Whatever is declared may be given where the same is declared; and where it is one of several, or anything."""
    annotation = case[0]
    assert assignable(annotation, annotation)
    assert assignable(annotation, annotation | None if annotation is not None else None)
    assert assignable(annotation, Any)
    assert assignable(Any, annotation)
    assert assignable(list[annotation], list[annotation])


ANNOTATED_LAX = Annotated[int, pydantic.BeforeValidator(int)]


@runtime_checkable
class HasSize(Protocol):
    size: int


TABLE: list[tuple[Any, Any, bool]] = [
    (int, float, True),
    (bool, int, False),
    (int, bool, False),
    (bool, float, False),
    (float, int, False),
    (int, complex, False),
    (list[int], list[float], True),
    (list[bool], list[int], False),
    (dict[str, list[int]], dict[str, list[float]], True),
    (dict[str, int], dict[int, int], False),
    (int | None, int, False),
    (int, int | None, True),
    (int | None, float | None, True),
    (int | str, str | int | None, True),
    (int | str, int, False),
    (list[int | None], list[int], False),
    (list[int], list[int | None], True),
    (list[int], tuple[int, ...], False),
    (tuple[int, ...], list[int], False),
    (list[int], Sequence[int], True),
    (tuple[int, str], Sequence[int | str], True),
    (tuple[int, str], Sequence[int], False),
    (tuple[int, int], tuple[int, ...], True),
    (tuple[int, ...], tuple[int, int], True),
    (tuple[str, ...], tuple[int, int], False),
    (tuple[int], tuple[int, int], False),
    (tuple[int, int], tuple, True),
    (tuple, tuple[int, int], True),
    (tuple[()], tuple[int], False),
    (tuple[()], tuple[int, ...], True),
    (Sequence[int], list[int], True),
    (Sequence[str], list[int], False),
    (str, Sequence[str], False),
    (str, Iterable[str], False),
    (dict[str, int], Iterable[str], True),
    (dict[str, int], Iterable[int], False),
    (dict[str, int], Mapping[str, float], True),
    (Mapping[str, str], dict[str, int], False),
    (set[int], frozenset[int], False),
    (Pair, tuple[int, float], True),
    (Pair, tuple[int, str], False),
    (tuple[int, float], Pair, True),
    (Settings, dict[str, Any], True),
    (Settings, dict[int, Any], False),
    (Settings, dict[str, str], False),
    (Depth, Settings, True),
    (Settings, Depth, True),
    (dict[str, int], Depth, True),
    (dict[int, int], Depth, False),
    (Literal["a"], Literal["a", "b"], True),
    (Literal["a", "b"], Literal["a"], False),
    (Literal["a"], str, True),
    (Literal["a"], int, False),
    (str, Literal["a"], True),
    (int, Literal["a"], False),
    (Literal[1], Literal[True], False),
    (Colour, str, False),
    (str, Colour, False),
    (Level, int, True),
    (Level, float, True),
    (Colour, enum.Enum, True),
    (Named, Point, True),
    (Point, Named, True),
    (Point, Plain, False),
    (Derived, Plain, True),
    (Plain, int, False),
    (UserId, int, True),
    (int, UserId, True),
    (str, UserId, False),
    (list[UserId], list[int], True),
    (datetime.datetime, datetime.date, False),
    (datetime.date, datetime.datetime, False),
    (Goes, CanGo, True),
    (CanGo, Goes, True),
    (int, Hashable, True),
    (Hashable, int, True),
    (Point, HasSize, True),
    (Callable[[int], int], Callable[..., Any], True),
    (int, Callable[..., Any], False),
    (Annotated[int, pydantic.Field(gt=0)], int, True),
    (str, Annotated[int, pydantic.Field(gt=0)], False),
    (str, ANNOTATED_LAX, True),
    (Annotated[pd.DataFrame, HashMethod(str)], pd.DataFrame, True),
    (pd.DataFrame, pd.Series, False),
    (np.int64, int, True),
    (np.ndarray, list[int], True),
    (Model, Model, True),
    (dict[str, int], Model, False),
    (str, fl.File, True),
    (Path, fl.File, True),
    (fl.File, Path, True),
    (fl.File, int, False),
    (typing.NoReturn, int, True),
    (Decimal, float, False),
    (Box[int], Box[int], True),
]


@pytest.mark.parametrize(("source", "target", "fits"), TABLE)
def test_table(source: Any, target: Any, fits: bool) -> None:
    """Types are compared member by member and item by item."""
    assert assignable(source, target) is fits


def test_what_may_be_none() -> None:
    """Where a value may be None and must not, the message says how to go on."""
    assert "may be None: declare int | None" in hint(int | None, int)
    assert hint(str | None, int) == ""
    assert hint(str, int) == ""

    @fl.task
    def find(a: int) -> int | None:
        return a

    @fl.task
    def use(a: int) -> int:
        return a

    @fl.workflow
    def flow(a: int) -> int:
        return use(a=find(a=a))

    with pytest.raises(
        InputError, match=r"input 'a' of .*use is declared int, but .* is int | None; it may be None: declare int | None, or"
    ):
        flow(a=1)


# ---------------------------------------------------------------- paths

PATHS: list[tuple[Any, Any, bool, Any]] = [
    (list[int], 0, False, int),
    (list[int], -1, False, int),
    (list, 0, False, Any),
    (Sequence[str], 3, False, str),
    (tuple[int, str], 1, False, str),
    (tuple[int, str], -2, False, int),
    (tuple[int, ...], 7, False, int),
    (dict[str, int], "a", False, int),
    (dict[str, int], "a", True, int),
    (dict[int, str], 1, False, str),
    (dict[float, str], 1, False, str),
    (dict[Literal["a", "b"], int], "b", False, int),
    (Mapping[str, Point], "a", False, Point),
    (Settings, "words", False, list[str]),
    (Point, "y", True, float),
    (Named, "x", True, int),
    (Tree, "children", True, list[Tree]),
    (Box[int], "content", True, list[int]),
    (Pair, "high", True, float),
    (Pair, 0, False, int),
    (Model, "size", True, int),
    (Colour, "name", True, str),
    (Plain, "anything", True, Any),
    (pd.DataFrame, "a", False, Any),
    (Point | Named, "x", True, int),
    (list[int] | dict[int, str], 0, False, int | str),
    (list[int] | int, 0, False, int),
    (Annotated[list[int], "a note"], 0, False, int),
    (fl.File, "uri", True, str),
    (Any, "x", True, Any),
]


@pytest.mark.parametrize(("annotation", "part", "attribute", "inner"), PATHS)
def test_paths(annotation: Any, part: Any, attribute: bool, inner: Any) -> None:
    """The type behind a path is what is declared there."""
    assert item_type(annotation, part, attribute) == inner


NO_PATHS: list[tuple[Any, Any, bool, str]] = [
    (int, 0, False, "int has no part 0"),
    (set[int], 0, False, r"set\[int\] has no part 0"),
    (list[int], "a", False, r"list\[int\] is indexed by int, not 'a'"),
    (list[int], True, False, "indexed by int, not True"),
    (tuple[int, str], 2, False, "has 2 items; there is no item 2"),
    (tuple[int, str], -3, False, "has 2 items; there is no item -3"),
    (dict[str, int], 1, False, r"dict\[str, int\] is indexed by str, not 1"),
    (dict[int, int], True, False, "is indexed by int, not True"),
    (dict[Literal["a"], int], "b", False, r"is indexed by Literal\['a'\], not 'b'"),
    (Settings, "height", False, "Settings declares no key 'height'; it has depth, words"),
    (Point, "z", True, "Point declares no attribute 'z'; it has x, y"),
    (Point, 0, False, "Point cannot be indexed; its parts are attributes"),
    (Pair, "middle", True, "Pair declares no field 'middle'; it has low, high"),
    (Pair, 2, False, "has 2 items"),
    (Model, "weight", True, "Model declares no attribute 'weight'; it has size, inner"),
    (int | None, 0, False, r"int \| None may be None, which has no parts; hand the whole value to a @task"),
    (Point | None, "x", True, "may be None"),
    (list[int] | set[int], "a", False, "has no part"),
    (Literal["a"], 0, False, "str has no part 0"),
]


@pytest.mark.parametrize(("annotation", "part", "attribute", "text"), NO_PATHS)
def test_no_such_paths(annotation: Any, part: Any, attribute: bool, text: str) -> None:
    """A part that no value has is refused, with what there is."""
    with pytest.raises(TypeError, match=text):
        item_type(annotation, part, attribute)


def test_paths_in_a_body() -> None:
    """A wrong path is refused when the graph is built, at any depth, and a right one has its declared type."""

    @fl.task
    def tree(a: int) -> Tree:
        return Tree(a, [Tree(a + 1, at=Point(5))])

    @fl.task
    def add(a: int) -> int:
        return a + 1

    @fl.workflow
    def right(a: int) -> int:
        return add(a=tree(a=a).children[0].value)

    @fl.workflow
    def wrong(a: int) -> int:
        return add(a=tree(a=a).children[0].depth)

    @fl.workflow
    def perhaps(a: int) -> int:
        return add(a=tree(a=a).children[0].at.x)

    assert right(a=1) == 3
    with pytest.raises(
        PromiseError, match=r"<promise of tree in .*wrong.children\[0\]: .*Tree> has no attribute 'depth': Tree declares no"
    ):
        wrong(a=1)
    with pytest.raises(PromiseError, match="may be None"):
        perhaps(a=1)


def test_properties_have_types() -> None:
    """A property is an attribute of its declared type; what a class makes up as it goes along is not known."""

    class Square:
        @property
        def area(self) -> float:
            return 1.0

        def __getattr__(self, name: str) -> Any:
            return name

    assert item_type(Square, "area", True) is float
    assert item_type(Square, "whatever", True) is Any
    assert item_type(Point, "__doc__", True) is Any
