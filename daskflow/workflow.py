"""``@workflow``: a body that is traced once into a static graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, overload

from daskflow import context
from daskflow.caching import Cache, CacheOptions
from daskflow.entity import WORKFLOW, FunctionEntity, P, R_co
from daskflow.errors import GraphError
from daskflow.graph import Builder, Graph
from daskflow.options import check_limit, refuse_unknown


class Workflow(FunctionEntity[P, R_co]):
    """A function whose body describes a static graph. Made by :func:`workflow`."""

    kind = WORKFLOW
    kind_name = "workflow"

    def __init__(self, fn: Callable[P, R_co], options: dict[str, Any]) -> None:
        super().__init__(fn)
        refuse_unknown(options, ("max_parallelism", *CacheOptions.NAMES), f"workflow {self.name}")
        self.cache = CacheOptions.of(options, self.name, self.interface.parameters)
        self.max_parallelism = check_limit(options.get("max_parallelism"), "max_parallelism", self.name, zero=True)
        self._graph: Graph | None = None
        # Two threads may meet an untraced workflow; the body of a workflow that calls itself meets its own trace.
        self._tracing = threading.RLock()
        self._traced_by: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_graph", "_tracing", "_traced_by")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _graph=None, _tracing=threading.RLock(), _traced_by=None)

    @property
    def graph(self) -> Graph:
        """The traced graph.

        Raises
        ------
        GraphError
            When the body calls the workflow itself.
        """
        return self._graph or self._trace()

    def _trace(self) -> Graph:
        with self._tracing:
            if self._graph is not None:
                return self._graph
            if self._traced_by is not None:
                raise GraphError(f"workflow {self.name} calls itself; a static graph has no end then: make it a @dynamic")
            self._traced_by = threading.get_ident()
            try:
                self._graph = self._build()
            finally:
                self._traced_by = None
            return self._graph

    def _build(self) -> Graph:
        builder = Builder(self.name, {one.name: one.annotation for one in self.interface.parameters.values()})
        outer, context.state.builder = context.state.builder, builder
        try:
            returned = self.fn(**builder.promises)
        finally:
            context.state.builder = outer
        graph = builder.finish(returned, self.interface.outputs)
        for node in graph.nodes:
            node.entity.prepare()
        return graph

    def prepare(self) -> None:
        """Trace the workflow, and those that it calls."""
        self._trace()


@overload
def workflow(fn: Callable[P, R_co], /) -> Workflow[P, R_co]: ...
@overload
def workflow(
    *,
    max_parallelism: int | None = ...,
    cache: bool | Cache = ...,
    cache_version: str = ...,
    cache_serialize: bool = ...,
    cache_ignore_input_vars: tuple[str, ...] = ...,
) -> Callable[[Callable[P, R_co]], Workflow[P, R_co]]: ...
def workflow(fn: Any = None, /, **options: Any) -> Any:
    """Make a workflow of a typed function.

    The body runs once, when the workflow is first needed, with promises for inputs. It may call entities, pass
    promises on, and return them; what needs a value belongs into a task or a dynamic.

    Parameters
    ----------
    max_parallelism : int, optional
        How many of its nodes may execute at the same moment: positive, or 0 for unlimited. Of a workflow that is called in another
        one's body, or mapped, each call has the limit, within that of the run that it is part of.
    cache, cache_version, cache_serialize, cache_ignore_input_vars
        As for :func:`~daskflow.task.task`; what is cached is the result of the whole workflow, and of launch plans of it.

    Raises
    ------
    DefinitionError, OptionError
        As for :func:`~daskflow.task.task`.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> @workflow
    ... def twice(a: int) -> int:
    ...     return add(a=a, b=add(a=a, b=0))
    >>> twice(a=2)
    4
    """
    if fn is not None:
        return Workflow(fn, options)
    return lambda function: Workflow(function, options)
