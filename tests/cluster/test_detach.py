"""Detached runs go on when their driver is gone, and are kept until somebody asks."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow import driver
from daskflow.errors import ClusterError, InputError
from daskflow.records import Status
from tests import programs
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster

_DRIVER = """
import sys, time
from pathlib import Path
from distributed import Client
import daskflow as fl

address, mark, until, detach = sys.argv[1:]

@fl.task
def waits(a: int, mark: str, until: str) -> int:
    Path(mark).touch()
    deadline = time.monotonic() + 30
    while not Path(until).exists() and not fl.current_context().cancelled:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return a

@fl.workflow
def flow(a: int, mark: str, until: str) -> int:
    return waits(a=waits(a=a, mark=mark, until=until), mark=mark, until=until)

client = Client(address)
run = fl.run(flow, a=7, mark=mark, until=until, client=client)
if detach == "yes":
    run.detach()
print(run.id, flush=True)
time.sleep(60)
"""


async def _killed_driver(s: Any, tmp_path: Path, detach: str) -> str:
    """Have a process of its own start a run, and kill it while that goes on; return the run's id."""
    script, mark = tmp_path / "driver.py", tmp_path / "mark"
    script.write_text(_DRIVER)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), s.address, str(mark), str(tmp_path / "go"), detach, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    run = (await process.stdout.readline()).decode().strip()
    while not mark.exists():
        await asyncio.sleep(0.01)
    assert coordinator(s).ledger.runs[run].status is Status.RUNNING
    clients = len(s.clients)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    while len(s.clients) >= clients:
        await asyncio.sleep(0.01)
    return run


@on_cluster()
async def test_a_detached_run_outlives_its_driver(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """The driver is killed, and the run goes on to its end; its result is there for somebody else, and nothing once it is forgotten."""
    run = await _killed_driver(s, tmp_path, "yes")
    assert coordinator(s).ledger.runs[run].status is Status.RUNNING
    (tmp_path / "go").touch()
    for _ in range(2):
        ended = await asyncio.wait_for(driver.outcome(c, run), 30)
        assert ended["status"] == Status.SUCCEEDED
    assert await driver.fetch(c, ended["key"]) == 7
    await driver.retire(c, run)
    await assert_nothing_left(s)


@on_cluster()
async def test_a_run_that_is_not_detached_ends_with_its_driver(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """The driver is killed, and with it the run ends: its task is told, and nothing is left."""
    run = await _killed_driver(s, tmp_path, "no")
    while run in coordinator(s).ledger.runs:
        await asyncio.sleep(0.01)
    assert (await driver.outcome(c, run))["status"] is None
    while any(worker.state.executing_count for worker in workers):
        await asyncio.sleep(0.01)
    await assert_nothing_left(s)


@on_cluster()
async def test_whoever_detached_a_run_may_ask_for_its_result(c: Any, s: Any, *workers: Any) -> None:
    """The result is there for the driver that is still there; having been asked for, it is kept no more."""
    run = fl.run(programs.naps, n=[1, 2], seconds=0.1, client=c)
    await run.detach()
    await run.wait()
    await asyncio.sleep(0.05)
    assert run.id in coordinator(s).ledger.runs
    assert len(await run) == 2
    while run.id in coordinator(s).ledger.runs:
        await asyncio.sleep(0.01)
    await assert_nothing_left(s)
    with pytest.raises(InputError, match=rf"run {run.id} cannot be detached: it has ended \(SUCCEEDED\)"):
        await run.detach()


@on_cluster()
async def test_a_run_whose_handle_is_gone(c: Any, s: Any, *workers: Any) -> None:
    """A detached run is kept when its handle is collected, after its end as well."""
    run = fl.run(programs.naps, n=[1, 2], seconds=0.1, client=c)
    id = run.id
    await run.detach()
    await run.wait()
    del run
    gc.collect()
    await asyncio.sleep(0.1)
    assert (await driver.outcome(c, id))["status"] == Status.SUCCEEDED
    await driver.retire(c, id)
    await assert_nothing_left(s)


def test_a_run_on_a_cluster_of_its_own() -> None:
    """A run whose cluster was started for it alone cannot outlive this process."""
    run = fl.run(programs.step1, a=1)
    with pytest.raises(ClusterError, match="its cluster was started for it"):
        run.detach()
    assert run.result() == 2


@on_cluster()
async def test_the_result_of_a_run_that_was_left_is_not_kept_for_ever(
    c: Any, s: Any, *workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nobody has asked for it for a while, the scheduler forgets a run that was left; its result is in the history."""
    monkeypatch.setattr("daskflow.coordinator.DETACHED_KEPT", 0.05)
    run = fl.run(programs.step1, a=1, client=c)
    id = run.id
    await run.detach()
    del run
    gc.collect()
    while id in coordinator(s).ledger.runs:
        await asyncio.sleep(0.01)
    await assert_nothing_left(s)
    view = await asyncio.to_thread(fl.get_run, id, client=c)
    assert await asyncio.to_thread(lambda: view.outputs) == 2
