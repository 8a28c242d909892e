"""What the tests of the command line run."""

from __future__ import annotations

import enum
import os
import time
from dataclasses import dataclass

import daskflow as fl


class Mode(enum.Enum):
    """An enum."""

    UP = "up"
    DOWN = "down"


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: list[float]


class Unlucky(Exception):
    """What a task here raises."""


@fl.task
def step(a: int, b: int = 1) -> int:
    """Add two numbers.

    Parameters
    ----------
    a : int
        The first one.
    """
    if a == 13:
        raise Unlucky(f"no luck with {a}")
    return a + b


@fl.workflow
def twice(a: int) -> int:
    return step(a=step(a=a))


@fl.dynamic
def loop(n: int) -> list[int]:
    return [step(a=i) for i in range(n)]


each = fl.map_task(step)
three = fl.LaunchPlan.get_or_create(twice, name="flows.three", default_inputs={"a": 3})


@fl.task
def describe(point: Point, mode: Mode = Mode.UP, flag: bool = False, names: list[str] | None = None) -> str:
    return f"{point.x} {point.y} {mode.name} {flag} {names}"


@fl.task
def process() -> int:
    return os.getpid()


@fl.task
def linger(mark: str, seconds: float) -> int:
    with open(mark, "w"):
        pass
    time.sleep(seconds)
    return 1
