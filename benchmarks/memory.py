"""Memory of the scheduler, in a process of its own, over a map of a million items.

::

    python benchmarks/memory.py [--items 1000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distributed import Client
from wide_map import tiny_map

import daskflow as fl


def peak() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description="Memory of the scheduler over a wide map.")
    parser.add_argument("--items", type=int, default=1_000_000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="daskflow-benchmark-"))
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    processes = [subprocess.Popen([*dask, "scheduler", "--port", "0", "--scheduler-file", str(file), "--no-dashboard"], cwd=folder)]
    try:
        while not file.exists():
            time.sleep(0.1)
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        worker = [*dask, "worker", address, "--nthreads", "4", "--no-dashboard", "--no-nanny"]
        processes += [subprocess.Popen(worker, cwd=folder) for _ in range(2)]
        with Client(address) as client:
            client.wait_for_workers(2)
            fl.run(tiny_map, items=[1], client=client).result()
            before = client.run_on_scheduler(peak)
            began = time.perf_counter()
            fl.run(tiny_map, items=list(range(given.items)), client=client).result()
            took = time.perf_counter() - began
            print(f"{given.items} items: {took:.2f} s, {took / given.items * 1e6:.1f} us an item")
            print(f"scheduler: {before:.0f} MiB before, at most {client.run_on_scheduler(peak):.0f} MiB")
            print(f"workers: at most {max(client.run(peak).values()):.0f} MiB; client: at most {peak():.0f} MiB")
    finally:
        # Workers first: one whose scheduler is gone takes its time.
        for process in reversed(processes):
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
