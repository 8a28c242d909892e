"""The commands on runs: on a scheduler and a worker that are processes of their own, and on a history's file."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from daskflow import cli_common as common
from daskflow import cli_runs, connecting
from daskflow.cli import daskflow
from daskflow.historyrows import RunRow
from daskflow.historywriter import Writer
from daskflow.outcome import Failure
from daskflow.reports import Open, write
from daskflow.where import Where
from tests.acceptance.processes import DASK, DASKFLOW, wait_until

FLOW = """
import time
from pathlib import Path
import daskflow as fl


@fl.task
def load(n: int) -> list[int]:
    time.sleep(0.05)
    print("loading", n)
    return list(range(n))


@fl.task
def step(a: int) -> int:
    print("step", a)
    if a == BAD:
        raise ValueError(f"no luck with {a} \\x1b[31m<script>")
    return 2 * a


BAD = 3


@fl.task
def named(client: int, entity: str) -> str:
    return f"{client} {entity}"


@fl.task
def total(parts: list[int]) -> int:
    return sum(parts)


@fl.dynamic
def each(parts: list[int]) -> int:
    return total(parts=[step(a=one) for one in parts])


@fl.workflow
def flow(n: int) -> int:
    return each(parts=load(n=n))


plan = fl.LaunchPlan.get_or_create(flow, name="flows.plan", labels={"team": "a"})


@fl.workflow
def outer(n: int = 5) -> int:
    return plan(n=n)


@fl.task
def wait_for(path: str, stop: str) -> str:
    Path(path).touch()
    print("waiting")
    while not Path(stop).exists() and not fl.current_context().cancelled:
        time.sleep(0.02)
    return "stopped"


@fl.dynamic
def waits(path: str, stop: str) -> str:
    return wait_for(path=path, stop=stop)


@fl.task(cache=True, cache_version="1")
def known(a: int) -> int:
    return a
"""


# ---------------------------------------------------------------- processes


class Place:
    """A scheduler, a worker, a flow's file, and a cache and history of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flow = folder / "flow.py"
        self.flow.write_text(FLOW)
        self.env = {**os.environ, "DASK_DASKFLOW__CACHE__URL": str(folder / "cache")}
        self.env.pop("DASK_DASKFLOW__HISTORY__PATH", None)
        file = folder / "scheduler.json"
        options = ["--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
        self.processes = [self._start(DASKFLOW, "scheduler", *options)]
        self.address = str(wait_until(lambda: self._address(file), "the scheduler's start"))
        self.processes.append(self._start(DASK, "worker", self.address, "--nthreads", "2", "--no-dashboard", "--no-nanny"))

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command[1]}.log").open("wb") as log:
            return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)

    def _address(self, file: Path) -> Any:
        try:
            return json.loads(file.read_text())["address"]
        except (OSError, ValueError, KeyError):
            assert self.processes[0].poll() is None if getattr(self, "processes", None) else True
            return None

    def __call__(self, *arguments: str, status: int = 0, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end; it must end with that status."""
        done = subprocess.run([DASKFLOW, *arguments], check=False, input=text, capture_output=True, text=True, timeout=60, env=self.env)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def look(self, *arguments: str, status: int = 0) -> Result:
        """Call a command in this process, which takes less time, and the history's file."""
        with dask.config.set({"daskflow.history.path": str(self.folder / "cache" / "history.db")}):
            result = CliRunner().invoke(daskflow, list(arguments))
        assert result.exit_code == status, result.output
        return result

    def told(self, run: str) -> dict[str, Any]:
        """Return what is told of a run."""
        told: dict[str, Any] = json.loads(self.look("show", run, "--json").stdout)["run"]
        return told

    def ended(self, run: str) -> dict[str, Any]:
        """Return what is told of a run that ends."""
        found: dict[str, Any] = wait_until(lambda: (told := self.told(run))["ended"] and told, "the end of the run")
        return found

    def newest(self, status: str) -> str:
        """Return the newest run of a status; what happens is in the file a moment later."""
        rows = wait_until(lambda: json.loads(self.look("ls", "--status", status, "--json").stdout), "a run")
        return str(rows[0]["id"])

    def run(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run an entity of the flow's file on the cluster."""
        return self("run", "--scheduler", self.address, str(self.flow), *arguments, status=status)

    def close(self) -> None:
        """End all processes."""
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(30)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Return a cluster for all tests of the module."""
    place = Place(tmp_path_factory.mktemp("runs"))
    try:
        yield place
    finally:
        place.close()


def id_in(text: str) -> str:
    """Return the id of the run that a text names first."""
    found = re.search(r"r[0-9a-f]{10}", text)
    assert found, text
    return found[0]


def test_a_run_fails_and_is_looked_at_mended_and_recovered(place: Place) -> None:
    """What failed is told with its place; what its tasks wrote can be read; once the file is mended, only what failed is executed."""
    done = place.run("outer", "--checkpoint", "all", status=1)
    run = id_in(done.stderr)
    assert done.stderr.startswith(f"daskflow: run {run}\n✗ outer failed: ValueError: no luck with 3 \\x1b[31m<script>   run {run}, ")
    assert f"logs: daskflow logs '{run}:plan/each/step[3]'" in done.stderr

    assert place.ended(run)["failed"] == "plan/each/step[3]"
    listed = place.look("ls", "--limit", "1").stdout.splitlines()
    assert listed[0].split() == ["id", "name", "status", "mode", "nodes", "started", "duration", "owner"]
    assert re.match(rf"{run}  outer  FAILED  MANUAL  \d/9, 3 FAILED  \d+ s ago ", listed[1]), listed[1]

    shown = place.look("show", run[:6]).stdout
    assert f"run {run} of outer: FAILED" in shown
    assert re.search(r"└─ ✗ plan +FAILED", shown)
    assert "step[3](a=3)" in shown
    assert "\x1b" not in shown

    logs = [line.split(" ", 1)[1] for line in place.look("logs", run).stdout.splitlines()]
    at = f"{run}:plan"
    assert logs[0] == f"stdout {at}/load  loading 5"
    # Which of the others were executed before it failed is chance.
    assert f"stdout {at}/each/step[3]  step 3" in logs[1:]
    assert set(logs[1:]) <= {f"stdout {at}/each/step[{one}]  step {one}" for one in range(5)}
    assert place.look("logs", run, "--failed").stdout.endswith(f" stdout {at}/each/step[3]  step 3\n")
    assert len(place.look("logs", run, "--failed").stdout.splitlines()) == 1

    node = place.look("show", f"{run}:plan").stdout
    child = re.search(rf"child run ({run}\.[0-9a-f]{{10}})", node)
    assert child
    assert place.look("show", child[1][:-5]).stdout == node
    page = place.look("show", f"{run}:plan/each", "--items", "2", "--page", "2").stdout
    assert re.search(r"step\[2\] +SUCCEEDED .*\nstep\[3\] +FAILED .*\n6 of what it calls, page 2 of 3\n", page), page
    assert "\n1 FAILED of what it calls, page 1 of 1\n" in place.look("show", f"{run}:plan/each", "--phase", "failed").stdout

    debugged = place("debug", f"{run}:plan/each/step[3]", status=1)
    assert "calls step(a=3)" in debugged.stderr
    assert "ValueError: no luck with 3" in debugged.stderr
    # What had been loaded is taken over.
    assert "loading" not in debugged.stdout
    assert place("debug", f"{run}:plan/each/step[2]", "--json").stdout == "4\n"
    missed = place("debug", f"{run}:plan/each/total", status=1)
    assert f"plan/each/total of run {run} is not reached, since a node before it failed here" in missed.stderr
    assert "\x1b" not in missed.stderr

    place.flow.write_text("import daskflow\n1 / 0\n")
    broken = place("recover", run, status=1)
    assert f"flow.outer of run {run} cannot be had from {place.flow}\nZeroDivisionError: division by zero" in broken.stderr
    place.flow.write_text(FLOW.replace("BAD = 3", "BAD = 33"))
    recovered = place("recover", run)
    assert recovered.stdout == "20\n"
    missed = place("debug", f"{run}:plan/each/step[9]", status=2)
    assert f"with the inputs of run {run}, without coming to plan/each/step[9]" in missed.stderr
    assert re.search(
        r"nodes of the run before: 1 taken over; \d executed again since their code has changed \((the run itself|\w.*)\)\n",
        recovered.stderr,
    )
    new = id_in(recovered.stderr)
    row = place.ended(new)
    assert (row["source"], row["mode"], row["status"]) == (run, "RECOVERED", "SUCCEEDED")
    refused = place.look("recover", new, status=2)
    assert refused.stderr == f"daskflow: run {new} has succeeded, so there is nothing to recover; to run it again: daskflow rerun {new}\n"

    differs = json.loads(place.look("diff", run, new, "--json").stdout)
    assert differs["summary"]["status"] == ["FAILED", "SUCCEEDED"]
    assert differs["inputs"] == {}
    assert set(differs["code"]) == {f"flow.{name}" for name in ("outer", "flow", "each", "step")} | {"flows.plan"}
    assert differs["result"] == [None, "20"]


def test_the_same_again_with_another_input(place: Place) -> None:
    """A run is repeated with inputs that are given as text; unknown ones, and values that do not fit, are refused before anything runs."""
    run = id_in(place.run("flow", "--n", "2").stderr)
    again = place("rerun", run, "--with", "n=3")
    assert again.stdout == "6\n"
    place.ended(id_in(again.stderr))
    told = place.look("diff", run, id_in(again.stderr)).stdout
    assert "inputs\n  n: 2 | 3\nresult\n  result: 2 | 6\n" in told
    assert "code" not in told
    named = id_in(place.run("named", "--client", "1", "--entity", "x", "--checkpoint", "off").stderr)
    again = place("rerun", named, "--with", "client=2", "--with", "entity=y")
    assert again.stdout == "2 y\n"
    place.ended(id_in(again.stderr))
    assert "code\n  is not known of both\n" in place.look("diff", named, id_in(again.stderr)).stdout
    assert "has no input 'm'; it takes n: int" in place.look("rerun", run, "--with", "m=3", status=2).stderr
    assert "input 'n' of flow.flow: " in place.look("rerun", run, "--with", "n=x", status=2).stderr
    assert "'n' must be KEY=VALUE" in place.look("rerun", run, "--with", "n", status=2).stderr


def test_a_run_is_left_and_a_part_of_it_cancelled(place: Place, tmp_path: Path) -> None:
    """What is detached goes on when its command has ended; it is followed, and a node of it is cancelled, by others."""
    started = tmp_path / "started"
    done = place.run("waits", "--path", str(started), "--stop", str(tmp_path / "stop"), "--detach")
    run = done.stdout.strip()
    assert (run, done.stderr) == (id_in(run), "")
    wait_until(started.exists, "the beginning of the task")
    assert json.loads(place.look("show", run, "--json", "--scheduler", place.address).stdout)["run"]["id"] == run
    with subprocess.Popen([DASKFLOW, "logs", run, "-f"], stdout=subprocess.PIPE, text=True, env=place.env) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline().endswith(f" stdout {run}:wait_for  waiting\n")
        wait_until(lambda: place.told(run)["counts"] == {"RUNNING": 1}, "the node's report")
        assert place.newest("running") == run
        assert place("cancel", f"{run}:wait_for").stdout == f"{run}:wait_for is cancelled\n"
        follower.communicate(timeout=30)
        assert follower.returncode == 0
    assert place.ended(run)["error"]["kind"] == "RunCancelled"
    assert "RunCancelled: wait_for was cancelled" in place.look("show", run).stdout
    assert f"run {run} has ended: it is FAILED" in place.look("cancel", run, status=2).stderr


def test_a_finished_run_is_awaited_by_its_result_though_detached(place: Place, tmp_path: Path) -> None:
    """A rerun can be left as well; cancelling the whole run is told."""
    arguments = ["waits", "--path", str(tmp_path / "path"), "--stop", str(tmp_path / "stop"), "--detach", "--json"]
    first = json.loads(place.run(*arguments).stdout)["run"]
    wait_until((tmp_path / "path").exists, "the beginning of the task")
    second = place("rerun", first, "--with", f"path={tmp_path / 'second'}", "--detach").stdout.strip()
    wait_until((tmp_path / "second").exists, "the beginning of the other task")
    assert json.loads(place("cancel", second, "--json").stdout) == {"run": second, "address": "", "found": True}
    (tmp_path / "stop").touch()
    assert place.ended(first)["status"] == "SUCCEEDED"
    assert place.ended(second)["status"] == "ABORTED"


class AtTerminal:
    """A command with a terminal for its input and errors."""

    def __init__(self, place: Place, *arguments: str) -> None:
        self.keyboard, far = pty.openpty()
        heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.process = subprocess.Popen(
            [DASKFLOW, *arguments],
            stdin=far,
            stdout=subprocess.PIPE,
            stderr=far,
            text=True,
            env=place.env,
            preexec_fn=heeds,  # noqa: PLW1509
            start_new_session=True,
        )
        os.close(far)
        self.said = self.printed = ""

    def says(self, text: str) -> None:
        """Wait until it has said something."""
        while text not in self.said:
            self.said += os.read(self.keyboard, 4096).decode()
        self.said = self.said.partition(text)[2]

    def type(self, text: str) -> None:
        """Type something."""
        os.write(self.keyboard, text.encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait until it ends; return its status."""
        try:
            self.printed, _ = self.process.communicate(timeout=30)
            return self.process.returncode
        finally:
            self.process.kill()
            os.close(self.keyboard)


@pytest.mark.parametrize(("answers", "status", "after"), [("d", 0, "RUNNING"), ("c", 130, "ABORTED"), ("^", 130, "ABORTED")])
def test_ctrl_c_asks_once(place: Place, tmp_path: Path, answers: str, status: int, after: str) -> None:
    """Whoever interrupts at a terminal is asked, can wait on, can leave the run or cancel it; a second Ctrl-C cancels."""
    stop = tmp_path / "stop"
    inputs = ["waits", "--path", str(tmp_path / "path"), "--stop", str(stop)]
    command = AtTerminal(place, "run", "--scheduler", place.address, str(place.flow), *inputs)
    command.says("daskflow: run ")
    wait_until((tmp_path / "path").exists, "the beginning of the task")
    run = place.newest("RUNNING")
    for answer in ("w", answers):
        command.interrupt()
        command.says("[d]etach, [c]ancel, [w]ait? ")
        if answer == "^":
            command.interrupt()
        else:
            command.type(f"{answer}\n")
        if answer == "w":
            command.says("daskflow: waiting for run ")
    assert command.end() == status
    if after == "RUNNING":
        assert place.told(run)["status"] == after
        stop.touch()
    assert place.ended(run)["status"] == ("SUCCEEDED" if after == "RUNNING" else after)


@pytest.mark.parametrize("answer", ["d", "c"])
def test_a_run_that_ends_while_that_is_asked(place: Place, tmp_path: Path, answer: str) -> None:
    """Whoever leaves or cancels a run that has ended meanwhile is not told that it goes on, or is cancelled, but what it gave."""
    stop = tmp_path / "stop"
    inputs = ["waits", "--path", str(tmp_path / "path"), "--stop", str(stop)]
    command = AtTerminal(place, "run", "--scheduler", place.address, str(place.flow), *inputs)
    wait_until((tmp_path / "path").exists, "the beginning of the task")
    run = place.newest("RUNNING")
    command.interrupt()
    command.says("[d]etach, [c]ancel, [w]ait? ")
    stop.touch()
    place.ended(run)
    command.type(f"{answer}\n")
    assert command.end() == 0
    assert command.printed == "stopped\n"


def test_what_was_cached_is_found_by_its_id(place: Place) -> None:
    """A run of which all was in the cache is left at once, and is in the history like others."""
    assert place.run("known", "--a", "1").stdout == "1\n"
    run = json.loads(place.run("known", "--a", "1", "--detach", "--json").stdout)["run"]
    told = json.loads(place.look("show", run, "--json").stdout)["run"]
    assert (told["status"], told["cached"]) == ("SUCCEEDED", True)


def test_a_cluster_of_its_own_is_not_left(place: Place) -> None:
    """A run cannot be detached from a cluster that ends with the command; and it is recovered on one of its own, like the first time."""
    refused = place.look("run", str(place.flow), "flow", "--n", "1", "--detach", status=2)
    assert "cannot be detached from a cluster that this command starts" in refused.stderr
    place.flow.write_text(FLOW)
    assert "no luck with 3" in place("run", str(place.flow), "flow", "--n", "4", status=1).stderr
    place.flow.write_text(FLOW.replace("BAD = 3", "BAD = 333"))
    recovered = place("recover", "@last", "--json")
    assert recovered.stdout == "12\n"
    # What its worker prints is no result.
    assert "step 3\n" in recovered.stderr
    assert "1 taken over" in recovered.stderr


def test_what_no_scheduler_answers(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the scheduler is not there, or says nothing, the exit status says so, and nobody waits for ever."""
    monkeypatch.setattr(connecting, "_TIMEOUT", 0.3)
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in kept("ls", "--scheduler", "tcp://127.0.0.1:9", status=3).stderr
    assert "no Dask scheduler answers at tls://127.0.0.1:9" in kept("ls", "--scheduler", "tls://127.0.0.1:9", status=3).stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        assert f"answers at {address} (TimeoutError: nothing was said within" in kept("ls", "--scheduler", address, status=3).stderr


def test_a_debugger_breaks_where_the_task_begins(place: Place) -> None:
    """`--pdb` stops at the first line of the task's function, with its inputs at hand."""
    run = id_in(place.run("flow", "--n", "2").stderr)
    done = place("debug", f"{run}:each/step[1]", "--pdb", text="p a + 40\ncontinue\n")
    assert "(Pdb) 41" in done.stdout
    assert 'print("step", a)' in done.stdout
    assert done.stdout.splitlines()[-1] == "2"


def test_help_imports_click_alone() -> None:
    """The command's help is there at once: nothing heavy is imported for it."""
    code = (
        "import sys, click, daskflow.cli\n"
        "heavy = {'distributed', 'dask', 'numpy', 'pandas', 'pydantic', 'pydantic_core', 'fsspec', 'sqlite3', 'tornado', 'yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------- a history's file

NASTY = "<script>alert('x')</script>\x1b[2J\u202e\x9b" + "y" * (1 << 20)


class Kept:
    """A history's file with some runs, and the command on it."""

    def __init__(self, path: str) -> None:
        self.path = path
        writer = Writer(path)
        now = time.time()
        for number in range(25):
            row = RunRow(id=f"r{number:010x}", name=f"job{number}", entity="flows.job", kind="workflow", started=now - 100 * number)
            writer.begin(row)
            writer.end(row.id, "SUCCEEDED", row.started + 1)
        old = now - 3 * 86400
        failure = list(Failure("ValueError", NASTY, (), NASTY, None, Where("rabc0000001", "step").plain(), []))
        writer.begin(RunRow(id="rabc0000001", name=NASTY, entity=NASTY, labels={"team": NASTY, "a": "b"}, inputs={"x": NASTY}, started=old))
        writer.logs("rabc0000001", [("step", old, "stdout", NASTY)])
        executing = Open("", NASTY, "workflow", 0.0, "step", 0, NASTY, "task", 1.0)
        report = write({"epoch": old, "worker": NASTY, "open": [tuple(executing)], "errors": [("step", 1.0, NASTY)]})
        assert report is not None
        writer.report("rabc0000001", report)
        writer.end("rabc0000001", "FAILED", old + 5, {"failure": failure}, "step")
        writer.begin(RunRow(id="rabc0000002", name="gone", entity="flows.job", mode="RELAUNCH", source="rabc0000001", started=old - 1))
        writer.end("rabc0000002", "FAILED", old, {"lost": "its scheduler went away"})
        assert writer.close(10)

    def __call__(self, *arguments: str, status: int = 0) -> Result:
        """Call a command."""
        with dask.config.set({"daskflow.history.path": self.path}):
            result = CliRunner().invoke(daskflow, list(arguments))
        assert result.exit_code == status, result.output
        return result


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Return a history."""
    tmp_path.chmod(0o700)
    return Kept(str(tmp_path / "history.db"))


def ids(result: Result) -> list[str]:
    """Return the ids in a list of runs."""
    return [line.split()[0] for line in result.stdout.splitlines()[1:]]


def test_runs_are_listed_as_asked(kept: Kept) -> None:
    """The newest first, at most twenty unless more are asked for; by status, name, label and time."""
    assert ids(kept("ls")) == [f"r{number:010x}" for number in range(20)]
    assert len(ids(kept("ls", "--all"))) == 27
    assert ids(kept("ls", "--name", "job1?", "--limit", "3")) == ["r000000000a", "r000000000b", "r000000000c"]
    assert ids(kept("ls", "--status", "failed")) == ["rabc0000001", "rabc0000002"]
    assert ids(kept("ls", "--label", "a=b")) == ["rabc0000001"]
    assert ids(kept("ls", "--until", "1d")) == ["rabc0000001", "rabc0000002"]
    assert ids(kept("ls", "--since", "150s")) == ["r0000000000", "r0000000001"]
    assert ids(kept("ls", "--since", "2000-01-01", "--until", "2000-01-02T10:00")) == []
    assert kept("ls", "--name", "nothing").stdout == "no such run\n"
    assert "'yesterday' is no time; give an age" in kept("ls", "--since", "yesterday", status=2).stderr
    assert "KEY=VALUE" in kept("ls", "--label", "a", status=2).stderr
    assert "3 d ago" in kept("ls", "--status", "FAILED").stdout


def test_columns_go_where_a_terminal_is_narrow(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal columns are left out, from the least important on; never the id and the status."""
    whole = kept("ls").stdout.splitlines()[0].split()
    for wide in range(80, 28, -1):
        monkeypatch.setattr(common, "width", lambda wide=wide: wide)
        heading, *rows = kept("ls").stdout.splitlines()
        shown = heading.split()
        assert [name for name in whole if name in shown] == shown
        assert shown[:3] == ["id", "name", "status"]
        assert max(map(len, rows)) <= wide
    assert len(whole) == 8
    assert len(shown) == 3


def test_a_tree_is_as_wide_as_it_may_be(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an error is, its node has one line, of the terminal's width, and says what was cut."""
    executing = Open("", "flows.job", "workflow", 0.0, "step", 0, "flows.step", "task", 1.0)
    report = write({"epoch": time.time(), "open": [tuple(executing)], "errors": [("step", 1.0, NASTY)]})
    assert report is not None
    writer = Writer(kept.path)
    writer.report("r0000000000", report)
    assert writer.close(10)
    for wide in (80, 120):
        monkeypatch.setattr(common, "width", lambda *_, wide=wide: wide)
        tree = kept("show", "@last").stdout.split("\n\n")[1].splitlines()
        assert tree[1].endswith(" characters more)")
        assert wide - 10 <= max(map(len, tree)) <= wide


def test_options_that_contradict(kept: Kept) -> None:
    """No option is ignored: what has no effect beside another is refused, and each one of a list shows the list."""
    assert "give one of them" in kept("ls", "--all", "--limit", "3", status=2).stderr
    for option in (["--order", "slow"], ["--page", "1"], ["--phase", "failed"], ["--items", "3"]):
        assert re.search(r"^1 (FAILED )?of what it calls, page 1 of 1$", kept("show", "rabc0000001", *option).stdout, re.MULTILINE)
        assert "--depth is of the tree" in kept("show", "rabc0000001", "--depth", "3", *option, status=2).stderr
    assert "--depth is of the tree" in kept("show", "rabc0000001", "--depth", "3", "--json", status=2).stderr


def test_all_lines_are_read_part_by_part(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lines there are, none is missing, and none comes twice."""
    writer = Writer(kept.path)
    writer.logs("r0000000000", [("step", 1.0, "stdout", f"line {number}") for number in range(20)])
    assert writer.close(10)
    for most in (1, 7, 20, 21):
        monkeypatch.setattr(cli_runs, "_MOST_LINES", most)
        assert [line.rpartition("  ")[2] for line in kept("logs", "@last").stdout.splitlines()] == [
            f"line {number}" for number in range(20)
        ]


@pytest.mark.parametrize("arguments", [["ls", "--all"], ["show", "rabc0000001"], ["logs", "rabc0000001"], ["diff", "@last", "rabc0000001"]])
def test_a_terminal_of_few_characters(kept: Kept, arguments: list[str]) -> None:
    """What an encoding has no character for is written out, and fails nothing."""
    with dask.config.set({"daskflow.history.path": kept.path}):
        result = CliRunner(charset="latin-1").invoke(daskflow, arguments)
    assert (result.exit_code, result.exception) == (0, None)
    assert "\\u2026" in result.stdout


def test_a_page_is_in_the_encoding_that_it_names(kept: Kept) -> None:
    """Whatever the terminal's encoding is."""
    with dask.config.set({"daskflow.history.path": kept.path}):
        result = CliRunner(charset="latin-1").invoke(daskflow, ["export", "rabc0000001", "--html", "-"])
    assert "✗" in result.stdout_bytes.decode("utf-8")


def test_there_are_no_runs(tmp_path: Path) -> None:
    """Where there is no history there are no runs, and none is the last."""
    with dask.config.set({"daskflow.history.path": str(tmp_path / "none.db")}):
        assert CliRunner().invoke(daskflow, ["ls"]).stdout == "no runs\n"
        assert CliRunner().invoke(daskflow, ["ls", "--json"]).stdout == "[]\n"
        result = CliRunner().invoke(daskflow, ["show", "@last"])
    assert (result.exit_code, "there is no run @last" in result.stderr) == (2, True)


def test_runs_are_named_by_how_their_ids_begin(kept: Kept) -> None:
    """By the beginning of an id, if no other run's begins so, and by how many runs ago it was; of others the nearest are told."""
    assert "run r0000000000 of job0" in kept("show", "@last").stdout
    assert "run r0000000003 of job3" in kept("show", "@last-3").stdout
    assert "run r0000000018 of job24" in kept("show", "r0000000018").stdout
    assert "is the beginning of the ids of 2 runs: rabc0000001 (" in kept("show", "rabc", status=2).stderr
    assert "no run in the history" in kept("show", "rx", status=2).stderr
    assert "there is no run @last-99" in kept("logs", "@last-99", status=2).stderr
    assert "has no child run whose id begins with r0000000000.ab" in kept("show", "@last.ab", status=2).stderr
    assert "has no node 'nothing'" in kept("show", "@last:nothing", status=2).stderr
    for verb in ("recover", "rerun"):
        assert "only whole runs" in kept(verb, "@last:step", status=2).stderr
    assert "daskflow: run r0000000000 has ended: it is SUCCEEDED\n" == kept("cancel", "@last", status=2).stderr
    assert "is not kept (the history does not have it)" in kept("debug", "@last:step", status=2).stderr


COMMANDS = [
    ["ls", "--all"],
    ["show", "rabc0000001"],
    ["show", "rabc0000001:step"],
    ["logs", "rabc0000001"],
    ["diff", "rabc0000001", "@last"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_text_of_a_users_directs_the_terminal(kept: Kept, command: list[str]) -> None:
    """Long texts are cut, with a note, but for lines of logs; no control character, and no mark of direction, is printed."""
    for arguments in (command, [*command, "--json"]):
        text = kept(*arguments).stdout
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    text = kept(*command).stdout
    assert "characters more)" in text
    assert len(text) < (100_000 if command[0] == "logs" else 20_000)


def test_a_page_has_no_script(kept: Kept, tmp_path: Path) -> None:
    """What is exported as HTML executes nothing and loads nothing, whatever texts are in it."""
    file = tmp_path / "run.html"
    kept("export", "rabc0000001", "--html", str(file))
    text = file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert kept("export", "rabc0000001", "--html", "-").stdout == text
    assert not re.search(r"\son\w+=|javascript:|<(?:img|link|iframe|object)", re.sub("&lt;.*?&gt;", "", text))


def test_all_that_is_known_as_json(kept: Kept, tmp_path: Path) -> None:
    """What is exported as JSON has the run, its nodes, its failure and its logs."""
    kept("export", "rabc0000001", "--json", str(tmp_path / "run.json"))
    plain = json.loads((tmp_path / "run.json").read_text())
    assert set(plain) == {"schema", "run", "tree", "tree_is_whole", "failure", "logs", "logs_are_whole"}
    assert plain["run"]["status"] == "FAILED"
    assert plain["run"]["error"]["address"] == "step"
    (line,) = plain["logs"]
    assert (line["run"], line["address"], line["level"]) == ("rabc0000001", "step", "stdout")
    assert json.loads(kept("export", "rabc0000001", "--json", "-").stdout) == plain
    assert "Where to?" in kept("export", "rabc0000001", status=2).stderr
    assert "cannot be written" in kept("export", "@last", "--json", str(tmp_path / "no" / "file"), status=2).stderr


@pytest.mark.parametrize("what", ["run", "node"])
def test_the_schema_is_documented(kept: Kept, what: str) -> None:
    """The page on runs has all fields of runs and of nodes, and no others."""
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page.partition(f"A *{what}*:")[2].partition("A *")[0], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(json.loads(kept("show", "@last", "--json").stdout)[what])


def test_a_run_whose_scheduler_went_away(kept: Kept) -> None:
    """Why it failed is told where there is no exception."""
    shown = kept("show", "rabc0000002").stdout
    assert "✗ gone failed: its scheduler went away" in shown
    assert "  source    rabc0000001\n" in shown


def test_ids_are_completed(kept: Kept) -> None:
    """A shell completes the ids of runs, and nothing where none begins so."""
    complete = ShellComplete(daskflow, {}, "daskflow", "_DASKFLOW_COMPLETE")
    with dask.config.set({"daskflow.history.path": kept.path}):
        assert [one.value for one in complete.get_completions(["show"], "rabc")] == ["rabc0000001", "rabc0000002"]
        assert [one.value for one in complete.get_completions(["logs"], "@")] == ["@last"]
        assert complete.get_completions(["cancel"], "zzz") == []
