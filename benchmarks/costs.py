"""What things cost: a node, a unit, a run; and where a node's time goes in process.

::

    python benchmarks/costs.py [--repeats 3]
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from collections.abc import Callable
from typing import Any

import dask
from chain import chain
from common import arguments, machine, seconds
from distributed import Client, LocalCluster
from nested import nested, step1
from wide_map import tiny_map

import daskflow as fl

FEW, MANY = 20, 220


def timed(action: Callable[[], Any], repeats: int) -> float:
    """Return the median time of an action, in seconds, after one that is not counted."""
    action()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def slope(action: Callable[[int], Any], few: int, many: int, repeats: int) -> float:
    """Return what one more costs, in seconds."""
    return (timed(lambda: action(many), repeats) - timed(lambda: action(few), repeats)) / (many - few)


@fl.dynamic
def loop(n: int) -> list[int]:
    return [step1(a=index) for index in range(n)]


@fl.dynamic
def descend(n: int) -> int:
    return descend(n=n - 1) if n else step1(a=n)


def main() -> None:
    """Measure, and print a table."""
    given = arguments(__doc__)
    repeats = given.repeats
    print(machine())
    costs: dict[str, float] = {
        "a task node in a static graph, in process": timed(lambda: chain(a=0), repeats) / 200,
        "a map's item, in process": slope(lambda n: tiny_map(items=list(range(n))), 1000, 11_000, repeats),
        "a dynamic with one node in it, in process": slope(lambda n: descend(n=n), 100, 1100, repeats),
        "an item of the nested example (two tasks, a launch plan), in process": timed(
            lambda: nested(items=list(range(1000)), chunk=32), repeats
        )
        / 1000,
    }
    with (
        LocalCluster(n_workers=given.workers, threads_per_worker=given.threads, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):

        def run(entity: Any, **inputs: Any) -> Any:
            return fl.run(entity, client=client, **inputs).result()

        costs["a run of one task, start to result"] = timed(lambda: run(step1, a=0), 10 * repeats)
        costs["a map's item, on the cluster"] = slope(lambda n: run(tiny_map, items=list(range(n))), 1000, 11_000, repeats)
        with dask.config.set({"daskflow.spill-after": 0}):
            costs["a unit: each node a Dask task of its own"] = slope(lambda n: run(loop, n=n), FEW, MANY, repeats)
            costs["a tail call: each level of a recursion a Dask task"] = slope(lambda n: run(descend, n=n), FEW, MANY, repeats)
    print("\n| what | costs |\n|---|---:|")
    for what, cost in costs.items():
        print(f"| {what} | {seconds(cost)} |")
    print("\nwhere the time goes in process, of the nested example with 10 000 items:\n")
    profile = cProfile.Profile()
    profile.runcall(nested, items=list(range(10_000)), chunk=32)
    pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
