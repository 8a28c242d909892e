"""A chain of tiny tasks, each of which needs the one before; and a single task."""

from __future__ import annotations

from typing import Any

import dask
from common import Workload, main
from distributed import Client
from nested import plus1, step1

import daskflow as fl

LENGTH = 200


@fl.workflow
def chain(a: int) -> int:
    for _ in range(LENGTH):
        a = step1(a=a)
    return a


def by_delayed(client: Client) -> Any:
    """Return the result by ``dask.delayed``."""
    step, value = dask.delayed(plus1), 0
    for _ in range(LENGTH):
        value = step(value)
    return client.compute(value).result()


WORKLOADS = [
    Workload(f"chain of {LENGTH}", lambda client: fl.run(chain, a=0, client=client).result(), {"dask.delayed": by_delayed}),
    Workload(
        "one task",
        lambda client: fl.run(step1, a=0, client=client).result(),
        {"Client.submit": lambda client: client.submit(plus1, 0, pure=False).result()},
    ),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
