"""Pace: how long units take, and how many of them are let in for that."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: How many units are let in for each thread of the cluster while units are short: a worker that ends one finds the next there
#: already. Long ones are let in when there is a thread for them: one that was sent to a busy worker would miss another's free thread.
_PER_THREAD = 1.25
_SHORT = 0.1  # seconds
_WEIGHT = 0.1  # of the latest unit in the mean time that units take


class Pace:
    """Follows units as they begin and end.

    Parameters
    ----------
    clock : callable, optional
        Gives seconds.

    Examples
    --------
    >>> now = iter([0.0, 5.0])
    >>> pace = Pace(clock=lambda: next(now))
    >>> pace.capacity(threads=8)
    8
    >>> pace.began("unit")
    >>> pace.ended("unit")
    True
    >>> round(pace.mean, 2)
    0.59
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.mean = _SHORT
        self._clock = clock
        self._began: dict[str, float] = {}

    def began(self, key: str) -> None:
        """Note that a unit was sent to a worker."""
        self._began[key] = self._clock()

    def ended(self, key: str) -> bool:
        """Note that a unit has ended, or is to be executed again; tell whether it had begun."""
        began = self._began.pop(key, None)
        if began is None:
            return False
        self.mean += _WEIGHT * (self._clock() - began - self.mean)
        return True

    def forget(self, key: str) -> None:
        """Forget a unit whose end says nothing, since it is the end of its run."""
        self._began.pop(key, None)

    def capacity(self, threads: int) -> int:
        """Return how many units may be let in for so many threads, or for resources that so many can have."""
        return math.ceil(threads * (_PER_THREAD if self.mean < _SHORT else 1))
