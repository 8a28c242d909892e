"""Clusters of separate processes: schedulers and workers that know nothing of the user's files."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

import daskflow as fl
from daskflow.errors import RunFailed, SchedulerLost, VersionMismatch, WorkerCrashed
from daskflow.files import load
from tests.acceptance.processes import Cluster, wait_until
from tests.told import told

SEED = Path(__file__).parents[1] / "seed"


@pytest.fixture(scope="module", params=["preload", "no preload"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Return a client of a scheduler and two workers, each started by hand."""
    with Cluster(tmp_path_factory.mktemp("cluster"), preload=request.param == "preload") as cluster, Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


def seed(name: str) -> Any:
    """Return a module of the programs that nested parallelism is explained with."""
    return load(str(SEED / f"{name}.py"))


PROGRAMS = [
    ("nested_dynamics", "multi_wf", {"l": list(range(6)), "chunk": 2}, [3, 4, 5, 6, 7, 8]),
    ("nested_dynamics", "multi_wf", {"l": list(range(2000)), "chunk": 9}, list(range(3, 2003))),
    ("cached_launch_plans", "spawn", {"n": 5}, [2, 3, 4, 5, 6]),
    ("mixed_parallelism", "multi_wf", {"l": list(range(6)), "chunk": 2}, [2, 3, 4, 5, 6, 7]),
]


def state_of(client: Client) -> dict[str, Any]:
    """Return what the scheduler holds of ours."""
    state: dict[str, Any] = client.sync(client.scheduler.daskflow_state)
    return state


@pytest.mark.parametrize(("module", "entity", "inputs", "expected"), PROGRAMS)
def test_the_programs_of_nested_parallelism(client: Client, module: str, entity: str, inputs: dict[str, Any], expected: Any) -> None:
    """The programs give the same in process and on separate processes, and leave nothing in the scheduler."""
    program = getattr(seed(module), entity)
    assert program(**inputs) == expected
    assert fl.run(program, **inputs, client=client).result(timeout=60) == expected
    state = state_of(client)
    assert {name: count for name, count in state.items() if count} == {}
    assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0


@pytest.mark.parametrize(("module", "entity", "inputs", "expected"), PROGRAMS)
def test_the_programs_on_a_local_cluster(module: str, entity: str, inputs: dict[str, Any], expected: Any, local: Client) -> None:
    """The programs give the same on a LocalCluster of processes."""
    assert fl.run(getattr(seed(module), entity), **inputs, client=local).result(timeout=60) == expected


@pytest.fixture(scope="module")
def local() -> Iterator[Client]:
    """Return a client of a LocalCluster of processes."""
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as cluster, Client(cluster) as client:
        yield client


def test_users_files_are_on_no_other_machine(client: Client, tmp_path: Path) -> None:
    """Workers run code of a file, and of a helper beside it, that only the driver can read."""
    (tmp_path / "only_here_helper.py").write_text("class Odd(Exception):\n    pass\n\n\ndef double(a):\n    return 2 * a\n")
    (tmp_path / "only_here.py").write_text(
        "import daskflow as fl\nimport only_here_helper\n\n\n"
        "@fl.task\ndef double(a: int) -> int:\n    if a == 13:\n        raise only_here_helper.Odd(a)\n"
        "    return only_here_helper.double(a)\n\n\n"
        "@fl.workflow\ndef doubled(l: list[int]) -> list[int]:\n    return fl.map_task(double)(a=l)\n"
    )
    module = load(str(tmp_path / "only_here.py"))
    assert fl.run(module.doubled, l=[1, 2], client=client).result(timeout=60) == [2, 4]
    with pytest.raises(module.only_here_helper.Odd, match="13") as caught:
        fl.run(module.doubled, l=[1, 13], client=client).result(timeout=60)
    where = told(caught.value)
    assert (where.address, where.map_index) == ("double[1]", 1)


# ---------------------------------------------------------------- deaths


@fl.task
def mark(folder: str, index: int, seconds: float) -> int:
    import os
    import time
    import uuid

    with open(os.path.join(folder, f"{index}-{os.getpid()}-{uuid.uuid4().hex}"), "w"):
        pass
    time.sleep(seconds)
    return index


@fl.dynamic
def marks(folder: str, n: int, seconds: float) -> list[int]:
    return [mark(folder=folder, index=index, seconds=seconds) for index in range(n)]


@fl.dynamic
def layers(folder: str, n: int, seconds: float) -> list[list[int]]:
    return [marks(folder=folder, n=n, seconds=seconds) for _ in range(3)]


def test_killed_workers_change_no_result(tmp_path: Path) -> None:
    """Workers killed in the middle of a run cost time, and nothing else."""
    folder = tmp_path / "marks"
    folder.mkdir()
    with Cluster(tmp_path, workers=3, threads=2) as cluster, Client(cluster.address) as client:
        client.wait_for_workers(3, timeout=60)
        run = fl.run(layers, folder=str(folder), n=20, seconds=0.1, client=client)
        for index, least in enumerate((10, 25, 40)):
            wait_until(lambda least=least: len(list(folder.iterdir())) >= least, "work")
            cluster.processes[1 + index].send_signal(signal.SIGKILL)
            cluster.add_worker()
        assert run.result(timeout=120) == [list(range(20))] * 3
        assert {name: count for name, count in state_of(client).items() if count} == {}
        done = [path.name.partition("-")[0] for path in folder.iterdir()]
        # What had been handed over is not done again: only what the dead were at, or had results of, may be.
        assert len(done) < 60 + 3 * 20


@fl.task
def filled(folder: str, n: int) -> bytes:
    import os
    import uuid

    with open(os.path.join(folder, f"filled-{os.getpid()}-{uuid.uuid4().hex}"), "w"):
        pass
    return b"x" * n


@fl.task
def length(value: bytes, folder: str, index: int) -> int:
    import os
    import time
    import uuid

    with open(os.path.join(folder, f"{index}-{os.getpid()}-{uuid.uuid4().hex}"), "w"):
        pass
    time.sleep(0.2)
    return len(value) + index


@fl.workflow
def lengths(folder: str, n: int, items: list[int]) -> list[int]:
    return fl.map_task(functools.partial(length, value=filled(folder=folder, n=n), folder=folder))(index=items)


def test_a_large_value_that_is_lost_is_made_again(tmp_path: Path) -> None:
    """When the worker dies that made a large value and has it for the others, the run still gives its result."""
    folder = tmp_path / "marks"
    folder.mkdir()
    with Cluster(tmp_path, workers=2, threads=2) as cluster, Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=60)
        run = fl.run(lengths, folder=str(folder), n=3_000_000, items=list(range(24)), client=client)
        wait_until(lambda: len([one for one in folder.iterdir() if one.name[0].isdigit()]) >= 6, "work")
        (made,) = [one for one in folder.iterdir() if one.name.startswith("filled-")]
        os.kill(int(made.name.split("-")[1]), signal.SIGKILL)
        assert run.result(timeout=120) == [3_000_000 + index for index in range(24)]
        assert {name: count for name, count in state_of(client).items() if count} == {}
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)) == 0


@fl.task
def twice(a: int) -> int:
    return 2 * a


@fl.workflow
def twice_wf(a: int) -> int:
    return twice(a=a)


twice_plan = fl.LaunchPlan.get_or_create(twice_wf, name="tests.acceptance.twice")


@fl.dynamic
def chained(n: int) -> list[int]:
    return [twice_plan(a=one) for one in range(n)]


def test_what_an_embedded_cluster_knew_outlives_it() -> None:
    """The result and the child runs of a run can be asked for again and again when the cluster that was made for it is gone."""
    run = fl.run(chained, n=3)
    assert run.result() == [0, 2, 4]
    assert run.result() == [0, 2, 4]
    assert run.wait() is run
    assert run.children.counts == {"SUCCEEDED": 3}
    assert run.status == "SUCCEEDED"


@fl.task
def kill_worker(a: int) -> int:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    return a


def test_a_task_that_kills_its_worker_fails_the_run(tmp_path: Path) -> None:
    """A task under which one worker after the other dies fails its run with an error that says so."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        with pytest.raises((WorkerCrashed, RunFailed), match=r"workers died|KilledWorker"):
            fl.run(kill_worker, a=1, client=client).result(timeout=120)
        # Dask's nanny cannot be closed while it starts a worker anew.
        client.wait_for_workers(1, timeout=60)


def test_a_scheduler_that_dies_is_told(tmp_path: Path) -> None:
    """When the scheduler goes away, whoever waits for a run is told which scheduler it was."""
    folder = tmp_path / "marks"
    folder.mkdir()
    with Cluster(tmp_path, workers=1) as cluster, Client(cluster.address) as client:
        client.wait_for_workers(1, timeout=60)
        run = fl.run(mark, folder=str(folder), index=1, seconds=30.0, client=client)
        wait_until(lambda: list(folder.iterdir()), "the task's start")
        os.kill(cluster.scheduler.pid, signal.SIGKILL)
        with pytest.raises(SchedulerLost, match="connection to the scheduler at tcp://"):
            run.result(timeout=60)
        assert run.status == "FAILED"


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A scheduler with another version of daskflow is refused before anything runs, with both versions."""
    away = tmp_path / "other"
    away.mkdir()
    (away / "sitecustomize.py").write_text("import daskflow._version\ndaskflow._version.__version__ = '0.0.7'\n")
    with Cluster(tmp_path, workers=1, preload=True, env={"PYTHONPATH": str(away)}) as cluster, Client(cluster.address) as client:
        with pytest.raises(VersionMismatch, match=r"scheduler at tcp://.* daskflow is 0\.0\.7 there and .* here; install the same in both"):
            fl.run(mark, folder="", index=1, seconds=0.0, client=client)
