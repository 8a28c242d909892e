"""The plug-in for pytest, in sessions of its own: reports, leaks, snapshots, clusters of processes."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_PLUGIN = "daskflow_plugins.pytest_plugin"

EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

FLOWS = """
import pytest
import daskflow as fl
from daskflow.testing import mock

@fl.task
def step(a: int) -> int:
    if a == 3:
        raise ValueError("no luck")
    return a + 1

@fl.dynamic
def steps(n: int) -> list[int]:
    return [step(a=i) for i in range(n)]
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs tests, given as text, in a session of their own."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'plugins'}")
    found = any(one.value == _PLUGIN for one in entry_points(group="pytest11"))
    arguments = ["-p", "no:cacheprovider", *([] if found else ["-p", _PLUGIN])]

    def run(tests: str, *more: str) -> pytest.RunResult:
        if tests:
            pytester.makepyfile(test_flows=FLOWS + tests)
        return pytester.runpytest_subprocess(*arguments, *more, timeout=120)

    return run


def test_a_failing_test_shows_what_its_runs_did(session: Any) -> None:
    """The report has a section for each run, with the outcome of each node."""
    done = session("""
def test_it(flow_run, flow_local):
    flow_local(steps, n=2)
    assert flow_run(steps, n=4).result == []
""")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([
        "*<run in process of steps: succeeded>*", "*step[[]1]: succeeded*",
        "*<run r* of steps: failed with ValueError: no luck>*", "*step[[]3]: failed on *: ValueError: no luck*",
    ])  # fmt: skip


def test_what_a_test_leaves_behind_fails_it(session: Any) -> None:
    """Runs, tasks and threads that are still there are named, and the next test has a new cluster."""
    done = session("""
import threading, time
kept = []
over = threading.Event()

def test_tasks(flow_client):
    kept.append(flow_client.submit(lambda: 1))
    kept[0].result()

def test_threads(flow_local):
    threading.Thread(target=over.wait, name="mine", daemon=True).start()

def test_nothing(flow):
    over.set()
    assert flow(steps, n=2) == [1, 2]
""")
    done.assert_outcomes(passed=4, errors=2)
    done.stdout.fnmatch_lines(["*the test left behind: task *lambda*", "*the test left behind: thread mine*"])


def test_a_mock_of_a_failing_test_is_gone_in_the_next(session: Any) -> None:
    """Whatever a test does with its mock, the next one has the real task, in process and on the session's cluster."""
    done = session("""
def test_a(flow):
    with mock(step, return_value=77):
        assert flow(steps, n=1) == [0]

def test_b(flow):
    assert flow(steps, n=1) == [1]
""")
    done.assert_outcomes(failed=2, passed=2)


def test_snapshots_are_written_when_that_is_asked_for(session: Any, pytester: pytest.Pytester) -> None:
    """Without a file, or with another one, the test fails with the difference and the way out; ``--flow-update`` writes it."""
    tests = """
def test_graph(flow_graph, flow_snapshot):
    flow_snapshot(flow_graph(steps, n={n}))
    flow_snapshot("two words", "a name")
    flow_snapshot("again", "a name")
"""
    done = session(tests.format(n=2))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*there is no snapshot *test_graph.txt; run pytest with --flow-update*"])
    session("", "--flow-update").assert_outcomes(passed=1)
    session("").assert_outcomes(passed=1)
    folder = pytester.path / "snapshots" / "test_flows"
    assert sorted(one.name for one in folder.iterdir()) == ["test_graph-a name-2.txt", "test_graph-a name.txt", "test_graph.txt"]
    done = session(tests.format(n=3))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*differs from its snapshot; if that is meant, run pytest with --flow-update*", "*+  step[[]2]: task*"])


def test_clusters_of_processes(session: Any) -> None:
    """A test may ask for worker processes: mocks travel there by value, calls and records come back, and the cache is shared."""
    session("""
import os

@fl.task
def where() -> int:
    return os.getpid()

@fl.task(cache=True, cache_version="1")
def kept(a: int) -> int:
    return a

FACTOR = 10

def times(a):
    return a * FACTOR

@pytest.mark.daskflow(cluster="processes", workers=1, threads=2)
def test_processes(flow_run):
    assert flow_run(where).result != os.getpid()
    with mock(step, side_effect=times) as m:
        run = flow_run(steps, n=4)
    assert run.result == [0, 10, 20, 30]
    assert sorted(call["a"] for call in m.calls) == [0, 1, 2, 3]
    assert run.record.count("step[*]", "mocked") == 4
    assert [flow_run(kept, a=1).record.cached("kept") for _ in range(2)] == [False, True]
""").assert_outcomes(passed=1)


def test_a_marker_that_makes_no_sense_fails_the_test(session: Any) -> None:
    """The error names the argument."""
    done = session("""
@pytest.mark.daskflow(worker=1)
def test_it(flow_run):
    pass
""")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*the marker daskflow has no option 'worker'; it has cluster, workers, threads, timeout, values*"])


def test_a_session_without_the_fixtures_imports_nothing(session: Any) -> None:
    """The plug-in costs those nothing who do not use it, and its marker and fixtures are documented."""
    done = session("", "--fixtures", "--markers")
    done.stdout.fnmatch_lines(["@pytest.mark.daskflow(cluster='inproc', *"])
    code = f"import sys, {_PLUGIN}; print([one for one in sys.modules if one.partition('.')[0] in ('daskflow', 'dask', 'distributed')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_flyte_tests_change_their_import_line(session: Any) -> None:
    """Tests that were written for Flyte's testing module work as they are."""
    session("""
from daskflow.testing import patch, task_mock

def test_task_mock(flow):
    with task_mock(step) as m:
        m.return_value = 5
        assert flow(steps, n=2) == [5, 5]

@patch(step)
def test_patch(mock_step, flow):
    mock_step.side_effect = lambda a: -a
    assert flow(steps, n=2) == [0, -1]
    assert mock_step.call_count == 2
""").assert_outcomes(passed=4)


def test_the_documentation_is_a_test_file_that_passes(session: Any, pytester: pytest.Pytester) -> None:
    """The examples of the page on testing, one after the other, are tests, and hold."""
    pytester.makepyfile(test_docs="".join(EXAMPLES))
    session("").assert_outcomes(passed=8)
