"""When a launch plan is run: :class:`CronSchedule` and :class:`FixedRate`. The names are Flyte's.

What a cron expression means is left to cronsim, which keeps to Debian's cron: Sunday is 0 and 7; where both day-of-month and
day-of-week are given, either is enough, as POSIX has it; and a job of a certain hour is neither lost nor doubled when clocks are
changed. APScheduler was not taken: it counts days of the week from Monday, asks for both days, and brings threads and job
stores, where what is due must follow from the time and the last tick alone (:mod:`daskflow.ticks`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import takewhile
from typing import Any

from daskflow.errors import OptionError

#: The text that each alias of Flyte's stands for; each but ``days`` and its like may have an ``@`` before it.
_ALIASES = {
    "0 * * * *": ("hourly", "hours", "@hourly"),
    "0 0 * * *": ("daily", "days", "@daily"),
    "0 0 * * 0": ("weekly", "weeks", "@weekly"),
    "0 0 1 * *": ("monthly", "months", "@monthly"),
    "0 0 1 1 *": ("yearly", "years", "@yearly", "annually", "@annually"),
}
_NEVER = datetime.max.replace(tzinfo=UTC)
_EXPRESSIONS = {alias: expression for expression, aliases in _ALIASES.items() for alias in aliases}

_DURATION = re.compile(
    r"(?P<sign>[-+]?)P(?=\d|T\d)(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?\Z"
)


def _offset(value: Any) -> timedelta:
    if value is None or isinstance(value, timedelta):
        return value or timedelta()
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise OptionError(
            "offset of a CronSchedule must be a timedelta, or a duration of ISO 8601 without years and months, such as 'PT15M'; "
            f"got {value!r}"
        )
    parts = match.groupdict()
    sign = -1 if parts.pop("sign") == "-" else 1
    return sign * timedelta(**{name: int(count) for name, count in parts.items() if count})


def _zone_name(value: Any) -> str:
    """Return the name of a time zone, which travels and compares better than the zone itself."""
    name = value if isinstance(value, str) else getattr(value, "key", "UTC" if value is UTC else None)
    if not isinstance(name, str) or not name:
        raise OptionError(f"timezone of a CronSchedule must be the name of one, such as 'Europe/Berlin', or a ZoneInfo; got {value!r}")
    zone(name)
    return name


def zone(name: str) -> tzinfo:
    """Return the time zone of a name.

    Raises
    ------
    OptionError
        When there is none of that name.
    """
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise OptionError(
            f"there is no time zone {name!r}; names are those of the IANA database, such as 'Europe/Berlin' (where a system has none: "
            "install tzdata)"
        ) from None


def _five_fields(schedule: Any) -> str:
    if not isinstance(schedule, str) or not schedule.strip():
        raise OptionError(f"schedule of a CronSchedule must be a cron expression, such as '0 6 * * 1', or an alias; got {schedule!r}")
    text = " ".join(schedule.split())
    expression = _EXPRESSIONS.get(text.lower())
    if expression is not None:
        return expression
    fields = text.split(" ")
    if len(fields) != 5:
        raise OptionError(
            f"schedule of a CronSchedule has five fields (minute, hour, day of month, month, day of week), or is one of "
            f"{', '.join(_EXPRESSIONS)}; got {schedule!r}"
        )
    # Some crons, Flyte's among them, write ? for a day that is not said.
    fields[2], fields[4] = (("*" if fields[place] == "?" else fields[place]) for place in (2, 4))
    return " ".join(fields)


def _check_kickoff(name: Any, owner: str) -> None:
    if name is not None and (not isinstance(name, str) or not name):
        raise OptionError(f"kickoff_time_input_arg of a {owner} must be the name of an input; got {name!r}")


@dataclass(frozen=True)
class CronSchedule:
    """Times given by a cron expression.

    Attributes
    ----------
    schedule : str
        Five fields, as POSIX's crontab has them, or an alias of Flyte's: ``hourly``, ``daily``, ``weekly``, ``monthly``, ``yearly``,
        with or without ``@``.
    offset : timedelta
        How much later each tick comes; negative for sooner. May be given as a duration of ISO 8601.
    kickoff_time_input_arg : str or None
        The input that gets the time of the tick, aware and in UTC.
    timezone : str
        The zone whose clocks the expression is read by. Flyte's is UTC always.

    Raises
    ------
    OptionError
        When the expression has no tick, or anything else is not what it can be.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> monday = CronSchedule("0 6 * * 1", timezone="Europe/Berlin")
    >>> next(monday.ticks(datetime(2026, 3, 1, tzinfo=UTC))).isoformat()
    '2026-03-02T05:00:00+00:00'
    """

    # What is compared is what it stands for.
    schedule: str = field(default="", compare=False)
    offset: timedelta | str | None = None
    kickoff_time_input_arg: str | None = None
    timezone: str | tzinfo = "UTC"
    cron_expression: InitVar[str | None] = None
    _expression: str = field(init=False, repr=False, default="")

    def __post_init__(self, cron_expression: str | None) -> None:
        if cron_expression is not None:
            raise OptionError(
                f"cron_expression={cron_expression!r} is Amazon's notation, which Flyte has given up; "
                "write schedule= with five fields: minute, hour, day of month, month, day of week"
            )
        _check_kickoff(self.kickoff_time_input_arg, "CronSchedule")
        object.__setattr__(self, "_expression", _five_fields(self.schedule))
        object.__setattr__(self, "offset", _offset(self.offset))
        object.__setattr__(self, "timezone", _zone_name(self.timezone))
        self._check()

    def _check(self) -> None:
        from cronsim import CronSimError

        try:
            if next(self.ticks(datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
                raise CronSimError("it has no tick within 50 years")
        except CronSimError as error:
            raise OptionError(f"schedule of a CronSchedule is no cron expression: {self.schedule!r}: {error}") from None

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after a moment, in their order, aware and in UTC.

        Parameters
        ----------
        after
            An aware time; a tick at that very moment is not one after it.
        """
        from cronsim import CronSim

        assert isinstance(self.offset, timedelta)
        assert isinstance(self.timezone, str)
        last = after.astimezone(UTC) - self.offset
        for local in CronSim(self._expression, last.astimezone(zone(self.timezone))):
            tick = local.astimezone(UTC)
            # Where clocks are changed, two times of a day may be one moment, or lie in the hour that has been already.
            if tick > last:
                last = tick
                yield tick + self.offset

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest tick after a moment that is not later than another; None where there is none."""
        # Looked for from the end, since a schedule of minutes has half a million ticks a year.
        back = timedelta(hours=1)
        while True:
            start = max(after, until - back)
            found = _last(takewhile(lambda tick: tick <= until, self.ticks(start)))
            if found is not None or start == after:
                return found
            back *= 4

    def __str__(self) -> str:
        shifted = f" {self.offset}" if self.offset else ""
        return f"cron {self._expression}{shifted} {self.timezone}"


@dataclass(frozen=True)
class FixedRate:
    """Times that are equally far apart, counted from when the plan was first seen.

    Attributes
    ----------
    duration : timedelta
        Whole minutes, at least one.
    kickoff_time_input_arg : str or None
        The input that gets the time of the tick, aware and in UTC.

    Raises
    ------
    OptionError
        When the duration is none that it can be.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> next(FixedRate(timedelta(minutes=10)).ticks(datetime(2026, 3, 1, 12, 5, tzinfo=UTC))).isoformat()
    '2026-03-01T12:15:00+00:00'
    """

    duration: timedelta
    kickoff_time_input_arg: str | None = None

    def __post_init__(self) -> None:
        _check_kickoff(self.kickoff_time_input_arg, "FixedRate")
        minute = timedelta(minutes=1)
        if not isinstance(self.duration, timedelta) or self.duration < minute or self.duration % minute:
            raise OptionError(
                f"duration of a FixedRate must be a timedelta of whole minutes, at least one; got {self.duration!r}; "
                "what has to be done more often belongs into one run"
            )

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """Yield the ticks after one, in their order, aware and in UTC.

        Parameters
        ----------
        after
            A tick, or when the plan was first seen.
        """
        tick = after.astimezone(UTC)
        while tick <= _NEVER - self.duration:
            tick += self.duration
            yield tick

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest tick after one that is not later than a moment; None where there is none."""
        ticks = (until - after) // self.duration
        return after.astimezone(UTC) + ticks * self.duration if ticks > 0 else None

    def __str__(self) -> str:
        return f"every {self.duration}"


def _last(ticks: Iterable[datetime]) -> datetime | None:
    return next(iter(deque(ticks, maxlen=1)), None)


Schedule = CronSchedule | FixedRate
