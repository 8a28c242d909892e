"""What a failure says to people: what went wrong first, then where, then what can be done about it. Pure: a record in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from daskflow.failed import failure_of
from daskflow.levels import Level
from daskflow.outcome import Failure, stands_for
from daskflow.shortform import clean, counted, cut, uncut
from daskflow.where import Where, aligned, short_place, tree

__all__ = ["failure_of", "text"]

_MOST_LINES = 15
_MOST_MESSAGE = 600  # characters
_MOST_MESSAGE_LINES = 3
_MOST_BESIDE = 5
_MOST_NOTE = 200
_FEWEST = 4  # levels, or lines of code
_FEWEST_SHOWN = 40  # characters of a line of code


def text(
    failure: Failure,
    *,
    name: str = "",
    seconds: float | None = None,
    verbose: bool = False,
    width: int = 120,
    hints: Collection[str] = ("logs", "recover", "debug"),
) -> str:
    """Return what a failure says, in 15 lines at most.

    Parameters
    ----------
    failure : Failure
        The record of it.
    name : str
        Of what failed; by default that of the run's outermost call.
    seconds : float, optional
        How long the run lasted.
    verbose : bool
        Whether all of the message, the notes and the traceback is added.
    width : int
        Of the lines, in characters: longer ones of code are cut.
    hints
        The commands that are named as what can be done about it; for runs on clusters only.

    Examples
    --------
    >>> where = Where("r0123456789", "step[3]", levels=(Level("", "wf(n=4)", "flow.py:9"), Level("step[3]", "step[3](a=3)", "flow.py:4")))
    >>> failure = Failure("ValueError", "odd", (), "", None, where.plain(), [("step", "flow.py:5", 'raise ValueError("odd")')])
    >>> print(text(failure, seconds=0.81, hints=["logs"]))
    ✗ wf failed: ValueError: odd   run r0123456789, 0.8 s
      r0123456789:step[3]
        wf(n=4)           flow.py:9
        └ step[3](a=3)    flow.py:5  raise ValueError("odd")
      logs: daskflow logs 'r0123456789:step[3]'
    """
    where = Where.of(failure.where) if failure.where is not None else None
    told = _hints(where, hints)
    lines = [*_headline(failure, where, name, seconds)]
    lines += _body(failure, where, _MOST_LINES - len(lines) - len(told), width)
    lines += [f"  {line}" for line in told]
    if verbose:
        lines += ["", *_whole(failure).splitlines()]
    return "\n".join(lines)


def plain_text(failure: Failure, most: int = _MOST_LINES - 1, width: int = 120) -> str:
    """Return what an exception says that fails no run, in so many lines at most.

    Examples
    --------
    >>> print(plain_text(Failure("ValueError", "odd", (), "", None, None, [("<module>", "flow.py:5", 'raise ValueError("odd")')])))
    ValueError: odd
        <module>    flow.py:5  raise ValueError("odd")
    """
    where = Where.of(failure.where) if failure.where is not None else None
    lines = _said(failure)
    return "\n".join([*lines, *_body(failure, where, most - len(lines), width)])


def _headline(failure: Failure, where: Where | None, name: str, seconds: float | None) -> list[str]:
    run = [f"run {where.run}"] if where is not None and where.run != "local" else []
    beside = ", ".join([*run, *([f"{seconds:.1f} s"] if seconds is not None else [])])
    name = clean(name or (where.levels[0].call.partition("(")[0] if where is not None and where.levels else "the run"))
    said, *rest = _said(failure)
    first = f"✗ {name} failed: {said}"
    return [f"{first}   {beside}" if beside else first, *rest]


def _said(failure: Failure) -> list[str]:
    """Return the class and the text in few lines."""
    first, *rest = _message(failure.message)
    lines = [f"{clean(failure.kind)}{': ' if failure.message else ''}{first}", *(f"  {line}" for line in rest)]
    return [*lines[:-1], f"{lines[-1]}{failure.ended}"]


def _message(message: str) -> list[str]:
    """Return a message in few lines; what is left out is counted."""
    message, more = uncut(message.strip("\n"))
    whole = message.split("\n", _MOST_MESSAGE_LINES)[:_MOST_MESSAGE_LINES]
    kept, room = "", _MOST_MESSAGE
    for character in "\n".join(whole)[:_MOST_MESSAGE]:
        room -= len(clean(character))
        if room < 0:
            break
        kept += character
    left = len(message) - len(kept) + more
    note = f"…({counted(left, 'character')} more)" if left else ""
    return f"{clean(kept)}{note}".split("\n")


def _body(failure: Failure, where: Where | None, room: int, width: int) -> list[str]:
    """Return what is said below the text: where, the calls and lines of code, what was behind it, and notes."""
    lines = [_where(where)] if where is not None else []
    room -= len(lines)
    beside = _beside(failure, min(_MOST_BESIDE, room - _needed(failure, where)))
    lines += [f"    {line}" for line in _tree(failure, where, room - len(beside), width - 4)]
    return [*lines, *(f"  {line}" for line in beside)]


def _where(where: Where) -> str:
    details = ", ".join(clean(one) for one in where.details())
    return f"  {where.full_address}" + (f"  {details}" if details else "")


def _tree(failure: Failure, where: Where | None, room: int, width: int) -> list[str]:
    """Return the levels, and below the last one the lines of code that its function went through."""
    levels: Sequence[Level] = where.levels if where is not None else ()
    code = [(clean(name), short_place(place), clean(source).replace("\n", " ")) for name, place, source in failure.code]
    own = levels and code and _is_body(levels[-1], failure.code[0])
    frames = _some(code[1:] if own else code, max(_FEWEST, room - len(levels)))
    rows: list[tuple[str, ...]] = list(tree(levels, max(_FEWEST, room - len(frames))))
    if own:
        rows[-1] = (rows[-1][0], *code[0][1:])
    indent = "  " * len(rows)
    rows += [(f"{indent}{one[0]}", *one[1:]) for one in frames]
    sources = [row[2] if len(row) > 2 else "" for row in rows]
    lines = aligned([(f"{row[0]}  ", *row[1:2], *([""] if row[2:] else [])) for row in rows])
    # A line that is very long has its code behind it, and does not move that of the others.
    inset = max((len(line) for line in lines if len(line) <= width - _FEWEST_SHOWN), default=0) + 2
    return [_beside_it(line.ljust(inset - 2), source, width) for line, source in zip(lines, sources, strict=True)]


def _beside_it(line: str, source: str, width: int) -> str:
    room = width - len(line) - 2
    return f"{line}  {source if len(source) <= room else cut(source, max(_FEWEST_SHOWN, room - 24))}".rstrip()


def _is_body(level: Level, frame: tuple[str, str, str]) -> bool:
    """Tell whether a line of code is of the function that a level calls."""
    file, _, line = level.place.rpartition(":")
    other, _, at = frame[1].rpartition(":")
    return file == other and line.isdigit() and at.isdigit() and int(line) <= int(at) and f"{frame[0]}" in level.call.partition("(")[0]


def _some(frames: Sequence[tuple[str, str, str]], most: int) -> list[tuple[str, ...]]:
    """Return the last lines of code, and how many are left out: here, or where they were noted."""
    left, kept = 0, list(frames)
    while len(kept) + bool(left) > most or (left and not all(place for _, place, _ in kept)):
        left += stands_for(kept.pop(0))
    rows: list[tuple[str, ...]] = [row if row[1] else _left_out(stands_for(row)) for row in kept]
    return [_left_out(left), *rows] if left else rows


def _left_out(count: int) -> tuple[str, ...]:
    return (f"… {counted(count, 'frame')}",)


def _needed(failure: Failure, where: Where | None) -> int:
    """Return how many lines the levels and the lines of code are to have at least."""
    return min(_FEWEST, len(where.levels) if where is not None else 0) + min(_FEWEST, len(failure.code))


def _beside(failure: Failure, most: int) -> list[str]:
    """Return the causes, and the notes that are not ours, as far as there is room; the rest is counted."""
    lines = [f"{clean(said)}{f'   {short_place(place)}' if place else ''}" for said, place in failure.causes]
    lines += [line for note in failure.users_notes() for line in clean(note).split("\n")]
    shown = [cut(line, _MOST_NOTE) for line in lines[:most]]
    if len(lines) > most:
        shown[-1] = f"…({counted(len(lines) - most + 1, 'line')} more)"
    return shown


def _hints(where: Where | None, hints: Collection[str]) -> list[str]:
    if where is None or where.run == "local":
        return []
    import shlex

    address = shlex.quote(where.full_address)
    first = [f"logs: daskflow logs {address}"] if "logs" in hints else []
    second = [f"recover: daskflow recover {where.run}"] if "recover" in hints else []
    second += [f"debug: daskflow debug {address}"] if "debug" in hints else []
    return [*first, "   ".join(second)] if second else first


def _whole(failure: Failure) -> str:
    return textwrap.dedent(clean(failure.trace))
