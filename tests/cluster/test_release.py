"""What stays on workers of runs that are over: nothing, and that does not wait for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import daskflow as fl
from daskflow.execute import Execution
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


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> weakref.WeakSet[Any]:
    """What is there of the objects that execute units: to look through all objects would keep those of other threads for a while."""
    made: weakref.WeakSet[Any] = weakref.WeakSet()

    def noted(kind: type) -> Callable[..., None]:
        make = kind.__init__  # type: ignore[misc]

        def init(self: Any, *args: Any, **options: Any) -> None:
            make(self, *args, **options)
            made.add(self)

        return init

    for kind in (Execution, Running):
        monkeypatch.setattr(kind, "__init__", noted(kind))
    return made


@pytest.mark.parametrize("spill_after", ["20ms", "0ms"])
def test_units_go_when_they_are_over(spill_after: str, alive: weakref.WeakSet[Any]) -> None:
    """Of units that have ended, handed over what they had, or failed, nothing is left that has their frames, and so their values."""

    @on_cluster(spill_after=spill_after)
    async def test(c: Any, s: Any, *workers: Any) -> None:
        gc.disable()
        try:
            for entity, inputs in PROGRAMS:
                with suppress(programs.Broken):
                    await fl.run(entity, client=c, **inputs)
                # Threads that were executing a unit have a last word to say.
                for _ in range(1000):
                    if not alive:
                        break
                    await asyncio.sleep(0.01)
                assert not alive, entity
        finally:
            gc.enable()
        await assert_nothing_left(s)

    test()
