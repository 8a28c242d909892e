"""Alarms: what is to be said of a unit when a time has passed, on the scheduler's event loop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable


class Alarms:
    """The alarms of all runs.

    Parameters
    ----------
    ring
        Called with the key of a unit when its time has passed.
    """

    def __init__(self, ring: Callable[[str], None]) -> None:
        self._ring = ring
        self._handles: defaultdict[str, dict[str, asyncio.TimerHandle]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._handles.values()))

    def set(self, run: str, key: str, seconds: float) -> None:
        """Ring for a unit of a run after so many seconds."""
        self._handles[run][key] = asyncio.get_running_loop().call_later(seconds, self._due, run, key)

    def _due(self, run: str, key: str) -> None:
        del self._handles[run][key]
        if not self._handles[run]:
            del self._handles[run]
        self._ring(key)

    def left(self, run: str, key: str) -> float | None:
        """Return the seconds until a unit's alarm; None where it has none."""
        handle = self._handles[run].get(key) if run in self._handles else None
        return None if handle is None else max(0.0, handle.when() - asyncio.get_running_loop().time())

    def drop(self, run: str) -> None:
        """Forget the alarms of a run."""
        for handle in self._handles.pop(run, {}).values():
            handle.cancel()
