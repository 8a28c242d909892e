"""What the benchmarks share: ways of doing the same work are timed in turn, in one process, on one cluster.

Each script can be run alone, and ``run_all.py`` runs all of them::

    python benchmarks/nested.py [--repeats 3] [--workers 2] [--threads 4] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed import Client, LocalCluster

import daskflow as fl

Way = Callable[[Client], Any]

_TO_SETTLE = (
    0.5  # seconds: thousands of tasks are still being forgotten when their results are there, which is not the next way's to wait for
)


@dataclass
class Fit:
    """A way that would take too long: timed once at some sizes, and told by the line through them.

    Attributes
    ----------
    way
        Gives the way for a size.
    sizes
        Where it is timed.
    at
        The size that is asked for.
    """

    way: Callable[[int], Way]
    sizes: tuple[int, ...]
    at: int

    def row(self, client: Client, name: str) -> tuple[str, float]:
        """Return the name, with the line, and the seconds."""
        times = []
        for size in self.sizes:
            began = time.perf_counter()
            self.way(size)(client)
            times.append(time.perf_counter() - began)
        slope, start = statistics.linear_regression(self.sizes, times)
        points = ", ".join(f"{taken:.1f} s for {size}" for size, taken in zip(self.sizes, times, strict=True))
        return f"{name}, {start:.2f} s + {slope * 1e3:.2f} ms an item ({points})", start + slope * self.at


@dataclass
class Workload:
    """One piece of work, and ways of doing it.

    Attributes
    ----------
    name
        What the work is.
    ours
        How daskflow does it.
    others
        How it is done without; each must give the same result.
    ideal
        Seconds that it would take if nothing but the work took time, where that is known.
    scale
        By name: how many times more work `ours` does than that way, whose time is multiplied by it.
    fits
        By name: ways that are not timed at this size.
    repeats
        How often it is timed at most.
    """

    name: str
    ours: Way
    others: dict[str, Way] = field(default_factory=dict)
    ideal: float | None = None
    scale: dict[str, float] = field(default_factory=dict)
    fits: dict[str, Fit] = field(default_factory=dict)
    repeats: int = 100


@dataclass
class Row:
    """One comparison; a ratio above 1 says how many times longer the other way takes."""

    ratio: float
    workload: str
    daskflow_s: float
    against: str
    other_s: float


@contextmanager
def processes(workers: int, threads: int) -> Iterator[tuple[Client, dict[str, str]]]:
    """Start a scheduler and workers, each a process of its own, with a cache of their own; give a client, and their environment."""
    folder = tempfile.mkdtemp(prefix="daskflow-benchmark-")
    file, cache = Path(folder) / "scheduler.json", os.path.join(folder, "cache")
    environment = {**os.environ, "DASK_DASKFLOW__CACHE__URL": cache}
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        started.append(subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL))

    try:
        start("scheduler", "--port", "0", "--scheduler-file", str(file))
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        for _ in range(workers):
            start("worker", address, "--nthreads", str(threads), "--no-nanny")
        with dask.config.set({"daskflow.cache.url": cache}), Client(address) as client:
            client.wait_for_workers(workers)
            yield client, environment
    finally:
        # Workers first: one whose scheduler is gone takes its time.
        for process in reversed(started):
            process.kill()
            process.wait()


def measure(client: Client, work: Workload, repeats: int) -> list[Row]:
    """Time each way in turn, after one round that is not counted; return the medians and ratios."""
    ways: dict[str, Way] = {"daskflow": work.ours, **work.others}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for counted in range(min(repeats, work.repeats) + 1):
        results = {}
        for name, way in ways.items():
            time.sleep(_TO_SETTLE)
            began = time.perf_counter()
            results[name] = way(client)
            if counted:
                times[name].append(time.perf_counter() - began)
        for name, result in results.items():
            if name not in work.scale and result != results["daskflow"]:
                raise AssertionError(f"{work.name}: {name} does not give the same result")
    own = statistics.median(times.pop("daskflow"))
    rows = [(name, statistics.median(taken) * work.scale.get(name, 1)) for name, taken in times.items()]
    rows += [fit.row(client, name) for name, fit in work.fits.items()]
    if work.ideal is not None:
        rows.append(("ideal", work.ideal))
    return [Row(other / own, work.name, own, name, other) for name, other in rows]


def seconds(value: float) -> str:
    """Return a time as text, with a unit that suits it."""
    if value < 1e-3:
        return f"{value * 1e6:.1f} us"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def table(rows: Iterable[Row]) -> str:
    """Return rows as a table in Markdown."""
    head = ["| ratio | workload | daskflow | against | takes |", "|---:|---|---:|---|---:|"]
    cells = ((f"{one.ratio:.3g}", one.workload, seconds(one.daskflow_s), one.against, seconds(one.other_s)) for one in rows)
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in cells)])


def machine() -> dict[str, Any]:
    """Return what the figures were measured with."""
    return {
        "python": platform.python_version(),
        "dask": dask.__version__,
        "distributed": distributed.__version__,
        "daskflow": fl.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def arguments(description: str | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    return parser.parse_args()


def run(given: argparse.Namespace, workloads: Iterable[Workload]) -> list[Row]:
    """Measure workloads on a cluster of their own; print each as it comes."""
    rows: list[Row] = []
    with (
        LocalCluster(n_workers=given.workers, threads_per_worker=given.threads, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for work in workloads:
            found = measure(client, work, given.repeats)
            print("\n".join(table(found).splitlines()[2:]), flush=True)
            rows += found
    return rows


def write(path: str, given: argparse.Namespace, rows: Iterable[Row]) -> None:
    """Write figures as JSON."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**machine(), "workers": given.workers, "threads": given.threads, "rows": [asdict(one) for one in rows]}, file, indent=1)


def main(description: str | None, workloads: Iterable[Workload]) -> None:
    """Run one script."""
    given = arguments(description)
    print(machine(), file=sys.stderr)
    print("\n".join(table([]).splitlines()))
    rows = run(given, workloads)
    if given.json:
        write(given.json, given, rows)
