"""``@dynamic``: a body that runs with its inputs' values and builds the graph that gives its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack, overload

from daskflow import context
from daskflow.builder import Builder
from daskflow.entity import DYNAMIC, P, R_co
from daskflow.errors import OptionError
from daskflow.graph import Graph
from daskflow.task import Task
from daskflow.taskoptions import DynamicKeywords, TaskOptions


class Dynamic(Task[P, R_co]):
    """A function whose calls become a graph at run time. Made by :func:`dynamic`."""

    kind = DYNAMIC
    kind_name = "dynamic"
    _MAY_BE_ASYNC = False
    _OF_KIND: ClassVar[tuple[str, ...]] = ("node_dependency_hints",)

    def check_options(self, options: TaskOptions, owner: str) -> None:
        """Refuse a process of its own: the graph that a body makes is of objects of this one."""
        if options.timeout is not None and options.timeout.killable:
            raise OptionError(f"timeout of {owner} is killable, and the body of a dynamic cannot be: give that to the tasks that it calls")

    def build(self, inputs: dict[str, Any]) -> Graph:
        """Run the body and return the graph that it made."""
        builder = Builder(self.name)
        outer, context.state.builder = context.state.builder, builder
        try:
            returned = self.fn(**inputs)
        finally:
            context.state.builder = outer
        return builder.finish(returned, self.interface.outputs)


@overload
def dynamic(fn: Callable[P, R_co], /) -> Dynamic[P, R_co]: ...
@overload
def dynamic(**options: Unpack[DynamicKeywords]) -> Callable[[Callable[P, R_co]], Dynamic[P, R_co]]: ...
def dynamic(fn: Any = None, /, **options: Any) -> Any:
    """Make a dynamic of a typed function.

    Its inputs are values, so the body may loop over and branch on them; what it calls are nodes, and their
    results are promises. It may return promises, values, and containers of both. The body must be safe to run twice.

    Parameters
    ----------
    cache, cache_version, cache_serialize, cache_ignore_input_vars
        As for :func:`~daskflow.task.task`; what is cached is the result of the whole subtree.
    retries, timeout, environment, requests, limits, resources, secret_requests, deprecated, docs, pickle_untyped
        As for :func:`~daskflow.task.task`; they are about the body alone, not about what it starts.

    Raises
    ------
    DefinitionError, OptionError
        As for :func:`~daskflow.task.task`.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def double(a: int) -> int:
    ...     return 2 * a
    >>> @dynamic
    ... def doubles(n: int) -> list[int]:
    ...     return [double(a=i) for i in range(n)]
    >>> doubles(n=3)
    [0, 2, 4]
    """
    if fn is not None:
        return Dynamic(fn, options)
    return lambda function: Dynamic(function, options)
