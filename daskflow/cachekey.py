"""Keys of the cache: what a node's result depends on, as text that is the same in every process. Pure.

A key is a digest of the entity's name, its version, its interface, and a token of each input that is not ignored. Tokens of plain
values, containers, enums, dataclasses, pydantic models and numpy arrays are made here, since ``dask.tokenize`` takes tens of microseconds
for a number, and its hash of an array depends on what else is installed; of anything else they are ``dask.tokenize``'s, in its
deterministic mode.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from daskflow.caching import HashMethod
from daskflow.classes import home
from daskflow.entity import Entity
from daskflow.errors import InputError
from daskflow.interface import Interface
from daskflow.types import describe, shorten

#: Goes into every key: another number, and all that was cached is out of reach.
FORMAT = 1


def key(
    entity: Entity[..., Any],
    version: str,
    inputs: Mapping[str, Any],
    ignored: tuple[str, ...] = (),
    hashes: Mapping[str, HashMethod] | None = None,
    name: str | None = None,
) -> str:
    """Return the key of a call.

    Parameters
    ----------
    entity
        What is called.
    version : str
        The version of its code.
    inputs : dict
        Its inputs, checked.
    ignored : tuple of str
        Inputs that are left out.
    hashes : dict, optional
        By input, how it is hashed, where what gives it says so; an input's own annotation goes first.
    name : str, optional
        Stands for the entity; by default its full name.

    Returns
    -------
    str
        40 hexadecimal digits.

    Raises
    ------
    InputError
        When an input's value cannot be hashed so that the hash is the same in every process.
    """
    parts = [f"{FORMAT}\n{name or stable_name(entity)}\n{version}\n{_interface(entity)}\n"]
    parts.extend(f"{one}={_input(entity, one, inputs[one], hashes)}\n" for one in sorted(inputs) if one not in ignored)
    return hashlib.blake2b("".join(parts).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def stable_name(entity: Entity[..., Any]) -> str:
    """Return an entity's name, with a script's file name for ``__main__``: run or imported, it is the same function."""
    name = entity.name
    return f"{_script(entity)}.{name.partition('.')[2]}" if name.startswith("__main__.") else name


def _script(entity: Entity[..., Any]) -> str:
    """Return the name that the script has as a module, of an entity that is in it."""
    code = getattr(getattr(entity, "fn", None), "__code__", None)
    path = code.co_filename if code is not None else getattr(sys.modules["__main__"], "__file__", None) or "__main__"
    return os.path.splitext(os.path.basename(path))[0]


_interfaces: dict[int, tuple[Interface, str]] = {}


def _interface(entity: Entity[..., Any]) -> str:
    interface = entity.interface
    known = _interfaces.get(id(interface))
    if known is None or known[0] is not interface:
        script = f"{_script(entity)}."
        inputs = ", ".join(f"{one.name}: {_annotation(one.annotation, script)}" for one in interface.parameters.values())
        if len(_interfaces) > 1000:
            _interfaces.clear()
        known = _interfaces[id(interface)] = (interface, f"({inputs}) -> {_annotation(interface.outputs.annotation, script)}")
    return known[1]


def _annotation(annotation: Any, script: str) -> str:
    # What is said beside the type, such as a way of hashing, may have an address in its text.
    plain = annotation.__origin__ if hasattr(annotation, "__metadata__") else annotation
    return describe(plain).replace("__main__.", script)


def _input(entity: Entity[..., Any], name: str, value: Any, hashes: Mapping[str, HashMethod] | None) -> str:
    parameter = entity.interface.parameters.get(name)
    method = (HashMethod.of(parameter.annotation) if parameter is not None else None) or (hashes or {}).get(name)
    try:
        return f"h{method.calculate(value)}" if method is not None else token(value)
    except Exception as error:
        raise InputError(
            f"input {name!r} of {entity.name} cannot be part of a cache's key: {shorten(value)} of type {type(value).__qualname__} has no "
            f"hash that is the same in every process ({error}); annotate it with HashMethod, or list it in cache_ignore_input_vars"
        ) from error


def token(value: Any) -> str:
    """Return text that stands for a value: equal values of one type have the same, and others another.

    Examples
    --------
    >>> token(1), token(True), token("1"), token([1, 2])
    ('i1', 'bTrue', 's1:1', 'l2[i1i2]')
    >>> token({"b": 1, "a": 2}) == token({"a": 2, "b": 1})
    True
    """
    make = _PLAIN.get(type(value))
    return make(value) if make is not None else _other(value)


def _list(value: Any) -> str:
    kinds = set(map(type, value))
    if kinds == {int}:
        # At the speed of C: lists of numbers are long.
        return f"l{len(value)}[i{'i'.join(map(str, value))}]"
    return f"l{len(value)}[{''.join(map(token, value))}]"


def _str(value: str) -> str:
    return f"s{len(value)}:{value}"


_PLAIN: dict[type, Callable[[Any], str]] = {
    int: lambda value: f"i{value}",
    bool: lambda value: f"b{value}",
    float: lambda value: f"f{value!r}",
    complex: lambda value: f"c{value!r}",
    str: _str,
    bytes: lambda value: f"y{len(value)}:{hashlib.blake2b(value, digest_size=20).hexdigest()}",
    type(None): lambda _: "n",
    list: _list,
    tuple: lambda value: f"t{len(value)}[{''.join(map(token, value))}]",
    dict: lambda value: f"d{len(value)}[{''.join(sorted(token(name) + token(one) for name, one in value.items()))}]",
    set: lambda value: f"S{len(value)}[{''.join(sorted(map(token, value)))}]",
    frozenset: lambda value: f"F{len(value)}[{''.join(sorted(map(token, value)))}]",
}


def _other(value: Any) -> str:
    kind: Any = type(value)
    if hasattr(kind, "__cache_token__"):
        return f"B{value.__cache_token__()}"
    if isinstance(value, enum.Enum):
        return f"e{_type(kind)}.{value.name}"
    if dataclasses.is_dataclass(kind):
        return f"D{_type(kind)}{token({one.name: getattr(value, one.name) for one in dataclasses.fields(kind)})}"
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return f"N{_type(kind)}{token(tuple(value))}"
    if hasattr(kind, "model_fields") and hasattr(value, "__pydantic_extra__"):
        return f"P{_type(kind)}{token({**value.__dict__, **(value.__pydantic_extra__ or {})})}"
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not value.dtype.hasobject:
        return _array(value)
    return _by_dask(value)


def _type(kind: Any) -> str:
    return f"{home(kind) if kind.__module__ == '__main__' else kind.__module__}.{kind.__qualname__}"


def _array(value: Any) -> str:
    import numpy as np
    import xxhash

    whole = np.ascontiguousarray(value)
    kind: Any = whole.dtype.descr if whole.dtype.names else whole.dtype.str
    return f"a{kind}{value.shape}{xxhash.xxh3_128_hexdigest(whole.view(np.uint8).data if whole.size else b'')}"


def _by_dask(value: Any) -> str:
    from dask.tokenize import tokenize

    return f"x{_type(type(value))}{tokenize(value, ensure_deterministic=True)}"
