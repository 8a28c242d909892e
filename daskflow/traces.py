"""Tracebacks: cut down to what is of use to the user whose code raised."""

from __future__ import annotations

import functools
import linecache
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import traceback

_PACKAGE = os.path.dirname(__file__) + os.sep
_MOST_FRAMES = 50  # at each end of a traceback
#: What brings an exception to where it is caught.
_CARRIERS = tuple(f"{os.sep}{name}{os.sep}" for name in ("asyncio", f"concurrent{os.sep}futures", "distributed"))
_F = TypeVar("_F", bound=Callable[..., Any])


def is_ours(path: str) -> bool:
    """Tell whether a file is a part of this package, or stands for one."""
    return path.startswith((_PACKAGE, "<daskflow"))


def _carries(path: str) -> bool:
    return is_ours(path) or any(part in path for part in _CARRIERS) or path.endswith(f"{os.sep}threading.py")


def users_traceback(trace: TracebackType | None, *, empty: bool = False) -> TracebackType | None:
    """Cut from the top of a traceback our own frames, and those that brought the exception to us.

    All of it is kept where nothing else would be left, unless that may be `empty`.
    """
    cut = trace
    while cut is not None and _carries(cut.tb_frame.f_code.co_filename):
        cut = cut.tb_next
    return cut if cut is not None or empty else trace


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def length(trace: TracebackType | None) -> int:
    """Return how many frames a traceback has."""
    return sum(1 for _ in _entries(trace))


def users_entries(trace: TracebackType | None, most: int | None = None) -> list[TracebackType]:
    """Return what of a traceback, or of so many of its last entries, is in users' own code, and its end where a library raised.

    Where nothing is in users' code it is all that is not ours.
    """
    every = [*_entries(trace)]
    last = every if most is None else every[max(0, len(every) - most) :]
    known = [one for one in last if not is_ours(path := _path(one)) and "<frozen" not in path]
    # Whoever runs what is installed as a package has all of it for a user's own.
    package = _package(_path(known[0])) if known else ""
    own = [one for one in known if not _is_library(path := _path(one)) or (package and _package(path) == package)]
    return [*own, *(known[-1:] if own[-1] is not known[-1] else [])] if own else known


def frames(entries: Sequence[TracebackType]) -> traceback.StackSummary:
    """Return entries of a traceback with their lines of code."""
    import traceback

    return traceback.StackSummary.extract((one.tb_frame, one.tb_lineno) for one in entries)


def _path(entry: TracebackType) -> str:
    return entry.tb_frame.f_code.co_filename


@functools.lru_cache(maxsize=4096)
def _is_library(path: str) -> bool:
    """Tell whether a file is Python's own, or was installed."""
    return path.startswith(_libraries()) or bool(_package(path))


@functools.cache
def _libraries() -> tuple[str, ...]:
    import sysconfig

    found = [sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")]
    return tuple(dict.fromkeys([*found, *(os.path.realpath(path) + os.sep for path in found)]))


def _package(path: str) -> str:
    """Return the directory, or file, of the installed package that a file is of; nothing where it is of none.

    Examples
    --------
    >>> _package("/x/lib/python3.11/site-packages/json5/lib.py")
    '/x/lib/python3.11/site-packages/json5'
    """
    for folder in ("site-packages", "dist-packages"):
        before, found, rest = path.partition(f"{os.sep}{folder}{os.sep}")
        if found:
            return f"{before}{found}{rest.partition(os.sep)[0]}"
    return ""


def bounded_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the middle of a very long traceback: what pickles tracebacks does so by recursion."""
    entries = list(_entries(trace))
    if len(entries) > 2 * _MOST_FRAMES:
        entries[_MOST_FRAMES:-_MOST_FRAMES] = []
    rebuilt: TracebackType | None = None
    for one in reversed(entries):
        rebuilt = TracebackType(rebuilt, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return rebuilt


def without_marks(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback with fewer lines of marks, which Python puts below a line of code of which only a part is at work."""
    rebuilt: TracebackType | None = None
    for one in reversed(list(_entries(trace))):
        rebuilt = TracebackType(rebuilt, one.tb_frame, _unmarked(one), one.tb_lineno)
    return rebuilt


def _unmarked(entry: TracebackType) -> int:
    """Return an instruction of the same line that no marks are shown for: since it has no columns, or since it has all of them."""
    line = linecache.getline(entry.tb_frame.f_code.co_filename, entry.tb_lineno, entry.tb_frame.f_globals).rstrip()
    begin, end = len(line) - len(line.lstrip()), len(line.encode())
    for number, (first, last, left, right) in enumerate(entry.tb_frame.f_code.co_positions()):
        if first == last == entry.tb_lineno and (left, right) == (begin, end):
            return 2 * number
    # What prints tracebacks in later versions of Python shows no marks where there is no instruction; earlier ones show an empty line.
    return -1 if sys.version_info >= (3, 13) else entry.tb_lasti


def arrived(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback that has travelled with frames that know no columns: those that it was rebuilt with are not the code's."""
    rebuilt: TracebackType | None = None
    for one in reversed(list(_entries(trace))):
        code = one.tb_frame.f_code
        made = _STUB.replace(co_filename=code.co_filename, co_name=code.co_name, co_qualname=code.co_name, co_firstlineno=one.tb_lineno)
        rebuilt = TracebackType(rebuilt, _frame_of(made, one.tb_frame.f_globals), 0, one.tb_lineno)
    return rebuilt


def _frame_of(code: CodeType, names: dict[str, Any]) -> FrameType:
    trace: TracebackType | None = None
    try:
        exec(code, {**names, "_stop": ZeroDivisionError})  # noqa: S102, it is our own code
    except ZeroDivisionError as error:
        trace = error.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    return trace.tb_next.tb_frame


def _without_columns(code: CodeType) -> CodeType:
    """Return code of one line without columns, in the form of ``Objects/locations.md`` of CPython: entries of up to 8 instructions."""
    left, table = len(code.co_code) // 2, b""
    while left > 0:
        table += bytes((0x80 | 13 << 3 | min(left, 8) - 1, 0))
        left -= 8
    return code.replace(co_linetable=table)


_STUB = _without_columns(compile("raise _stop", "<daskflow>", "exec"))


def unseen(function: _F) -> _F:
    """Have a function of ours, through which users' exceptions pass, take one line of a traceback instead of three.

    A frame of the function that raises cannot be left out of a traceback; its code is nothing that users want to see.
    """
    code = function.__code__
    function.__code__ = code.replace(co_filename="<daskflow>")
    return function
