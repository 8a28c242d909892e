"""The workloads by flytekit, Flyte's first SDK, in process: there it runs a node after another."""

from __future__ import annotations

import os
from typing import Any

# Its local cache is in the home directory.
os.environ["HOME"] = os.getcwd()

from flytekit import LaunchPlan, dynamic, map_task, task, workflow
from talk import CHUNK, flat, plus1, plus2, serve

LENGTH = 200
NODES = 1000


@task
def step1(a: int) -> int:
    return plus1(a)


@task
def step2(a: int) -> int:
    return plus2(a)


@task
def flatten(parts: list[list[int]]) -> list[int]:
    return flat(parts)


@workflow
def core(a: int) -> int:
    return step2(a=step1(a=a))


core_lp = LaunchPlan.get_or_create(core)


@dynamic
def level2(items: list[int]) -> list[int]:
    return [core_lp(a=a) for a in items]


@dynamic
def level1(items: list[int], chunk: int) -> list[int]:
    return flatten(parts=[level2(items=items[i : i + chunk]) for i in range(0, len(items), chunk)])


@workflow
def nested(items: list[int], chunk: int) -> list[int]:
    return level1(items=items, chunk=chunk)


@workflow
def tiny_map(items: list[int]) -> list[int]:
    return map_task(step1)(a=items)


@workflow
def chain(a: int) -> int:
    for _ in range(LENGTH):
        a = step1(a=a)
    return a


@workflow
def fan(a: int) -> list[int]:
    return [step1(a=a) for _ in range(NODES)]


@task(cache=True, cache_version="1")
def cached(a: int) -> int:
    return plus1(a)


@dynamic
def hits(n: int) -> list[int]:
    return [cached(a=a) for a in range(n)]


def fixed(flow: Any, size: int) -> Any:
    """Return a way that runs a static graph, whose size is that of its body."""

    def way(n: int) -> Any:
        assert n == size
        return flow(a=0)

    return way


def main() -> None:
    ways = {
        "nested": lambda n: nested(items=list(range(n)), chunk=CHUNK),
        "map": lambda n: tiny_map(items=list(range(n))),
        "chain": fixed(chain, LENGTH),
        "fan": fixed(fan, NODES),
        "hits": lambda n: hits(n=n),
    }
    serve(["flytekit"], ways)


if __name__ == "__main__":
    main()
