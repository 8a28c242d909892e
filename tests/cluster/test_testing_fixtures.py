"""The fixtures, used by tests as a user would: once written, run in process and on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import daskflow as fl
from daskflow import config
from daskflow.errors import OptionError
from daskflow.fixtures import Settings
from daskflow.testing import FlowRun, mock
from tests import cached, programs


def test_a_test_is_run_both_ways(flow: Callable[..., Any]) -> None:
    """The same result, the same error, the same mock."""
    assert flow(programs.multi_wf, l=[1, 2, 3], chunk=2) == [4, 5, 6]
    assert flow(programs.step1, 1) == 2
    with pytest.raises(programs.Broken, match="no luck with 3"):
        flow(programs.break_below, l=[1, 2, 3])
    with mock(programs.step1, return_value=0) as m:
        assert flow(programs.core_wf, a=1) == 2
    assert m.calls == [{"a": 1}]


def test_a_run_on_the_cluster_has_a_record(flow_run: Callable[..., FlowRun]) -> None:
    """A run has its result or error, its handle, and its record."""
    run = flow_run(programs.multi_wf, l=[1, 2, 3], chunk=2)
    assert run.result == [4, 5, 6]
    assert run.handle is not None
    assert run.handle.status == "SUCCEEDED"
    assert run.handle.children.counts == {"SUCCEEDED": 3}
    assert run.record.count("**/step2", "succeeded") == 3
    failed = flow_run(programs.break_below, l=[1, 2, 3])
    failed.record.assert_failed_at("break[1]/break_at_three[2]", programs.Broken)


@pytest.mark.daskflow(cluster="none", values=True)
def test_a_marker_says_where(flow_run: Callable[..., FlowRun]) -> None:
    """A test may ask for its process, and for values."""
    run = flow_run(programs.core_wf, a=1)
    assert run.handle is None
    assert run.record.value("step1") == 2


@pytest.mark.daskflow(workers=1, threads=3)
def test_a_marker_says_how_large(flow_client: Client) -> None:
    """A test may ask for workers and threads; the client is the current one."""
    assert list(flow_client.nthreads().values()) == [3]
    run = fl.run(programs.core_wf, a=1)
    assert run.result() == 4
    assert run._client is flow_client


def test_a_run_in_process_writes_nothing(flow_local: Callable[..., FlowRun], flow_store: str, tmp_path: Path) -> None:
    """The cache is in memory, and the test's own."""
    inputs = {"folder": str(tmp_path), "num": 1}
    assert not flow_local(cached.double, **inputs).record.cached("double")
    assert flow_local(cached.double, **inputs).record.cached("double")
    assert flow_store.startswith("memory://")
    assert config.get("cache.url") == flow_store
    assert len(cached.marks(tmp_path)) == 1


def test_the_cache_is_new_for_each_test(flow: Callable[..., Any], tmp_path: Path) -> None:
    """What another test, or the other way, has stored is not there; what the test has stored is."""
    for _ in range(2):
        assert flow(cached.double, folder=str(tmp_path), num=1) == 2
    assert cached.marks(tmp_path) == ["1"]


def test_graphs_and_snapshots(flow_graph: Callable[..., Any], flow_snapshot: Callable[..., None]) -> None:
    """A graph is compared with the file beside the test."""
    flow_snapshot(flow_graph(programs.multi_wf, l=[1, 2, 3], chunk=2))


@pytest.mark.daskflow(timeout=0.2)
def test_a_run_that_takes_too_long_is_cancelled(flow_run: Callable[..., FlowRun]) -> None:
    """The error says so, and nothing is left running."""
    run = flow_run(programs.naps, n=list(range(40)), seconds=0.1)
    assert isinstance(run.error, TimeoutError)
    assert run.handle is not None
    assert run.handle.status == "ABORTED"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"worker": 1}, "has no option 'worker'"),
        ({"cluster": "kubernetes"}, "must be one of none, inproc, processes; got 'kubernetes'"),
        ({"workers": 0}, "workers of the marker daskflow must be a positive int"),
        ({"threads": True}, "threads of the marker daskflow must be a positive int"),
        ({"timeout": -1}, "timeout of the marker daskflow must be seconds"),
        ({"values": 1}, "values of the marker daskflow must be bool"),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    """Each refusal names the argument."""
    with pytest.raises(OptionError, match=message):
        Settings.of(given)
    with pytest.raises(OptionError, match="by name"):
        Settings.of({}, "none")
