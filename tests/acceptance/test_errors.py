"""What a failure says, where the user reads it: in Python, and in the terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

import daskflow as fl
from daskflow.errors import OutputError, RunFailed, WorkerCrashed
from daskflow.failuretext import text
from daskflow.outcome import Failure, where_of
from daskflow.runreport import failure_text
from tests.acceptance import failures, pipeline
from tests.told import told

PIPELINE = pipeline.__file__
DASKFLOW = str(Path(sys.executable).parent / "daskflow")
INPUTS = {"l": [1, 2, 3, 4], "chunk": 2}
ADDRESS = "level1/level2[1]/core_wf[0]/step2"
CALLS = [
    "multi_wf(l=[1, 2, 3, 4], chunk=2)",
    "level1(l=[1, 2, 3, 4], chunk=2)",
    "level2[1](l=[3, 4])",
    "core_wf[0](a=3)",
    "step2(a=4)",
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A cluster of worker processes."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def printed(error: BaseException) -> list[str]:
    """Return what Python prints of an exception, from where the test called on."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    ours = [line for line in lines if "/daskflow/" in line]
    assert not ours, ours
    return lines


def check_levels(error: BaseException) -> None:
    """The levels, with their inputs and lines of code, are in the notes and in the data, once."""
    where = told(error)
    assert where.address == ADDRESS
    assert [one.call for one in where.levels] == CALLS
    assert [one.place.rpartition(":")[0] for one in where.levels] == [PIPELINE] * 5
    assert [one.label for one in where.levels] == ["", "level1", "level2[1]", "core_wf[0]", "step2"]
    notes = "\n".join(error.__notes__)
    assert all(notes.count(call) == 1 for call in CALLS)
    assert json.loads(json.dumps(where.plain())) == where.plain()
    assert [line.strip().split("  ")[0].removeprefix("└ ") for line in notes.splitlines()[1:]] == CALLS


def script(*lines: str) -> list[str]:
    """Return what a script prints that fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *lines] if len(lines) == 1 else [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 1
    told = done.stderr.splitlines()
    return told[told.index("Traceback (most recent call last):") :]


def test_a_script_in_process() -> None:
    """A program that fails four levels deep prints 15 lines at most, of its own code, from its own call down to the line that raised."""
    lines = script(PIPELINE)
    assert len(lines) <= 15, "\n".join(lines)
    assert lines.count("ValueError: bad value 4") == 1
    assert f"at local:{ADDRESS}" in "\n".join(lines)
    files = [line for line in lines if line.startswith("  File ")]
    assert [line.rpartition(" ")[2] for line in files] == ["<module>", "__call__", "step2", "helper"]
    assert [re.sub(r"  +\S+:\d+$", "", line).strip().removeprefix("└ ") for line in lines[-5:]] == CALLS


@pytest.mark.parametrize("spill_after", ["0.02", "0"], ids=["one unit", "a task for each node"])
def test_a_script_on_a_cluster(tmp_path: Path, spill_after: str) -> None:
    """The same program says the same on a cluster, and which worker and attempt it was, also where each level was another task."""
    program = tmp_path / "program.py"
    program.write_text(
        "import dask, daskflow as fl\nfrom distributed import Client, LocalCluster\nfrom tests.acceptance.pipeline import multi_wf\n\n"
        f'if __name__ == "__main__":\n    dask.config.set({{"daskflow.spill-after": {spill_after}}})\n'
        '    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=":0") as cluster, Client(cluster) as client:\n'
        "        fl.run(multi_wf, l=[1, 2, 3, 4], chunk=2).result()\n"
    )
    lines = script(str(program))
    assert len(lines) <= 15, "\n".join(lines)
    assert lines.count("ValueError: bad value 4") == 1
    assert re.search(rf"\nat r[0-9a-f]{{10}}:{re.escape(ADDRESS)}, child run .*, attempt 1/1, on worker tcp://\S+\n", "\n".join(lines))
    assert [re.sub(r"  +\S+:\d+$", "", line).strip().removeprefix("└ ") for line in lines[-5:]] == CALLS


def test_in_process() -> None:
    """A call raises the user's own exception, which says where it was."""
    with pytest.raises(ValueError, match="bad value 4") as caught:
        pipeline.multi_wf(**INPUTS)
    check_levels(caught.value)
    printed(caught.value)


@pytest.mark.parametrize("spill_after", [0.02, 0], ids=["one unit", "a task for each node"])
def test_on_a_cluster(client: Client, spill_after: float) -> None:
    """A run raises the user's own exception, which says where it was, however the levels were spread."""
    with dask.config.set({"daskflow.spill-after": spill_after}), pytest.raises(ValueError, match="bad value 4") as caught:
        fl.run(pipeline.multi_wf, client=client, **INPUTS).result(timeout=60)
    check_levels(caught.value)
    printed(caught.value)
    where = told(caught.value)
    assert where.worker.startswith("tcp://")
    assert (where.attempt, where.attempts, where.entity) == (1, 1, "tests.acceptance.pipeline.step2")


def test_the_terminal(client: Client) -> None:
    """The command line says the same in few lines: what, where, with what, and the user's lines of code."""
    arguments = [DASKFLOW, "run", PIPELINE, "multi_wf", "--l", "[1, 2, 3, 4]", "--chunk", "2", "--scheduler", client.scheduler.address]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    announced, *lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert announced.startswith("daskflow: run r")
    assert len(lines) <= 15
    assert re.fullmatch(r"✗ multi_wf failed: ValueError: bad value 4   run r[0-9a-f]{10}, \d+\.\d s", lines[0])
    assert re.match(rf"  r[0-9a-f]{{10}}:{re.escape(ADDRESS)}  child run .* attempt 1/1, on worker tcp://", lines[1])
    assert [line.strip().split("  ")[0].removeprefix("└ ") for line in lines[2:7]] == CALLS
    assert lines[6].endswith("  return helper(a)")
    assert re.fullmatch(r'\s+helper\s+\S*pipeline.py:10  raise ValueError\(f"bad value {a}"\)', lines[7])
    done = subprocess.run([*arguments, "-v"], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback (most recent call last):" in done.stderr


TOLD = {
    "exits": ["✗ below failed: SystemExit: 7; in a task it fails the run, and ends no process"],
    "unpicklable": ["✗ below failed: Unpicklable: odd 7"],
    "groups": ["  [0] ValueError: \\x1b[31m", "  [1] TypeError: odd", "  raised from KeyError: 7   "],
}


def test_the_terminal_says_the_same_later() -> None:
    """What is told when a run fails is told again when it is asked for: the exception itself first, whether it arrived or not."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        where = ["--scheduler", cluster.scheduler_address]
        for kind, says in TOLD.items():
            arguments = [DASKFLOW, "run", failures.__file__, "below", "--kind", kind, "--a", "7", *where]
            told = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False).stderr.splitlines()[1:]
            assert len(told) <= 15
            assert all(any(line.startswith(one) for line in told) for one in says)
            shown = subprocess.run([DASKFLOW, "show", "@last", *where], capture_output=True, text=True, timeout=120, check=True).stdout
            later = shown[shown.index("✗ below failed: ") :].splitlines()
            assert [re.sub(r", \d+\.\d s$", "", line) for line in later] == [re.sub(r", \d+\.\d s$", "", line) for line in told]


@pytest.mark.parametrize("on_cluster", [False, True], ids=["in process", "cluster"])
def test_an_item_of_a_map(client: Client, on_cluster: bool) -> None:
    """A failed item says its index, and its own inputs; what is long in them is cut, with a count."""
    inputs: dict[str, Any] = {"l": [1, 2, 3], "wide": [1, 2, 3]}
    with pytest.raises(KeyError, match="item 3") as caught:
        fl.run(failures.mapped, client=client, **inputs).result(timeout=60) if on_cluster else failures.mapped(**inputs)
    where = told(caught.value)
    assert (where.address, where.map_index) == ("odd[2]", 2)
    assert [one.call for one in where.levels] == ["mapped(l=[1, 2, 3], wide=[1, 2, 3])", "odd[2](a=3, wide=[1, 2, 3])"]
    printed(caught.value)


WORDED = [
    ("exits", RunFailed, "SystemExit: 7; in a task it fails the run"),
    ("interrupted", RunFailed, "KeyboardInterrupt; raised in a task"),
    ("unpicklable", RunFailed, "Unpicklable: odd 7"),
    ("lasts", fl.TaskTimeout, "lasts lasted longer than its timeout of 0.2 s"),
    ("tries", fl.RecoverableException, "attempt 2"),
]


@pytest.mark.parametrize(("kind", "error", "says"), WORDED, ids=[kind for kind, _, _ in WORDED])
def test_other_ways_to_fail(client: Client, kind: str, error: type[BaseException], says: str) -> None:
    """Whatever ends a node has its reason in words, and says where, in 15 lines at most."""
    with pytest.raises(error, match=re.escape(says)) as caught:
        fl.run(failures.below, kind=kind, a=7, client=client).result(timeout=60)
    where = told(caught.value)
    assert where.address == kind
    assert [one.call for one in where.levels] == [f"below(kind='{kind}', a=7)", f"{kind}(a=7)"]
    assert (where.attempt, where.attempts) == ((3, 3) if kind == "tries" else (1, 1))
    lines = text(Failure.seen(caught.value)).splitlines()
    assert len(lines) <= 15
    assert says in lines[0]
    assert len(printed(caught.value)) <= 22  # pytest's own lines included


def test_in_process_an_exit_is_an_error() -> None:
    """A task that calls sys.exit fails its run, and does not end the program."""
    with pytest.raises(RunFailed, match="SystemExit: 7; in a task it fails the run") as caught:
        failures.below(kind="exits", a=7)
    assert told(caught.value).address == "exits"
    assert caught.value.__cause__ is None


def test_a_result_that_does_not_pickle(client: Client) -> None:
    """A result that cannot leave its worker says whose it was."""
    with pytest.raises(OutputError, match="a result cannot travel, since it does not pickle") as caught:
        fl.run(failures.gives_unpicklable, a=7, client=client).result(timeout=60)
    where = told(caught.value)
    assert where.worker.startswith("tcp://")


def wait_for_the_nanny(client: Client) -> None:
    """Wait until Dask's nanny has started a worker anew: it cannot be closed before. It gives up one that died while it was starting."""
    with suppress(TimeoutError):
        client.wait_for_workers(1, timeout=20)


def test_a_killed_worker() -> None:
    """When workers die under a node, the error says how many, and at which address."""
    says = r"workers died while they executed dies \(unit dies-"
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        with (
            dask.config.set({"daskflow.spill-after": 0}),
            pytest.raises(WorkerCrashed, match=says) as caught,
        ):
            fl.run(failures.below, kind="dies", a=7, client=client).result(timeout=120)
        wait_for_the_nanny(client)
    assert told(caught.value).address == "dies"
    assert len(printed(caught.value)) <= 15


def test_the_node_that_kills_workers() -> None:
    """It is named by its address, also where one unit executes it with all around it: in the error, in the state, and to people."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        run = fl.run(failures.around, a=7, client=client)
        with pytest.raises(WorkerCrashed, match=r"6 workers died while they executed dies_late/dies \(unit") as caught:
            run.result(timeout=120)
        assert told(caught.value).address == "dies_late/dies"
        assert f"at {run.id}:dies_late/dies" in printed(caught.value)[-1]
        view = fl.get_run(run.id, client=client)
        phases = {address: view.node(address).phase.value for address in ("", "odd[0]", "dies_late", "dies_late/odd", "dies_late/dies")}
        assert phases == {
            "": "FAILED", "odd[0]": "SUCCEEDED", "dies_late": "FAILED", "dies_late/odd": "SUCCEEDED", "dies_late/dies": "FAILED",
        }  # fmt: skip
        assert view.row.failed == "dies_late/dies"
        assert [one.status for one in (*run.children, *view.children)] == ["FAILED", "FAILED"]
        assert "workers died while they executed dies_late/dies" in view.node().error
        assert "dies_late/dies" in (failure_text(view) or "")
        wait_for_the_nanny(client)


def test_deep_recursion_is_told_in_short(client: Client) -> None:
    """Of hundreds of levels the outermost and innermost are told, and how many are between."""
    for run in (lambda: failures.deep(n=300), lambda: fl.run(failures.deep, n=300, client=client).result(timeout=60)):
        with pytest.raises(RunFailed) as caught:
            run()
        calls = [one.call for one in told(caught.value).levels]
        assert calls[:4] == ["deep(n=300)", "deep(n=299)", "deep(n=298)", "… 287 levels"]
        assert calls[-2:] == ["deep(n=0)", "exits(a=1)"]
        assert len(text(Failure.seen(caught.value)).splitlines()) <= 15


def test_hostile_texts_are_text(client: Client) -> None:
    """A megabyte, markup and control characters in messages and inputs are told as text, cut, and counted; secrets are not told."""
    given = {"text": "<script>\x1b[31m" + "x" * (1 << 20), "api_token": "hush"}
    for on_cluster in (False, True):
        with pytest.raises(ValueError, match="<script>") as caught:
            fl.run(failures.hostile, client=client, **given).result(timeout=60) if on_cluster else failures.hostile(**given)
        shown = text(Failure.seen(caught.value))
        assert len(shown) < 2000
        assert len(shown.splitlines()) <= 15
        assert "✗ hostile failed: ValueError: <script>\\x1b[31mxxx" in shown
        assert "characters more)" in shown
        assert "\x1b" not in shown
        assert "\n  a note of the user's" in shown
        notes = "\n".join(caught.value.__notes__)
        assert "api_token=***" in notes
        assert "hush" not in notes + shown
        assert len(notes) < 1000
        assert where_of(caught.value) is not None
