"""Whether a promise of one declared type may be given where another is declared, before there is a value. Pure."""

from __future__ import annotations

import collections
import collections.abc as abc
import datetime
import enum
import typing
from typing import Any

from daskflow.annotations import (
    class_of,
    core,
    describe,
    field_types,
    has_own_check,
    is_model,
    is_namedtuple,
    is_open_model,
    is_protocol,
    is_typeddict,
    is_union,
    is_unknown,
    key_types,
    members,
    union_of,
    without_none,
)

#: Containers whose only argument is the type of their items.
_ITEMS = (list, set, frozenset, collections.deque, abc.Iterable, abc.Collection, abc.Reversible, abc.Sequence, abc.MutableSequence,
          abc.Set, abc.MutableSet)  # fmt: skip
_PAIRS = (dict, collections.defaultdict, collections.OrderedDict, abc.Mapping, abc.MutableMapping)
_TEXT = (str, bytes, bytearray)
#: Of these a check makes plain ones, so that what a subclass can do more does not count.
_BUILT_IN = (int, float, str, bytes, list, dict, set, frozenset, tuple, type(None), bool)


def assignable(source: Any, target: Any) -> bool:
    """Tell whether a value of one declared type may be given where another is declared.

    Says no where no value would be accepted, be it of one member of a union, or at one place in a container: so
    what may be ``None`` is not given where ``None`` is not declared.

    Examples
    --------
    >>> assignable(int, float), assignable(str, int), assignable(list[int], list[str])
    (True, False, False)
    >>> assignable(Any, int), assignable(int, int | None), assignable(int | None, int)
    (True, True, False)
    """
    try:
        return source is target or _open(source) or _open(target) or _fits(core(source), core(target))
    except RecursionError:
        # Of two types that contain themselves, each in its own way, nothing is known.
        return True


def _fits(source: Any, target: Any) -> bool:
    if source == target or is_unknown(source) or is_unknown(target) or source in (typing.NoReturn, typing.Never):
        return True
    if is_union(source):
        return all(assignable(one, target) for one in members(source))
    if is_union(target):
        return any(assignable(source, one) for one in members(target))
    if typing.get_origin(source) is typing.Literal:
        return all(_literal_fits(one, target) for one in typing.get_args(source))
    if typing.get_origin(target) is typing.Literal:
        return any(source is type(one) for one in typing.get_args(target))
    return _classes_fit(source, target)


def hint(source: Any, target: Any) -> str:
    """Return what can be done where one type is not assignable to another, as the end of a sentence; nothing where that is plain.

    Examples
    --------
    >>> hint(int | None, int)
    '; it may be None: declare int | None, or deal with None in a @task or @dynamic in between'
    """
    if type(None) in members(source) and assignable(without_none(source), target):
        return f"; it may be None: declare {describe(target)} | None, or deal with None in a @task or @dynamic in between"
    return ""


def _open(annotation: Any) -> bool:
    """Tell whether something beside the type may accept more than the type does, or make something else of it."""
    if typing.get_origin(annotation) is not typing.Annotated:
        return False
    inner, *notes = typing.get_args(annotation)
    return any(hasattr(one, "__get_pydantic_core_schema__") for one in notes) or _open(inner)


def _literal_fits(value: Any, target: Any) -> bool:
    if typing.get_origin(target) is typing.Literal:
        return any(type(one) is type(value) and one == value for one in typing.get_args(target))
    return assignable(type(value), target)


def _classes_fit(source: Any, target: Any) -> bool:
    one, other = class_of(source), class_of(target)
    if one is None or other is None or _accepts_more(other) or _is_numpy(one):
        return True
    if not _class_fits(one, other):
        return False
    if other in _PAIRS and (is_typeddict(one) or one in _PAIRS):
        return _pairs_fit(source, target)
    if is_typeddict(other):
        return _dict_fits(source, target)
    if other is tuple and (one is tuple or is_namedtuple(one)):
        return _tuple_fits(source, target)
    return other not in _ITEMS or _items_fit(source, target)


def _accepts_more(target: type) -> bool:
    """Tell whether a class says itself what it accepts beside its instances."""
    if is_model(target):
        return is_open_model(target)
    return has_own_check(target) and not issubclass(target, enum.Enum)


def _is_numpy(source: type) -> bool:
    return source.__module__ == "numpy"


def _class_fits(source: type, target: type) -> bool:
    if source is bool or target is bool:
        return source is target or _is_structural(source if target is bool else target, bool)
    if target is float and source is int:
        return True
    if issubclass(source, datetime.datetime) and target is datetime.date:
        return False
    if source is datetime.date and issubclass(target, datetime.datetime):
        return False
    if source in _TEXT and target in _ITEMS:
        return False
    # A declared base class may be returned as any of its subclasses: only unrelated classes never fit.
    return _is_subclass(source, target) or _is_subclass(target, source) or _may_be_both(source, target)


def _is_subclass(source: type, target: type) -> bool:
    try:
        return issubclass(source, target)
    except TypeError:
        # Protocols with attributes cannot tell.
        return True


def _may_be_both(source: type, target: type) -> bool:
    if target is float and issubclass(source, int):
        return True
    return (_is_structural(source, target) and target not in _BUILT_IN) or (_is_structural(target, source) and source not in _BUILT_IN)


def _is_structural(kind: type, other: type) -> bool:
    """Protocols and abstract classes accept what does not inherit from them."""
    if other is bool:
        return is_protocol(kind) or (type(kind) is not type and _is_subclass(bool, kind))
    return is_protocol(kind) or (type(kind) is not type and not issubclass(kind, enum.Enum) and not is_model(kind))


def _items_of(annotation: Any) -> Any:
    """Return the type of what iterating over a value gives."""
    kind: Any = class_of(annotation)
    if is_namedtuple(kind) or kind is tuple:
        args = _tuple_args(annotation)
        return Any if args is None else union_of(args[:1] if args[1:] == (Ellipsis,) else args) if args else typing.Never
    if is_typeddict(kind):
        return str
    return (typing.get_args(annotation) or (Any,))[0] if kind in _ITEMS or kind in _PAIRS else Any


def _items_fit(source: Any, target: Any) -> bool:
    return assignable(_items_of(source), _items_of(target))


def _pairs_fit(source: Any, target: Any) -> bool:
    keys, values = typing.get_args(target) or (Any, Any)
    if is_typeddict(class_of(source)):
        given = key_types(source).items()
        return all(assignable(typing.Literal[name], keys) and assignable(one, values) for name, (one, required) in given if required)
    own_keys, own_values = typing.get_args(source) or (Any, Any)
    return assignable(own_keys, keys) and assignable(own_values, values)


def _dict_fits(source: Any, target: Any) -> bool:
    """Tell whether what a TypedDict must have may be there, and what it may not have need not be."""
    wanted = key_types(target)
    if is_typeddict(class_of(source)):
        given = key_types(source)
        if any(required and name not in wanted for name, (_, required) in given.items()):
            return False
        certain = {name for keys in (wanted, given) for name, (_, required) in keys.items() if required}
        return all(name in given and assignable(given[name][0], wanted[name][0]) for name in wanted if name in certain)
    if class_of(source) not in _PAIRS:
        return True
    keys, values = typing.get_args(source) or (Any, Any)
    return all(assignable(str, keys) and assignable(values, one) for one, required in wanted.values() if required)


def _tuple_args(annotation: Any) -> tuple[Any, ...] | None:
    """Return the types of a tuple's items; ``None`` where it says nothing of them."""
    if is_namedtuple(class_of(annotation)):
        return tuple(field_types(annotation).values())
    return None if annotation is tuple or annotation is typing.Tuple else typing.get_args(annotation)  # noqa: UP006


def _tuple_fits(source: Any, target: Any) -> bool:
    given, wanted = _tuple_args(source), _tuple_args(target)
    if given is None or wanted is None:
        return True
    if given[1:] == (Ellipsis,):
        return all(assignable(given[0], one) for one in wanted if one is not Ellipsis)
    if wanted[1:] == (Ellipsis,):
        return all(assignable(one, wanted[0]) for one in given)
    return len(given) == len(wanted) and all(map(assignable, given, wanted))
