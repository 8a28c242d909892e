"""Short forms of users' values and texts, for people: bounded, on one line, and without calling anything of a user's.

Only for the text of an exception its class is asked. What is left out is always counted. Whoever shows a short form need not
fear its size, its control characters, or what it costs.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

_MOST_VALUE = 80  # characters
_MOST_CALL = 120
_MOST_ITEMS = 8
_MOST_DEPTH = 3
_MOST_BITS = 256
_CUT = re.compile(r"…\((\d{1,3}(?: \d{3})*) characters? more\)\Z")
_SECRET = re.compile("token|secret|passw|passphrase|credential|api_?key|private_?key", re.IGNORECASE)
#: Classes whose own text is short, cheap and nobody else's.
_PLAIN = {
    *((kind, "builtins") for kind in ("bool", "NoneType", "float", "complex", "ellipsis", "range", "slice")),
    *((kind, "datetime") for kind in ("datetime", "date", "time", "timedelta", "timezone")),
    *((kind, "pathlib") for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    ("UUID", "uuid"),
    ("Decimal", "decimal"),
    ("Fraction", "fractions"),
}


def counted(number: int, what: str) -> str:
    """Return a count for people.

    Examples
    --------
    >>> counted(12345, "character")
    '12 345 characters'
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}".replace(",", " ")


def cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, and how many more there are.

    Examples
    --------
    >>> cut("abcdef", 4)
    'abcd…(2 characters more)'
    """
    return text if len(text) <= most else f"{text[:most]}…({counted(len(text) - most, 'character')} more)"


def uncut(text: str) -> tuple[str, int]:
    """Return what is left of a text that may have been :func:`cut`, and how many characters more there were.

    Examples
    --------
    >>> uncut(cut("x" * 5000, 3)), uncut("abc")
    (('xxx', 4997), ('abc', 0))
    """
    found = _CUT.search(text)
    return (text[: found.start()], int(found[1].replace(" ", ""))) if found is not None else (text, 0)


def clean(text: str) -> str:
    r"""Return a text in which whatever could direct a terminal is written out; it keeps its lines.

    Examples
    --------
    >>> clean("a\x1b[31mb\u202e\nc")
    'a\\x1b[31mb\\u202e\nc'
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else "    " if one == "\t" else _written_out(one) for one in text)


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


def error_text(error: BaseException) -> str:
    """Return the text of an exception, whatever its class does.

    Examples
    --------
    >>> error_text(ValueError("no"))
    'no'
    """
    try:
        return str.__str__(str(error))
    except BaseException as failed:
        return f"<its text cannot be made: {type(failed).__name__}>"


def is_secret(name: str) -> bool:
    """Tell whether an input of that name is one that is not shown.

    Examples
    --------
    >>> is_secret("api_token"), is_secret("a")
    (True, False)
    """
    return _SECRET.search(name) is not None


def call(name: str, inputs: Mapping[str, Any] | None) -> str:
    """Return the short form of a call; inputs that are secret by their names are not shown.

    Parameters
    ----------
    name : str
        What is called.
    inputs : dict or None
        Its inputs by name; ``None`` where they are not known any more.

    Examples
    --------
    >>> call("level1", {"l": [1, 2, 3, 4], "chunk": 2, "api_token": "x"})
    'level1(l=[1, 2, 3, 4], chunk=2, api_token=***)'
    """
    if inputs is None:
        return f"{name}(…)"
    room, shown = _MOST_CALL - len(name), list[str]()
    for number, (key, given) in enumerate(inputs.items()):
        text = f"{clean(str(key))}={'***' if _SECRET.search(str(key)) else value(given)}"
        if shown and len(text) + 2 > room:
            shown.append(f"…({counted(len(inputs) - number, 'input')} more)")
            break
        room -= len(text) + 2
        shown.append(text)
    return f"{name}({', '.join(shown)})"


def value(given: Any) -> str:
    """Return the short form of a value: some 80 characters at most. Never raises.

    Examples
    --------
    >>> value([1, 2.5, "three"])
    "[1, 2.5, 'three']"
    >>> value("x" * 1000)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx'…(950 characters more)"
    >>> value(object())
    '<object>'
    """
    try:
        return _short(given, _MOST_VALUE, 0)
    except Exception:
        return f"<{type(given).__name__}>"


def _short(given: Any, room: int, depth: int) -> str:
    kind = type(given)
    if (kind.__name__, kind.__module__) in _PLAIN:
        return cut(clean(repr(given)), room)
    if kind is int:
        return repr(given) if given.bit_length() <= _MOST_BITS else f"<int of {counted(given.bit_length(), 'bit')}>"
    if kind in (str, bytes):
        return _string(given, room)
    if depth < _MOST_DEPTH and (brackets := _BRACKETS.get(kind)) is not None:
        return _container(given, brackets, room, depth)
    return _object(given, kind, room, depth)


def _string(given: Any, room: int) -> str:
    most = max(8, room - 30)
    if len(given) <= most and len(repr(given)) <= room:
        return repr(given)
    shown = given[:most]
    while len(repr(shown)) > room - 20 and len(shown) > 1:
        shown = shown[: len(shown) // 2]
    what = "character" if isinstance(given, str) else "byte"
    return f"{shown!r}…({counted(len(given) - len(shown), what)} more)"


_BRACKETS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    deque: ("deque([", "])"),
    dict: ("{", "}"),
}


def _container(given: Any, brackets: tuple[str, str], room: int, depth: int) -> str:
    if not given and isinstance(given, (set, frozenset)):
        return f"{type(given).__name__}()"
    if type(given) is tuple and len(given) == 1:
        brackets = ("(", ",)")
    return f"{brackets[0]}{', '.join(_parts(_items(given, depth), len(given), room - 2))}{brackets[1]}"


def _items(given: Any, depth: int) -> Iterable[str]:
    if isinstance(given, dict):
        for key, one in given.items():
            secret = type(key) is str and _SECRET.search(key)
            yield f"{_short(key, 20, depth + 1)}: {'***' if secret else _short(one, 24, depth + 1)}"
    else:
        for one in given:
            yield _short(one, 30, depth + 1)


def _parts(items: Iterable[str], count: int, room: int) -> list[str]:
    """Return as many of the items as there is room for, and how many more there are."""
    shown: list[str] = []
    for text in items:
        if len(shown) == _MOST_ITEMS or (shown and len(text) + 2 > room):
            shown.append(f"…({count - len(shown):,} more)".replace(",", " "))
            break
        room -= len(text) + 2
        shown.append(text)
    return shown


def _object(given: Any, kind: type[Any], room: int, depth: int) -> str:
    name = clean(kind.__name__)
    if isinstance(given, enum.Enum):
        return cut(f"{name}.{clean(given._name_)}", room)
    if kind.__module__.startswith("daskflow."):
        return cut(clean(repr(given)), room)
    if issubclass(kind, type):
        return f"<class {clean(given.__name__)}>"
    names = _fields(kind)
    if names is not None and depth < _MOST_DEPTH:
        held = [(one, object.__getattribute__(given, one)) for one in names[: _MOST_ITEMS + 1]]
        texts = (f"{one}={'***' if _SECRET.search(one) else _short(part, 24, depth + 1)}" for one, part in held)
        return f"{name}({', '.join(_parts(texts, len(names), room - len(name) - 2))})"
    return f"<{name}{_shape(given, kind)}>"


def _fields(kind: type[Any]) -> list[str] | None:
    """Return the names of the fields of dataclasses and named tuples."""
    if (declared := vars(kind).get("__dataclass_fields__")) is not None:
        return list(declared)
    names = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
    return None if names is None else list(names)


def _shape(given: Any, kind: type[Any]) -> str:
    """Return the shape of arrays and tables, where they have one and it is known."""
    shape = given.shape if getattr(kind, "shape", None) is not None else ()
    return f" {'x'.join(map(str, shape))}" if type(shape) is tuple and shape and all(type(one) is int for one in shape) else ""
