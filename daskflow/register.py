"""The register: what the scheduler knows of runs beside their units.

Code, options and results belong to runs that are there; what units told of child runs is kept a while longer, for whoever asks
when the run has ended.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from daskflow.records import Status

#: What is kept of runs that are gone: so many bytes of what units told.
_MOST_KEPT = 32 << 20


class Story:
    """What can be told of a run.

    Attributes
    ----------
    reports : list of bytes
        What units told, in order; opaque here.
    status : Status
        Where the run is in its life.
    ended : float or None
        When it ended, in seconds since the epoch.
    failed : str or None
        The innermost child run that failed.
    place : str or None
        The address of what failed it.
    """

    __slots__ = ("ended", "failed", "place", "reports", "size", "status")

    def __init__(self) -> None:
        self.reports: list[bytes] = []
        self.size = 0
        self.status = Status.RUNNING
        self.ended: float | None = None
        self.failed: str | None = None
        self.place: str | None = None

    def tell(self, report: bytes | None) -> None:
        """Add a report."""
        if report:
            self.reports.append(report)
            self.size += len(report)

    def end(self, status: Status, place: str | None = None) -> None:
        """The run has ended; with what is at an address, if it failed there."""
        if self.ended is None:
            self.status, self.ended, self.place = status, time.time(), place

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        told = {"status": self.status.value, "ended": self.ended, "failed": self.failed, "place": self.place}
        return {"reports": self.reports, **told}


class Entry:
    """One run that is there.

    Attributes
    ----------
    digest : str
        Names its code.
    options : dict
        What its units must know of the configuration.
    name : str
        A name for people.
    ended : asyncio.Event
        Set once it has ended.
    value : tuple or None
        The unit with the run's result, and the result itself, as opaque bytes, if it is small.
    story : Story
        What units told.
    """

    __slots__ = ("digest", "ended", "name", "options", "story", "value")

    def __init__(self, digest: str, options: dict[str, Any], name: str) -> None:
        self.digest = digest
        self.options = options
        self.name = name
        self.ended = asyncio.Event()
        self.value: tuple[str, bytes] | None = None
        self.story = Story()


class Register:
    """All runs that are there, their code, and the stories of some that are gone."""

    def __init__(self) -> None:
        self.runs: dict[str, Entry] = {}
        self.code: dict[str, bytes] = {}
        self._kept: dict[str, Story] = {}
        self._size = 0

    def add(self, run: str, entry: Entry, code: bytes) -> None:
        """Enter a run."""
        self.code[entry.digest] = code
        self.runs[run] = entry

    def drop(self, run: str) -> None:
        """Let go of a run; its story is kept until there are too many later ones."""
        entry = self.runs.pop(run, None)
        if entry is None:
            return
        if all(other.digest != entry.digest for other in self.runs.values()):
            self.code.pop(entry.digest, None)
        self._keep(run, entry.story)

    def _keep(self, run: str, story: Story) -> None:
        if not story.reports:
            return
        self._kept[run] = story
        self._size += story.size
        while self._size > _MOST_KEPT and len(self._kept) > 1:
            self._size -= self._kept.pop(next(iter(self._kept))).size

    def story(self, run: str) -> Story | None:
        """Return what can be told of a run."""
        entry = self.runs.get(run)
        return entry.story if entry is not None else self._kept.get(run)
