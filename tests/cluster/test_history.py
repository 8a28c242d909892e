"""What the scheduler writes down of runs, and what is to be had of them afterwards."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, Event, LocalCluster
from distributed.utils_test import captured_logger

import daskflow as fl
from daskflow import config
from daskflow.chronicle import forget
from daskflow.errors import HistoryError, InputError, UnknownRun
from daskflow.history import History
from daskflow.historyschema import APPLICATION
from daskflow.historywriter import Writer
from daskflow.outputs import Outputs
from tests import programs
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster


def history() -> History:
    return History(config.get("history.path"))


@on_cluster()
async def test_runs_are_written_down(c: Any, s: Any, *workers: Any) -> None:
    """Of each run the history has its name, entity, inputs, owner, times, status and result; and what its units told."""
    run = fl.submit(programs.multi_wf, {"l": [1, 2, 3], "chunk": 2}, client=c, name="mine")
    assert await run == [4, 5, 6]
    failing = fl.submit(programs.break_in_map, {"l": [1, 2, 3]}, client=c)
    with pytest.raises(programs.Broken):
        await failing
    await asyncio.to_thread(coordinator(s).chronicle.flush, 10)
    failed, row = history().runs()
    assert (row.id, row.name, row.kind, row.status, row.mode) == (run.id, "mine", "workflow", "SUCCEEDED", "MANUAL")
    assert row.entity == programs.multi_wf.name
    assert row.inputs == {"l": "[1, 2, 3]", "chunk": "2"}
    assert row.ended is not None
    assert row.ended >= row.started
    assert (failed.id, failed.status) == (failing.id, "FAILED")
    assert failed.error is not None
    assert failed.error["failure"][0] == "Broken"
    assert history().submission(run.id) is not None
    await assert_nothing_left(s)


def test_the_writers_thread_goes_with_the_scheduler() -> None:
    """A scheduler that is closed has written all, and leaves no thread behind."""

    @on_cluster()
    async def test(c: Any, s: Any, *workers: Any) -> None:
        await fl.run(programs.step1, a=1, client=c)
        assert any(one.name == "daskflow-history" for one in threading.enumerate())

    test()
    assert not any(one.name == "daskflow-history" for one in threading.enumerate())


@on_cluster()
async def test_a_history_that_cannot_be_kept_is_no_runs_concern(c: Any, s: Any, *workers: Any) -> None:
    """Where the folder of the history is not to be trusted, runs go on, and the scheduler's log says once why there is none."""
    path = config.get("history.path")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.chmod(os.path.dirname(path), 0o777)
    try:
        with captured_logger("daskflow.chronicle") as log:
            for a in range(2):
                assert await fl.run(programs.step1, a=a, client=c, checkpoint="all") == a + 1
        # Nobody could go on from them, nor would anybody remove it.
        assert not os.path.exists(os.path.join(config.get("cache.url"), "outputs"))
        assert log.getvalue().count("daskflow keeps no history") == 1
    finally:
        os.chmod(os.path.dirname(path), 0o700)
    assert history().runs() == []


@fl.task(cache=True, cache_version="1")
def kept_task(a: int) -> int:
    return a + 1


@fl.workflow
def kept_wf(a: list[int]) -> list[int]:
    return fl.map_task(kept_task)(a=a)


def as_listed(id: str, client: Any = None) -> tuple[Any, ...]:
    view = fl.get_run(id, client=client)
    return view.status, view.row.cached, view.outputs, dict(view.counts), dict(view.inputs)


@on_cluster()
async def test_a_run_that_was_in_the_cache_is_in_the_history(c: Any, s: Any, *workers: Any) -> None:
    """A run of which nothing is executed is listed, with its result; whoever asks its handle need not wait for that."""
    assert await fl.run(kept_wf, a=[1, 2], client=c) == [2, 3]
    runs = [fl.submit(kept_wf, {"a": [1, 2]}, client=c, name="again") for _ in range(3)]
    for run in runs:
        assert await run == [2, 3]
        assert (await run.view).id == run.id
        assert (await run.node()).phase == "SUCCEEDED"
        listed = ("SUCCEEDED", True, [2, 3], {"SUCCEEDED": 3}, {"a": "[1, 2]"})
        assert await asyncio.to_thread(as_listed, run.id, c) == listed
    assert [run.name for run in history().runs()] == ["again"] * 3 + ["kept_wf"]
    with pytest.raises(InputError, match=r"what run r.* executed is not kept \(all its results were in the cache\)"):
        await runs[0].rerun()
    await assert_nothing_left(s)


def test_a_run_that_was_in_the_cache_where_there_is_no_cluster() -> None:
    """Without a client, this process writes it down itself, in a thread that goes."""
    kept_wf(a=[1, 2])
    began = time.time()
    run = fl.run(kept_wf, a=[1, 2])
    ended = time.time()
    assert run.outputs == [2, 3]
    row = run.view.row
    assert began <= row.started <= row.ended <= ended
    assert as_listed(run.id) == ("SUCCEEDED", True, [2, 3], {"SUCCEEDED": 3}, {"a": "[1, 2]"})
    for one in threading.enumerate():
        if one.name == "daskflow-cached-runs":
            one.join(30)
    assert not any(one.name.startswith("daskflow-") for one in threading.enumerate())
    with dask.config.set({"daskflow.history.enabled": False}):
        unknown = fl.run(kept_wf, a=[1])
        with pytest.raises(UnknownRun, match="the history /.* does not have run .*daskflow.history.enabled is false"):
            _ = unknown.view


@fl.task
def breaks(a: int) -> int:
    if a == 3:
        raise programs.Broken("no")
    time.sleep(0.02)
    return a


@fl.workflow
def some_break(a: list[int]) -> list[int]:
    return fl.map_task(breaks)(a=a)


@on_cluster(spill_after="0ms")
async def test_nodes_are_counted_when_a_run_ends(c: Any, s: Any, *workers: Any) -> None:
    """The history has how many nodes a run had, by their phases, as whoever folds all that was told finds: of one that succeeded, failed,
    or was cancelled."""
    ended = fl.run(programs.multi_wf, l=[1, 2, 3], chunk=2, client=c)
    await ended
    failed = fl.run(some_break, a=list(range(8)), client=c)
    with pytest.raises(programs.Broken):
        await failed
    cancelled = fl.run(programs.naps, n=list(range(20)), seconds=0.2, client=c)
    while not (known := coordinator(s).register.runs.get(cancelled.id)) or not known.story.reports:
        await asyncio.sleep(0.01)
    await cancelled.cancel()
    for run in (ended, failed, cancelled):
        view = await asyncio.to_thread(fl.get_run, run.id, client=c)
        counts = await asyncio.to_thread(lambda view=view: {one.value: count for one, count in view.state.totals().items()})
        assert view.row.counts == counts == dict(view.counts)
        assert counts
    await assert_nothing_left(s)


@on_cluster()
async def test_a_history_of_a_newer_version_is_no_runs_concern(c: Any, s: Any, *workers: Any) -> None:
    """Runs go on; the scheduler's log, and whoever asks for runs, is told what to do; and nothing is kept that nobody can find."""
    path = config.get("history.path")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE runs (id); PRAGMA user_version = 99; PRAGMA application_id = {APPLICATION}")
    with captured_logger("daskflow.chronicle") as log:
        for a in range(2):
            run = fl.run(programs.step1, a=a, client=c, checkpoint="all")
            assert await run == a + 1
    assert log.getvalue().count("of version 99, which a newer daskflow has written") == 1
    assert "use that daskflow, or set daskflow.history.path to another file" in log.getvalue()
    with pytest.raises(HistoryError, match="is of version 99"):
        await asyncio.to_thread(fl.runs, client=c)
    assert not os.path.exists(os.path.join(config.get("cache.url"), "outputs"))


def being_removed() -> list[Any]:
    with closing(sqlite3.connect(config.get("history.path"))) as connection:
        return connection.execute("SELECT run FROM pruned UNION SELECT run FROM leftovers").fetchall()


@on_cluster()
async def test_what_a_pruned_run_kept_goes_from_where_its_driver_had_it(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """Outputs in another cache than the scheduler's go with the run, and those that a run which goes on from it may need only with that."""
    elsewhere = tmp_path / "elsewhere"
    await fl.run(programs.step1, a=1, client=c)
    with dask.config.set({"daskflow.cache.url": str(elsewhere)}):
        first = fl.run(some_break, a=list(range(4)), client=c, checkpoint="all")
        with pytest.raises(programs.Broken):
            await first
        second = await first.recover()
        with pytest.raises(programs.Broken):
            await second
    chronicle = coordinator(s).chronicle
    await asyncio.to_thread(chronicle.flush, 10)
    assert [one.name for one in (elsewhere / "outputs").iterdir()] == [first.id]
    for left in ([first.id], []):
        await asyncio.to_thread(chronicle.flush, 10)
        assert history().runs(name="some_break")
        writer = Writer(config.get("history.path"), max_runs=1, on_pruned=forget)
        while len(history().runs()) > 1 or being_removed():
            await asyncio.sleep(0.01)
        await asyncio.to_thread(writer.close, 10)
        assert [one.name for one in (elsewhere / "outputs").iterdir()] == left
        await fl.run(programs.step1, a=1, client=c)
    await assert_nothing_left(s)


def executed(folder: str, what: str) -> None:
    Path(folder, f"{what}-{time.time_ns()}").touch()


@fl.task
def ends_late(folder: str) -> int:
    executed(folder, "late")
    Event("begun").set()
    Event("may-end").wait(60)
    return 1


@fl.task
def breaks_once_the_other_executes(folder: str) -> int:
    executed(folder, "breaks")
    Event("begun").wait(60)
    if not Event("is-well").is_set():
        raise programs.Broken("no")
    return 2


@fl.workflow
def one_is_late(folder: str) -> tuple[int, int]:
    return ends_late(folder=folder), breaks_once_the_other_executes(folder=folder)


@on_cluster(spill_after="0ms")
async def test_what_ends_after_its_run_has_failed_need_not_be_done_again(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A task that was executing when something else failed keeps what it gives, and whoever goes on from the run takes that over."""
    run = fl.run(one_is_late, folder=str(tmp_path), client=c, checkpoint="all")
    with pytest.raises(programs.Broken):
        await run
    await asyncio.to_thread(coordinator(s).chronicle.flush, 10)
    outputs = Outputs(config.get("cache.url"), run.id)
    await Event("may-end").set()
    while not outputs.index():
        await asyncio.sleep(0.01)
    await Event("is-well").set()
    assert await (await run.recover()) == (1, 2)
    assert sorted(one.name.partition("-")[0] for one in tmp_path.iterdir()) == ["breaks", "breaks", "late"]
    await assert_nothing_left(s)


@fl.workflow
def waits_for_word() -> str:
    return fl.wait_for_input("word", timeout=60.0, expected_type=str)


@on_cluster()
async def test_two_schedulers_share_a_history(c: Any, s: Any, *workers: Any) -> None:
    """Runs of both are there, whichever is asked, and each is executing as long as its scheduler is there."""
    async with LocalCluster(n_workers=1, processes=False, asynchronous=True, dashboard_address=":0") as other:
        async with Client(other, asynchronous=True, set_as_default=False) as d:
            runs = [(client, fl.run(programs.step1, a=a, client=client)) for a in range(10) for client in (c, d)]
            for _, run in runs:
                await run
            for client in (c, d):
                views = await asyncio.to_thread(fl.runs, client=client)
                assert {view.id for view in views} >= {run.id for one, run in runs if one is client}
            waiting = fl.run(waits_for_word, client=d)
            await asyncio.to_thread(lambda: fl.get_run(waiting.id, client=d))
            assert history().find(waiting.id).status == "RUNNING"
    assert {run.id for run in history().runs()} == {*(run.id for _, run in runs), waiting.id}
    assert history().find(waiting.id).status != "RUNNING"
