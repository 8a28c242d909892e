"""From what people type to values: options on the command line, answers at gates."""

from __future__ import annotations

import datetime
import enum
import json
import typing
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from daskflow.blobs import Directory, File
from daskflow.errors import InputError
from daskflow.types import Checker, Mismatch, describe, is_union, shorten, strip

_PLAIN: dict[Any, Any] = {int: click.INT, float: click.FLOAT, str: click.STRING}
#: Written as in JSON, without its quotes.
_TEXTUAL = (datetime.datetime, datetime.date, datetime.timedelta, datetime.time, Path, Decimal, UUID)


def core_of(annotation: Any) -> Any:
    """Return the annotation without ``Annotated`` and without ``None``."""
    annotation = strip(annotation)
    if is_union(annotation):
        rest = [one for one in typing.get_args(annotation) if one is not type(None)]
        return strip(rest[0]) if len(rest) == 1 else annotation
    return annotation


def from_json(annotation: Any, text: str) -> Any:
    """Return the value of a declared type that a JSON text stands for.

    Raises
    ------
    InputError
        When it is no JSON, or does not fit.

    Examples
    --------
    >>> from_json(list[int], "[1, 2]")
    [1, 2]
    """
    if annotation is Any or annotation is object:
        return _any_json(text)
    import pydantic

    try:
        return pydantic.TypeAdapter(annotation).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"[{part!r}]" for part in first["loc"])
        raise InputError(
            f"{shorten(text)} is not {describe(annotation)} as JSON: {f'at {where}: ' if where else ''}{first['msg']}"
        ) from None
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation):
        raise InputError(f"a value of type {describe(annotation)} cannot be written as JSON; give it from Python") from None


def _any_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Json(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A value given as JSON."""

    name = "json"

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the text."""
        if not isinstance(value, str):
            return value
        try:
            return from_json(self.annotation, value)
        except InputError as error:
            self.fail(str(error), param, ctx)

    def get_metavar(self, param: Any, ctx: Any = None) -> str:
        """Return what the help shows."""
        return f"JSON ({describe(self.annotation)})"


class _Textual(_Json):
    """A date, time or duration, written as in JSON but without its quotes."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Parse the text."""
        return super().convert(json.dumps(value) if isinstance(value, str) else value, param, ctx)

    def get_metavar(self, param: Any, ctx: Any = None) -> str:
        """Return what the help shows."""
        return describe(self.annotation).upper()


class _OneOf(click.Choice[Any]):
    """One of the members of an enum, or of the values of a Literal, by its text; a member by that of its value too, as in Flyte."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(list(values))
        self.values = values
        self.names = {str(one.value): name for name, one in values.items() if isinstance(one, enum.Enum)}

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Find the value."""
        if not isinstance(value, str):
            return value
        name = value if value in self.values else self.names.get(value, value)
        return self.values[super().convert(name, param, ctx)]


def type_of(annotation: Any) -> Any:
    """Return the type of option or argument that takes values of a declared type."""
    core = core_of(annotation)
    if core in _PLAIN:
        return _PLAIN[core]
    if isinstance(core, type) and issubclass(core, (Directory, File)):
        return click.STRING
    if isinstance(core, type) and issubclass(core, enum.Enum):
        return _OneOf({one.name: one for one in core})
    if typing.get_origin(core) is typing.Literal:
        return _OneOf({str(one): one for one in typing.get_args(core)})
    return _Textual(core) if core in _TEXTUAL else _Json(annotation)


def typed(checker: Checker, text: str) -> Any:
    """Return the value that a text stands for: as JSON, or plainly, as it would be given for an option.

    Raises
    ------
    InputError
        When it fits in no way.

    Examples
    --------
    >>> typed(Checker(list[int]), "[1, 2]"), typed(Checker(str), "two words"), typed(Checker(bool), "yes")
    ([1, 2], 'two words', True)
    """
    said: list[str] = []
    for read in (from_json, _plain, _as_it_is):
        try:
            return checker.check(read(checker.annotation, text))
        except (InputError, click.UsageError, Mismatch) as error:
            said.append(error.message if isinstance(error, click.UsageError) else str(error))
    raise InputError(said[0 if _is_json(text) else 1])


def _plain(annotation: Any, text: str) -> Any:
    # click takes nothing at all for no.
    kind = _YES_OR_NO if core_of(annotation) is bool else type_of(annotation)
    return kind.convert(text, None, None)


_YES_OR_NO = _OneOf({"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False})


def choices(annotation: Any) -> list[str]:
    """Return the texts of which one is to be given; empty where it can be any."""
    kind = type_of(annotation)
    return list(kind.choices) if isinstance(kind, _OneOf) else []


def _as_it_is(_: Any, text: str) -> str:
    return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
