"""How often large arrays go over the wire: each way of doing the same work, counted at the workers.

::

    python benchmarks/wire.py [--repeats 3]
"""

from __future__ import annotations

import statistics
from typing import Any

from arrays import MEGABYTES, WORKLOADS
from common import arguments, machine
from distributed import Client, LocalCluster


def sent(client: Client) -> int:
    """Return how many bytes workers have sent each other so far."""
    totals: dict[str, int] = client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total)
    return sum(totals.values())


def copies(client: Client, way: Any) -> float:
    """Return how many times an array's size went over the wire."""
    before = sent(client)
    way(client)
    return (sent(client) - before) / (MEGABYTES << 20)


def main() -> None:
    """Count, and print a table."""
    given = arguments(__doc__)
    print(machine())
    print("| workload | daskflow | dask.delayed |\n|---|---:|---:|")
    with (
        LocalCluster(n_workers=given.workers, threads_per_worker=given.threads, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for work in WORKLOADS:
            ways = [work.ours, *work.others.values()]
            rounds = [[copies(client, way) for way in ways] for _ in range(given.repeats)]
            print(f"| {work.name} | {' | '.join(f'{statistics.mean(column):.2f}' for column in zip(*rounds, strict=True))} |")


if __name__ == "__main__":
    main()
