"""Types that tests of checks share, and annotations with values of them."""

from __future__ import annotations

import datetime
import enum
import itertools
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar, runtime_checkable

import pydantic
from hypothesis import strategies as st

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    A = "a"


@dataclass
class Point:
    x: int
    y: float = 0.0


@dataclass
class Named(Point):
    name: str = "n"


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)
    at: Point | None = None


@dataclass
class Box(Generic[T]):
    content: list[T]


@dataclass(frozen=True, slots=True)
class Slotted:
    number: int


class Pair(NamedTuple):
    low: int
    high: float = 0.0


class Settings(TypedDict, total=False):
    depth: typing.Required[int]
    words: list[str]


class Depth(TypedDict):
    depth: int


class Model(pydantic.BaseModel):
    size: int
    inner: Model | None = None


class Plain:
    """Any class of a user's."""


class Derived(Plain):
    """What inherits from it."""


class Shelf(Generic[T]):
    """A generic class that is no dataclass."""


class CannotGo(Protocol):
    def go(self) -> int: ...


@runtime_checkable
class CanGo(Protocol):
    def go(self) -> int: ...


class Goes:
    def go(self) -> int:
        return 1


UserId = NewType("UserId", int)

#: Annotations without unions, each with values.
LEAVES: list[tuple[Any, list[Any]]] = [
    (int, [3, -1, 10**30]),
    (float, [1.5, float("inf")]),
    (str, ["", "a"]),
    (bool, [True, False]),
    (bytes, [b"a"]),
    (None, [None]),
    (complex, [1j]),
    (datetime.datetime, [datetime.datetime(2024, 2, 29)]),  # noqa: DTZ001
    (datetime.date, [datetime.date(2024, 2, 29)]),
    (datetime.timedelta, [datetime.timedelta(1)]),
    (Decimal, [Decimal("1.5"), Decimal("NaN")]),
    (Path, [Path("a")]),
    (Colour, [Colour.RED]),
    (Level, [Level.LOW]),
    (Word, [Word.A]),
    (Literal[1, 2], [1, 2]),
    (Literal["a"], ["a"]),
    (Literal[True], [True]),
    (UserId, [7]),
    (Point, [Point(1)]),
    (Named, [Named(1)]),
    (Pair, [Pair(1, 2.0)]),
    (Settings, [{"depth": 1}, {"depth": 1, "words": ["a"]}]),
    (Depth, [{"depth": 1}]),
    (Model, [Model(size=1)]),
    (Plain, [Plain()]),
    (Derived, [Derived()]),
    (Goes, [Goes()]),
    (CanGo, [Goes()]),
    (type, [int]),
]
_HASHABLE = [one for one in LEAVES if one[0] not in (Point, Named, Settings, Depth, Model)]

#: An annotation, and values that between them have something of each member of each union in it.
Case = tuple[Any, list[Any]]


def _union(cases: list[Case]) -> Case:
    return typing.Union[tuple(one for one, _ in cases)], [value for _, values in cases for value in values]  # noqa: UP007


def _fixed(cases: list[Case]) -> Case:
    longest = max(len(values) for _, values in cases)
    columns = [list(itertools.islice(itertools.cycle(values), longest)) for _, values in cases]
    return tuple[tuple(one for one, _ in cases)], list(zip(*columns, strict=True))  # type: ignore[misc]


def _containers(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    return st.one_of(
        inner.map(lambda case: (list[case[0]], [list(case[1])])),  # type: ignore[name-defined]
        inner.map(lambda case: (tuple[case[0], ...], [tuple(case[1])])),  # type: ignore[name-defined]
        inner.map(lambda case: (dict[str, case[0]], [{str(index): one for index, one in enumerate(case[1])}])),  # type: ignore[name-defined]
        inner.map(lambda case: (Sequence[case[0]], [list(case[1]), tuple(case[1])])),  # type: ignore[name-defined]
        inner.map(lambda case: (Iterable[case[0]], [list(case[1])])),  # type: ignore[name-defined]
        inner.map(lambda case: (Mapping[str, case[0]], [{str(index): one for index, one in enumerate(case[1])}])),  # type: ignore[name-defined]
        st.sampled_from(_HASHABLE).map(lambda case: (set[case[0]], [set(case[1])])),  # type: ignore[name-defined]
        st.sampled_from(_HASHABLE).map(lambda case: (frozenset[case[0]], [frozenset(case[1])])),  # type: ignore[name-defined]
        st.lists(inner, min_size=1, max_size=3).map(_fixed),
    )


def _with_unions(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    return _containers(inner) | st.lists(inner, min_size=2, max_size=3).map(_union)


PLAIN_CASES = st.recursive(st.sampled_from(LEAVES), _containers, max_leaves=4)
CASES = st.recursive(st.sampled_from(LEAVES), _with_unions, max_leaves=5)
