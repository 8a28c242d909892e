"""The watchdog: one thread for a process, which looks at the units at work there."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

_TICK = 0.0025  # seconds between two looks
_LINGER = 1.0  # seconds that it stays without a unit to look at


class Watched(Protocol):
    """What is looked at."""

    def look(self, now: float) -> None:
        """Look at it, at a time in seconds."""
        ...

    def fail(self, error: BaseException) -> None:
        """A look has failed."""
        ...


class Watchdog:
    """One thread for a process, which looks at the units at work there; it ends when there are none for a while."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active: set[Watched] = set()
        self._thread: threading.Thread | None = None

    def watching(self, unit: Watched) -> Any:
        """Return a context in which the unit is looked at."""
        return _Watching(self, unit)

    def add(self, unit: Watched) -> None:
        """Begin to look at a unit."""
        with self._changed:
            self._active.add(unit)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="daskflow-watchdog", daemon=True)
                self._thread.start()
            elif len(self._active) == 1:
                self._changed.notify()

    def remove(self, unit: Watched) -> None:
        """Look at it no longer."""
        with self._changed:
            self._active.discard(unit)

    def _run(self) -> None:
        while self._has_units():
            self._look_at_all()
            time.sleep(_TICK)

    def _has_units(self) -> bool:
        with self._changed:
            if self._active or self._changed.wait_for(lambda: self._active, _LINGER):
                return True
            self._thread = None
            return False

    def _look_at_all(self) -> None:
        # In a frame of its own: while the thread waits for the next unit, it must not keep the last one with all that is in it.
        with self._changed:
            units = list(self._active)
        for unit in units:
            self._look(unit)

    def _look(self, unit: Watched) -> None:
        try:
            unit.look(time.perf_counter())
        except BaseException as error:
            unit.fail(error)


class _Watching:
    def __init__(self, watchdog: Watchdog, unit: Watched) -> None:
        self._watchdog = watchdog
        self._unit = unit

    def __enter__(self) -> None:
        self._watchdog.add(self._unit)

    def __exit__(self, *_: object) -> None:
        self._watchdog.remove(self._unit)


watchdog = Watchdog()
