"""The workloads by Parsl: Python apps on a pool of threads, and join apps where a task makes tasks."""

from __future__ import annotations

import tempfile
from typing import Any

import parsl
from parsl import Config, ThreadPoolExecutor, join_app, python_app
from talk import THREADS, chunks, flat, plus1, plus2, serve

step1 = python_app(plus1)
step2 = python_app(plus2)


@python_app
def flatten(*parts: list[int]) -> list[int]:
    return flat(list(parts))


@join_app
def core(a: int) -> Any:
    return step2(step1(a))


@join_app
def level2(items: list[int]) -> Any:
    return [core(a) for a in items]


@join_app
def level1(items: list[int]) -> Any:
    return flatten(*(level2(chunk) for chunk in chunks(items)))


def nested(n: int) -> Any:
    return level1(list(range(n))).result()


def tiny_map(n: int) -> list[int]:
    return [future.result() for future in [step1(a) for a in range(n)]]


def chain(n: int) -> Any:
    value: Any = 0
    for _ in range(n):
        value = step1(value)
    return value.result()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Config([ThreadPoolExecutor(max_threads=THREADS)], run_dir=folder, initialize_logging=False)
        with parsl.load(config):
            serve(["parsl"], {"nested": nested, "map": tiny_map, "chain": chain})


if __name__ == "__main__":
    main()
