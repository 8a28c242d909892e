"""Dynamics that call themselves: Fibonacci numbers, and merge sort."""

from __future__ import annotations

from heapq import merge
from random import Random
from typing import Any

import dask
from common import Workload, main
from distributed import Client

import daskflow as fl

N = 14
ITEMS, LEAF = Random(0).sample(range(10_000), 2000), 16


def plus(a: int, b: int) -> int:
    return a + b


def merged(left: list[int], right: list[int]) -> list[int]:
    return list(merge(left, right))


@fl.task
def add(a: int, b: int) -> int:
    return plus(a, b)


@fl.dynamic
def fibonacci(n: int) -> int:
    return add(a=fibonacci(n=n - 1), b=fibonacci(n=n - 2)) if n > 1 else n


def fibonacci_delayed(client: Client) -> Any:
    """Return the number by a graph of ``dask.delayed``."""

    def build(n: int) -> Any:
        return dask.delayed(plus, pure=False)(build(n - 1), build(n - 2)) if n > 1 else n

    return client.compute(build(N)).result()


@fl.task
def sort_leaf(items: list[int]) -> list[int]:
    return sorted(items)


@fl.task
def merge_two(left: list[int], right: list[int]) -> list[int]:
    return merged(left, right)


@fl.dynamic
def merge_sort(items: list[int]) -> list[int]:
    if len(items) <= LEAF:
        return sort_leaf(items=items)
    half = len(items) // 2
    return merge_two(left=merge_sort(items=items[:half]), right=merge_sort(items=items[half:]))


def merge_sort_delayed(client: Client) -> Any:
    """Return the sorted list by a graph of ``dask.delayed``."""

    def build(items: list[int]) -> Any:
        if len(items) <= LEAF:
            return dask.delayed(sorted, pure=False)(items)
        half = len(items) // 2
        return dask.delayed(merged, pure=False)(build(items[:half]), build(items[half:]))

    return client.compute(build(ITEMS)).result()


WORKLOADS = [
    Workload(
        f"Fibonacci number {N} by dynamics",
        lambda client: fl.run(fibonacci, n=N, client=client).result(),
        {"static dask.delayed graph": fibonacci_delayed},
    ),
    Workload(
        f"merge sort of {len(ITEMS)} numbers by dynamics",
        lambda client: fl.run(merge_sort, items=ITEMS, client=client).result(),
        {"static dask.delayed graph": merge_sort_delayed},
    ),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
