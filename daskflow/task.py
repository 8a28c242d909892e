"""``@task``: a typed function, the smallest thing that is run."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Protocol, Unpack, cast, overload

from daskflow import context, infrastructure
from daskflow.caching import CacheOptions
from daskflow.entity import TASK, FunctionEntity, P, R_co
from daskflow.errors import NestingError, OptionError
from daskflow.interface import users_depth
from daskflow.options import refuse_unknown
from daskflow.taskoptions import TaskKeywords, TaskOptions


class Task(FunctionEntity[P, R_co]):
    """A typed function. Made by :func:`task`.

    Attributes
    ----------
    options : TaskOptions
        How an attempt runs.
    body
        What an executor calls: :attr:`fn`, or what stands for it.
    """

    kind = TASK
    kind_name = "task"
    #: Options that only entities of this kind have.
    _OF_KIND: ClassVar[tuple[str, ...]] = ()
    _MAY_BE_ASYNC = True

    def __init__(self, fn: Callable[P, R_co], options: dict[str, Any]) -> None:
        super().__init__(fn, untyped=options.get("pickle_untyped") is True)
        self.body: Callable[..., Any] = fn
        self._set_options(options)

    def _set_options(self, given: dict[str, Any]) -> None:
        owner = f"{self.kind_name} {self.name}"
        given = accepted(owner, given, self._OF_KIND)
        self.cache = CacheOptions.of(given, self.name, self.interface.parameters)
        self.options = options = TaskOptions.of(given, owner)
        self.check_options(options, owner)
        if options.deprecated:
            self.before_first_call = functools.partial(self._warn, f"{owner} is deprecated: {options.deprecated}")

    def _warn(self, text: str) -> None:
        self.before_first_call = None
        warnings.warn(text, DeprecationWarning, stacklevel=users_depth())


class AsyncTask(Task[P, Coroutine[Any, Any, R_co]]):
    """A task of an ``async def``. Made by :func:`task`.

    In plain Python its call gives a coroutine, which executes the task when it is awaited. In a workflow's or dynamic's body its call
    is a node as any other, and gives a promise of what the function returns; type checkers see that where it is written ``name.node(...)``.
    """

    def __init__(self, fn: Callable[P, Coroutine[Any, Any, R_co]], options: dict[str, Any]) -> None:
        super().__init__(fn, options)
        self.body = functools.partial(_to_its_end, fn)

    def _in_process(self, bound: dict[str, Any]) -> Any:
        return self._awaited(bound)

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return a coroutine that executes the task; the same as its call."""
        return cast("Coroutine[Any, Any, R_co]", super().aio(*args, **kwargs))

    def node(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Record a call in the body of a workflow or dynamic; the same as a call there, with the type of what the function returns.

        Raises
        ------
        NestingError
            When it is called anywhere else.
        """
        if context.state.builder is None:
            raise NestingError(f"{self.name}.node was called outside of a workflow's or dynamic's body: write await {self.short_name}(...)")
        return cast("R_co", self(*args, **kwargs))


def _to_its_end(fn: Callable[..., Coroutine[Any, Any, Any]], /, **inputs: Any) -> Any:
    from daskflow import coroutines

    return coroutines.run(fn, **inputs)


#: Of dynamics alone.
_HINTS = "node_dependency_hints"


def accepted(owner: str, given: dict[str, Any], of_kind: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that have an effect, or raise :class:`OptionError` where there are others than those and Flyte's own."""
    known = (*CacheOptions.NAMES, *TaskOptions.NAMES)
    if given.get("enable_deck") is not None and given.get("disable_deck") is not None:
        raise OptionError(f"{owner} has both enable_deck and disable_deck; give one of them")
    if _HINTS in given and _HINTS not in of_kind:
        raise OptionError(f"{_HINTS} of {owner} is an option of dynamics: a task starts nothing")
    rest = infrastructure.accept(owner, given, (*infrastructure.TASK_OPTIONS, *of_kind))
    refuse_unknown(rest, known, owner)
    return rest


class TaskDecorator(Protocol):
    """What ``@task(...)`` gives."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R_co]], /) -> AsyncTask[P, R_co]: ...
    @overload
    def __call__(self, fn: Callable[P, R_co], /) -> Task[P, R_co]: ...


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R_co]], /) -> AsyncTask[P, R_co]: ...
@overload
def task(fn: Callable[P, R_co], /) -> Task[P, R_co]: ...
@overload
def task(**options: Unpack[TaskKeywords]) -> TaskDecorator: ...
def task(fn: Any = None, /, **options: Any) -> Any:
    """Make a task of a typed function, which may be an ``async def``.

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
    retries : int or Retry
        How many more attempts are made when one fails. A number counts for :class:`~daskflow.errors.RecoverableException`, timeouts and
        the death of an attempt's process, as in Flyte; a :class:`~daskflow.attemptpolicy.Retry` for all exceptions, or those that it names.
    timeout : float, timedelta or Timeout
        How long an attempt may last, in seconds from its start.
    environment : dict of str to str
        Environment variables that are set while an attempt runs.
    requests, limits, resources : Resources
        What it needs of a worker, and the most that it may use; `resources` says both, with pairs.
    secret_requests : list of Secret
        The secrets that it may read.
    deprecated : str
        What to say to who calls it; warned of at the first call.
    docs : Documentation or str
        What is said of it besides its docstring.
    pickle_untyped : bool
        Whether what has no annotation may be anything.

    Options that are about Flyte's pods, images and pages are accepted with a warning.

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
    return functools.partial(_made, options) if fn is None else _made(options, fn)


def _made(options: dict[str, Any], fn: Any) -> Any:
    return (AsyncTask if inspect.iscoroutinefunction(fn) else Task)(fn, options)
