"""How the history comes to know of runs whose every result was in the cache: nothing of them is executed, so no scheduler hears of them.

Whoever runs them does not wait for that. Where there is a client, its scheduler is told; where there is none, this process writes into
the file itself, in a thread that ends when nothing more comes.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from daskflow import config, driver, shipping
from daskflow.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

    from daskflow.config import HistorySettings

logger = logging.getLogger(__name__)

#: Seconds for which whoever looks at such a run waits for the history at most, and for which the thread waits for more.
_PATIENCE, _IDLE = 5.0, 1.0
#: What is told of a run, and what is set when the history has it.
_Told = tuple[dict[str, Any], threading.Event]
_MISSING = "run %s, whose result was in the cache, is in no history: %s"
#: Results that take more bytes are not kept: they are in the cache.
_MOST_RESULT = 1 << 20


def tell(
    client: Client | None, run: str, name: str, about: Mapping[str, Any], started: float, url: str, report: bytes | None, value: Any
) -> Callable[[], object]:
    """Have a run written down; return what waits until that is done, or given up.

    Parameters
    ----------
    client : distributed.Client or None
        Of the scheduler that keeps the history.
    run, name : str
        The run's id, and what it is called.
    about : dict
        As :func:`daskflow.submissions.about` gives it.
    started : float
        When it began, in seconds since the epoch.
    url : str
        The cache's folder, or URL.
    report : bytes or None
        What the cache did.
    value
        The run's result.
    """
    options = {"keeping": None, "started": started, "ended": time.time(), "checkpoints": url}
    about = {**about, "embedded": client is None}
    told = {"run": run, "name": name, "about": about, "options": options, "report": report, "result": _pickled(value)}
    if client is not None:
        return _there.tell(client, told)
    settings = config.history_settings()
    return _here.tell(settings, told) if settings is not None else lambda: None


class _There:
    """What is on its way to schedulers: what comes while something is sent is sent together, since waking a thread takes its time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Of clients by which something is being sent, what comes next.
        self._waiting: weakref.WeakKeyDictionary[Client, list[_Told]] = weakref.WeakKeyDictionary()

    def tell(self, client: Client, told: dict[str, Any]) -> Callable[[], object]:
        """Have a scheduler told of a run; return what waits for that."""
        if not driver.is_open(client):
            logger.warning(_MISSING, told["run"], f"its client is {client.status}")
            return lambda: None
        written = threading.Event()
        with self._lock:
            is_sending = client in self._waiting
            self._waiting.setdefault(client, []).append((told, written))
        if not is_sending:
            loop: Any = client.loop
            asyncio.run_coroutine_threadsafe(self._send(client), loop.asyncio_loop)
        return partial(written.wait, _PATIENCE)

    async def _send(self, client: Client) -> None:
        while batch := self._take(client):
            try:
                await driver.tell_folded(client, [told for told, _ in batch])
            except ClusterError as error:
                # Whoever closes the client at once does not wait for it, and need not hear of it.
                level = logging.WARNING if driver.is_open(client) else logging.INFO
                logger.log(level, _MISSING, ", ".join(told["run"] for told, _ in batch), error)
            finally:
                for _, written in batch:
                    written.set()

    def _take(self, client: Client) -> list[_Told]:
        with self._lock:
            batch = self._waiting[client]
            if batch:
                self._waiting[client] = []
            else:
                del self._waiting[client]
            return batch


def _pickled(value: Any) -> bytes | None:
    from dask.sizeof import sizeof

    try:
        return shipping.dumps((value,)) if sizeof(value) <= _MOST_RESULT else None
    except Exception as error:
        logger.debug("a result is not in the history, since it does not pickle: %s", error)
        return None


class _Here:
    """The thread that writes runs into the file, while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[HistorySettings, dict[str, Any], threading.Event]] = []
        self._thread: threading.Thread | None = None
        self._leaving = False

    def tell(self, settings: HistorySettings, told: dict[str, Any]) -> Callable[[], object]:
        """Have a run written down; return what waits for that."""
        written = threading.Event()
        with self._changed:
            self._waiting.append((settings, told, written))
            # A process that was forked has the object, and not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._begin()
            self._changed.notify_all()
        return partial(written.wait, _PATIENCE)

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._work, name="daskflow-cached-runs", daemon=True)
        self._thread.start()
        # Registered once, however often: it is taken out before.
        atexit.unregister(self._leave)
        atexit.register(self._leave)

    def _leave(self) -> None:
        with self._changed:
            self._leaving = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(2 * _PATIENCE)

    def _work(self) -> None:
        from daskflow.chronicle import Chronicle

        chronicles: dict[HistorySettings, Chronicle] = {}
        while batch := self._take():
            for settings, told, _ in batch:
                if settings not in chronicles:
                    chronicles[settings] = Chronicle("", settings)
                chronicles[settings].folded(**told)
            for one in chronicles.values():
                one.flush(_PATIENCE)
            for *_, written in batch:
                written.set()
        for one in chronicles.values():
            one.close()

    def _take(self) -> list[tuple[HistorySettings, dict[str, Any], threading.Event]]:
        """Wait for more; there is none when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._leaving, _IDLE)
            batch, self._waiting = self._waiting, []
            if not batch:
                self._thread = None
            return batch


_there, _here = _There(), _Here()
