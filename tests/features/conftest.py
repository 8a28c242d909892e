"""Each test of a feature runs in process, on a cluster, and on a cluster where every node is a Dask task of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dask
import pytest
from distributed import Client

import daskflow as fl

MODES = ["in process", "cluster", "a task for each node"]

Flow = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def _validation() -> Iterator[None]:
    """Have the scheduler and the workers of the session's cluster check themselves at each step."""
    with dask.config.set({"distributed.scheduler.validate": True, "distributed.worker.validate": True}):
        yield


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
    client: Client = request.getfixturevalue("flow_client")
    with dask.config.set({"daskflow.spill-after": 0} if mode == "a task for each node" else {}):
        yield lambda entity, **inputs: fl.submit(entity, inputs, client=client).result(60)
