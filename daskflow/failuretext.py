"""What a failure says to people: what went wrong first, then where, then what can be done about it. Pure: a record in, lines out."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

from daskflow.failed import failure_of
from daskflow.levels import Level
from daskflow.outcome import Failure
from daskflow.shortform import clean, counted, cut
from daskflow.where import Where, aligned, short_place, tree

__all__ = ["failure_of", "text"]

_MOST_LINES = 15
_MOST_MESSAGE = 600  # characters
_MOST_MESSAGE_LINES = 3
_MOST_NOTES = 3
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
    if where is not None:
        lines.append(_where(where))
    notes = _notes(failure, min(_MOST_NOTES, _MOST_LINES - len(lines) - len(told) - 2 * _FEWEST))
    room = _MOST_LINES - len(lines) - len(notes) - len(told)
    lines += [f"    {line}" for line in _tree(failure, where, room, width - 4)]
    lines += [f"  {line}" for line in (*notes, *told)]
    if verbose:
        lines += ["", *_whole(failure).splitlines()]
    return "\n".join(lines)


def _headline(failure: Failure, where: Where | None, name: str, seconds: float | None) -> list[str]:
    run = [f"run {where.run}"] if where is not None and where.run != "local" else []
    beside = ", ".join([*run, *([f"{seconds:.1f} s"] if seconds is not None else [])])
    name = clean(name or (where.levels[0].call.partition("(")[0] if where is not None and where.levels else "the run"))
    message = _message(failure.message)
    first = f"✗ {name} failed: {clean(failure.kind)}{': ' if message else ''}{message[0] if message else ''}"
    return [f"{first}   {beside}" if beside else first, *(f"  {line}" for line in message[1:])]


def _message(message: str) -> list[str]:
    """Return a message in few lines; what is left out is counted."""
    lines = clean(message[: 2 * _MOST_MESSAGE]).strip("\n").splitlines()[:_MOST_MESSAGE_LINES]
    shown = "\n".join(lines)[:_MOST_MESSAGE]
    left = len(message) - len(shown)
    if len(message) > 2 * _MOST_MESSAGE or shown != clean(message).strip("\n"):
        shown = f"{shown}…({counted(max(left, 1), 'character')} more)"
    return shown.splitlines()


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
    inset = max(map(len, lines), default=0) + 2
    return [
        f"{line:<{inset}}{source if len(source) <= width - inset else cut(source, max(_FEWEST_SHOWN, width - inset - 24))}".rstrip()
        for line, source in zip(lines, sources, strict=True)
    ]


def _is_body(level: Level, frame: tuple[str, str, str]) -> bool:
    """Tell whether a line of code is of the function that a level calls."""
    file, _, line = level.place.rpartition(":")
    other, _, at = frame[1].rpartition(":")
    return file == other and line.isdigit() and at.isdigit() and int(line) <= int(at) and f"{frame[0]}" in level.call.partition("(")[0]


def _some(frames: list[tuple[str, str, str]], most: int) -> list[tuple[str, ...]]:
    if len(frames) <= most:
        return list(frames)
    return [(f"… {counted(len(frames) - most + 1, 'frame')}",), *frames[len(frames) - most + 1 :]]


def _notes(failure: Failure, most: int) -> list[str]:
    """Return the notes that are not ours, as far as there is room; the rest is counted."""
    lines = [line for note in failure.users_notes() for line in clean(note[:20_000]).splitlines()]
    shown = [cut(line, _MOST_NOTE) for line in lines[:most]]
    if len(lines) > most:
        shown[-1] = f"…({counted(len(lines) - most + 1, 'line')} of notes more)"
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
