"""Timeouts: attempts that are left alone in their threads, and attempts that are killed with their processes."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import daskflow as fl
from daskflow import coroutines
from daskflow.attempts import one_attempt, run_attempts
from daskflow.errors import InputError, NestingError, OutputError, ProcessDied, RunCancelled
from daskflow.taskcontext import Place
from daskflow.taskoptions import TaskOptions
from tests.told import attempt_of, told


class Trouble(Exception):
    """A user's own."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code


def place(timeout: Any, **options: Any) -> Place:
    """Return where a task runs that has this timeout."""
    return Place("t", address="a", options=TaskOptions.of({"timeout": timeout, **options}, "t"))


def killable(seconds: float = 60.0, **options: Any) -> Place:
    """Return where a task runs that is killed after some seconds."""
    return place(fl.Timeout(seconds, killable=True), **options)


# ---------------------------------------------------------------- threads


def test_what_is_in_time() -> None:
    """A task that ends in time gives its value, or raises what it raises, as without a timeout."""
    assert one_attempt(lambda a: a + 1, {"a": 1}, place(60)) == 2

    def fails() -> None:
        raise Trouble(3, "x")

    with pytest.raises(Trouble) as caught:
        one_attempt(fails, {}, place(60))
    assert caught.value.code == 3
    assert caught.traceback[-1].name == "fails"
    for kind in (SystemExit, KeyboardInterrupt):

        def leaves(kind: type[BaseException] = kind) -> None:
            raise kind(4)

        with pytest.raises(kind):
            one_attempt(leaves, {}, place(60))


def test_what_is_late_is_left_alone() -> None:
    """When time is up the attempt fails at once; what it gives later counts for nothing, and it can see that it should end."""
    go, seen = threading.Event(), []

    def slow() -> int:
        context = fl.current_context()
        with suppress(OSError):
            Path(context.working_directory, "file").write_text("x")
        assert go.wait(30)
        seen.append((context.cancelled, context.working_directory, os.path.exists(context.working_directory)))
        try:
            context.raise_if_cancelled()
        except fl.TaskTimeout as error:
            seen.append(str(error))
        ended.set()
        return 1

    ended = threading.Event()
    with pytest.raises(fl.FlyteTimeout, match=r"task t lasted longer than its timeout of 0\.05 s") as caught:
        one_attempt(slow, {}, place(0.05))
    assert isinstance(caught.value, TimeoutError)
    go.set()
    assert ended.wait(30)
    (cancelled, directory, there), text = seen
    assert cancelled
    assert there
    assert text == str(caught.value)
    _until(lambda: not os.path.exists(directory))


def test_a_timeout_is_tried_again() -> None:
    """A timeout is one of the errors that retries are for, as in Flyte."""
    go, attempts = threading.Event(), []

    def slow_at_first() -> int:
        attempts.append(fl.current_context().attempt)
        return 7 if len(attempts) == 3 or go.wait(30) else 8

    assert run_attempts(slow_at_first, {}, place(0.05, retries=2)) == 7
    assert attempts == [0, 1, 2]
    with pytest.raises(fl.TaskTimeout) as caught:
        run_attempts(lambda: go.wait(30), {}, place(0.05, retries=1))
    assert attempt_of(caught.value) == (2, 2)
    go.set()


def test_the_thread_knows_what_the_caller_knows() -> None:
    """The task's context, context variables, and what an entity's call means there, are those of the thread that waits."""
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)

    @fl.task
    def other() -> int:
        return 1

    def look() -> Any:
        return variable.get(), fl.current_context().node, fl.current_context().task_id.name, threading.current_thread().name

    assert one_attempt(look, {}, place(60)) == (5, "a", "t", "daskflow t")
    with pytest.raises(NestingError, match="inside the running task local:a"):
        one_attempt(other, {}, place(60))


def test_a_cancelled_run_does_not_wait_for_its_tasks() -> None:
    """An attempt in a thread of its own is left alone when its run is cancelled."""
    go, why, contexts = threading.Event(), [], []

    def slow() -> None:
        contexts.append(fl.current_context())
        why.append(RunCancelled("by hand"))
        go.wait(30)

    where = Place("t", options=TaskOptions.of({"timeout": 60}, "t"), cancelled=lambda: why[0] if why else None)
    with pytest.raises(RunCancelled, match="by hand"):
        one_attempt(slow, {}, where)
    assert contexts[0].cancelled
    go.set()


def test_a_late_coroutine_is_cancelled() -> None:
    """A coroutine need not look whether it should end: it is cancelled where it waits."""
    ended = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(fl.TaskTimeout):
        one_attempt(lambda: coroutines.run(slow), {}, place(0.05))
    assert ended.wait(30)


@fl.task(timeout=0.05)
def waits(seconds: float) -> float:
    released.wait(seconds)
    return seconds


released = threading.Event()


def test_timeouts_in_a_program() -> None:
    """A timeout holds for a task wherever it is called, and can be said, or taken back, for one call."""
    released.clear()

    @fl.workflow
    def without() -> float:
        return waits(seconds=0.1).with_overrides(timeout=None)  # type: ignore[attr-defined,no-any-return]

    assert without() == 0.1
    with pytest.raises(fl.TaskTimeout) as caught:
        fl.map_task(waits)(seconds=[0.0, 30.0])
    assert told(caught.value).map_index == 1
    released.set()


def test_a_dynamics_body_may_be_late() -> None:
    """The body that builds a graph can have a timeout as well."""

    @fl.dynamic
    def loop(n: int) -> list[float]:
        return [waits(seconds=0.0) for _ in range(n)]

    assert len(one_attempt(loop.build, {"inputs": {"n": 3}}, place(60)).nodes) == 3


# ---------------------------------------------------------------- processes


def test_a_process_gives_what_a_thread_gives() -> None:
    """Values of users' own classes, and exceptions with their types and attributes, come back as what they are."""

    class Own:
        def __init__(self, parent: int) -> None:
            self.parent = parent

    def body(fail: bool) -> Own:
        context = fl.current_context()
        assert os.path.isdir(context.working_directory)
        if fail:
            raise Trouble(context.attempt, context.node)
        return Own(os.getppid())

    made = one_attempt(body, {"fail": False}, killable())
    assert isinstance(made, Own)
    assert made.parent == os.getpid()
    with pytest.raises(Trouble) as caught:
        one_attempt(body, {"fail": True}, killable(), 2)
    assert (caught.value.code, caught.value.args) == (2, (2, "a"))
    assert caught.traceback[-1].name == "body"


def test_large_values_pass() -> None:
    """What is larger than a pipe holds passes both ways."""
    data = os.urandom(1 << 20) * 8
    assert one_attempt(lambda data: data[::-1], {"data": data}, killable()) == data[::-1]


def test_output_passes_through(capfd: pytest.CaptureFixture[str]) -> None:
    """What the task prints is printed."""

    def speaks() -> None:
        print("to output")
        print("to error", file=sys.stderr)
        os.system("echo from a shell")

    one_attempt(speaks, {}, killable())
    out, err = capfd.readouterr()
    assert (sorted(out.splitlines()), err) == (["from a shell", "to output"], "to error\n")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "task t was killed by SIGKILL; the system does so where memory runs out"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "task t was killed by SIGSEGV"),
        (lambda: os._exit(9), "task t left with exit code 9 before the task was done"),
        (lambda: os._exit(0), "task t left with exit code 0 before the task was done"),
    ],
)
def test_a_process_that_dies(end: Callable[[], None], text: str) -> None:
    """The signal, or the code, is named; and another attempt may be made, as for a worker that dies."""
    with pytest.raises(ProcessDied, match=text):
        one_attempt(end, {}, killable())
    assert one_attempt(lambda: 1, {}, killable()) == 1


def test_another_attempt_after_a_death() -> None:
    """A death counts as recoverable: the next attempt has a process of its own, and goes on from the checkpoint."""

    def dies_at_first() -> Any:
        context = fl.current_context()
        if context.attempt < 2:
            context.checkpoint.write(str(context.attempt).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        return context.checkpoint.read()

    assert run_attempts(dies_at_first, {}, killable(retries=2)) == b"1"


def test_a_process_that_leaves_by_exit() -> None:
    """sys.exit is what it is in a thread: it ends the run, with its code, and is not tried again."""
    with pytest.raises(SystemExit) as caught:
        run_attempts(lambda: sys.exit(3), {}, killable(retries=fl.Retry(2)))
    assert caught.value.code == 3


def test_what_does_not_pickle() -> None:
    """What cannot go in, or come out, is said with the task's name."""
    lock = threading.Lock()
    with pytest.raises(InputError, match="task t cannot have a process of its own, since what it uses does not pickle"):
        one_attempt(lambda: lock, {}, killable())
    with pytest.raises(OutputError, match="what task t gives cannot leave its process, since it does not pickle"):
        one_attempt(threading.Lock, {}, killable())


class Stays:
    """Something that cannot be unpickled in another process."""

    def __reduce__(self) -> Any:
        return _arrives, (os.getpid(),)


def _arrives(pid: int) -> Stays:
    if pid != os.getpid():
        raise Trouble(pid, "it stays here")
    return Stays()


def test_what_does_not_arrive_in_a_process() -> None:
    """Where the process cannot unpickle what it is to call, the error says why."""
    with pytest.raises(Trouble, match="it stays here"):
        one_attempt(lambda given: given, {"given": Stays()}, killable())


def waits_with_a_child(file: str) -> None:
    child = subprocess.Popen(["sleep", "600"])
    Path(file + ".tmp").write_text(f"{os.getpid()} {child.pid}")
    os.rename(file + ".tmp", file)
    threading.Event().wait(600)


def test_a_late_process_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """When time is up, nothing of the attempt goes on, and its directory is gone."""
    file = str(tmp_path / "pids")
    with pytest.raises(fl.TaskTimeout, match="timeout of 2 s"):
        one_attempt(waits_with_a_child, {"file": file}, killable(2))
    _until(lambda: not any(_lives(pid) for pid in _pids(file)))


def test_what_a_process_leaves_is_killed(tmp_path: Path) -> None:
    """What the task started and left goes with it when it is done."""

    def leaves() -> int:
        threading.Thread(target=threading.Event().wait).start()
        return subprocess.Popen(["sleep", "600"]).pid

    pid = one_attempt(leaves, {}, killable())
    _until(lambda: not _lives(pid))


def test_a_cancelled_run_kills_its_processes(tmp_path: Path) -> None:
    """A killable attempt ends with its run."""
    file = tmp_path / "pids"
    options = killable().options
    where = Place("t", options=options, cancelled=lambda: RunCancelled("by hand") if file.exists() else None)
    with pytest.raises(RunCancelled):
        one_attempt(waits_with_a_child, {"file": str(file)}, where)
    _until(lambda: not any(_lives(pid) for pid in _pids(str(file))))


PARENT = """
import sys
from daskflow import Timeout
from daskflow.attempts import one_attempt
from daskflow.taskcontext import Place
from daskflow.taskoptions import TaskOptions

class Own:
    "A class of the script's."

def shape(kind):
    return kind()

def waits(file):
    import os, subprocess, threading
    child = subprocess.Popen(["sleep", "600"])
    with open(file + ".tmp", "w") as out:
        out.write(f"{os.getpid()} {child.pid}")
    os.rename(file + ".tmp", file)
    threading.Event().wait(600)

where = Place("t", options=TaskOptions.of({"timeout": Timeout(60, killable=True)}, "t"))
assert type(one_attempt(shape, {"kind": Own}, where)) is Own
print("right", flush=True)
one_attempt(waits, {"file": sys.argv[1]}, where)
"""


def test_a_process_dies_with_its_parent(tmp_path: Path) -> None:
    """What a script defines travels by value; when the script is killed, so is the attempt, with what it started."""
    (tmp_path / "script.py").write_text(PARENT)
    file = tmp_path / "pids"
    parent = subprocess.Popen([sys.executable, "script.py", str(file)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "right\n"
        _until(file.exists)
        pids = _pids(str(file))
        assert all(_lives(pid) for pid in pids)
        parent.kill()
    _until(lambda: not any(_lives(pid) for pid in pids))


def test_a_process_of_a_dask_workers() -> None:
    """Under a worker that is a daemon of its nanny, which may have no children of multiprocessing's, an attempt can have its process."""
    from distributed import Client, LocalCluster

    def body(a: int) -> tuple[int, int]:
        return a, os.getppid()

    def on_worker() -> Any:
        return one_attempt(body, {"a": 3}, killable()), os.getpid()

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        (value, parent), worker = client.submit(on_worker).result()
    assert (value, parent) == (3, worker)
    assert worker != os.getpid()


def test_killable_tasks_in_a_program() -> None:
    """A task that is killable runs in a process of its own wherever it is called."""
    (a, one), (b, other) = fl.map_task(pairs)(a=[1, 2])
    assert (a, b) == (1, 2)
    assert len({one, other, os.getpid()}) == 3


@fl.task(timeout=fl.Timeout(60, killable=True))
def pairs(a: int) -> list[int]:
    # Its own entity is among what travels.
    assert pairs.short_name == "pairs"
    return [a, os.getpid()]


# ---------------------------------------------------------------- helpers


def _pids(file: str) -> list[int]:
    return [int(one) for one in Path(file).read_text().split()]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
