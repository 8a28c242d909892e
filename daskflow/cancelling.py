"""Cancelling on the scheduler: of runs, and of what is at an address in one; and runs that go on when their driver is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daskflow.journal import Journal
from daskflow.records import Cancel, Ceased, Run

if TYPE_CHECKING:
    from daskflow.coordinator import Coordinator

#: Seconds that whoever cancels waits at most for workers to say that they know.
_PATIENCE = 0.5
#: Seconds that the client of a run may take to be there.
_GRACE = 60.0
#: The owner of a run that is nobody's.
_NOBODY = ""


class Cancelling:
    """What the coordinator does of cancelling.

    Parameters
    ----------
    coordinator
        Whose ledger, tasks and register are concerned.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        #: By run and address, what the workers of units are to say.
        self._asked: dict[tuple[str, str], dict[str, asyncio.Future[bool]]] = {}
        self.handlers: dict[str, Callable[..., Any]] = {"daskflow_cancel": self.cancel, "daskflow_detach": self.detach}
        self.stream_handlers: dict[str, Callable[..., None]] = {
            "daskflow-cancelled": self._on_cancelled,
            "daskflow-ceased": self._on_ceased,
        }
        self.carriers: dict[type, Callable[[Any], object]] = {Cancel: self._tell, Ceased: self._ceased}

    async def cancel(self, run: str, place: str = "") -> dict[str, Any]:
        """Cancel a run that goes on, or what is at an address in it.

        Returns
        -------
        dict
            ``status``, that of the run before, ``None`` where it is not known; and ``found``, whether something was executing, or
            waiting, there.
        """
        record = self._of.ledger.runs.get(run)
        if record is None or record.status.ended:
            return {"status": None if record is None else record.status.value, "found": False}
        status, found = record.status.value, True
        if place:
            found = await self._cancel_at(record, place)
        else:
            self._of.ledger.cancel(run)
            self._of.flush()
        return {"status": status, "found": found}

    async def _cancel_at(self, run: Run, place: str) -> bool:
        found = self._of.ledger.cancel_at(run.id, place)
        self._of.flush()
        asked = [answer for unit, answer in self._asked.get((run.id, place), {}).items() if unit in run.units]
        if asked:
            await asyncio.wait(asked, timeout=_PATIENCE)
        self._asked.pop((run.id, place), None)
        return found or any(answer.done() and answer.result() for answer in asked)

    def orphaned(self, run: str) -> None:
        """Take up a run whose client is not there: it may connect anew; of one that has died nobody would say that it is gone."""
        asyncio.get_running_loop().call_later(_GRACE, self._drop_orphan, run)

    def _drop_orphan(self, run: str) -> None:
        record = self._of.ledger.runs.get(run)
        if record is not None and not self.is_detached(run) and record.owner not in self._of.scheduler.clients:
            self._of.drop(run)

    async def detach(self, run: str) -> str | None:
        """Have a run go on whoever goes, and be kept until somebody forgets it; return its status, ``None`` where it is not known."""
        record = self._of.ledger.runs.get(run)
        if record is None:
            return None
        if not record.status.ended:
            record.owner = _NOBODY
        return record.status.value

    def is_detached(self, run: str) -> bool:
        """Tell whether a run is nobody's."""
        record = self._of.ledger.runs.get(run)
        return record is not None and record.owner == _NOBODY

    def _tell(self, one: Cancel) -> None:
        payload = self._of.tasks.payload(one.key)
        if payload is not None:
            # Should it be begun anew, it is told again.
            payload.cancelled = (*payload.cancelled, one.place)
            if self._of.announcer.cancelled(one.key, one.place):
                asked = self._asked.setdefault((payload.run, one.place), {})
                asked.setdefault(one.key, asyncio.get_running_loop().create_future())

    def _on_cancelled(self, worker: str, key: str, place: str, found: bool) -> None:
        # The unit may be gone by now, and its run with it.
        answers = [answers[key] for (_, at), answers in self._asked.items() if at == place and key in answers]
        for answer in answers:
            if not answer.done():
                answer.set_result(found)

    def _on_ceased(self, worker: str, key: str, place: str) -> None:
        payload = self._of.tasks.payload(key)
        if payload is not None and self._of.tasks.is_on(key, worker):
            payload.ceased = (*payload.ceased, place)

    def _ceased(self, one: Ceased) -> None:
        journal = Journal()
        journal.fell(one.place)
        self._of.tell(one.run, journal.report())
