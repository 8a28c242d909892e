"""Units that wait at one worker go to a thread that is free at another; that no worker can take them is said."""

from __future__ import annotations

import asyncio
import functools
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import Worker

import daskflow as fl
from tests.cluster.support import assert_nothing_left, on_cluster


@fl.task
def meets(folder: str, a: int, n: int) -> int:
    Path(folder, f"{a}").touch()
    deadline = time.monotonic() + 20
    while len(list(Path(folder).iterdir())) < n:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return a


def waits_for(path: Path, i: int) -> int:
    """Hold a thread until a file is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return i


def meeting(folder: Path, n: int) -> Any:
    """Return a map whose items each wait until ``n`` have begun."""
    return fl.map_task(functools.partial(meets, folder=str(folder), n=n))


def test_units_move_to_a_thread_that_becomes_free(tmp_path: Path) -> None:
    """Four that wait for each other meet on two workers of two threads each, though one of these was busy when they began."""
    gate = tmp_path / "gate"

    @on_cluster(workers=2, threads=2, spill_after=0)
    async def test(c: Any, s: Any, a: Any, b: Any) -> None:
        for name in ("first", "second"):
            # Short ones, so that Dask expects others of the name to be short.
            folder = tmp_path / name
            folder.mkdir()
            await fl.run(meeting(folder, n=1), a=[0, 1], client=c)
        blocking = [c.submit(waits_for, gate, i, workers=[b.address]) for i in range(2)]
        while len(b.state.executing) < 2:
            await asyncio.sleep(0.005)
        folder = tmp_path / "all"
        folder.mkdir()
        run = fl.submit(meeting(folder, n=4), {"a": [0, 1, 2, 3]}, client=c)
        while len(s.workers[a.address].processing) + len(s.workers[b.address].processing) < 6:
            await asyncio.sleep(0.005)
        # What is not ours ends without a word to us.
        await asyncio.sleep(0.3)
        gate.touch()
        assert await run == [0, 1, 2, 3]
        await c.gather(blocking)
        del blocking
        while any(name.startswith("waits_for") for name in s.tasks):
            await asyncio.sleep(0.005)
        await assert_nothing_left(s)

    test()


@fl.task
def anywhere(a: int) -> int:
    return a + 1


@fl.task(requests=fl.Resources(gpu="2"))
def on_gpus(a: int) -> int:
    return a * 2


@fl.workflow
def partly_on_gpus(a: int) -> int:
    return on_gpus(a=anywhere(a=a))


async def said(caplog: pytest.LogCaptureFixture, what: str) -> str:
    """Wait until something is logged; return it."""
    deadline = time.monotonic() + 20
    while not (found := [record.getMessage() for record in caplog.records if what in record.getMessage()]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    (message,) = found
    return message


@on_cluster(workers=0, no_worker_warning="100ms")
async def test_without_a_worker(c: Any, s: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A run without any worker says so once, and what is to be done; it goes on when there is one."""
    run = fl.run(anywhere, a=1, client=c)
    text = await said(caplog, "waits")
    assert text == f"run {run.id} waits: no worker is connected to the scheduler at {s.address}; start one with: dask worker {s.address}"
    async with Worker(s.address, nthreads=1, dashboard_address=":0"):
        assert await run == 2
    await said(caplog, "waits")
    await assert_nothing_left(s)


@on_cluster(workers=1, no_worker_warning="100ms")
async def test_without_a_worker_that_has_what_is_asked_for(c: Any, s: Any, worker: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A task that asks for more than any worker has waits, and what it asks for is said; what waits at a gate is none of that."""
    async with Worker(s.address, nthreads=1, resources={"GPU": 1}, dashboard_address=":0"):
        gate = fl.run(waits_at_gate, client=c)
        run = fl.run(partly_on_gpus, a=1, client=c)
        text = await said(caplog, "waits: tasks")
        assert text.endswith(f"ask for GPU=2, which none of 2 workers has; start one with: dask worker {s.address} --resources GPU=2")
        assert run.id in text
        async with Worker(s.address, nthreads=1, resources={"GPU": 2}, dashboard_address=":0"):
            assert await run == 4
    assert not [record for record in caplog.records if gate.id in record.getMessage()]
    await gate.cancel()
    await assert_nothing_left(s)


@fl.workflow
def waits_at_gate() -> int:
    return fl.wait_for_input("number", expected_type=int)
