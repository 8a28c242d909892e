"""The nested example: dynamics over dynamics over launch plans of two tiny tasks."""

from __future__ import annotations

from typing import Any

import dask
from common import Fit, Way, Workload, main
from distributed import Client, worker_client

import daskflow as fl

CHUNK = 32
FITTED = (1000, 3000, 10_000)  # items that raw Dask is timed with where it would take minutes


def plus1(a: int) -> int:
    return a + 1


def plus2(a: int) -> int:
    return a + 2


def flat(parts: list[list[int]]) -> list[int]:
    return [item for part in parts for item in part]


@fl.task
def step1(a: int) -> int:
    return plus1(a)


@fl.task
def step2(a: int) -> int:
    return plus2(a)


@fl.task
def flatten(parts: list[list[int]]) -> list[int]:
    return flat(parts)


@fl.workflow
def core(a: int) -> int:
    return step2(a=step1(a=a))


core_lp = fl.LaunchPlan.get_or_create(core)


@fl.dynamic
def level2(items: list[int]) -> list[int]:
    return [core_lp(a=a) for a in items]


@fl.dynamic
def level1(items: list[int], chunk: int) -> list[int]:
    return flatten(parts=[level2(items=items[i : i + chunk]) for i in range(0, len(items), chunk)])


@fl.workflow
def nested(items: list[int], chunk: int) -> list[int]:
    return level1(items=items, chunk=chunk)


@fl.workflow
def core_map(items: list[int]) -> list[int]:
    return fl.map_task(core)(a=items)


@fl.dynamic
def mixed(items: list[int], chunk: int) -> list[int]:
    return flatten(parts=[core_map(items=items[i : i + chunk]) for i in range(0, len(items), chunk)])


def by_daskflow(entity: Any, n: int) -> Way:
    """Return the way by daskflow."""
    return lambda client: fl.run(entity, items=list(range(n)), chunk=CHUNK, client=client).result()


def static(n: int) -> Way:
    """Return the way by a static graph: one Dask task for each node."""

    def way(client: Client) -> Any:
        one, two, join = dask.delayed(plus1), dask.delayed(plus2), dask.delayed(flat)
        parts = [join([[two(one(a))] for a in range(i, min(i + CHUNK, n))]) for i in range(0, n, CHUNK)]
        return client.compute(join(parts)).result()

    return way


def _inner(items: list[int]) -> list[int]:
    with worker_client() as client:
        firsts = client.map(plus1, items, pure=False)
        return list(client.gather(client.map(plus2, firsts, pure=False)))


def _outer(items: list[int]) -> list[int]:
    with worker_client() as client:
        chunks = [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]
        return flat(client.gather(client.map(_inner, chunks, pure=False)))


def from_tasks(n: int) -> Way:
    """Return the way by tasks that submit tasks and wait for them."""
    return lambda client: client.submit(_outer, list(range(n)), pure=False).result()


def _chunk(items: list[int]) -> list[int]:
    return [plus2(plus1(a)) for a in items]


def by_chunk(n: int) -> Way:
    """Return the way by one hand-written task for each chunk."""

    def way(client: Client) -> Any:
        items = list(range(n))
        chunks = client.map(_chunk, [items[i : i + CHUNK] for i in range(0, n, CHUNK)], pure=False)
        return client.submit(flat, chunks, pure=False).result()

    return way


def _workload(name: str, entity: Any, n: int, **more: Way) -> Workload:
    by_dask = {"static dask.delayed graph": static, "tasks with worker_client": from_tasks}
    if n > FITTED[-1]:
        fits = {other: Fit(way, FITTED, n) for other, way in by_dask.items()}
        return Workload(f"{name}, {n} items", by_daskflow(entity, n), more, fits=fits)
    return Workload(f"{name}, {n} items", by_daskflow(entity, n), {**{other: way(n) for other, way in by_dask.items()}, **more})


WORKLOADS = [
    _workload("nested dynamics", nested, 60),
    _workload("nested dynamics", nested, 1000, **{"a task for each chunk": by_chunk(1000)}),
    _workload("nested dynamics", nested, 100_000),
    _workload("mixed parallelism", mixed, 1000),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
