"""The workloads by redun: tasks that return expressions, on its executor of threads."""

from __future__ import annotations

import sys
from typing import Any

from redun import Scheduler, task
from redun.config import Config
from talk import THREADS, chunks, flat, plus1, plus2, serve

redun_namespace = "daskflow_peers"

DEPTH = 100_000  # of Python's stack: redun goes through an expression by recursion, and a chain is an expression as deep as long


@task()
def step1(a: int) -> int:
    return plus1(a)


@task()
def step2(a: int) -> int:
    return plus2(a)


@task()
def flatten(parts: list[list[int]]) -> list[int]:
    return flat(parts)


@task()
def core(a: int) -> int:
    return step2(step1(a))


@task()
def level2(items: list[int]) -> list[int]:
    return [core(a) for a in items]


@task()
def level1(items: list[int]) -> list[int]:
    return flatten([level2(chunk) for chunk in chunks(items)])


@task()
def tiny_map(items: list[int]) -> list[int]:
    return [step1(a) for a in items]


@task()
def chain(length: int) -> int:
    value = 0
    for _ in range(length):
        value = step1(value)
    return value


class Runs:
    """Runs expressions, each with a database of its own in memory: else redun would find the results of the run before."""

    def fresh(self) -> None:
        executor = {"type": "local", "max_workers": str(THREADS)}
        self.scheduler = Scheduler(config=Config({"executors.default": executor}))
        self.scheduler.load()

    def again(self, expression: Any) -> Any:
        """Run with the database of the last time, which is a file."""
        config = {"executors.default": {"type": "local", "max_workers": str(THREADS)}, "backend": {"db_uri": "sqlite:///redun.db"}}
        scheduler = Scheduler(config=Config(config))
        scheduler.load()
        return scheduler.run(expression)

    def result(self, expression: Any) -> Any:
        return self.scheduler.run(expression)


def main() -> None:
    sys.setrecursionlimit(DEPTH)
    runs = Runs()
    ways = {
        "nested": lambda n: runs.result(level1(list(range(n)))),
        "map": lambda n: runs.result(tiny_map(list(range(n)))),
        "chain": lambda n: runs.result(chain(n)),
        "hits": lambda n: runs.again(tiny_map(list(range(n)))),
    }
    serve(["redun"], ways, before=runs.fresh)


if __name__ == "__main__":
    main()
