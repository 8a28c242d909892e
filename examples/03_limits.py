"""Limits at several levels, measured.

Each task notes when it began and ended, on the clock that all processes of a machine share, and the highest overlap is
printed beside the limit. Limits add up: a run's own limit holds for everything below it, together with what is set there.

Prints::

    workflow(max_parallelism=4):               at most 4 at once, reached 4
    launch plan of its own, max_parallelism=2: at most 2 at once, reached 2
    map with concurrency=3:                    at most 3 at once, reached 3
    two plans of 2 under run(..., 3):          at most 3 at once, reached 3
    map with concurrency=3 under run(..., 1):  at most 1 at once, reached 1
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import daskflow as fl


@dataclass
class Span:
    """When a task ran, in seconds."""

    start: float
    end: float


@fl.task
def nap(index: int, seconds: float) -> Span:
    start = time.monotonic()
    time.sleep(seconds)
    return Span(start, time.monotonic())


naps = functools.partial(nap, seconds=0.1)


@fl.workflow(max_parallelism=4)
def four_at_once(items: list[int]) -> list[Span]:
    return fl.map_task(naps)(index=items)


two_at_once = fl.LaunchPlan.get_or_create(four_at_once, name="two_at_once", max_parallelism=2)


@fl.workflow
def window_of_three(items: list[int]) -> list[Span]:
    return fl.map_task(naps, concurrency=3)(index=items)


@fl.dynamic
def two_plans(items: list[int]) -> list[list[Span]]:
    return [two_at_once(items=items), two_at_once(items=items)]


def overlap(spans: Sequence[Span]) -> int:
    """Return how many naps there were at the same moment at most."""
    return max(sum(one.start <= other.start < one.end for one in spans) for other in spans)


def report(title: str, limit: int, client: Any, entity: Any, **options: Any) -> None:
    result = fl.run(entity, items=list(range(8)), client=client, **options).result()
    spans = [span for part in result for span in (part if isinstance(part, list) else [part])]
    print(f"{title:<42} at most {limit} at once, reached {overlap(spans)}")


def main() -> None:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=4, dashboard_address=":0") as cluster, Client(cluster) as client:
        report("workflow(max_parallelism=4):", 4, client, four_at_once)
        report("launch plan of its own, max_parallelism=2:", 2, client, two_at_once)
        report("map with concurrency=3:", 3, client, window_of_three)
        report("two plans of 2 under run(..., 3):", 3, client, two_plans, max_parallelism=3)
        report("map with concurrency=3 under run(..., 1):", 1, client, window_of_three, max_parallelism=1)


if __name__ == "__main__":
    main()
