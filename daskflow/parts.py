"""The declared types behind a promise's path: ``promise[0]``, ``promise["a"]``, ``promise.a``. Pure."""

from __future__ import annotations

import collections
import collections.abc as abc
import enum
import functools
import inspect
import typing
from typing import Any

from daskflow.annotations import (
    class_of,
    core,
    describe,
    field_types,
    hints_of,
    is_dataclass,
    is_model,
    is_namedtuple,
    is_typeddict,
    is_union,
    is_unknown,
    key_types,
    members,
    union_of,
)
from daskflow.scalars import SCALARS, as_int

_SERIES = (list, collections.deque, abc.Sequence, abc.MutableSequence)
_MAPPINGS = (dict, collections.defaultdict, collections.OrderedDict, abc.Mapping, abc.MutableMapping)
_PARTLESS = (*SCALARS, float, complex, set, frozenset, abc.Set, abc.MutableSet, type, abc.Callable)


def item_type(annotation: Any, part: Any, attribute: bool = False) -> Any:
    """Return the declared type behind ``value[part]`` or ``value.part``; ``Any`` where it is not known.

    Parameters
    ----------
    annotation
        The declared type of the value.
    part
        An index, a key, or an attribute's name.
    attribute : bool
        Whether it is an attribute. A dict's keys are attributes of its promise, as they are in Flyte.

    Raises
    ------
    TypeError
        When no value of the declared type has such a part, or the value may be ``None``.

    Examples
    --------
    >>> item_type(list[int], -1), item_type(dict[str, float], "a"), item_type(tuple[int, str], 1)
    (<class 'int'>, <class 'float'>, <class 'str'>)
    >>> item_type(tuple[int, str], 2)
    Traceback (most recent call last):
    TypeError: tuple[int, str] has 2 items; there is no item 2
    """
    annotation = core(annotation)
    if is_unknown(annotation):
        return Any
    if is_union(annotation):
        return _of_a_union(annotation, part, attribute)
    if typing.get_origin(annotation) is typing.Literal:
        return _union([item_type(type(one), part, attribute) for one in typing.get_args(annotation)])
    kind = class_of(annotation)
    return Any if kind is None else _of_a_class(annotation, kind, part, attribute)


def key_type(annotation: Any, key: Any) -> Any:
    """Return the declared type of what a dict has at a key; ``Any`` where it is not known.

    Raises
    ------
    TypeError
        When no dict that is declared has such a key.

    Examples
    --------
    >>> key_type(dict[str, int] | None, "a")
    <class 'int'>
    >>> key_type(dict[str, int], 1)
    Traceback (most recent call last):
    TypeError: dict[str, int] is indexed by str, not 1
    """
    kinds = [one for one in members(annotation) if is_typeddict(class_of(one)) or class_of(one) in _MAPPINGS]
    return item_type(union_of(kinds), as_int(key)) if kinds else Any


def _of_a_union(annotation: Any, part: Any, attribute: bool) -> Any:
    kinds = members(annotation)
    if type(None) in kinds:
        raise TypeError(
            f"{describe(annotation)} may be None, which has no parts; "
            "hand the whole value to a @task that deals with None, or to a @dynamic that looks at it"
        )
    found, why = [], None
    for one in kinds:
        try:
            found.append(item_type(one, part, attribute))
        except TypeError as error:
            why = error
    if not found and why is not None:
        raise why
    return _union(found)


def _union(kinds: list[Any]) -> Any:
    return Any if any(map(is_unknown, kinds)) else union_of(kinds)


def _of_a_class(annotation: Any, kind: Any, part: Any, attribute: bool) -> Any:
    if kind in _PARTLESS:
        raise TypeError(f"{describe(annotation)} has no part {part!r}")
    if kind in _SERIES:
        _check_index(annotation, part)
        return _argument(annotation, 0)
    if kind is tuple or is_namedtuple(kind):
        return _of_a_tuple(annotation, kind, part, attribute)
    if is_typeddict(kind):
        return _field({name: one for name, (one, _) in key_types(annotation).items()}, annotation, part, "key")
    if kind in _MAPPINGS:
        _check_key(annotation, part)
        return _argument(annotation, 1)
    return _of_an_object(annotation, kind, part) if attribute else _of_an_indexed_object(annotation, kind)


def _argument(annotation: Any, index: int) -> Any:
    args = typing.get_args(annotation)
    return args[index] if args else Any


def _check_index(annotation: Any, part: Any) -> None:
    if not isinstance(part, int) or isinstance(part, bool):
        raise TypeError(f"{describe(annotation)} is indexed by int, not {part!r}")


def _of_a_tuple(annotation: Any, kind: Any, part: Any, attribute: bool) -> Any:
    if is_namedtuple(kind):
        fields = field_types(annotation)
        if attribute:
            return _field(fields, annotation, part, "field")
        args: tuple[Any, ...] = tuple(fields.values())
    else:
        args = typing.get_args(annotation)
    _check_index(annotation, part)
    if annotation is tuple or args[1:] == (Ellipsis,):
        return args[0] if args else Any
    if not -len(args) <= part < len(args):
        raise TypeError(f"{describe(annotation)} has {len(args)} items; there is no item {part}")
    return args[part]


def _field(fields: dict[str, Any], annotation: Any, part: Any, what: str) -> Any:
    if part not in fields:
        raise TypeError(f"{describe(annotation)} declares no {what} {part!r}; it has {', '.join(fields) or 'none'}")
    return fields[part]


def _check_key(annotation: Any, part: Any) -> None:
    keys = members(_argument(annotation, 0))
    if not any(_is_key(part, one) for one in keys):
        raise TypeError(f"{describe(annotation)} is indexed by {describe(_argument(annotation, 0))}, not {part!r}")


def _is_key(part: Any, annotation: Any) -> bool:
    if typing.get_origin(annotation) is typing.Literal:
        return any(type(one) is type(part) and one == part for one in typing.get_args(annotation))
    kind = class_of(annotation)
    if kind is None or is_unknown(annotation):
        return True
    if kind is float:
        return isinstance(part, (int, float)) and not isinstance(part, bool)
    return isinstance(part, kind) and (kind is bool or not isinstance(part, bool) or kind is not int)


def _of_an_object(annotation: Any, kind: Any, part: str) -> Any:
    fields = field_types(annotation) if is_dataclass(kind) or is_model(kind) else hints_of(kind)
    if part in fields:
        return fields[part]
    if issubclass(kind, enum.Enum) and part == "name":
        return str
    member = inspect.getattr_static(kind, part, None)
    if isinstance(member, (property, functools.cached_property)):
        return _returned(member)
    if member is None and _is_closed(kind):
        raise TypeError(f"{describe(annotation)} declares no attribute {part!r}; it has {', '.join(fields) or 'none'}")
    return Any


def _returned(member: Any) -> Any:
    function = member.fget if isinstance(member, property) else member.func
    try:
        return typing.get_type_hints(function, include_extras=True).get("return", Any)
    except Exception:
        return Any


def _is_closed(kind: Any) -> bool:
    """Tell whether a class says of all its attributes that they are there."""
    if hasattr(kind, "__getattr__") and not is_model(kind):
        return False
    if is_model(kind):
        return bool(kind.model_config.get("extra") != "allow")
    return is_dataclass(kind)


def _of_an_indexed_object(annotation: Any, kind: Any) -> Any:
    if not hasattr(kind, "__getitem__") and type(kind) is type:
        way_out = "; its parts are attributes" if is_dataclass(kind) or is_model(kind) else ""
        raise TypeError(f"{describe(annotation)} cannot be indexed{way_out}")
    return Any
