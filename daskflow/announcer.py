"""The announcer: what the scheduler tells workers of their units, beside what Dask tells them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler


class Announcer:
    """Tells workers when the cluster has threads with nothing to do, which limits are full, and what they execute for nothing.

    Parameters
    ----------
    scheduler
        Dask's scheduler.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._listeners: set[str] = set()
        #: What workers are to be told that were sent units and have not said hello: Dask would have them die of what they do not know.
        self._untold: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._hungry = True
        self._full: set[str] = set()

    def add(self, worker: str) -> None:
        """Take up a worker, and tell it how things are, and what it was to be told before."""
        self._listeners.add(worker)
        self._tell(worker, list(self._full), [])
        for message in self._untold.pop(worker, ()):
            self._send(worker, message)

    def remove(self, worker: str) -> None:
        """Forget a worker."""
        self._listeners.discard(worker)
        self._untold.pop(worker, None)

    def announce(self, hungry: bool, pools: Mapping[str, bool]) -> None:
        """Tell workers when the cluster begins, or ceases, to have threads with nothing to do, and limits to be full."""
        changed = {pool: full for pool, full in pools.items() if full is not (pool in self._full)}
        if hungry is self._hungry and not changed:
            return
        self._hungry = hungry
        full = [pool for pool, is_full in changed.items() if is_full]
        free = [pool for pool, is_full in changed.items() if not is_full]
        self._full.update(full)
        self._full.difference_update(free)
        for worker in self._listeners:
            self._tell(worker, full, free)

    def stop(self, key: str) -> None:
        """Tell the worker that executes a unit that nobody needs its result."""
        self._tell_unit(key, {"op": "daskflow-stop", "key": key})

    def fell(self, key: str, domain: str, failure: dict[str, Any]) -> None:
        """Tell the worker that executes a unit that something has failed of which it executes a part."""
        self._tell_unit(key, {"op": "daskflow-fell", "key": key, "domain": domain, "failure": failure})

    def cancelled(self, key: str, place: str) -> bool:
        """Tell the worker that executes a unit that what is at an address in it was cancelled; tell whether it will answer."""
        return self._tell_unit(key, {"op": "daskflow-cancel-node", "key": key, "place": place})

    def _tell_unit(self, key: str, message: dict[str, Any]) -> bool:
        task = self.scheduler.tasks.get(key)
        if task is None or task.processing_on is None:
            return False
        worker = task.processing_on.address
        if worker in self._listeners:
            return self._send(worker, message)
        self._untold[worker].append(message)
        return True

    def _tell(self, worker: str, full: list[str], free: list[str]) -> None:
        self._send(worker, {"op": "daskflow-hungry", "hungry": self._hungry, "full": full, "free": free})

    def _send(self, worker: str, message: dict[str, Any]) -> bool:
        # One that is going has no stream any more.
        is_there = worker in self.scheduler.stream_comms
        if is_there:
            self.scheduler.worker_send(worker, message)
        return is_there
