"""What surrounds a task: secrets, variables, directories, scripts, processes of its own, and what it learns of itself."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

import daskflow as fl
from daskflow.errors import ProcessDied, ScriptFailed, SecretError
from tests.features.conftest import Flow

# ---------------------------------------------------------------- secrets


@fl.task(secret_requests=[fl.Secret("features", "password"), fl.Secret("features", "user", env_var="PGUSER")])
def connects(a: int) -> list[str | None]:
    return [fl.current_context().secrets.get("features", "password"), os.environ.get("PGUSER"), str(a)]


@fl.dynamic(secret_requests=[fl.Secret("features", "password")])
def body_connects(a: int) -> list[Any]:
    password = fl.current_context().secrets.get("features", "password")
    return [password, connects(a=a), fl.map_task(connects)(a=[a])[0]]


def test_secrets_of_the_environment(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task, an item of a map and a dynamic's body read the secrets that they request, from variables."""
    monkeypatch.setenv("_FSEC_FEATURES_PASSWORD", "open sesame")
    monkeypatch.setenv("DASKFLOW_SECRET_FEATURES_USER", "ali")
    assert flow(body_connects, a=1) == ["open sesame", *[["open sesame", "ali", "1"]] * 2]
    assert "PGUSER" not in os.environ


def test_secrets_of_files(flow: Flow, tmp_path: Path) -> None:
    """Secrets may be files of a directory, which the configuration names."""
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "password").write_text("from a file")
    (tmp_path / "features" / "user").write_text("baba")
    with dask.config.set({"daskflow.secrets.directory": str(tmp_path)}):
        assert flow(connects, a=1) == ["from a file", "baba", "1"]


def test_missing_secrets(flow: Flow) -> None:
    """What is not there is said, with all places that were looked at."""
    with pytest.raises(SecretError, match=r"connects needs the secret features/user, which is not there; .*_FSEC_FEATURES_USER"):
        flow(connects, a=1)


# ---------------------------------------------------------------- scripts


words = fl.ShellTask(
    name="words",
    script="printf '%s' {inputs.text!q} | wc -w > {outputs.n}; echo $GREETING > {outputs.greeting}; pwd > {outputs.where}",
    inputs=fl.kwtypes(text=str),
    output_locs=[
        fl.OutputLocation(var="n", var_type=int, location="n"),
        fl.OutputLocation(var="greeting", var_type=str, location="greeting"),
        fl.OutputLocation(var="where", var_type=str, location="where"),
    ],
    environment={"GREETING": "hello"},
)
fails = fl.ShellTask(name="fails", script="echo what went wrong >&2; exit {inputs.code}", inputs=fl.kwtypes(code=int))


@fl.workflow
def scripts(text: str) -> tuple[int, str]:
    n, greeting, _ = words(text=text)
    return n, greeting


def test_scripts(flow: Flow) -> None:
    """A script takes inputs, has its variables and a directory of its own, and gives what its files hold; a failure is told."""
    n, greeting = flow(scripts, text="it's three words")
    assert (n, greeting.strip()) == (3, "hello")
    with pytest.raises(ScriptFailed, match=r"fails ended with exit code 3(.|\n)*what went wrong"):
        flow(fails, code=3)


# ---------------------------------------------------------------- what a task is given, and learns


@fl.task(environment={"FEATURES": "task"})
def variables(name: str) -> str | None:
    return os.environ.get(name)


@fl.workflow
def overridden() -> list[str | None]:
    return [variables(name="FEATURES"), fl.with_overrides(variables(name="FEATURES"), environment={"FEATURES": "call"})]


def test_environment(flow: Flow) -> None:
    """Variables are those of the task, or of the call, and of nothing else."""
    assert flow(overridden) == ["task", "call"]
    assert "FEATURES" not in os.environ


@fl.task
def context() -> dict[str, Any]:
    given = fl.current_context()
    folder = Path(given.working_directory)
    (folder / "file").write_text("x")
    return {
        "run": given.execution_id.name,
        "task": given.task_id.name,
        "date": given.execution_date,
        "node": given.node,
        "index": given.map_index,
        "attempt": given.attempt,
        "folder": str(folder),
        "logger": given.logging.name,
        "prefix": str(given.raw_output_prefix),
        "cancelled": given.cancelled,
    }


@fl.workflow
def contexts() -> list[dict[str, Any]]:
    return [context(), context().with_overrides(node_name="named")]  # type: ignore[attr-defined]


def test_the_context(mode: str, flow: Flow) -> None:
    """A task knows its run, its place and its attempt, and has a directory of its own, which goes with it."""
    first, second = flow(contexts)
    assert [one["node"] for one in (first, second)] == ["context", "named"]
    assert first["run"] == second["run"] == "local" if mode == "in process" else first["run"].startswith("r")
    assert (first["task"], first["logger"]) == (context.name, f"daskflow.task.{context.name}")
    assert (first["index"], first["attempt"], first["cancelled"]) == (None, 0, False)
    assert abs((datetime.now(UTC) - first["date"]).total_seconds()) < 60
    assert first["folder"] != second["folder"]
    assert not Path(first["folder"]).exists()
    assert first["prefix"]


@fl.task
def index(a: int) -> int | None:
    return fl.current_context().map_index


def test_the_index_in_a_map(flow: Flow) -> None:
    """An item of a map knows which one it is."""
    assert flow(fl.map_task(index), a=[7, 8, 9]) == [0, 1, 2]


@fl.task(retries=2)
def counts(to: int) -> int:
    checkpoint = fl.current_context().checkpoint
    at = int(checkpoint.read() or 0)
    checkpoint.write(str(at + 1).encode())
    if at < to:
        raise fl.RecoverableException(f"at {at}")
    return at


def test_checkpoints(flow: Flow) -> None:
    """Each attempt goes on where the last one was; each item of a map on its own; another run begins anew."""
    assert flow(counts, to=2) == 2
    assert flow(fl.map_task(counts), to=[0, 1, 2]) == [0, 1, 2]
    assert flow(counts, to=0) == 0


# ---------------------------------------------------------------- what is said of it


def old(a: int) -> int:
    """Do as before."""
    return a


def test_deprecated(flow: Flow) -> None:
    """A deprecated entity is warned of once, where it is called."""
    for kind in (fl.task, fl.dynamic):
        deprecated = kind(deprecated="call new")(old)
        outer = fl.workflow(_calls(deprecated))
        with pytest.warns(DeprecationWarning, match=r"old is deprecated: call new") as said:
            assert flow(outer, a=1) == 1
        assert len([one for one in said if one.category is DeprecationWarning]) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert flow(outer, a=1) == 1


def _calls(entity: Any) -> Any:
    def outer(a: int) -> int:
        return entity(a=a)  # type: ignore[no-any-return]

    return outer


def test_documentation() -> None:
    """An entity keeps what is said of it, beside its docstring."""
    said = fl.Documentation(short_description="short", long_description="long", source_code="https://example.org")
    assert fl.task(docs=said)(old).options.docs == said
    assert fl.workflow(docs="short")(old).docs == fl.Documentation(short_description="short")
    assert fl.task(old).__doc__ == "Do as before."


shared = fl.Environment(environment={"FEATURES": "shared"}, retries=1)
other = shared.extend(environment={"OTHER": "too"})


@shared.task
def in_shared(name: str) -> str | None:
    return os.environ.get(name)


@other.task(retries=0)
def in_other(name: str) -> str | None:
    return os.environ.get(name)


@shared.dynamic
def body_in_shared() -> list[str | None]:
    return [os.environ.get("FEATURES"), in_shared(name="FEATURES"), in_shared(name="OTHER"), in_other(name="OTHER")]


def test_environments(flow: Flow) -> None:
    """Options that several tasks share are said once, and added to."""
    assert flow(body_in_shared) == ["shared", "shared", None, "too"]
    assert (in_shared.options.retries.count, in_other.options.retries.count) == (1, 0)


@fl.task
async def fetch(a: int) -> int:
    import asyncio

    await asyncio.sleep(0)
    if a < 0:
        raise ValueError("below zero")
    return a + 1


@fl.dynamic
def fetches(n: int) -> list[int]:
    return [*(fetch.node(a=one) for one in range(n)), fl.map_task(fetch)(a=[5])[0]]


def test_coroutines(flow: Flow) -> None:
    """A coroutine is a node as any other, mapped and alone; its exceptions are its own."""
    assert flow(fetches, n=2) == [1, 2, 6]
    with pytest.raises(ValueError, match="below zero"):
        flow(fl.map_task(fetch), a=[1, -1])


# ---------------------------------------------------------------- processes of its own


@fl.task(timeout=fl.Timeout(0.5, killable=True), retries=1)
def hangs(path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{os.getpid()} ")
    if fl.current_context().attempt == 0:
        # Nothing that Python does ends this.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        threading.Event().wait(600)
    return os.getpid()


@fl.task(timeout=fl.Timeout(30, killable=True))
def dies(code: int) -> int:
    os._exit(code)


@fl.workflow
def hangs_beside(path: str) -> list[int | None]:
    return [*[hangs(path=path)], fl.map_task(dies, min_successes=0)(code=[3])[0]]


def check_killed(run: Any, path: Path) -> None:
    """Assert that an attempt that hangs is killed and made again, and that a process that dies fails its node alone."""
    pid, nothing = run(hangs_beside, path=str(path))
    first, second = map(int, path.read_text().split())
    assert (pid, nothing) == (second, None)
    assert os.getpid() not in (first, second)
    _wait_until(lambda: not _lives(first))
    with pytest.raises(ProcessDied, match="code 4"):
        run(dies, code=4)


def test_killable_attempts(flow: Flow, tmp_path: Path) -> None:
    """An attempt whose time is up is killed, whatever it does."""
    check_killed(flow, tmp_path / "pids")


@pytest.fixture(scope="module")
def processes() -> Iterator[Client]:
    """Return the client of a cluster whose workers are processes."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_killable_attempts_of_worker_processes(processes: Client, tmp_path: Path) -> None:
    """The same where workers are processes, whose own it does not end."""
    before = processes.run(os.getpid)
    check_killed(lambda entity, **inputs: fl.run(entity, client=processes, **inputs).result(60), tmp_path / "pids")
    assert processes.run(os.getpid) == before


def test_surroundings_of_worker_processes(processes: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task is given it has in another process, too: what is said of it there, and not what the driver has."""
    monkeypatch.setenv("OTHER", "the driver's")
    run = fl.run(body_in_shared, client=processes)
    assert run.result(60) == ["shared", "shared", None, "too"]
    first, second = fl.run(contexts, client=processes).result(60)
    assert (first["node"], second["node"], first["folder"] == second["folder"]) == ("context", "named", False)
    assert fl.run(counts, to=2, client=processes).result(60) == 2


def _lives(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
