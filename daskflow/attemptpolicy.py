"""What users say of a task's attempts: how many, how long between them, and how long each may last."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from daskflow.errors import NonRecoverableError, OptionError, ProcessDied, RecoverableException, RunCancelled, TaskTimeout
from daskflow.oneline import error_line

#: What ``retries=3`` makes another attempt after: Flyte's rule, in which a timeout and the death of a process count as well.
RECOVERABLE = (RecoverableException, TaskTimeout, ProcessDied)

_NEVER = (NonRecoverableError, RunCancelled)


def seconds(value: Any, option: str, owner: str, *, zero: bool = False) -> float:
    """Return a time that a user gave, in seconds.

    Raises
    ------
    OptionError
        When it is neither a number nor a timedelta, is not finite, or is negative; or 0, unless `zero` allows it.

    Examples
    --------
    >>> seconds(timedelta(minutes=1), "timeout", "task t")
    60.0
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    fits = isinstance(number, (int, float)) and not isinstance(number, bool) and (0 < number < float("inf") or (zero and number == 0))
    if not fits:
        least = "0 or more" if zero else "more than 0"
        raise OptionError(f"{option} of {owner} must be {least} seconds, as a number or a timedelta; got {value!r}")
    return float(number)


def _number(value: Any, option: str, owner: str, least: float, most: float = float("inf")) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most or value == float("inf"):
        raise OptionError(f"{option} of {owner} must be a number {_range(least, most)}; got {value!r}")
    return float(value)


def _range(least: float, most: float) -> str:
    return f"from {least:g} on" if most == float("inf") else f"from {least:g} to {most:g}"


@dataclass(frozen=True)
class Backoff:
    """Waits that grow from one attempt to the next.

    Parameters
    ----------
    base : float or timedelta
        Seconds before the second attempt.
    factor : float
        What each wait is multiplied with for the next one.
    cap : float or timedelta, optional
        The longest wait, in seconds.
    jitter : float
        From 0 to 1: how much of each wait is left to chance, so that what failed together is not tried again together.

    Raises
    ------
    OptionError
        When a value is out of its range.

    Examples
    --------
    >>> [Backoff(1, factor=3, cap=5).delay(attempt) for attempt in range(3)]
    [1.0, 3.0, 5.0]
    """

    base: float | timedelta
    factor: float = 2.0
    cap: float | timedelta | None = None
    jitter: float = 0.0

    def __post_init__(self) -> None:
        seconds(self.base, "base", "Backoff", zero=True)
        _number(self.factor, "factor", "Backoff", 1)
        _number(self.jitter, "jitter", "Backoff", 0, 1)
        if self.cap is not None:
            seconds(self.cap, "cap", "Backoff")

    def delay(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds between the attempt of that number, from 0 on, and the next one.

        Parameters
        ----------
        attempt
            The one that failed.
        draw
            Gives numbers from 0 to below 1.
        """
        base = seconds(self.base, "base", "Backoff", zero=True)
        cap = _LONGEST if self.cap is None else seconds(self.cap, "cap", "Backoff")
        try:
            whole = base * self.factor**attempt
        except OverflowError:
            whole = cap if base else 0.0
        whole = min(whole, cap)
        return whole * (1 - self.jitter * draw())


#: Seconds that no wait exceeds: what Python's own waits take at most is a little more.
_LONGEST = 4_000_000.0


@dataclass(frozen=True)
class Retry:
    """When, and how often, another attempt of a task is made.

    Parameters
    ----------
    count : int
        How many attempts are made after the first one.
    backoff : float, timedelta or Backoff
        What is waited before each of them: seconds, or waits that grow.
    on : type, tuple of types, or callable, optional
        After which exceptions: their types, or a function of the exception that gives True. By default after all.
        Never after :class:`~daskflow.errors.NonRecoverableError`, cancellation, or what is no ``Exception``, such as ``SystemExit``.

    Raises
    ------
    OptionError
        When a value has the wrong type, or `count` is negative.

    Examples
    --------
    >>> retry = Retry(2, backoff=Backoff(1, factor=10), on=ConnectionError)
    >>> [retry.next_delay(attempt, ConnectionError()) for attempt in range(3)]
    [1.0, 10.0, None]
    >>> retry.next_delay(0, KeyError()) is None
    True
    """

    count: int
    backoff: float | timedelta | Backoff = 0
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool] | None = None

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 0:
            raise OptionError(f"count of Retry must be an int from 0 on; got {self.count!r}")
        if not isinstance(self.backoff, Backoff):
            seconds(self.backoff, "backoff", "Retry", zero=True)
        self._check_on()

    def _check_on(self) -> None:
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        if self.on is None or (not isinstance(self.on, (tuple, type)) and callable(self.on)):
            return
        if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise OptionError(f"on of Retry must be a type of Exception, a tuple of such, or a function of the exception; got {self.on!r}")

    def next_delay(self, attempt: int, error: BaseException, draw: Callable[[], float] = random.random) -> float | None:
        """Return the seconds to wait before the next attempt; ``None`` where there is to be none.

        Parameters
        ----------
        attempt
            The number of the attempt that failed, from 0 on.
        error
            What it raised.
        draw
            As for :meth:`Backoff.delay`.
        """
        if attempt >= self.count or not self._applies(error):
            return None
        if isinstance(self.backoff, Backoff):
            return self.backoff.delay(attempt, draw)
        return seconds(self.backoff, "backoff", "Retry", zero=True)

    def _applies(self, error: BaseException) -> bool:
        if not isinstance(error, Exception) or isinstance(error, _NEVER):
            return False
        if self.on is None or isinstance(self.on, (type, tuple)):
            return self.on is None or isinstance(error, self.on)
        try:
            return bool(self.on(error))
        except Exception as trouble:
            # The task's own error is what the user must see, and why it was final.
            with suppress(Exception):
                error.add_note(f"whether to try again could not be told, since Retry's function failed: {error_line(trouble)}")
            return False


NO_RETRY = Retry(0, on=RECOVERABLE)


@dataclass(frozen=True)
class Timeout:
    """How long an attempt of a task may last.

    Parameters
    ----------
    max_runtime : float or timedelta
        Seconds from its start, however long it waited before.
    killable : bool
        Whether each attempt has a process of its own, which is killed when time is up or the run is cancelled. Otherwise it
        is left alone in its thread, what it gives does not count, and it can see by ``current_context().cancelled`` that it should end.

    Raises
    ------
    OptionError
        When a value has the wrong type, or the time is 0 or less.

    Examples
    --------
    >>> Timeout(timedelta(minutes=2), killable=True).seconds
    120.0
    """

    max_runtime: float | timedelta
    killable: bool = False

    def __post_init__(self) -> None:
        seconds(self.max_runtime, "max_runtime", "Timeout")
        if not isinstance(self.killable, bool):
            raise OptionError(f"killable of Timeout must be bool; got {self.killable!r}")

    @property
    def seconds(self) -> float:
        """The time in seconds."""
        return seconds(self.max_runtime, "max_runtime", "Timeout")
