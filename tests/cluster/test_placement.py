"""Units that wait at one worker go to a thread that is free at another."""

from __future__ import annotations

import asyncio
import functools
import time
from pathlib import Path
from typing import Any

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
