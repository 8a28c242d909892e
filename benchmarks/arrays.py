"""Large arrays that are passed along: one that many tasks read, and a chain that makes one from the other."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import dask
import numpy as np
from common import Way, Workload, main
from distributed import Client

import daskflow as fl

MEGABYTES, READERS, LENGTH, SLOW = 100, 16, 5, 0.2


def ones(megabytes: int) -> np.ndarray:
    return np.ones(megabytes << 17)


def part(array: np.ndarray, index: int) -> float:
    return float(array[index::READERS].sum())


def part_slowly(array: np.ndarray, index: int) -> float:
    time.sleep(SLOW)
    return part(array, index)


def doubled(array: np.ndarray) -> np.ndarray:
    return array * 2


def largest(array: np.ndarray) -> float:
    return float(array.max())


@fl.task
def make(megabytes: int) -> np.ndarray:
    return ones(megabytes)


@fl.task
def read(array: np.ndarray, index: int) -> float:
    return part(array, index)


@fl.task
def read_slowly(array: np.ndarray, index: int) -> float:
    return part_slowly(array, index)


@fl.task
def double(array: np.ndarray) -> np.ndarray:
    return doubled(array)


@fl.task
def peak(array: np.ndarray) -> float:
    return largest(array)


@fl.workflow
def shared(megabytes: int, indices: list[int]) -> list[float]:
    return fl.map_task(functools.partial(read, array=make(megabytes=megabytes)))(index=indices)


@fl.workflow
def shared_slowly(megabytes: int, indices: list[int]) -> list[float]:
    return fl.map_task(functools.partial(read_slowly, array=make(megabytes=megabytes)))(index=indices)


@fl.workflow
def passed(megabytes: int) -> float:
    array = make(megabytes=megabytes)
    for _ in range(LENGTH):
        array = double(array=array)
    return peak(array=array)


def by_delayed(read: Callable[..., float]) -> Way:
    """Return the way by ``dask.delayed`` to have an array read."""

    def way(client: Client) -> Any:
        array = dask.delayed(ones, pure=False)(MEGABYTES)
        return list(client.gather(client.compute([dask.delayed(read, pure=False)(array, index) for index in range(READERS)])))

    return way


def passed_delayed(client: Client) -> Any:
    """Return the peak by ``dask.delayed``."""
    array = dask.delayed(ones, pure=False)(MEGABYTES)
    for _ in range(LENGTH):
        array = dask.delayed(doubled, pure=False)(array)
    return client.compute(dask.delayed(largest, pure=False)(array)).result()


def by_daskflow(entity: Any) -> Way:
    """Return the way by daskflow to have an array read."""
    return lambda client: fl.run(entity, megabytes=MEGABYTES, indices=list(range(READERS)), client=client).result()


WORKLOADS = [
    Workload(f"{READERS} readers of an array of {MEGABYTES} MiB", by_daskflow(shared), {"dask.delayed": by_delayed(part)}),
    Workload(
        f"{READERS} readers of an array of {MEGABYTES} MiB, {SLOW} s each",
        by_daskflow(shared_slowly),
        {"dask.delayed": by_delayed(part_slowly)},
    ),
    Workload(
        f"an array of {MEGABYTES} MiB doubled {LENGTH} times",
        lambda client: fl.run(passed, megabytes=MEGABYTES, client=client).result(),
        {"dask.delayed": passed_delayed},
    ),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
