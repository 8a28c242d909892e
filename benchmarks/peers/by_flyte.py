"""The workloads by Flyte 2, in process: async tasks that await tasks.

It makes folders for each task, where it wants them: in ``flyte`` in the system's folder for temporary files.
"""

from __future__ import annotations

import asyncio
from typing import Any

import flyte
from talk import chunks, flat, plus1, plus2, serve

env = flyte.TaskEnvironment(name="peers")


@env.task
async def step1(a: int) -> int:
    return plus1(a)


@env.task
async def step2(a: int) -> int:
    return plus2(a)


@env.task
async def flatten(parts: list[list[int]]) -> list[int]:
    return flat(parts)


@env.task
async def core(a: int) -> int:
    return await step2(await step1(a))


@env.task
async def level2(items: list[int]) -> list[int]:
    return list(await asyncio.gather(*(core(a) for a in items)))


@env.task
async def level1(items: list[int]) -> list[int]:
    return await flatten(list(await asyncio.gather(*(level2(chunk) for chunk in chunks(items)))))


@env.task
async def tiny_map(items: list[int]) -> list[int]:
    return list(await asyncio.gather(*(step1(a) for a in items)))


@env.task
async def chain(length: int) -> int:
    value = 0
    for _ in range(length):
        value = await step1(value)
    return value


@env.task
async def fan(n: int) -> list[int]:
    return [await step1(0) for _ in range(n)]


def result(entity: Any, given: Any) -> Any:
    return flyte.with_runcontext(mode="local").run(entity, given).outputs()[0]


def main() -> None:
    flyte.init()
    ways = {
        "nested": lambda n: result(level1, list(range(n))),
        "map": lambda n: result(tiny_map, list(range(n))),
        "chain": lambda n: result(chain, n),
        "fan": lambda n: result(fan, n),
    }
    serve(["flyte"], ways)


if __name__ == "__main__":
    main()
