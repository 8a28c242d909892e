"""Caching on a cluster: what is executed, who waits, and what is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import dask
import pytest

import daskflow as fl
from tests import cached
from tests.cached import marks
from tests.cluster.support import assert_nothing_left, on_cluster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where executions leave their marks."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def in_folder(test: Any, **config: Any) -> Any:
    """Run a test on a cluster, with a folder for marks."""

    def wrapped(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        @on_cluster(**config)
        async def inner(c: Any, s: Any, *workers: Any) -> None:
            await (test(c, s, folder, caplog) if "caplog" in test.__annotations__ else test(c, s, folder))
            await assert_nothing_left(s)

        inner()

    wrapped.__doc__ = test.__doc__
    return wrapped


def over(**config: Any) -> Any:
    """Return a decorator for :func:`in_folder`."""
    return lambda test: in_folder(test, **config)


@over()
async def test_launch_plans_that_are_cached_by_an_override(c: Any, s: Any, folder: Path) -> None:
    """Launch plans that are cached are executed once each; a second run executes none, and says that all were there."""
    run = fl.run(cached.spawn, folder=str(folder), n=5, client=c)
    assert await run == [2, 3, 4, 5, 6]
    assert marks(folder) == ["1", "2", "3", "4", "5"]
    assert (await run.cache).counts == {"POPULATED": 5}
    run = fl.run(cached.spawn, folder=str(folder), n=6, client=c)
    assert await run == [2, 3, 4, 5, 6, 7]
    assert marks(folder) == ["6"]
    assert dict(await run.cache) == {f"child_wf[{index}]": "HIT" if index < 5 else "POPULATED" for index in range(6)}


@over(spill_after=0)
async def test_the_same_with_a_task_for_each_node(c: Any, s: Any, folder: Path) -> None:
    """With a task for each node the same is executed, and a cached dynamic is stored by whoever ends it."""
    assert await fl.run(cached.spawn, folder=str(folder), n=3, client=c) == [2, 3, 4]
    assert await fl.run(cached.spawn, folder=str(folder), n=3, client=c) == [2, 3, 4]
    assert await fl.run(cached.twice_chain, folder=str(folder), num=5, client=c) == 9
    assert marks(folder) == ["1", "2", "3", "5", "6", "7", "8"]
    tree = fl.run(cached.tree, folder=str(folder), depth=3, client=c)
    assert await tree == 8
    assert (await tree.cache).counts == {"POPULATED": 7}
    assert marks(folder) == ["1", "2", "4", "tree0", "tree1", "tree2", "tree3"]
    assert await fl.run(cached.tree, folder=str(folder), depth=3, client=c) == 8
    assert marks(folder) == []


@over()
async def test_what_was_cached_in_process_is_there_on_a_cluster(c: Any, s: Any, folder: Path) -> None:
    """Plain Python and a cluster share one cache, in both directions."""
    cached.double_all(folder=str(folder), nums=[1, 2])
    run = fl.run(cached.double_all, folder=str(folder), nums=[1, 2, 3], client=c)
    assert await run == [2, 4, 6]
    assert (await run.cache).counts == {"HIT": 2, "POPULATED": 1}
    cached.double_all(folder=str(folder), nums=[3])
    assert marks(folder) == ["1", "2", "3"]


@over()
async def test_a_run_whose_result_is_there_goes_nowhere(c: Any, s: Any, folder: Path) -> None:
    """A run that is wholly in the cache is over at once: nothing of it is submitted."""
    assert await fl.run(cached.double, folder=str(folder), num=4, client=c) == 8
    assert await fl.run(cached.chain, folder=str(folder), num=4, client=c) == 6
    marks(folder)
    started: list[Any] = []
    s.plugins["daskflow"].coordinator.ledger.submit = lambda *given: started.append(given)
    for entity, expected in ((cached.double, 8), (cached.chain, 6)):
        run: Any = fl.run(entity, folder=str(folder), num=4, client=c)
        assert run.status == "SUCCEEDED"
        assert await run.wait() is run
        assert await run.result() == expected
        assert await run == expected
        assert (await run.cache).counts == {"HIT": 1}
    assert not started
    assert marks(folder) == []


@over()
async def test_a_run_without_the_cache_and_one_that_overwrites_it(c: Any, s: Any, folder: Path) -> None:
    """A run can pass over the cache, or store everything anew; child runs do as it does."""
    steps: list[tuple[dict[str, Any], dict[str, int], int]] = [
        ({"cache": False}, {"DISABLED": 2}, 2),
        ({}, {"POPULATED": 2}, 2),
        ({"overwrite_cache": True}, {"POPULATED": 2}, 2),
        ({}, {"HIT": 2}, 0),
    ]
    for words, counts, executed in steps:
        run = fl.run(cached.spawn, folder=str(folder), n=2, client=c, **words)
        assert await run == [2, 3]
        assert ((await run.cache).counts, len(marks(folder))) == (counts, executed)


@over()
async def test_one_computes_and_the_others_wait(c: Any, s: Any, folder: Path) -> None:
    """Of equal calls in several runs at the same moment one is executed, where that is asked for."""
    runs = [fl.run(entity, folder=str(folder), nums=[7, 8, 7], client=c) for entity in (cached.slowly_all, cached.slowly_mapped) * 3]
    assert [await run for run in runs] == [[7, 8, 7]] * 6
    assert marks(folder) == ["7", "8"]
    total: dict[str, int] = {}
    for run in runs:
        for status, count in (await run.cache).counts.items():
            total[status] = total.get(status, 0) + count
    assert total == {"POPULATED": 2, "HIT": 16}


@over(workers=1, threads=1)
async def test_those_that_wait_hold_no_thread(c: Any, s: Any, folder: Path) -> None:
    """With one thread there is still an end, whoever waits for whom: a dynamic that spreads has its lease until its subtree is done."""
    runs = [fl.run(cached.slow_trees, folder=str(folder), nums=[1, 2, 1], client=c) for _ in range(3)]
    assert [await run for run in runs] == [[[10, 11, 12], [20, 21, 22], [10, 11, 12]]] * 3
    assert marks(folder) == ["10", "11", "12", "20", "21", "22", "tree1", "tree2"]


@over(spill_after=0)
async def test_a_cache_that_fails_fails_no_run(c: Any, s: Any, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing can be stored, all is executed, by many units; that is counted, and said once."""
    with dask.config.set({"daskflow.cache.url": "/proc/no/such/place"}):
        run = fl.run(cached.double_all, folder=str(folder), nums=[1, 2, 3], client=c)
        assert await run == [2, 4, 6]
    assert (await run.cache).counts == {"PUT_FAILURE": 3}
    assert marks(folder) == ["1", "2", "3"]
    assert caplog.text.count("the run goes on without it") == 1


@over()
async def test_a_lease_ends_with_its_run(c: Any, s: Any, folder: Path) -> None:
    """When the run that computes is cancelled, another one that waited computes."""
    first = fl.run(cached.slowly_all, folder=str(folder), nums=[1], client=c)
    while not list(folder.iterdir()):
        await asyncio.sleep(0.01)
    second = fl.run(cached.slowly_all, folder=str(folder), nums=[1], client=c)
    while (await s.plugins["daskflow"].coordinator.state())["waiting"] + len(s.plugins["daskflow"].coordinator.ledger.units) < 4:
        await asyncio.sleep(0.01)
    await first.cancel()
    assert await second == [1]
