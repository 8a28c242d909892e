"""Calls that may be left alone: made in a thread of their own, and waited for no longer than they may last."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

from daskflow import context

# Seconds between two looks at whether a run was cancelled.
_POLL = 0.1


class _Call:
    """A call in a thread of its own, which knows of the task what the calling thread knows."""

    def __init__(self, function: Callable[[], Any], name: str) -> None:
        self.done = threading.Event()
        self._function = function
        self._state = dict(vars(context.state))
        self._value: Any = None
        self._error: BaseException | None = None
        carried = contextvars.copy_context()
        threading.Thread(target=carried.run, args=(self._run,), name=name, daemon=True).start()

    def _run(self) -> None:
        vars(context.state).update(self._state)
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> Any:
        """Return what it gave, or raise what it raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # A traceback that holds what holds it would keep all of the call's values.
                self._error = None
        return self._value


def call(
    function: Callable[[], Any],
    *,
    name: str,
    seconds: float | None = None,
    late: Callable[[], BaseException] | None = None,
    cancelled: Callable[[], BaseException | None] = lambda: None,
    ended: Callable[[BaseException], None] = lambda _: None,
) -> Any:
    """Call a function in a thread of its own; leave it alone when its time is up, or it is cancelled.

    Parameters
    ----------
    function
        What is called.
    name
        Of the thread.
    seconds
        How long it may last.
    late
        Makes what is raised when it lasts longer.
    cancelled
        Gives what is raised when it is cancelled.
    ended
        Told why it is left alone.

    Raises
    ------
    BaseException
        What the function raises; or what says why it was left alone, and then what it gives does not count.
    """
    made = _Call(function, name)
    until = None if seconds is None else time.monotonic() + seconds
    try:
        while not made.done.wait(_POLL if until is None else max(0.0, min(_POLL, until - time.monotonic()))):
            why = cancelled()
            if why is not None:
                raise why
            if until is not None and late is not None and time.monotonic() >= until and not made.done.is_set():
                raise late()
    except BaseException as error:
        ended(error)
        raise
    return made.result()
