"""Units on terms: placed where a worker has what they need; and child runs that fail alone."""

from __future__ import annotations

import os
from typing import Any

import dask
from distributed import get_worker
from distributed.utils_test import gen_cluster

import daskflow as fl
from tests.cluster.support import assert_nothing_left, on_cluster


@fl.task(requests=fl.Resources(gpu=1))
def on_a_gpu(a: int) -> str:
    return str(get_worker().address)


@fl.task
def anywhere(a: int) -> int:
    return a


@fl.dynamic
def many_on_gpus(n: int) -> list[str]:
    return [on_a_gpu(a=anywhere(a=i)) for i in range(n)]


@gen_cluster(client=True, nthreads=[("127.0.0.1", 2), ("127.0.0.1", 2, {"resources": {"GPU": 1}})], timeout=60)  # type: ignore[list-item]
async def test_a_task_runs_where_its_resources_are(c: Any, s: Any, a: Any, b: Any) -> None:
    """What asks for a resource that a worker declares runs there, and nowhere else."""
    with dask.config.set({"daskflow.cache.url": os.environ["DASK_DASKFLOW__CACHE__URL"]}):
        assert await fl.run(many_on_gpus, n=6, client=c) == [b.address] * 6
    await assert_nothing_left(s)


class Unlucky(Exception):
    """What a task here raises."""


@fl.task
def lucky(a: int) -> int:
    if a == 2:
        raise Unlucky
    return a


@fl.workflow
def child(a: int) -> int:
    return lucky(a=a)


plan = fl.LaunchPlan.get_or_create(child, name="tests.terms.child")


@on_cluster()
async def test_a_child_run_that_failed_alone(c: Any, s: Any, *workers: Any) -> None:
    """A child run whose failure was taken is recorded as failed, beside those that succeeded."""
    for spill_after in (0, "20ms"):
        with dask.config.set({"daskflow.spill-after": spill_after}):
            run = fl.run(fl.map_task(plan, min_successes=0), a=[1, 2, 3], client=c)
            assert await run == [1, None, 3]
            children = await run.children
            assert {one.address: one.status for one in children} == {
                "child[0]": "SUCCEEDED", "child[1]": "FAILED", "child[2]": "SUCCEEDED",
            }  # fmt: skip
    await assert_nothing_left(s)
