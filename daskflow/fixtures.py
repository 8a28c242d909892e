"""What the fixtures for tests are made of: clusters that last for a session, what must not be left there, and runs on them."""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow.compiled import assert_text
from daskflow.errors import OptionError
from daskflow.options import refuse_unknown
from daskflow.recording import FlowRun, run

if TYPE_CHECKING:
    from distributed import Client

KINDS = ("none", "inproc", "processes")

#: Threads that Dask and Python keep for a cluster, or for the whole process.
_KEPT = re.compile(
    r"Dask|IO loop|Profile|TCP-Executor|AsyncProcess|daskflow-watchdog|daskflow-history|asyncio_|QueueFeederThread|fsspecIO"
    r"|ThreadPoolExecutor"
)
_PATIENCE = 5.0  # seconds


class Settings(NamedTuple):
    """What a test says of how it is run: the arguments of its marker.

    Attributes
    ----------
    cluster : str
        ``none`` for this process, ``inproc`` for a cluster of threads in it, or ``processes``.
    workers, threads : int
        How many workers the cluster has, and how many threads each of them.
    timeout : float
        Seconds after which a run is cancelled.
    values : bool
        Whether the values of nodes are recorded.
    """

    cluster: str = "inproc"
    workers: int = 2
    threads: int = 2
    timeout: float = 120.0
    values: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], *positional: Any) -> Settings:
        """Return the settings of a marker.

        Raises
        ------
        OptionError
            When an argument is unknown, or has a value that it cannot have.
        """
        owner = "the marker daskflow"
        if positional:
            raise OptionError(f"{owner} takes its arguments by name: {', '.join(cls._fields)}")
        refuse_unknown(given, cls._fields, owner)
        made = cls(**given)
        if made.cluster not in KINDS:
            raise OptionError(f"cluster of {owner} must be one of {', '.join(KINDS)}; got {made.cluster!r}")
        for name in ("workers", "threads"):
            if type(getattr(made, name)) is not int or getattr(made, name) < 1:
                raise OptionError(f"{name} of {owner} must be a positive int; got {getattr(made, name)!r}")
        if not isinstance(made.values, bool):
            raise OptionError(f"values of {owner} must be bool; got {made.values!r}")
        if isinstance(made.timeout, bool) or not isinstance(made.timeout, (int, float)) or made.timeout <= 0:
            raise OptionError(f"timeout of {owner} must be seconds, more than 0; got {made.timeout!r}")
        return made

    def on_cluster(self) -> Settings:
        """Return the same, on a cluster."""
        return self._replace(cluster="inproc") if self.cluster == "none" else self


class Clusters:
    """The clusters of a test session: one for each kind and size, started when it is first needed."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, int], tuple[Any, Client]] = {}

    def client(self, settings: Settings) -> Client:
        """Return the client of the cluster that settings ask for."""
        key = settings[:3]
        if key not in self._open:
            self._open[key] = _started(settings)
        return self._open[key][1]

    def left(self, settings: Settings) -> list[str]:
        """Return what is left of runs on a cluster, once nothing more of it goes away."""
        if settings[:3] not in self._open:
            return []
        cluster, client = self._open[settings[:3]]
        return _patiently(lambda: _left_on(cluster, client))

    def drop(self, settings: Settings) -> None:
        """Close a cluster; a test that needs such a one has a new one."""
        opened = self._open.pop(settings[:3], None)
        if opened is not None:
            cluster, client = opened
            client.close()
            cluster.close()

    def close(self) -> None:
        """Close all."""
        for key in list(self._open):
            self.drop(Settings(*key))


def _started(settings: Settings) -> tuple[Any, Client]:
    from distributed import Client, LocalCluster

    in_process = settings.cluster == "inproc"
    cluster = LocalCluster(
        n_workers=settings.workers,
        threads_per_worker=settings.threads,
        processes=not in_process,
        # Any free port, so that sessions beside each other do not meet.
        scheduler_port=0,
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    )
    client = Client(cluster, set_as_default=False)
    if in_process:
        _warm_up(cluster.workers.values())
    return cluster, client


def _warm_up(workers: Any) -> None:
    """Have workers start all their threads now: whoever looks for threads that a test leaves behind must not find these."""
    pools = [worker.executors["default"] for worker in workers]
    all_there = threading.Barrier(1 + sum(pool._max_workers for pool in pools))
    for pool in pools:
        for _ in range(pool._max_workers):
            pool.submit(all_there.wait)
    all_there.wait(_PATIENCE)


def _left_on(cluster: Any, client: Any) -> list[str]:
    scheduler = cluster.scheduler
    left = [f"task {key}" for key in list(scheduler.tasks)]
    if "daskflow" in scheduler.plugins:
        state = client.sync(client.scheduler.daskflow_state)
        left += [f"run {run}, {status}" for run, status in state.pop("runs").items()]
        left += [f"{count} {what}" for what, count in state.items() if count and what != "faults"]
    return left


def threads() -> set[threading.Thread]:
    """Return the threads that a test could have started."""
    return {one for one in threading.enumerate() if not _KEPT.search(one.name)}


def threads_left(before: set[threading.Thread]) -> list[str]:
    """Return the threads that were not there before, once none of them ends any more."""
    return _patiently(lambda: [f"thread {one.name}" for one in threads() - before])


def _patiently(find: Callable[[], list[str]]) -> list[str]:
    deadline = time.monotonic() + _PATIENCE
    while (found := find()) and time.monotonic() < deadline:
        # Handles of runs that nobody holds let go when they are collected.
        gc.collect()
        time.sleep(0.01)
    return found


class Flow:
    """Runs entities as a test asks for; a fixture's value.

    Attributes
    ----------
    settings : Settings
        How.
    runs : list of FlowRun
        What the test has run, in order.
    """

    def __init__(self, settings: Settings, client: Client | None, runs: list[FlowRun]) -> None:
        self.settings = settings
        self.runs = runs
        self._client = client

    def run(self, entity: Any, args: tuple[Any, ...], inputs: Mapping[str, Any]) -> FlowRun:
        """Run an entity to its end."""
        bound = entity.interface.bind(args, dict(inputs)) if args else inputs
        timeout = None if self._client is None else self.settings.timeout
        ended = run(entity, bound, client=self._client, values=self.settings.values, timeout=timeout)
        self.runs.append(ended)
        return ended


class Snapshots:
    """The snapshots of one test: what it compares with files.

    Parameters
    ----------
    folder
        Where they are.
    test : str
        Names them.
    update : bool
        Whether they are written.
    """

    def __init__(self, folder: Path, test: str, update: bool) -> None:
        self._folder = folder
        self._test = re.sub(r"[^\w.-]+", "-", test).strip("-")
        self._update = update
        self._taken: dict[str, int] = {}

    def check(self, what: object, name: str = "") -> None:
        """Assert that something, as text, is as its file says."""
        __tracebackhide__ = True
        count = self._taken[name] = self._taken.get(name, 0) + 1
        parts = [self._test, *([name] if name else []), *([str(count)] if count > 1 else [])]
        path = self._folder / f"{'-'.join(parts)}.txt"
        assert_text(str(what), path, update=self._update, way_out="run pytest with --flow-update")


@contextmanager
def memory_store() -> Iterator[str]:
    """Have results cached in this process' memory, in a place of its own; give its URL."""
    import secrets

    import dask.config as dask_config

    url = f"memory://daskflow-{secrets.token_hex(8)}"
    with dask_config.set({"daskflow.cache.url": url}):
        try:
            yield url
        finally:
            _emptied(url)


@contextmanager
def folder_store(folder: Path) -> Iterator[str]:
    """Have results cached in a folder, for processes to share; give its path."""
    import dask.config as dask_config

    with dask_config.set({"daskflow.cache.url": str(folder)}):
        yield str(folder)


def _emptied(url: str) -> None:
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped,unused-ignore]

    from daskflow.store import forget_stores

    forget_stores(url)
    system, root = MemoryFileSystem(), url.removeprefix("memory:/")
    if system.exists(root):
        system.rm(root, recursive=True)
