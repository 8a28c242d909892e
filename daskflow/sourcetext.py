"""The text of functions and classes as it counts for versions of code: tokens, and the names that they use."""

from __future__ import annotations

import dis
import inspect
import io
import linecache
import re
import tokenize
import weakref
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Memo(Generic[T]):
    """What was made of a thing, for as long as it lives. It goes by identity: code objects that are equal may come from different files."""

    def __init__(self, make: Callable[..., T]) -> None:
        self._make = make
        self._known: dict[int, tuple[weakref.ref[Any], T]] = {}

    def __call__(self, thing: Any, *more: Any) -> T:
        key = id(thing)
        known = self._known.get(key)
        if known is not None and known[0]() is thing:
            return known[1]
        made = self._make(thing, *more)
        self._known[key] = (weakref.ref(thing, lambda _: self._known.pop(key, None)), made)
        return made


# Python 3.12 and later give the parts of an f-string, 3.11 the whole.
_F_START, _F_END = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
_NOTHING = (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
_DEEPER, _BACK, _END = "\t>", "\t<", "\n"
_MARKS = {tokenize.INDENT: _DEEPER, tokenize.DEDENT: _BACK, tokenize.NEWLINE: _END}
_PLAIN_STRING = re.compile(r"[rRbBuU]{0,2}['\"]")


def _tokens(lines: list[str]) -> Iterator[str]:
    rest, depth, start = iter(lines), 0, (0, 0)
    for token in tokenize.generate_tokens(lambda: next(rest, "")):
        if token.type == _F_START:
            start = start if depth else token.start
            depth += 1
        elif token.type == _F_END:
            depth -= 1
            if not depth:
                yield _between(lines, start, token.end)
        elif not depth and token.type not in _NOTHING:
            yield _MARKS.get(token.type, token.string)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    rows = lines[start[0] - 1 : end[0]]
    rows[-1] = rows[-1][: end[1]]
    rows[0] = rows[0][start[1] :]
    return "".join(rows)


def _statements(lines: list[str]) -> Iterator[list[str]]:
    """Give the tokens of each logical line. One of text alone, such as a docstring, does nothing and is left out."""
    statement: list[str] = []
    for token in _tokens(lines):
        statement.append(token)
        if token == _END:
            marks = [one for one in statement if one in (_DEEPER, _BACK)]
            idle = all(_PLAIN_STRING.match(one) for one in statement[len(marks) : -1])
            yield marks if idle else statement
            statement = []


def _definition(source: str, name: str, *begins: str) -> tuple[str, ...]:
    """Return the tokens of a definition, from the first line on that begins with one of those words."""
    lines = list(io.StringIO(source))
    if source[:1].isspace():
        lines.insert(0, "if True:\n")
    statements = list(_statements(lines))
    while statements and not any(one in begins for one in statements[0][:2]):
        del statements[0]
    tokens = [one for line in statements for one in line]
    if tokens and tokens[0] == _DEEPER:
        del tokens[0]
    at = min((tokens.index(one) for one in ("def", "class") if one in tokens), default=-1)
    if at < 0 or tokens[at + 1] != name:
        raise ValueError(f"{name} is not there")
    return tuple(tokens)


def _function_tokens(code: CodeType, names: dict[str, Any]) -> tuple[str, ...]:
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, names)[code.co_firstlineno - 1 :]
    return _definition("".join(inspect.getblock(lines)), code.co_name, "def", "async")


def _class_tokens(cls: type) -> tuple[str, ...]:
    # A notebook's classes have no source, but their methods have.
    try:
        return _definition("".join(inspect.getsourcelines(cls)[0]), cls.__name__, "class", "@")
    except (OSError, TypeError, ValueError, SyntaxError, tokenize.TokenError):
        return ()


def module_text(path: str) -> str:
    """Return what a module says, without comments, blank lines and docstrings.

    Raises
    ------
    OSError, SyntaxError, tokenize.TokenError
        When it is no Python file that can be read.
    """
    with tokenize.open(path) as file:
        return "\0".join(one for line in _statements(list(file)) for one in line)


class Named(NamedTuple):
    """What a code object names: globals, attributes, and imports as they are in ``import``: module, level and names."""

    globals: list[str]
    attributes: frozenset[str]
    imports: list[tuple[str, int, tuple[str, ...]]]


_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def _named(code: CodeType) -> Named:
    loaded: set[str] = set()
    attributes: set[str] = set()
    imports: set[tuple[str, int, tuple[str, ...]]] = set()
    for one in _nested(code):
        attributes.update(one.co_names)
        constants: list[Any] = []
        for instruction in dis.get_instructions(one):
            if instruction.opname in _LOADS:
                loaded.add(instruction.argval)
            elif instruction.opname == "LOAD_CONST":
                constants.append(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                imports.add((instruction.argval, constants[-2], constants[-1] or ()))
    return Named(sorted(loaded), frozenset(attributes), sorted(imports))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _nested(one)


#: Of a code object, and the globals that it has.
function_tokens = _Memo(_function_tokens)

#: Of a class; none where its source cannot be had.
class_tokens = _Memo(_class_tokens)

#: Of a code object, with those inside it.
named_by = _Memo(_named)
