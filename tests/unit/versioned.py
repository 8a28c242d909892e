"""Code whose versions are known; see test_codeversion. What is here cannot be edited without writing them down anew."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import re
from collections.abc import Callable
from typing import NamedTuple

import daskflow as fl

LIMIT = 3
NAMES = {"b": {1, 2, 3}, "a": frozenset({"x", "y"}), "c": (1.5, None, True, b"\x00\xff", -(2**70), 1j)}
WORD = re.compile(r"\w+", re.IGNORECASE)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"

    def other(self) -> Colour:
        return Colour.BLUE if self is Colour.RED else Colour.RED


def _empty() -> list[str]:
    return []


class Pair(NamedTuple):
    first: int
    second: int = 2

    @property
    def both(self) -> int:
        return total([self.first, self.second])


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A box."""

    colour: Colour = Colour.RED
    names: list[str] = dataclasses.field(default_factory=_empty)

    weigh = lambda self, grams: grams + LIMIT  # noqa: E731

    def painted(self) -> Box:
        return dataclasses.replace(self, colour=self.colour.other())


BOX = Box(Colour.BLUE, ["ä"])
PAIR = Pair(1)


def total(numbers: list[int], *, start: int = 0) -> int:
    """Sum."""
    # Of the numbers alone.
    return sum(numbers, start) if len(numbers) < LIMIT else math.floor(math.fsum(numbers))


def text(name: str, width: int = 4) -> str:
    grüße = f"{name!r:>{width}} {'ü' + f'{width}'} {{}} {name}" "und" rf"\d{width}"  # noqa: ISC001, PLC2401
    if name < "b" and width > 2:
        "No docstring."
        return f"""{grüße}:
   {width + 1}
"""
    return grüße


def adder(by: int) -> Callable[[int], int]:
    @functools.wraps(total)
    def add(a: int) -> int:
        return a + by

    return add


add_two = adder(2)


@functools.lru_cache
def even(n: int) -> bool:
    return n == 0 or odd(n - 1)


def odd(n: int) -> bool:
    return n != 0 and even(n - 1)


def paint(boxes: list[Box]) -> list[Box]:
    def named(box: Box) -> bool:
        return any(WORD.match(name) and name in NAMES for name in box.names)

    class Painter:
        """Paints."""

        limit = LIMIT

        def __call__(self, box: Box) -> Box:
            return box.painted() if named(box) else BOX

    return [Painter()(box) for box in boxes if (lambda: PAIR.both)()]  # noqa: PLC3002


def late(n: int) -> int:
    from tests.unit.versioned import total as added

    return added([n])


@fl.task
def square(a: int) -> int:
    return add_two(a * a)


# Other versions of Python have no pydantic here: inputs and outputs are scalars.
@fl.workflow(max_parallelism=2)
def squares_wf(a: int, b: int = 1) -> int:
    return square(a=b)


plan = fl.LaunchPlan.get_or_create(squares_wf, name="versioned", fixed_inputs={"b": 5})


@fl.dynamic
def launches(n: int) -> int:
    return launches(n=n - 1) if n > 1 else plan(a=n)


ALL = (total, text, adder, add_two, even, paint, late, square.fn, squares_wf.fn, launches.fn, Box.painted)
