"""From an entity's interface to command-line options, and from text to inputs."""

from __future__ import annotations

import datetime
import enum
import inspect
import json
import os
import re
import sys
import typing
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from daskflow.blobs import Directory, File
from daskflow.entity import Entity
from daskflow.errors import InputError
from daskflow.interface import Interface, Parameter
from daskflow.planoptions import PlanInterface
from daskflow.types import describe, is_union, shorten, strip

_PLAIN: dict[Any, Any] = {int: click.INT, float: click.FLOAT, str: click.STRING}
#: Written as in JSON, without its quotes.
_TEXTUAL = (datetime.datetime, datetime.date, datetime.timedelta, datetime.time, Path, Decimal, UUID)


def _core(annotation: Any) -> Any:
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
    except pydantic.errors.PydanticUserError:
        raise InputError(f"a value of type {describe(annotation)} cannot be written as JSON; call the entity from Python") from None


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


def _type(annotation: Any) -> Any:
    core = _core(annotation)
    if core in _PLAIN:
        return _PLAIN[core]
    if isinstance(core, type) and issubclass(core, (Directory, File)):
        return click.STRING
    if isinstance(core, type) and issubclass(core, enum.Enum):
        return _OneOf({one.name: one for one in core})
    if typing.get_origin(core) is typing.Literal:
        return _OneOf({str(one): one for one in typing.get_args(core)})
    return _Textual(core) if core in _TEXTUAL else _Json(annotation)


def option(parameter: Parameter, help: str = "") -> click.Option:
    """Return the command-line option for one input. It has no default: what is not given is the entity's affair."""
    flag = parameter.name.replace("_", "-")
    note = "" if parameter.required else f"[default: {shorten(parameter.default)}]"
    shared: dict[str, Any] = {"default": None, "help": f"{help} {note or '[required]'}".strip()}
    if _core(parameter.annotation) is bool:
        return click.Option([parameter.name, f"--{flag}/--no-{flag}"], **shared)
    names = dict.fromkeys([f"--{flag}", f"--{parameter.name}"])
    return click.Option([parameter.name, *names], type=_type(parameter.annotation), **shared)


def options(entity: Entity[..., Any]) -> list[click.Option]:
    """Return the options for all inputs of an entity, with help from its numpydoc docstring."""
    helps = parameter_docs(inspect.getdoc(entity) or "")
    own = [option(one, helps.get(one.name, "")) for one in entity.interface.parameters.values()]
    return [*own, *_fixed(entity.interface)]


def _fixed(interface: Interface) -> list[click.Option]:
    """Return options for what a launch plan has fixed: they are not shown, and say so where they are given."""
    if not isinstance(interface, PlanInterface):
        return []

    def refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            raise click.UsageError(interface.why_fixed(str(param.name)))

    hidden: dict[str, Any] = {"default": None, "hidden": True, "expose_value": False, "callback": refuse}
    return [click.Option([name, *_flags(name, value)], **hidden) for name, value in interface.fixed.items()]


def _flags(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    return [f"--{flag}/--no-{flag}"] if isinstance(value, bool) else list(dict.fromkeys([f"--{flag}", f"--{name}"]))


_HEADING = re.compile(r"^Parameters\n-+\n", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+(?:, \w+)*)(?: *:.*)?\n((?:[ \t]+.*\n?|\n(?=[ \t]))+)", re.MULTILINE)


def parameter_docs(doc: str) -> dict[str, str]:
    r"""Return what a numpydoc docstring says of each parameter.

    Examples
    --------
    >>> parameter_docs("Add.\n\nParameters\n----------\na : int\n    The first.\n")
    {'a': 'The first.'}
    """
    heading = _HEADING.search(doc)
    if heading is None:
        return {}
    section = re.split(r"\n\n?[A-Z]\w+(?: \w+)*\n-{3,}\n", doc[heading.end() :])[0]
    found = {}
    for entry in _ENTRY.finditer(section + "\n"):
        for name in entry[1].split(", "):
            found[name] = " ".join(entry[2].split())
    return found


def read_inputs(path: str, interface: Interface) -> dict[str, Any]:
    """Read inputs from a JSON or YAML file, or from standard input where the path is ``-``.

    Raises
    ------
    InputError
        When the file cannot be read, is no mapping, or names an unknown input, or a value does not fit.
    """
    import yaml

    try:
        text = sys.stdin.read() if path == "-" else _text(path)
        given = yaml.safe_load(text) if text.strip() else {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"inputs cannot be read from {path}: {error}") from None
    if not isinstance(given, dict):
        raise InputError(f"{path} must hold a mapping from inputs to values, not {shorten(given)}")
    return {str(name): _checked(path, interface, str(name), value) for name, value in given.items()}


def _text(path: str) -> str:
    with open(os.fspath(path), encoding="utf-8") as file:
        return file.read()


def _checked(path: str, interface: Interface, name: str, value: Any) -> Any:
    if isinstance(interface, PlanInterface) and name in interface.fixed:
        raise InputError(f"{path} names the input {name!r}; {interface.why_fixed(name)}")
    if name not in interface.parameters:
        raise InputError(f"{path} names the input {name!r}; {interface.name} takes {interface.signature() or 'no inputs'}")
    annotation = interface.parameters[name].annotation
    if annotation is Any or annotation is object:
        return value
    core = _core(annotation)
    if isinstance(core, type) and issubclass(core, enum.Enum) and isinstance(value, str) and value in core.__members__:
        return core[value]
    try:
        return from_json(annotation, json.dumps(value, default=str))
    except InputError as error:
        raise InputError(f"input {name!r} in {path}: {error}") from None
