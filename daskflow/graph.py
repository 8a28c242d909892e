"""Graphs: the nodes that a traced body made.

A graph keeps its values in *slots*: first the inputs of the body, then one for each node. A node refers only to earlier slots, so
their order is a topological one. It is that of the calls, unless the user orders a node after one that is called later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from daskflow.caching import CacheOptions, HashMethod
from daskflow.errors import NodeError, PromiseError
from daskflow.interface import MUTABLE
from daskflow.promise import Step
from daskflow.shortform import error_text
from daskflow.types import shorten

if TYPE_CHECKING:
    from daskflow.entity import Entity
    from daskflow.taskoptions import TaskOptions


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
    after : tuple of int
        The slots that must have their values before it can start, for no other reason than that the user said so.
    deps : tuple of int
        All slots that must have their values before it can start.
    name : str or None
        What the user called it, by an override.
    cache : CacheOptions or None
        How its result is cached, if it is; of a map those of its items.
    hashes : dict or None
        By input, how what gives it wants its value hashed.
    options : TaskOptions or None
        How its attempts run, where an override says otherwise than the entity; of a map those of its items.
    fresh : tuple of str
        The constants of which each execution gets a copy, since it may change them.
    drops : tuple of int
        The slots whose values nobody needs any more when this begins, where the nodes before it are done.
    """

    __slots__ = ("after", "cache", "constants", "deps", "drops", "entity", "fresh", "hashes", "name", "nested", "options", "slot", "whole")

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
        self.after: tuple[int, ...] = ()
        self.options: TaskOptions | None = None
        self.fresh: tuple[str, ...] = ()
        self.drops: tuple[int, ...] = ()
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
        return self._alike(Node(self.slot, self.entity, constants, whole, self.nested, self.name), self.after)

    def copy_mutable(self) -> None:
        """Give each execution copies of the constants that it may change."""
        self.fresh = tuple(name for name, value in self.constants.items() if type(value) in MUTABLE)

    def _alike(self, node: Node, after: tuple[int, ...]) -> Node:
        node.cache, node.hashes, node.options = self.cache, self.hashes, self.options
        if self.fresh:
            node.copy_mutable()
        if after:
            node.wait_for(after)
        return node

    def wait_for(self, slots: Iterable[int]) -> None:
        """Have the node wait for others, whose values it does not need."""
        self.after = tuple(sorted({*self.after, *slots}))
        self.deps = tuple(sorted({*self.deps, *self.after}))

    def moved(self, places: Mapping[int, int]) -> Node:
        """Return the same call in a graph some of whose slots have other numbers."""
        whole = tuple((name, places.get(slot, slot), checked) for name, slot, checked in self.whole)
        nested = tuple((name, moved(binding, places)) for name, binding in self.nested)
        node = Node(places[self.slot], self.entity, self.constants, whole, nested, self.name)
        return self._alike(node, tuple(places.get(slot, slot) for slot in self.after))

    def told(self, error: BaseException, failed_at: str) -> Node:
        """Return the call of what is executed on a failure, with the failure among its inputs if it takes one."""
        if "err" not in self.entity.interface.parameters:
            return self
        told = NodeError(f"{type(error).__name__}: {error_text(error)}", failed_at)
        return self.reduced({**self.constants, "err": told}, self.whole)

    def inputs(self, values: Any) -> dict[str, Any]:
        """Return the node's inputs by name, checked, from the values of its graph's slots.

        Raises
        ------
        InputError
            When a value does not fit.
        """
        whole = self.whole
        kwargs = self.constants.copy()
        for name in self.fresh:
            kwargs[name] = kwargs[name].copy()
        if not whole and not self.nested:
            return kwargs
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
        In an order in which they can be executed, which is that of the calls where it can be; node ``i`` has slot ``n_inputs + i``.
    output
        What the body returned, with references in the place of promises.
    handler : Node or None
        What is executed once the body has failed; its slot comes after all others.
    """

    #: A node is told from the others by its slot.
    places: ClassVar[None] = None

    __slots__ = ("_calls", "_labels", "handler", "in_order", "n_inputs", "nodes", "output", "output_slots")

    def __init__(self, n_inputs: int, nodes: list[Node], output: Any) -> None:
        self.n_inputs = n_inputs
        self.nodes = nodes
        self.output = output
        self.output_slots = tuple(sorted(set(slots_of(output))))
        _note_drops(nodes, n_inputs, self.output_slots)
        self.handler: Node | None = None
        #: Whether the nodes are in the order of their calls, by which they are numbered in addresses.
        self.in_order = True
        self._labels: list[str] | None = None
        self._calls: dict[int, dict[Entity[..., Any], int]] = {}

    def with_inputs(self, count: int) -> Graph:
        """Return the graph with so many inputs, which had the slots -1, -2 and so on as long as it was not known how many there are."""
        places = {-1 - index: index for index in range(count)} | {node.slot: count + node.slot for node in self.nodes}
        graph = Graph(count, [node.moved(places) for node in self.nodes], moved(self.output, places))
        if not self.in_order:
            graph.relabel([self.label(node.slot) for node in self.nodes])
        return graph

    def relabel(self, labels: list[str]) -> None:
        """Give the nodes their names in addresses, since they are not in the order of the calls."""
        self._labels, self.in_order = labels, False

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


#: What may as well stay as long as the body: letting go of it would take longer than a tenth of executing a node.
_SMALL = (int, float, bool, complex, type(None))


def _note_drops(nodes: list[Node], n_inputs: int, kept: tuple[int, ...]) -> None:
    """Note with each node which values the one before it was the last to need, where they may be large.

    The body's inputs whoever called it has anyway.
    """
    needed = set(kept)
    after: Node | None = None
    gone: tuple[int, ...]
    for node in reversed(nodes):
        deps, gone = node.deps, ()
        if node.slot not in needed or not needed.issuperset(deps):
            gone = tuple(
                slot for slot in (node.slot, *deps) if slot >= n_inputs and slot not in needed and _is_large(nodes[slot - n_inputs])
            )
        if after is not None:
            after.drops = gone
        needed.update(deps)
        after = node


def _is_large(node: Node) -> bool:
    return node.entity.interface.outputs.annotation not in _SMALL


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
    elif isinstance(binding, (list, tuple)):
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
    if isinstance(binding, tuple):
        return like(binding, [resolve(one, values) for one in binding])
    return binding


def moved(binding: Any, places: Mapping[int, int]) -> Any:
    """Return a binding with other numbers for some of the slots that it refers to."""
    kind = type(binding)
    if kind is Ref:
        return Ref(places.get(binding.slot, binding.slot), binding.path)
    if kind is list:
        return [moved(one, places) for one in binding]
    if kind is dict:
        return {key: moved(one, places) for key, one in binding.items()}
    if isinstance(binding, tuple):
        return like(binding, [moved(one, places) for one in binding])
    return binding


def like(value: tuple[Any, ...], items: list[Any]) -> tuple[Any, ...]:
    """Return a tuple of other items, of the same class; for a call's promised outputs, of the class that the outputs will have."""
    kind: Any = getattr(value, "_of_values", type(value))
    made: tuple[Any, ...] = kind._make(items) if hasattr(kind, "_make") else tuple(items)
    return made


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
