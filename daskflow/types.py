"""Checking and converting values against annotations.

A :class:`Checker` is compiled once for an annotation. The scalars are checked by hand, because that is
what most nodes pass; everything else is pydantic's work, imported when the first such annotation is used.

Two rules differ from pydantic's lax mode and from Python's own: an ``int`` is accepted where a ``float``
is declared (and becomes one), and a numpy scalar where its Python kind is; a ``bool`` is never an ``int``
and text is never a number.
"""

from __future__ import annotations

import functools
import types as _types
import typing
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], Any]


class Mismatch(Exception):
    """A value does not fit an annotation; the message says how."""


def describe(annotation: Any) -> str:
    """Return the annotation as a user would write it.

    Examples
    --------
    >>> describe(int), describe(list[int]), describe(None)
    ('int', 'list[int]', 'None')
    """
    if annotation is type(None) or annotation is None:
        return "None"
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "")


def shorten(value: Any, limit: int = 80) -> str:
    """Return a bounded ``repr`` that never raises."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _mismatch(value: Any, expected: str) -> Mismatch:
    return Mismatch(f"expected {expected}, got {shorten(value)} of type {type(value).__qualname__}")


def _numpy_kind(value: Any) -> str:
    """Return numpy's kind code of a numpy scalar, or nothing, without importing numpy."""
    dtype = getattr(value, "dtype", None)
    if dtype is None or not hasattr(value, "item") or getattr(value, "ndim", 1) != 0:
        return ""
    return str(getattr(dtype, "kind", ""))


def _check_int(value: Any) -> Any:
    if type(value) is int:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if _numpy_kind(value) in ("i", "u"):
        return int(value)
    raise _mismatch(value, "int")


def _check_float(value: Any) -> Any:
    if type(value) is float:
        return value
    if isinstance(value, bool):
        raise _mismatch(value, "float")
    if isinstance(value, (int, float)) or _numpy_kind(value) in ("i", "u", "f"):
        return float(value)
    raise _mismatch(value, "float")


def _check_bool(value: Any) -> Any:
    if value is True or value is False:
        return value
    if _numpy_kind(value) == "b":
        return bool(value)
    raise _mismatch(value, "bool")


def _check_str(value: Any) -> Any:
    if isinstance(value, str):
        return value
    raise _mismatch(value, "str")


def _check_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    raise _mismatch(value, "bytes")


def _check_none(value: Any) -> Any:
    if value is None:
        return value
    raise _mismatch(value, "None")


def _check_any(value: Any) -> Any:
    return value


_SCALARS: dict[Any, Check] = {
    int: _check_int,
    float: _check_float,
    bool: _check_bool,
    str: _check_str,
    bytes: _check_bytes,
    None: _check_none,
    type(None): _check_none,
    Any: _check_any,
    object: _check_any,
}

#: Types whose values cannot be changed by whom they are handed to and that are checked exactly, so a value
#: that was checked where it was made need not be checked where it is used.
SCALARS = frozenset({int, bool, str, bytes, type(None)})


class Checker:
    """Checks values against one annotation.

    Parameters
    ----------
    annotation
        Any annotation that Python's typing allows for a value.

    Raises
    ------
    TypeError
        When the annotation cannot be turned into a check.

    Examples
    --------
    >>> Checker(float).check(1)
    1.0
    >>> Checker(list[int]).check([1, "2"])
    Traceback (most recent call last):
    daskflow.types.Mismatch: at [1]: Input should be a valid integer, got '2'
    """

    __slots__ = ("annotation", "check")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        if _hashable(annotation):
            self.check: Check = _SCALARS.get(annotation) or _compiled(annotation)
        else:
            self.check = _compile(annotation)

    def __reduce__(self) -> tuple[Any, ...]:
        return Checker, (self.annotation,)

    def __repr__(self) -> str:
        return f"Checker({describe(self.annotation)})"


def _hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True


@functools.lru_cache(maxsize=1024)
def _compiled(annotation: Any) -> Check:
    return _compile(annotation)


def _compile(annotation: Any) -> Check:
    import pydantic

    strict = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True)
    try:
        adapter: Any = pydantic.TypeAdapter(annotation, config=strict)
    except pydantic.errors.PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise TypeError(f"{describe(annotation)} is not a usable annotation: {error}") from None
        adapter = pydantic.TypeAdapter(annotation)
    validate = adapter.validator.validate_python
    invalid = pydantic.ValidationError

    def check(value: Any) -> Any:
        try:
            return validate(value, strict=True)
        except invalid as error:
            raise Mismatch(_explain(error, annotation, value)) from None

    return check


def _explain(error: Any, annotation: Any, value: Any) -> str:
    """Say where in a nested value the first thing is wrong."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return str(_mismatch(value, describe(annotation)))
    where = "".join(f"[{part!r}]" for part in first["loc"])
    return f"at {where}: {first['msg']}, got {shorten(first['input'])}"


def is_union(annotation: Any) -> bool:
    """Tell whether the annotation is ``X | Y``, ``Union`` or ``Optional``."""
    return typing.get_origin(annotation) in (typing.Union, _types.UnionType)


def strip(annotation: Any) -> Any:
    """Return the annotation without ``Annotated``."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def assignable(source: Any, target: Any) -> bool:
    """Tell whether a value of one declared type may be given where another is declared.

    Says no only where every value would be refused, so that a graph that could work is never rejected.

    Examples
    --------
    >>> assignable(int, float), assignable(str, int), assignable(list[int], list[str])
    (True, False, False)
    >>> assignable(Any, int), assignable(int, int | None), assignable(int | None, int)
    (True, True, False)
    """
    source, target = strip(source), strip(target)
    if source == target or _unknown(source) or _unknown(target):
        return True
    if is_union(source):
        return all(assignable(one, target) for one in typing.get_args(source))
    if is_union(target):
        return any(assignable(source, one) for one in typing.get_args(target))
    source_class, target_class = _class_of(source), _class_of(target)
    if source_class is None or target_class is None:
        return True
    if source_class in (list, dict, set) and source_class is target_class:
        pairs = zip(typing.get_args(source), typing.get_args(target), strict=False)
        return all(assignable(one, other) for one, other in pairs)
    return _class_fits(source_class, target_class)


def _unknown(annotation: Any) -> bool:
    return annotation is Any or annotation is object or isinstance(annotation, (typing.TypeVar, str))


def _class_of(annotation: Any) -> type | None:
    if annotation is None:
        return type(None)
    origin = typing.get_origin(annotation) or annotation
    return origin if isinstance(origin, type) else None


def _class_fits(source: type, target: type) -> bool:
    if source is bool or target is bool:
        return source is target
    if target is float:
        return issubclass(source, (int, float))
    # A declared base class may be returned as any of its subclasses: only unrelated classes never fit.
    return issubclass(source, target) or issubclass(target, source) or _structural(target)


def _structural(target: type) -> bool:
    """Protocols and abstract classes accept what does not inherit from them."""
    return getattr(target, "_is_protocol", False) or type(target) is not type


def checks_inside(annotation: Any) -> bool:
    """Tell whether a check against the annotation looks at every value inside.

    Examples
    --------
    >>> checks_inside(list[int]), checks_inside(list), checks_inside(dict[str, Any])
    (True, False, False)
    """
    annotation = strip(annotation)
    if _unknown(annotation) or any(annotation is one for one in (list, dict, tuple, set)):
        return False
    return all(checks_inside(one) for one in typing.get_args(annotation) if one is not Ellipsis)


def item_type(annotation: Any, part: Any) -> Any:
    """Return the declared type behind ``value[part]`` or ``value.part``; ``Any`` where it is not known.

    Raises
    ------
    TypeError
        When no value of the declared type has such a part.
    """
    annotation = strip(annotation)
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin is list:
        if not isinstance(part, int):
            raise TypeError(f"{describe(annotation)} is indexed by int, not {part!r}")
        return args[0] if args else Any
    if origin is dict:
        return args[1] if args else Any
    if origin in SCALARS or origin is float:
        raise TypeError(f"{describe(annotation)} has no part {part!r}")
    return _hints_of(origin).get(part, Any) if isinstance(origin, type) and isinstance(part, str) else Any


@functools.cache
def _hints_of(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:
        # Names that only a type checker knows, or that are local: nothing can be said of the parts then.
        return {}
