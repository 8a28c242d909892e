"""``@workflow``: a body that is traced once into a static graph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, overload

from daskflow import context, infrastructure
from daskflow.builder import Builder
from daskflow.caching import Cache, CacheOptions
from daskflow.entity import WORKFLOW, Entity, FunctionEntity, P, R_co
from daskflow.errors import DefinitionError, GraphError, NodeError, OptionError
from daskflow.graph import Graph, Node
from daskflow.interface import Parameter
from daskflow.options import check_limit, refuse_unknown
from daskflow.taskoptions import Documentation, TaskOptions
from daskflow.types import assignable, describe, without_none


class WorkflowFailurePolicy(Enum):
    """What becomes of the other nodes of a workflow when one has failed."""

    #: They are stopped.
    FAIL_IMMEDIATELY = 0
    #: Those that do not depend on it are executed, and the workflow fails then.
    FAIL_AFTER_EXECUTABLE_NODES_COMPLETE = 1


#: The options of a workflow that have an effect.
OPTIONS = ("max_parallelism", "failure_policy", "on_failure", "docs", "pickle_untyped", *CacheOptions.NAMES)


class Workflow(FunctionEntity[P, R_co]):
    """A function whose body describes a static graph. Made by :func:`workflow`.

    Attributes
    ----------
    max_parallelism : int or None
        How many of its nodes may execute at the same moment.
    keep_going : bool
        Whether its other nodes are executed when one has failed.
    on_failure : Entity or None
        What is executed once it has failed.
    docs : Documentation or None
        What describes it beside its docstring.
    """

    kind = WORKFLOW
    kind_name = "workflow"

    def __init__(self, fn: Callable[P, R_co], options: dict[str, Any]) -> None:
        super().__init__(fn, untyped=options.get("pickle_untyped") is True)
        self._configure(options)

    def _configure(self, options: dict[str, Any]) -> None:
        options = infrastructure.accept(f"workflow {self.name}", options, infrastructure.WORKFLOW_OPTIONS)
        refuse_unknown(options, OPTIONS, f"workflow {self.name}")
        self.cache = CacheOptions.of(options, self.name, self.interface.parameters)
        self.max_parallelism = check_limit(options.get("max_parallelism"), "max_parallelism", self.name, zero=True)
        self.keep_going = _policy(options.get("failure_policy"), self.name)
        self.on_failure: Entity[..., Any] | None = options.get("on_failure")
        self.docs: Documentation | None = TaskOptions.of(_described(options), f"workflow {self.name}").docs
        self._graph: Graph | None = None
        # Two threads may meet an untraced workflow; the body of a workflow that calls itself meets its own trace.
        self._tracing = threading.RLock()
        self._traced_by: int | None = None
        if self.on_failure is not None:
            check_handler(self, self.on_failure)

    @property
    def handler(self) -> Node | None:
        """The call of what is executed once the workflow has failed."""
        return None if self.on_failure is None else self.graph.handler

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
        return self._finished(builder.finish(returned, self.interface.outputs))

    def _finished(self, graph: Graph) -> Graph:
        if self.on_failure is not None:
            graph.handler = handling(self, self.on_failure, graph)
            self.on_failure.prepare()
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
    failure_policy: WorkflowFailurePolicy | None = ...,
    on_failure: Entity[..., Any] | None = ...,
    docs: Any = ...,
    pickle_untyped: bool = ...,
    interruptible: bool = ...,
    default_options: Any = ...,
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
    failure_policy : WorkflowFailurePolicy, optional
        What becomes of the other nodes when one has failed: by default they are stopped. It is the workflow's own, wherever it is called.
    on_failure : entity, optional
        What is executed once the workflow has failed, before its failure goes on: it takes the workflow's inputs, and, if it declares
        it, `err`, a :class:`~daskflow.errors.NodeError`. What else it takes must have a default.
    docs : Documentation or str, optional
        What describes it beside its docstring.
    pickle_untyped : bool
        Whether inputs without an annotation are taken as they come.
    interruptible, default_options
        Flyte's, which mean nothing here: accepted with a warning.
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
        return Workflow(fn, dict(options))
    return lambda function: Workflow(function, dict(options))


def _described(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("docs", "pickle_untyped") if name in options}


def _policy(policy: Any, name: str) -> bool:
    if policy is None or policy is WorkflowFailurePolicy.FAIL_IMMEDIATELY:
        return False
    if policy is not WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE:
        raise OptionError(f"failure_policy of workflow {name} must be a WorkflowFailurePolicy; got {policy!r}")
    return True


def check_handler(flow: Workflow[..., Any], handler: Any) -> None:
    """Refuse what cannot be executed once a workflow has failed.

    Raises
    ------
    DefinitionError
        When it is no entity, lacks an input of the workflow's, or takes one that nobody gives.
    """
    where = f"on_failure of workflow {flow.name}"
    if not isinstance(handler, Entity):
        raise DefinitionError(f"{where} must be a task or workflow, not {handler!r}; decorate it")
    takes, given = handler.interface.parameters, flow.interface.parameters
    for name, one in given.items():
        if name not in takes or not assignable(one.annotation, takes[name].annotation):
            raise DefinitionError(
                f"{where}: {handler.name} must take {name!r} ({describe(one.annotation)}), as the workflow does; it takes "
                f"{handler.interface.signature() or 'no inputs'}"
            )
    for name, one in takes.items():
        if name not in given:
            _check_rest(where, handler, one)


def _check_rest(where: str, handler: Entity[..., Any], one: Parameter) -> None:
    """Refuse an input that is none of the workflow's, where it has no value then or waits for the failure under another name."""
    if one.name == "err":
        if not assignable(NodeError, one.annotation):
            raise DefinitionError(f"{where}: {handler.name} declares 'err' as {describe(one.annotation)}; it is given a NodeError")
    elif without_none(one.annotation) is NodeError:
        raise DefinitionError(f"{where}: {handler.name} is given the failure as 'err'; rename its input {one.name!r}")
    elif one.required and not assignable(type(None), one.annotation):
        raise DefinitionError(f"{where}: nobody gives {handler.name} its input {one.name!r}; give it a default")


def handling(flow: Workflow[..., Any], handler: Entity[..., Any], graph: Graph) -> Node:
    """Return the call of what is executed once a workflow has failed."""
    takes, given = handler.interface.parameters, list(flow.interface.parameters)
    rest = {name: None if one.required else one.default for name, one in takes.items() if name not in given}
    whole = tuple((name, slot, False) for slot, name in enumerate(given))
    return Node(graph.n_inputs + len(graph.nodes), handler, rest, whole)
