"""Finding an entity in a user's file or module."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from daskflow.entity import Entity
from daskflow.errors import InputError
from daskflow.launchplan import LaunchPlan


def load(file: str) -> ModuleType:
    """Import a file by its path, or a module by its dotted name.

    As with ``python file``, the file's directory goes first on ``sys.path``; as with an import, it runs once.

    Raises
    ------
    InputError
        When there is no such file or module. What the file itself raises comes through as it is.
    """
    if not file.endswith(".py") and os.sep not in file:
        return _module(file)
    path = os.path.abspath(file)
    if not os.path.isfile(path):
        raise InputError(f"there is no file {file}")
    name = _module_name(path)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == path:
        return known
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def again(name: str, file: str) -> ModuleType:
    """Import the module of that name anew in another process, from the file that it was imported from if that is known.

    Raises
    ------
    InputError
        As :func:`load`.
    """
    root = _root(name, file)
    if "." not in name or root is None:
        return load(file or name)
    # A module of a package may import what is beside it.
    if root not in sys.path:
        sys.path.insert(0, root)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        return load(file)


def _root(name: str, file: str) -> str | None:
    """Return the directory from which a module of that name is imported where it is in this file."""
    stem = os.path.splitext(file)[0].removesuffix(f"{os.sep}__init__")
    end = os.sep + name.replace(".", os.sep)
    return stem.removesuffix(end) if stem.endswith(end) else None


def _module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InputError(f"there is no module {name}; a file is given by its path, such as {name}.py") from None
        raise


def _module_name(path: str) -> str:
    stem = os.path.splitext(os.path.basename(path))[0]
    # A file that is named like a module of Python's own must not take its place.
    taken = stem in sys.stdlib_module_names or getattr(sys.modules.get(stem), "__file__", path) != path
    return f"_file_{stem}" if taken else stem


def entities(module: ModuleType) -> dict[str, Entity[..., Any]]:
    """Return the entities of a module by the names of their variables; launch plans by their own names as well."""
    found = {name: value for name, value in vars(module).items() if isinstance(value, Entity)}
    plans = {value.name: value for value in found.values() if isinstance(value, LaunchPlan) and value.name != value.workflow.name}
    return {**plans, **found}


def entity(module: ModuleType, name: str) -> Entity[..., Any]:
    """Return the entity of that name.

    Raises
    ------
    InputError
        When there is none; it names those that there are.
    """
    found = entities(module)
    if name in found:
        return found[name]
    file = getattr(module, "__file__", None) or module.__name__
    if not found:
        raise InputError(f"{file} has no task, workflow, dynamic, map or launch plan")
    close = difflib.get_close_matches(name, found, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise InputError(f"{file} has no entity {name!r}; {hint}it has {', '.join(found)}")
