"""Graphs: the nodes that a traced body made, and the builder that records them.

A graph keeps its values in *slots*: first the inputs of the body, then one for each node, in the order of the
calls. A node can refer only to earlier slots, so that order is a topological one and no cycle can arise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow.caching import CacheOptions, HashMethod
from daskflow.errors import GraphError, InputError, PromiseError
from daskflow.overrides import apply
from daskflow.promise import Promise, Step, holds_promise
from daskflow.types import SCALARS, Mismatch, assignable, describe, item_type, shorten

if TYPE_CHECKING:
    from daskflow.entity import Entity
    from daskflow.taskoptions import TaskOptions

_CONTAINERS = (list, tuple, dict)


class Ref(NamedTuple):
    """A slot and the way into its value: what a promise becomes once its graph is built."""

    slot: int
    path: tuple[Step, ...]


class Node:
    """One call of an entity inside a graph.

    Attributes
    ----------
    slot : int
        Where its output goes.
    entity
        What is called.
    constants : dict
        The inputs whose values are known, checked and converted.
    whole : tuple of (name, slot, checked)
        The inputs that are another slot's whole value; ``checked`` says that it was checked where it was made.
    nested : tuple of (name, binding)
        The inputs that are parts of values, or containers with promises inside.
    deps : tuple of int
        The slots that must have their values before it can start.
    name : str or None
        What the user called it, by an override.
    cache : CacheOptions or None
        How its result is cached, if it is; of a map those of its items.
    hashes : dict or None
        By input, how what gives it wants its value hashed.
    options : TaskOptions or None
        How its attempts run, where an override says otherwise than the entity; of a map those of its items.
    """

    __slots__ = ("cache", "constants", "deps", "entity", "hashes", "name", "nested", "options", "slot", "whole")

    def __init__(
        self,
        slot: int,
        entity: Entity[..., Any],
        constants: dict[str, Any],
        whole: tuple[tuple[str, int, bool], ...] = (),
        nested: tuple[tuple[str, Any], ...] = (),
        name: str | None = None,
    ) -> None:
        self.slot = slot
        self.entity = entity
        self.constants = constants
        self.whole = whole
        self.nested = nested
        self.name = name
        self.cache: CacheOptions | None = entity.cache
        self.hashes: dict[str, HashMethod] | None = None
        self.options: TaskOptions | None = None
        if not whole and not nested:
            self.deps: tuple[int, ...] = ()
        elif len(whole) == 1 and not nested:
            self.deps = (whole[0][1],)
        else:
            slots = {slot for _, slot, _ in whole}
            for _, binding in nested:
                slots.update(slots_of(binding))
            self.deps = tuple(sorted(slots))

    def reduced(self, constants: dict[str, Any], whole: tuple[tuple[str, int, bool], ...]) -> Node:
        """Return the same call, with some constants in slots of their own."""
        node = Node(self.slot, self.entity, constants, whole, self.nested, self.name)
        node.cache, node.hashes, node.options = self.cache, self.hashes, self.options
        return node

    def inputs(self, values: Any) -> dict[str, Any]:
        """Return the node's inputs by name, checked, from the values of its graph's slots.

        Raises
        ------
        InputError
            When a value does not fit.
        """
        whole = self.whole
        if not whole and not self.nested:
            return self.constants.copy()
        kwargs = self.constants.copy() if self.constants else {}
        for name, slot, checked in whole:
            kwargs[name] = values[slot] if checked else self.entity.interface.check_input(name, values[slot])
        for name, binding in self.nested:
            kwargs[name] = self.entity.interface.check_input(name, resolve(binding, values))
        return kwargs

    def __repr__(self) -> str:
        return f"<node {self.entity.short_name} in slot {self.slot}>"


class Graph:
    """The nodes of one traced body.

    Attributes
    ----------
    n_inputs : int
        How many slots hold the body's inputs.
    nodes : list of Node
        In the order of the calls; node ``i`` has slot ``n_inputs + i``.
    output
        What the body returned, with references in the place of promises.
    """

    __slots__ = ("_calls", "_labels", "n_inputs", "nodes", "output", "output_slots")

    def __init__(self, n_inputs: int, nodes: list[Node], output: Any) -> None:
        self.n_inputs = n_inputs
        self.nodes = nodes
        self.output = output
        self.output_slots = tuple(sorted(set(slots_of(output))))
        self._labels: list[str] | None = None
        self._calls: dict[int, dict[Entity[..., Any], int]] = {}

    def label(self, slot: int) -> str:
        """Return a node's name in addresses: numbered where its entity is called more than once."""
        if self._labels is None:
            self._labels = numbered(self.names())
        return self._labels[slot - self.n_inputs]

    def names(self) -> list[str]:
        """Return the nodes' names in addresses, without numbers."""
        return [node.name or node.entity.short_name for node in self.nodes]

    def calls(self, kind: int) -> dict[Entity[..., Any], int]:
        """Return how often each entity of a kind is called."""
        if kind not in self._calls:
            counts = self._calls[kind] = {}
            for node in self.nodes:
                if node.entity.kind == kind:
                    counts[node.entity] = counts.get(node.entity, 0) + 1
        return self._calls[kind]


def numbered(names: list[str]) -> list[str]:
    """Return the names of a graph's nodes in addresses: with a number where there is more than one of a name."""
    total: dict[str, int] = {}
    for name in names:
        total[name] = total.get(name, 0) + 1
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        index = seen[name] = seen.get(name, -1) + 1
        labels.append(name if total[name] == 1 else f"{name}[{index}]")
    return labels


def slots_of(binding: Any) -> Iterator[int]:
    """Yield the slots that a binding refers to."""
    if type(binding) is Ref:
        yield binding.slot
    elif isinstance(binding, dict):
        for value in binding.values():
            yield from slots_of(value)
    elif type(binding) in (list, tuple):
        for value in binding:
            yield from slots_of(value)


def resolve(binding: Any, values: Any) -> Any:
    """Put values in the place of references."""
    kind = type(binding)
    if kind is Ref:
        value = values[binding.slot]
        return follow(value, binding.path) if binding.path else value
    if kind is list:
        return [resolve(one, values) for one in binding]
    if kind is dict:
        return {key: resolve(one, values) for key, one in binding.items()}
    if kind is tuple:
        return tuple(resolve(one, values) for one in binding)
    return binding


def follow(value: Any, path: tuple[Step, ...]) -> Any:
    """Take the way into a value.

    Raises
    ------
    PromiseError
        When the value has no such part.
    """
    for attribute, part in path:
        try:
            value = getattr(value, part) if attribute and not isinstance(value, dict) else value[part]
        except (AttributeError, LookupError, TypeError) as error:
            step = f".{part}" if attribute else f"[{part!r}]"
            raise PromiseError(f"a promise's part {step} does not exist in {shorten(value)}: {type(error).__name__}: {error}") from None
    return value


class Builder:
    """Records the calls made while a body runs.

    Parameters
    ----------
    owner
        The name of the entity whose body it is, for messages.
    inputs
        The declared inputs that are promises in the body: all of a workflow's, none of a dynamic's.
    """

    def __init__(self, owner: str, inputs: dict[str, Any] | None = None) -> None:
        self.owner = owner
        self.nodes: list[Node] = []
        self._hashes: dict[str, HashMethod] = {}
        self._input_names = tuple(inputs or ())
        self.n_inputs = len(self._input_names)
        self._closed = False
        self.promises = {name: Promise(self, slot, annotation) for slot, (name, annotation) in enumerate((inputs or {}).items())}

    def describe_slot(self, slot: int) -> str:
        """Name a slot for messages."""
        if slot < self.n_inputs:
            return f"input {self._input_names[slot]!r} of {self.owner}"
        return f"{self.nodes[slot - self.n_inputs].entity.short_name} in {self.owner}"

    def add(self, entity: Entity[..., Any], bound: dict[str, Any]) -> Any:
        """Record a call; return the promise, or the tuple of promises, of its outputs.

        Raises
        ------
        InputError
            When an input does not fit, as far as can be told now.
        PromiseError
            When a promise of another graph is used.
        """
        entity.check_lengths(bound)
        constants: dict[str, Any] = {}
        whole: list[tuple[str, int, bool]] = []
        nested: list[tuple[str, Any]] = []
        for name, value in bound.items():
            if type(value) is Promise:
                self._bind_promise(entity, name, value, whole, nested)
            elif isinstance(value, _CONTAINERS):
                self._bind_container(entity, name, value, constants, nested)
            else:
                constants[name] = entity.interface.check_input(name, value)
        slot = self.n_inputs + len(self.nodes)
        node = Node(slot, entity, constants, tuple(whole), tuple(nested))
        if self._hashes:
            node.hashes, self._hashes = self._hashes, {}
        self.nodes.append(node)
        return self._outputs(entity, slot)

    def _outputs(self, entity: Entity[..., Any], slot: int) -> Any:
        outputs = entity.interface.outputs
        if not outputs.names:
            return Promise(self, slot, outputs.annotation)
        parts = [Promise(self, slot, annotation, ((False, index),)) for index, annotation in enumerate(outputs.annotations)]
        return promised_outputs(outputs)(*parts)

    def _bind_promise(
        self,
        entity: Entity[..., Any],
        name: str,
        promise: Promise,
        whole: list[tuple[str, int, bool]],
        nested: list[tuple[str, Any]],
    ) -> None:
        target = entity.interface.parameters[name].annotation
        self._check_promise(promise, target, lambda: f"input {name!r} of {entity.name}")
        if (method := HashMethod.of(promise._annotation)) is not None:
            self._hashes[name] = method
        if promise._path:
            nested.append((name, Ref(promise._slot, promise._path)))
        else:
            same = promise._annotation is target and target in SCALARS
            whole.append((name, promise._slot, same))

    def _check_promise(self, promise: Promise, target: Any, where: Any) -> None:
        if promise._builder is not self:
            raise PromiseError(
                f"{promise!r} belongs to another graph and cannot be used for {where()}: a promise lives only in the body that made it"
            )
        if promise._annotation is not target and not assignable(promise._annotation, target):
            gives = f"is {describe(promise._annotation)}" if promise._annotation is not type(None) else "gives nothing"
            raise InputError(f"{where()} is declared {describe(target)}, but {promise!r} {gives}")

    def _bind_container(
        self,
        entity: Entity[..., Any],
        name: str,
        value: Any,
        constants: dict[str, Any],
        nested: list[tuple[str, Any]],
    ) -> None:
        parameter = entity.interface.parameters[name]
        try:
            checked = parameter.check(value)
        except Mismatch as error:
            if not holds_promise(value):
                raise InputError(f"input {name!r} of {entity.name}: {error}") from None
        else:
            # A declared type that checks nothing lets a promise inside through as though it were a value.
            if not (parameter.opaque and holds_promise(value)):
                constants[name] = checked
                return
        nested.append((name, self.bind(value, parameter.annotation, f"input {name!r} of {entity.name}")))

    def bind(self, value: Any, annotation: Any, where: str) -> Any:
        """Turn a structure with promises into one with references, checking their types on the way."""
        if type(value) is Promise:
            self._check_promise(value, annotation, lambda: where)
            return Ref(value._slot, value._path)
        if isinstance(value, list):
            inner = _part(annotation, 0)
            return [self.bind(one, inner, f"{where}[{index}]") for index, one in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.bind(one, _part(annotation, key), f"{where}[{key!r}]") for key, one in value.items()}
        if isinstance(value, tuple):
            return tuple(self.bind(one, Any, f"{where}[{index}]") for index, one in enumerate(value))
        return value

    def override(self, slot: int, overrides: dict[str, Any]) -> None:
        """Change options of a recorded call."""
        if slot < self.n_inputs:
            raise GraphError(f"{self.describe_slot(slot)} is not a call: with_overrides belongs to calls")
        apply(self.nodes[slot - self.n_inputs], overrides)

    def finish(self, returned: Any, outputs: Any) -> Graph:
        """Close the graph with what the body returned.

        Raises
        ------
        OutputError, PromiseError, InputError
            When that does not fit the declared outputs, as far as can be told now.
        """
        where = f"the output of {self.owner}"
        if outputs.names and isinstance(returned, tuple) and len(returned) == len(outputs.names):
            output: Any = tuple(
                self.bind(one, annotation, f"output {name!r} of {self.owner}")
                for one, name, annotation in zip(returned, outputs.names, outputs.annotations, strict=True)
            )
        else:
            output = self.bind(returned, outputs.annotation, where)
        if not any(True for _ in slots_of(output)):
            outputs.check(output, self.owner)
        return Graph(self.n_inputs, self.nodes, output)


def _part(annotation: Any, part: Any) -> Any:
    try:
        return item_type(annotation, part)
    except TypeError:
        return Any


_promised: dict[Any, Any] = {}


def promised_outputs(outputs: Any) -> Any:
    """Return the tuple class that holds the promises of several outputs: it unpacks, has the names, and takes overrides."""
    import collections

    key = outputs.factory or outputs.names
    if key not in _promised:
        base = outputs.factory or collections.namedtuple("Outputs", outputs.names)  # noqa: PYI024

        def with_overrides(self: Any, **overrides: Any) -> Any:
            self[0].with_overrides(**overrides)
            return self

        _promised[key] = type(base.__name__, (base,), {"with_overrides": with_overrides})
    return _promised[key]
