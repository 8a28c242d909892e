"""``create_node``: a call whose node is in the hand, so that it can be ordered, named and asked for its outputs."""

from __future__ import annotations

from typing import Any

from daskflow import context
from daskflow.entity import Entity
from daskflow.errors import DefinitionError, GraphError, InputError
from daskflow.promise import Promise


class NodeHandle:
    """A call inside a graph. Made by :func:`create_node`.

    Each output is an attribute: ``o0``, ``o1`` and so on, or the names that the entity gives them.

    Attributes
    ----------
    outputs : dict
        The promises of the outputs by name; empty for what gives nothing.
    """

    def __init__(self, entity: Entity[..., Any], made: Any) -> None:
        self._entity = entity
        self._made = made
        self._promise: Promise = made[0] if isinstance(made, tuple) else made
        self.outputs: dict[str, Promise] = _outputs(entity, made)

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.outputs[name]
        except KeyError:
            given = ", ".join(self.outputs) or "none"
            raise AttributeError(f"the node of {self._entity.name} has no output {name!r}; its outputs: {given}") from None

    def __rshift__(self, other: Any) -> Any:
        return self._promise.__rshift__(other)

    def runs_before(self, other: Any) -> None:
        """Have another call wait for this one."""
        self._promise.__rshift__(other)

    def with_overrides(self, **overrides: Any) -> NodeHandle:
        """Change options of the call; see :mod:`daskflow.overrides` for the keys."""
        self._made.with_overrides(**overrides)
        return self

    def __repr__(self) -> str:
        return f"<node of {self._entity.name}>"


def _outputs(entity: Entity[..., Any], made: Any) -> dict[str, Promise]:
    outputs = entity.interface.outputs
    if outputs.names:
        return dict(zip(outputs.names, made, strict=True))
    return {} if outputs.annotation is type(None) else {"o0": made}


def create_node(entity: Entity[..., Any], *args: Any, **inputs: Any) -> NodeHandle:
    """Call an entity in a workflow's or dynamic's body, and return the node instead of its promise.

    Parameters
    ----------
    entity
        What to call.
    **inputs
        Its inputs, by name.

    Raises
    ------
    GraphError
        Outside such a body.
    InputError
        When the inputs do not fit, or are given by position.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def prepare() -> None: ...
    >>> @task
    ... def count() -> int:
    ...     return 3
    >>> @workflow
    ... def in_order() -> int:
    ...     first, then = create_node(prepare), create_node(count)
    ...     first >> then
    ...     return then.o0
    >>> in_order()
    3
    """
    if not isinstance(entity, Entity):
        raise DefinitionError(f"create_node takes a task, workflow, dynamic, launch plan or map, not {entity!r}; decorate it")
    if args:
        raise InputError(f"create_node takes the inputs of {entity.name} by name: {entity.interface.signature() or 'it has none'}")
    if context.state.builder is None:
        raise GraphError(f"create_node({entity.name}) outside a @workflow's or @dynamic's body; call {entity.short_name}(...) instead")
    return NodeHandle(entity, entity(**inputs))
