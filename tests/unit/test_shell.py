"""Tasks that are scripts: templates, outputs, failures, and how they end."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

import daskflow as fl
from daskflow.attempts import one_attempt
from daskflow.cachekey import key
from daskflow.codeversion import code_version
from daskflow.errors import DefinitionError, InputError, OptionError, OutputError, RunCancelled, ScriptFailed
from daskflow.taskcontext import Place
from daskflow.taskoptions import TaskOptions


def shell(script: str, *outputs: Any, name: str = "test.script", **more: Any) -> fl.ShellTask:
    """Return a shell task with outputs that are given as (name, type) or (name, type, location)."""
    locations = [fl.OutputLocation(*(one if len(one) == 3 else (*one, f"{one[0]}.out"))) for one in outputs]
    return fl.ShellTask(name=name, script=script, output_locs=locations, **more)


@fl.task
def plus_one(a: int) -> int:
    return a + 1


def test_inputs_go_in_and_outputs_come_out() -> None:
    """Inputs stand in the script as text, outputs are where it writes them, each of its declared type."""
    task = shell(
        "printf {inputs.text} > {outputs.a}; echo {inputs.n} > {outputs.b}; printf x > {outputs.e}; "
        "echo 0.5 > {outputs.c}; echo true > {outputs.d}",
        ("a", str),
        ("b", int),
        ("c", float),
        ("d", bool),
        ("e", bytes),
        inputs=fl.kwtypes(text=str, n=int),
    )
    made = task(text="hello", n=3)
    assert made == ("hello", 3, 0.5, True, b"x")
    assert (made.a, made.e) == ("hello", b"x")
    with pytest.raises(InputError, match=r"input 'n' of test\.script: expected int"):
        task(text="hello", n="3")


def test_shell_tasks_are_tasks() -> None:
    """They are called in bodies, mapped, and awaited as other tasks are; addresses have the last part of the name."""
    double = shell("echo $(( 2 * {inputs.a} )) > {outputs.b}", ("b", int), inputs=fl.kwtypes(a=int))

    @fl.workflow
    def flow(a: int) -> int:
        return plus_one(a=double(a=a))

    assert flow(a=3) == 7
    assert flow.graph.names() == ["script", "plus_one"]
    assert fl.map_task(double)(a=[1, 2]) == [2, 4]
    assert asyncio.run(double.aio(a=5)) == 10
    assert pickle.loads(cloudpickle.dumps(double))(a=4) == 8

    two = shell("echo 1 > {outputs.a}; echo 2 > {outputs.b}", ("a", int), ("b", int))

    @fl.dynamic
    def picks() -> int:
        return plus_one(a=two().b)

    assert picks() == 3


def test_text_is_quoted_where_it_is_said(tmp_path: Path) -> None:
    """With !q any text arrives as it is; the shell's own braces are written twice."""
    text = 'it\'s $HOME; `touch pwned` "x" \\ {a}\n* '
    task = shell("A={inputs.text!q}; printf '%s' \"${{A}}\" > {outputs.out}", ("out", bytes), inputs=fl.kwtypes(text=str))
    assert task(text=text) == text.encode()
    when = shell("printf {inputs.at} > {outputs.out}", ("out", str), inputs=fl.kwtypes(at=datetime))
    assert when(at=datetime(2024, 1, 2, tzinfo=UTC)) == "2024-01-02T00:00:00+00:00"
    (tmp_path / "in").write_text("x")
    reads = shell("cat {inputs.file} > {outputs.out}", ("out", str), inputs=fl.kwtypes(file=Path))
    assert reads(file=tmp_path / "in") == "x"


def test_it_runs_in_the_working_directory(capfd: pytest.CaptureFixture[str]) -> None:
    """The script's directory is the attempt's own, and is gone afterwards; what it says passes through, and with debug the script too."""
    task = shell(
        "pwd > {outputs.a}; echo {ctx.working_directory} > {outputs.b}; echo out; echo err >&2", ("a", str), ("b", str), debug=True
    )
    made = task()
    assert os.path.realpath(made.a) == os.path.realpath(made.b)
    assert not os.path.exists(made.a)
    out, err = capfd.readouterr()
    assert out.splitlines()[0].startswith("pwd > /")
    assert (out.splitlines()[1], err) == ("out", "err\n")


def test_files_and_directories_stay(tmp_path: Path) -> None:
    """An output that is a path is moved from the working directory to where it stays; one elsewhere is where the script put it."""
    task = shell(
        "mkdir deep; echo x > deep/file; echo y > {outputs.b}",
        ("a", Path, "deep"),
        ("b", Path, f"{tmp_path}/{{inputs.name}}.txt"),
        inputs=fl.kwtypes(name=str),
    )
    made = task(name="n")
    assert (made.a / "file").read_text() == "x\n"
    assert made.b == tmp_path / "n.txt"
    place = Place("t", run_id="r", address="a", outputs=str(tmp_path / "outputs"))
    assert one_attempt(shell("echo z > a.txt", ("a", Path, "a.txt")).body, {}, place) is not None


def test_a_script_that_fails() -> None:
    """The first command that fails ends it; the error has the code and the end of what it said."""
    task = shell("echo before >&2; cat /nowhere/at/all; echo after > {outputs.a}", ("a", str))
    with pytest.raises(ScriptFailed, match=r"the script of shell task test\.script ended with exit code 1:\nbefore\ncat: .*No such file"):
        task()
    with pytest.raises(ScriptFailed, match="ended with exit code 7\n"):
        shell("exit 7")()
    with pytest.raises(ScriptFailed, match="was killed by SIGKILL"):
        shell("kill -9 $$")()
    with pytest.raises(ScriptFailed) as caught:
        shell("for i in $(seq 20000); do echo line $i >&2; done; exit 1")()
    assert str(caught.value).endswith("line 20000")
    assert len(str(caught.value)) < 5000


def test_a_script_may_be_tried_again() -> None:
    """Options of tasks are a shell task's too."""
    task = shell(
        "[ -e {inputs.file} ] || {{ touch {inputs.file}; exit 1; }}", inputs=fl.kwtypes(file=str), retries=fl.Retry(1, on=ScriptFailed)
    )
    directory = fl.current_context().working_directory
    task(file=f"{directory}/retried")
    assert shell('printf "$A" > {outputs.a}', ("a", str), environment={"A": "of the task"})() == "of the task"


def test_outputs_that_are_not_there_or_not_right() -> None:
    """What was declared and not written is said, and so is text that is no number."""
    with pytest.raises(OutputError, match=r"test\.script has not written its output a to .*/a\.out"):
        shell("true", ("a", str))()
    for kind, text in ((int, "x"), (float, "x"), (bool, "maybe"), (str, "\\xff")):
        with pytest.raises(OutputError, match=f"output a of shell task test.script is no {kind.__name__}"):
            shell(f"printf '{text}' > {{outputs.a}}", ("a", kind))()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fl.ShellTask(name="n"), "shell task n needs either script or script_file"),
        (lambda: fl.ShellTask(name="n", script="x", script_file="y"), "and not both"),
        (lambda: fl.ShellTask(name="n", script_file="/nowhere"), "script_file of shell task n cannot be read: .*No such file"),
        (lambda: fl.ShellTask(name="a b", script="x"), "the name of a ShellTask must be letters"),
        (lambda: shell("echo {inputs.x}"), r"the script of shell task .* has \{inputs.x\}; its inputs are none"),
        (lambda: shell("echo {outputs.x}", ("a", str)), r"has \{outputs.x\}; its outputs are a"),
        (lambda: shell("echo ${HOME}"), r"has \{HOME\}, but knows inputs, ctx, outputs; braces of the shell's own are written twice"),
        (lambda: shell("f() { echo; }"), "braces of the shell's own are written twice"),
        (lambda: shell("echo {"), "is no template: .*; braces of the shell's own"),
        (lambda: shell("x", ("a", str, "{inputs.z}")), r"the location of a of shell task .* has \{inputs.z\}"),
        (lambda: shell("x", ("a", str), ("a", int)), "has the output 'a' more than once"),
        (lambda: shell("x", ("a", list)), "var_type of the OutputLocation of a must be str, bytes"),
        (lambda: fl.OutputLocation("a b", str, "x"), "var of OutputLocation must be a name"),
        (lambda: fl.OutputLocation("a", str, 3), "location of the OutputLocation of a must be a path"),  # type: ignore[arg-type]
        (lambda: fl.ShellTask(name="n", script="x", output_locs=["a"]), "must be a list of OutputLocation; it has 'a'"),  # type: ignore[list-item]
    ],
)
def test_wrong_scripts(make: Callable[[], Any], text: str) -> None:
    """What cannot work is refused where it is written."""
    with pytest.raises(DefinitionError, match=text):
        make()


def test_options_are_checked() -> None:
    """A shell task's options are those of tasks, and others are refused."""
    with pytest.raises(OptionError, match="shell task n has no option 'nonsense'"):
        fl.ShellTask(name="n", script="x", nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="retries of shell task n must be"):
        fl.ShellTask(name="n", script="x", retries=-1)


def test_a_script_of_a_file(tmp_path: Path) -> None:
    """The file is read where the task is made, so that it need not be there where it runs."""
    (tmp_path / "s.sh").write_text("echo 3 > {outputs.a}")
    task = fl.ShellTask(name="n", script_file=tmp_path / "s.sh", output_locs=[fl.OutputLocation("a", int, "a")])
    (tmp_path / "s.sh").unlink()
    assert (task(), task.script) == (3, "echo 3 > {outputs.a}")


def test_the_script_is_the_version() -> None:
    """Cached without a version, a shell task is another one when its script, or where its outputs are, changes."""
    tasks = [
        shell("echo 1 > {outputs.a}", ("a", int)),
        shell("echo 2 > {outputs.a}", ("a", int)),
        shell("echo 1 > {outputs.a}", ("a", int, "b")),
    ]
    versions = [code_version(one.fn) for one in tasks]
    assert len(set(versions)) == 3
    assert versions[0] == code_version(shell("echo 1 > {outputs.a}", ("a", int)).fn)
    assert key(tasks[0], versions[0], {}, ()) != key(tasks[1], versions[1], {}, ())
    counted = shell("echo x >> {inputs.file}; wc -l < {inputs.file} > {outputs.n}", ("n", int), inputs=fl.kwtypes(file=str), cache=True)
    file = f"{fl.current_context().working_directory}/counted"
    assert [counted(file=file), counted(file=file)] == [1, 1]


# ---------------------------------------------------------------- the end

WAITS = "sleep 600 & echo $! > {inputs.file}.child; echo $$ > {inputs.file}.tmp; mv {inputs.file}.tmp {inputs.file}; wait"


@pytest.mark.parametrize("timeout", [1.0, fl.Timeout(2, killable=True)], ids=["thread", "process"])
def test_a_late_script_is_killed(timeout: Any, tmp_path: Path) -> None:
    """When time is up nothing of the script goes on, whether the attempt has a process of its own or not."""
    file = tmp_path / "pid"
    task = shell(WAITS, inputs=fl.kwtypes(file=str), timeout=timeout)
    with pytest.raises(fl.TaskTimeout):
        task(file=str(file))
    _until(lambda: not any(_lives(one) for one in (file, Path(f"{file}.child"))))


def test_a_script_ends_with_its_run(tmp_path: Path) -> None:
    """A cancelled run kills the script, though the task has no timeout."""
    file = tmp_path / "pid"
    task = shell(WAITS, inputs=fl.kwtypes(file=str))
    where = Place("t", options=TaskOptions(), cancelled=lambda: RunCancelled("by hand") if file.exists() else None)
    with pytest.raises(RunCancelled, match="by hand"):
        one_attempt(task.body, {"file": str(file)}, where)
    _until(lambda: not any(_lives(one) for one in (file, Path(f"{file}.child"))))


@pytest.mark.parametrize("options", [{}, {"timeout": fl.Timeout(60, killable=True)}], ids=["thread", "process"])
def test_what_a_script_leaves_is_killed(options: Any, tmp_path: Path) -> None:
    """What it started in the background does not outlive the attempt, nor hold it up."""
    file = tmp_path / "pid"
    task = shell("sleep 600 & echo $! > {inputs.file}", inputs=fl.kwtypes(file=str), **options)
    done = threading.Event()
    threading.Thread(target=lambda: (task(file=str(file)), done.set())).start()
    assert done.wait(30)
    _until(lambda: not _lives(file))


def _lives(file: Path) -> bool:
    try:
        return psutil.Process(int(file.read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
