"""How long it takes to cancel what is four levels deep in a run, while another run has work for all threads.

::

    python benchmarks/cancelled.py [--rounds 7] [--queued 64 10000]

Each number of queued nodes is measured twice: as daskflow cuts them, a few units with many nodes each, and with a unit for each node.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
from common import processes
from distributed import Client

import daskflow as fl

_PLACE = "level1/level2/level3/work"
_NAP = 0.1  # seconds that a task lasts, unless it is told that it does not count
_LOOK = 0.001  # seconds between two questions of a task whether it counts
_WORKERS, _THREADS = 2, 4
_LOAD = 50_000  # items of the other run


def note(folder: str, what: str) -> None:
    """Write down when something happens, in a file of the process' own."""
    file = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{what} {time.time()}\n".encode())
    finally:
        os.close(file)


@fl.task
def work(folder: str, a: int) -> int:
    """Last a while, and ask all the time whether that is still wanted."""
    note(folder, "starts")
    until, context = time.perf_counter() + _NAP, fl.current_context()
    while time.perf_counter() < until:
        if context.cancelled:
            note(folder, "told")
            break
        time.sleep(_LOOK)
    return a


@fl.dynamic
def level3(folder: str, n: int) -> list[int]:
    """Map over the work."""
    return fl.map_task(work)(folder=[folder] * n, a=list(range(n)))


@fl.workflow
def level2(folder: str, n: int) -> list[int]:
    """Have a level more."""
    return level3(folder=folder, n=n)


level2_lp = fl.LaunchPlan.create("level2", level2)


@fl.dynamic
def level1(folder: str, n: int) -> list[int]:
    """Launch a child run."""
    return level2_lp(folder=folder, n=n)


@fl.workflow
def top(folder: str, n: int) -> list[int]:
    """Begin."""
    return level1(folder=folder, n=n)


@fl.task
def nap(a: int) -> int:
    """Take a thread for a while."""
    time.sleep(0.02)
    return a


async def watch(dask_scheduler: Any, run: str) -> None:
    """See from now on how long the event loop is held up, and when nothing of a run is left."""
    coordinator = dask_scheduler.plugins["daskflow"].coordinator
    units = list(coordinator.ledger.runs[run].units)

    async def ticks() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            dask_scheduler.worst = max(dask_scheduler.worst, time.perf_counter() - began - 0.001)
            while units and units[-1] not in dask_scheduler.tasks and run not in coordinator.ledger.runs:
                units.pop()
            if not units and run not in coordinator.ledger.runs and f"daskflow-{run}" not in dask_scheduler.clients:
                dask_scheduler.gone = time.time()
                return

    dask_scheduler.worst, dask_scheduler.gone, dask_scheduler.units = 0.0, None, len(units)
    dask_scheduler.ticking = asyncio.ensure_future(ticks())


async def seen(dask_scheduler: Any) -> tuple[float, float, int]:
    """Return when nothing was left, the longest time, and how many units there were."""
    await dask_scheduler.ticking
    return float(dask_scheduler.gone), float(dask_scheduler.worst), int(dask_scheduler.units)


def marks(folder: str) -> dict[str, list[float]]:
    """Return what was written down."""
    found: dict[str, list[float]] = {"starts": [], "told": []}
    for file in Path(folder).iterdir():
        for line in file.read_text(encoding="ascii").splitlines():
            what, when = line.split()
            found[what].append(float(when))
    return found


def cancelled(client: Client, n: int) -> dict[str, float]:
    """Cancel the work of a run once; return the seconds that everything took."""
    with tempfile.TemporaryDirectory(prefix="daskflow-benchmark-") as folder:
        run = fl.run(top, folder=folder, n=n, max_parallelism=0, client=client)
        while len(marks(folder)["starts"]) < min(n, 3 * _WORKERS * _THREADS):
            time.sleep(0.02)
        client.run_on_scheduler(watch, run=run.id)
        called = time.time()
        run.cancel(_PLACE)
        returned = time.time()
        run.wait()
        gone, worst, units = client.run_on_scheduler(seen)
        # Who executes still, and does not ask, has ended by then.
        time.sleep(2 * _NAP)
        found = marks(folder)
    if run.status != "FAILED":
        raise AssertionError(f"the run is {run.status}")
    return {
        "the call returns": returned - called,
        "the last node starts": max(0.0, *(when - called for when in found["starts"])),
        "the last task is told": max((when - called for when in found["told"]), default=0.0),
        "nothing is left in the scheduler": gone - called,
        "(its event loop is held up for)": worst,
        "units": units,
    }


def rounds(client: Client, n: int, count: int) -> None:
    """Print the medians, and the worst, of some rounds."""
    for spill_after, how in (("20ms", "as they are cut"), (0, "each a unit of its own")):
        with dask.config.set({"daskflow.spill-after": spill_after}):
            found = [cancelled(client, n) for _ in range(count + 1)][1:]
        units = statistics.median(one.pop("units") for one in found)
        print(f"{n} nodes, {how} ({units:.0f} units):")
        for what in found[0]:
            taken = [one[what] * 1e3 for one in found]
            print(f"  {what}: {statistics.median(taken):.1f} ms, at most {max(taken):.1f} ms", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description="How long it takes to cancel something deep in a run.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--queued", type=int, nargs="+", default=[64, 10_000])
    given = parser.parse_args()
    with processes(_WORKERS, _THREADS) as (client, _):
        # A unit for each item: units that last would leave the other run no thread.
        with dask.config.set({"daskflow.spill-after": 0}):
            load = fl.run(fl.map_task(nap), a=list(range(_LOAD)), max_parallelism=0, client=client)
        for n in given.queued:
            rounds(client, n, given.rounds)
        if load.status != "RUNNING":
            raise AssertionError("the load was over too soon; give it more items")
        load.cancel()


if __name__ == "__main__":
    main()
