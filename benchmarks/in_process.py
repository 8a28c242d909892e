"""In process: what a node costs, beside a task of Dask's synchronous scheduler."""

from __future__ import annotations

from typing import Any

import dask
from chain import LENGTH, chain
from common import Workload, main
from distributed import Client
from nested import CHUNK, nested, plus1, static

ROUNDS = 20


def chains(_: Client) -> Any:
    """Run the chain often enough to be timed."""
    return [chain(a=0) for _ in range(ROUNDS)]


def chains_dask(_: Client) -> Any:
    """Run the same graph as often, by ``dask.get``."""
    graph: dict[str, Any] = {"0": (plus1, 0), **{str(index): (plus1, str(index - 1)) for index in range(1, LENGTH)}}
    return [dask.get(graph, str(LENGTH - 1)) for _ in range(ROUNDS)]


class _Here:
    """Takes the place of a client, and of the future that it returns."""

    def compute(self, value: Any) -> Any:
        """Compute at once."""
        self.value = value.compute(scheduler="synchronous")
        return self

    def result(self) -> Any:
        """Return what was computed."""
        return self.value


def nested_dask(_: Client) -> Any:
    """Run the nested example's static graph by the synchronous scheduler."""
    here: Any = _Here()
    return static(1000)(here)


WORKLOADS = [
    Workload(f"in process, {ROUNDS} chains of {LENGTH}", chains, {"dask.get": chains_dask}),
    Workload(
        "in process, nested dynamics, 1000 items",
        lambda _: nested(items=list(range(1000)), chunk=CHUNK),
        {"dask.delayed, synchronous": nested_dask},
    ),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
