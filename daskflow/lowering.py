"""Lowering: an entity as an ordinary ``dask.delayed`` graph, for any Dask scheduler and for ``dask.visualize``.

One Dask task for each node. Workflows and launch plans are replaced by their nodes; a map whose lists are known becomes a
task for each item. What a dynamic does is known only when it runs, so it is one task that executes its subtree; so is what goes on
when a part of it fails. Limits belong to runs, and plain Dask has none: they have no effect here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from daskflow import shipping
from daskflow.entity import LAUNCH_PLAN, MAP, WORKFLOW, Entity
from daskflow.execute import Execution
from daskflow.graph import Graph, Node, Ref, follow, like
from daskflow.launchplan import enter_static, top_level
from daskflow.scope import Scope
from daskflow.stacks import root_frame
from daskflow.types import SCALARS


class _Checked(NamedTuple):
    """A value that an input, or the output where `name` is None, of an entity checks and converts."""

    entity: Entity[..., Any]
    name: str | None
    value: Any


class _Follow(NamedTuple):
    """A part of a value that is not another task's."""

    value: Any
    path: tuple[Any, ...]


class _Call:
    """What one Dask task of a lowered graph does: evaluate its inputs from other tasks' values, and execute one node."""

    def __init__(self, entity: Entity[..., Any] | None, inputs: Any, scope: Scope | None, label: str = "") -> None:
        self.entity = entity
        self.inputs = inputs
        self.scope = scope
        self.label = label

    def __call__(self, *values: Any) -> Any:
        inputs = _evaluate(self.inputs, values)
        if self.entity is None:
            return inputs
        assert self.scope is not None
        checked = self.entity.interface.check_inputs(inputs)
        return Execution(root_frame(self.entity, checked, self.scope, self.label)).run()

    def __reduce__(self) -> tuple[Any, ...]:
        # A user's code travels by value, as it does with units.
        return _call, (shipping.dumps_by_value((self.entity, self.inputs, self.scope, self.label)),)


def _call(data: bytes) -> _Call:
    return _Call(*shipping.loads(data))


def _apply(call: _Call, *values: Any) -> Any:
    return call(*values)


def _evaluate(expression: Any, values: tuple[Any, ...]) -> Any:
    kind = type(expression)
    if kind is Ref:
        return follow(values[expression.slot], expression.path)
    if kind is _Follow:
        return follow(_evaluate(expression.value, values), expression.path)
    if kind is _Checked:
        return _check(expression, _evaluate(expression.value, values))
    if kind is list:
        return [_evaluate(one, values) for one in expression]
    if kind is dict:
        return {key: _evaluate(one, values) for key, one in expression.items()}
    if isinstance(expression, tuple):
        return like(expression, [_evaluate(one, values) for one in expression])
    return expression


def _check(checked: _Checked, value: Any) -> Any:
    interface = checked.entity.interface
    if checked.name is None:
        return interface.outputs.check(value, checked.entity.name)
    return interface.check_input(checked.name, value)


def _refs(expression: Any) -> Iterable[int]:
    kind = type(expression)
    if kind is Ref:
        yield expression.slot
    elif kind in (_Follow, _Checked):
        yield from _refs(expression.value)
    elif kind is dict:
        yield from _refs(list(expression.values()))
    elif isinstance(expression, (list, tuple)):
        for one in expression:
            yield from _refs(one)


class _Lowering:
    """The Dask tasks made so far; expressions refer to them by number."""

    def __init__(self) -> None:
        self.tasks: list[Any] = []
        self.read: set[int] = set()

    def node(self, entity: Any, inputs: dict[str, Any], scope: Scope, label: str, part: object, after: Sequence[Any] = ()) -> Any:
        """Lower one call, which waits for what the expressions of `after` are made of; return the expression of its output."""
        if entity.kind in (WORKFLOW, LAUNCH_PLAN) and entity.handler is None and not entity.keep_going:
            inner = scope.child_run(label, part, None) if entity.kind == LAUNCH_PLAN else scope.inner(label, part)
            return self.graph(entity, inputs, inner, after)
        if entity.kind == MAP and entity.tolerance.allowed(1) is None and (split := _known_split(entity, inputs)) is not None:
            return self.items(entity, split, scope.inner(label, part), after)
        call = _Call(entity, inputs, scope, label)
        return Ref(self.task(call, entity.short_name, [inputs, *after]), ())

    def graph(self, entity: Any, inputs: dict[str, Any], scope: Scope, after: Sequence[Any] = ()) -> Any:
        """Lower the nodes of a workflow or launch plan."""
        graph, values = enter_static(entity, {name: _checked(entity, name, value) for name, value in inputs.items()})
        for node in graph.nodes:
            bound = {**node.constants, **{name: _symbolic(binding, values) for name, binding in _bindings(node)}}
            waits = [*after, *(values[slot] for slot in node.after)]
            values.append(self.node(node.entity, bound, scope, graph.label(node.slot), node.slot, waits))
        output = _symbolic(graph.output, values)
        return output if _needs_no_check(entity, graph) else _Checked(entity, None, output)

    def items(self, entity: Any, split: tuple[int, dict[str, Any], dict[str, Any]], scope: Scope, after: Sequence[Any]) -> Any:
        """Lower each item of a map."""
        length, lists, shared = split
        each = [{**{name: items[index] for name, items in lists.items()}, **shared} for index in range(length)]
        return [self.node(entity.target, one, scope._replace(item=index), f"[{index}]", index, after) for index, one in enumerate(each)]

    def task(self, call: _Call, name: str, expression: Any) -> int:
        """Make a Dask task; return its number."""
        from dask.delayed import delayed

        used = sorted(set(_refs(expression)))
        places = {number: place for place, number in enumerate(used)}
        call.inputs = _renumbered(call.inputs, places)
        self.read.update(used)
        key = f"{name}-{secrets.token_hex(16)}"
        apply: Any = delayed(_apply, pure=False, traverse=False)
        self.tasks.append(apply(call, *(self.tasks[number] for number in used), dask_key_name=key))
        return len(self.tasks) - 1

    def result(self, output: Any, name: str) -> Any:
        """Return the Delayed of the whole; what nobody reads must have run as well."""
        unread = [number for number in range(len(self.tasks)) if number not in self.read]
        if type(output) is Ref and not output.path and set(unread) <= {output.slot}:
            return self.tasks[output.slot]
        everything = (output, [Ref(number, ()) for number in unread])
        number = self.task(_Call(None, _First(everything), None), f"{name}-result", everything)
        return self.tasks[number]


class _First(NamedTuple):
    """The first of several expressions; the others are evaluated for their tasks' sake."""

    expressions: tuple[Any, ...]


def _renumbered(expression: Any, places: dict[int, int]) -> Any:
    kind = type(expression)
    if kind is Ref:
        return Ref(places[expression.slot], expression.path)
    if kind is _First:
        return _renumbered(expression.expressions[0], places)
    if kind in (_Follow, _Checked):
        return expression._replace(value=_renumbered(expression.value, places))
    if kind is list:
        return [_renumbered(one, places) for one in expression]
    if kind is dict:
        return {key: _renumbered(one, places) for key, one in expression.items()}
    if isinstance(expression, tuple):
        return like(expression, [_renumbered(one, places) for one in expression])
    return expression


def _bindings(node: Node) -> Iterable[tuple[str, Any]]:
    for name, slot, _ in node.whole:
        yield name, Ref(slot, ())
    yield from node.nested


def _symbolic(binding: Any, values: list[Any]) -> Any:
    """Put expressions in the place of a graph's own references."""
    kind = type(binding)
    if kind is Ref:
        return _followed(values[binding.slot], binding.path)
    if kind is list:
        return [_symbolic(one, values) for one in binding]
    if kind is dict:
        return {key: _symbolic(one, values) for key, one in binding.items()}
    if isinstance(binding, tuple):
        return like(binding, [_symbolic(one, values) for one in binding])
    return binding


def _followed(expression: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return expression
    return Ref(expression.slot, (*expression.path, *path)) if type(expression) is Ref else _Follow(expression, path)


def _checked(entity: Entity[..., Any], name: str, value: Any) -> Any:
    """Let a workflow's input check a value that is not known yet; where nodes check it themselves, that is enough."""
    if not any(True for _ in _refs(value)) or type(value) is list:
        return value
    return value if entity.interface.parameters[name].annotation in SCALARS else _Checked(entity, name, value)


def _needs_no_check(entity: Any, graph: Graph) -> bool:
    outputs = entity.interface.outputs
    output = graph.output
    if type(output) is not Ref or output.path or output.slot < graph.n_inputs:
        return False
    made = graph.nodes[output.slot - graph.n_inputs].entity.interface.outputs
    return bool(made.annotation == outputs.annotation and outputs.factory is None)


def _known_split(entity: Any, inputs: dict[str, Any]) -> Any:
    given = {name: value for name, value in inputs.items() if name not in entity.bound and value is not None}
    if not given or not all(type(value) is list for value in given.values()):
        return None
    return entity.split(inputs)


def to_delayed(entity: Entity[..., Any], inputs: dict[str, Any]) -> Any:
    """Lower an entity with its inputs, checked and complete; see :meth:`~daskflow.entity.Entity.to_delayed`."""
    checked = entity.interface.check_inputs(inputs)
    entity.prepare()
    entity, checked = top_level(entity, checked)
    lowering = _Lowering()
    scope = Scope.of_run("delayed", 0)
    if entity.kind == WORKFLOW and entity.handler is None and not entity.keep_going:
        output = lowering.graph(entity, checked, scope)
    else:
        output = lowering.node(entity, checked, scope, entity.short_name, 0)
    return lowering.result(output, entity.short_name)
