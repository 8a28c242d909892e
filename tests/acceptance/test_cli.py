"""The command line: what it prints, and its exit status; as processes of its own where that matters."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from distributed import Client

from daskflow import connecting
from daskflow.cli import daskflow
from tests.acceptance.processes import DASK, DASKFLOW, Cluster, wait_until

FLOWS = str(Path(__file__).with_name("flows.py"))


def command(*arguments: str, program: tuple[str, ...] = (DASKFLOW,), text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*program, *arguments], check=False, input=text, capture_output=True, text=True, timeout=120)


def here(*arguments: str, text: str = "") -> Result:
    """Run a command in this process, which takes a tenth of the time; it fails of nothing that it does not tell."""
    result = CliRunner().invoke(daskflow, list(arguments), input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a scheduler and a worker, each a process of its own."""
    with Cluster(tmp_path_factory.mktemp("cluster"), workers=1) as cluster:
        yield cluster


ENTITIES = [
    ("step", ["--a", "1"], 2),
    ("step", ["--a", "1", "--b", "5"], 6),
    ("twice", ["--a", "1"], 3),
    ("loop", ["--n", "3"], [1, 2, 3]),
    ("each", ["--a", "[1, 2]"], [2, 3]),
    ("three", [], 5),
    ("flows.three", ["--a", "4"], 6),
    ("describe", ["--point", '{"x": 1, "y": [2.5]}', "--mode", "DOWN", "--flag", "--names", '["n"]'], "1 [2.5] DOWN True ['n']"),
]


@pytest.mark.parametrize(("entity", "inputs", "expected"), ENTITIES)
def test_each_kind_of_entity_alone(entity: str, inputs: list[str], expected: object) -> None:
    """A task, workflow, dynamic, map or launch plan of a file is run alone, and its result printed."""
    done = here("run", FLOWS, entity, *inputs, "--local", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("program", [(DASKFLOW,), (DASK, "workflow")], ids=["daskflow", "dask workflow"])
def test_on_a_cluster(cluster: Cluster, program: tuple[str, ...]) -> None:
    """The entity is run by the cluster's worker, which has no such file, under either name of the command."""
    done = command("run", FLOWS, "process", "--scheduler", cluster.address, program=program)
    assert (done.returncode, done.stdout) == (0, f"{cluster.processes[1].pid}\n"), done.stderr
    assert here("run", FLOWS, "loop", "--n", "3", "--scheduler", cluster.address).stdout == "[1, 2, 3]\n"


def test_on_an_embedded_cluster() -> None:
    """Without a word of where, the entity is run by a worker process of an embedded cluster."""
    done = command("run", FLOWS, "process", "--max-parallelism", "2")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) != os.getpid()


@pytest.mark.parametrize(
    ("name", "text"), [("inputs.json", '{"a": 4, "b": 2}'), ("inputs.yaml", "a: 4\nb: 2\n"), ("-", '{"a": 4, "b": 2}')]
)
def test_inputs_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    """Inputs come from JSON, YAML or standard input, and options go before them."""
    path = name if name == "-" else str(tmp_path / name)
    if name != "-":
        (tmp_path / name).write_text(text)
    assert here("run", "--local", FLOWS, "step", "--inputs-file", path, text=text).stdout == "6\n"
    assert here("run", "--local", FLOWS, "step", "--inputs-file", path, "--b", "9", text=text).stdout == "13\n"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["run"], 2, "Missing argument 'FILE'"),
        (["run", "nosuch.py", "step"], 2, "there is no file nosuch.py"),
        (["run", "nosuch", "step"], 2, "there is no module nosuch"),
        (["run", FLOWS], 2, "which entity of"),
        (["run", FLOWS, "stepp"], 2, "has no entity 'stepp'; did you mean step? it has"),
        (["run", FLOWS, "step", "--local"], 2, "flows.step is missing the input 'a' (int); it takes a: int, b: int = 1"),
        (["run", FLOWS, "step", "--a", "x"], 2, "Invalid value for '--a'"),
        (["run", FLOWS, "step", "--c", "1"], 2, "No such option '--c'"),
        (["run", FLOWS, "describe", "--point", '{"x": "1", "y": []}'], 2, "is not Point as JSON: at ['x']"),
        (["run", FLOWS, "step", "--a", "1", "--inputs-file", "nosuch.json"], 2, "inputs cannot be read from nosuch.json"),
        (["run", FLOWS, "step", "--a", "1", "--max-parallelism", "-1", "--local"], 2, "must be a positive int, or 0 for unlimited; got -1"),
        (["run", FLOWS, "step", "--a", "1", "--checkpoint", "all", "--local"], 2, "--checkpoint has no effect with --local"),
        (["run", FLOWS, "step", "--a", "1", "--local", "--scheduler", "tcp://127.0.0.1:9"], 2, "give one of them"),
        (["run", FLOWS, "twice", "--a", "13", "--local"], 1, "Unlucky: no luck with 13"),
        (["run", FLOWS, "step", "--a", "1", "--scheduler", "tcp://127.0.0.1:9"], 3, "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (["run", FLOWS, "step", "--a", "1", "--scheduler", "nonsense"], 3, "no Dask scheduler answers at nonsense (ValueError"),
        (["run", FLOWS, "step", "--a", "1", "--scheduler", "odd://x:1"], 3, "no Dask scheduler answers at odd://x:1 (ValueError"),
    ],
)
def test_what_goes_wrong(arguments: list[str], status: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong has its exit status and a message of its own, and prints nothing as a result."""
    # There is nothing at the address, however long one waits.
    monkeypatch.setattr(connecting, "_TIMEOUT", 0.3)
    done = here(*arguments)
    assert says in done.stderr
    assert done.exit_code == status
    assert "Traceback" not in done.stderr


def test_what_goes_wrong_in_a_process() -> None:
    """A process ends with the status of what went wrong."""
    assert command("run", FLOWS, "step", "--local").returncode == 2
    failed = command("run", FLOWS, "twice", "--a", "13", "--local")
    assert (failed.returncode, failed.stdout) == (1, "")


def _line(text: str) -> int:
    lines = Path(FLOWS).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_failed_run_shows_the_users_lines(cluster: Cluster) -> None:
    """A run that fails shows the exception, the user's own lines of code and the node, and is short."""
    done = here("run", FLOWS, "each", "--a", "[1, 13]", "--scheduler", cluster.address)
    assert done.exit_code == 1
    announced, *lines = done.stderr.splitlines()
    assert re.fullmatch(r"daskflow: run r[0-9a-f]{10}", announced)
    assert lines[0].startswith("✗ map of flows.step failed: Unlucky: no luck with 13   run r")
    assert re.match(r"  r[0-9a-f]{10}:step\[1\]  map index 1, attempt 1/1, on worker tcp://", lines[1])
    assert re.search(rf"flows.py:{_line('raise Unlucky')}  raise Unlucky", lines[-3])
    assert [line.split()[0] for line in lines[-2:]] == ["logs:", "recover:"]
    assert len(lines) <= 15
    assert "daskflow/execute.py" not in done.stderr


def test_another_version_is_refused(tmp_path: Path) -> None:
    """Versions that do not match have the status of a cluster that cannot be used."""
    (tmp_path / "sitecustomize.py").write_text("import daskflow._version\ndaskflow._version.__version__ = '0.0.7'\n")
    with Cluster(tmp_path, workers=1, env={"PYTHONPATH": str(tmp_path)}) as cluster:
        done = command("run", FLOWS, "step", "--a", "1", "--scheduler", cluster.address)
    assert done.returncode == 3
    assert "daskflow is 0.0.7 there" in done.stderr


def test_an_interrupt_cancels_the_run(cluster: Cluster, tmp_path: Path) -> None:
    """Ctrl-C cancels the run on the cluster, which keeps nothing of it, and has a status of its own."""
    mark = tmp_path / "mark"
    arguments = ["run", FLOWS, "linger", "--mark", str(mark), "--seconds", "5", "--scheduler", cluster.address]
    # What runs in the background of a shell ignores interrupts, and hands that down.
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen([DASKFLOW, *arguments], stderr=subprocess.PIPE, text=True, preexec_fn=heeds)  # noqa: PLW1509
    wait_until(mark.exists, "the task's start")
    process.send_signal(signal.SIGINT)
    assert "interrupted; the run is cancelled" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    with Client(cluster.address) as client:
        assert {name: count for name, count in client.sync(client.scheduler.daskflow_state).items() if count} == {}
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0


def test_an_interrupt_of_a_cluster_of_its_own(tmp_path: Path) -> None:
    """Ctrl-C at a terminal, which all processes get, is told by the command alone."""
    mark = tmp_path / "mark"
    heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [DASKFLOW, "run", FLOWS, "linger", "--mark", str(mark), "--seconds", "1"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeds,  # noqa: PLW1509
        start_new_session=True,
    )
    wait_until(mark.exists, "the task's start")
    os.killpg(process.pid, signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    assert told.endswith("daskflow: interrupted; the run is cancelled\n")


def test_help_imports_no_cluster() -> None:
    """Help is there at once, since neither Dask's cluster nor the validation of values is imported for it."""
    for arguments in (["--help"], ["run", "--help"]):
        code = f"import sys\nfrom daskflow.cli import main\nsys.argv = ['daskflow', *{arguments!r}]\ntry:\n    main()\n"
        code += "finally:\n    assert not {'distributed', 'dask', 'pydantic', 'numpy'} & set(sys.modules)\n"
        done = command("-c", code, program=(sys.executable,))
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: daskflow" in done.stdout


def test_looking_at_runs_imports_no_cluster() -> None:
    """Where the history's file is read, Dask's cluster is not imported."""
    code = "import sys\nfrom daskflow.cli import main\nsys.argv = ['daskflow', 'ls', '--json']\ntry:\n    main()\n"
    code += "finally:\n    assert not {'distributed', 'numpy', 'pandas', 'tornado', 'pydantic'} & set(sys.modules)\n"
    done = command("-c", code, program=(sys.executable,))
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_entities_of_a_file_are_listed() -> None:
    """Without an entity, those of the file are listed, each with its kind; an entity's help shows its inputs."""
    listed = here("run", FLOWS, "--help")
    assert listed.exit_code == 0
    assert "  step         task         Add two numbers." in listed.stdout
    shown = here("run", FLOWS, "step", "--help")
    assert shown.exit_code == 0
    assert "--a INTEGER" in shown.stdout
    assert "The first one. [required]" in shown.stdout
    assert "--b INTEGER" in shown.stdout


TALKS = """
import os, sys, subprocess
import daskflow as fl

print("imported")


@fl.task
def talks(a: int) -> dict[str, object]:
    print("printed")
    os.write(1, b"written")
    subprocess.run([sys.executable, "-c", "print('started')"], check=True)
    return {"a": a}
"""


@pytest.mark.parametrize("where", [["--local"], []], ids=["in process", "embedded cluster"])
def test_with_json_there_is_nothing_but_the_result(tmp_path: Path, where: list[str]) -> None:
    """What a file and its tasks print, and what they start, goes to standard error where JSON was asked for, wherever that is said."""
    file = tmp_path / "talks.py"
    file.write_text(TALKS)
    done = command("run", *where, str(file), "talks", "--a", "1", "--json")
    assert json.loads(done.stdout) == {"a": 1}
    for text in ("imported", "printed", "written", "started"):
        assert text in done.stderr


ODD = """
import math
import daskflow as fl


class Bad:
    def __repr__(self):
        raise ValueError


@fl.task
def odd(which: str) -> object:
    circle = [1]
    circle.append(circle)
    return {
        "numbers": [math.nan, -math.inf, 1.5], "bytes": [b"text", b"\\xff"], "circle": circle, "bad": [Bad(), 1], "long": 10**5000,
        "text": "\\udc80 \\x1b[2J", "keys": {(1, 2): {3}},
    }[which]
"""


@pytest.mark.parametrize(
    ("which", "plain"),
    [
        ("numbers", ["NaN", "-Infinity", 1.5]),
        ("bytes", ["text", "b'\\xff'"]),
        ("circle", None),
        ("bad", ["<Bad>", 1]),
        ("long", None),
        ("text", "\udc80 \x1b[2J"),
        ("keys", {"1,2": [3]}),
    ],
)
def test_any_result_is_printed(tmp_path: Path, which: str, plain: object) -> None:
    """Whatever a run gives is printed, and as JSON that every program reads."""
    file = tmp_path / "odd_results.py"
    file.write_text(ODD)

    def no_json(name: str) -> None:
        raise AssertionError(name)

    done = here("run", "--local", "--json", str(file), "odd", "--which", which)
    assert done.exit_code == 0
    if plain is not None:
        assert json.loads(done.stdout, parse_constant=no_json) == plain
    assert here("run", "--local", str(file), "odd", "--which", which).exit_code == 0


def test_an_interrupt_before_there_is_a_run(tmp_path: Path) -> None:
    """Ctrl-C has its status whenever it comes, while a file is imported as well."""
    file = tmp_path / "interrupted.py"
    file.write_text("raise KeyboardInterrupt\n")
    done = here("run", str(file), "step")
    assert (done.exit_code, done.stderr) == (130, "daskflow: interrupted\n")


def test_streams_that_are_closed(cluster: Cluster) -> None:
    """A run needs neither input nor output, as where a daemon starts it."""
    run = f"{DASKFLOW} run {FLOWS} step --a 1 --scheduler {cluster.address}"
    done = subprocess.run(["sh", "-c", f"{run} <&- && {run} --json >&-"], check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_what_is_printed_goes_nowhere() -> None:
    """Where nobody reads any more, as behind `| head`, a command ends without a word, with the status for that; a full disk is told."""
    loop = [DASKFLOW, "run", FLOWS, "loop", "--n", "9", "--local"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(loop, check=False, stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(loop, check=False, stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (2, b"daskflow: what is to be printed cannot be written: No space left on device\n")
