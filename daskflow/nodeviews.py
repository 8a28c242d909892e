"""What is said of the nodes of a run: their phases, and records of them as users see them. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """Where a node is in its life; the names are Flyte's.

    Examples
    --------
    >>> Phase("RUNNING").ended, Phase.SKIPPED.ended
    (False, True)
    """

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"
    RECOVERED = "RECOVERED"

    @property
    def ended(self) -> bool:
        """Whether the node will not be executed any more."""
        return self not in (Phase.QUEUED, Phase.RUNNING)


#: Phases as bytes, for what has a hundred thousand of them.
PHASES = tuple(Phase)
QUEUED, RUNNING, SUCCEEDED, FAILED, ABORTED, SKIPPED, TIMED_OUT, RECOVERED = range(len(PHASES))


@dataclass(frozen=True)
class Attempt:
    """An attempt of a task that failed and was followed by another.

    Attributes
    ----------
    number : int
        Its number, from 0 on.
    error : str
        What it raised, on one line.
    when : datetime
        When it failed, in UTC.
    delay : float
        Seconds until the next one.
    """

    number: int
    error: str
    when: datetime
    delay: float


@dataclass(frozen=True)
class NodeView:
    """One node of a run, at one moment.

    Attributes
    ----------
    address : str
        Where it is in the run; empty for the run itself.
    label : str
        The last part of that.
    entity, kind : str
        The name and kind of what it calls; empty where that is not known.
    phase : Phase
        Where it is in its life.
    started : datetime or None
        When it began, in UTC; ``None`` where it has not, or nobody has told.
    seconds : float or None
        How long it took; ``None`` where it has not ended, or nobody has told.
    worker : str
        The address of the worker that executed it, or is executing it; empty where that is not known.
    attempts : tuple of Attempt
        Those that failed and were followed by another.
    cache : str
        What the cache did, one of :class:`~daskflow.caching.CacheStatus`; empty where it is not cached, or nobody has told.
    child_run : str
        Its id as a run of its own, if it is the call of a launch plan.
    inside : int
        How many nodes succeeded in it, at any depth, of which nothing else was told since it was short.
    counts : dict of Phase to int
        How many of the nodes that it calls, or of its items, are in which phase.
    error : str
        Why it failed, on one line, where that is known.
    untold : int
        How many nodes failed in it, at any depth, it included, of which no more is told than that, since very many failed in one unit.
    """

    address: str
    label: str
    entity: str
    kind: str
    phase: Phase
    started: datetime | None = None
    seconds: float | None = None
    worker: str = ""
    attempts: tuple[Attempt, ...] = ()
    cache: str = ""
    child_run: str = ""
    inside: int = 0
    counts: dict[Phase, int] = field(default_factory=dict)
    error: str = ""
    untold: int = 0

    @property
    def left_out(self) -> str:
        """What is to be said of nodes that failed in it and of which no more is told; empty where there is none.

        Examples
        --------
        >>> NodeView("m", "m", "map of f", "map", Phase.SUCCEEDED, counts={Phase.FAILED: 5000}, untold=4000).left_out
        'of 4000 nodes that failed no more is told, since very many failed in one unit'
        """
        if not self.untold:
            return ""
        whose = f"of {self.untold} nodes that failed " if self.counts or not self.address else ""
        return f"{whose}no more is told, since very many failed in one unit"

    def plain(self) -> dict[str, Any]:
        """Return it as plain data, as JSON takes it; times in seconds since the epoch."""
        return {
            **self.__dict__,
            "phase": self.phase.value,
            "started": None if self.started is None else self.started.timestamp(),
            "attempts": [{**one.__dict__, "when": one.when.timestamp()} for one in self.attempts],
            "counts": {phase.value: count for phase, count in self.counts.items()},
        }


@dataclass(frozen=True)
class Page:
    """Some of the nodes that a node calls, or of its items.

    Attributes
    ----------
    total : int
        How many there are that were asked for, on all pages.
    items : list of NodeView
        Those on this one.
    """

    total: int
    items: list[NodeView]


@dataclass(frozen=True)
class NodeEvent:
    """Something that has become known of a node.

    Attributes
    ----------
    address : str
        The node; empty for the run itself.
    phase : Phase
        Where it is in its life now.
    when : datetime or None
        Since when, in UTC, where that is known.
    entity, kind : str
        The name and kind of what it calls.
    worker : str
        The address of the worker where it is, or was, executed.
    """

    address: str
    phase: Phase
    when: datetime | None
    entity: str
    kind: str
    worker: str


def utc(seconds: float) -> datetime | None:
    """Return a time that is given in seconds since the epoch; ``None`` for 0, which stands for no time."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
