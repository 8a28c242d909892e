"""What it costs the scheduler to know all of a run's nodes, and how long it takes to look: a wide map and many child runs in one run.

::

    python benchmarks/watched.py [--items 100000] [--children 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import processes

import daskflow as fl


@fl.task
def tiny(a: int) -> int:
    """Return it."""
    return a


@fl.workflow
def child(a: int) -> int:
    """Call two tasks."""
    return tiny(a=tiny(a=a))


child_lp = fl.LaunchPlan.create("benchmarks.watched.child", child)


@fl.dynamic
def both(items: list[int], children: int) -> int:
    """Map over items, and launch children."""
    fl.map_task(tiny)(a=items)
    for number in range(children):
        child_lp(a=number)
    return 1


def rss() -> int:
    """Return the memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


async def watch(dask_scheduler: Any) -> None:
    """Measure, from now on, how long the scheduler's event loop is held up."""

    async def ticks() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            dask_scheduler.worst = max(dask_scheduler.worst, time.perf_counter() - began - 0.002)

    dask_scheduler.worst = 0.0
    dask_scheduler.ticking = asyncio.ensure_future(ticks())


def worst(dask_scheduler: Any) -> float:
    """Return the longest time, and measure anew."""
    found, dask_scheduler.worst = dask_scheduler.worst, 0.0
    return float(found)


def looked(what: str, look: Any) -> None:
    """Print how long a look takes."""
    began = time.perf_counter()
    look()
    print(f"{what}: {time.perf_counter() - began:.3f} s")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description="What it costs to know of all nodes.")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--children", type=int, default=10_000)
    given = parser.parse_args()
    with processes(2, 2) as (client, environment):
        fl.run(both, items=[1], children=1, client=client).result()
        client.run_on_scheduler(watch)
        client.run_on_scheduler(worst)
        before, began = client.run_on_scheduler(rss), time.perf_counter()
        run = fl.run(both, items=list(range(given.items)), children=given.children, client=client)
        while run.status == "RUNNING":
            time.sleep(0.02)
        took, grown = time.perf_counter() - began, client.run_on_scheduler(rss) - before
        print(f"{given.items} items and {given.children} child runs: {took:.2f} s")
        print(f"scheduler: {grown / 2**20:.1f} MiB more, {grown / (given.items + given.children):.0f} bytes for each of them")
        print(f"scheduler's event loop: held up for at most {client.run_on_scheduler(worst) * 1e3:.0f} ms")
        run.result()
        looked("tree(), all of it from the history", lambda: print(run.tree()))
        looked("counts", lambda: print(dict(run.counts)))
        looked("a page of the map, the slowest first", lambda: run.nodes("tiny", order="slow", limit=20))
        print(f"meanwhile the event loop was held up for at most {client.run_on_scheduler(worst) * 1e3:.0f} ms")
        show = [sys.executable, "-m", "daskflow", "show", run.id]
        looked("daskflow show", lambda: subprocess.run(show, env=environment, check=True, stdout=subprocess.DEVNULL))


if __name__ == "__main__":
    main()
