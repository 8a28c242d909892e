"""Coroutines of ``async def`` tasks: run to their end by the thread that executes the task, with an event loop of the thread's own."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from daskflow import abandon, context
from daskflow.traces import unseen, users_traceback

if TYPE_CHECKING:
    from daskflow.entity import Entity


class _Loop:
    """A thread's event loop; it is closed when the thread ends, which lets go of it."""

    def __init__(self) -> None:
        # With a factory it leaves the policy alone, which asks what the current thread is: one that is ending is none any more.
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)

    def close(self) -> None:
        self.runner.close()

    __del__ = close


class _Local(threading.local):
    loop: _Loop | None = None


_local = _Local()


def run(function: Callable[..., Coroutine[Any, Any, Any]], /, **inputs: Any) -> Any:
    """Call a coroutine function, and return what its coroutine gives.

    A thread has one loop for all of them; what a coroutine has started and left is cancelled when it ends. Where a loop runs in
    this thread already, as in a notebook, another thread does it.

    Raises
    ------
    BaseException
        Whatever the coroutine raises; ``asyncio.CancelledError`` where the attempt does not count any more.

    Examples
    --------
    >>> async def double(a):
    ...     await asyncio.sleep(0)
    ...     return 2 * a
    >>> run(double, a=2)
    4
    """
    if has_loop():
        return abandon.call(lambda: run(function, **inputs), name="daskflow coroutine")
    return _thread_loop().runner.run(_whole(function, inputs), context=contextvars.copy_context())


def has_loop() -> bool:
    """Tell whether a loop runs in this thread; whoever goes on from here is not handling an exception of ours."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _thread_loop() -> _Loop:
    if _local.loop is None:
        _local.loop = _Loop()
        if threading.current_thread() is threading.main_thread():
            # Its own end is too late to close anything.
            atexit.register(_local.loop.close)
    return _local.loop


async def _whole(function: Callable[..., Coroutine[Any, Any, Any]], inputs: dict[str, Any]) -> Any:
    task, loop, own = context.state.task, asyncio.get_running_loop(), asyncio.current_task()
    assert own is not None
    with ExitStack() as told:
        if task is not None:
            told.enter_context(task.ending_with(lambda: loop.call_soon_threadsafe(own.cancel)))
        try:
            return await function(**inputs)
        finally:
            await _end(asyncio.all_tasks() - {own})


async def _end(left: set[asyncio.Task[Any]]) -> None:
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@unseen
async def awaited(entity: Entity[..., Any], bound: dict[str, Any]) -> Any:
    """Run an entity in process, in another thread, while the loop goes on."""
    # Not every exception can be brought from there by a future.
    value, error = await asyncio.to_thread(context.outcome_in_process, entity, bound)
    if error is not None:
        raise BaseException.with_traceback(error, users_traceback(error.__traceback__))
    return value
