"""Checks of scalars, by hand: they are what most nodes pass. Pure; knows numpy's scalars without importing numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daskflow.annotations import shorten
from daskflow.shortform import is_secret
from daskflow.shortform import value as short_form

Check = Callable[[Any], Any]


class Mismatch(Exception):
    """A value does not fit an annotation; the message says how.

    Attributes
    ----------
    missing : bool
        Whether the value would fit, were the file that it names there.
    hidden : str
        The message without the value.
    """

    missing = False

    def __init__(self, said: str, hidden: str) -> None:
        super().__init__(said)
        self.hidden = hidden

    def of(self, name: str) -> str:
        """Return the message as it may be told of the value of that name: a secret is not shown.

        Examples
        --------
        >>> mismatch("x", "int").of("a"), mismatch("x", "int").of("api_token")
        ("expected int, got 'x' of type str", 'expected int, got *** of type str')
        """
        return self.hidden if is_secret(name) else str(self)


def shown(value: Any) -> str:
    """Return a value as it is told of in errors: what is in others by a name that is a secret's is not shown."""
    plain = isinstance(value, (int, float, complex, str, bytes, type)) or type(value).__module__ == "numpy"
    return shorten(value) if plain else short_form(value)


def mismatch(value: Any, expected: str) -> Mismatch:
    """Return the error of a value that is of another type than expected."""
    said = (f"expected {expected}, got {one} of type {type(value).__qualname__}" for one in (shown(value), "***"))
    return Mismatch(*said)


def numpy_kind(value: Any) -> str:
    """Return numpy's kind code of a numpy scalar, such as ``"i"``; nothing for any other value."""
    kind = type(value)
    # Asked of the class: a promise has every attribute, or complains of it.
    if not hasattr(kind, "dtype") or not hasattr(kind, "item") or getattr(value, "ndim", 1) != 0:
        return ""
    return str(getattr(value.dtype, "kind", ""))


def as_int(value: Any) -> Any:
    """Return an int for a numpy integer; anything else as it is."""
    return value if type(value) is int or numpy_kind(value) not in ("i", "u") else int(value)


def as_float(value: Any) -> Any:
    """Return a float for a numpy number that is not complex; anything else as it is."""
    return value if type(value) is float or numpy_kind(value) not in ("i", "u", "f") else float(value)


def as_bool(value: Any) -> Any:
    """Return a bool for a numpy bool; anything else as it is."""
    return value if value is True or value is False or numpy_kind(value) != "b" else bool(value)


def _check_int(value: Any) -> Any:
    if type(value) is int:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if numpy_kind(value) in ("i", "u"):
        return int(value)
    raise mismatch(value, "int")


def _check_float(value: Any) -> Any:
    if type(value) is float:
        return value
    if isinstance(value, bool):
        raise mismatch(value, "float")
    if isinstance(value, (int, float)) or numpy_kind(value) in ("i", "u", "f"):
        try:
            return float(value)
        except OverflowError:
            raise Mismatch(*(f"expected float, and {one} is too large to be one" for one in (shown(value), "***"))) from None
    raise mismatch(value, "float")


def _check_bool(value: Any) -> Any:
    checked = as_bool(value)
    if checked is True or checked is False:
        return checked
    raise mismatch(value, "bool")


def _check_str(value: Any) -> Any:
    if type(value) is str:
        return value
    if isinstance(value, str):
        # As pydantic does it inside containers: the text of a StrEnum's member, or numpy's, and not what its class makes of it.
        return str.__str__(value)
    raise mismatch(value, "str")


def _check_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    raise mismatch(value, "bytes")


def _check_none(value: Any) -> Any:
    if value is None:
        return value
    raise mismatch(value, "None")


def _check_any(value: Any) -> Any:
    return value


CHECKS: dict[Any, Check] = {
    int: _check_int,
    float: _check_float,
    bool: _check_bool,
    str: _check_str,
    bytes: _check_bytes,
    None: _check_none,
    type(None): _check_none,
    Any: _check_any,
    object: _check_any,
}

#: Types whose values cannot be changed by whom they are handed to and that are checked exactly, so a value
#: that was checked where it was made need not be checked where it is used.
SCALARS = frozenset({int, bool, str, bytes, type(None)})
