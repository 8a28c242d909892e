"""Values as they count for versions of code: written the same in every process."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import fractions
import functools
import hashlib
import pathlib
import re
import sys
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import BuiltinFunctionType, EllipsisType, MappingProxyType, MethodType, NoneType, SimpleNamespace
from typing import Any, ClassVar

from daskflow.shipping import is_users


def is_users_name(name: Any) -> bool:
    """Tell whether code of the module of that name is a user's."""
    # Code that came by value may be of a module that is not here.
    module = sys.modules.get(name)
    return module is None or name == "__main__" or is_users(module)


def library_name(thing: Any) -> str:
    """Return the qualified name of a class of a library."""
    # Private modules are where libraries, Python's own included, move things to and fro.
    module = ".".join(one for one in str(thing.__module__).split(".") if not one.startswith("_"))
    return f"{module}.{thing.__qualname__}"


def unwrapped(value: Any) -> tuple[Any, ...]:
    """Return what a class' attribute is made of: the functions of a property or of a method of some sort, or itself."""
    if isinstance(value, property):
        return tuple(one for one in (value.fget, value.fset, value.fdel) if one is not None)
    if isinstance(value, functools.cached_property):
        return (value.func,)
    return (value.__func__,) if isinstance(value, (staticmethod, classmethod)) else (value,)


def word(kind: str, text: str = "") -> str:
    """Return a text such that no two sequences of words have the same concatenation."""
    return f"{kind} {len(text)}:{text}"


def _fields(kind: Any) -> list[str] | None:
    if dataclasses.is_dataclass(kind):
        return [one.name for one in dataclasses.fields(kind)]
    if hasattr(kind, "__pydantic_fields__"):
        return list(kind.__pydantic_fields__)
    return [one.name for one in kind.__attrs_attrs__] if hasattr(kind, "__attrs_attrs__") else None


_TEXTS: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys((bool, NoneType, EllipsisType, range, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo), repr),
    **dict.fromkeys((decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath), str),
    int: lambda value: int.__format__(value, "x"),
    float: float.__repr__,
    complex: complex.__repr__,
    str: str.__str__,
    bytes: bytes.hex,
    re.Pattern: lambda value: f"{value.flags} {value.pattern!r}",
}


class ValueWriter:
    """Writes values down in parts, whose concatenation tells them apart. How functions, classes and entities are written is added to it."""

    #: How things are written that are of a type or of a subtype; the first that fits.
    writers: ClassVar[tuple[tuple[Any, Callable[[Any, Any], None]], ...]]

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._inside: set[int] = set()

    def put(self, kind: str, text: str = "") -> None:
        """Write a word."""
        self.parts.append(word(kind, text))

    def value(self, value: Any) -> None:
        """Write a value."""
        kind = type(value)
        text = _TEXTS.get(kind)
        if text is not None:
            self.put(kind.__name__, text(value))
        elif id(value) in self._inside:
            self.put("itself")
        else:
            # Not isinstance, which asks the value: it may be somebody's lazy proxy.
            write = next((write for base, write in self.writers if issubclass(kind, base)), ValueWriter._other)
            self._inside.add(id(value))
            write(self, value)
            self._inside.discard(id(value))

    def values(self, kind: str, values: Iterable[Any]) -> None:
        """Write a word that says how many values follow, and them."""
        values = list(values)
        self.put(kind, str(len(values)))
        for one in values:
            self.value(one)

    def wrapped(self, wrapper: Any) -> None:
        """Write what a library's wrapper wraps."""
        wrapped = getattr(wrapper, "__dict__", {}).get("__wrapped__")
        if wrapped is not None:
            self.value(wrapped)

    def order(self, value: Any) -> Any:
        """Return what values are sorted by that have no order of their own, without writing anything."""
        raise NotImplementedError

    def _member(self, member: Enum) -> None:
        self.values("member", (type(member), member._name_, member._value_))

    def _mapping(self, mapping: Mapping[Any, Any]) -> None:
        self.value(type(mapping))
        self.values("mapping", (one for key in sorted(mapping, key=self.order) for one in (key, mapping[key])))

    def _namespace(self, namespace: SimpleNamespace) -> None:
        self.values("namespace", (type(namespace), vars(namespace)))

    def _set(self, values: Iterable[Any]) -> None:
        self.value(type(values))
        self.values("set", sorted(values, key=self.order))

    def _sequence(self, values: Iterable[Any]) -> None:
        self.value(type(values))
        self.values("sequence", values)

    def _method(self, method: MethodType) -> None:
        self.values("method", (method.__func__, method.__self__))

    def _builtin(self, function: BuiltinFunctionType) -> None:
        self.put("builtin", function.__qualname__)
        self.value(function.__self__)

    def _partial(self, partial: Any) -> None:
        self.values("partial", (partial.func, partial.args, partial.keywords))

    def _other(self, value: Any) -> None:
        kind: Any = type(value)
        self.value(kind)
        numpy = sys.modules.get("numpy")
        base = next((base for base in kind.__mro__ if base in _TEXTS), None)
        fields = _fields(kind)
        if numpy is not None and issubclass(kind, (numpy.ndarray, numpy.generic)):
            self._array(value)
        elif base is not None:
            self.put(base.__name__, _TEXTS[base](value))
        elif fields is not None:
            self.values("fields", (one for name in fields for one in (name, getattr(value, name, None))))
        elif kind.__module__ in ("typing", "types"):
            self.values("alias", (typing.get_origin(value), *typing.get_args(value)))
        else:
            self.put("called", str(getattr(value, "__name__", "")) if callable(value) and not is_users_name(kind.__module__) else "")
            self.wrapped(value)

    def _array(self, array: Any) -> None:
        self.put("array", f"{array.dtype.descr} {array.shape}")
        if array.dtype.hasobject:
            self.value(array.tolist())
        else:
            self.put("bytes", hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest())


ValueWriter.writers = (
    # Enums come first, since they may be texts and numbers as well.
    (Enum, ValueWriter._member),
    ((list, tuple, collections.deque), ValueWriter._sequence),
    ((dict, MappingProxyType), ValueWriter._mapping),
    ((set, frozenset), ValueWriter._set),
    (SimpleNamespace, ValueWriter._namespace),
    (MethodType, ValueWriter._method),
    (BuiltinFunctionType, ValueWriter._builtin),
    ((functools.partial, functools.partialmethod), ValueWriter._partial),
)
