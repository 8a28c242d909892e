"""What becomes of an exception: notes that say where it was, and a record of it that can travel.

Whatever a user's code raises is caught where it is raised. What leaves the process is a record that holds only what
is sure to arrive: text, and the exception itself as bytes, if it comes through pickling as what it was.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple

from daskflow import errorbytes, shipping
from daskflow.errors import DaskflowError, RunFailed
from daskflow.oneline import error_line
from daskflow.shortform import counted, cut, error_text
from daskflow.traces import arrived, frames, length, users_entries, users_traceback, without_marks
from daskflow.where import Where, aligned, tree

_MOST_TEXT = 20_000
_MOST_NOTES = 20
_MOST_CAUSES = 20
_MOST_CAUSE = 200  # characters
# Of a user's frames these are told: where it began, and where it ended.
_FIRST_CODE, _LAST_CODE = 5, 15
_WHERE = "__daskflow_where__"
_ATTEMPT = "__daskflow_attempt__"
_OVER = "__daskflow_over__"
_FRAMES = "__daskflow_frames__"
_LEFT_OUT = "__daskflow_left_out__"
_RECORD = "__daskflow_failure__"
_NOT_BROUGHT = "the exception itself could not be brought here; it was:"
# What Python prints of an exception that nobody catches is to fit so many lines, some of which are not ours to say.
_LINES = 15
_OTHERS = 4
_FEWEST = 5

#: What is said of exceptions that would end a program, where they end a node.
_ENDED = {
    "SystemExit": "; in a task it fails the run, and ends no process",
    "GeneratorExit": "; in a task it fails the run",
    "KeyboardInterrupt": "; raised in a task, it fails the run",
}


def annotate(error: BaseException, where: Where) -> None:
    """Note with an exception, once, where it comes from: for people in its notes, and as data."""
    if where_of(error) is not None:
        return
    attempt, attempts = vars(error).pop(_ATTEMPT, (where.attempt, where.attempts))
    where = where._replace(attempt=attempt, attempts=attempts)
    # An exception class may refuse attributes and notes; it is still the user's, and says more than ours would.
    vars(error)[_WHERE] = where.plain()
    try:
        _trim(error)
        vars(error)[_FRAMES] = length(error.__traceback__)
        lines = [where.line(), *_levels(error, where)]
        if _OTHERS + 3 * length(error.__traceback__) + len(lines) > _LINES:
            BaseException.with_traceback(error, without_marks(error.__traceback__))
        error.add_note(lines[0])
        if lines[1:]:
            error.add_note("\n".join(lines[1:]))
    except Exception:
        return


def _trim(error: BaseException) -> None:
    # Errors of ours that are no faults say all in their words.
    BaseException.with_traceback(error, users_traceback(error.__traceback__, empty=isinstance(error, DaskflowError)))


def _levels(error: BaseException, where: Where) -> list[str]:
    message = error_text(error).count("\n") + 1
    room = _LINES - _OTHERS - 2 * length(error.__traceback__) - message - 1
    return [f"  {line}" for line in aligned(tree(where.levels, max(room, _FEWEST)))]


def where_of(error: BaseException) -> Where | None:
    """Return where an exception comes from, if that was noted with it."""
    noted = vars(error).get(_WHERE)
    return Where.of(noted) if noted is not None else None


def note_attempt(error: BaseException, attempt: int, attempts: int) -> None:
    """Note with an exception that it ended the last attempt of a node: its number, from 1 on, and how many there might have been."""
    vars(error)[_ATTEMPT] = (attempt, attempts)


def add_note(error: BaseException, note: str) -> None:
    """Add a note to an exception, unless its class refuses notes: it is still the user's, and says more than ours would."""
    with suppress(Exception):
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def is_over(error: BaseException) -> bool:
    """Tell whether whoever ran what an exception ended has had it already: who raises it once more raises it elsewhere."""
    return _OVER in vars(error)


def over(error: BaseException) -> None:
    """Note with an exception that whoever ran what it ended has it now."""
    vars(error)[_OVER] = True


def forget(error: BaseException) -> None:
    """Take from an exception what was noted with it, so that it can be noted where it was raised this time."""
    where = where_of(error)
    vars(error).pop(_OVER, None)
    if where is not None:
        del vars(error)[_WHERE]
        with suppress(Exception):
            error.__notes__[:] = _not_ours(error.__notes__, where)


def stands_in(error: BaseException) -> bool:
    """Tell whether another exception is to be raised instead: it would end a thread, or a coroutine, of somebody else's."""
    return isinstance(error, (SystemExit, GeneratorExit)) or _is_cancellation(error)


def _is_cancellation(error: BaseException) -> bool:
    # It is known only to whoever has imported it.
    kind = getattr(sys.modules.get("asyncio.exceptions"), "CancelledError", None)
    return kind is not None and isinstance(error, kind)


def in_coroutine(error: BaseException) -> BaseException:
    """Return what a coroutine is to raise: of a StopIteration Python would make something that says less."""
    return stand_in(error) if isinstance(error, StopIteration) else error


def stand_in(error: BaseException) -> RunFailed:
    """Return what is raised instead of an exception that would end more than the run that it failed."""
    return Failure.seen(error).stand_in().with_traceback(error.__traceback__)


def _notes(error: BaseException) -> tuple[str, ...]:
    noted = getattr(error, "__notes__", None)
    if not isinstance(noted, (list, tuple)):
        return ()
    notes = tuple(_text(functools.partial(str, one)) for one in noted[:_MOST_NOTES])
    left = len(noted) - len(notes)
    return (*notes, f"…({counted(left, 'note')} more)") if left else notes


def _not_ours(notes: Sequence[str], where: Where) -> list[str]:
    """Return the notes that do not say where an exception comes from."""
    # Where they were written, places may have been shorter, or longer.
    levels = f"  {where.levels[0].call}" if where.levels else None
    return [one for one in notes if one != where.line() and (levels is None or not one.startswith(levels))]


class Failure(NamedTuple):
    """A record of an exception that can travel.

    Attributes
    ----------
    kind : str
        The name of its class.
    message : str
        Its text, cut at 20 000 characters.
    notes : tuple of str
        Its notes.
    trace : str
        Its traceback as text.
    pickled : bytes or None
        The exception itself, if it can travel.
    where : dict or None
        Where it was raised: :meth:`~daskflow.where.Where.plain`.
    code : sequence of (str, str, str)
        The lines of the user's own code that it went through, and the library's that raised it: of each the function, the file and line,
        and the text; of lines that are left out ``…``, nothing, and how many.
    causes : sequence of (str, str)
        The exceptions that it was raised from, or while handling, and those that it is a group of: of each a line, and the file and line.
    """

    kind: str
    message: str
    notes: tuple[str, ...]
    trace: str
    pickled: bytes | None
    where: dict[str, Any] | None = None
    code: Sequence[tuple[str, str, str]] = ()
    causes: Sequence[tuple[str, str]] = ()

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Make the record of an exception, which can travel. Never raises."""
        _trim(error)
        return cls.seen(error)._replace(pickled=errorbytes.dumps(error, _MOST_TEXT))

    @classmethod
    def seen(cls, error: BaseException) -> Failure:
        """Make the record of an exception without the exception itself. Never raises."""
        if _RECORD in vars(error):
            notes = tuple(one for one in _notes(error) if not one.startswith(_NOT_BROUGHT))
            return cls(*vars(error)[_RECORD])._replace(notes=notes, where=vars(error).get(_WHERE))
        made = cls(
            type(error).__qualname__.rpartition("<locals>.")[2],
            cut(error_text(error), _MOST_TEXT),
            _notes(error),
            _text(lambda: "".join(traceback.format_exception(error))),
            None,
            vars(error).get(_WHERE),
            _or_nothing(lambda: _code(error)),
            _or_nothing(lambda: _causes(error)),
        )
        return cls(*map(_sendable, made))

    @property
    def ended(self) -> str:
        """What is to be said after the text of an exception that would end a program."""
        return _ENDED.get(self.kind, "")

    def exception(self) -> BaseException:
        """Return the exception itself, with its traceback and notes; a :class:`RunFailed` where it could not travel."""
        error = errorbytes.loads(self.pickled) if self.pickled is not None else None
        if error is not None and isinstance(error, Exception):
            BaseException.with_traceback(error, arrived(error.__traceback__))
            # What is very long travels without its middle.
            vars(error).update({_FRAMES: length(error.__traceback__), _LEFT_OUT: 0})
            vars(error)[_LEFT_OUT] = max(0, _lines_of(self.code) - _lines_of(_or_nothing(lambda: _code(error))))
            self._note_again(error)
            return error
        made = self.stand_in()
        if error is None:
            made.add_note(f"{_NOT_BROUGHT}\n{self._told_trace()}")
        return made

    def stand_in(self) -> RunFailed:
        """Return what is raised instead of the exception, of which it is known what it stands for."""
        made = RunFailed(f"{self.kind}: {self.message}{self.ended}" if self.message else f"{self.kind}{self.ended}")
        vars(made)[_RECORD] = tuple(self._replace(pickled=None))
        self._note_again(made)
        return made

    def _note_again(self, error: BaseException) -> None:
        # How a class is pickled may leave out what it does not know of.
        if self.where is not None and _WHERE not in vars(error):
            vars(error)[_WHERE] = self.where
            for note in self.notes:
                add_note(error, note)

    def _told_trace(self) -> str:
        """Return the traceback without the notes, which are said already."""
        return "\n".join(map(_told_line, self.code)) or self.trace

    def users_notes(self) -> list[str]:
        """Return the notes that are not ours."""
        return list(self.notes) if self.where is None else _not_ours(self.notes, Where.of(self.where))


def stands_for(row: tuple[str, str, str]) -> int:
    """Return how many lines of code a line in a record is told for."""
    return 1 if row[1] else int(row[2])


def _lines_of(code: Sequence[tuple[str, str, str]]) -> int:
    return sum(map(stands_for, code))


def _reduced(error: BaseException | TracebackType) -> Any:
    """Return what is pickled of an exception that is a value: of one that has failed a node its record, whether it can travel or not."""
    if isinstance(error, BaseException) and where_of(error) is not None:
        return _from_record, (tuple(Failure.of(error)),)
    return errorbytes.reduced(error)


def _from_record(record: tuple[Any, ...]) -> BaseException:
    return Failure(*record).exception()


shipping.reduced_error = _reduced


def _told_line(row: tuple[str, str, str]) -> str:
    name, place, text = row
    if not place:
        return f"  … {counted(int(text), 'frame')}"
    file, _, line = place.rpartition(":")
    return f'  File "{file}", line {line}, in {name}\n    {text}'


def _sendable(value: Any) -> Any:
    """Return a part of a record without lone surrogates, which no message can hold: a worker that tried would be cut off."""
    if type(value) is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _sendable(one) for key, one in value.items()}
    return type(value)(map(_sendable, value)) if type(value) in (list, tuple) else value


def _or_nothing(make: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    try:
        return make()
    except Exception:
        return ()


def _code(error: BaseException) -> tuple[tuple[str, str, str], ...]:
    # Above these are the frames of whoever called.
    entries = users_entries(error.__traceback__, vars(error).get(_FRAMES))
    left = len(entries) - _FIRST_CODE - _LAST_CODE + vars(error).get(_LEFT_OUT, 0)
    more = _not_compiled(error)
    if left <= 1:
        return (*_lines(entries), *more)
    return (*_lines(entries[:_FIRST_CODE]), ("…", "", str(left)), *_lines(entries[-_LAST_CODE:]), *more)


def _not_compiled(error: BaseException) -> tuple[tuple[str, str, str], ...]:
    """Return the line of code that a syntax error is in, which is in no traceback."""
    if not isinstance(error, SyntaxError) or not isinstance(error.filename, str):
        return ()
    line = error.text.strip() if isinstance(error.text, str) else ""
    return (("<module>", f"{error.filename}:{error.lineno}", cut(line, 200)),)


def _lines(entries: Sequence[Any]) -> tuple[tuple[str, str, str], ...]:
    return tuple((one.name, f"{one.filename}:{one.lineno}", cut(one.line or "", 200)) for one in frames(entries))


def _causes(error: BaseException) -> tuple[tuple[str, str], ...]:
    told: list[tuple[str, str]] = []
    seen, waiting, left = {id(error)}, deque(_behind(error, "")), 0
    while waiting:
        how, path, one = waiting.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        waiting.extendleft(reversed(_behind(one, path)))
        if len(told) < _MOST_CAUSES:
            lines = _lines(users_entries(one.__traceback__)[-1:])
            told.append((f"{how} {error_line(one, _MOST_CAUSE)}", lines[0][1] if lines else ""))
        else:
            left += 1
    return (*told, (f"…({counted(left, 'exception')} more)", "")) if left else tuple(told)


def _behind(error: BaseException, path: str) -> list[tuple[str, str, BaseException]]:
    """Return the exceptions behind another: how that is said, where it is in a group, and the exception."""
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    found: list[tuple[str, str, BaseException]] = [(f"{path}[{index}]", f"{path}[{index}]", one) for index, one in enumerate(members)]
    if error.__cause__ is not None:
        found.append((f"{path} raised from".lstrip(), path, error.__cause__))
    elif error.__context__ is not None and not error.__suppress_context__:
        found.append((f"{path} raised while handling".lstrip(), path, error.__context__))
    return found


def _text(make: Callable[[], str]) -> str:
    try:
        text = make()
    except BaseException as error:
        return f"<its text cannot be made: {type(error).__name__}>"
    return cut(str.__str__(text), _MOST_TEXT)
