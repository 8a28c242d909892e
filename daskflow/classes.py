"""Users' classes as they travel by value: with the types of their fields, and without harm to the class where it comes from.

cloudpickle knows a class that it has met again, and then gives it its attributes once more. Where the class was defined that would
put copies in the place of its methods, which do not see what changes in their module.

What is kept for other processes is read there with the classes that their code has (:func:`loads_by_name`): a class by value that came from
another process is another class, of which no instance is one of the class of that name.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import sys
import threading
import typing
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from daskflow.annotations import hints_of

#: The parts of what cloudpickle makes of a class by value; the last one is what fills it.
_BY_VALUE = 6

#: Classes that arrived here from elsewhere, and those that were defined here and have travelled.
_arrived: weakref.WeakSet[type] = weakref.WeakSet()
_own: weakref.WeakSet[type] = weakref.WeakSet()


#: By classes that have travelled, the modules that they were defined in.
_homes: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
#: By shipments, the classes that came with them, by module and name.
_shipments: dict[str, weakref.WeakValueDictionary[tuple[str, str], type]] = {}


class _State(threading.local):
    """What a thread is at."""

    #: The shipment that it unpickles, and the one whose code it executes.
    unpacked: str | None = None
    executed: str | None = None
    #: The classes that it has found by their names, while it looks for such.
    found: set[type] | None = None


_state = _State()


def travelling(kind: type, reduced: Any) -> Any:
    """Return what is pickled of a class, from what cloudpickle would pickle; what goes by its name is left as it is."""
    if not isinstance(reduced, tuple) or len(reduced) != _BY_VALUE:
        return reduced
    if kind not in _arrived:
        _own.add(kind)
    make, given, (attributes, slots), items, pairs, fill = reduced
    if "<locals>" not in kind.__qualname__:
        make, given = _made, (make, given, home(kind), kind.__qualname__)
    return make, given, (fill, (_with_types(kind, attributes), slots)), items, pairs, _filled


def _made(make: Any, given: tuple[Any, ...], module: str, name: str) -> type:
    found = None if _state.found is None else _at_hand(module, name)
    if found is not None:
        assert _state.found is not None
        _state.found.add(found)
        return found
    kind: type = make(*given)
    _homes[kind] = module
    if _state.unpacked is not None:
        _shipments.setdefault(_state.unpacked, weakref.WeakValueDictionary())[module, name] = kind
    return kind


def _filled(kind: type, state: Any) -> Any:
    fill, attributes = state
    if kind in _own or kind in (_state.found or ()):
        return kind
    _arrived.add(kind)
    return fill(kind, attributes)


def home(kind: type) -> str:
    """Return the name of the module that a class was defined in, as whoever imports it has it: of a script, that of its file."""
    known = _homes.get(kind)
    if known is not None:
        return known
    module = sys.modules.get(kind.__module__)
    return kind.__module__ if module is None else _home_of(module)


def _home_of(module: ModuleType) -> str:
    if module.__name__ not in ("__main__", "__mp_main__"):
        # One that is named like a module of Python's own is imported under another name.
        return module.__name__.removeprefix("_file_")
    file, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
    return spec.name if spec is not None else os.path.splitext(os.path.basename(file))[0] if file else module.__name__


def _at_hand(module: str, name: str) -> type | None:
    """Return the class of that name that the code has which is executed; where that is this process' own, the one that is here."""
    if _state.executed is not None:
        came = _shipments.get(_state.executed)
        return None if came is None else came.get((module, name))
    for one in map(sys.modules.get, (module, f"_file_{module}", "__main__")):
        if one is not None and _home_of(one) == module:
            found: Any = one
            for part in name.split("."):
                found = getattr(found, part, None)
            if isinstance(found, type):
                return found
    return None


@contextmanager
def unpacking(digest: str) -> Iterator[None]:
    """Take note of the classes that are unpickled meanwhile: they are those of a shipment."""
    outer, _state.unpacked = _state.unpacked, digest
    try:
        yield
    finally:
        _state.unpacked = outer


def forget_unused() -> None:
    """Let go of shipments none of whose classes are alive."""
    for digest in [one for one, found in list(_shipments.items()) if not found]:
        _shipments.pop(digest, None)


@contextmanager
def executing(digest: str | None) -> Iterator[None]:
    """Say whose classes are meant in this thread meanwhile: those of a shipment, or where that is None this process' own."""
    outer, _state.executed = _state.executed, digest
    try:
        yield
    finally:
        _state.executed = outer


#: What is in each pickle that has a class, or anything else by its name; many others are read in a fraction of the time.
_GLOBAL = pickle.STACK_GLOBAL


class _ByName(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = None if module in sys.modules else _at_hand(module, name)
        return super().find_class(module, name) if found is None else found


def loads_by_name(data: Any, buffers: Iterable[Any] = ()) -> Any:
    """Unpickle what may come from another process, with the classes of the code that is executed here.

    Raises
    ------
    Exception
        What unpickling users' values raises.
    """
    if type(data) is bytes and _GLOBAL not in data:
        return pickle.loads(data, buffers=buffers)
    outer, _state.found = _state.found, set()
    try:
        return _ByName(io.BytesIO(data), buffers=buffers).load()
    finally:
        _state.found = outer


def _with_types(kind: type, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put types in the place of their names: the module where the names mean something stays behind."""
    written: Mapping[str, Any] = vars(kind).get("__annotations__") or {}
    if not any(isinstance(one, (str, typing.ForwardRef)) for one in written.values()):
        return attributes
    hints = hints_of(kind)
    resolved = {**attributes, "__annotations__": {name: hints.get(name, one) for name, one in written.items()}}
    if fields := attributes.get("__dataclass_fields__"):
        resolved["__dataclass_fields__"] = {name: _typed(field, hints) for name, field in fields.items()}
    return resolved


def _typed(field: Any, hints: Mapping[str, Any]) -> Any:
    typed = copy.copy(field)
    typed.type = hints.get(field.name, field.type)
    return typed
