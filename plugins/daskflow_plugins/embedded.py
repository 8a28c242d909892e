"""The plug-in of workers whose cluster a command or a program starts for itself."""

from __future__ import annotations

import signal

from distributed.diagnostics.plugin import WorkerPlugin
from distributed.worker import Worker


class LeavesInterrupts(WorkerPlugin):
    """Leaves Ctrl-C, which a terminal sends to all processes, to the one that started this; what a task starts gets it as before."""

    name = "daskflow-interrupts"
    idempotent = True

    def setup(self, worker: Worker) -> None:
        """Begin, in the main thread of the worker's process."""
        signal.signal(signal.SIGINT, lambda *_: None)
