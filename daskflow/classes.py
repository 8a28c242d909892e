"""Users' classes as they travel by value: with the types of their fields, and without harm to the class where it comes from.

cloudpickle knows a class that it has met again, and then gives it its attributes once more. Where the class was defined that would
put copies in the place of its methods, which do not see what changes in their module.
"""

from __future__ import annotations

import copy
import typing
import weakref
from collections.abc import Mapping
from typing import Any

from daskflow.annotations import hints_of

#: The parts of what cloudpickle makes of a class by value; the last one is what fills it.
_BY_VALUE = 6

#: Classes that arrived here from elsewhere, and those that were defined here and have travelled.
_arrived: weakref.WeakSet[type] = weakref.WeakSet()
_own: weakref.WeakSet[type] = weakref.WeakSet()


def travelling(kind: type, reduced: Any) -> Any:
    """Return what is pickled of a class, from what cloudpickle would pickle; what goes by its name is left as it is."""
    if not isinstance(reduced, tuple) or len(reduced) != _BY_VALUE:
        return reduced
    if kind not in _arrived:
        _own.add(kind)
    make, given, (attributes, slots), items, pairs, fill = reduced
    return make, given, (fill, (_with_types(kind, attributes), slots)), items, pairs, _filled


def _filled(kind: type, state: Any) -> Any:
    fill, attributes = state
    if kind in _own:
        return kind
    _arrived.add(kind)
    return fill(kind, attributes)


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
