"""``@eager``: an async function with ordinary control flow, whose calls are nodes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, overload

from daskflow.entity import EAGER, P, R_co
from daskflow.errors import DefinitionError, OptionError
from daskflow.task import AsyncTask
from daskflow.taskoptions import PLAIN, TaskOptions

#: Options that are about attempts of a task, which an eager is none of.
_OF_TASKS = ("retries", "timeout", "environment", "requests", "limits", "secret_requests")


class Eager(AsyncTask[P, R_co]):
    """An async function whose calls become nodes as it makes them. Made by :func:`eager`."""

    kind = EAGER
    kind_name = "eager"
    #: A call that fails is an exception where it is awaited, and its own affair until then.
    keep_going: bool = True
    _OF_KIND: ClassVar[tuple[str, ...]] = ("node_dependency_hints",)

    def check_options(self, options: TaskOptions, owner: str) -> None:
        """Refuse what is about attempts."""
        for name in _OF_TASKS:
            if getattr(options, name) != getattr(PLAIN, name):
                raise OptionError(f"{name} of {owner} is an option of tasks: give it to the tasks that it calls")


@overload
def eager(fn: Callable[P, Coroutine[Any, Any, R_co]], /) -> Eager[P, R_co]: ...
@overload
def eager(**options: Any) -> Callable[[Callable[P, Coroutine[Any, Any, R_co]]], Eager[P, R_co]]: ...
def eager(fn: Any = None, /, **options: Any) -> Any:
    """Make an eager of an async function: ordinary control flow around calls that are nodes.

    In its body a call of any entity gives something to await, and ``await`` gives its value; ``asyncio.gather`` and the like have
    calls executed at the same time. A call that fails raises where it is awaited, and may be caught there. What is called and not awaited
    is executed all the same. The result of a call may be given to another one without awaiting it.

    Parameters
    ----------
    cache, cache_version, cache_serialize, cache_ignore_input_vars, deprecated, docs, pickle_untyped
        As for :func:`~daskflow.task.task`; what is cached is the result of the whole.

    Returns
    -------
    Eager
        In plain Python its call gives a coroutine, which runs it in process; in a body its call is a node as any other.

    Raises
    ------
    DefinitionError, OptionError
        As for :func:`~daskflow.task.task`, and for options that are about attempts.

    Notes
    -----
    No thread waits for calls that are executed elsewhere. The body's coroutine is dropped then, and the body is run again, up to where it
    was, once one of them has ended: calls are known by what they call, with which inputs, and are not executed again. So the body
    must be safe to run twice, as that of a dynamic, and what it does between calls should be little. Flyte's runs in its own
    process for as long as the whole lasts; the names are Flyte's.

    Examples
    --------
    >>> import asyncio
    >>> from daskflow import task
    >>> @task
    ... def half(a: int) -> int:
    ...     return a // 2
    >>> @eager
    ... async def halvings(a: int) -> int:
    ...     count = 0
    ...     while a > 1:
    ...         a, count = await half(a=a), count + 1
    ...     return count
    >>> asyncio.run(halvings(a=40))
    5
    """
    return _made(fn, options) if fn is not None else lambda function: _made(function, options)


def _made(fn: Any, options: dict[str, Any]) -> Any:
    import inspect

    if not inspect.iscoroutinefunction(fn):
        name = getattr(fn, "__qualname__", fn)
        raise DefinitionError(f"@eager decorates an async function, not {name!r}; write async def, or use @dynamic")
    return Eager(fn, options)
