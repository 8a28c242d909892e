"""What the scheduler writes down of runs, and what is to be had of them afterwards."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest
from distributed.utils_test import captured_logger

import daskflow as fl
from daskflow import config
from daskflow.history import History
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
