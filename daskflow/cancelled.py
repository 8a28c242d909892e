"""What a worker is told of units that it executes, or is about to, and of what was cancelled in them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from daskflow.errors import RunCancelled

if TYPE_CHECKING:
    from distributed import Worker

    from daskflow.execute import Execution
    from daskflow.payload import Payload
    from daskflow.unit import Link

logger = logging.getLogger(__name__)

#: Seconds between two looks into a unit that is between two nodes, and how many.
_PAUSE = 0.005
_LOOKS = 60


def hear(handler: Callable[..., object], **message: Any) -> None:
    """Hear what the scheduler says; a fault of ours would have Dask take the connection for broken, and end the worker."""
    try:
        handler(**message)
    except Exception:
        logger.exception("daskflow: a fault at what the scheduler said of unit %s", message.get("key"))


class CancelledHere:
    """The cancelled addresses of the units of one worker.

    Parameters
    ----------
    link
        The worker's link to the scheduler.
    worker
        The worker.
    """

    def __init__(self, link: Link, worker: Worker) -> None:
        self._link = link
        self._tasks = worker.state.tasks
        #: What units are to be told that have not begun to execute, by their keys.
        self._waiting: dict[str, list[str]] = {}
        #: Why units do not count that are about to be executed: Dask lets none of them go that it has begun with.
        self.stopped: dict[str, RunCancelled] = {}
        worker.stream_handlers["daskflow-cancel-node"] = partial(hear, self._on_cancel)
        worker.stream_handlers["daskflow-stop"] = partial(hear, self._on_stop)

    def begins(self, payload: Payload, execution: Execution) -> None:
        """Tell an execution, which can be found by its unit's key from now on, what was cancelled before."""
        key = payload.key
        execution.ceases = lambda place: self._link.send({"op": "daskflow-ceased", "key": key, "place": place})
        for place in (*payload.cancelled, *self._waiting.pop(key, ())):
            execution.cancel(place)

    def _on_stop(self, key: str, **_: Any) -> None:
        error = RunCancelled(f"nobody needs what unit {key} was executing any more")
        task = self._tasks.get(key)
        if task is not None and task.state == "executing":
            # Before it is looked for, since it may begin at this moment.
            self.stopped[key] = error
        unit = self._link.units.get(key)
        if unit is not None:
            self.stopped.pop(key, None)
            unit.fail(error)
        self.stopped = {one: error for one, error in self.stopped.items() if one in self._tasks}

    def _on_cancel(self, key: str, place: str, **_: Any) -> None:
        # Before it is looked for, since it may begin at this moment.
        self._waiting.setdefault(key, []).append(place)
        execution = self._execution(key)
        if execution is not None:
            self._waiting.pop(key, None)
            execution.cancel(place)
        # What has moved to another worker has been told there.
        self._waiting = {one: places for one, places in self._waiting.items() if one in self._tasks}
        self._answer(key, place, _LOOKS)

    def _execution(self, key: str) -> Execution | None:
        unit = self._link.units.get(key)
        return None if unit is None else unit.execution

    def _answer(self, key: str, place: str, looks: int) -> None:
        """Say whether something is executing, or waiting, at the address, once the unit's frames can be looked at."""
        execution = self._execution(key)
        lock = None if execution is None else execution.lock
        if execution is None or lock is None or not looks:
            found = execution is not None and place in execution.ceased
        elif lock.acquire(blocking=False):
            try:
                found = execution.has(place)
            finally:
                lock.release()
        else:
            asyncio.get_running_loop().call_later(_PAUSE, self._answer, key, place, looks - 1)
            return
        self._link.send({"op": "daskflow-cancelled", "key": key, "place": place, "found": found})
