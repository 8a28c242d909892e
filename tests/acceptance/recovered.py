"""A program whose tasks leave marks outside, for runs that are cut off."""

from __future__ import annotations

import os
import time

import daskflow as fl


def _mark(folder: str, kind: str, name: str) -> None:
    # One write of a few bytes to a file that is only appended to is whole, or not there.
    file = os.open(os.path.join(folder, kind), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{name}\n".encode())
    os.close(file)


@fl.task
def step(folder: str, a: int, seconds: float) -> int:
    _mark(folder, "began", f"step {a}")
    time.sleep(seconds)
    _mark(folder, "ended", f"step {a}")
    return 2 * a


@fl.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@fl.workflow
def of_items(folder: str, a: list[int], seconds: list[float]) -> int:
    return total(numbers=fl.map_task(step)(folder=_same(folder=folder, a=a), a=a, seconds=seconds))


@fl.task
def _same(folder: str, a: list[int]) -> list[str]:
    return [folder] * len(a)


of_items_lp = fl.LaunchPlan.create("tests.recovered.of_items", of_items)


@fl.dynamic
def group(folder: str, first: int, size: int, seconds: float) -> int:
    """A loop, a map in a child run, and a workflow in the middle of them."""
    looped = [step(folder=folder, a=first + i, seconds=seconds) for i in range(size // 2)]
    rest = list(range(first + size // 2, first + size))
    return total(numbers=[*looped, of_items_lp(folder=folder, a=rest, seconds=[seconds] * len(rest))])


@fl.dynamic
def groups(folder: str, n: int, size: int, seconds: float) -> list[int]:
    return [group(folder=folder, first=first, size=size, seconds=seconds) for first in range(0, n, size)]


@fl.workflow
def everything(folder: str, n: int, size: int, seconds: float) -> int:
    return total(numbers=groups(folder=folder, n=n, size=size, seconds=seconds))
