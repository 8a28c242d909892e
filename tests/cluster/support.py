"""What the tests on clusters share."""

from __future__ import annotations

import functools
import os
from typing import Any

import dask
from distributed import Scheduler
from distributed.utils_test import gen_cluster

from daskflow.coordinator import Coordinator


def on_cluster(workers: int = 2, threads: int = 4, **config: Any) -> Any:
    """Return a decorator that runs a test with a client, a scheduler and workers as its arguments.

    All are in this process and on one event loop, and the scheduler checks itself at each step.
    """
    settings = {f"daskflow.{name.replace('__', '.').replace('_', '-')}": value for name, value in config.items()}

    def decorate(test: Any) -> Any:
        @functools.wraps(test)
        async def with_cache(*given: Any, **fixtures: Any) -> None:
            # Dask's tests begin with a configuration as it was when Dask was imported.
            with dask.config.set({"daskflow.cache.url": os.environ["DASK_DASKFLOW__CACHE__URL"]}):
                await test(*given, **fixtures)

        return gen_cluster(client=True, nthreads=[("127.0.0.1", threads)] * workers, config=settings, timeout=120)(with_cache)

    return decorate


def coordinator(scheduler: Scheduler) -> Coordinator:
    """Return our part of a scheduler."""
    found: Coordinator = scheduler.plugins["daskflow"].coordinator  # type: ignore[attr-defined]
    return found


async def assert_nothing_left(scheduler: Scheduler) -> None:
    """Assert that the scheduler holds no task, unit, pool, client or code of any run."""
    assert await coordinator(scheduler).state() == {
        "runs": {}, "units": 0, "running": 0, "waiting": 0, "pools": 0, "leases": 0, "shipments": 0, "faults": 0,
    }  # fmt: skip
    assert not scheduler.tasks
    assert not scheduler.task_groups
    assert not scheduler.unrunnable
    assert not [name for name in scheduler.clients if name.startswith("daskflow")]
