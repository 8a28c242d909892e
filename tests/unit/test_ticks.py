"""What is due: no tick is lost or doubled, whatever clocks and processes do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.schedules import CronSchedule, FixedRate, Schedule
from daskflow.ticks import CORRECTION, CatchUp, Mark, begin, decide

START = datetime(2026, 3, 27, 21, 17, 40, tzinfo=UTC)
GRACE = timedelta(minutes=1)


class World:
    """A clock, a process that looks at it at times, and what is kept of it when the process ends."""

    def __init__(self, schedule: Schedule, catch_up: CatchUp) -> None:
        self.schedule = schedule
        self.catch_up = catch_up
        self.now = self.latest = START
        self.kept: Mark | None = None
        self.ran: list[datetime] = []

    def look(self) -> list[datetime]:
        """Do what is due; each mark is kept when it is made."""
        self.kept = begin(self.kept, str(self.schedule), self.now)
        self.latest = max(self.latest, self.now)
        decision = decide(self.schedule, self.kept.last, self.now, self.catch_up, GRACE)
        if decision.dropped is not None:
            self._keep(decision.dropped)
        ran = []
        for tick in decision.run:
            self._keep(tick)
            ran.append(tick)
        self.ran += ran
        return ran

    def _keep(self, tick: datetime) -> None:
        assert self.kept is not None
        assert tick > self.kept.last
        self.kept = Mark(str(self.schedule), tick)


_schedules = st.one_of(
    st.sampled_from(["* * * * *", "*/7 * * * *", "13 * * * *", "30 2 * * *", "0,30 1-3 * * *", "0 3 * * *", "hourly", "0 0 1 * 1"]).flatmap(
        lambda text: st.builds(
            CronSchedule,
            st.just(text),
            st.sampled_from([None, "PT90S", "-PT1H"]),
            timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        )
    ),
    st.integers(1, 300).map(lambda minutes: FixedRate(timedelta(minutes=minutes))),
)
# A step of the clock, in seconds: mostly on, by little or by days, sometimes back.
_steps = st.lists(st.one_of(st.integers(1, 90), st.integers(1, 100_000), st.integers(-10_000, -1)), min_size=1, max_size=8)


def _reference(schedule: Schedule, until: datetime) -> Iterator[datetime]:
    for tick in schedule.ticks(START):
        if tick > until:
            return
        yield tick


@settings(max_examples=100, deadline=None)
@given(_schedules, _steps)
def test_all_are_run_once(schedule: Schedule, steps: list[int]) -> None:
    """With `all`, each tick between the first look and the latest is run once and in order, over stops and clocks that are set."""
    world = World(schedule, "all")
    world.look()
    for step in steps:
        world.now = max(START, world.now + timedelta(seconds=step), world.latest - CORRECTION)
        world.look()
    assert world.ran == list(_reference(schedule, world.latest))


@settings(max_examples=100, deadline=None)
@given(_schedules, _steps)
def test_the_latest_is_run(schedule: Schedule, steps: list[int]) -> None:
    """With `last`, a look runs what is due, or else the latest tick that was missed, and none twice."""
    world = World(schedule, "last")
    world.look()
    for step in steps:
        world.now = max(START, world.now + timedelta(seconds=step), world.latest - CORRECTION)
        new = [tick for tick in _reference(schedule, world.now) if world.kept is not None and tick > world.kept.last]
        assert world.look() == ([tick for tick in new if world.now - tick <= GRACE] or new[-1:])
    assert world.ran == sorted(set(world.ran))


@settings(max_examples=100, deadline=None)
@given(_schedules, _steps)
def test_none_that_is_late_is_run(schedule: Schedule, steps: list[int]) -> None:
    """With `none`, what is run is what a look finds within its grace, and that is run once."""
    world = World(schedule, "none")
    world.look()
    for step in steps:
        world.now = max(START, world.now + timedelta(seconds=step), world.latest - CORRECTION)
        expected = [
            tick
            for tick in _reference(schedule, world.now)
            if world.kept is not None and tick > world.kept.last and world.now - tick <= GRACE
        ]
        assert world.look() == expected
    assert world.ran == sorted(set(world.ran))


def test_a_stop_of_days() -> None:
    """Of three days that were missed, `none` runs nothing, `last` the last one, `all` each."""
    daily, last = CronSchedule("daily"), datetime(2026, 3, 1, tzinfo=UTC)
    now = datetime(2026, 3, 4, 7, tzinfo=UTC)
    days: dict[CatchUp, list[int]] = {"none": [], "last": [4], "all": [2, 3, 4]}
    for catch_up, expected in days.items():
        assert [tick.day for tick in decide(daily, last, now, catch_up, GRACE).run] == expected


def test_what_is_dropped_is_told() -> None:
    """The latest tick that is not run is told, so that it can be marked."""
    daily, last = CronSchedule("daily"), datetime(2026, 3, 1, tzinfo=UTC)
    seven, midnight = datetime(2026, 3, 4, 7, tzinfo=UTC), datetime(2026, 3, 4, tzinfo=UTC)
    dropped = {catch_up: decide(daily, last, seven, catch_up, GRACE).dropped for catch_up in ("none", "last", "all")}
    assert dropped == {"none": midnight, "last": midnight - timedelta(days=1), "all": None}
    assert decide(daily, last, midnight, "none", GRACE).dropped == midnight - timedelta(days=1)


def test_where_to_begin() -> None:
    """One goes on at the mark, but not at one of another schedule, nor of a clock that was hours ahead."""
    now = datetime(2026, 3, 4, 7, tzinfo=UTC)
    mark = Mark("every 1:00:00", now - timedelta(days=1))
    assert begin(mark, "every 1:00:00", now) is mark
    assert begin(None, "every 1:00:00", now) == Mark("every 1:00:00", now)
    assert begin(mark, "every 2:00:00", now) == Mark("every 2:00:00", now)
    ahead = Mark("every 1:00:00", now + CORRECTION)
    assert begin(ahead, "every 1:00:00", now) is ahead
    assert begin(Mark("every 1:00:00", now + CORRECTION + timedelta(seconds=1)), "every 1:00:00", now).last == now


def test_many_missed_ticks_cost_little() -> None:
    """A schedule of minutes that was not looked at for ten years is not gone through minute by minute."""

    class Counted(CronSchedule):
        asked = 0

        def ticks(self, after: datetime) -> Iterator[datetime]:
            """Count what is asked for."""
            for tick in super().ticks(after):
                Counted.asked += 1
                yield tick

    now = datetime(2026, 3, 1, 0, 0, 30, tzinfo=UTC)
    assert list(decide(Counted("* * * * *"), now - timedelta(days=3650), now, "last", GRACE).run) == [now.replace(second=0)]
    assert Counted.asked < 1000
