"""pydantic's schemas of what has nothing inside: scalars, literals, instances, arrays; and the errors of ours that pydantic hands on."""

from __future__ import annotations

import collections.abc as abc
import datetime
import enum
import typing
from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticCustomError, core_schema

from daskflow.annotations import describe, is_protocol
from daskflow.scalars import as_bool, as_float, as_int

#: What is used up by whoever looks at it, and so by a check.
_ONCE = (abc.Iterator, abc.Generator, abc.AsyncIterable, abc.AsyncIterator, abc.AsyncGenerator, abc.Awaitable, abc.Coroutine)


class _Schema:
    """Gives pydantic a schema of ours, in an ``Annotated``."""

    __slots__ = ("schema",)

    def __init__(self, schema: Any) -> None:
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return self.schema


def checked_by(function: Callable[[Any], Any]) -> Any:
    """Return an annotation whose values a function gives back, converted, or refuses."""
    return typing.Annotated[Any, _Schema(core_schema.no_info_plain_validator_function(function))]


def unexpected(annotation: Any) -> PydanticCustomError:
    """Return the error of a value that is of another type."""
    return PydanticCustomError("expected", "Expected {what}", {"what": describe(annotation)})


def refused(why: str) -> PydanticCustomError:
    """Return the error of a value that is refused for a reason of its own."""
    return PydanticCustomError("refused", "{why}", {"why": why})


def _float_schema(strict: bool) -> Any:
    # Strict or not, pydantic makes a float of whatever has __float__, such as a Decimal.
    return core_schema.chain_schema([core_schema.is_instance_schema((float, int)), core_schema.float_schema(strict=strict)])


NUMBERS: dict[Any, tuple[Callable[[Any], Any], Callable[..., Any]]] = {
    int: (as_int, core_schema.int_schema),
    float: (as_float, _float_schema),
    bool: (as_bool, core_schema.bool_schema),
}


def number(kind: Any, numpy: bool) -> Any:
    """Return the annotation of a number, numpy's scalars among them or not."""
    convert, schema = NUMBERS[kind]
    if numpy:
        return typing.Annotated[Any, _Schema(core_schema.no_info_before_validator_function(convert, schema(strict=True)))]
    return kind if kind is not float else typing.Annotated[Any, _Schema(schema(strict=True))]


def raising(error: Exception) -> Callable[[Any], Any]:
    """Return a check that nothing passes."""

    def check(value: Any) -> Any:
        raise error

    return check


def literal(annotation: Any) -> Any:
    """Return the annotation of a ``Literal``, whose values are of its types and not only equal: ``True`` is no ``1``."""
    accepted = {(type(one), one): one for one in _literals(annotation)}

    def check(value: Any) -> Any:
        kind = type(value)
        # Only of these types are literals, and values of others need not have a hash.
        if kind in _LITERALS or isinstance(value, enum.Enum):
            return accepted[kind, value] if (kind, value) in accepted else raising(unexpected(annotation))(value)
        raise unexpected(annotation)

    return checked_by(check)


_LITERALS = (int, str, bytes, bool, type(None))


def _literals(annotation: Any) -> list[Any]:
    found: list[Any] = []
    for one in typing.get_args(annotation):
        found.extend(_literals(one) if typing.get_origin(one) is typing.Literal else [one])
    return found


def instance(kind: Any) -> Any:
    """Return the annotation of a class' instances."""
    if kind is datetime.date:
        # A datetime is a date to Python, and loses its time where only a date is meant.
        return kind
    return typing.Annotated[Any, _Schema(core_schema.is_instance_schema(kind, cls_repr=kind.__qualname__))]


def refuse_unusable(annotation: Any, kind: Any) -> None:
    """Raise ``TypeError`` for classes whose instances cannot be told, or cannot be checked and then used."""
    if kind in _ONCE:
        item = typing.get_args(annotation)
        way_out = f"declare list[{describe(item[0])}]" if item and kind in _ONCE[:5] else "declare what it gives"
        raise TypeError(f"{describe(annotation)} can be gone through only once, and a value is used more often than that; {way_out}")
    if is_protocol(kind) and not getattr(kind, "_is_runtime_protocol", False):
        raise TypeError(f"{describe(annotation)} is a Protocol that values cannot be checked against; decorate it with @runtime_checkable")
    if kind.__module__ in ("typing", "typing_extensions", "dataclasses") and kind.__name__ in ("Generic", "Protocol", "InitVar"):
        raise TypeError(f"{describe(annotation)} is not a type of values")


def refuse_text_and_iterators(value: Any, annotation: Any) -> None:
    """Refuse what could be gone through and is not meant to be."""
    if isinstance(value, (str, bytes, bytearray)):
        raise refused(f"Expected {describe(annotation)}, and text is one value, not many; put it into a list")
    if isinstance(value, abc.Iterator):
        raise refused(f"Expected {describe(annotation)}, and this gives its items only once; make a list of it")


def is_array(annotation: Any, kind: Any) -> bool:
    """Tell whether an annotation is of numpy's arrays, and says of which items."""
    return kind.__module__ == "numpy" and kind.__name__ == "ndarray" and len(typing.get_args(annotation)) == 2


def array(annotation: Any, kind: Any) -> Any:
    """Return the annotation of an array, with the type of an array's items too, where it is declared: ``NDArray[np.float64]``."""
    declared = (typing.get_args(typing.get_args(annotation)[1]) or (Any,))[0]
    item: Any = declared if isinstance(declared, type) and declared is not Any else object

    def check(value: Any) -> Any:
        if not isinstance(value, kind) or not issubclass(value.dtype.type, item):
            raise unexpected(annotation)
        return value

    return checked_by(check)
