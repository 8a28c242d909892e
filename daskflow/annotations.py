"""What can be read off an annotation without a value: its core, its kind, and the types of its fields. Pure."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types as _types
import typing
from collections.abc import Iterable, Iterator
from typing import Any


def describe(annotation: Any) -> str:
    """Return the annotation as a user would write it, without what ``Annotated`` says beside the type.

    Examples
    --------
    >>> describe(int), describe(list[int]), describe(None)
    ('int', 'list[int]', 'None')
    >>> describe(list[typing.Annotated[int, "a note"]])
    'list[int]'
    """
    if annotation is type(None) or annotation is None:
        return "None"
    if typing.get_origin(annotation) is typing.Annotated:
        return describe(typing.get_args(annotation)[0])
    if isinstance(annotation, (type, typing.NewType)) and not typing.get_args(annotation):
        return str(getattr(annotation, "__qualname__", annotation))
    text = str(annotation)
    if "Annotated[" in text:
        text = str(_plain(annotation))
    return text.replace("typing.", "")


def _plain(annotation: Any) -> Any:
    """Return the annotation without ``Annotated`` at any depth."""
    holder: Any = _types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder)["it"]


def shorten(value: Any, limit: int = 80) -> str:
    """Return a bounded ``repr`` that never raises."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def is_union(annotation: Any) -> bool:
    """Tell whether the annotation is ``X | Y``, ``Union`` or ``Optional``."""
    return typing.get_origin(annotation) in (typing.Union, _types.UnionType)


def strip(annotation: Any) -> Any:
    """Return the annotation without ``Annotated``."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


def core(annotation: Any) -> Any:
    """Return what the annotation stands for: without ``Annotated``, ``NewType``, and names given to types.

    Examples
    --------
    >>> UserId = typing.NewType("UserId", int)
    >>> core(typing.Annotated[UserId, "a note"])
    <class 'int'>
    """
    while True:
        annotation = strip(annotation)
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif is_alias(annotation):
            annotation = alias_value(annotation)
        elif isinstance(annotation, typing.TypeVar):
            return _bound(annotation)
        else:
            return type(None) if annotation is None else annotation


def _bound(variable: typing.TypeVar) -> Any:
    if variable.__constraints__:
        return union_of(variable.__constraints__)
    return core(variable.__bound__) if variable.__bound__ is not None else Any


def is_alias(annotation: Any) -> bool:
    """Tell whether the annotation is a name given to a type: ``type Name = ...``, with arguments or without."""
    return "TypeAliasType" in (type(annotation).__name__, type(typing.get_origin(annotation)).__name__)


def alias_value(annotation: Any) -> Any:
    """Return the type that a name is given to.

    Raises
    ------
    TypeError
        When that refers to something that is not there.
    """
    name = typing.get_origin(annotation) or annotation
    module = vars(sys.modules.get(name.__module__, _types.SimpleNamespace()))
    holder: Any = _types.SimpleNamespace(__annotations__={"it": name.__value__})
    try:
        value = typing.get_type_hints(holder, module, {name.__name__: name}, include_extras=True)["it"]
    except NameError as error:
        raise TypeError(f"{describe(annotation)} cannot be resolved: {error}") from None
    args = typing.get_args(annotation)
    return _substituted(value, dict(zip(name.__type_params__, args, strict=False))) if args else value


def is_unknown(annotation: Any) -> bool:
    """Tell whether nothing can be said of the values."""
    return annotation is Any or annotation is object or isinstance(annotation, (str, typing.ForwardRef, typing.TypeVar))


def is_namedtuple(annotation: Any) -> bool:
    """Tell whether the annotation is a NamedTuple class."""
    return isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields")


def is_typeddict(annotation: Any) -> bool:
    """Tell whether the annotation is a TypedDict class, of ``typing`` or of ``typing_extensions``."""
    return isinstance(annotation, type) and issubclass(annotation, dict) and hasattr(annotation, "__required_keys__")


def is_dataclass(annotation: Any) -> bool:
    """Tell whether the annotation is a dataclass."""
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def is_model(annotation: Any) -> bool:
    """Tell whether the annotation is a pydantic model; does not import pydantic."""
    return isinstance(annotation, type) and hasattr(annotation, "model_fields") and hasattr(annotation, "__pydantic_validator__")


def is_protocol(annotation: Any) -> bool:
    """Tell whether the annotation is a Protocol class."""
    return isinstance(annotation, type) and bool(getattr(annotation, "_is_protocol", False))


def is_open_model(kind: Any) -> bool:
    """Tell whether a pydantic model's class says itself what becomes an instance, or of its instances that they are checked again."""
    decorators = getattr(kind, "__pydantic_decorators__", None)
    return bool(getattr(decorators, "model_validators", ())) or kind.model_config.get("revalidate_instances", "never") != "never"


def has_own_check(annotation: Any) -> bool:
    """Tell whether a class says itself, in pydantic's way, what it accepts."""
    return isinstance(annotation, type) and hasattr(annotation, "__get_pydantic_core_schema__") and not is_model(annotation)


def members(annotation: Any) -> tuple[Any, ...]:
    """Return a union's members; of any other annotation itself."""
    annotation = core(annotation)
    if not is_union(annotation):
        return (annotation,)
    return tuple(inner for one in typing.get_args(annotation) for inner in members(one))


def without_none(annotation: Any) -> Any:
    """Return the annotation without ``None`` as a member.

    Examples
    --------
    >>> without_none(int | None), without_none(int | str | None)
    (<class 'int'>, typing.Union[int, str])
    """
    annotation = core(annotation)
    if not is_union(annotation):
        return annotation
    rest = [one for one in typing.get_args(annotation) if core(one) is not type(None)]
    if len(rest) == len(typing.get_args(annotation)):
        return annotation
    return union_of(rest) if rest else type(None)


def union_of(kinds: Iterable[Any]) -> Any:
    """Return the union of one or more annotations."""
    return functools.reduce(lambda left, right: typing.Union[left, right], kinds)  # noqa: UP007


def class_of(annotation: Any) -> type | None:
    """Return the class that values are instances of, where the annotation is one or is made of one."""
    origin = typing.get_origin(annotation) or annotation
    return origin if isinstance(origin, type) else None


def field_types(annotation: Any) -> dict[str, Any]:
    """Return the declared types of the fields of a dataclass, NamedTuple, TypedDict or model, in order.

    A name that only a type checker knows gives ``Any``.

    Examples
    --------
    >>> class Pair(typing.NamedTuple):
    ...     low: int
    ...     high: float
    >>> field_types(Pair)
    {'low': <class 'int'>, 'high': <class 'float'>}
    """
    kind: Any = class_of(annotation)
    if is_model(kind):
        return {name: one.annotation for name, one in kind.model_fields.items()}
    hints = _hints_of(kind)
    given = dict(zip(getattr(kind, "__parameters__", ()), typing.get_args(annotation), strict=False))
    return {name: _substituted(hints.get(name, Any), given) for name in _field_names(kind)}


def _field_names(kind: Any) -> tuple[str, ...]:
    if is_namedtuple(kind):
        return tuple(kind._fields)
    if dataclasses.is_dataclass(kind):
        return tuple(one.name for one in dataclasses.fields(kind))
    return tuple(_hints_of(kind))


def _substituted(annotation: Any, given: dict[Any, Any]) -> Any:
    """Put a generic class' arguments in the place of its type variables."""
    if not given:
        return annotation
    if isinstance(annotation, typing.TypeVar):
        return given.get(annotation, annotation)
    variables = getattr(annotation, "__parameters__", ()) if typing.get_origin(annotation) is not None else ()
    return annotation[tuple(given.get(one, one) for one in variables)] if variables else annotation


def hints_of(kind: type) -> dict[str, Any]:
    """Return the resolved annotations of a class, and of what it inherits from."""
    return _hints_of(kind)


@functools.lru_cache(maxsize=1024)
def _hints_of(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:
        return dict(_one_by_one(kind))


def _one_by_one(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield those annotations that can be resolved, and ``Any`` for those that only a type checker can."""
    for base in reversed(kind.__mro__):
        module = vars(sys.modules.get(base.__module__, _types.SimpleNamespace()))
        for name, annotation in inspect.get_annotations(base).items():
            holder: Any = _types.SimpleNamespace(__annotations__={name: annotation})
            try:
                yield from typing.get_type_hints(holder, module, {**vars(base), kind.__name__: kind}, include_extras=True).items()
            except Exception:
                yield name, Any


#: How a TypedDict says that a key must or need not be there, or cannot be changed.
_KEY_FORMS = {"Required": True, "NotRequired": False, "ReadOnly": None}


def key_types(annotation: Any) -> dict[str, tuple[Any, bool]]:
    """Return the types of a TypedDict's keys, each with whether the key must be there."""
    kind: Any = class_of(annotation)
    found = {}
    for name, annotated in field_types(annotation).items():
        hint, required = annotated, name in kind.__required_keys__
        while (form := getattr(typing.get_origin(hint), "_name", None)) in _KEY_FORMS:
            required = required if _KEY_FORMS[form] is None else bool(_KEY_FORMS[form])
            hint = typing.get_args(hint)[0]
        found[name] = (hint, required)
    return found
