"""Tasks that are coroutines, and entities that are awaited."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import pickle
import subprocess
import sys
import threading
import traceback
from typing import Any

import cloudpickle
import pytest

import daskflow as fl
from daskflow import coroutines
from daskflow.errors import InputError, NestingError, OutputError, RunFailed
from daskflow.task import AsyncTask

loops: list[Any] = []


@fl.task
async def double(a: int) -> int:
    loops.append((threading.get_ident(), id(asyncio.get_running_loop())))
    await asyncio.sleep(0)
    return 2 * a


@fl.task(retries=fl.Retry(1))
async def at_second(a: int) -> int:
    await asyncio.sleep(0)
    if fl.current_context().attempt == 0:
        raise KeyError(a)
    return a


@fl.task
async def wrong() -> int:
    return "x"  # type: ignore[return-value]


@fl.task
def plus_one(a: int) -> int:
    return a + 1


@fl.workflow
def flow(a: int) -> int:
    return plus_one(a=double.node(a=a))


@fl.dynamic
def loop(n: int) -> list[int]:
    return [double.node(a=index) for index in range(n)]


def test_a_call_is_awaited() -> None:
    """In plain Python a call gives a coroutine, which executes the task with all that belongs to it."""
    assert isinstance(double, AsyncTask)
    assert asyncio.run(double(a=1)) == 2
    assert asyncio.run(double.aio(a=1)) == 2
    assert asyncio.run(at_second(a=3)) == 3
    with pytest.raises(OutputError, match="wrong declares -> int"):
        asyncio.run(wrong())
    with pytest.raises(InputError, match="input 'a' of .*double: expected int"):
        asyncio.run(double(a="x"))  # type: ignore[arg-type]


def test_the_function_itself_stays_a_coroutine_function() -> None:
    """`fn` is what the user wrote."""
    assert asyncio.run(double.fn(a=2)) == 4


def test_in_a_body_it_is_a_node() -> None:
    """In a body a call is a node, whose promise is of what the function returns; maps and dynamics go over them as over others."""
    assert flow(a=3) == 7
    assert loop(n=3) == [0, 2, 4]
    assert fl.map_task(double)(a=[1, 2]) == [2, 4]

    @fl.workflow
    def plain_call(a: int) -> int:
        return plus_one(a=double(a=a))  # type: ignore[arg-type]

    assert plain_call(a=1) == 3

    @fl.task
    def text(a: str) -> str:
        return a

    @fl.workflow
    def mixed(a: int) -> str:
        return text(a=double(a=a))  # type: ignore[arg-type]

    with pytest.raises(InputError, match="is declared str, but .*double.* is int"):
        mixed(a=1)


def test_a_thread_has_one_loop() -> None:
    """Tasks of one thread share its loop, and it is closed when the thread ends."""
    loops.clear()
    together = threading.Barrier(2)

    def runs() -> None:
        loop(n=3)
        together.wait(30)

    threads = [threading.Thread(target=runs) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert len(loops) == 6
    assert len({thread for thread, _ in loops}) == len(set(loops)) == 2
    gc.collect()


def test_where_a_loop_runs_already() -> None:
    """A program that is run from a coroutine, as in a notebook's cell, may have tasks that are coroutines."""

    async def cell() -> int:
        return flow(a=1)

    assert asyncio.run(cell()) == 3


def test_what_a_coroutine_leaves_ends_with_it() -> None:
    """Background work that a task started and left is cancelled when the task ends."""
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def body() -> int:
        body.left = asyncio.create_task(background())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return 1

    assert coroutines.run(body) == 1
    assert ended == ["cancelled"]


def test_context_variables_are_those_of_the_caller() -> None:
    """What is set when the task begins is seen, each time."""
    variable = contextvars.ContextVar("variable", default=0)

    async def body() -> int:
        return variable.get()

    for value in (1, 2):
        variable.set(value)
        assert coroutines.run(body) == value


def test_every_entity_can_be_awaited() -> None:
    """`aio` runs any entity in a thread, while the loop goes on."""
    plan = fl.LaunchPlan.get_or_create(flow, name="async.plan")

    async def all_kinds() -> list[Any]:
        return await asyncio.gather(plus_one.aio(1), flow.aio(a=1), loop.aio(n=2), plan.aio(a=2), fl.map_task(double).aio(a=[1]))

    assert asyncio.run(all_kinds()) == [2, 3, [0, 2], 5, [2]]


def test_the_loop_goes_on_meanwhile() -> None:
    """A task that waits for what a coroutine does, run by the same loop, gets it."""
    said = threading.Event()

    @fl.task
    def listens() -> bool:
        return said.wait(30)

    async def both() -> bool:
        heard = asyncio.create_task(listens.aio())
        await asyncio.sleep(0)
        said.set()
        return await heard

    assert asyncio.run(both())


def test_where_it_cannot_be_awaited() -> None:
    """In a body nothing is awaited, and a task calls no entities; both say what to write instead."""

    @fl.workflow
    def body(a: int) -> int:
        return plus_one.aio(a=a)  # type: ignore[return-value]

    with pytest.raises(NestingError, match=r"plus_one.aio was called in the body of .*body: leave out .aio there"):
        body(a=1)

    @fl.task
    async def nested(a: int) -> int:
        return await double(a=a)

    with pytest.raises(NestingError, match="double was called inside the running task"):
        asyncio.run(nested(a=1))
    with pytest.raises(NestingError, match=r"double.node was called outside of .*: write await double\(...\)"):
        double.node(a=1)


def test_coroutines_travel() -> None:
    """A task that is a coroutine can be pickled by value, and is what it was."""
    copy: Any = pickle.loads(cloudpickle.dumps(double))
    assert asyncio.run(copy(a=4)) == 8


_ENDING = """
import asyncio, sys, threading
import daskflow.coroutines as coroutines

asyncio.get_event_loop_policy().get_child_watcher()

async def nothing():
    return 1

thread = threading.Thread(target=lambda: coroutines.run(nothing))
thread.start()
thread.join()
assert [one.name for one in threading.enumerate()] == ["MainThread"], threading.enumerate()
"""


def test_a_thread_that_has_run_a_coroutine_is_gone_when_it_ends() -> None:
    """The loop that a thread leaves behind is closed without bringing the thread back, also where the process has had children."""
    subprocess.run([sys.executable, "-c", _ENDING], check=True)


@fl.task
async def stops(a: int) -> int:
    raise KeyError(a)


@fl.task
def runs_out(a: int) -> int:
    return next(iter([]))


@fl.task
def gives_up(a: int) -> int:
    raise asyncio.CancelledError("enough")


def test_an_exception_of_a_coroutine_has_nothing_of_ours_behind_it() -> None:
    """What a coroutine raises was not raised while anything else was handled."""
    with pytest.raises(KeyError) as caught:
        fl.workflow(_stops_wf)(a=1)
    assert caught.value.__context__ is None


def _stops_wf(a: int) -> int:
    return stops(a=a)


@pytest.mark.parametrize("entity", [runs_out, gives_up], ids=lambda one: one.short_name)
def test_exceptions_that_no_coroutine_may_raise(entity: Any) -> None:
    """Where a task's exception would mean something else to whoever awaits the entity, a RunFailed stands for it."""

    async def waits() -> None:
        await asyncio.wait_for(entity.aio(a=1), 20)

    with pytest.raises(RunFailed, match="StopIteration|CancelledError: enough") as caught:
        asyncio.run(waits())
    frames = [one.f_code.co_filename for one, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert not [one for one in frames if "/daskflow/" in one]
