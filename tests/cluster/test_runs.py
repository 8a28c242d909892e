"""Runs as they are looked at, while they execute and afterwards."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing
from typing import Any

import pytest
from click.testing import CliRunner
from distributed import Event

import daskflow as fl
from daskflow import cli, config, nodelog
from daskflow.errors import GateTimeout, InputError, OptionError, RunCancelled, SchedulerLost, UnknownRun
from tests import programs
from tests.cluster.support import assert_nothing_left, on_cluster


@fl.task
def waits(name: str, a: int) -> int:
    if a == 2:
        Event(name).wait(30)
    return a


@fl.workflow
def waiting(name: list[str], a: list[int]) -> list[int]:
    return fl.map_task(waits)(name=name, a=a)


waiting_lp = fl.LaunchPlan.create("tests.runs.waiting", waiting, labels={"team": "blue"})


@fl.workflow
def never_approved(a: int) -> int:
    return fl.approve(programs.step1(a=a), "look", timeout=60.0)


never_approved_lp = fl.LaunchPlan.get_or_create(never_approved)


@fl.task
def large(n: int) -> bytes:
    time.sleep(0.1)
    return bytes(n)


async def seen(run: Any, client: Any) -> fl.RunView:
    """Return the run as it is looked at; that waits, and so has a thread of its own."""
    return await asyncio.to_thread(fl.get_run, run.id, client=client)


def executes(view: fl.RunView, path: str) -> bool:
    try:
        return view.node(path).phase == "RUNNING"
    except KeyError:
        return False


@on_cluster(workers=2, threads=2)
async def test_a_run_is_looked_at_while_it_executes(c: Any, s: Any, *workers: Any) -> None:
    """Which nodes have ended, execute, or are still to come is known while it executes, and when it has ended how they ended."""
    run = fl.submit(waiting_lp, {"name": ["go"] * 4, "a": [0, 1, 2, 3]}, client=c)
    view = await seen(run, c)
    while not await asyncio.to_thread(executes, view, "waits[2]"):
        await asyncio.sleep(0.01)
    assert await asyncio.to_thread(lambda: view.status) == "RUNNING"
    assert (await asyncio.to_thread(view.node, "waits[2]")).phase == "RUNNING"
    (running,) = (await asyncio.to_thread(lambda: view.nodes("waits", phase="RUNNING"))).items
    assert (running.address, running.entity) == ("waits[2]", waits.name)
    with pytest.raises(InputError, match="no outputs yet"):
        await asyncio.to_thread(lambda: view.outputs)
    with pytest.raises(InputError, match="cancel it before it is recovered"):
        await asyncio.to_thread(view.recover)
    await Event("go", client=c).set()
    assert await run == [0, 1, 2, 3]
    assert await asyncio.to_thread(lambda: (view.status, dict(view.counts), view.outputs)) == ("SUCCEEDED", {"SUCCEEDED": 5}, [0, 1, 2, 3])
    text = await run.tree()
    assert "waits" in text
    assert text.count("SUCCEEDED") == 6
    assert (await run.node(f"{run.id}:waits[3]")).phase == "SUCCEEDED"
    with pytest.raises(InputError, match="is an address in run r00"):
        await run.node("r00:waits")
    await assert_nothing_left(s)


@on_cluster()
async def test_a_run_may_be_looked_at_from_many_places(c: Any, s: Any, *workers: Any) -> None:
    """Looks that are awaited together do not get into each other's way: what is taken up of the run is the same for all."""
    run = fl.submit(programs.step1, {"a": 1}, client=c)
    await run
    both = threading.Barrier(2)

    def meet(_: Any) -> bool:
        try:
            both.wait(0.1)
        except threading.BrokenBarrierError:
            return False
        return True

    assert await asyncio.gather(run._looked(meet), run._looked(meet)) == [False, False]


@on_cluster()
async def test_events(c: Any, s: Any, *workers: Any) -> None:
    """Whoever follows a run is told of each node that it begins and ends, once, and the run's end ends that."""
    run = fl.submit(waiting_lp, {"name": ["go on"] * 4, "a": [0, 1, 2, 3]}, client=c)
    found = []
    async for event in await run.events():
        found.append((event.address, str(event.phase)))
        if found[-1] == ("waits[2]", "RUNNING"):
            await Event("go on", client=c).set()
    ended = Counter(address for address, phase in found if phase == "SUCCEEDED")
    assert ended == Counter(["", "waits", *(f"waits[{i}]" for i in range(4))])
    assert found[-1] == ("", "SUCCEEDED")
    view = await seen(run, c)
    again = await asyncio.to_thread(lambda: [(event.address, str(event.phase)) for event in view.events()])
    assert Counter(one for one in again if one[1] == "SUCCEEDED") == Counter(one for one in found if one[1] == "SUCCEEDED")
    await run


@on_cluster()
async def test_runs_are_found(c: Any, s: Any, *workers: Any) -> None:
    """Runs are found by state, name, label and time, by the beginning of their id, and by how long ago they began."""
    began = time.time()
    plain = fl.submit(programs.step1, {"a": 1}, client=c, name="plain")
    await plain
    await Event("free", client=c).set()
    labelled = fl.submit(waiting_lp, {"name": ["free"], "a": [2]}, client=c)
    await labelled
    broken = fl.submit(programs.break_in_map, {"l": [3]}, client=c)
    with pytest.raises(programs.Broken):
        await broken

    def ids(**asked: Any) -> list[str]:
        return [view.id for view in fl.runs(client=c, **asked)]

    def look() -> None:
        assert ids() == [broken.id, labelled.id, plain.id]
        assert ids(status="FAILED") == [broken.id]
        assert ids(status=["SUCCEEDED"], name="pl*") == [plain.id]
        assert ids(labels={"team": "blue"}) == [labelled.id]
        assert ids(since=began, limit=1) == [broken.id]
        assert ids(until=began) == []
        assert fl.get_run("@last-1", client=c).id == labelled.id
        assert fl.get_run(plain.id[:8], client=c).id == plain.id
        view = fl.get_run(broken.id, client=c)
        assert isinstance(view.error, programs.Broken)
        assert view.node("break_at_three[0]").phase == "FAILED"
        with pytest.raises(programs.Broken):
            _ = view.outputs
        with pytest.raises(UnknownRun, match="no run in the history .* has an id that begins with 'nonsense'"):
            fl.get_run("nonsense", client=c)

    await asyncio.to_thread(look)


@on_cluster()
async def test_large_results_are_kept(c: Any, s: Any, *workers: Any) -> None:
    """What a run gave is there when the cluster has forgotten it, also where it is large."""
    run = fl.submit(large, {"n": 1_000_000}, client=c)
    assert len(await run) == 1_000_000
    await assert_nothing_left(s)
    view = await seen(run, c)
    assert len(await asyncio.to_thread(lambda: view.outputs)) == 1_000_000


@on_cluster()
async def test_what_waits_cannot_wait_in_the_event_loop(c: Any, s: Any, *workers: Any) -> None:
    """In an asynchronous client's event loop a look would wait for itself; it is refused, and says what to do."""
    await fl.run(programs.step1, a=1, client=c)
    with pytest.raises(OptionError, match=r"call it in asyncio.to_thread"):
        fl.runs(client=c)


def test_a_run_is_looked_at_when_its_cluster_is_gone() -> None:
    """The handle of a run with a cluster of its own tells of the run after that as before; a view by a closed client says what is wrong."""
    run = fl.run(programs.naps, n=[1], seconds=0.1)
    assert "naps" in run.tree()
    view = run.view
    run.wait()
    assert run.counts == {"SUCCEEDED": 2}
    assert len(run.view.outputs) == 1
    with pytest.raises(SchedulerLost, match="the client of .* is closed; connect a new one"):
        _ = view.state


@on_cluster()
async def test_a_run_that_was_removed_meanwhile(c: Any, s: Any, *workers: Any) -> None:
    """Whoever waits for a run, or follows it, does not do so for ever when somebody removes it from the history."""
    run = fl.run(never_approved, a=1, client=c)
    view = await seen(run, c)
    with closing(sqlite3.connect(config.get("history.path"))) as connection, connection:
        connection.execute("DELETE FROM runs")
    for wait in (view.wait, lambda: list(view.events())):
        with pytest.raises(UnknownRun, match=f"does not have run {run.id} any more"):
            await asyncio.to_thread(wait)
    await run.cancel()


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def goes_on(a: int) -> int:
    return never_approved_lp(a=programs.step1(a=a))


@on_cluster()
async def test_a_node_that_was_cancelled_while_it_waited(c: Any, s: Any, *workers: Any) -> None:
    """A node that was cancelled before any worker had begun it has failed, for whoever looks at the run as for the run."""
    run = fl.run(goes_on, a=1, client=c)
    while not (gates := await run.gates):
        await asyncio.sleep(0.01)
    assert await run.cancel(gates[0].address)
    with pytest.raises(RunCancelled):
        await run
    view = await seen(run, c)
    assert await asyncio.to_thread(lambda: view.node("never_approved/look").phase) == "FAILED"


@fl.task
def odd(text: str, api_token: str) -> str:
    print(text)
    raise ValueError(text)


@on_cluster()
async def test_odd_and_very_long_texts(c: Any, s: Any, *workers: Any) -> None:
    """Markup stays text, and what is very long is cut with a note, wherever names, inputs, errors and lines are told."""
    text = "<script>" + "x" * (1 << 20)
    run = fl.submit(odd, {"text": text, "api_token": "no secret here"}, client=c, name=text)
    with pytest.raises(ValueError, match="^<script>"):
        await run
    view = await seen(run, c)
    assert view.name.startswith("<script>xxx")
    assert view.name.endswith("characters more)")
    assert view.inputs["text"].startswith("'<script>x")
    assert "characters more)" in view.inputs["text"]
    assert view.inputs["api_token"] == "***"
    (line,) = await asyncio.to_thread(view.logs)
    assert line.text.startswith("<script>x")
    assert line.text.endswith("characters more)")
    error = await asyncio.to_thread(lambda: view.error)
    assert isinstance(error, ValueError)
    told = await asyncio.to_thread(lambda: (view.node().error, view.tree(), str(view.failure)))
    assert all(len(one) < 1_000 for one in told[:2])
    assert "<script>" in told[0]


@fl.task
def odd_fails(a: int) -> int:
    if a % 2:
        raise ValueError(f"odd {a}")
    return a


@fl.workflow
def tolerant(l: list[int]) -> list[int | None]:
    return fl.map_task(odd_fails, min_success_ratio=0.1)(a=l)


@on_cluster(spill_after="10s")
async def test_what_is_left_out_is_said(c: Any, s: Any, *workers: Any) -> None:
    """Where very many nodes fail in one unit, the tree, the nodes and the commands say of how many no more is told."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nodelog, "_MOST_FAILED", 3)
        run = fl.submit(tolerant, {"l": list(range(20))}, client=c)
        assert len(await run) == 20
    view = await seen(run, c)
    assert (await asyncio.to_thread(view.node, "odd_fails")).untold == (await asyncio.to_thread(view.node)).untold == 7
    failed = (await asyncio.to_thread(lambda: view.nodes("odd_fails", phase="FAILED"))).items
    assert [(node.error, node.untold) for node in failed[2:4]] == [("ValueError: odd 5", 0), ("", 1)]
    says = "of 7 nodes that failed no more is told, since very many failed in one unit"
    assert says in await run.tree()
    for asked in ([run.id], [f"{run.id}:odd_fails"]):
        assert says in await command("show", *asked)
    one = "no more is told, since very many failed in one unit"
    assert (await command("show", f"{run.id}:odd_fails", "--items", "20")).count(one) == 8
    assert json.loads(await command("show", f"{run.id}:odd_fails[7]", "--json"))["node"]["untold"] == 1
    assert "of 7 that failed no more is told" in await command("export", run.id, "--html", "-")


async def command(*arguments: str) -> str:
    """Return what a command prints that succeeds."""
    done = await asyncio.to_thread(CliRunner().invoke, cli.daskflow, arguments)
    assert done.exit_code == 0, done.output
    return done.output


@fl.workflow
def asks(a: int) -> int:
    return odd_fails(a=fl.wait_for_input("ask", timeout=0.2, expected_type=int))


asks_lp = fl.LaunchPlan.get_or_create(asks, name="tests.runs.asks_lp")


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def asks_many(l: list[int]) -> list[int | None]:
    asks_lp(a=1)
    return fl.map_task(asks, min_success_ratio=0.0)(a=l)


@on_cluster()
async def test_what_fails_where_no_unit_executes_it(c: Any, s: Any, *workers: Any) -> None:
    """Gates that nobody answered have failed, and what is around them, though the run goes on and no unit was executing them."""
    run = fl.submit(asks_many, {"l": [0, 1, 2]}, client=c)
    with pytest.raises(GateTimeout):
        await run
    view = await seen(run, c)
    expected = {"asks": "SUCCEEDED", "asks_lp": "FAILED", "asks_lp/ask": "TIMED_OUT", "asks_lp/odd_fails": "QUEUED"}
    for item in range(3):
        expected |= {f"asks[{item}]": "FAILED", f"asks[{item}]/ask": "TIMED_OUT", f"asks[{item}]/odd_fails": "QUEUED"}
    found = await asyncio.to_thread(lambda: {one: view.node(one).phase.value for one in expected})
    assert found == expected
    assert (await asyncio.to_thread(view.node, "asks[0]")).error.startswith("GateTimeout: nobody answered the gate asks[0]/ask")
    assert [one.status for one in await asyncio.to_thread(lambda: view.children)] == ["FAILED"]


@fl.task(timeout=0.1)
def too_long(seconds: float) -> int:
    time.sleep(seconds)
    return 1


@fl.dynamic
def some_too_long(seconds: list[float]) -> list[int]:
    return [too_long(seconds=one) for one in seconds]


@on_cluster()
async def test_a_node_whose_time_was_up(c: Any, s: Any, *workers: Any) -> None:
    """What failed since its own time was up says so; what is around it has failed."""
    run = fl.submit(some_too_long, {"seconds": [0.0, 0.5]}, client=c)
    with pytest.raises(fl.FlyteTimeout):
        await run
    view = await seen(run, c)
    nodes = await asyncio.to_thread(lambda: {node.address: str(node.phase) for node in view.nodes().items})
    assert nodes == {"too_long[0]": "SUCCEEDED", "too_long[1]": "TIMED_OUT"}
    assert (await asyncio.to_thread(view.node)).phase == "FAILED"


@on_cluster()
async def test_several_look_at_the_same_time(c: Any, s: Any, *workers: Any) -> None:
    """However many look at once, also more than this process has threads for its event loop: each is answered, and sees the same."""
    run = fl.run(programs.multi_wf, l=list(range(30)), chunk=2, client=c)
    await run
    looks = await asyncio.wait_for(asyncio.gather(*(run.nodes() for _ in range(40))), 30)
    assert len({str(page) for page in looks}) == 1
