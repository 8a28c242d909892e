"""Large values on a cluster: they stay where they were made, and are made again when they are lost."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed.diagnostics.plugin import SchedulerPlugin

import daskflow as fl
from daskflow.errors import InputError
from daskflow.payload import Payload
from tests.cluster.support import assert_nothing_left, on_cluster

MEGABYTES = 4
NAP = 0.03  # seconds: long enough for its neighbours to be spread


@fl.task
def filled(value: int) -> np.ndarray:
    return np.full(MEGABYTES << 17, value)


@fl.task
def nap_and_add(array: np.ndarray, index: int) -> int:
    time.sleep(NAP)
    return int(array[index]) + index


@fl.workflow
def make_and_map(value: int, items: list[int]) -> list[int]:
    return fl.map_task(functools.partial(nap_and_add, array=filled(value=value)))(index=items)


@fl.workflow
def map_over(array: np.ndarray, items: list[int]) -> list[int]:
    return fl.map_task(functools.partial(nap_and_add, array=array))(index=items)


@fl.dynamic
def loop_over(items: list[int]) -> list[int]:
    array = np.full(MEGABYTES << 17, 7)
    return [nap_and_add(array=array, index=index) for index in items]


@fl.task
def nap_and_fill(value: int) -> np.ndarray:
    time.sleep(NAP / 3)
    return np.full(1 << 15, value)


@fl.task
def total(arrays: list[np.ndarray]) -> int:
    return int(sum(one.sum() for one in arrays))


@fl.workflow
def many_arrays(values: list[int]) -> int:
    return total(arrays=fl.map_task(nap_and_fill)(value=values))


class Sizes(SchedulerPlugin):
    """Notes how much each unit brings to the scheduler, in bytes."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.found: dict[str, int] = {}
        self.inputs = 0
        scheduler.add_plugin(self, name="sizes")

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Look at a task."""
        spec = self.scheduler.tasks[key].run_spec
        payload = spec.args[0] if spec is not None else None
        if isinstance(payload, Payload) and key not in self.found and not key.startswith("value-"):
            self.found[key] = len(payload.data)
            self.inputs += key.startswith("input-")


@on_cluster(workers=2, threads=2)
async def test_a_value_that_a_task_made_is_no_part_of_what_is_handed_over(c: Any, s: Any, *workers: Any) -> None:
    """What is handed over refers to a large value; it does not pass through the scheduler."""
    sizes = Sizes(s)
    assert await fl.run(make_and_map, value=5, items=list(range(20)), client=c) == list(range(5, 25))
    assert len(sizes.found) > 3
    assert max(sizes.found.values()) < 100_000
    await assert_nothing_left(s)


@on_cluster(workers=2, threads=2)
async def test_a_large_input_passes_through_the_scheduler_once(c: Any, s: Any, *workers: Any) -> None:
    """A large input of a run is a unit of its own, which all that need it refer to."""
    sizes = Sizes(s)
    array = np.full(MEGABYTES << 17, 3)
    assert await fl.run(map_over, array=array, items=list(range(20)), client=c) == list(range(3, 23))
    assert sizes.inputs == 1
    assert sum(sizes.found.values()) < (MEGABYTES << 20) + 200_000
    await assert_nothing_left(s)


@on_cluster(workers=2, threads=2)
async def test_a_large_constant_of_a_dynamic_is_shared(c: Any, s: Any, *workers: Any) -> None:
    """A large value that a dynamic's body gives to many calls is kept once."""
    sizes = Sizes(s)
    assert await fl.run(loop_over, items=list(range(20)), client=c) == list(range(7, 27))
    assert max(sizes.found.values()) < 100_000
    await assert_nothing_left(s)


@on_cluster(workers=2, threads=2, unit_output_bytes="1MiB")
async def test_a_unit_that_holds_too_much_ends(c: Any, s: Any, *workers: Any) -> None:
    """A map of arrays is cut so that no unit gives much more than it may hold, and its result is right."""
    sizes = Sizes(s)
    largest = Largest(s)
    assert await fl.run(many_arrays, values=list(range(100)), max_parallelism=1, client=c) == sum(range(100)) << 15
    assert len(sizes.found) > 10
    assert 0 < largest.found < 3 << 20
    await assert_nothing_left(s)


@fl.task
def nap_and_double(array: np.ndarray) -> np.ndarray:
    time.sleep(NAP)
    return array * 2


@fl.workflow
def doubled_thrice(value: int) -> int:
    array = filled(value=value)
    for _ in range(3):
        array = nap_and_double(array=array)
    return nap_and_add(array=array, index=0)


@on_cluster(workers=1, threads=2, unit_output_bytes="1MiB")
async def test_a_unit_whose_next_node_needs_what_it_holds_goes_on(c: Any, s: Any, worker: Any) -> None:
    """A chain of large values stays in one unit: whatever else executed it would need them first."""
    sizes = Sizes(s)
    assert await fl.run(doubled_thrice, value=1, client=c) == 8
    assert len(sizes.found) == 1
    await assert_nothing_left(s)


class Largest(SchedulerPlugin):
    """Notes the size of the largest result, in bytes."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.found = 0
        scheduler.add_plugin(self, name="largest")

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Look at a result."""
        if finish == "memory":
            self.found = max(self.found, self.scheduler.tasks[key].nbytes)


@dataclass
class Report:
    """A value with a file in it."""

    text: fl.File
    words: int


@fl.task
def write(index: int) -> Report:
    time.sleep(NAP)
    return Report(fl.File.new("words.txt").write_text("word " * index), index)


@fl.task
def count(text: fl.File) -> int:
    return len(text.read_text().split())


@fl.dynamic
def write_and_count(indexes: list[int]) -> list[int]:
    return [count(text=write(index=index).text) for index in indexes]


@fl.workflow
def count_it(text: fl.File) -> int:
    return count(text=text)


@on_cluster(workers=2, threads=2)
async def test_files_go_from_node_to_node(c: Any, s: Any, *workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that a task wrote is read by another one, wherever that runs; one that is not there is an error of the call."""
    monkeypatch.chdir(tmp_path)
    assert await fl.run(write_and_count, indexes=list(range(10)), client=c) == list(range(10))
    (tmp_path / "given.txt").write_text("three words given")
    assert await fl.run(count_it, text="given.txt", client=c) == 3
    with pytest.raises(InputError, match="input 'text' of .*count_it: there is no file at .*nowhere.txt"):
        await fl.run(count_it, text="nowhere.txt", client=c)
    await assert_nothing_left(s)
