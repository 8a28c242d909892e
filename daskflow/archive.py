"""Where runs are looked up: in the history's file, or through the scheduler that writes it; :func:`runs` and :func:`get_run`."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from daskflow import config, driver
from daskflow.errors import OptionError
from daskflow.history import History
from daskflow.runview import RunView

if TYPE_CHECKING:
    from distributed import Client


class Archive(Protocol):
    """What is asked of a history; the methods are those of :class:`~daskflow.history.History`."""

    client: Any

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of its methods."""
        ...


class LocalArchive:
    """The history's file.

    Parameters
    ----------
    path : str, optional
        By default that of the configuration.
    """

    client = None

    def __init__(self, path: str | None = None) -> None:
        self._history = History(config.get("history.path") if path is None else path)

    def __str__(self) -> str:
        return f"the history {self._history.path}"

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of the history's methods."""
        return getattr(self._history, method)(*args, **kwargs)


class RemoteArchive:
    """The history of a scheduler, which may be on another machine.

    Parameters
    ----------
    client : distributed.Client
        A client of it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def __str__(self) -> str:
        return f"the history of the scheduler at {getattr(self.client.scheduler, 'address', None)}"

    def ask(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of the history's methods, there."""
        done, value = pickle.loads(driver.blocking(self.client, driver.history(self.client, method, args, kwargs)))
        if not done:
            raise value
        return value


def archive(client: Client | None = None) -> Archive:
    """Return where runs are looked up: through a client, where one is given or is the current one, otherwise in the file here."""
    if client is not None and not hasattr(client, "scheduler"):
        raise OptionError(f"client must be a Dask client, such as Client('tcp://HOST:8786'); got {client!r}")
    client = client or driver.known_client()
    return LocalArchive() if client is None else RemoteArchive(client)


def runs(
    *,
    status: str | Iterable[str] | None = None,
    name: str | None = None,
    entity: str | None = None,
    labels: Mapping[str, str] | None = None,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    limit: int | None = 100,
    offset: int = 0,
    client: Client | None = None,
) -> list[RunView]:
    """Return top-level runs, those that execute and those of the past, the newest first.

    Parameters
    ----------
    status : str or iterable of str, optional
        Of these states, such as ``"FAILED"``, or ``["QUEUED", "RUNNING"]``.
    name, entity : str, optional
        With a name, or a full name of what was run, that fits the pattern, as the shell's: ``"fit*"``.
    labels : dict, optional
        That have all of these labels.
    since, until : datetime or float, optional
        That started at or after, and before, a time; numbers are seconds since the epoch.
    limit, offset : int, optional
        At most so many, after the first so many.
    client : distributed.Client, optional
        Whose scheduler's history; by default the current client's, and where there is none, the history's file on this machine.

    Raises
    ------
    OptionError
        When what is asked for cannot be.
    HistoryError
        When the history cannot be read.
    ClusterError
        When the scheduler cannot be asked.

    Examples
    --------
    >>> import tempfile, dask
    >>> with tempfile.TemporaryDirectory() as folder, dask.config.set({"daskflow.history.path": f"{folder}/history.db"}):
    ...     runs(status="FAILED")
    []
    """
    where = archive(client)
    rows = where.ask(
        "runs", status=status, name=name, entity=entity, labels=labels, since=since, until=until, limit=limit, offset=offset,
    )  # fmt: skip
    return [RunView(where, row) for row in rows]


def get_run(id: str, *, client: Client | None = None) -> RunView:
    """Return a run by its id, whether it executes or is of the past.

    Parameters
    ----------
    id : str
        Its id, or the beginning of that where no other run's begins so; or ``"@last"``, ``"@last-1"`` and so on.
    client : distributed.Client, optional
        As for :func:`runs`.

    Raises
    ------
    UnknownRun
        When there is none, or there are several.
    HistoryError, ClusterError
        When the history cannot be read, or the scheduler not be asked.
    """
    where = archive(client)
    return RunView(where, where.ask("find", id))
