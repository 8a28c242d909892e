"""Memory of the scheduler, in a process of its own, over a map of a million items.

::

    python benchmarks/memory.py [--items 1000000]
"""

from __future__ import annotations

import argparse
import resource
import time

from common import processes
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
    with processes(2, 4) as (client, _):
        fl.run(tiny_map, items=[1], client=client).result()
        before = client.run_on_scheduler(peak)
        began = time.perf_counter()
        fl.run(tiny_map, items=list(range(given.items)), client=client).result()
        took = time.perf_counter() - began
        print(f"{given.items} items: {took:.2f} s, {took / given.items * 1e6:.1f} us an item")
        print(f"scheduler: {before:.0f} MiB before, at most {client.run_on_scheduler(peak):.0f} MiB")
        print(f"workers: at most {max(client.run(peak).values()):.0f} MiB; client: at most {peak():.0f} MiB")


if __name__ == "__main__":
    main()
