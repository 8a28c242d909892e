"""Balance between workers, and between runs: what is looked after when the ledger's instructions are carried out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daskflow.coordinator import Coordinator

logger = logging.getLogger(__name__)

#: Seconds from a change until units that wait at one worker are moved to another.
_REBALANCE_AFTER = 0.1
#: Seconds that a run waits for its first thread until others' units are cut.
_STARVED_AFTER = 0.5


class Balance:
    """What the coordinator does so that no thread, and no run, has nothing to do while there is work for it.

    Parameters
    ----------
    coordinator
        Whose ledger and tasks are concerned.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._rebalancing: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        #: The runs of which nothing has been executed for a while, though it could be.
        self._starved: set[str] = set()

    def look(self) -> None:
        """Tell workers how things are, and see to it that units are moved, or cut, where that is needed."""
        admission = self._of.ledger.admission
        starving = admission.starving()
        self._starved &= starving
        if starving and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_STARVED_AFTER, self._look_for_starved, starving)
        # Units that last hand over what they have not started when somebody has time for it: so they do for a run that gets nothing.
        hungry = admission.n_running < self._of.tasks.total_threads or bool(self._starved)
        self._of.announcer.announce(hungry, admission.take_changed())
        if admission.n_running > 1:
            self._rebalance_soon()

    def _look_for_starved(self, before: set[str]) -> None:
        self._looking = None
        self._starved = before & self._of.ledger.admission.starving()
        self.look()

    def _rebalance_soon(self) -> None:
        if self._rebalancing is None:
            self._rebalancing = asyncio.get_running_loop().call_later(_REBALANCE_AFTER, self._rebalance)

    def _rebalance(self) -> None:
        self._rebalancing = None
        try:
            if self._of.tasks.rebalance(self._of.ledger.units):
                self._rebalance_soon()
        except Exception:
            self._of.faults += 1
            logger.exception("daskflow: a fault while moving units between workers")
