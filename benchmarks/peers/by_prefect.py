"""The workloads by Prefect: flows in flows and tasks in tasks on its Dask task runner, with a server of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

from distributed import Client, LocalCluster
from talk import THREADS, serve

WORKERS = 2
PATIENCE = 120  # seconds that the server has to start


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def settings(folder: str, port: int) -> dict[str, str]:
    return {
        "PREFECT_HOME": folder,
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }


def is_up() -> bool:
    try:
        with urlopen(os.environ["PREFECT_API_URL"] + "/health", timeout=5):  # noqa: S310
            return True
    except (URLError, OSError):
        return False


def wait_until_up(server: subprocess.Popen[bytes]) -> None:
    last = time.monotonic() + PATIENCE
    while not is_up():
        if server.poll() is not None or time.monotonic() > last:
            raise RuntimeError("Prefect's server does not start")
        time.sleep(0.2)


@contextmanager
def running_server(port: int) -> Iterator[None]:
    """One server for the flows and the workers: without, each process starts one of its own, which takes longer."""
    server = subprocess.Popen([sys.executable, "-m", "prefect", "server", "start", "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_until_up(server)
        yield
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(settings(folder, port))
        with (
            running_server(port),
            LocalCluster(n_workers=WORKERS, threads_per_worker=THREADS // WORKERS, dashboard_address=":0") as cluster,
            Client(cluster),
        ):
            from prefect_flows import WAYS

            serve(["prefect", "prefect-dask", "distributed"], WAYS)


if __name__ == "__main__":
    main()
