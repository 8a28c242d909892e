"""The Dask scheduler's plug-in.

Clients register it when they find none. A scheduler that loads it itself needs no client for that::

    dask scheduler --preload daskflow_plugins.scheduler
"""

from __future__ import annotations

import asyncio
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler

from daskflow.coordinator import Coordinator

NAME = "daskflow"


class DaskflowScheduler(SchedulerPlugin):
    """Brings a :class:`~daskflow.coordinator.Coordinator` to a Dask scheduler."""

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self.coordinator: Coordinator | None = None

    async def start(self, scheduler: Scheduler) -> None:
        """Begin, when the scheduler takes the plugin in."""
        self.coordinator = Coordinator(scheduler)
        self.coordinator.start()

    def transition(self, key: Any, start: str, finish: str, *args: Any, stimulus_id: str, **kwargs: Any) -> None:
        """Follow a task."""
        if self.coordinator is not None:
            self.coordinator.transition(key, finish)

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        """Count a worker in."""
        if self.coordinator is not None:
            self.coordinator.workers_changed()

    def remove_worker(self, scheduler: Scheduler, worker: str, *, stimulus_id: str, **kwargs: Any) -> None:
        """Count a worker out."""
        if self.coordinator is not None:
            self.coordinator.workers_changed(gone=worker)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """End the runs of a client that is gone."""
        if self.coordinator is not None:
            self.coordinator.client_gone(client)

    def restart(self, scheduler: Scheduler) -> None:
        """End all runs."""
        if self.coordinator is not None:
            self.coordinator.restarted()

    async def close(self) -> None:
        """End, when the scheduler does."""
        if self.coordinator is not None:
            await asyncio.to_thread(self.coordinator.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return DaskflowScheduler, ()


async def dask_setup(scheduler: Scheduler) -> None:
    """Called by ``dask scheduler --preload daskflow_plugins.scheduler``."""
    plugin = DaskflowScheduler()
    await plugin.start(scheduler)
    scheduler.add_plugin(plugin, name=NAME, idempotent=True)
