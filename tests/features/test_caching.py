"""What is cached is executed once, whichever kind of entity it is, and wherever it runs; modes share one cache."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

import dask
import pytest

import daskflow as fl
from tests import cached
from tests.cached import leave, marks
from tests.features.conftest import Flow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where executions leave their marks."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


@fl.task
def plain(folder: str, num: int) -> int:
    leave(folder, num)
    return num + 1


@fl.workflow
def by_override(folder: str, nums: list[int]) -> list[int]:
    mapped = fl.map_task(functools.partial(plain, folder=folder))(num=nums)
    return mapped.with_overrides(cache=True, cache_version="1", cache_ignore_input_vars=("folder",))  # type: ignore[no-any-return]


@fl.task(cache=fl.Cache(salt="features", ignored_inputs=("folder",)))
def by_code(folder: str, num: int) -> int:
    leave(folder, num)
    return num * 3


@fl.task(cache=True, cache_version="1")
def nothing(folder: str) -> None:
    leave(folder, "nothing")


@fl.task(cache=True, cache_version="1", cache_ignore_input_vars=("folder",))
def fails(folder: str, num: int) -> int:
    leave(folder, num)
    raise ValueError("always")


class Sized:
    """What has no key of its own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.lock = open  # not the same text in every process, for all that a key knows


def by_size(value: Sized) -> str:
    return str(value.size)


@fl.task
def make(size: int) -> Annotated[Sized, fl.HashMethod(by_size)]:
    return Sized(size)


@fl.task(cache=True, cache_version="1", cache_ignore_input_vars=("folder",))
def measure(folder: str, value: Sized) -> int:
    leave(folder, value.size)
    return value.size


@fl.workflow
def measured(folder: str, size: int) -> int:
    return measure(folder=folder, value=make(size=size))


#: Entities, inputs, what they give, and the marks of the first execution.
CACHED: list[tuple[Any, dict[str, Any], Any, list[str]]] = [
    (cached.double, {"num": 2}, 4, ["2"]),
    (cached.chain, {"num": 2}, 4, ["2", "3"]),
    (cached.double_all, {"nums": [1, 2]}, [2, 4], ["1", "2"]),
    (cached.tree, {"depth": 2}, 4, ["1", "2", "tree0", "tree1", "tree2"]),
    (cached.spawn, {"n": 2}, [2, 3], ["1", "2"]),
    (fl.map_task(cached.double, bound_inputs={"folder"}), {"num": [5, 6]}, [10, 12], ["5", "6"]),
    (by_override, {"nums": [1, 2]}, [2, 3], ["1", "2"]),
    (by_code, {"num": 2}, 6, ["2"]),
    (nothing, {}, None, ["nothing"]),
    (measured, {"size": 7}, 7, ["7"]),
]


@pytest.mark.parametrize(("entity", "inputs", "gives", "first"), CACHED, ids=[entity.name for entity, *_ in CACHED])
def test_what_is_cached(flow: Flow, folder: Path, entity: Any, inputs: dict[str, Any], gives: Any, first: list[str]) -> None:
    """The second time nothing is executed that is cached."""
    assert flow(entity, folder=str(folder), **inputs) == gives
    assert marks(folder) == first
    assert flow(entity, folder=str(folder), **inputs) == gives
    assert marks(folder) == []


def test_items_one_by_one(flow: Flow, folder: Path) -> None:
    """Of a map those items are executed that are not there yet."""
    assert flow(cached.double_all, folder=str(folder), nums=[1, 2]) == [2, 4]
    assert flow(cached.double_all, folder=str(folder), nums=[2, 3, 1]) == [4, 6, 2]
    assert marks(folder) == ["1", "2", "3"]


def test_failures_are_not_cached(flow: Flow, folder: Path) -> None:
    """What failed is executed again."""
    for _ in range(2):
        with pytest.raises(ValueError, match="always"):
            flow(fails, folder=str(folder), num=1)
    assert marks(folder) == ["1", "1"]


def test_modes_share_a_cache(flow: Flow, folder: Path) -> None:
    """What was cached in plain Python is there wherever it runs next."""
    assert cached.double(folder=str(folder), num=9) == 18
    assert flow(cached.double, folder=str(folder), num=9) == 18
    assert marks(folder) == ["9"]


def test_without_the_cache(flow: Flow, folder: Path) -> None:
    """Where the cache is off, all is executed and nothing kept."""
    with dask.config.set({"daskflow.cache.enabled": False}):
        for _ in range(2):
            assert flow(cached.double, folder=str(folder), num=3) == 6
    assert marks(folder) == ["3", "3"]
