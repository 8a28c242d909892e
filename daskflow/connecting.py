"""Connecting to a Dask cluster from a process of ours."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any

from daskflow.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

_TIMEOUT = 10  # seconds
#: Dask loads it by this name; nothing here is built on it.
_PLUGIN = "daskflow_plugins.embedded"


def connect(address: str) -> Client:
    """Return a client of the scheduler at an address.

    Raises
    ------
    SchedulerUnreachable
        When none answers there.
    """
    from distributed import Client
    from distributed.comm.addressing import resolve_address

    try:
        # What is no address at all must not reach the client: it would wait for itself when it is dropped.
        resolve_address(address)
        if not address.startswith("inproc:"):
            _greet(address)
        return Client(address, timeout=_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise SchedulerUnreachable(
            f"no Dask scheduler answers at {address} ({type(error).__name__}: {error}); start one with: dask scheduler, "
            "and give its address as tcp://HOST:8786"
        ) from error


def embedded() -> tuple[LocalCluster, Client]:
    """Start a cluster of this process' own; return it with a client."""
    from distributed import Client, LocalCluster

    cluster = LocalCluster(dashboard_address=":0")
    client = Client(cluster, set_as_default=False)
    client.register_plugin(importlib.import_module(_PLUGIN).LeavesInterrupts())
    return cluster, client


def _greet(address: str) -> None:
    """Return when what is at an address has answered: a client waits for ever for what takes a connection, and says nothing."""
    failed: list[Exception] = []

    def greet() -> None:
        try:
            asyncio.run(asyncio.wait_for(_greeting(address), _TIMEOUT))
        except TimeoutError:
            failed.append(TimeoutError(f"nothing was said within {_TIMEOUT} s"))
        except Exception as error:
            failed.append(error)

    # This thread may have an event loop at work, and where it is interrupted it waits no more.
    thread = threading.Thread(target=greet, name="daskflow-greeting", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _greeting(address: str) -> None:
    from distributed.comm.core import connect as open_comm
    from distributed.security import Security

    comm = await open_comm(address, timeout=_TIMEOUT, **Security().get_connection_args("client"))
    await comm.close()


class Connection:
    """A process' own connection to a cluster, made anew where it has broken.

    Parameters
    ----------
    address
        Of the cluster's scheduler; without one, a ``LocalCluster`` is started.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address
        self._client: Any = None
        self._cluster: Any = None
        self._scheduler: Any = None

    def client(self) -> Client:
        """Return a client that has the scheduler on the line.

        Raises
        ------
        SchedulerUnreachable
            When there is none now.
        """
        if self._client is None or not self._holds():
            self.close()
            try:
                self._client = self._connect()
                self._scheduler = self._client.scheduler_info()["id"]
            except OSError as error:
                raise SchedulerUnreachable(f"the cluster cannot be had: {type(error).__name__}: {error}") from error
        client: Client = self._client
        return client

    def _connect(self) -> Client:
        if self.address is not None:
            return connect(self.address)
        self._cluster, client = embedded()
        return client

    def _holds(self) -> bool:
        # A client that finds another scheduler in the place of its own goes on with that, which knows nothing of our runs.
        try:
            return self._client.status == "running" and bool(self._client.scheduler_info()["id"] == self._scheduler)
        except Exception:
            return False

    def close(self) -> None:
        """Let go of the cluster; a ``LocalCluster`` ends. The runs that execute are cancelled."""
        going = [one for one in (self._client, self._cluster) if one is not None]
        self._client = self._cluster = None
        for one in going:
            one.close()
