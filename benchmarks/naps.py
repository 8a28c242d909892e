"""Tasks that take their time: under a limit, long ones, and lengths that differ, with a straggler at the end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from heapq import heapreplace
from typing import Any

from common import Way, Workload, main

import daskflow as fl

THREADS = 8  # of the cluster: two workers of four
LIMITED, LIMIT, FEW, SHORT = 200, 8, 3, 0.02
MIXED = [0.05 + 0.01 * (index % 16) for index in range(63)] + [1.0]  # seconds


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@fl.task
def nap(seconds: float) -> float:
    return sleep(seconds)


@fl.workflow
def naps(seconds: list[float]) -> list[float]:
    return fl.map_task(nap)(seconds=seconds)


@fl.workflow
def limited(seconds: list[float]) -> list[float]:
    return fl.map_task(nap, concurrency=LIMIT)(seconds=seconds)


@fl.workflow
def limited_to_few(seconds: list[float]) -> list[float]:
    return fl.map_task(nap, concurrency=FEW)(seconds=seconds)


def by_daskflow(entity: Any, seconds: list[float]) -> Way:
    """Return the way by daskflow."""
    return lambda client: fl.run(entity, seconds=seconds, client=client, max_parallelism=0).result()


def by_map(seconds: list[float]) -> Way:
    """Return the way by ``Client.map``."""
    return lambda client: client.gather(client.map(sleep, seconds, pure=False))


def by_threads(seconds: list[float], limit: int) -> Way:
    """Return the way by a pool of threads in this process: nothing travels."""

    def way(_: Any) -> Any:
        with ThreadPoolExecutor(limit) as pool:
            return list(pool.map(sleep, seconds))

    return way


def schedule(seconds: list[float], threads: int) -> float:
    """Return how long it takes when each thread that is free takes the next at once."""
    free = [0.0] * threads
    for one in seconds:
        heapreplace(free, free[0] + one)
    return max(free)


def _workload(name: str, seconds: list[float], **more: Any) -> Workload:
    return Workload(name, by_daskflow(naps, seconds), {"Client.map": by_map(seconds)}, schedule(seconds, THREADS), **more)


def _limited(entity: Any, limit: int) -> Workload:
    naps = [SHORT] * LIMITED
    name = f"{LIMITED} naps of {SHORT * 1e3:.0f} ms, {limit} at a time"
    return Workload(name, by_daskflow(entity, naps), {"a thread pool": by_threads(naps, limit)}, schedule(naps, limit))


WORKLOADS = [
    _limited(limited, LIMIT),
    _limited(limited_to_few, FEW),
    _workload("64 naps of 100 ms", [0.1] * 64),
    _workload("16 naps of 1 s", [1.0] * 16, repeats=2),
    _workload("63 naps of 50 to 200 ms and one of 1 s", MIXED),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
