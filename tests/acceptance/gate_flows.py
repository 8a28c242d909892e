"""What the tests of gates on the command line run."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from pathlib import Path

import daskflow as fl


class Mode(enum.Enum):
    """An enum that no installed module has."""

    UP = "up"
    DOWN = "down"


@dataclass
class Point:
    """A dataclass with a field of such a type."""

    x: int
    mode: Mode


@fl.task
def times(a: int, b: int) -> int:
    return a * b


@fl.workflow
def product(a: int) -> int:
    factor = fl.wait_for_input("factor", expected_type=int)
    return fl.approve(times(a=a, b=factor), "check", timeout=None)


@fl.dynamic
def products(n: int) -> list[int]:
    return [product(a=a) for a in range(n)]


@fl.task
def told(mode: Mode, point: Point, text: str, path: Path, day: datetime.date, pause: datetime.timedelta, maybe: int | None) -> str:
    return f"{mode is Mode.UP} {point.x} {point.mode is Mode.DOWN} {text!r} {path} {day} {pause} {maybe} {type(path).__name__}"


@fl.workflow
def of_types() -> str:
    return told(
        mode=fl.wait_for_input("mode", expected_type=Mode),
        point=fl.wait_for_input("point", expected_type=Point),
        text=fl.wait_for_input("text"),
        path=fl.wait_for_input("path", expected_type=Path),
        day=fl.wait_for_input("day", expected_type=datetime.date),
        pause=fl.wait_for_input("pause", expected_type=datetime.timedelta),
        maybe=fl.wait_for_input("maybe", expected_type=int | None),
    )


@fl.task
def name_of(mode: Mode) -> str:
    return mode.name


@fl.workflow
def asks_mode() -> str:
    return name_of(mode=fl.wait_for_input("mode", expected_type=Mode))


@fl.workflow
def soon_too_late() -> int:
    return fl.wait_for_input("never", timeout=2, expected_type=int)
