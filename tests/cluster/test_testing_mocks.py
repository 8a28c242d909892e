"""Mocks that travel: runs on a cluster that begin while something is mocked take the mock along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow.errors import OptionError, RealCall, UnusedMock
from daskflow.testing import mock, task_mock
from tests import cached, programs
from tests.cluster.support import assert_nothing_left, on_cluster
from tests.told import told

mapped = fl.map_task(programs.step2)


@fl.workflow
def outer(l: list[int]) -> list[int]:
    return mapped(a=l)


class Down(Exception):
    """What a mock raises."""


CASES: list[tuple[Any, Any, Any, Any, int]] = [
    (programs.step1, 10, (programs.multi_wf, {"l": list(range(6)), "chunk": 2}), [12] * 6, 6),
    (programs.core_wf_lp, 5, (programs.multi_wf, {"l": list(range(6)), "chunk": 2}), [5] * 6, 6),
    (programs.level2, [7], (programs.multi_wf, {"l": list(range(6)), "chunk": 2}), [7] * 3, 3),
    (mapped, [8], (outer, {"l": [1, 2]}), [8], 1),
    (programs.step2, 8, (outer, {"l": list(range(50))}), [8] * 50, 50),
    (programs.core_wf_lp, 5, (programs.core_wf_lp, {"a": 1}), 5, 1),
    (programs.core_wf, 5, (programs.core_wf, {"a": 1}), 5, 1),
    (programs.step1, 5, (programs.step1, {"a": 1}), 5, 1),
]


async def check_all(client: Any, scheduler: Any) -> None:
    """Run every case, mocked and not."""
    for entity, answer, (flow, inputs), expected, calls in CASES:
        with mock(entity, return_value=answer) as m:
            assert await fl.run(flow, **inputs, client=client) == expected
        assert m.call_count == calls
        assert await fl.run(flow, **inputs, client=client) == flow(**inputs)
        await assert_nothing_left(scheduler)


@on_cluster()
async def test_every_kind_of_entity_can_be_mocked(c: Any, s: Any, *workers: Any) -> None:
    """A run that begins while something is mocked has the mock, and its calls come back; a later run has not."""
    await check_all(c, s)


@on_cluster(spill_after=0)
async def test_the_same_with_a_task_for_each_node(c: Any, s: Any, *workers: Any) -> None:
    """The mock is with every unit, however the run is cut."""
    await check_all(c, s)


@on_cluster(spill_after=0)
async def test_calls_come_back_with_their_paths(c: Any, s: Any, *workers: Any) -> None:
    """Calls are counted where the pattern is, with the inputs and paths that they had on the workers."""
    with mock(programs.step1, side_effect=lambda a: 100 * a, at="level1/level2[1]/**") as m:
        assert await fl.run(programs.multi_wf, l=[1, 2, 3, 4], chunk=2, client=c) == [4, 5, 302, 402]
    assert sorted((call.path, call["a"]) for call in m.calls) == [
        ("level1/level2[1]/core_wf[0]/step1", 3),
        ("level1/level2[1]/core_wf[1]/step1", 4),
    ]
    m.assert_any_call(a=3)


@on_cluster()
async def test_a_mock_that_raises(c: Any, s: Any, *workers: Any) -> None:
    """Its exception fails the run, as that of the task would, and the call before it is counted."""
    with mock(programs.step1, side_effect=Down("mocked")) as m:
        with pytest.raises(Down, match="mocked") as caught:
            await fl.run(programs.core_wf, a=1, client=c)
    assert told(caught.value).address == "step1"
    assert m.calls == [{"a": 1}]
    with mock(programs.step1, return_value=0, at="nowhere", strict=True, unused_ok=True), pytest.raises(RealCall):
        await fl.run(programs.core_wf, a=1, client=c)
    await assert_nothing_left(s)


@on_cluster()
async def test_a_mock_that_no_worker_calls_is_unused(c: Any, s: Any, *workers: Any) -> None:
    """At the end of the block all is known of runs that have ended; of one that goes on nothing is said."""
    with pytest.raises(UnusedMock), mock(programs.increment, return_value=1):
        await fl.run(programs.core_wf, a=1, client=c)
    with mock(programs.increment, return_value=1) as m:
        run = fl.run(programs.child, num=1, client=c)
    assert await run == 1
    assert m.called


@on_cluster()
async def test_lists_are_refused_on_clusters(c: Any, s: Any, *workers: Any) -> None:
    """Nobody can say which call is the next where they happen in several processes; nothing has been sent then."""
    with mock(programs.step1, side_effect=[1, 2], unused_ok=True), pytest.raises(OptionError, match=r"a mock for each node.*at="):
        fl.run(programs.core_wf, a=1, client=c)
    assert not s.tasks


@on_cluster()
async def test_what_is_set_later_counts_when_the_run_begins(c: Any, s: Any, *workers: Any) -> None:
    """A run has what a mock said when it began."""
    with task_mock(programs.step1) as m:
        m.return_value = 5
        assert await fl.run(programs.core_wf, a=1, client=c) == 7
        m.side_effect = lambda a: -a
        assert await fl.run(programs.core_wf, a=1, client=c) == 1
    assert m.call_count == 2
    m.assert_called_with(a=1)


@on_cluster()
async def test_a_mocked_run_is_not_answered_by_the_cache(c: Any, s: Any, *workers: Any) -> None:
    """A run whose every result is cached is executed all the same where something is mocked, and leaves nothing in the cache."""
    folder = str(Path(workers[0].local_directory))
    inputs = {"folder": folder, "num": 1}
    for _ in range(2):
        assert await fl.run(cached.chain, **inputs, client=c) == 3
        with mock(cached.plus, return_value=50):
            assert await fl.run(cached.chain, **inputs, client=c) == 50
    with mock(cached.double, return_value=50):
        assert await fl.run(cached.double, **inputs, client=c) == 50
    assert await fl.run(cached.double, **inputs, client=c) == 2


@on_cluster()
async def test_large_inputs_stay_on_the_workers(c: Any, s: Any, *workers: Any) -> None:
    """Calls come back with a note in the place of an input that is large."""
    with mock(programs.reduce, return_value=[1]) as m:
        assert await fl.run(programs.reduce, l=[list(range(100_000))], client=c) == [1]
    assert repr(m.calls[0]["l"]).startswith("<withheld: [[0, 1, 2")
