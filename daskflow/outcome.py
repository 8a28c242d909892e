"""What becomes of an exception: notes that say where it was, and a record of it that can travel.

Whatever a user's code raises is caught where it is raised. What leaves the process is a record that holds only what
is sure to arrive: text, and the exception itself as bytes, if it comes through pickling as what it was.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from daskflow.errors import DaskflowError, RunFailed
from daskflow.shortform import cut
from daskflow.traces import arrived, bounded_traceback, length, users_frames, users_traceback, without_marks
from daskflow.where import Where, aligned, tree

_MOST_TEXT = 20_000
_MOST_BYTES = 1 << 20
_MOST_CODE = 20  # of a user's frames that are told
_WHERE = "__daskflow_where__"
_ATTEMPT = "__daskflow_attempt__"
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
    message = _text(lambda: str(error)).count("\n") + 1
    room = _LINES - _OTHERS - 2 * length(error.__traceback__) - message - 1
    return [f"  {line}" for line in aligned(tree(where.levels, max(room, _FEWEST)))]


def where_of(error: BaseException) -> Where | None:
    """Return where an exception comes from, if that was noted with it."""
    noted = vars(error).get(_WHERE)
    return Where.of(noted) if noted is not None else None


def note_attempt(error: BaseException, attempt: int, attempts: int) -> None:
    """Note with an exception that it ended the last attempt of a node: its number, from 1 on, and how many there might have been."""
    vars(error)[_ATTEMPT] = (attempt, attempts)


def stand_in(error: BaseException) -> RunFailed:
    """Return what is raised instead of an exception that would end more than the run that it failed."""
    text = _text(lambda: str(error))
    name = type(error).__qualname__
    made = RunFailed(f"{name}: {text}{_ENDED.get(name, '')}" if text else f"{name}{_ENDED.get(name, '')}")
    _as_noted(made, vars(error).get(_WHERE), _notes(error))
    return made.with_traceback(error.__traceback__)


def _as_noted(error: BaseException, where: dict[str, Any] | None, notes: Sequence[str]) -> None:
    """Have an exception say what was noted with the one that it stands for."""
    for note in notes:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    if where is not None:
        vars(error)[_WHERE] = where


def _notes(error: BaseException) -> tuple[str, ...]:
    return tuple(_text(lambda one=one: str(one)) for one in getattr(error, "__notes__", ())[:20])


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
        The lines of the user's own code that it went through: of each the function, the file and line, and the text.
    """

    kind: str
    message: str
    notes: tuple[str, ...]
    trace: str
    pickled: bytes | None
    where: dict[str, Any] | None = None
    code: Sequence[tuple[str, str, str]] = ()

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Make the record of an exception, which can travel. Never raises."""
        _trim(error)
        return cls.seen(error)._replace(pickled=_pickled(error))

    @classmethod
    def seen(cls, error: BaseException) -> Failure:
        """Make the record of an exception without the exception itself. Never raises."""
        return cls(
            type(error).__qualname__,
            _text(lambda: str(error)),
            _notes(error),
            _text(lambda: "".join(traceback.format_exception(error))),
            None,
            vars(error).get(_WHERE),
            _code(error),
        )

    def exception(self) -> BaseException:
        """Return the exception itself, with its traceback and notes; a :class:`RunFailed` where it could not travel."""
        error = _unpickled(self.pickled) if self.pickled is not None else None
        if error is not None and isinstance(error, Exception):
            error.__traceback__ = arrived(error.__traceback__)
            _note_again(error, self)
            return error
        ended = _ENDED.get(self.kind, "")
        made = RunFailed(f"{self.kind}: {self.message}{ended}" if self.message else f"{self.kind}{ended}")
        _as_noted(made, self.where, self.notes)
        if error is None:
            made.add_note(f"the exception itself could not be brought here; it was:\n{self._told_trace()}")
        return made

    def _told_trace(self) -> str:
        """Return the traceback without the notes, which are said already."""
        lines = [
            f'  File "{place.rpartition(":")[0]}", line {place.rpartition(":")[2]}, in {name}\n    {text}'
            for name, place, text in self.code
        ]
        return "\n".join(lines) or self.trace

    def users_notes(self) -> list[str]:
        """Return the notes that are not ours."""
        if self.where is None:
            return list(self.notes)
        where = Where.of(self.where)
        # Where they were written, places may have been shorter, or longer.
        levels = f"  {where.levels[0].call}" if where.levels else None
        return [one for one in self.notes if one != where.line() and (levels is None or not one.startswith(levels))]


def _note_again(error: BaseException, failure: Failure) -> None:
    # How a class is pickled may leave out what it does not know of; and it may refuse notes.
    if failure.where is not None and _WHERE not in vars(error):
        with suppress(Exception):
            _as_noted(error, failure.where, failure.notes)


def _code(error: BaseException) -> tuple[tuple[str, str, str], ...]:
    try:
        frames = users_frames(error.__traceback__)[-_MOST_CODE:]
        return tuple((one.name, f"{one.filename}:{one.lineno}", (one.line or "")[:200]) for one in frames)
    except Exception:
        return ()


def _text(make: Any) -> str:
    try:
        text = make()
    except BaseException as error:
        return f"<its text cannot be made: {type(error).__name__}>"
    return cut(text, _MOST_TEXT)


def _pickled(error: BaseException) -> bytes | None:
    from tblib import pickling_support

    from daskflow import shipping

    try:
        error.__traceback__ = bounded_traceback(error.__traceback__)
        pickling_support.install(error)
        data = shipping.dumps(error)
    except BaseException:
        # A chained exception, or a value that the exception holds, may not pickle where the exception itself does.
        return _pickled_alone(error)
    if len(data) > _MOST_BYTES and any(type(one) is str and len(one) > _MOST_TEXT for one in error.args):
        return _pickled_shorter(error)
    return data if len(data) <= _MOST_BYTES and type(_unpickled(data)) is type(error) else _pickled_alone(error)


def _pickled_shorter(error: BaseException) -> bytes | None:
    """Return an exception with its longest texts cut: its class and what was noted with it matter more."""
    args, error.args = error.args, tuple(cut(one, _MOST_TEXT) if type(one) is str else one for one in error.args)
    try:
        return _pickled(error)
    finally:
        error.args = args


def _pickled_alone(error: BaseException) -> bytes | None:
    if error.__cause__ is None and error.__context__ is None:
        return None
    chain = error.__cause__, error.__context__
    error.__cause__ = error.__context__ = None
    try:
        return _pickled(error)
    finally:
        error.__cause__, error.__context__ = chain


def _unpickled(data: bytes) -> BaseException | None:
    import pickle

    try:
        error = pickle.loads(data)
    except BaseException:
        return None
    return error if isinstance(error, BaseException) else None
