"""Units on terms: placed where a worker has what they need; and child runs that fail alone."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import dask
from distributed import Event, get_worker
from distributed.utils_test import gen_cluster

import daskflow as fl
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster


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


@fl.task(requests=fl.Resources(gpu=1))
def holds_a_gpu(a: int) -> str:
    Event(f"began-{a}").set()
    Event("may-end").wait(60)
    return str(get_worker().address)


def holds_a_thread(a: int) -> int:
    Event("begun").set()
    Event("may-go").wait(60)
    return a


@gen_cluster(client=True, nthreads=[("127.0.0.1", 2), ("127.0.0.1", 2, {"resources": {"GPU": 1}})], timeout=60)  # type: ignore[list-item]
async def test_what_waits_for_a_resource_leaves_threads_to_others(c: Any, s: Any, a: Any, b: Any) -> None:
    """While many tasks wait for the one accelerator, all threads but that task's execute what asks for nothing."""
    with dask.config.set({"daskflow.cache.url": os.environ["DASK_DASKFLOW__CACHE__URL"], "daskflow.spill-after": 0}):
        assert await fl.run(anywhere, a=1, client=c) == 1
        waiting = fl.run(fl.map_task(holds_a_gpu), a=list(range(30)), client=c)
        admission = coordinator(s).ledger.admission
        # One executes, and one waits at the worker for its end.
        while admission.n_waiting < 28 or admission.n_running > 2:
            await asyncio.sleep(0.01)
        assert await fl.run(fl.map_task(anywhere), a=list(range(40)), client=c) == list(range(40))
        await Event("may-end").set()
        assert await waiting == [b.address] * 30
    await assert_nothing_left(s)


@gen_cluster(client=True, nthreads=[("127.0.0.1", 3, {"resources": {"GPU": 1}})] * 2, timeout=60)  # type: ignore[list-item]
async def test_no_resource_is_idle_while_a_task_waits_for_it(c: Any, s: Any, a: Any, b: Any) -> None:
    """Where two tasks were sent to the worker that has one accelerator, one of them goes to the other, which has one too."""
    with dask.config.set({"daskflow.cache.url": os.environ["DASK_DASKFLOW__CACHE__URL"], "daskflow.spill-after": 0}):
        # A worker that has something to do is not where Dask sends more.
        busy = [c.submit(holds_a_thread, i, workers=[b.address]) for i in range(2)]
        await Event("begun").wait()
        run = fl.run(fl.map_task(holds_a_gpu), a=[0, 1], client=c)
        await asyncio.gather(Event("began-0").wait(), Event("began-1").wait())
        await asyncio.gather(Event("may-end").set(), Event("may-go").set())
        assert sorted(await run) == sorted([a.address, b.address])
        await c.gather(busy)
        del busy
    # What is not ours ends without a word to us.
    while any(name.startswith("holds_a_thread") for name in s.tasks):
        await asyncio.sleep(0.005)
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
