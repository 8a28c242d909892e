"""What nobody needs any more is not gone on with: of cancelled runs, and of what has failed beside others."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import get_worker

import daskflow as fl
from daskflow.errors import RunCancelled, RunFailed
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster


@fl.task
def note(path: str, word: str, until: str) -> str:
    with open(path, "a") as file:
        file.write(f"{word}\n")
    deadline = time.monotonic() + 20
    while not Path(until).exists() and not fl.current_context().cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return word


@fl.dynamic
def in_a_row(path: str, until: str) -> str:
    word = "0"
    for _ in range(5):
        word = note(path=path, word=word, until=until)
    return word


@fl.task
def fails(until: str) -> str:
    deadline = time.monotonic() + 20
    while not Path(until).exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    raise ValueError("beside")


@fl.dynamic
def one_fails(path: str, fail: str, never: str) -> list[str]:
    return [in_a_row(path=path, until=never), fails(until=fail)]


async def lines(path: Path, count: int) -> None:
    """Wait until a file has so many lines."""
    deadline = time.monotonic() + 20
    while not path.exists() or len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@on_cluster()
async def test_a_cancelled_run_starts_nothing_more(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A unit of a cancelled run is told: its running task learns of it, and no other node is started, though all were its own."""
    path = tmp_path / "marks"
    run = fl.run(in_a_row, path=str(path), until=str(tmp_path / "never"), client=c)
    await lines(path, 1)
    await run.cancel()
    with pytest.raises(RunCancelled):
        await run
    await assert_nothing_left(s)
    # Nor what Dask, and what measures how long units take, would keep for ever of what did not end by itself.
    assert not [span for span in s.extensions["spans"].spans.values() if span.groups]
    assert not coordinator(s)._pace._began
    while any(worker.state.executing_count for worker in workers):
        await asyncio.sleep(0.01)
    assert path.read_text() == "0\n"


@on_cluster()
async def test_what_failed_beside_others_is_stopped(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """When an item of a tolerant map fails, what else of the item is executing is stopped, and the other items are not."""
    path, fail = tmp_path / "marks", tmp_path / "fail"
    never = str(tmp_path / "never")
    run = fl.run(fl.map_task(one_fails, min_successes=0), path=[str(path)], fail=[str(fail)], never=[never], client=c)
    await lines(path, 1)
    fail.touch()
    assert await run == [None]
    await assert_nothing_left(s)
    while any(worker.state.executing_count for worker in workers):
        await asyncio.sleep(0.01)
    assert path.read_text() == "0\n"


@fl.task
def fails_at_once(a: int, path: str) -> int:
    if a < 2:
        raise ValueError(f"item {a}")
    deadline = time.monotonic() + 20
    while not fl.current_context().cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return a


@on_cluster(spill_after=0)
async def test_a_map_fails_as_soon_as_it_must(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """Once more items have failed than may, the others are not waited for."""
    run = fl.run(fl.map_task(fails_at_once, min_successes=7), a=list(range(8)), path=[""] * 8, client=c)
    with pytest.raises(ValueError, match="item"):
        await run
    await assert_nothing_left(s)


@fl.task
def fails_with_others(a: int, path: str, until: str) -> int:
    with open(path, "a") as file:
        file.write(f"{a}\n")
    deadline = time.monotonic() + 20
    while not Path(until).exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    raise ValueError(a)


@fl.task
def naps(a: int) -> int:
    time.sleep(0.5)
    return a


@on_cluster(workers=1, threads=9, spill_after=0)
async def test_many_fail_at_the_same_moment(c: Any, s: Any, worker: Any, tmp_path: Path) -> None:
    """What nodes say of their failures when one of them has ended the run already harms no worker, and no other run on it."""
    path, go = tmp_path / "marks", tmp_path / "go"
    run = fl.run(fl.map_task(fails_with_others), a=list(range(8)), path=[str(path)] * 8, until=[str(go)] * 8, client=c)
    await lines(path, 8)
    other = fl.run(naps, a=1, client=c)
    while not worker.state.executing_count == 9:
        await asyncio.sleep(0.01)
    go.touch()
    # The event loop hears of all of them at once.
    time.sleep(0.3)
    with pytest.raises(ValueError):
        await run
    assert await asyncio.wait_for(other, 20) == 1
    assert list(s.workers) == [worker.address]
    await assert_nothing_left(s)


@pytest.fixture
def _faults_are_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """No complaint is made of them, which every test is held not to leave behind."""
    monkeypatch.setattr(logging.getLogger("daskflow.coordinator"), "disabled", True)


@fl.task
def says_nonsense(a: int) -> int:
    worker: Any = get_worker()
    (unit,) = worker.state.executing
    worker.loop.add_callback(worker.batched_stream.send, {"op": "daskflow-tail", "key": unit.key})
    time.sleep(0.3)
    return a


@pytest.mark.usefixtures("_faults_are_meant")
@on_cluster(workers=1)
async def test_what_is_not_understood(c: Any, s: Any, worker: Any) -> None:
    """What a unit says and the scheduler cannot take up fails its run, and is counted; the worker stays."""
    with pytest.raises(RunFailed, match="missing 4 required positional arguments"):
        await fl.run(says_nonsense, a=1, client=c)
    assert list(s.workers) == [worker.address]
    assert coordinator(s).faults == 1


@on_cluster()
async def test_a_task_that_dask_forgets(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A run whose task is taken out of Dask from outside fails and says so; nobody waits for it for ever."""
    run = fl.run(in_a_row, path=str(tmp_path / "marks"), until=str(tmp_path / "never"), client=c)
    other = fl.run(naps, a=1, client=c)
    await lines(tmp_path / "marks", 1)
    (name,) = [name for name in s.clients if name == f"daskflow-{run.id}"]
    s.client_releases_keys([task.key for task in s.clients[name].wants_what], name, "test")
    with pytest.raises(RunFailed, match="Dask has forgotten the task"):
        await asyncio.wait_for(run, 20)
    assert await asyncio.wait_for(other, 20) == 1
    (tmp_path / "never").touch()
    await assert_nothing_left(s)


@pytest.mark.usefixtures("_faults_are_meant")
@on_cluster()
async def test_a_fault_while_dask_is_instructed(c: Any, s: Any, *workers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault at one unit is the fault of one run: the run's end is told, and other runs go on."""
    await fl.run(naps, a=0, client=c)
    run = fl.run(in_a_row, path=str(tmp_path / "marks"), until=str(tmp_path / "never"), client=c)
    other = fl.run(naps, a=1, client=c)
    await lines(tmp_path / "marks", 1)
    with monkeypatch.context() as patch:
        patch.setattr(coordinator(s).announcer, "stop", lambda key: 1 / 0)
        assert await asyncio.wait_for(run.cancel(), 20)
    assert run.status == "ABORTED"
    assert await asyncio.wait_for(other, 20) == 1
    assert coordinator(s).faults == 1
    (tmp_path / "never").touch()
