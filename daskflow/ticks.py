"""Which ticks of a schedule are to be run now. Pure: the last tick, the time and a policy in, ticks out.

The state of a schedule is its last tick that was dealt with. A tick that is reached within its *grace* is *due*, and always run.
An older one is *missed*: nobody was there when it was due, or the machine slept, or the cluster could not be reached. The policy
says what becomes of those:

=========  ===================================================================================
catch-up   missed ticks
=========  ===================================================================================
``none``   are not run
``last``   are not run, but for the latest one where nothing is due that comes after it
``all``    are run, each of them, in their order
=========  ===================================================================================

Since all that counts is what lies between the last tick and now, a tick is neither lost nor doubled however often one asks. A
clock that is set back brings nothing until it has passed the last tick again. If it is set back by more than three hours, the time
before was wrong, and one begins anew; Debian's cron does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, takewhile
from typing import Literal, Protocol

CatchUp = Literal["none", "last", "all"]

#: A clock that goes back further than this was wrong before.
CORRECTION = timedelta(hours=3)
_INSTANT = timedelta.resolution


class Timetable(Protocol):
    """What gives ticks: see :mod:`daskflow.schedules`."""

    def ticks(self, after: datetime) -> Iterator[datetime]: ...
    def latest(self, after: datetime, until: datetime) -> datetime | None: ...


@dataclass(frozen=True)
class Mark:
    """How far the schedule of a plan has been dealt with.

    Attributes
    ----------
    schedule : str
        What the schedule says; another one begins anew.
    last : datetime
        The last tick that was dealt with, or when the schedule was first seen.
    """

    schedule: str
    last: datetime


@dataclass(frozen=True)
class Decision:
    """What is to be done now.

    Attributes
    ----------
    dropped : datetime or None
        The latest tick that is not to be run, before all those that are.
    run : iterator of datetime
        The ticks to run, in their order. There may be many: they are made as one asks for them.
    """

    dropped: datetime | None
    run: Iterator[datetime]


def begin(mark: Mark | None, schedule: str, now: datetime) -> Mark:
    """Return where to go on: at the mark, or now where there is none that holds."""
    if mark is None or mark.schedule != schedule or mark.last - now > CORRECTION:
        return Mark(schedule, now)
    return mark


def decide(timetable: Timetable, last: datetime, now: datetime, catch_up: CatchUp, grace: timedelta) -> Decision:
    """Decide what to run now.

    Parameters
    ----------
    timetable
        The schedule.
    last
        The last tick that was dealt with, or when the schedule was first seen.
    now
        The time.
    catch_up
        What becomes of missed ticks.
    grace
        How late a tick may be found and still be due; positive.

    Examples
    --------
    >>> from datetime import UTC
    >>> from daskflow.schedules import CronSchedule
    >>> six, nine = (datetime(2026, 3, 1, hour, 5, tzinfo=UTC) for hour in (6, 9))
    >>> [tick.hour for tick in decide(CronSchedule("hourly"), six, nine, "all", timedelta(minutes=1)).run]
    [7, 8, 9]
    >>> [tick.hour for tick in decide(CronSchedule("hourly"), six, nine, "last", timedelta(minutes=1)).run]
    [9]
    """
    if catch_up == "all":
        return Decision(None, _until(timetable, last, now))
    missed = timetable.latest(last, now - grace - _INSTANT)
    due = _until(timetable, missed or last, now)
    first = next(due, None)
    if first is not None:
        return Decision(missed, chain((first,), due))
    if missed is None or catch_up == "none":
        return Decision(missed, iter(()))
    return Decision(timetable.latest(last, missed - _INSTANT), iter((missed,)))


def _until(timetable: Timetable, last: datetime, now: datetime) -> Iterator[datetime]:
    return takewhile(lambda tick: tick <= now, timetable.ticks(last))
