"""``map_task``: one entity over lists of inputs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from daskflow.entity import MAP, Entity
from daskflow.errors import DefinitionError, InputError
from daskflow.interface import Interface, Outputs, Parameter
from daskflow.options import check_limit, refuse_unknown
from daskflow.promise import holds_promise
from daskflow.taskoptions import TaskOptions


class MapTask(Entity[..., Any]):
    """An entity called once for each item of its lists. Made by :func:`map_task`.

    Attributes
    ----------
    target
        What is called for each item.
    bound : dict
        Inputs given by ``functools.partial``: the same for all items.
    concurrency : int or None
        How many items may execute at the same moment.
    """

    kind = MAP
    kind_name = "map"

    def __init__(self, target: Any, bound: dict[str, Any], concurrency: int | None) -> None:
        self.target: Entity[..., Any] = target
        self.bound = bound
        self.cache, self.options = target.cache, target.options
        self.name = f"map of {target.name}"
        self.short_name = target.short_name
        self.concurrency = check_limit(concurrency, "concurrency", self.name, zero=False)
        own = target.interface
        if own.outputs.several:
            raise DefinitionError(
                f"{target.name} has several outputs ({', '.join(own.outputs.names)}); what is mapped has one: return a dataclass or a list"
            )
        parameters = {name: self._parameter(one, bound) for name, one in own.parameters.items()}
        output = None if own.outputs.annotation is type(None) else list[own.outputs.annotation]  # type: ignore[name-defined]
        self.interface = Interface(self.name, parameters, Outputs(output))

    def __reduce__(self) -> tuple[Any, ...]:
        # A body that makes a map makes it anew wherever it runs: what travels is what it is made of.
        return MapTask, (self.target, self.bound, self.concurrency)

    def _parameter(self, one: Parameter, bound: dict[str, Any]) -> Parameter:
        if one.name in bound:
            return Parameter(one.name, one.annotation, bound[one.name])
        if one.required:
            return Parameter(one.name, list[one.annotation])  # type: ignore[name-defined]
        return Parameter(one.name, list[one.annotation] | None, None)  # type: ignore[name-defined]

    def check_options(self, options: TaskOptions, owner: str) -> None:
        """Refuse what the items cannot have."""
        self.target.check_options(options, owner)

    def prepare(self) -> None:
        """Prepare what is mapped."""
        self.target.prepare()

    def check_lengths(self, bound: dict[str, Any]) -> None:
        """Refuse lists of different lengths, as far as they are known while a graph is built."""
        lengths = {name: len(value) for name, value in bound.items() if type(value) is list and name not in self.bound}
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
            if name in self.bound:
                shared[name] = value
            elif value is None and not self.target.interface.parameters[name].required:
                shared[name] = self.target.interface.parameters[name].default
            else:
                lists[name] = value
        lengths = {name: len(value) for name, value in lists.items()}
        if len(set(lengths.values())) != 1:
            raise InputError(f"{self.name} {self._wrong_lengths(lengths)}")
        return next(iter(lengths.values())), lists, shared

    def _wrong_lengths(self, lengths: dict[str, int]) -> str:
        if not lengths:
            return "has no list to go over: every input is bound; leave at least one unbound"
        given = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        return f"goes over lists of one length, but {given} items"


def map_task(target: Callable[..., Any], *, concurrency: int | None = None, **unknown: Any) -> MapTask:
    """Call an entity once for each item of its inputs' lists.

    Every input of the target becomes a list of it, and the output a list too, in the same order. Several lists
    go in step and must have one length. What ``functools.partial`` binds is the same for all items, and an input
    with a default need not be given.

    Parameters
    ----------
    target
        A task, workflow, dynamic, launch plan or map, or a ``functools.partial`` of one; at most one output.
    concurrency : int, optional
        How many items may execute at the same moment: a window that slides over the items. Unset, only the run's limits bind.

    Raises
    ------
    DefinitionError
        When the target is not an entity, has several outputs, or a bound input is unknown.
    OptionError
        When `concurrency` is not a positive int, or an option is unknown.

    Examples
    --------
    >>> import functools
    >>> from daskflow import task
    >>> @task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> map_task(functools.partial(add, b=10))(a=[1, 2, 3])
    [11, 12, 13]
    """
    bound: dict[str, Any] = {}
    while isinstance(target, functools.partial):
        bound = {**_partial_inputs(target), **bound}
        target = target.func
    if not isinstance(target, Entity):
        raise DefinitionError(f"map_task goes over a task, workflow, dynamic, launch plan or map, not {target!r}; decorate it with @task")
    refuse_unknown(unknown, ("concurrency",), f"map of {target.name}")
    if target.before_first_call is not None:
        target.before_first_call()
    for name, value in bound.items():
        if name not in target.interface.parameters:
            raise DefinitionError(f"the partial of {target.name} binds {name!r}; it takes {target.interface.signature() or 'no inputs'}")
        if not holds_promise(value):
            bound[name] = target.interface.check_input(name, value)
    return MapTask(target, bound, concurrency)


def _partial_inputs(partial: functools.partial[Any]) -> dict[str, Any]:
    if not partial.args:
        return partial.keywords
    entity = partial.func
    names = list(entity.interface.parameters) if isinstance(entity, Entity) else []
    if len(partial.args) > len(names):
        raise DefinitionError(f"the partial of {entity!r} binds {len(partial.args)} inputs by position; it takes {len(names)}")
    return {**dict(zip(names, partial.args, strict=False)), **partial.keywords}
