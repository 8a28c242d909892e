"""Environment variables of attempts: set while they run, and as they were afterwards.

A process has one environment, and the attempts in its threads share it. So a variable to which attempts give one value is set by the first
and restored by the last of them; attempts that give it different values wait for each other, in the order in which they came.
An attempt takes all its variables at once or none, so two never wait for each other in a circle. Whatever else runs in the process
at the same time sees what is set. An attempt in a process of its own has its variables to itself, and waits for nobody.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from daskflow.errors import OptionError

# Seconds between two looks at whether who waits is still wanted.
_POLL = 0.1


class _Hold:
    """What one attempt has set, or waits for."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def conflicts(self, other: _Hold) -> str | None:
        """Return a variable that both want, with different values."""
        return next((name for name, value in self.values.items() if other.values.get(name, value) != value), None)


_changed = threading.Condition()
_holders: list[_Hold] = []
_waiting: list[_Hold] = []
#: What the variables were before any attempt set them; ``None`` where they were not there.
_before: dict[str, str | None] = {}
#: What the attempts have set that this code is part of, also in threads that take over the context.
_around: ContextVar[tuple[_Hold, ...]] = ContextVar("daskflow_environment", default=())


@contextmanager
def applied(values: Mapping[str, str], owner: str, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Set environment variables, once nobody holds other values of them; restore them in the end.

    Parameters
    ----------
    values
        The variables.
    owner
        Who wants them, for messages.
    check
        Called now and then while it waits; raises where nobody wants it any more.

    Raises
    ------
    OptionError
        When what this is part of has set another value of a variable: it would wait for itself.

    Examples
    --------
    >>> with applied({"DASKFLOW_DOC": "1"}, "a doctest"):
    ...     os.environ["DASKFLOW_DOC"]
    '1'
    >>> "DASKFLOW_DOC" in os.environ
    False
    """
    if not values:
        yield
        return
    hold = _Hold(values)
    _take(hold, owner, check)
    token = _around.set((*_around.get(), hold))
    try:
        yield
    finally:
        _around.reset(token)
        _release(hold)


def _take(hold: _Hold, owner: str, check: Callable[[], None]) -> None:
    around = _around.get()
    for outer in around:
        name = hold.conflicts(outer)
        if name is not None:
            raise OptionError(f"environment of {owner} sets {name}, of which what it runs in has set another value; give both the same")
    with _changed:
        _waiting.append(hold)
        try:
            while not _free(hold, around):
                _changed.wait(_POLL)
                check()
            _holders.append(hold)
        finally:
            _waiting.remove(hold)
            _changed.notify_all()
        for name, value in hold.values.items():
            _before.setdefault(name, os.environ.get(name))
            os.environ[name] = value


def _free(hold: _Hold, around: tuple[_Hold, ...]) -> bool:
    """Tell whether variables can be set now: nobody else has other values, and nobody who came before waits for others."""
    if any(hold.conflicts(other) for other in _holders):
        return False
    # What it is part of has these values already, and must not wait for who waits for that.
    new = _Hold({name: value for name, value in hold.values.items() if not any(name in outer.values for outer in around)})
    return not any(new.conflicts(other) for other in _waiting[: _waiting.index(hold)])


def _release(hold: _Hold) -> None:
    with _changed:
        _holders.remove(hold)
        for name in hold.values:
            if not any(name in other.values for other in _holders):
                _restore(name, _before.pop(name))
        _changed.notify_all()


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def without_attempts() -> dict[str, str]:
    """Return the environment as it is without what attempts have set."""
    with _changed:
        environment = dict(os.environ)
        for name, value in _before.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
    return environment
