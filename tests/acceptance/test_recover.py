"""Runs that go on from others, also from those whose scheduler and workers were killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import daskflow as fl
from daskflow import config
from daskflow.errors import InputError, SchedulerLost
from daskflow.outputs import Outputs
from tests.acceptance import recovered
from tests.acceptance.processes import Cluster, wait_until


def marks(folder: Path, kind: str) -> list[str]:
    try:
        return (folder / kind).read_text().splitlines()
    except FileNotFoundError:
        return []


def kept(run: str) -> set[str]:
    """Return the addresses of nodes whose outputs were committed."""
    return set(Outputs(config.get("cache.url"), run).index())


def step_of(address: str) -> str | None:
    """Return the step at an address of the program; None where another node is there."""
    groups, _, rest = address.partition("/")
    if groups != "groups":
        return None
    number = int(rest.partition("[")[2].partition("]")[0])
    last = rest.rpartition("/")[2]
    if not last.startswith("step["):
        return None
    index = int(last[5:-1])
    return f"step {number * SIZE + index + (SIZE // 2 if 'of_items' in rest else 0)}"


SIZE = 20


@pytest.mark.parametrize(("mode", "n", "seconds", "enough"), [("all", 1800, 0.002, 700), ("auto", 160, 0.06, 60)])
def test_recovering_after_everything_was_killed(mode: str, n: int, seconds: float, enough: int, tmp_path: Path) -> None:
    """Scheduler and workers are killed in the middle; what had been committed is not executed again, and little else is twice."""
    inputs = {"folder": str(tmp_path), "n": n, "size": SIZE, "seconds": seconds}
    with Cluster(tmp_path / "first") as cluster:
        client = Client(cluster.address, set_as_default=False)
        run = fl.submit(recovered.everything, inputs, client=client, checkpoint=mode)
        wait_until(lambda: len(marks(tmp_path, "ended")) >= enough, "the middle of the run")
        cluster.kill_all()
        with pytest.raises(SchedulerLost):
            run.result(60)
        client.close()
    committed = {name for name in map(step_of, kept(run.id)) if name is not None}
    before = Counter(marks(tmp_path, "began"))
    in_flight = {name for name in before if name not in committed}
    assert enough // 2 < len(committed) < n
    # Of eight threads each may have been between the end of a task and its being kept.
    assert len(in_flight) <= 8
    with Cluster(tmp_path / "second") as cluster, Client(cluster.address, set_as_default=False) as client:
        view = fl.get_run(run.id, client=client)
        assert view.status == "FAILED"
        assert "scheduler" in str(view.error)
        again = view.recover(client=client)
        assert again.result(120) == n * (n - 1)
        told = again.counts
    executed = Counter(marks(tmp_path, "began"))
    assert len(executed) == n
    assert {name for name in committed if executed[name] != 1} == set()
    assert {name for name, count in executed.items() if count > 1} <= in_flight
    assert told["RECOVERED"] > 0


def test_what_has_succeeded_or_executes_is_not_recovered(tmp_path: Path) -> None:
    """There is nothing to go on from in a run that has succeeded; one with other inputs is another one."""
    with Cluster(tmp_path / "cluster", workers=1) as cluster, Client(cluster.address, set_as_default=False) as client:
        run = fl.submit(recovered.everything, {"folder": str(tmp_path), "n": 20, "size": 20, "seconds": 0.0}, client=client)
        assert run.result(60) == 380
        with pytest.raises(InputError, match=f"run {run.id} has succeeded"):
            run.recover()
        assert run.outputs == 380
        other = run.rerun(n=40)
        assert other.result(60) == 40 * 39
        assert (other.view.source, other.view.row.mode) == (run.id, "RELAUNCH")
        assert run.rerun({"n": 60}).result(60) == 60 * 59
        with pytest.raises(InputError, match="has no input 'm'"):
            run.rerun(m=1)


def test_a_run_without_anything_kept(tmp_path: Path) -> None:
    """With checkpoints off nothing is kept, and another run begins from the start."""
    flag = tmp_path / "fixed"
    with Cluster(tmp_path / "cluster", workers=1) as cluster, Client(cluster.address, set_as_default=False) as client:
        run = fl.submit(fails_once, {"folder": str(tmp_path), "flag": str(flag)}, client=client, checkpoint="off")
        with pytest.raises(ValueError, match="not yet"):
            run.result(60)
        assert kept(run.id) == set()
        flag.touch()
        assert run.recover().result(60) == [0, 1]
    assert Counter(marks(tmp_path, "began")) == {"step 0": 2}


SCRIPT = """
from __future__ import annotations

import enum
import os
import sys
import time
from dataclasses import dataclass

import daskflow as fl
from distributed import Client


class Colour(enum.Enum):
    RED = 1


@dataclass
class Point:
    x: int
    colour: Colour = Colour.RED


@fl.task
def moved(point: Point, points: list[Point], folder: str) -> Point:
    open(os.path.join(folder, f"moved {point.x}"), "x").close()
    time.sleep(0.05)
    return Point(point.x + 1, point.colour)


@fl.task
def ends(point: Point, folder: str) -> int:
    assert isinstance(point, Point) and point.colour is Colour.RED
    if not os.path.exists(os.path.join(folder, "fixed")):
        raise ValueError("not yet")
    return point.x


@fl.workflow
def flow(point: Point, folder: str) -> int:
    first = moved(point=point, points=[point], folder=folder)
    return ends(point=moved(point=first, points=[first, point], folder=folder), folder=folder)


if __name__ == "__main__":
    with Client(sys.argv[1], set_as_default=False) as client:
        run = fl.run(flow, point=Point(1), folder=sys.argv[2], client=client)
        print(run.wait().id)
"""


def test_a_script_that_was_run_is_gone_on_from_by_who_imports_it(tmp_path: Path) -> None:
    """Its tasks, and its own classes among inputs and outputs, are the same there, also where another folder is the cache."""
    script, folder = tmp_path / "a_users_script.py", tmp_path / "marks"
    script.write_text(SCRIPT)
    folder.mkdir()
    with Cluster(tmp_path / "cluster", workers=1) as cluster, Client(cluster.address, set_as_default=False) as client:
        environment = {**os.environ, "DASK_DASKFLOW__CACHE__URL": str(tmp_path / "another")}
        command = [sys.executable, str(script), cluster.address, str(folder)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60).stdout.strip()
        (folder / "fixed").touch()
        again = fl.get_run(run, client=client).recover()
        assert again.result(60) == 3
        assert again.view.recovered == {"moved[0]": "recovered", "moved[1]": "recovered"}
        assert again.view.row.entity == "a_users_script.flow"


def test_two_go_on_from_one_run(tmp_path: Path) -> None:
    """What is kept stays when one of them has succeeded as long as the other executes; and goes with that."""
    flags = [tmp_path / name for name in ("fails", "waits")]
    inputs = {"folder": str(tmp_path), "fails": str(flags[0]), "waits": str(flags[1])}
    with Cluster(tmp_path / "cluster", workers=1) as cluster, Client(cluster.address, set_as_default=False) as client:
        run = fl.submit(fails_and_waits, inputs, client=client)
        with pytest.raises(ValueError, match="not yet"):
            run.result(60)
        flags[0].touch()
        both = [run.recover(), run.recover()]
        for one in both:
            wait_until(lambda one=one: "step" in one.view.recovered, "what is taken over")
        flags[1].touch()
        wait_until(lambda: any(one.status == "SUCCEEDED" for one in both), "the end of one of them")
        (other,) = (one for one in both if one.status != "SUCCEEDED")
        other.cancel()
        assert kept(run.id) >= {"step"}
        last = other.recover()
        assert last.result(60) == [0, 1, 1]
        # What the one that has succeeded has made is taken over.
        assert set(last.view.recovered.values()) == {"recovered"}
        wait_until(lambda: kept(run.id) == set(), "what is kept to go")
    assert Counter(marks(tmp_path, "began")) == {"step 0": 1}


@fl.task
def fails_until(flag: str, after: int) -> int:
    if not os.path.exists(flag):
        raise ValueError("not yet")
    return 1


@fl.workflow
def fails_once(folder: str, flag: str) -> list[int]:
    first: Any = recovered.step(folder=folder, a=0, seconds=0.05)
    return [first, fails_until(flag=flag, after=first)]


@fl.task
def waits_until(flag: str, after: int) -> int:
    """Wait for a flag, of which one alone is let go on."""
    wait_until(lambda: fl.current_context().cancelled or _taken(flag), "the flag")
    return 1


def _taken(flag: str) -> bool:
    try:
        os.unlink(flag)
    except FileNotFoundError:
        return False
    return True


@fl.workflow
def fails_and_waits(folder: str, fails: str, waits: str) -> list[int]:
    first: Any = recovered.step(folder=folder, a=0, seconds=0.05)
    second: Any = fails_until(flag=fails, after=first)
    return [first, second, waits_until(flag=waits, after=second)]
