"""A wide map of a task that does nothing."""

from __future__ import annotations

from typing import Any

from common import Way, Workload, main
from distributed import Client
from nested import plus1, step1

import daskflow as fl

_MOST_BY_DASK = 10_000
_MOST_BY_BATCHES = 100_000


@fl.workflow
def tiny_map(items: list[int]) -> list[int]:
    return fl.map_task(step1)(a=items)


def by_daskflow(n: int) -> Way:
    """Return the way by daskflow."""
    return lambda client: fl.run(tiny_map, items=list(range(n)), client=client).result()


def by_map(n: int) -> Way:
    """Return the way by ``Client.map``: a task for each item."""
    return lambda client: client.gather(client.map(plus1, range(n), pure=False))


def _batch(items: list[int]) -> list[int]:
    return [plus1(a) for a in items]


def by_batches(n: int, batches: int) -> Way:
    """Return the way by ``Client.map`` over batches made by hand."""

    def way(client: Client) -> Any:
        items, size = list(range(n)), -(-n // batches)
        parts = client.gather(client.map(_batch, [items[i : i + size] for i in range(0, n, size)], pure=False))
        return [item for part in parts for item in part]

    return way


def _workload(n: int) -> Workload:
    by_dask = min(n, _MOST_BY_DASK)
    name = "Client.map" if by_dask == n else f"Client.map, from {by_dask} items"
    others: dict[str, Way] = {name: by_map(by_dask)}
    if n <= _MOST_BY_BATCHES:
        others.update({f"Client.map over {count} batches": by_batches(n, count) for count in (8, 32)})
    return Workload(f"map of {n} tiny tasks", by_daskflow(n), others, scale={} if by_dask == n else {name: n / by_dask})


WORKLOADS = [_workload(n) for n in (1000, 10_000, 100_000, 1_000_000)]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
