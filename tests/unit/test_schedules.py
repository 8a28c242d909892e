"""Schedules: what times they mean, and what is refused."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from daskflow.errors import OptionError
from daskflow.schedules import CronSchedule, FixedRate

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def _local(schedule: CronSchedule, start: datetime, count: int) -> list[str]:
    zone = ZoneInfo(str(schedule.timezone))
    return [tick.astimezone(zone).strftime("%a %d.%m. %H:%M") for tick in islice(schedule.ticks(start), count)]


# ---------------------------------------------------------------- what cron expressions mean


def _field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    every = frozenset(range(low, high + 1))
    numbers = st.sets(st.integers(low, high), min_size=1, max_size=3).map(lambda chosen: (",".join(map(str, chosen)), frozenset(chosen)))
    steps = st.integers(1, high).map(lambda step: (f"*/{step}", frozenset(range(low, high + 1, step))))
    spans = st.tuples(st.integers(low, high), st.integers(low, high)).map(
        lambda ends: (f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1)))
    )
    return st.one_of(st.just(("*", every)), numbers, steps, spans)


@settings(max_examples=150, deadline=None)
@given(_field(0, 59), _field(0, 23), _field(1, 31), _field(1, 12), _field(0, 7), st.integers(0, 500_000))
def test_expressions_mean_what_posix_says(minute: Any, hour: Any, day: Any, month: Any, weekday: Any, late: int) -> None:
    """Minute by minute, a tick is where all fields fit; of day and day of week one is enough where both are given. Sunday is 0 and 7."""
    start = MONDAY + timedelta(minutes=late)
    end = start + timedelta(days=3)
    either = not (day[0].startswith("*") or weekday[0].startswith("*"))
    weekdays = {one % 7 for one in weekday[1]}

    def fits(time: datetime) -> bool:
        days = (time.day in day[1], time.isoweekday() % 7 in weekdays)
        whole = any(days) if either else all(days)
        return whole and time.minute in minute[1] and time.hour in hour[1] and time.month in month[1]

    try:
        schedule = CronSchedule(" ".join(one[0] for one in (minute, hour, day, month, weekday)))
    except OptionError:
        # There is no such day, such as the 30th of February.
        assume(False)
    expected = [time for time in (start + timedelta(minutes=step) for step in range(1, 3 * 24 * 60 + 1)) if fits(time)]
    assert list(takewhile(lambda tick: tick <= end, schedule.ticks(start))) == expected
    assert schedule.latest(start, end) == (expected[-1] if expected else None)


@pytest.mark.parametrize(
    ("alias", "expression"),
    [
        ("hourly", "0 * * * *"),
        ("days", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("Monthly", "0 0 1 * *"),
        ("annually", "0 0 1 1 *"),
        ("@yearly", "0 0 1 1 *"),
        (" 0  6 * * ? ", "0 6 * * *"),
    ],
)
def test_aliases(alias: str, expression: str) -> None:
    """An alias of Flyte's is the expression that it stands for, and so is one with other spaces, or a ? for a day."""
    assert CronSchedule(alias) == CronSchedule(expression)
    assert str(CronSchedule(alias)) == f"cron {expression} UTC"
    assert hash(CronSchedule(alias)) == hash(CronSchedule(expression))


def test_days_of_the_week() -> None:
    """1 is Monday, as in POSIX's crontab; 0 and 7 are Sunday."""
    assert _local(CronSchedule("0 6 * * 1"), MONDAY, 1) == ["Mon 02.03. 06:00"]
    assert _local(CronSchedule("0 6 * * 0"), MONDAY, 1) == _local(CronSchedule("0 6 * * sun"), MONDAY, 1) == ["Sun 08.03. 06:00"]
    assert _local(CronSchedule("0 6 13 * 5"), MONDAY, 3) == ["Fri 06.03. 06:00", "Fri 13.03. 06:00", "Fri 20.03. 06:00"]


def test_an_offset_moves_each_tick() -> None:
    """An offset, as timedelta or in ISO 8601, moves ticks, back and forth."""
    later = CronSchedule("0 6 * * *", offset="PT15M")
    assert later == CronSchedule("0 6 * * *", offset=timedelta(minutes=15))
    assert _local(later, MONDAY, 2) == ["Mon 02.03. 06:15", "Tue 03.03. 06:15"]
    assert _local(later, MONDAY + timedelta(hours=6, minutes=10), 1) == ["Mon 02.03. 06:15"]
    assert _local(CronSchedule("0 6 * * *", offset="-P1DT1H30M"), MONDAY, 1) == ["Mon 02.03. 04:30"]


# ---------------------------------------------------------------- clocks that are changed


def test_the_hour_that_is_left_out() -> None:
    """When clocks go forward, what would be in the hour left out comes right after it, once, as in Debian's cron."""
    before = datetime(2026, 3, 28, 12, tzinfo=UTC)
    daily = CronSchedule("30 2 * * *", timezone="Europe/Berlin")
    assert _local(daily, before, 2) == ["Sun 29.03. 03:00", "Mon 30.03. 02:30"]
    both = CronSchedule("0,30 2,3 * * *", timezone="Europe/Berlin")
    assert _local(both, before, 3) == ["Sun 29.03. 03:00", "Sun 29.03. 03:30", "Mon 30.03. 02:00"]


def test_the_hour_that_is_there_twice() -> None:
    """When clocks go back, a job of that hour comes once; one that comes every half an hour goes on doing so."""
    before = datetime(2026, 10, 24, 12, tzinfo=UTC)
    daily = CronSchedule("30 2 * * *", timezone="Europe/Berlin")
    assert list(islice(daily.ticks(before), 2)) == [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)]
    # Asked for within the second time, it is over.
    assert next(daily.ticks(datetime(2026, 10, 25, 1, 10, tzinfo=UTC))).day == 26
    often = list(islice(CronSchedule("*/30 * * * *", timezone="Europe/Berlin").ticks(datetime(2026, 10, 25, tzinfo=UTC)), 8))
    assert {later - sooner for sooner, later in pairwise(often)} == {timedelta(minutes=30)}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["*/20 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 0,1 * * *", "0 3 * * *", "0 */2 * * *", "45 1 * * *"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"]),
    st.integers(0, 365 * 24 * 60),
    st.integers(0, 60_000),
    st.integers(0, 59),
)
def test_ticks_do_not_depend_on_when_one_asks(text: str, zone: str, start: int, minutes: int, seconds: int) -> None:
    """Ticks rise, and those after a moment are the same from wherever one looks, in any zone."""
    schedule = CronSchedule(text, timezone=zone)
    begun = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=start)
    asked = begun + timedelta(minutes=minutes, seconds=seconds)
    until = asked + timedelta(days=2)
    ticks = list(takewhile(lambda tick: tick <= until, schedule.ticks(begun)))
    assert all(sooner < later for sooner, later in pairwise(ticks))
    assert [tick for tick in ticks if tick > asked] == list(takewhile(lambda tick: tick <= until, schedule.ticks(asked)))
    assert schedule.latest(begun, asked) == max((tick for tick in ticks if tick <= asked), default=None)


# ---------------------------------------------------------------- fixed rates


def test_a_fixed_rate() -> None:
    """Ticks are as far apart as it says, from the last one on; the latest is found without going through them."""
    rate = FixedRate(timedelta(minutes=90), kickoff_time_input_arg="when")
    start = MONDAY + timedelta(seconds=7)
    assert list(islice(rate.ticks(start), 2)) == [start + timedelta(minutes=90), start + timedelta(minutes=180)]
    assert rate.latest(start, start + timedelta(days=365)) == start + timedelta(days=365)
    assert rate.latest(start, start + timedelta(days=365, minutes=89)) == start + timedelta(days=365)
    assert rate.latest(start, start + timedelta(minutes=89)) is None
    assert list(FixedRate(timedelta(days=999_999)).ticks(start + timedelta(days=2_000_000))) == []


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CronSchedule(), "must be a cron expression.*got ''"),
        (lambda: CronSchedule(5), "must be a cron expression.*got 5"),
        (lambda: CronSchedule("* * * *"), "has five fields .*, or is one of hourly.*got '\\* \\* \\* \\*'"),
        (lambda: CronSchedule("* * * * * *"), "has five fields"),
        (lambda: CronSchedule("@reboot"), "has five fields"),
        (lambda: CronSchedule("61 * * * *"), "no cron expression: '61 .*: Bad minute"),
        (lambda: CronSchedule("0 6 * * 8"), "Bad day-of-week"),
        (lambda: CronSchedule("0 0 30 2 *"), "Bad day-of-month"),
        (lambda: CronSchedule(cron_expression="0 10 * * ? *"), "Amazon's notation.*write schedule= with five fields"),
        (lambda: CronSchedule("daily", offset="1 hour"), "must be a timedelta, or a duration of ISO 8601.*got '1 hour'"),
        (lambda: CronSchedule("daily", offset="P1M"), "without years and months"),
        (lambda: CronSchedule("daily", offset="PT"), "without years and months"),
        (lambda: CronSchedule("daily", timezone="Mars/Olympus"), "no time zone 'Mars/Olympus'"),
        (lambda: CronSchedule("daily", timezone="../etc"), "no time zone"),
        (lambda: CronSchedule("daily", timezone=timezone(timedelta(hours=1))), "must be the name of one, such as 'Europe/Berlin'"),
        (lambda: CronSchedule("daily", kickoff_time_input_arg=""), "kickoff_time_input_arg of a CronSchedule must be the name"),
        (lambda: FixedRate(timedelta(0)), "whole minutes, at least one"),
        (lambda: FixedRate(timedelta(minutes=-1)), "whole minutes, at least one"),
        (lambda: FixedRate(timedelta(seconds=90)), "whole minutes, at least one"),
        (lambda: FixedRate(timedelta(minutes=1, microseconds=1)), "whole minutes, at least one"),
        (lambda: FixedRate(10), "must be a timedelta of whole minutes"),
        (lambda: FixedRate(timedelta(minutes=1), kickoff_time_input_arg=3), "kickoff_time_input_arg of a FixedRate"),
    ],
)
def test_refusals(make: Any, text: str) -> None:
    """What is no schedule is refused when it is made, with what was given and the way out."""
    with pytest.raises(OptionError, match=text):
        make()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text("0123456789*/,-#L?WMONSUJAN", max_size=6), min_size=5, max_size=5).map(" ".join))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    """Whatever five words are given, they have a next tick, or are refused with the one error."""
    try:
        assert next(CronSchedule(text).ticks(MONDAY)) > MONDAY
    except OptionError:
        pass


def test_schedules_travel() -> None:
    """A schedule that is pickled is the same afterwards, and a zone stands for its name."""
    schedule = CronSchedule("0 6 * * 1", "PT1M", "when", ZoneInfo("Europe/Berlin"))
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule.timezone == "Europe/Berlin"
    assert CronSchedule("daily", timezone=UTC) == CronSchedule("daily")
