"""What nobody needs any more is not gone on with: of cancelled runs, and of what has failed beside others."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow.errors import RunCancelled
from tests.cluster.support import assert_nothing_left, on_cluster


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
