"""Prefect's flows and tasks: to be imported once its settings are made; the flows find the current Dask client.

The innermost sub-workflow is a task that calls tasks. As a flow, which is its other form here, it takes some five times longer.
"""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect_dask import DaskTaskRunner
from talk import chunks, flat, plus1, plus2

step1 = task(plus1)
step2 = task(plus2)
flatten = task(flat)


@task
def core(a: int) -> int:
    return step2(step1(a))


@flow(task_runner=DaskTaskRunner())
def level2(items: list[int]) -> Any:
    return core.map(items).result()


@flow(task_runner=DaskTaskRunner())
def level1(items: list[int]) -> Any:
    return flatten.submit([level2(chunk) for chunk in chunks(items)]).result()


@flow(task_runner=DaskTaskRunner())
def tiny_map(items: list[int]) -> Any:
    return step1.map(items).result()


@flow(task_runner=DaskTaskRunner())
def chain(length: int) -> Any:
    value: Any = 0
    for _ in range(length):
        value = step1.submit(value)
    return value.result()


WAYS = {
    "nested": lambda n: level1(list(range(n))),
    "map": lambda n: tiny_map(list(range(n))),
    "chain": chain,
}
