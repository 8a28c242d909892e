"""Where what tasks print and log is looked at: at standard output and error, and at loggers.

Whoever writes is known by the thread that writes: what an executor runs there has a sink (``context.state.logs``). Writing goes where it
went before in any case, and elsewhere there is nothing to it but this look.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

from daskflow import context

#: The streams, as levels of lines.
STREAMS = ("stdout", "stderr")

#: The logger above those that tasks get from their contexts.
TASK_LOGGER = "daskflow.task"


class Sink(Protocol):
    """Where what a task writes goes besides."""

    def write(self, level: str, text: str) -> None:
        """Take a text of a stream, or of a logging level, as it comes: parts of a line, or several."""
        ...


class Tap:
    """A stream that lets a sink know what is written to it; in all else it is the stream that it stands for.

    Parameters
    ----------
    stream
        What is written to.
    level : str
        What the sink knows it by.
    """

    __slots__ = ("_level", "_stream")

    def __init__(self, stream: Any, level: str) -> None:
        object.__setattr__(self, "_stream", stream)
        object.__setattr__(self, "_level", level)

    def write(self, text: str) -> int:
        """Write a text."""
        state = context.state
        sink = state.logs
        # A stream of a user's own may take what is no text.
        if sink is None or not isinstance(text, str):
            written: int = self._stream.write(text)
            return written
        # What the stream itself writes, or has logged, for it is not another line.
        state.logs = None
        try:
            written = self._stream.write(text)
            sink.write(self._level, _exact(text))
        finally:
            state.logs = sink
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __enter__(self) -> Self:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._stream.__exit__(*error)

    def __reduce__(self) -> Any:
        return _standard, (self._level,)

    def __repr__(self) -> str:
        return repr(self._stream)


def _standard(name: str) -> Any:
    return getattr(sys, name)


def _exact(text: str) -> str:
    # A class of a user's own could do anything when it is split, and is not for others to load.
    return text if type(text) is str else str.__str__(text)


# ---------------------------------------------------------------- logging

_NAMES = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"), (logging.INFO, "INFO"))
_formatter = logging.Formatter()


def _level(number: int) -> str:
    return next((name for least, name in _NAMES if number >= least), "DEBUG")


def _reaches_root(logger: logging.Logger) -> bool:
    one: logging.Logger | None = logger
    while one is not None and one.parent is not None:
        one = one.parent if one.propagate else None
    return one is not None


def _text(record: logging.LogRecord) -> str:
    try:
        message = str(record.getMessage())
    except Exception as error:
        message = f"{record.msg!r:.1000} cannot be formatted: {error!r:.1000}"
    parts = [f"{record.name.removeprefix(TASK_LOGGER + '.')}: {message}"]
    if record.exc_info or record.exc_text:
        parts.append(record.exc_text or _formatter.formatException(record.exc_info))  # type: ignore[arg-type]
    if record.stack_info:
        parts.append(_formatter.formatStack(record.stack_info))
    return _exact("\n".join(parts) + "\n")


def _call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Stands for ``Logger.callHandlers``.

    A handler of the root logger would do as well, but where there is one ``logging.basicConfig`` of a user's does nothing, and
    warnings do not go to standard error any more if nothing is configured.
    """
    state = context.state
    sink = state.logs
    if sink is None or not _reaches_root(logger):
        _original(logger, record)
        return
    # What handlers write to standard error is this line once more.
    state.logs = None
    try:
        sink.write(_level(record.levelno), _text(record))
        _original(logger, record)
    finally:
        state.logs = sink


_original = logging.Logger.callHandlers


# ---------------------------------------------------------------- in and out

_lock = threading.Lock()
_users = 0
_is_fork_known = False
# Kept, since print does not hold the stream that it writes to, at least in Python 3.11: one that is taken out of sys meanwhile, and is
# nowhere else, would crash the process.
_taps: deque[Tap] = deque(maxlen=16)


def _tap_streams() -> None:
    # Somebody may have put another stream there meanwhile.
    for name in STREAMS:
        stream = getattr(sys, name)
        if stream is not None and type(stream) is not Tap:
            setattr(sys, name, _tap(stream, name))


def _tap(stream: Any, name: str) -> Tap:
    tap = next((one for one in _taps if one._stream is stream and one._level == name), None)
    if tap is None:
        tap = Tap(stream, name)
    else:
        _taps.remove(tap)
    _taps.append(tap)
    return tap


def _untap_streams() -> None:
    for name in STREAMS:
        stream = getattr(sys, name)
        if type(stream) is Tap:
            setattr(sys, name, stream._stream)


def _tap_loggers() -> None:
    global _original, _is_fork_known
    if logging.Logger.callHandlers is not _call_handlers:
        _original = logging.Logger.callHandlers
        logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign, assignment]
    if not _is_fork_known and hasattr(os, "register_at_fork"):
        _is_fork_known = True
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    # A copy of this process has nobody to tell.
    global _lock
    _lock = threading.Lock()
    context.state.logs = None


def uninstall() -> None:
    """Leave loggers and streams as they were, unless somebody else has changed them meanwhile."""
    with _lock:
        _untap_streams()
        if logging.Logger.callHandlers is _call_handlers:
            logging.Logger.callHandlers = _original  # type: ignore[method-assign]


@contextmanager
def into(sink: Sink) -> Iterator[None]:
    """Let a sink know what this thread writes meanwhile, as far as an executor runs something in it.

    Streams are tapped while there is such a sink in the process; loggers from the first time on.
    """
    global _users
    state = context.state
    with _lock:
        _users += 1
        _tap_streams()
        _tap_loggers()
    outer, state.logs = state.logs, sink
    try:
        yield
    finally:
        state.logs = outer
        with _lock:
            _users -= 1
            if not _users:
                _untap_streams()


# ---------------------------------------------------------------- the tasks' own loggers

_given: int | None = None


def set_level(level: int) -> None:
    """Set the level of the tasks' own loggers, unless somebody else has."""
    global _given
    above = logging.getLogger(TASK_LOGGER)
    # Setting a level makes all loggers forget what they have looked up.
    if above.level in (logging.NOTSET, _given) and above.level != level:
        above.setLevel(level)
        _given = level


def task_logger(task: str) -> logging.Logger:
    """Return a task's own logger, which has a level of its own: it need not be that of the root logger."""
    _level_of_tasks()
    return logging.getLogger(f"{TASK_LOGGER}.{task}")


def _level_of_tasks() -> int:
    above = logging.getLogger(TASK_LOGGER)
    if above.level == logging.NOTSET:
        from daskflow import config

        set_level(level_number(config.get("logs.level")))
    return above.level


def level_number(name: str) -> int:
    """Return the number of one of logging's levels."""
    return logging.getLevelNamesMapping()[name]


def settings() -> tuple[bool, int]:
    """Return what another process must know to do here as this one does; see :func:`tasklogs.forwarding`."""
    return context.state.logs is not None, _level_of_tasks()
