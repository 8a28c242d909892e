"""Versions of code: a digest of a function's source, and of the users' code and constants that it reaches.

What is reached is written down in one order. Functions and classes get numbers as they are met, so code may go in circles; the walk is
made anew each time, since a global may have become another one, and only what cannot change is remembered.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, FunctionType, ModuleType
from typing import Any

from daskflow.codevalues import ValueWriter, is_users_name, library_name, unwrapped, word
from daskflow.entity import BRANCH, GATE, Entity, FunctionEntity
from daskflow.errors import DaskflowError
from daskflow.graph import Graph
from daskflow.launchplan import LaunchPlan
from daskflow.map_task import MapTask
from daskflow.shipping import is_users
from daskflow.sourcetext import class_tokens, function_tokens, module_text, named_by

#: Of how versions are made. With another one all versions are others.
_SCHEME = "daskflow code 1"


class CodeError(DaskflowError, ValueError):
    """A function's code has no version, since source that counts cannot be had."""


def code_version(fn: Callable[..., Any], salt: str = "") -> str:
    """Return a digest (32 hex characters) of a function's source and of the users' code and constants that it reaches.

    It is the same in every process and wherever the files lie. Comments, docstrings, blank lines and the decorators of functions do not
    count. What a function reaches are the globals, attributes of users' modules and imports that its code names, what it closes over, its
    defaults, and the classes in its annotations. Of these count:

    - users' functions and entities, and what they reach in turn; of launch plans and maps also the inputs bound to them;
    - users' classes, with what their bodies and methods reach;
    - constants: numbers, text, bytes, enum members, dates, paths, patterns, numpy's arrays, instances of dataclasses and of pydantic's and
      attrs' classes, and tuples, lists, dicts and sets of such, as they are at the time of the call;
    - the names of what is installed or Python's own; of any other object its type.

    Users' modules that a function imports when it runs are imported now.

    Parameters
    ----------
    fn
        The function, or an entity.
    salt : str
        Another salt gives another version.

    Raises
    ------
    CodeError
        When the source of the function, or of another one that it reaches, cannot be had; so it is with lambdas.

    Examples
    --------
    >>> def area(r: float) -> float:
    ...     return 3 * r * r
    >>> before = code_version(area)
    >>> def area(r: float) -> float:
    ...     return 3.14 * r * r  # better
    >>> code_version(area) == before
    False
    """
    return _digest(_Walk(_name_of(fn)), fn, salt)


def version_as_is(fn: Callable[..., Any]) -> str:
    """Return a digest as :func:`code_version` does, of whatever there is of the code, without importing anything.

    Of functions without source, such as lambdas, their bytecode counts; of users' modules that a function imports when it runs all
    their text.

    Examples
    --------
    >>> len(version_as_is(lambda a: a + 1))
    32
    """
    return _digest(_Walk(_name_of(fn), as_is=True), fn, "")


def _name_of(fn: Any) -> str:
    return getattr(fn, "__qualname__", None) or repr(fn)


def _digest(walk: _Walk, fn: Any, salt: str) -> str:
    walk.root(fn)
    text = "".join((_SCHEME, word("salt", salt), *walk.parts))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _text_of(name: str) -> str | None:
    """Return the text of a user's module, wherever it would be imported from; None where there is none."""
    try:
        top, *rest = name.split(".")
        spec = sys.modules[top].__spec__ if top in sys.modules else importlib.util.find_spec(top)
        for at in range(len(rest)):
            places = spec.submodule_search_locations if spec is not None else None
            # To ask importlib.util for it would be to import what it is in.
            spec = PathFinder.find_spec(".".join((top, *rest[: at + 1])), places) if places is not None else None
        return None if spec is None or spec.origin is None or not _is_of_user(name, spec) else module_text(spec.origin)
    except Exception:
        return None


def _imported(name: str, level: int, package: str | None) -> ModuleType | None:
    """Return a user's module that a function imports when it runs; what is installed is not imported for this."""
    try:
        name = importlib.util.resolve_name("." * level + name, package)
        top = name.partition(".")[0]
        users = _has_users(sys.modules[top]) if top in sys.modules else _will_be_users(top)
        return importlib.import_module(name) if users else None
    except Exception:
        return None


def _will_be_users(name: str) -> bool:
    spec = None if name in sys.stdlib_module_names else importlib.util.find_spec(name)
    return spec is not None and _is_of_user(name, spec)


def _is_of_user(name: str, spec: ModuleSpec) -> bool:
    # Not under its own name, by which the answer would be remembered.
    probe = ModuleType(f"{name}, perhaps")
    probe.__file__ = spec.origin or os.path.join(next(iter(spec.submodule_search_locations or [""])), "")
    return is_users(probe)


def _has_users(module: ModuleType) -> bool:
    # A package without a file of its own may be anybody's, in parts.
    return is_users_name(module.__name__) or (hasattr(module, "__path__") and getattr(module, "__file__", None) is None)


def _home(names: Mapping[str, Any]) -> str:
    # The file that is run is named __main__, and others may be loaded under any name.
    stem = os.path.splitext(os.path.basename(names.get("__file__") or ""))[0]
    return stem if stem not in ("", "__init__") else str(names.get("__name__")).rpartition(".")[2]


def _globals_of(thing: Any) -> dict[str, Any]:
    if isinstance(thing, FunctionType):
        return thing.__globals__
    return vars(sys.modules.get(thing.__module__) or ModuleType(thing.__module__))


def _full_name(thing: Any) -> str:
    return f"{_home(_globals_of(thing))}.{thing.__qualname__}"


#: What functions that classes were given by dataclasses and the like are said to come from.
_GENERATED = ("<string>", "<attrs")


class _Walk(ValueWriter):
    """Writes down what a function is and reaches.

    Parameters
    ----------
    root : str
        What errors call the function.
    shallow : bool
        Whether users' functions and classes are written by name alone, as is enough to sort by.
    as_is : bool
        Whether what has no source is written as bytecode, and what would have to be imported as text.
    """

    def __init__(self, root: str, shallow: bool = False, as_is: bool = False) -> None:
        super().__init__()
        self._root = root
        self._shallow = shallow
        self._as_is = as_is
        self._numbers: dict[int, int] = {}
        self._met: list[Any] = []
        #: What is counted of users' modules that are met: what the code at hand names.
        self._attributes: frozenset[str] = frozenset()

    def root(self, fn: Any) -> None:
        """Write a function with all that it reaches."""
        if isinstance(fn, FunctionType) and not hasattr(fn, "__wrapped__"):
            self._reference(fn)
        else:
            # Where users decorate with a library's wrapper, it is what is wrapped that is theirs.
            self.value(fn)
        for one in self._met:
            self._class(one) if isinstance(one, type) else self._function(one)

    def order(self, value: Any) -> str:
        """Return what a value is written as when functions and classes are written by name."""
        walk = _Walk(self._root, shallow=True)
        walk._inside = self._inside
        walk.value(value)
        return "".join(walk.parts)

    def _reference(self, thing: Any) -> None:
        if self._shallow:
            self.put("named", _full_name(thing))
            return
        number = self._numbers.setdefault(id(thing), len(self._met))
        if number == len(self._met):
            self._met.append(thing)
        self.put("#", str(number))

    def _function_met(self, function: FunctionType) -> None:
        module = function.__globals__.get("__name__")
        if is_users_name(module):
            self._reference(function)
        else:
            self.put("library", f"{module}.{function.__code__.co_qualname}")
            self.wrapped(function)

    def _class_met(self, cls: type) -> None:
        if is_users_name(cls.__module__):
            self._reference(cls)
        else:
            self.put("library", library_name(cls))

    def _module_met(self, module: ModuleType) -> None:
        if _has_users(module):
            self._globals(sorted(self._attributes & vars(module).keys()), vars(module))
        else:
            self.put("library", module.__name__)

    def _entity_met(self, entity: Any) -> None:
        self.put("entity", entity.kind_name)
        if isinstance(entity, LaunchPlan):
            self.values("plan", (entity.workflow, entity.fixed_inputs, entity.default_inputs))
        elif isinstance(entity, MapTask):
            self.values("map", (entity.target, entity.bound))
        elif isinstance(entity, FunctionEntity):
            self.value(entity.fn)
            if entity.fn is None:
                # It was put together call by call.
                self.value(entity.graph)  # type: ignore[attr-defined]
        elif entity.kind == BRANCH:
            self.value(entity.branches)
        elif entity.kind == GATE:
            self.put("gate", entity.name)

    def _graph_met(self, graph: Graph) -> None:
        self.values("graph", ((one.entity, one.constants, one.whole, one.nested, one.after) for one in graph.nodes))
        self.value(graph.output)

    def _function(self, function: FunctionType) -> None:
        self.put("function", _full_name(function))
        self.put("source", "\0".join(self._tokens(function)))
        self._reached(function)

    def _tokens(self, function: FunctionType) -> tuple[str, ...]:
        name, code = function.__qualname__, function.__code__
        if code.co_name == "<lambda>":
            if self._as_is:
                return tuple(self._bytecode(code))
            raise CodeError(f"the code of {self._root} has no version, since {name} is a lambda: make it a def, or give cache_version")
        try:
            return function_tokens(code, function.__globals__)
        except (ValueError, SyntaxError, tokenize.TokenError) as error:
            if self._as_is:
                return tuple(self._bytecode(code))
            raise CodeError(f"the code of {self._root} has no version, since {name} has no source: give cache_version") from error

    def _bytecode(self, code: CodeType) -> Iterator[str]:
        yield from (code.co_code.hex(), code.co_exceptiontable.hex(), *code.co_names, "", *code.co_varnames, "")
        for one in code.co_consts:
            # As values are written, since sets of constants have another order in each process.
            yield from self._bytecode(one) if isinstance(one, CodeType) else (self.order(one),)

    def _reached(self, function: FunctionType) -> None:
        names, named = function.__globals__, named_by(function.__code__)
        self._attributes = named.attributes
        self._globals(named.globals, names)
        for module, level, wanted in named.imports:
            self._import(module, level, wanted, names)
        for cell in function.__closure__ or ():
            try:
                self.value(cell.cell_contents)
            except ValueError:
                self.put("empty")
        self.values("defaults", (function.__defaults__, function.__kwdefaults__))
        self._annotations(function.__annotations__, names)

    def _globals(self, wanted: Iterable[str], names: Mapping[str, Any]) -> None:
        for name in wanted:
            # What a module says of itself is another thing in __main__, and says where it lies.
            if name in names and not name.startswith("__"):
                self.put("name", name)
                self.value(names[name])

    def _import(self, name: str, level: int, wanted: tuple[str, ...], names: Mapping[str, Any]) -> None:
        self.put("import", name)
        if self._as_is:
            self._texts("." * level + name, wanted, names.get("__package__"))
            return
        module = _imported(name, level, names.get("__package__"))
        if module is None:
            return
        for one in wanted:
            if one not in vars(module):
                _imported(f"{module.__name__}.{one}", 0, None)
        self._globals(wanted, vars(module))
        if not wanted:
            self.values("modules", (module, sys.modules[module.__name__.partition(".")[0]]))

    def _texts(self, name: str, wanted: tuple[str, ...], package: str | None) -> None:
        try:
            full = importlib.util.resolve_name(name, package)
        except ImportError:
            return
        for one in (full, *(f"{full}.{one}" for one in wanted)):
            text = _text_of(one)
            if text is not None:
                self.put("text", text)

    def _annotations(self, annotations: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        for one in annotations.values():
            if isinstance(one, str):
                self.put("annotation", one)
                self._globals(re.findall(r"\w+", one), names)
            else:
                self.value(one)

    def _class(self, cls: type) -> None:
        names, tokens = _globals_of(cls), class_tokens(cls)
        self.put("class", _full_name(cls))
        self.put("source", "\0".join(tokens))
        self.values("bases", cls.__bases__)
        # Names of what makes the class, such as its decorators and its fields' factories, are nowhere but in its text. What is
        # named there as its own attributes are, such as its fields, is another thing.
        self._attributes = frozenset(tokens)
        self._globals(sorted(self._attributes - vars(cls).keys() - vars(cls).get("__annotations__", {}).keys()), names)
        if not tokens:
            self._annotations(vars(cls).get("__annotations__", {}), names)
        for name in sorted(vars(cls)):
            for one in unwrapped(vars(cls)[name]):
                self._attribute(cls, name, one, f"{cls.__qualname__}." if tokens else None)
        if issubclass(cls, Enum):
            self.value({name: member._value_ for name, member in cls.__members__.items()})

    def _attribute(self, cls: type, name: str, value: Any, written: str | None) -> None:
        if isinstance(value, FunctionType):
            if value.__code__.co_filename.startswith(_GENERATED) or not is_users_name(value.__globals__.get("__name__")):
                return
            self.put("name", name)
            # Methods whose source is that of the class.
            if written is not None and value.__code__.co_qualname.startswith(written):
                self._reached(value)
            else:
                self.value(value)
        elif hasattr(type(value), "__get__") and not is_users_name(type(value).__module__):
            # Slots and the like, which the text tells of.
            self.wrapped(value)
        elif not name.startswith("__") and not issubclass(cls, Enum):
            self._globals((name,), {name: value})


_Walk.writers = (
    (Entity, _Walk._entity_met),
    (FunctionType, _Walk._function_met),
    (type, _Walk._class_met),
    (ModuleType, _Walk._module_met),
    (Graph, _Walk._graph_met),
    *ValueWriter.writers,
)
