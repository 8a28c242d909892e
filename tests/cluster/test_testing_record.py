"""Records of runs on a cluster: what units note comes back with their reports."""

from __future__ import annotations

from typing import Any

import pytest

import daskflow as fl
from daskflow.testing import compile, mock, record  # noqa: A004
from tests import cached, programs
from tests.cluster.support import assert_nothing_left, on_cluster
from tests.unit.test_testing_record import PROGRAMS


async def check_paths(client: Any, scheduler: Any) -> None:
    """Compare what was executed with what compile says."""
    for entity, inputs in PROGRAMS:
        with record() as recorder:
            assert await fl.run(entity, **inputs, client=client) == entity(**inputs)
        on_cluster, in_process = recorder.runs
        expected = {path: (one.kind, "succeeded") for path, one in compile(entity, **inputs).nodes.items()}
        for got in (on_cluster, in_process):
            assert {path: (one.kind, one.outcome) for path, one in got.nodes.items()} == expected
        assert {one.worker for one in on_cluster.nodes.values()} <= set(scheduler.workers)
        await assert_nothing_left(scheduler)


@on_cluster()
async def test_paths_are_those_of_compile(c: Any, s: Any, *workers: Any) -> None:
    """Each node is recorded once, where it was executed, as it is in process."""
    await check_paths(c, s)


@on_cluster(spill_after=0)
async def test_paths_are_those_of_compile_with_a_task_for_each_node(c: Any, s: Any, *workers: Any) -> None:
    """The same holds however the run is cut."""
    await check_paths(c, s)


@on_cluster(spill_after="1ms", chunk="1ms")
async def test_a_large_run_is_recorded_whole(c: Any, s: Any, *workers: Any) -> None:
    """No node is missing, or there twice, where a run is cut into many units."""
    with record(values=True) as recorder:
        await fl.run(programs.multi_wf, l=list(range(1000)), chunk=7, client=c)
    got = recorder.record
    assert got.count("**/step2", "succeeded") == 1000
    assert {one.attempt for one in got.nodes.values()} == {1}
    got.assert_order("level1/level2[*]", "level1/reduce")
    assert got.value("level1/level2[2]/core_wf[0]/step1") == 15


@on_cluster()
async def test_parallelism_shows(c: Any, s: Any, *workers: Any) -> None:
    """Limits can be asserted on: no more naps than allowed are taken at once, and more than one."""
    with record() as recorder:
        await fl.run(programs.window_of_three, n=list(range(12)), seconds=0.05, client=c)
    assert 2 <= recorder.record.peak_parallelism("**/indexed_nap[*]") <= 3
    assert recorder.record.overlap("indexed_nap[*]", "indexed_nap[*]")


@on_cluster(spill_after=0)
async def test_failures(c: Any, s: Any, *workers: Any) -> None:
    """The node that failed and all that it was in have failed, with its exception."""
    with record() as recorder, pytest.raises(programs.Broken):
        await fl.run(programs.break_below, l=[1, 2, 3], client=c)
    got = recorder.record
    got.assert_failed_at("break[1]/break_at_three[2]", programs.Broken, match="with 3$")
    got.assert_failed_at("break[1]", programs.Broken)
    assert not got.select("**", "cached")


@on_cluster()
async def test_cached_and_mocked_nodes(c: Any, s: Any, *workers: Any) -> None:
    """Outcomes come back: of the cache, also where nothing else is executed, and of mocks."""
    folder = workers[0].local_directory
    inputs = {"folder": folder, "nums": [1, 2]}
    await fl.run(cached.doubles, **inputs, client=c)
    with record() as recorder:
        await fl.run(cached.doubles, **inputs, client=c)
        await fl.run(cached.double, folder=folder, num=1, client=c)
        with mock(cached.double, return_value=5):
            await fl.run(cached.doubles, **inputs, client=c)
    first, second, third = recorder.runs
    assert first.cached("double_all/double[*]")
    assert second.cached("double")
    assert third.count("double_all/double[*]", "mocked") == 2


@on_cluster()
async def test_a_run_that_is_not_recorded_notes_nothing(c: Any, s: Any, *workers: Any) -> None:
    """Only runs that begin in the block are recorded, and others carry nothing for it."""
    with record() as recorder:
        pass
    run = fl.run(programs.core_wf, a=1, client=c)
    await run
    assert recorder.runs == []
    assert (await run._known()).probed == []
