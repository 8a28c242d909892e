"""Large arrays that are passed along: one that many tasks read, and a chain that makes one from the other."""

from __future__ import annotations

import functools
from typing import Any

import dask
import numpy as np
from common import Workload, main
from distributed import Client

import daskflow as fl

MEGABYTES, READERS, LENGTH = 100, 16, 5


def ones(megabytes: int) -> np.ndarray:
    return np.ones(megabytes << 17)


def part(array: np.ndarray, index: int) -> float:
    return float(array[index::READERS].sum())


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
def double(array: np.ndarray) -> np.ndarray:
    return doubled(array)


@fl.task
def peak(array: np.ndarray) -> float:
    return largest(array)


@fl.workflow
def shared(megabytes: int, indices: list[int]) -> list[float]:
    return fl.map_task(functools.partial(read, array=make(megabytes=megabytes)))(index=indices)


@fl.workflow
def passed(megabytes: int) -> float:
    array = make(megabytes=megabytes)
    for _ in range(LENGTH):
        array = double(array=array)
    return peak(array=array)


def shared_delayed(client: Client) -> Any:
    """Return the sums by ``dask.delayed``."""
    array = dask.delayed(ones, pure=False)(MEGABYTES)
    return list(client.gather(client.compute([dask.delayed(part, pure=False)(array, index) for index in range(READERS)])))


def passed_delayed(client: Client) -> Any:
    """Return the peak by ``dask.delayed``."""
    array = dask.delayed(ones, pure=False)(MEGABYTES)
    for _ in range(LENGTH):
        array = dask.delayed(doubled, pure=False)(array)
    return client.compute(dask.delayed(largest, pure=False)(array)).result()


WORKLOADS = [
    Workload(
        f"{READERS} readers of an array of {MEGABYTES} MiB",
        lambda client: fl.run(shared, megabytes=MEGABYTES, indices=list(range(READERS)), client=client).result(),
        {"dask.delayed": shared_delayed},
    ),
    Workload(
        f"an array of {MEGABYTES} MiB doubled {LENGTH} times",
        lambda client: fl.run(passed, megabytes=MEGABYTES, client=client).result(),
        {"dask.delayed": passed_delayed},
    ),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
