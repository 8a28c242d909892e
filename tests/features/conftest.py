"""Each test of a feature runs in process, on a cluster, and on a cluster where every node is a Dask task of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

import daskflow as fl
from tests.cluster.support import coordinator

MODES = ["in process", "cluster", "a task for each node"]

Flow = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def client() -> Iterator[Client]:
    settings = {"distributed.scheduler.validate": True, "distributed.worker.validate": True}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        # The plug-in, and the workers' threads, are there from now on.
        fl.submit(fl.task(_nothing), {}, client=client).result()
        client.gather(client.map(_meet, range(4), pure=False))
        yield client


def _nothing() -> None:
    return None


_all_threads = threading.Barrier(4)


def _meet(_: int) -> None:
    _all_threads.wait(30)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Return where the test's programs are executed."""
    return str(request.param)


@pytest.fixture
def flow(mode: str, request: pytest.FixtureRequest) -> Iterator[Flow]:
    """Return what runs an entity with its inputs, and returns or raises what it does."""
    if mode == "in process":
        yield lambda entity, **inputs: entity(**inputs)
        return
    client: Client = request.getfixturevalue("client")
    settings: dict[str, Any] = {"daskflow.cache.url": os.environ["DASK_DASKFLOW__CACHE__URL"]}
    if mode == "a task for each node":
        settings["daskflow.spill-after"] = 0
    with dask.config.set(settings):
        yield lambda entity, **inputs: fl.submit(entity, inputs, client=client).result(60)
    _assert_nothing_left(client)


def _assert_nothing_left(client: Client) -> None:
    async def state() -> dict[str, Any]:
        return await coordinator(client.cluster.scheduler).state()  # type: ignore[union-attr]

    nothing = {"runs": {}, "units": 0, "running": 0, "waiting": 0, "pools": 0, "leases": 0, "shipments": 0, "faults": 0}
    assert client.sync(state) == nothing
