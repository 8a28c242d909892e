"""A Dask cluster of separate processes, started with Dask's own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DASK = str(Path(sys.executable).parent / "dask")
DASKFLOW = str(Path(sys.executable).parent / "daskflow")


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Return the first true value of a condition; fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} seconds"
        time.sleep(0.02)
    return value


class Cluster:
    """A scheduler and some workers, each a process of its own, in a folder where no user's module is.

    Parameters
    ----------
    folder
        Where they run and write their logs.
    workers, threads : int
        How many workers, and of how many threads.
    preload : bool
        Whether the scheduler loads our plug-in itself.
    """

    def __init__(
        self, folder: Path, *, workers: int = 2, threads: int = 4, preload: bool = False, env: dict[str, str] | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.threads = threads
        self.env = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **(env or {})}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.logs: list[Path] = []
        self.file = folder / "scheduler.json"
        loading = ["--preload", "daskflow_plugins.scheduler"] if preload else []
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file), *loading)
        self.address = wait_until(self._address, "the scheduler's start")
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> subprocess.Popen[bytes]:
        """Start one more worker."""
        return self._start("worker", self.address, "--nthreads", str(self.threads), "--no-dashboard", "--no-nanny")

    def kill_all(self) -> None:
        """Kill all of them, as a machine does that goes down: the scheduler first."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{len(self.processes)}-{command[0]}.log"
        with log.open("wb") as file:
            process = subprocess.Popen([DASK, *command], cwd=self.folder, env=self.env, stdout=file, stderr=file)
        self.processes.append(process)
        self.logs.append(log)
        return process

    def _address(self) -> str | None:
        assert self.scheduler.poll() is None, self.text()
        try:
            return str(json.loads(self.file.read_text())["address"])
        except (OSError, ValueError, KeyError):
            return None

    def text(self) -> str:
        """Return all that the processes have logged."""
        return "\n".join(log.read_text(errors="replace") for log in self.logs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert "Plugin failed" not in self.text()
        assert "daskflow: a fault" not in self.text()
