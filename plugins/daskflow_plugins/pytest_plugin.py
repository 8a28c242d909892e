"""The plug-in for pytest: fixtures that run workflows, in this process and on a cluster that lasts for the session.

It is there wherever daskflow is installed, and imports nothing of it before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from distributed import Client

    from daskflow.fixtures import Clusters, Flow, Settings
    from daskflow.recording import FlowRun

_MARKER = (
    "daskflow(cluster='inproc', workers=2, threads=2, timeout=120, values=False): how the fixtures flow, flow_run and flow_client run "
    "workflows; cluster is 'none', 'inproc' or 'processes'"
)
#: Those that need a cluster, or may.
_FIXTURES = {"flow", "flow_client", "flow_local", "flow_run"}

_runs: pytest.StashKey[list[FlowRun]] = pytest.StashKey()
_failed: pytest.StashKey[bool] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("daskflow")
    group.addoption("--flow-update", action="store_true", default=False, help="Write what flow_snapshot compares with.")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report of a test that failed say what its runs did."""
    report = yield
    if call.when == "call" and report.failed:
        item.stash[_failed] = True
        report.sections.extend((repr(run), str(run.record)) for run in item.stash.get(_runs, []))
    return report


@pytest.fixture(scope="session")
def _flow_clusters() -> Iterator[Clusters]:
    from daskflow.fixtures import Clusters

    clusters = Clusters()
    yield clusters
    clusters.close()


def _settings(request: pytest.FixtureRequest) -> Settings:
    from daskflow.fixtures import Settings

    marker = request.node.get_closest_marker("daskflow")
    settings = Settings.of(marker.kwargs, *marker.args) if marker is not None else Settings()
    if {"flow", "flow_client"} & set(request.fixturenames):
        return settings.on_cluster()
    return settings if "flow_run" in request.fixturenames else settings._replace(cluster="none")


# Of all tests, so that it begins before other fixtures, and ends when those have let go of what they have.
@pytest.fixture(autouse=True)
def _flow_leaves_nothing(request: pytest.FixtureRequest) -> Iterator[None]:
    if not _FIXTURES.intersection(request.fixturenames):
        yield
        return
    from daskflow.fixtures import threads, threads_left

    settings = _settings(request)
    clusters = request.getfixturevalue("_flow_clusters")
    if settings.cluster != "none":
        clusters.client(settings)
    before = threads()
    runs: list[FlowRun] = []
    request.node.stash[_runs] = runs
    yield
    runs.clear()
    if request.node.stash.get(_failed, False):
        # What failed may be held by its traceback; the next test is to have nothing of it.
        clusters.drop(settings)
        return
    left = [*clusters.left(settings), *threads_left(before)]
    if left:
        clusters.drop(settings)
        pytest.fail(f"the test left behind: {', '.join(left)}", pytrace=False)


def _flow(request: pytest.FixtureRequest, in_process: bool) -> Flow:
    from daskflow.fixtures import Flow

    settings = _settings(request)
    client = None if in_process or settings.cluster == "none" else request.getfixturevalue("_flow_clusters").client(settings)
    return Flow(settings, client, request.node.stash[_runs])


@pytest.fixture
def flow_store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the test an empty cache of its own, in memory, or in a folder where processes share it; its URL."""
    from daskflow.fixtures import folder_store, memory_store

    if _settings(request).cluster == "processes":
        with folder_store(request.getfixturevalue("tmp_path_factory").mktemp("flow-store")) as url:
            yield url
    else:
        with memory_store() as url:
            yield url


@pytest.fixture
def flow_client(request: pytest.FixtureRequest, flow_store: str) -> Iterator[Client]:
    """Give the client of the session's cluster; it is the current one, so that ``daskflow.run`` needs none."""
    client = request.getfixturevalue("_flow_clusters").client(_settings(request))
    with client.as_current():
        yield client


@pytest.fixture
def flow_local(request: pytest.FixtureRequest, flow_store: str) -> Callable[..., FlowRun]:
    """Run an entity in this process, ``flow_local(entity, **inputs)``; give its run, with ``result``, ``error`` and ``record``."""
    flow = _flow(request, in_process=True)
    return lambda entity, /, *args, **inputs: flow.run(entity, args, inputs)


@pytest.fixture
def flow_run(request: pytest.FixtureRequest, flow_store: str) -> Callable[..., FlowRun]:
    """Run an entity as the test's marker says, on the session's cluster by default; give its run, as flow_local does."""
    flow = _flow(request, in_process=False)
    return lambda entity, /, *args, **inputs: flow.run(entity, args, inputs)


@pytest.fixture(params=["in process", "cluster"])
def flow(request: pytest.FixtureRequest, flow_store: str) -> Callable[..., Any]:
    """Run an entity both ways, the test once for each, ``flow(entity, **inputs)``; give its result, or raise its error."""
    flow = _flow(request, in_process=request.param == "in process")
    return lambda entity, /, *args, **inputs: flow.run(entity, args, inputs).result


@pytest.fixture
def flow_graph() -> Callable[..., Any]:
    """Find out what an entity would execute, ``flow_graph(entity, **inputs)``, without executing a task."""
    from daskflow.compiled import compile  # noqa: A004

    return compile


@pytest.fixture
def flow_snapshot(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Assert that a compiled graph, or anything, as text, is as its file beside the test says; ``--flow-update`` writes the file."""
    from daskflow.fixtures import Snapshots

    folder = request.path.parent / "snapshots" / request.path.stem
    return Snapshots(folder, request.node.name, bool(request.config.getoption("--flow-update"))).check
