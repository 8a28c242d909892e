"""Caching between processes: who computes, and what happens when that one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client

import daskflow as fl
from tests import cached
from tests.acceptance.processes import Cluster, wait_until
from tests.cached import marks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where executions leave their marks."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def _start(folder: Path, call: str) -> subprocess.Popen[str]:
    script = f"from tests import cached\nprint(cached.{call.replace('FOLDER', repr(str(folder)))})"
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def test_one_of_two_processes_computes(folder: Path) -> None:
    """Of processes in plain Python that want one key at the same moment one computes it, and the others take its result."""
    processes = [_start(folder, "slowly_all(folder=FOLDER, nums=[1, 2, 3])") for _ in range(3)]
    assert [one.communicate(timeout=60)[0] for one in processes] == ["[1, 2, 3]\n"] * 3
    assert marks(folder) == ["1", "2", "3"]


def test_a_process_that_dies_lets_others_compute(folder: Path) -> None:
    """When the process that computes is killed, one that waits computes instead."""
    first = _start(folder, "slowly(folder=FOLDER, num=1)")
    wait_until(lambda: list(folder.iterdir()), "the first one's start")
    others = [_start(folder, "slowly(folder=FOLDER, num=1)") for _ in range(2)]
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    assert [one.communicate(timeout=60)[0] for one in others] == ["1\n", "1\n"]
    assert len(marks(folder)) in (1, 2)  # the first may have been done before it was killed


def test_two_clusters_share_a_key(tmp_path: Path, folder: Path) -> None:
    """Runs on two clusters at the same moment compute a key once."""
    with Cluster(tmp_path / "a", workers=1, threads=2) as one, Cluster(tmp_path / "b", workers=1, threads=2) as two:
        with Client(one.address, set_as_default=False) as first, Client(two.address, set_as_default=False) as second:
            runs = [fl.run(cached.slowly_all, folder=str(folder), nums=[1, 2, 1], client=client) for client in (first, second)]
            assert [run.result(timeout=120) for run in runs] == [[1, 2, 1]] * 2
    assert marks(folder) == ["1", "2"]


def test_a_worker_that_dies_while_it_computes(tmp_path: Path, folder: Path) -> None:
    """When the worker that computes a key is killed, the key is computed by another one, once, and everybody gets it."""
    with Cluster(tmp_path / "cluster", workers=2, threads=2) as cluster, Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        runs = [fl.run(cached.die, folder=str(folder), n=4, client=client) for _ in range(2)]
        assert [run.result(timeout=120) for run in runs] == [[7] * 4] * 2
        assert client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.plugins["daskflow"].coordinator.ledger.leases)) == 0
    assert marks(folder) == ["7", "7"]


def test_a_run_again_executes_nothing(tmp_path: Path, folder: Path) -> None:
    """Cached launch plans are executed once each on a cluster of processes; a run by another process executes none of them."""
    with Cluster(tmp_path / "cluster", workers=2, threads=2) as cluster, Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
        assert fl.run(cached.spawn, folder=str(folder), n=5, client=client).result(timeout=60) == [2, 3, 4, 5, 6]
        assert marks(folder) == ["1", "2", "3", "4", "5"]
        assert fl.run(cached.spawn, folder=str(folder), n=5, client=client).result(timeout=60) == [2, 3, 4, 5, 6]
    assert _start(folder, "spawn(folder=FOLDER, n=5)").communicate(timeout=60)[0] == "[2, 3, 4, 5, 6]\n"
    assert marks(folder) == []


def test_code_that_is_nowhere_else_is_the_version(tmp_path: Path, folder: Path) -> None:
    """The version that code makes is made where the code is: workers that have none of its files make the same keys."""
    source = (
        "import sys\nimport daskflow as fl\nfrom distributed import Client\n\ndef helper(a):\n    return a + {n}\n\n"
        "@fl.task(cache=True)\ndef f(a: int) -> int:\n    open(sys.argv[2] + f'/{{a}}-{n}', 'w').close()\n    return helper(a)\n\n"
        "@fl.dynamic\ndef all(n: int) -> list[int]:\n    return [f(a=one) for one in range(n)]\n\n"
        "if __name__ == '__main__':\n    with Client(sys.argv[1]) as client:\n        print(fl.run(all, n=3, client=client).result())\n"
    )
    printed = []
    with Cluster(tmp_path / "cluster", workers=1, threads=2) as cluster:
        for n in (1, 1, 2):
            (tmp_path / "flow.py").write_text(source.format(n=n).replace("sys.argv[2]", repr(str(folder))))
            command = [sys.executable, str(tmp_path / "flow.py"), cluster.address]
            printed.append((subprocess.run(command, capture_output=True, text=True, check=True).stdout, len(marks(folder))))
    assert printed == [("[1, 2, 3]\n", 3), ("[1, 2, 3]\n", 0), ("[2, 3, 4]\n", 3)]


def test_values_of_a_scripts_own_classes(tmp_path: Path, folder: Path) -> None:
    """What one process has cached is an instance of the class that another one has by that name, on a cluster and in process."""
    source = (
        "import sys\nfrom dataclasses import dataclass\nimport daskflow as fl\nfrom distributed import Client\n\n"
        "@dataclass\nclass Point:\n    x: int\n\n"
        "@fl.task(cache=True, cache_version='1')\ndef made(x: int, folder: str) -> Point:\n"
        "    open(f'{folder}/{x}', 'x').close()\n    return Point(x)\n\n"
        "@fl.task\ndef ends(point: Point) -> int:\n    assert type(point) is Point\n    return point.x\n\n"
        "@fl.workflow\ndef flow(x: int, folder: str) -> int:\n    return ends(point=made(x=x, folder=folder))\n\n"
        "if __name__ == '__main__':\n    with Client(sys.argv[1]) as client:\n"
        "        print(fl.run(flow, x=1, folder=sys.argv[2], client=client).result(), flow(x=1, folder=sys.argv[2]))\n"
    )
    script = tmp_path / "flow_with_a_class.py"
    script.write_text(source)
    imported = [sys.executable, "-c", "import sys, flow_with_a_class as it\nprint(it.flow(x=1, folder=sys.argv[2]))"]
    with Cluster(tmp_path / "cluster", workers=1, threads=2) as cluster:
        printed = [
            subprocess.run([*command, cluster.address, str(folder)], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
            for command in ([sys.executable, str(script)], imported, [sys.executable, str(script)])
        ]
    assert printed == ["1 1\n", "1\n", "1 1\n"]
    assert marks(folder) == ["1"]
