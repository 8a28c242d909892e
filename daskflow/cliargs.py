"""From an entity's interface to command-line options, and from text to inputs."""

from __future__ import annotations

import enum
import inspect
import json
import os
import re
import sys
from typing import Any

import click

from daskflow.entity import Entity
from daskflow.errors import InputError
from daskflow.interface import Interface, Parameter
from daskflow.plaintext import core_of, from_json, type_of
from daskflow.planoptions import PlanInterface
from daskflow.types import shorten


def option(parameter: Parameter, help: str = "") -> click.Option:
    """Return the command-line option for one input. It has no default: what is not given is the entity's affair."""
    flag = parameter.name.replace("_", "-")
    note = "" if parameter.required else f"[default: {shorten(parameter.default)}]"
    shared: dict[str, Any] = {"default": None, "help": f"{help} {note or '[required]'}".strip()}
    if core_of(parameter.annotation) is bool:
        return click.Option([parameter.name, f"--{flag}/--no-{flag}"], **shared)
    names = dict.fromkeys([f"--{flag}", f"--{parameter.name}"])
    return click.Option([parameter.name, *names], type=type_of(parameter.annotation), **shared)


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
    core = core_of(annotation)
    if isinstance(core, type) and issubclass(core, enum.Enum) and isinstance(value, str) and value in core.__members__:
        return core[value]
    try:
        return from_json(annotation, json.dumps(value, default=str))
    except InputError as error:
        raise InputError(f"input {name!r} in {path}: {error}") from None
