"""The state of a run on a cluster: what units told of their nodes while it was executed, and when it is over."""

from __future__ import annotations

import asyncio
from typing import Any

from distributed import Event

import daskflow as fl
from daskflow.nodeviews import Phase
from daskflow.runstate import RunState
from tests import programs
from tests.cluster.support import assert_nothing_left, on_cluster


async def state_of(c: Any, run: Any, entity: Any) -> RunState:
    """Return the state of a run, from what the scheduler keeps of it."""
    told = await c.scheduler.daskflow_children(run=run.id)
    return RunState(run.id, "a run", entity.name, entity.kind_name, told["status"], 1.0, told["ended"], None, told["reports"])


@on_cluster(spill_after="1ms", chunk="1ms")
async def test_all_nodes_of_a_run_are_counted(c: Any, s: Any, *workers: Any) -> None:
    """However many units executed it, all nodes of a run are known or counted; those that are known have workers and times."""
    items, chunk = 1000, 7
    run = fl.run(programs.multi_wf, l=list(range(items)), chunk=chunk, client=c)
    await run
    state = await state_of(c, run, programs.multi_wf)
    bodies = -(-items // chunk)
    assert state.totals() == {Phase.SUCCEEDED: 3 * items + bodies + 2}
    view = state.node("level1")
    assert (view.phase, view.kind) == (Phase.SUCCEEDED, "dynamic")
    assert view.worker in {worker.address for worker in workers}
    assert state.counts("level1") == {Phase.SUCCEEDED: bodies + 1}
    assert all(view.seconds is not None and view.seconds >= 0 for view in state.children("level1", limit=1000).items)
    await assert_nothing_left(s)


@fl.task
def wait_for(name: str) -> str:
    Event(f"{name}-began").set()
    Event(name).wait()
    return name


@fl.workflow
def waits(name: str) -> str:
    return wait_for(name=name)


@fl.dynamic
def wait_for_all(names: list[str]) -> list[str]:
    return [waits(name=name) for name in names]


@on_cluster()
async def test_a_run_can_be_looked_at_while_it_is_executed(c: Any, s: Any, *workers: Any) -> None:
    """What is executing is running, on the worker where it is, and has succeeded when that is over."""
    await look_at_it(c, s, workers)


@on_cluster(spill_after=0)
async def test_a_run_with_a_task_for_each_node_can_be_looked_at(c: Any, s: Any, *workers: Any) -> None:
    """The same holds where every node is a unit of its own."""
    await look_at_it(c, s, workers)


async def look_at_it(c: Any, s: Any, workers: Any) -> None:
    """Look at a run while two of its tasks wait, and afterwards."""
    names = ["one", "two"]
    run = fl.run(wait_for_all, names=names, client=c)
    await asyncio.gather(*(Event(f"{name}-began", client=c).wait() for name in names))
    while (state := await state_of(c, run, wait_for_all)).totals() != {Phase.RUNNING: 4}:
        await asyncio.sleep(0.01)
    views = [state.node(f"waits[{index}]/wait_for") for index in range(2)]
    assert {view.phase for view in views} == {Phase.RUNNING}
    assert {view.worker for view in views} <= {worker.address for worker in workers}
    for name in names:
        await Event(name, client=c).set()
    assert await run == names
    state = await state_of(c, run, wait_for_all)
    assert state.totals() == {Phase.SUCCEEDED: 4}
    await assert_nothing_left(s)
