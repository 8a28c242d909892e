"""`daskflow schedule` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daskflow import cli_schedule, connecting
from tests.acceptance.processes import DASKFLOW, Cluster, wait_until
from tests.acceptance.test_cli import here
from tests.acceptance.test_docs import blocks

PLANS = str(Path(__file__).with_name("schedules.py"))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SCHEDULES = {"noted": "cron 0 0 1 1 * Europe/Berlin", "failed": "every 400 days, 0:00:00", "long": "every 400 days, 0:00:00"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which runs leave their marks in the test's folder."""
    return {**os.environ, "SCHEDULES_MARKS": str(tmp_path)}


def _state(folder: Path, lasts: dict[str, datetime]) -> Path:
    path = folder / "state.json"
    plans = {name: {"schedule": SCHEDULES[name], "last": last.isoformat()} for name, last in lasts.items()}
    path.write_text(json.dumps({"version": 1, "plans": plans}))
    return path


class _Process:
    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self.log = Path(env["SCHEDULES_MARKS"]) / "log"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen([DASKFLOW, "schedule", PLANS, *arguments], env=env, stdout=file, stderr=file)

    def says(self, text: str) -> None:
        """Wait until it has said something."""
        wait_until(lambda: text in self.log.read_text() or self.process.poll() is not None, f"the words {text!r}")
        assert text in self.log.read_text()


@contextmanager
def _running(env: dict[str, str], *arguments: str) -> Iterator[_Process]:
    process = _Process(env, *arguments)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()


def _run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DASKFLOW, "schedule", *arguments], env=env, check=False, capture_output=True, text=True, timeout=120)


def test_a_missed_tick_is_run_on_an_embedded_cluster(tmp_path: Path, env: dict[str, str]) -> None:
    """After a stop of years the latest tick is run once by a worker process, with its time; a plan that fails is no trouble for others;
    SIGTERM ends the process with 0; and what it has done is not done again."""
    state = _state(tmp_path, {"noted": LONG_AGO, "failed": LONG_AGO})
    arguments = ("noted", "failed", "--state", str(state), "--catch-up", "last")
    newest = max(
        datetime(year, 12, 31, 23, tzinfo=UTC) for year in range(2020, 2100) if datetime(year, 12, 31, 23, tzinfo=UTC) <= datetime.now(UTC)
    )
    with _running(env, *arguments) as process:
        process.says("failed: ValueError: no luck")
        process.says("succeeded")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(60) == 0, process.log.read_text()
        process.says("stopped")
    when, pid = (tmp_path / "noted").read_text().split()
    assert when == newest.isoformat()
    assert int(pid) != process.process.pid
    assert json.loads(state.read_text())["plans"]["noted"] == {"schedule": SCHEDULES["noted"], "last": newest.isoformat()}
    with _running(env, *arguments) as process:
        process.says("next at")
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(60) == 0, process.log.read_text()
    assert len((tmp_path / "noted").read_text().splitlines()) == len((tmp_path / "failed").read_text().splitlines()) == 1


def test_on_a_cluster_that_goes_and_comes_back(tmp_path: Path, env: dict[str, str]) -> None:
    """Runs go to the cluster that is named. When its scheduler is gone, one tries again, and goes on when there is a new one."""
    with Cluster(tmp_path / "first", workers=1) as cluster:
        # One run is due at once; by the time that the other one is, the scheduler is gone.
        soon = datetime.now(UTC) - timedelta(days=400) + timedelta(seconds=6)
        state = _state(tmp_path, {"long": LONG_AGO, "failed": soon})
        address = cluster.address
        arguments = ("long", "failed", "--state", str(state), "--catch-up", "last", "--scheduler", address, "--drain")
        with _running(env, *arguments) as process:
            wait_until((tmp_path / "long").exists, "the run on the first cluster")
            cluster.processes[0].kill()
            process.says("failed: daskflow.errors.SchedulerLost")
            process.says("the cluster is away, tried again in 1 s")
            with _Again(tmp_path / "second", address):
                wait_until((tmp_path / "failed").exists, "the run on the second cluster")
                process.process.send_signal(signal.SIGTERM)
                assert process.process.wait(60) == 0, process.log.read_text()
    assert (tmp_path / "failed").read_text() == "failed\n"


class _Again(Cluster):
    """Another cluster at the address of one that is gone."""

    def __init__(self, folder: Path, address: str) -> None:
        self.port = address.rpartition(":")[2]
        super().__init__(folder, workers=1)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        return super()._start(*(self.port if one == "0" else one for one in command))


@pytest.mark.parametrize(("drain", "says"), [(("--drain",), "succeeded"), ((), "is cancelled")])
def test_a_stop_with_a_run_under_way(tmp_path: Path, env: dict[str, str], drain: tuple[str, ...], says: str) -> None:
    """With --drain what executes at a SIGTERM ends first; without, it is cancelled; either way the exit status is 0."""
    state = _state(tmp_path, {"long": LONG_AGO})
    with _running(env, "long", "--state", str(state), "--catch-up", "last", *drain) as process:
        wait_until((tmp_path / "long").exists, "the run's start")
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(60) == 0, process.log.read_text()
        process.says("stopped")
        assert [line for line in process.log.read_text().splitlines() if "long: run" in line][-1].endswith(says)


def test_what_there_is_to_run(tmp_path: Path, env: dict[str, str]) -> None:
    """--list shows each plan with a schedule, its last tick and its next one; --next the ticks to come; neither runs or writes anything."""
    state = _state(tmp_path, {"failed": LONG_AGO})
    listed = _run(env, PLANS, "--list", "--state", str(state))
    assert (listed.returncode, listed.stderr) == (0, "")
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["plan", "schedule", "last", "next"]
    assert [line.split()[0] for line in lines[1:]] == ["noted", "failed", "long"]
    assert "every 400 days, 0:00:00" in lines[2]
    assert "2020-01-01T00:00:00+00:00" in lines[2]
    shown = _run(env, PLANS, "noted", "--next", "3", "--state", str(state))
    assert (shown.returncode, shown.stderr) == (0, "")
    ticks = [line.split() for line in shown.stdout.splitlines()]
    assert {name for _, name in ticks} == {"noted"}
    years = [datetime.fromisoformat(tick) for tick, _ in ticks]
    assert [(tick.month, tick.day, tick.hour) for tick in years] == [(12, 31, 23)] * 3
    assert [tick.year - years[0].year for tick in years] == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json"]


def test_the_page_runs() -> None:
    """What the page on launch plans shows is what it says."""
    names: dict[str, Any] = {"__name__": "launch_plans"}
    for block in blocks("docs/launch-plans.md", "python"):
        exec(block, names)
    day = datetime(2026, 3, 1, tzinfo=UTC)
    assert names["nightly"](day=day) == len("2026-03-01 north True")
    assert names["hourly"](day=day, region="x") == len("2026-03-01 x False")
    assert names["by_hand"].schedule is None


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "Missing argument 'FILE'"),
        (["nosuch.py"], 2, "there is no file nosuch.py"),
        ([PLANS, "notd"], 2, "has no entity 'notd'; did you mean noted?"),
        ([PLANS, "plain"], 2, "launch plan plain of {plans} has no schedule; it has noted, failed, long"),
        ([PLANS, "note"], 2, "workflow note of {plans} has no schedule"),
        ([str(Path(PLANS).with_name("flows.py"))], 2, "no launch plan of {flows} has a schedule; give one schedule=CronSchedule"),
        ([PLANS, "--catch-up", "some"], 2, "'some' is not one of 'none', 'last', 'all'"),
        ([PLANS, "--grace", "soon"], 2, "--grace must be a time such as '60s'"),
        ([PLANS, "--grace", "0s"], 2, "--grace must be a time such as '60s'"),
        ([PLANS, "--state", "{folder}/bad.json"], 2, "bad.json cannot be read"),
        ([PLANS, "--state", "{folder}/bad.json/below"], 2, "give another file"),
        ([PLANS, "--state", "{folder}/new.json", "--scheduler", "tcp://127.0.0.1:9"], 3, "no Dask scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_what_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, says: str) -> None:
    """Whatever goes wrong before anything is run has its exit status and a message of its own."""
    (tmp_path / "bad.json").write_text("{")
    # There is nothing at the address, however long one waits; and what is logged is this process' own affair.
    monkeypatch.setattr(connecting, "_TIMEOUT", 0.3)
    monkeypatch.setattr(cli_schedule, "_log", lambda: None)
    done = here("schedule", *(one.format(folder=tmp_path) for one in arguments))
    assert says.format(plans=PLANS, flows=str(Path(PLANS).with_name("flows.py"))) in done.stderr
    assert done.exit_code == status
    assert "Traceback" not in done.stderr
