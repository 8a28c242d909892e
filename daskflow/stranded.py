"""Runs that wait since no worker can take their work: what the scheduler knows of that, and how it is said."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from daskflow.records import State

if TYPE_CHECKING:
    from daskflow.dask_tasks import DaskTasks
    from daskflow.ledger import Ledger


class Lacking(NamedTuple):
    """What a run waits for.

    Attributes
    ----------
    workers : int
        How many workers there are.
    asked : tuple
        What tasks ask of a worker that none has, as names and amounts; empty where none takes any work.
    """

    workers: int
    asked: tuple[tuple[tuple[str, float], ...], ...] = ()


def lacking(ledger: Ledger, tasks: DaskTasks, run: str) -> Lacking | None:
    """Return what a run waits for that no worker gives; ``None`` where it goes on, has ended, or waits for something else."""
    record = ledger.runs.get(run)
    if record is None or record.status.ended:
        return None
    units = record.units
    if not tasks.takes_work:
        ready = any(unit.state in (State.QUEUED, State.RUNNING, State.LOST) for unit in units.values())
        executing = any(tasks.is_processing(key) for key, unit in units.items() if unit.state is State.RUNNING)
        return Lacking(tasks.total_workers) if ready and not executing else None
    asked = {tuple(sorted(resources.items())) for key, resources in tasks.unplaced() if key in units}
    return Lacking(tasks.total_workers, tuple(sorted(asked))) if asked else None


def message(run: str, scheduler: str, lacks: Lacking) -> str:
    """Say what a run waits for, and what is to be done.

    Examples
    --------
    >>> message("r0123456789", "tcp://10.0.0.1:8786", Lacking(0))
    'run r0123456789 waits: no worker is connected to the scheduler at tcp://10.0.0.1:8786; start one with: dask worker tcp://10.0.0.1:8786'
    >>> message("r0123456789", "tcp://10.0.0.1:8786", Lacking(2, ((("GPU", 2.0),),)))  # doctest: +ELLIPSIS
    'run r0123456789 waits: tasks ask for GPU=2, which none of 2 workers has; start one with: dask worker ... --resources GPU=2'
    """
    start, workers = f"start one with: dask worker {scheduler}", f"none of {lacks.workers} workers"
    if lacks.asked:
        wanted = [_resources(one) for one in lacks.asked]
        asked, option = ", and others for ".join(wanted), shlex.quote(wanted[0])
        return f"run {run} waits: tasks ask for {asked}, which {workers} has; {start} --resources {option}"
    if lacks.workers:
        return f"run {run} waits: {workers} takes work, since they are paused, as where memory runs out, or closing; {start}"
    return f"run {run} waits: no worker is connected to the scheduler at {scheduler}; {start}"


def _resources(asked: tuple[tuple[str, float], ...]) -> str:
    return " ".join(f"{name}={amount:g}" for name, amount in asked)
