"""A run again: 1000 mapped tasks whose results are in the cache, beside raw Dask merely running as many."""

from __future__ import annotations

import functools
import tempfile
from typing import Any

import dask
from common import Way, Workload, main

import daskflow as fl

ITEMS = 1000


def plus1(a: int) -> int:
    return a + 1


@fl.task(cache=True, cache_version="1")
def cached(a: int) -> int:
    return plus1(a)


@fl.workflow
def all_cached(a: list[int]) -> list[int]:
    return fl.map_task(cached)(a=a)


@fl.dynamic
def within(a: list[int]) -> list[int]:
    return fl.map_task(cached)(a=a)


@functools.cache
def _folder() -> str:
    return tempfile.mkdtemp(prefix="daskflow-bench-")


def again(entity: Any) -> Way:
    """Return the way by daskflow: the first, uncounted round fills the cache."""

    def way(client: Any) -> Any:
        with dask.config.set({"daskflow.cache.url": _folder()}):
            return fl.run(entity, a=list(range(ITEMS)), client=client).result()

    return way


def in_process(_: Any) -> Any:
    """Run in plain Python."""
    with dask.config.set({"daskflow.cache.url": _folder()}):
        return all_cached(a=list(range(ITEMS)))


def from_files(client: Any) -> Any:
    """Run with nothing in memory: the store is opened anew."""
    with dask.config.set({"daskflow.cache.url": _folder(), "daskflow.cache.memory-bytes": 1}):
        return fl.run(all_cached, a=list(range(ITEMS)), client=client).result()


def by_map(client: Any) -> Any:
    """Run as many tasks by ``Client.map``, with nothing cached."""
    return client.gather(client.map(plus1, list(range(ITEMS)), pure=False))


def _workload(name: str, way: Way) -> Workload:
    return Workload(f"{ITEMS} cached results{name}", way, {f"{ITEMS} tasks by Client.map": by_map})


WORKLOADS = [
    _workload("", again(all_cached)),
    _workload(", nothing in memory", from_files),
    _workload(", in a dynamic, by workers", again(within)),
    _workload(", in plain Python", in_process),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
