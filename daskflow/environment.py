"""Options that several tasks share: :class:`Environment`, as in Flyte's SDK."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Unpack, overload

from daskflow.dynamic import Dynamic, dynamic
from daskflow.entity import P, R_co
from daskflow.errors import OptionError
from daskflow.task import AsyncTask, Task, TaskDecorator, accepted, task
from daskflow.taskoptions import DynamicKeywords, TaskKeywords, TaskOptions


class Environment:
    """Options that tasks and dynamics have in common, and may add to.

    Parameters
    ----------
    **options
        As for :func:`~daskflow.task.task`.

    Attributes
    ----------
    overrides : dict
        The options by name.

    Raises
    ------
    OptionError
        When an option is unknown or has a value that it cannot have.

    Examples
    --------
    >>> base = Environment(retries=3, environment={"LEVEL": "info"})
    >>> @base.task(environment={"PLACE": "here"})
    ... def work(a: int) -> int:
    ...     return a
    >>> work.options.retries.count, work.options.environment
    (3, {'LEVEL': 'info', 'PLACE': 'here'})
    """

    def __init__(self, **options: Unpack[TaskKeywords]) -> None:
        self.overrides: dict[str, Any] = _checked(options)

    def update(self, **options: Unpack[TaskKeywords]) -> None:
        """Change options, for what is decorated from now on."""
        self.overrides = _checked(_merged(self.overrides, options))

    def extend(self, **options: Unpack[TaskKeywords]) -> Environment:
        """Return an environment with more options, or others."""
        return Environment(**_merged(self.overrides, options))

    @overload
    def task(self, fn: Callable[P, Coroutine[Any, Any, R_co]], /) -> AsyncTask[P, R_co]: ...
    @overload
    def task(self, fn: Callable[P, R_co], /) -> Task[P, R_co]: ...
    @overload
    def task(self, /, **options: Unpack[TaskKeywords]) -> TaskDecorator: ...
    def task(self, fn: Any = None, /, **options: Any) -> Any:
        """Make a task with the environment's options, and more or others."""
        return _decorator(task, self.overrides, options, fn)

    __call__ = task

    @overload
    def dynamic(self, fn: Callable[P, R_co], /) -> Dynamic[P, R_co]: ...
    @overload
    def dynamic(self, /, **options: Unpack[DynamicKeywords]) -> Callable[[Callable[P, R_co]], Dynamic[P, R_co]]: ...
    def dynamic(self, fn: Any = None, /, **options: Any) -> Any:
        """Make a dynamic with the environment's options, and more or others."""
        return _decorator(dynamic, self.overrides, options, fn)

    def __repr__(self) -> str:
        return f"Environment({', '.join(f'{name}={value!r}' for name, value in self.overrides.items())})"


def _decorator(kind: Any, shared: Mapping[str, Any], options: Mapping[str, Any], fn: Any) -> Any:
    if fn is not None and not callable(fn):
        raise OptionError(f"an Environment's options are given by name, as in {kind.__name__}(retries=3); got {fn!r}")
    decorate = kind(**_merged(shared, options))
    return decorate if fn is None else decorate(fn)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
    """Return both, of what both have the new ones; mappings are merged as well."""
    both = {
        name: {**old[name], **value} if isinstance(value, Mapping) and isinstance(old.get(name), Mapping) else value
        for name, value in new.items()
    }
    return {**old, **both}


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    known = accepted("Environment", dict(options), ())
    TaskOptions.of(known, "Environment")
    return known
