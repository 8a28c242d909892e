"""What every test is held to: it leaves no thread, process or complaint behind."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points

import psutil
import pytest

_PLUGIN = "daskflow_plugins.pytest_plugin"
# Where the project is installed, pytest has found the plug-in itself.
pytest_plugins = ["pytester", *([] if any(one.value == _PLUGIN for one in entry_points(group="pytest11")) else [_PLUGIN])]

#: Threads that libraries keep for the whole process, and ours: some go a second after they were last used, one with the scheduler.
_KEPT = (
    *("Profile", "IO loop", "AsyncProcess", "Dask-Callback", "TCP-Executor", "Dask-Offload", "asyncio_", "QueueFeederThread"),
    *("daskflow-watchdog", "daskflow-history", "daskflow-cached-runs"),
)


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what says that a plug-in of Dask's, such as ours, has failed."""
        message = record.getMessage()
        if "Plugin failed" in message or message.startswith("daskflow: a fault"):
            self.found.append(message)


@pytest.fixture(autouse=True)
def _no_complaints() -> Iterator[None]:
    handler = _Complaints()
    loggers = [logging.getLogger(name) for name in ("distributed", "daskflow")]
    for logger in loggers:
        logger.addHandler(handler)
    yield
    for logger in loggers:
        logger.removeHandler(handler)
    assert not handler.found


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    threads, children = _threads(), _children()
    yield
    _wait_until(lambda: not _threads() - threads and not _children() - children)
    assert not {thread.name for thread in _threads() - threads}
    assert not _children() - children


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test, and the processes that it starts, an empty cache."""
    import dask

    url = str(tmp_path_factory.mktemp("cache"))
    monkeypatch.setenv("DASK_DASKFLOW__CACHE__URL", url)
    with dask.config.set({"daskflow.cache.url": url}):
        yield


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith(_KEPT)}


def _children() -> set[int]:
    # The helper processes of multiprocessing stay until the end.
    return {one.pid for one in psutil.Process().children() if not _is_helper(one)}


def _is_helper(process: psutil.Process) -> bool:
    try:
        line = " ".join(process.cmdline())
        return process.status() == psutil.STATUS_ZOMBIE or "resource_tracker" in line or "forkserver" in line
    except psutil.Error:
        return True


def _wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
