"""The loop of `daskflow schedule`, with a clock that is set and a cluster that comes and goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow.concurrency import ConcurrencyPolicy
from daskflow.errors import InputError, OptionError, RunCancelled, SchedulerUnreachable
from daskflow.marks import StateFile, default_path
from daskflow.schedules import CronSchedule, FixedRate
from daskflow.scheduling import Plan, Policy, Scheduling, next_tick, scheduled
from daskflow.ticks import Mark


@fl.workflow
def note(when: datetime) -> None:
    return None


@fl.workflow
def idle() -> None:
    return None


hourly = fl.LaunchPlan.get_or_create(note, "scheduling.hourly", schedule=CronSchedule("hourly", kickoff_time_input_arg="when"))
often = fl.LaunchPlan.get_or_create(idle, "scheduling.often", schedule=FixedRate(timedelta(minutes=30)))
alone = often.clone_with("scheduling.alone", concurrency=ConcurrencyPolicy(1, "QUEUE"))

START = datetime(2026, 3, 1, 6, 10, tzinfo=UTC)


@dataclass
class Started:
    """A run that ends when it is told to."""

    id: str
    status: str = "RUNNING"
    error: BaseException | None = None
    calls: list[Callable[[], Any]] = field(default_factory=list)

    def when_ended(self, call: Callable[[], Any]) -> None:
        """Keep what is to be called."""
        self.calls.append(call)

    def cancel(self) -> None:
        """End it, as somebody wants it."""
        self.end(RunCancelled("somebody wanted it"))

    def end(self, error: BaseException | None = None) -> None:
        """End it."""
        self.status, self.error = "SUCCEEDED" if error is None else "FAILED", error
        for call in self.calls:
            call()


class World:
    """A clock, a cluster and a file that outlast processes."""

    def __init__(self, folder: Path, *plans: Plan, policy: Policy | None = None) -> None:
        self.now = START
        self.plans = plans or (hourly,)
        self.file = StateFile(str(folder / "state" / "marks.json"))
        self.policy = policy or Policy()
        self.wrong: Exception | None = None
        self.runs: list[Started] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.process = self.start()

    def submit(self, plan: Plan, inputs: dict[str, Any], name: str) -> Started:
        """Start a run, if nothing is wrong."""
        if self.wrong is not None:
            raise self.wrong
        self.asked.append((name, inputs))
        self.runs.append(Started(f"r{len(self.runs)}"))
        return self.runs[-1]

    def start(self) -> Scheduling:
        """Begin, as a process does."""
        process = Scheduling(self.plans, self.submit, self.file, self.policy, lambda: self.now)
        process._begin()
        return process

    def go(self, **ahead: float) -> float:
        """Set the clock ahead, and let the process do what is due."""
        self.now += timedelta(**ahead)
        return self.process.step()


def test_a_tick_is_run_with_its_time(tmp_path: Path) -> None:
    """A run is started at its tick, with the tick's time as input, once, and the wait is until the next one."""
    world = World(tmp_path)
    assert world.go(minutes=0) == 50 * 60
    assert world.go(minutes=50, seconds=2) == 3600 - 2
    tick = datetime(2026, 3, 1, 7, tzinfo=UTC)
    assert world.asked == [("hourly 2026-03-01T07:00:00Z", {"when": tick})]
    world.go(minutes=1)
    assert len(world.asked) == 1
    assert world.file.load() == {"scheduling.hourly": Mark("cron 0 * * * * UTC", tick)}


@pytest.mark.parametrize(("catch_up", "hours"), [("none", []), ("last", [9]), ("all", [7, 8, 9])])
def test_a_stop_and_a_new_start(tmp_path: Path, catch_up: Any, hours: list[int]) -> None:
    """A process that starts again after a stop runs of the missed ticks what it is told to, once."""
    world = World(tmp_path, policy=Policy(catch_up))
    world.now += timedelta(hours=3)
    for _ in range(2):
        world.process = world.start()
        world.go(minutes=0)
    assert [inputs["when"].hour for _, inputs in world.asked] == hours


def test_a_cluster_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the cluster is away one tries again, ever less often; the tick is run when it is back."""
    world = World(tmp_path)
    world.wrong = SchedulerUnreachable("nobody there")
    waits = [world.go(minutes=50)] + [world.go(seconds=1) for _ in range(7)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert "the cluster is away, tried again in 60 s: nobody there" in caplog.text
    world.wrong = None
    world.go(seconds=1)
    assert len(world.asked) == 1
    world.wrong = SchedulerUnreachable("nobody there")
    assert world.go(hours=1) == 1


def test_a_cluster_that_is_away_for_long_is_a_stop(tmp_path: Path) -> None:
    """What could not be started within its grace was missed."""
    world = World(tmp_path)
    world.wrong = SchedulerUnreachable("nobody there")
    world.go(minutes=50)
    world.wrong = None
    world.go(minutes=2)
    assert world.asked == []
    world.go(minutes=58)
    assert len(world.asked) == 1


def test_a_run_that_cannot_be_started_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A plan that is wrong costs its tick, is told of, and is no trouble for others."""
    world = World(tmp_path, hourly, often)
    world.wrong = InputError("does not fit")
    world.go(minutes=50)
    assert "scheduling.hourly: the run of 2026-03-01T07:00:00Z cannot be started: daskflow.errors.InputError: does not fit" in caplog.text
    world.wrong = None
    world.go(minutes=10)
    assert [name for name, _ in world.asked] == ["often 2026-03-01T07:10:00Z"]


def test_a_run_that_fails_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What becomes of runs is told, and the next tick is run all the same."""
    caplog.set_level(logging.INFO)
    world = World(tmp_path)
    world.go(minutes=50)
    world.runs[0].end(ValueError("no luck"))
    world.go(hours=1)
    world.runs[1].end()
    world.go(minutes=1)
    assert "scheduling.hourly: run r0 failed: ValueError: no luck" in caplog.text
    assert "scheduling.hourly: run r1 succeeded" in caplog.text


def test_overlap(tmp_path: Path) -> None:
    """With `skip` a tick is left out while a run of that plan lasts; a plan with a concurrency goes by that; otherwise all are run."""
    for overlap, expected in (("allow", 4), ("skip", 3)):
        world = World(tmp_path / overlap, often, alone, policy=Policy(overlap=overlap))  # type: ignore[arg-type]
        world.go(minutes=30)
        world.go(minutes=30)
        assert len(world.asked) == expected
        for run in world.runs:
            run.end()
        world.go(minutes=30)
        assert len(world.asked) == expected + 2


def test_another_schedule_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ticks of a schedule that a plan no longer has are not missed ones, and marks of other plans are kept."""
    world = World(tmp_path, policy=Policy("all"))
    other = Mark("every 1:00:00", START)
    world.file.save({"scheduling.hourly": Mark("cron 5 * * * * UTC", START - timedelta(days=3)), "another": other})
    world.process = world.start()
    world.go(minutes=50)
    assert len(world.asked) == 1
    assert "begins anew at 2026-03-01T06:10:00Z: its schedule was cron 5 * * * * UTC" in caplog.text
    assert world.file.load()["another"] == other


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """A stop is heeded at once, from any thread, however long the next tick is away; a drain waits for runs."""
    world = World(tmp_path)
    world.now += timedelta(minutes=50)
    started = threading.Event()
    submit = world.process.submit

    def told(plan: Plan, inputs: dict[str, Any], name: str) -> Any:
        run = submit(plan, inputs, name)
        started.set()
        return run

    world.process.submit = told
    server = threading.Thread(target=lambda: (world.process.serve(), world.process.drain()))
    server.start()
    assert started.wait(10)
    world.process.stop()
    server.join(0.2)
    assert server.is_alive()
    world.runs[0].end()
    server.join(10)
    assert not server.is_alive()


def test_a_second_stop_ends_the_drain(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who stops twice does not wait for runs: they are cancelled, and named."""
    caplog.set_level(logging.INFO)
    world = World(tmp_path)
    world.go(minutes=50)
    world.process.stop()
    world.process.stop()
    world.process.drain()
    assert world.runs[0].status == "RUNNING"
    world.process.leave()
    assert isinstance(world.runs[0].error, RunCancelled)
    assert "scheduling.hourly: run r0 is cancelled" in caplog.text


def test_a_file_that_cannot_be_written_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a place for marks runs go on, and it is told."""
    world = World(tmp_path)
    world.file.path = str(tmp_path / "state" / "marks.json" / "below")
    world.go(minutes=50)
    world.go(minutes=60)
    assert len(world.asked) == 2
    assert "the state of schedules cannot be written" in caplog.text


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "plans": {}}',
        '{"version": 1, "plans": {"a": {"schedule": "x", "last": "2026-03-01T00:00:00"}}}',
        "\x00",
    ],
)
def test_a_file_that_is_not_ours(tmp_path: Path, text: str) -> None:
    """What cannot be read is refused, with the way out, and not begun anew in silence."""
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(OptionError, match=r"state\.json cannot be read .*remove it to begin anew"):
        StateFile(str(tmp_path / "state.json")).load()


def test_one_process_a_file(tmp_path: Path) -> None:
    """A file is held by one at a time."""
    file = StateFile(str(tmp_path / "new" / "state.json"))
    with file.held(), pytest.raises(OptionError, match="another process runs the schedules whose state is in"):
        with StateFile(file.path).held():
            pass
    with file.held():
        assert file.load() == {}
        file.save({"a": Mark("x", START)})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["state.json", "state.json.lock"]


def test_files_of_their_own() -> None:
    """Two files of one name have two states, beside the cache, or where that would be if it is elsewhere."""
    assert default_path("/c", "/a/flows.py") != default_path("/c", "/b/flows.py")
    assert default_path("/c/", "/a/flows.py").startswith("/c-schedules/flows-")
    assert "daskflow-schedules" in default_path("s3://bucket/c", "flows")


# ---------------------------------------------------------------- what there is


def test_scheduled_plans_are_found_once() -> None:
    """Plans with a schedule are found by their own name, whatever variables they are in."""
    plain = fl.LaunchPlan.get_or_create(idle, "scheduling.plain")
    assert scheduled({"a": often, "b": often, "scheduling.often": often, "c": plain, "d": idle}) == {"scheduling.often": often}


def test_the_next_tick() -> None:
    """The next tick is after now, and goes by the last one where the rate is fixed."""
    rate = FixedRate(timedelta(minutes=30))
    assert next_tick(rate, None, START) == START + timedelta(minutes=30)
    assert next_tick(rate, Mark(str(rate), START - timedelta(minutes=100)), START) == START + timedelta(minutes=20)
    assert next_tick(rate, Mark("another", START - timedelta(minutes=100)), START) == START + timedelta(minutes=30)
