"""Checking and converting values against annotations.

A :class:`Checker` is compiled once for an annotation. The scalars are checked by hand, because that is
what most nodes pass; everything else is pydantic's work, imported when the first such annotation is used.

Some rules differ from pydantic's and from Python's own, at any depth: an ``int`` is accepted where a ``float``
is declared (and becomes one), and a numpy scalar where its Python kind is; a ``bool`` is never an ``int``,
text is never a number, and a ``Literal`` heeds the type of its values. ``docs/types.md`` has all of them.
"""

from __future__ import annotations

import collections.abc as abc
import enum
import functools
import typing
from collections.abc import Callable
from typing import Any

from daskflow.annotations import (
    class_of,
    core,
    describe,
    field_types,
    has_own_check,
    is_dataclass,
    is_model,
    is_namedtuple,
    is_typeddict,
    is_union,
    is_unknown,
    key_types,
    members,
    shorten,
    strip,
    without_none,
)
from daskflow.assignable import assignable, hint
from daskflow.parts import item_type, key_type
from daskflow.scalars import CHECKS, SCALARS, Check, Mismatch, mismatch, numpy_kind, shown
from daskflow.shortform import is_secret


class Checker:
    """Checks values against one annotation.

    Parameters
    ----------
    annotation
        Any annotation that Python's typing allows for a value.

    Attributes
    ----------
    check : callable
        Gives a value back, converted, or raises :class:`Mismatch`. Containers come back as copies, since pydantic makes them anyway
        and a caller may go on changing its own; all else that needs no conversion comes back as it is.

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
    daskflow.types.Mismatch: at [1]: expected int, got '2' of type str
    """

    __slots__ = ("annotation", "check")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        known = CHECKS.get(annotation) if _hashable(annotation) else None
        self.check: Check = known or _compile(annotation)

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


def _compile(annotation: Any) -> Check:
    import pydantic

    make = _made if _hashable(annotation) else _make
    validate = make(annotation, False)
    invalid = pydantic.ValidationError

    def check(value: Any) -> Any:
        try:
            return validate(value, strict=True)
        except invalid as error:
            if not _has_numpy(error):
                raise _explain(error, annotation, value) from None
            # Numpy's scalars are seldom there, and looking for them costs a call for each item.
            return _again(make(annotation, True), annotation, value)
        except RecursionError:
            too_deep = "contains itself, or is nested too deeply to be checked"
            raise Mismatch(*(f"{one} {too_deep}" for one in (shown(value), "***"))) from None
        except Exception as error:
            # A constraint that its type cannot have, a user's own validator, or a class whose attributes do something.
            against = f"cannot be checked against {describe(annotation)}: {type(error).__name__}"
            raise Mismatch(f"{shown(value)} {against}: {error}", f"*** {against}") from error

    return check


def _make(annotation: Any, numpy: bool) -> Callable[..., Any]:
    from daskflow.schemas import Compiler

    return Compiler(numpy).validator(annotation)


_made = functools.lru_cache(maxsize=1024)(_make)


def _again(validate: Callable[..., Any], annotation: Any, value: Any) -> Any:
    import pydantic

    try:
        return validate(value, strict=True)
    except pydantic.ValidationError as error:
        raise _explain(error, annotation, value) from None


def _has_numpy(error: Any) -> bool:
    return any(numpy_kind(one["input"]) for one in error.errors(include_url=False, include_context=False))


#: What pydantic says of values of another type, in words that are not a user's.
_OF_ANOTHER_TYPE = frozenset({"expected", "is_instance_of", "is_subclass_of", "none_required", "literal_error"})


def _explain(error: Any, annotation: Any, value: Any) -> Mismatch:
    """Say where in a nested value the first thing is wrong."""
    errors = error.errors(include_url=False, include_context=False)
    said = next((one for one in errors if not _is_of_another_type(one)), errors[0])
    where, found, declared = _locate(value, annotation, said["loc"])
    if _is_of_another_type(said) or isinstance(found, tuple):
        # Of a tuple that is too short or too long, its declaration says most.
        result = mismatch(found, describe(declared))
    else:
        # What a user's own validator says may have the value in it.
        words, own = _words(said), said["type"] in ("value_error", "assertion_error")
        result = Mismatch(f"{words}, got {shown(said['input'])}", f"{'it is refused' if own else words}, got ***")
    at = f"at {where}: " if where else ""
    secret = is_secret(where) or any(is_secret(str(part)) for part in said["loc"])
    told = Mismatch(f"{at}{result.hidden if secret else result}", f"{at}{result.hidden}")
    told.missing = said["type"] == "missing_file"
    return told


def _is_of_another_type(error: Any) -> bool:
    return error["type"] in _OF_ANOTHER_TYPE or error["type"].endswith("_type")


def _words(error: Any) -> str:
    if error["type"] == "missing":
        return f"the key {error['loc'][-1]!r} is missing"
    if error["type"] == "extra_forbidden":
        return f"the key {error['loc'][-1]!r} is not declared"
    text: str = error["msg"]
    return text[:1].lower() + text[1:]


def _locate(value: Any, annotation: Any, way: tuple[Any, ...]) -> tuple[str, Any, Any]:
    """Follow pydantic's way to what is wrong, as far as it leads through values; return it with what is there and what is declared."""
    where = ""
    for index, part in enumerate(way):
        inner = without_none(annotation)
        if is_union(inner):
            break
        if way[index + 1 : index + 2] == ("[key]",):
            return f"{where} key {part!r}".strip(), part, (typing.get_args(inner) or (Any,))[0]
        step = _step(value, inner, part)
        if step is None:
            break
        text, value, annotation = step
        where += text
    return where, value, annotation


def _step(value: Any, annotation: Any, part: Any) -> tuple[str, Any, Any] | None:
    if is_namedtuple(type(value)) or is_dataclass(type(value)):
        names = list(field_types(annotation)) if _has_fields(annotation) else []
        name = names[part] if isinstance(part, int) and part < len(names) else part
        return (f".{name}", getattr(value, name), _declared(annotation, name, True)) if name in names else None
    if is_model(type(value)):
        return (f".{part}", getattr(value, part), _declared(annotation, part, True)) if hasattr(value, str(part)) else None
    try:
        return f"[{part!r}]", value[part], _declared(annotation, part, False)
    except (LookupError, TypeError):
        return None


def _has_fields(annotation: Any) -> bool:
    kind = class_of(core(annotation))
    return is_dataclass(kind) or is_namedtuple(kind)


def _declared(annotation: Any, part: Any, attribute: bool) -> Any:
    kind = class_of(core(annotation))
    if not attribute and kind in (abc.Iterable, abc.Collection, abc.Reversible):
        return (typing.get_args(core(annotation)) or (Any,))[0]
    try:
        return item_type(annotation, part, attribute)
    except TypeError:
        return Any


def checks_inside(annotation: Any) -> bool:
    """Tell whether a check against the annotation looks at every value inside, so that no promise passes it unseen.

    Examples
    --------
    >>> checks_inside(list[int]), checks_inside(list), checks_inside(dict[str, Any])
    (True, False, False)
    """
    return _looks(core(annotation), ())


_BARE = (list, dict, tuple, set, frozenset)


def _looks(annotation: Any, above: tuple[Any, ...]) -> bool:
    if annotation in above or typing.get_origin(annotation) is typing.Literal:
        return True
    if is_unknown(annotation) or any(annotation is one for one in _BARE):
        return False
    inner = _inner(annotation)
    if inner is not None:
        return all(_looks(core(one), (*above, annotation)) for one in inner)
    kind = class_of(annotation)
    return isinstance(kind, type) and (type(kind) is type or issubclass(kind, enum.Enum)) and not has_own_check(kind)


def _inner(annotation: Any) -> list[Any] | None:
    """Return the types of what is inside, where a check looks at it."""
    kind = class_of(annotation)
    if is_union(annotation):
        return list(members(annotation))
    if is_typeddict(kind):
        return [one for one, _ in key_types(annotation).values()]
    if is_dataclass(kind) or is_namedtuple(kind):
        return list(field_types(annotation).values())
    args = typing.get_args(annotation)
    if args and kind not in (type, abc.Callable):
        return [one for one in args if one is not Ellipsis]
    return None


__all__ = [
    "SCALARS",
    "Checker",
    "Mismatch",
    "assignable",
    "checks_inside",
    "describe",
    "hint",
    "is_union",
    "item_type",
    "key_type",
    "shorten",
    "strip",
    "without_none",
]
