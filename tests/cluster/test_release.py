"""What stays on workers of runs that are over: nothing, and that does not wait for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

import daskflow as fl
from daskflow.execute import Execution
from daskflow.frame import Frame
from daskflow.unit import Running
from tests import programs
from tests.cluster.support import assert_nothing_left, on_cluster


@fl.task
def breaks_at_2(a: int) -> int:
    if a == 2:
        raise programs.Broken("no")
    return a


@fl.workflow
def some_break(a: list[int]) -> list[int]:
    return fl.map_task(breaks_at_2)(a=a)


@fl.task(retries=fl.Retry(2, on=programs.Broken))
def breaks_often(a: int) -> int:
    raise programs.Broken("no")


@fl.eager
async def awaits(a: int) -> int:
    return sum(await asyncio.gather(breaks_at_2(a=a), breaks_at_2(a=a + 2)))


PROGRAMS: list[tuple[Any, dict[str, Any]]] = [
    (programs.multi_wf, {"l": [1, 2, 3], "chunk": 2}),
    (some_break, {"a": [1, 2, 3]}),
    (breaks_often, {"a": 1}),
    (awaits, {"a": 1}),
]


def held() -> set[int]:
    return {id(one) for one in gc.get_objects() if isinstance(one, (Execution, Frame, Running))}


@pytest.mark.parametrize("spill_after", ["20ms", "0ms"])
def test_units_go_when_they_are_over(spill_after: str) -> None:
    """Of units that have ended, handed over what they had, or failed, no frame is left, and so none of the values in them."""

    @on_cluster(spill_after=spill_after)
    async def test(c: Any, s: Any, *workers: Any) -> None:
        await fl.run(breaks_at_2, a=1, client=c)
        gc.collect()
        gc.disable()
        try:
            for entity, inputs in PROGRAMS:
                before = held()
                try:
                    await fl.run(entity, client=c, **inputs)
                except programs.Broken:
                    pass
                # Threads that were executing a unit have a last word to say.
                for _ in range(1000):
                    if not held() - before:
                        break
                    await asyncio.sleep(0.01)
                assert not held() - before, entity
        finally:
            gc.enable()
        await assert_nothing_left(s)

    test()
