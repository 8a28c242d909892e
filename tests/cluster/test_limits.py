"""Limits on a cluster, measured: tasks note when they begin and end."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import daskflow as fl
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster
from tests.programs import (
    Span,
    children_of_two,
    loop_of_naps,
    naps,
    nested_naps,
    overlap,
    three_at_once_lp,
    two_at_once,
    two_at_once_lp,
    two_at_once_twice,
    window_of_three,
)

NAP = 0.05  # seconds: long enough for its neighbours to be spread


def flat(result: Any) -> list[Span]:
    """Return the spans in a nested result."""
    return [result] if isinstance(result, Span) else [span for part in result for span in flat(part)]


def items(n: int, seconds: float = NAP) -> dict[str, Any]:
    """Return the inputs of a map over naps."""
    return {"n": list(range(n)), "seconds": seconds}


# entity, inputs, options of the run, the limit that must hold and be reached
CASES: list[tuple[str, Any, dict[str, Any], dict[str, Any], int]] = [
    ("run, 1", naps, items(5), {"max_parallelism": 1}, 1),
    ("run, 2", naps, items(12), {"max_parallelism": 2}, 2),
    ("loop, 2", loop_of_naps, {"n": 12, "seconds": NAP}, {"max_parallelism": 2}, 2),
    ("workflow", two_at_once, items(12), {}, 2),
    ("run before workflow", two_at_once, items(20), {"max_parallelism": 5}, 5),
    ("sub-workflows, each its own", two_at_once_twice, items(8), {}, 4),
    ("sub-workflows under a run's limit", two_at_once_twice, items(8), {"max_parallelism": 3}, 3),
    ("map over a workflow", fl.map_task(two_at_once), {"n": [list(range(12))] * 3, "seconds": [0.3] * 3}, {}, 6),
    ("launch plan", two_at_once_lp, items(12), {}, 2),
    ("launch plan before nothing", three_at_once_lp, items(16), {}, 3),
    ("concurrency", window_of_three, items(16), {}, 3),
    ("concurrency under a run's limit", window_of_three, items(12), {"max_parallelism": 2}, 2),
    ("default", naps, items(40, 0.6), {}, 25),
    ("unlimited", naps, items(40, 0.6), {"max_parallelism": 0}, 32),
    ("children without a limit above", children_of_two, {"children": 4, "each": 6, "seconds": NAP}, {}, 8),
    ("children under a run's limit", children_of_two, {"children": 4, "each": 6, "seconds": NAP}, {"max_parallelism": 3}, 3),
    ("one, ten deep", nested_naps, {"depth": 10, "width": 2, "seconds": 0.01}, {"max_parallelism": 1}, 1),
]


@pytest.mark.parametrize(("entity", "inputs", "options", "limit"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_limits_hold_and_are_reached(entity: Any, inputs: dict[str, Any], options: dict[str, Any], limit: int) -> None:
    """Never more tasks at once than the limit says, and as many as it says where there is enough to do."""

    @on_cluster(workers=2, threads=16)
    async def test(c: Any, s: Any, *workers: Any) -> None:
        spans = flat(await fl.run(entity, **inputs, **options, client=c))
        assert overlap(spans) == limit
        await assert_nothing_left(s)

    test()


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_limits_hold_with_a_task_for_each_node(limit: int) -> None:
    """A limit holds as well where every node is a Dask task of its own."""

    @on_cluster(workers=2, threads=8, spill_after=0)
    async def test(c: Any, s: Any, *workers: Any) -> None:
        spans = flat(await fl.run(nested_naps, depth=3, width=4, seconds=NAP, max_parallelism=limit, client=c))
        assert len(spans) == 16
        assert overlap(spans) == limit
        await assert_nothing_left(s)

    test()


@fl.task
def naps_well(a: int) -> int:
    time.sleep(0.02)
    return a


@on_cluster(workers=1, threads=2)
async def test_a_run_is_not_starved_by_another_one_that_lasts(c: Any, s: Any, worker: Any) -> None:
    """A run gets a thread soon, though another one has all of them for pieces of work that would last for minutes."""
    await fl.run(naps_well, a=0, client=c)
    load = fl.run(fl.map_task(naps_well), a=list(range(20_000)), max_parallelism=0, client=c)
    while coordinator(s).ledger.admission.n_waiting < 2:
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(fl.run(naps_well, a=1, client=c), 20) == 1
    assert load.status == "RUNNING"
    await load.cancel()
    while worker.state.executing_count:
        await asyncio.sleep(0.01)
    await assert_nothing_left(s)


@on_cluster(workers=2, threads=4, max_parallelism=3)
async def test_the_default_is_configured(c: Any, s: Any, *workers: Any) -> None:
    """The limit of runs that have none is taken from the configuration."""
    assert overlap(flat(await fl.run(naps, **items(16), client=c))) == 3
    await assert_nothing_left(s)
