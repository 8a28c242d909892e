"""``@task``: a typed function, the smallest thing that is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from daskflow.caching import Cache, CacheOptions
from daskflow.entity import TASK, FunctionEntity, P, R_co
from daskflow.options import refuse_unknown


class Task(FunctionEntity[P, R_co]):
    """A typed function. Made by :func:`task`."""

    kind = TASK
    kind_name = "task"

    def __init__(self, fn: Callable[P, R_co], options: dict[str, Any]) -> None:
        super().__init__(fn)
        refuse_unknown(options, CacheOptions.NAMES, f"{self.kind_name} {self.name}")
        self.cache = CacheOptions.of(options, self.name, self.interface.parameters)


@overload
def task(fn: Callable[P, R_co], /) -> Task[P, R_co]: ...
@overload
def task(
    *,
    cache: bool | Cache = ...,
    cache_version: str = ...,
    cache_serialize: bool = ...,
    cache_ignore_input_vars: tuple[str, ...] = ...,
) -> Callable[[Callable[P, R_co]], Task[P, R_co]]: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a typed function.

    Parameters
    ----------
    cache : bool or Cache
        Whether its outputs are cached, and how.
    cache_version : str
        The version in the cache's key. Without one, the code makes it: the function's, and the users' code that it reaches.
    cache_serialize : bool
        Whether only one unit at a time computes a key.
    cache_ignore_input_vars : tuple of str
        Inputs that are left out of the cache's key.

    Returns
    -------
    Task
        Callable as the function is. In plain Python the call runs it; in a workflow's or dynamic's body it records a node.

    Raises
    ------
    DefinitionError
        When an annotation is missing or cannot be used.
    OptionError
        When an option is unknown or has a value that it cannot have.

    Examples
    --------
    >>> @task
    ... def add(a: int, b: int = 1) -> int:
    ...     return a + b
    >>> add(a=1)
    2
    """
    if fn is not None:
        return Task(fn, options)
    return lambda function: Task(function, options)
