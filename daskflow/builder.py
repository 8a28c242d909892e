"""The builder: records the calls that a body makes, and makes a graph of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskflow.caching import HashMethod
from daskflow.errors import GraphError, InputError, OutputError, PromiseError
from daskflow.graph import Graph, Node, Ref, like, moved
from daskflow.overrides import apply
from daskflow.promise import Promise, hides_promise, holds_promise
from daskflow.types import SCALARS, Checker, Mismatch, assignable, describe, hint, item_type, key_type, without_none

if TYPE_CHECKING:
    from daskflow.entity import Entity

_CONTAINERS = (list, tuple, dict)
_PLAIN = SCALARS | {float}


class Builder:
    """Records the calls made while a body runs.

    Parameters
    ----------
    owner
        The name of the entity whose body it is, for messages.
    inputs
        The declared inputs that are promises in the body: all of a workflow's, none of a dynamic's.
    """

    #: Whether calls give something to await, and not promises.
    awaits = False

    def __init__(self, owner: str, inputs: dict[str, Any] | None = None) -> None:
        self.owner = owner
        self.nodes: list[Node] = []
        self._hashes: dict[str, HashMethod] = {}
        self._input_names = tuple(inputs or ())
        self.n_inputs = len(self._input_names)
        self._order: dict[int, set[int]] = {}
        #: What is open: a conditional without its last branch.
        self.open: list[Any] = []
        self.promises = {name: Promise(self, slot, annotation) for slot, (name, annotation) in enumerate((inputs or {}).items())}

    def describe_slot(self, slot: int) -> str:
        """Name a slot for messages."""
        if slot < 0:
            return f"an input of {self.owner}"
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
        mutable = False
        constants: dict[str, Any] = {}
        whole: list[tuple[str, int, bool]] = []
        nested: list[tuple[str, Any]] = []
        for name, value in bound.items():
            if type(value) is Promise:
                self._bind_promise(entity, name, value, whole, nested)
            elif isinstance(value, _CONTAINERS):
                mutable = True
                self._bind_container(entity, name, value, constants, nested)
            else:
                constants[name] = entity.interface.check_input(name, value)
                if type(value) not in _PLAIN:
                    mutable = True
                    self._check_object(entity, name, value)
        slot = self.n_inputs + len(self.nodes)
        node = Node(slot, entity, constants, tuple(whole), tuple(nested))
        if mutable:
            node.copy_mutable()
        if self._hashes:
            node.hashes, self._hashes = self._hashes, {}
        self.nodes.append(node)
        return self._outputs(entity, slot)

    def _check_object(self, entity: Entity[..., Any], name: str, value: Any) -> None:
        if entity.interface.parameters[name].opaque:
            self._refuse_hidden(value, f"input {name!r} of {entity.name}")

    def _outputs(self, entity: Entity[..., Any], slot: int) -> Any:
        outputs = entity.interface.outputs
        if not outputs.names:
            return Promise(self, slot, outputs.annotation)
        parts = [Promise(self, slot, annotation, ((False, index),)) for index, annotation in enumerate(outputs.annotations)]
        return promised_outputs(outputs)(*parts)

    def order(self, first: int, then: int) -> None:
        """Have a call wait for another one, whose value it does not need.

        Raises
        ------
        GraphError
            When the other one waits for it already, or either is an input and no call.
        """
        for slot in (first, then):
            if not self._is_call(slot):
                raise GraphError(f"{self.describe_slot(slot)} is not a call: only calls are ordered with >>")
        self._order.setdefault(then, set()).add(first)
        way = self._way(first, then)
        if way:
            names = " >> ".join(self.describe_slot(slot) for slot in (*way, way[0]))
            raise GraphError(f"the calls of {self.owner} wait for each other in a circle: {names}")

    def _is_call(self, slot: int) -> bool:
        return slot >= self.n_inputs

    def _before(self, slot: int) -> set[int]:
        """Return the calls that a call waits for."""
        deps = self.nodes[slot - self.n_inputs].deps
        return {dep for dep in deps if self._is_call(dep)} | self._order.get(slot, set())

    def _way(self, first: int, then: int) -> list[int]:
        """Return a way on which one call waits for another one, through the calls between them; nothing where it does not."""
        ways: dict[int, int | None] = {first: None}
        left = [first]
        while left and then not in ways:
            slot = left.pop()
            for before in self._before(slot) - ways.keys():
                ways[before] = slot
                left.append(before)
        way, at = [], then if then in ways else None
        while at is not None:
            way.append(at)
            at = ways[at]
        return way

    def _bind_promise(
        self,
        entity: Entity[..., Any],
        name: str,
        promise: Promise,
        whole: list[tuple[str, int, bool]],
        nested: list[tuple[str, Any]],
    ) -> None:
        target = entity.interface.parameters[name].annotation
        promise = self.own(promise)
        self._check_given(promise, target, lambda: f"input {name!r} of {entity.name}")
        if (method := HashMethod.of(promise._annotation)) is not None:
            self._hashes[name] = method
        if promise._path:
            nested.append((name, Ref(promise._slot, promise._path)))
        else:
            same = promise._annotation is target and target in SCALARS
            whole.append((name, promise._slot, same))

    def own(self, promise: Promise) -> Promise:
        """Return a promise as one of this graph's; what builds a part of a graph takes promises of the whole as well.

        Raises
        ------
        PromiseError
            When it is of another graph.
        """
        if promise._builder is not self:
            raise PromiseError(
                f"{promise!r} belongs to another graph and cannot be used in {self.owner}: a promise lives only in the body that made it"
            )
        return promise

    def _check_promise(self, promise: Promise, target: Any, where: Any) -> None:
        if promise._annotation is not target and not assignable(promise._annotation, target):
            gives = f"is {describe(promise._annotation)}" if promise._annotation is not type(None) else "gives nothing"
            raise InputError(f"{where()} is declared {describe(target)}, but {promise!r} {gives}{hint(promise._annotation, target)}")

    def _check_given(self, promise: Promise, target: Any, where: Any) -> None:
        """Refuse a promise as an input: that of a call that gives nothing also where ``None`` would be accepted."""
        nothing = promise._annotation is type(None) and target is not type(None) and self._is_call(promise._slot)
        if nothing and assignable(type(None), target):
            raise InputError(f"{where()} is given {promise!r}, which gives nothing; leave it out, and order the two calls with >>")
        self._check_promise(promise, target, where)

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
                raise InputError(f"input {name!r} of {entity.name}: {error.of(name)}") from None
        else:
            # A declared type that checks nothing lets a promise inside through as though it were a value.
            if not (parameter.opaque and holds_promise(value)):
                if parameter.opaque:
                    self._refuse_hidden(value, f"input {name!r} of {entity.name}")
                constants[name] = checked
                return
        nested.append((name, self.bind(value, parameter.annotation, f"input {name!r} of {entity.name}")))

    def bind(self, value: Any, annotation: Any, where: str, error: type[Exception] = InputError) -> Any:
        """Turn a structure with promises into one with references, checking it on the way; what is wrong with values is such an error."""
        if type(value) is Promise:
            value = self.own(value)
            self._check_promise(value, annotation, lambda: where)
            return Ref(value._slot, value._path)
        if not isinstance(value, _CONTAINERS):
            return self._constant(value, annotation, where, error)
        _check_container(value, annotation, where, error)
        if isinstance(value, dict):
            if type(value) is not dict and not holds_promise(value):
                # A defaultdict, say, has more than its items.
                return self._constant(value, annotation, where, error)
            return {
                key: self.bind(one, self._of_key(annotation, key, where, error), f"{where}[{key!r}]", error) for key, one in value.items()
            }
        if isinstance(value, list):
            inner = _part(annotation, 0)
            return [self.bind(one, inner, f"{where}[{index}]", error) for index, one in enumerate(value)]
        return like(value, [self.bind(one, _part(annotation, index), f"{where}[{index}]", error) for index, one in enumerate(value)])

    def _constant(self, value: Any, annotation: Any, where: str, error: type[Exception]) -> Any:
        try:
            Checker(annotation).check(value)
        except Mismatch as wrong:
            raise error(f"{where}: {wrong}") from None
        if type(value) not in SCALARS:
            self._refuse_hidden(value, where)
        return value

    def _of_key(self, annotation: Any, key: Any, where: str, error: type[Exception]) -> Any:
        self._refuse_hidden({key: None}, where)
        try:
            return key_type(annotation, key)
        except TypeError as wrong:
            raise error(f"{where}: {wrong}") from None

    def _refuse_hidden(self, value: Any, where: str) -> None:
        if hides_promise(value):
            raise PromiseError(
                f"{where} has a promise inside a {type(value).__qualname__}, where no value can take its place: promises stand alone, "
                "or in lists, tuples and values of dicts; make the rest in a @task that takes it as an input"
            )

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
        GraphError
            When a conditional has no last branch.
        """
        if self.open:
            raise GraphError(f"{self.open[0]!r} in {self.owner} has no end; end it with .else_().then(...) or .else_().fail(...)")
        where = f"the output of {self.owner}"
        if not holds_promise(returned):
            self._refuse_hidden(returned, where)
            outputs.check(returned, self.owner)
            output: Any = returned
        elif outputs.names and isinstance(returned, tuple):
            if len(returned) != len(outputs.names):
                outputs.check(returned, self.owner)
            output = tuple(
                self.bind(one, annotation, f"output {name!r} of {self.owner}", OutputError)
                for one, name, annotation in zip(returned, outputs.names, outputs.annotations, strict=True)
            )
        else:
            output = self.bind(returned, outputs.annotation, where, OutputError)
        return self._ordered(output)

    def _ordered(self, output: Any) -> Graph:
        """Return the graph, with nodes in another order than that of the calls where some wait for later ones."""
        for then, firsts in self._order.items():
            self.nodes[then - self.n_inputs].wait_for(firsts)
        if all(dep < node.slot for node in self.nodes for dep in node.deps):
            return Graph(self.n_inputs, self.nodes, output)
        order = self._sorted()
        places = {slot: place for place, slot in enumerate([*range(self.n_inputs), *order])}
        labels = Graph(self.n_inputs, self.nodes, None)
        nodes = [self.nodes[slot - self.n_inputs].moved(places) for slot in order]
        graph = Graph(self.n_inputs, nodes, moved(output, places))
        graph.relabel([labels.label(slot) for slot in order])
        return graph

    def _sorted(self) -> list[int]:
        """Return the calls' slots in an order in which they can be executed, as near to that of the calls as can be."""
        done: set[int] = set()
        order: list[int] = []
        for node in self.nodes:
            left = [node.slot]
            while left:
                slot = left[-1]
                before = sorted(self._before(slot) - done)
                if before:
                    left.append(before[0])
                    continue
                left.pop()
                if slot not in done:
                    done.add(slot)
                    order.append(slot)
        return order


def _part(annotation: Any, part: Any) -> Any:
    try:
        return item_type(without_none(annotation), part)
    except TypeError:
        return Any


def _check_container(value: Any, annotation: Any, where: str, error: type[Exception]) -> None:
    """Refuse a container with promises where none of its kind is declared."""
    several = getattr(type(value), "_of_values", None)
    if several is not None and not assignable(type(value).annotation, annotation):
        names = ", ".join(value._fields)
        raise error(f"{where} is declared {describe(annotation)}, but is given all outputs of a call ({names}); take one, by name or index")
    kind: Any = tuple[(Any,) * len(value)] if type(value) is tuple else type(value)  # type: ignore[misc]
    if several is None and not assignable(kind, annotation):
        raise error(f"{where} is declared {describe(annotation)}, but is given a {type(value).__qualname__}")


_promised: dict[Any, Any] = {}


def promised_outputs(outputs: Any) -> Any:
    """Return the tuple class that holds the promises of several outputs: it unpacks, has the names, and takes overrides."""
    import collections

    key = outputs.factory or (outputs.names, outputs.annotation)
    if key not in _promised:
        base = outputs.factory or collections.namedtuple("Outputs", outputs.names)  # noqa: PYI024

        def with_overrides(self: Any, **overrides: Any) -> Any:
            self[0].with_overrides(**overrides)
            return self

        def before(self: Any, other: Any) -> Any:
            return self[0] >> other

        own = {"with_overrides": with_overrides, "__rshift__": before, "annotation": outputs.annotation}
        own["_of_values"] = outputs.factory or tuple
        _promised[key] = type(base.__name__, (base,), own)
    return _promised[key]
