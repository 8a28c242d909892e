"""``map_task``: one entity over lists of inputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Optional, Union

from daskflow import infrastructure
from daskflow.entity import MAP, Entity
from daskflow.errors import DefinitionError, InputError, OptionError
from daskflow.interface import MUTABLE, Outputs, Parameter
from daskflow.options import check_limit, refuse_unknown
from daskflow.promise import holds_promise
from daskflow.taskoptions import TaskOptions


class Tolerance(NamedTuple):
    """How many items of a map may fail, and what stands in their places then.

    Attributes
    ----------
    min_successes : int or None
        How many must succeed.
    min_success_ratio : float
        What part of all must succeed, where their number is not given; 1 for all.
    return_exceptions : bool
        Whether every item may fail, and its exception is its result.
    """

    min_successes: int | None = None
    min_success_ratio: float = 1.0
    return_exceptions: bool = False

    def allowed(self, items: int) -> int | None:
        """Return how many of so many items may fail; ``None`` where the first failure is the map's.

        Examples
        --------
        >>> Tolerance(min_success_ratio=0.75).allowed(10), Tolerance(min_successes=4).allowed(3)
        (2, -1)
        """
        if self.return_exceptions:
            return items
        if self.min_successes is not None:
            return items - self.min_successes
        return items - math.ceil(self.min_success_ratio * items) if self.min_success_ratio < 1 else None

    def annotation(self, result: Any) -> Any:
        """Return the declared type of one item's result."""
        if self.return_exceptions:
            return result | BaseException if _unites(result) else Union[result, BaseException]  # noqa: UP007
        if self.min_successes is None and self.min_success_ratio == 1:
            return result
        return Optional[result]  # noqa: UP045


def _unites(result: Any) -> bool:
    return isinstance(result, type)


class MapTask(Entity[..., Any]):
    """An entity called once for each item of its lists. Made by :func:`map_task`.

    Attributes
    ----------
    target
        What is called for each item.
    bound : dict
        Inputs that are the same for all items, with the values that they have unless a call gives others.
    named : frozenset of str
        Inputs that are the same for all items, and that each call gives.
    concurrency : int or None
        How many items may execute at the same moment.
    tolerance : Tolerance
        How many items may fail.
    """

    kind = MAP
    kind_name = "map"

    def __init__(
        self,
        target: Any,
        bound: dict[str, Any],
        concurrency: int | None,
        named: frozenset[str] = frozenset(),
        tolerance: Tolerance = Tolerance(),  # noqa: B008
    ) -> None:
        self.target: Entity[..., Any] = target
        self.bound = bound
        self.named = named
        self.tolerance = tolerance
        self.cache, self.options = target.cache, target.options
        self.name = f"map of {target.name}"
        self.short_name = target.short_name
        # Flyte's 0 says no limit of the map's own, as does saying nothing.
        self.concurrency = check_limit(concurrency, "concurrency", self.name, zero=True) or None
        own = target.interface
        if own.outputs.several:
            raise DefinitionError(
                f"{target.name} has several outputs ({', '.join(own.outputs.names)}); what is mapped has one: return a dataclass or a list"
            )
        parameters = {name: self._parameter(one) for name, one in own.parameters.items()}
        self.interface = own.renamed(self.name, parameters, Outputs(self._output(own.outputs.annotation)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A body that makes a map makes it anew wherever it runs: what travels is what it is made of. A promise does not, since with it
        # would the whole graph; each call has it among its inputs.
        bound = {name: value for name, value in self.bound.items() if not holds_promise(value)}
        named = self.named | (self.bound.keys() - bound.keys())
        return MapTask, (self.target, bound, self.concurrency, named, self.tolerance)

    def _output(self, annotation: Any) -> Any:
        if annotation is type(None):
            return None
        item = self.tolerance.annotation(annotation)
        return list[item]  # type: ignore[valid-type]

    def _parameter(self, one: Parameter) -> Parameter:
        if one.name in self.bound:
            return Parameter(one.name, one.annotation, self.bound[one.name])
        if one.name in self.named:
            return Parameter(one.name, one.annotation, one.default)
        if one.required:
            return Parameter(one.name, list[one.annotation])  # type: ignore[name-defined]
        return Parameter(one.name, list[one.annotation] | None, None)  # type: ignore[name-defined]

    @property
    def title(self) -> str:
        """The name, which says the kind as well."""
        return self.name

    def is_shared(self, name: str) -> bool:
        """Tell whether an input is the same for all items."""
        return name in self.bound or name in self.named

    def check_options(self, options: TaskOptions, owner: str) -> None:
        """Refuse what the items cannot have."""
        self.target.check_options(options, owner)

    def prepare(self) -> None:
        """Prepare what is mapped."""
        self.target.prepare()

    def check_lengths(self, bound: dict[str, Any]) -> None:
        """Refuse lists of different lengths, as far as they are known while a graph is built."""
        lengths = {name: len(value) for name, value in bound.items() if type(value) is list and not self.is_shared(name)}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{self.name} {self._wrong_lengths(lengths)}")

    def split(self, inputs: dict[str, Any]) -> tuple[int, dict[str, list[Any]], dict[str, Any]]:
        """Split a call's inputs into the number of items, the lists, and what all items share.

        Raises
        ------
        InputError
            When the lists have different lengths, or there is none.
        """
        lists: dict[str, Any] = {}
        shared: dict[str, Any] = {}
        for name, value in inputs.items():
            if self.is_shared(name):
                shared[name] = value
            elif value is None and not self.target.interface.parameters[name].required:
                shared[name] = self.target.interface.parameters[name].default
            else:
                lists[name] = value
        lengths = {name: len(lists[name]) for name in self.interface.parameters if name in lists}
        if len(set(lengths.values())) != 1:
            raise InputError(f"{self.name} {self._wrong_lengths(lengths)}")
        items = next(iter(lengths.values()))
        self._spread_defaults(items, lists, shared)
        return items, lists, shared

    def _spread_defaults(self, items: int, lists: dict[str, Any], shared: dict[str, Any]) -> None:
        """Give each item a default of its own, so that none sees what another one did to it."""
        for name in [name for name, value in shared.items() if not self.is_shared(name) and type(value) in MUTABLE]:
            default = shared.pop(name)
            lists[name] = [default.copy() for _ in range(items)]

    def _wrong_lengths(self, lengths: dict[str, int]) -> str:
        if not lengths:
            return "has no list to go over: every input is bound; leave at least one unbound"
        given = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        return f"goes over lists of one length, but {given} items"


def map_task(
    target: Callable[..., Any],
    concurrency: int | None = None,
    min_successes: int | None = None,
    min_success_ratio: float = 1.0,
    *,
    return_exceptions: bool = False,
    bound_inputs: Collection[str] | Mapping[str, Any] = (),
    bound_inputs_values: Mapping[str, Any] | None = None,
    **unknown: Any,
) -> MapTask:
    """Call an entity once for each item of its inputs' lists.

    Every input of the target becomes a list of it, and the output a list too, in the same order. Several lists
    go in step and must have one length. What is bound is the same for all items, and an input with a default need not be given.

    Parameters
    ----------
    target
        A task, workflow, dynamic, launch plan or map, or a ``functools.partial`` of one; at most one output.
    concurrency : int, optional
        How many items may execute at the same moment: a window that slides over the items. Unset, or 0, only the run's limits bind.
    min_successes : int, optional
        How many items must succeed. The results of those that failed are ``None`` then, and the declared type of an item says so.
    min_success_ratio : float
        What part of the items must succeed, from 0 to 1, unless `min_successes` says how many.
    return_exceptions : bool
        Whether an item that fails has its exception for a result, however many fail.
    bound_inputs
        Names of inputs that are the same for all items, and that the call gives; or names and values, as for the next one.
    bound_inputs_values : mapping, optional
        Inputs that are the same for all items, with their values.

    Raises
    ------
    DefinitionError
        When the target is not an entity, has several outputs, or a bound input is unknown.
    OptionError
        When `concurrency` or what must succeed is no such number, or an option is unknown.

    Notes
    -----
    An item that fails is retried as its task's options say. A map fails as soon as more items have failed than may, with the exception
    of the first of them; notes tell of the others, those of one message together.

    Examples
    --------
    >>> import functools
    >>> from daskflow import task
    >>> @task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> map_task(functools.partial(add, b=10))(a=[1, 2, 3])
    [11, 12, 13]
    >>> @task
    ... def invert(a: int) -> float:
    ...     return 1 / a
    >>> map_task(invert, min_successes=1)(a=[0, 2])
    [None, 0.5]
    """
    bound: dict[str, Any] = {}
    while isinstance(target, functools.partial):
        bound = {**_partial_inputs(target), **bound}
        target = target.func
    if not isinstance(target, Entity):
        raise DefinitionError(f"map_task goes over a task, workflow, dynamic, launch plan or map, not {target!r}; decorate it with @task")
    unknown = infrastructure.accept(f"map of {target.name}", unknown, infrastructure.MAP_OPTIONS)
    refuse_unknown(unknown, _OPTIONS, f"map of {target.name}")
    names, values = _bound(target, bound_inputs, bound_inputs_values)
    bound.update(values)
    if target.before_first_call is not None:
        target.before_first_call()
    for name, value in bound.items():
        _refuse_unknown_input(target, name)
        if not holds_promise(value):
            bound[name] = target.interface.check_input(name, value)
    tolerance = _tolerance(target, min_successes, min_success_ratio, return_exceptions)
    return MapTask(target, bound, concurrency, frozenset(names) - bound.keys(), tolerance)


_OPTIONS = (
    "concurrency", "min_successes", "min_success_ratio", "return_exceptions", "bound_inputs", "bound_inputs_values",
)  # fmt: skip


def _bound(target: Any, inputs: Any, values: Mapping[str, Any] | None) -> tuple[list[str], dict[str, Any]]:
    if isinstance(inputs, str) or not isinstance(inputs, Collection):
        raise DefinitionError(f"bound_inputs of the map of {target.name} are names, as {{'a', 'b'}}, or names and values; got {inputs!r}")
    for name in (*inputs, *(values or ())):
        _refuse_unknown_input(target, name)
    given = dict(inputs) if isinstance(inputs, Mapping) else {}
    return list(inputs), {**given, **(values or {})}


def _refuse_unknown_input(target: Any, name: Any) -> None:
    if name not in target.interface.parameters:
        raise DefinitionError(f"the map of {target.name} binds {name!r}, but {target.interface.why_unknown(name)}")


def _tolerance(target: Any, successes: Any, ratio: Any, exceptions: Any) -> Tolerance:
    owner = f"the map of {target.name}"
    if successes is not None and (type(successes) is not int or successes < 0):
        raise OptionError(f"min_successes of {owner} must be an int of 0 or more; got {successes!r}")
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 <= ratio <= 1:
        raise OptionError(f"min_success_ratio of {owner} must be a number from 0 to 1; got {ratio!r}")
    if not isinstance(exceptions, bool):
        raise OptionError(f"return_exceptions of {owner} must be a bool; got {exceptions!r}")
    if exceptions and (successes is not None or ratio != 1):
        raise OptionError(f"return_exceptions of {owner} lets every item fail; leave out min_successes and min_success_ratio")
    return Tolerance(successes, float(ratio), exceptions)


def _partial_inputs(partial: functools.partial[Any]) -> dict[str, Any]:
    if not partial.args:
        return partial.keywords
    entity = partial.func
    names = list(entity.interface.parameters) if isinstance(entity, Entity) else []
    if len(partial.args) > len(names):
        raise DefinitionError(f"the partial of {entity!r} binds {len(partial.args)} inputs by position; it takes {len(names)}")
    return {**dict(zip(names, partial.args, strict=False)), **partial.keywords}
