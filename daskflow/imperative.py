"""``ImperativeWorkflow``: a workflow that is put together call by call, instead of by a function's body."""

from __future__ import annotations

from typing import Any

from daskflow import context
from daskflow.builder import Builder
from daskflow.conditionals import ConditionalSection, conditional
from daskflow.entity import LAUNCH_PLAN, WORKFLOW, Entity
from daskflow.errors import DefinitionError, GraphError
from daskflow.graph import Graph
from daskflow.interface import Interface, Outputs, Parameter
from daskflow.nodes import NodeHandle, create_node
from daskflow.promise import Promise
from daskflow.workflow import Workflow as _Workflow
from daskflow.workflow import WorkflowFailurePolicy, check_handler


class ImperativeWorkflow(_Workflow[..., Any]):
    """A workflow that is put together call by call.

    Parameters
    ----------
    name : str
        Its full name.
    failure_policy, max_parallelism, cache, cache_version, cache_serialize, cache_ignore_input_vars
        As for :func:`~daskflow.workflow.workflow`.

    Raises
    ------
    OptionError
        When an option is unknown or has a value that it cannot have.

    Notes
    -----
    It is as it is from its first use on: what is added later is refused. One output is given as it is, several as a tuple.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def double(a: int) -> int:
    ...     return 2 * a
    >>> flow = ImperativeWorkflow("examples.double_twice")
    >>> once = flow.add_entity(double, a=flow.add_workflow_input("a", int))
    >>> flow.add_workflow_output("b", flow.add_entity(double, a=once.o0).o0)
    >>> flow(a=3)
    12
    """

    def __init__(self, name: str, failure_policy: WorkflowFailurePolicy | None = None, **options: Any) -> None:
        if not isinstance(name, str) or not name:
            raise DefinitionError(f"an ImperativeWorkflow has a name; got {name!r}")
        self.name = name
        self.short_name = self.__name__ = self.__qualname__ = name.rpartition(".")[2]
        self.fn: Any = None
        self._builder: Builder | None = Builder(name)
        self._inputs: dict[str, Promise] = {}
        self._returned: dict[str, tuple[Any, Any]] = {}
        self.interface = Interface(name, {}, Outputs(None))
        self._configure({**options, "failure_policy": failure_policy})

    def __getstate__(self) -> dict[str, Any]:
        # There is no function that would build it anew where it arrives.
        graph = self.graph
        return {**super().__getstate__(), "_built": graph, "_builder": None, "_inputs": {}, "_returned": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        graph = state.pop("_built")
        super().__setstate__(state)
        self._graph = graph

    @property
    def inputs(self) -> dict[str, Promise]:
        """The promises of the workflow's inputs by name."""
        return dict(self._inputs)

    def _open(self) -> Builder:
        if self._graph is not None or self._builder is None:
            raise GraphError(f"workflow {self.name} has been used: nothing can be added to it any more")
        return self._builder

    def add_workflow_input(self, name: str, python_type: Any) -> Promise:
        """Declare an input; return its promise.

        Raises
        ------
        DefinitionError
            When there is one of that name, or the type cannot be used.
        """
        builder = self._open()
        if name in self._inputs:
            raise DefinitionError(f"workflow {self.name} has an input {name!r} already")
        if not isinstance(name, str) or not name.isidentifier():
            raise DefinitionError(f"workflow {self.name} cannot have an input named {name!r}; names are as in Python")
        try:
            parameters = {**self.interface.parameters, name: Parameter(name, python_type)}
        except TypeError as error:
            raise DefinitionError(f"the type of input {name!r} of {self.name} cannot be used: {error}") from None
        self.interface = Interface(self.name, parameters, self.interface.outputs)
        # How many inputs there are is not known yet: they have negative slots until then.
        promise = self._inputs[name] = Promise(builder, -1 - len(self._inputs), python_type)
        return promise

    def add_entity(self, entity: Entity[..., Any], **inputs: Any) -> NodeHandle:
        """Record a call; return its node.

        Raises
        ------
        DefinitionError, InputError, PromiseError
            As for :func:`~daskflow.nodes.create_node`.
        """
        outer, context.state.builder = context.state.builder, self._open()
        try:
            return create_node(entity, **inputs)
        finally:
            context.state.builder = outer

    def add_task(self, task: Entity[..., Any], **inputs: Any) -> NodeHandle:
        """Record a call of a task, as :meth:`add_entity`."""
        return self.add_entity(task, **inputs)

    def add_subwf(self, sub_wf: Entity[..., Any], **inputs: Any) -> NodeHandle:
        """Record a call of a workflow, as :meth:`add_entity`."""
        return self._add(WORKFLOW, "workflow", sub_wf, inputs)

    def add_launch_plan(self, launch_plan: Entity[..., Any], **inputs: Any) -> NodeHandle:
        """Record a call of a launch plan, as :meth:`add_entity`."""
        return self._add(LAUNCH_PLAN, "launch plan", launch_plan, inputs)

    def _add(self, kind: int, what: str, entity: Any, inputs: dict[str, Any]) -> NodeHandle:
        if getattr(entity, "kind", None) != kind:
            raise DefinitionError(f"{self.name} was given {entity!r} as a {what}; use add_entity for another kind")
        return self.add_entity(entity, **inputs)

    def add_workflow_output(self, output_name: str, p: Any, python_type: Any = None) -> None:
        """Declare an output.

        Parameters
        ----------
        output_name : str
            Its name.
        p
            A promise, or a list or dict of promises.
        python_type : optional
            Its type; a promise has one of its own.

        Raises
        ------
        DefinitionError
            When there is one of that name, or a list or dict comes without its type.
        """
        builder = self._open()
        if output_name in self._returned:
            raise DefinitionError(f"workflow {self.name} has an output {output_name!r} already")
        if python_type is None:
            if not isinstance(p, Promise):
                raise DefinitionError(f"output {output_name!r} of {self.name} needs a python_type, since it is {p!r} and no promise")
            python_type = p._annotation
        builder.bind(p, python_type, f"output {output_name!r} of {self.name}")
        self._returned[output_name] = (p, python_type)
        self.interface = Interface(self.name, self.interface.parameters, self._outputs())

    def _outputs(self) -> Outputs:
        types = [annotation for _, annotation in self._returned.values()]
        if len(types) == 1:
            return Outputs(types[0])
        return Outputs(tuple[tuple(types)], tuple(self._returned))  # type: ignore[misc]

    def add_on_failure_handler(self, entity: Entity[..., Any]) -> None:
        """Say what is executed once the workflow has failed, as `on_failure` of :func:`~daskflow.workflow.workflow` does.

        Raises
        ------
        DefinitionError
            When it does not take the inputs declared so far.
        """
        self._open()
        check_handler(self, entity)
        self.on_failure = entity

    def create_conditional(self, name: str) -> ConditionalSection:
        """Begin a conditional; the branches' calls are those of :func:`~daskflow.nodes.create_node`, or plain calls in ``then(...)``."""
        outer, context.state.builder = context.state.builder, self._open()
        try:
            return conditional(name)
        finally:
            context.state.builder = outer

    def ready(self) -> bool:
        """Tell whether it can be used: it has a node, and no conditional of it lacks its last branch."""
        builder = self._builder
        return self._graph is not None or (builder is not None and bool(builder.nodes) and not builder.open)

    def _build(self) -> Graph:
        builder = self._builder
        assert builder is not None
        if not builder.nodes:
            raise GraphError(f"workflow {self.name} is not ready: it has no node; add one with add_entity")
        if self.on_failure is not None:
            check_handler(self, self.on_failure)
        values = [value for value, _ in self._returned.values()]
        returned = None if not values else values[0] if len(values) == 1 else tuple(values)
        return self._finished(builder.finish(returned, self.interface.outputs).with_inputs(len(self._inputs)))


#: Flyte's name.
Workflow = ImperativeWorkflow
