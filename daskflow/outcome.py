"""What becomes of an exception: notes that say where it was, and a record of it that can travel.

Whatever a user's code raises is caught where it is raised. What leaves the process is a record that holds only what
is sure to arrive: text, and the exception itself as bytes, if it comes through pickling as what it was.
"""

from __future__ import annotations

import os
import traceback
from types import TracebackType
from typing import Any, NamedTuple

from daskflow.errors import RunFailed

_PACKAGE = os.path.dirname(__file__) + os.sep
_MOST_TEXT = 20_000
_MOST_BYTES = 1 << 20
_MOST_FRAMES = 50  # at each end of a traceback
_NOTED = "__daskflow_noted__"


def annotate(error: BaseException, run_id: str, address: str, index: int | None = None) -> None:
    """Add notes that say which run, child run, node and map item an exception comes from, once."""
    if getattr(error, _NOTED, False):
        return
    try:
        error.__traceback__ = users_traceback(error.__traceback__)
        top, child, _ = run_id.partition(".")
        error.add_note(f"run: {top}")
        if child:
            error.add_note(f"child run: {run_id}")
        error.add_note(f"node: {address or '(the whole run)'}")
        if index is not None:
            error.add_note(f"map index: {index}")
        setattr(error, _NOTED, True)
    except Exception:
        # An exception class may refuse attributes and notes; it is still the user's, and says more than ours would.
        return


def users_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Cut our own frames from the top of a traceback; all of it is kept where nothing else would be left."""
    cut = trace
    while cut is not None and cut.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        cut = cut.tb_next
    return cut or trace


def users_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Return the lines of a traceback that are users' own: neither ours nor the libraries' that brought the exception here."""
    own = [one for one in traceback.extract_tb(trace) if not one.filename.startswith(_PACKAGE) and "<frozen" not in one.filename]
    last = max((index for index, one in enumerate(own) if _is_library(one.filename)), default=-1)
    return own[last + 1 :] or own


def _is_library(path: str) -> bool:
    return f"{os.sep}concurrent{os.sep}futures{os.sep}" in path or f"{os.sep}site-packages{os.sep}click{os.sep}" in path


def bounded_traceback(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the middle of a very long traceback: what pickles tracebacks does so by recursion."""
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    if len(entries) > 2 * _MOST_FRAMES:
        entries[_MOST_FRAMES:-_MOST_FRAMES] = []
    rebuilt: TracebackType | None = None
    for one in reversed(entries):
        rebuilt = TracebackType(rebuilt, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return rebuilt


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
    """

    kind: str
    message: str
    notes: tuple[str, ...]
    trace: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Make the record of an exception. Never raises."""
        return cls(
            type(error).__qualname__,
            _text(lambda: str(error)),
            tuple(_text(lambda one=one: str(one)) for one in getattr(error, "__notes__", ())[:20]),
            _text(lambda: "".join(traceback.format_exception(error))),
            _pickled(error),
        )

    def exception(self) -> BaseException:
        """Return the exception itself, with its traceback and notes; a :class:`RunFailed` where it could not travel."""
        error = _unpickled(self.pickled) if self.pickled is not None else None
        if error is not None and isinstance(error, Exception):
            return error
        stand_in = RunFailed(f"{self.kind}: {self.message}" if self.message else self.kind)
        for note in self.notes:
            stand_in.add_note(note)
        if error is None:
            stand_in.add_note(f"the exception itself could not be brought here; it was:\n{self.trace}")
        return stand_in


def _text(make: Any) -> str:
    try:
        text = make()
    except BaseException as error:
        return f"<its text cannot be made: {type(error).__name__}>"
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}… ({len(text)} characters)"


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
    return data if len(data) <= _MOST_BYTES and type(_unpickled(data)) is type(error) else _pickled_alone(error)


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
