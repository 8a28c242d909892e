"""The ledger: every unit of every run, what it waits for, and when it may start. Pure: events in, instructions out.

A unit that spills or tail-calls changes a graph that is being executed. The graph is kept here, and Dask is told of a unit
only when nothing holds it back any more: its dependencies have their results, and :mod:`daskflow.admission` lets it in.
So a unit's edges can change freely until it starts, and Dask never has more of our tasks than it can run.

::

    submit, spill, tail              done            forgotten
        │                             │                  │
        ▼                             ▼                  ▼
     WAITING ──► QUEUED ──► RUNNING ──► DONE ──► FREED ──►
                   ▲           │ └──► TAILED ────────────►
                   └── LOST ◄──┴────── DONE, FREED          (a worker died; Dask makes it ready again)

A unit is kept while something refers to it: a unit that has yet to read its result, the unit that spilled it, the tail that
stands for it, the driver that waits for the run. What nobody refers to is freed. Dask keeps the tasks that a living result
was made from, without their data, and computes them again if a worker is lost; they come back here as LOST, and wait for
their slots like any other unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from daskflow.admission import Pool
from daskflow.books import Books
from daskflow.records import (
    Cancel,
    Crash,
    FailedItem,
    Instruction,
    LedgerError,
    Run,
    Spec,
    State,
    Status,
    Unit,
    Value,
)
from daskflow.scope import is_in


def _goes_on(unit: Unit) -> bool:
    return not unit.finished and unit.state is not State.TAILED


class Ledger(Books):
    """The units of all runs of a cluster.

    Parameters
    ----------
    most_deaths : int
        How many workers may die under a unit before its run fails.

    Notes
    -----
    Methods change the state and append to :attr:`instructions`; the caller takes those with :meth:`take` and carries them out in order.
    Events that come late, for a unit or run that is no more, are ignored.
    """

    def take(self) -> list[Instruction]:
        """Admit what may start; return all instructions since the last call."""
        for key in self.admission.admit():
            self._start(self.units[key])
        taken, self.instructions = self.instructions, []
        return taken

    # ------------------------------------------------------------ what drivers say

    def submit(self, run_id: str, spec: Spec, owner: str, inputs: Iterable[Spec] = ()) -> None:
        """Begin a run; `inputs` are units that its first one depends on.

        Raises
        ------
        LedgerError
            When there is a run of that id, or a unit of that key.
        """
        if run_id in self.runs or spec.key in self.units:
            raise LedgerError(f"run {run_id} exists already")
        run = self.runs[run_id] = Run(run_id, owner)
        for one in inputs:
            self._add(run, one)
        root = self._add(run, spec)
        # A plan that has as many runs as it may have ends this one here.
        if not run.status.ended:
            run.root = root
            root.refs += 1

    def cancel(self, run_id: str, failure: Any = None) -> None:
        """End a run that has not ended; a run that nobody knows is none."""
        self._end(run_id, Status.ABORTED, failure)

    def cancel_at(self, run_id: str, place: str) -> bool:
        """Cancel what is at, or below, an address of a run that goes on; tell whether a unit of its own executed it or waited for that.

        It has failed then: so has the run, or what may fail alone. Whatever executes more than that is told; what has ended stays.
        """
        run = self.runs[run_id]
        run.cancelled.setdefault(place, False)
        within = [unit for unit in run.units.values() if is_in(unit.address, place) and _goes_on(unit)]
        for unit in within:
            # Another one's end may have been that of all of them.
            if self.units.get(unit.key) is unit and not unit.finished:
                self._cease(unit, place)
        around = (unit for unit in run.units.values() if unit.created and _goes_on(unit) and is_in(place, unit.address))
        self.instructions.extend(Cancel(unit.key, place) for unit in around)
        return bool(within)

    def retire(self, run_id: str) -> None:
        """Forget a run; one that has not ended is cancelled."""
        self.cancel(run_id)
        run = self.runs.pop(run_id, None)
        if run is not None:
            self._drop_units(run)

    def answer(self, run_id: str, address: str, answer: bytes) -> bool:
        """Answer what a unit waits for at a gate; tell whether one waits there."""
        run = self.runs.get(run_id)
        unit = run.gates.pop(address, None) if run is not None else None
        if run is None or unit is None:
            return False
        unit.opened, unit.answer = True, answer
        if unit.terms.gate is not None:
            run.answered[address] = unit.terms.gate.name
        self._enqueue(unit)
        return True

    def woken(self, key: str) -> None:
        """The time has passed that a unit was to wait: it may start; at a gate, it is too late."""
        unit = self.units.get(key)
        if unit is None or unit.opened or unit.state is not State.WAITING:
            return
        gate = unit.terms.gate
        if gate is not None:
            self._fail(unit, {"gate": gate.address, "timeout": gate.timeout})
            return
        unit.opened = True
        self._enqueue(unit)

    # ------------------------------------------------------------ what units say

    def spill(self, key: str, specs: Iterable[Spec], holds: Iterable[Pool] = (), values: Iterable[Value] = ()) -> bool:
        """Add the units that a running unit spilled, which keeps them until it ends; tell whether it is running at all.

        Parameters
        ----------
        key
            The unit that spilled.
        specs
            What it spilled. What is known already is left as it is.
        holds
            The pools in which the unit goes on executing a node, and so counts, whatever the limit.
        values
            Values of the unit's that are needed by what it spilled.
        """
        unit = self._running(key)
        if unit is None:
            return False
        self._keep(unit, values)
        for spec in specs:
            known = self.units.get(spec.key)
            if (known is None or known not in unit.pins) and not self._take_in(unit, known or self._add(unit.run, spec, owner=unit)):
                return False
        for pool in holds:
            self.admission.hold(key, pool)
            unit.holds.append(pool)
        return True

    def tail(self, key: str, specs: Iterable[Spec], output: str, values: Iterable[Value] = ()) -> bool:
        """End a running unit: its result will be that of the unit `output`; tell whether it was running at all."""
        unit = self._running(key)
        if unit is None:
            return False
        self._keep(unit, values)
        for spec in specs:
            if spec.key not in self.units and not self._take_in(unit, self._add(unit.run, spec)):
                return False
        target = self._find(output)
        if target.last() is unit:
            raise LedgerError(f"unit {key} tails to itself")
        unit.state = State.TAILED
        unit.target = target
        self._pass_on(unit, target.last())
        target.refs += 1
        # Its thread is free only when Dask says that its task has ended: until then it counts, lest the next goes to a busy worker.
        self._let_go(unit)
        return True

    def _take_in(self, unit: Unit, child: Unit) -> bool:
        """Have a running unit keep another one; tell whether it is running still: it has ended if a limited plan refused the other."""
        if self._running(unit.key) is unit:
            self._pin(unit, child)
            return True
        child.refs += 1
        self._unref([child])
        return False

    def fail(self, key: str, failure: Any, whole: bool = False) -> None:
        """Fail what fails with a running unit: the run, or something in it that may fail alone.

        Parameters
        ----------
        key
            The unit.
        failure
            Why; opaque.
        whole : bool
            Whether what the unit executes a part of has failed, and not only the part.
        """
        unit = self._running(key)
        if unit is not None:
            self._fail(unit, failure, unit.domain[:-1] if whole else unit.domain)

    def fall(self, key: str, domain: Sequence[str], failure: Any) -> None:
        """Fail something that may fail alone, and of which a running unit, which has found that out, executes a part."""
        unit = self._running(key)
        if unit is not None:
            self._fall(unit.run, domain[-1], failure)

    def item_failed(self, key: str, item: FailedItem, failure: Any) -> None:
        """Count an item that has failed of a map, which fails once more have than may.

        Parameters
        ----------
        key
            The running unit that says so.
        item
            The item; what is said twice counts once.
        failure
            Why it failed.
        """
        unit = self._running(key)
        if unit is None:
            return
        lines, first = unit.run.items.get(item.map, ({}, failure))
        if item.place < min(lines, default=item.place + 1):
            first = failure
        lines[item.place] = item.line
        unit.run.items[item.map] = (lines, first)
        if len(lines) > item.allowed:
            self._fail(unit, {**first, "map": (item.name, item.allowed, lines)}, item.domain)

    # ------------------------------------------------------------ what Dask says

    def done(self, key: str) -> None:
        """The task of a unit has its result."""
        unit = self.units.get(key)
        if unit is None:
            return
        if unit.state is State.FAILED:
            return
        if unit.state is State.TAILED:
            self.admission.release(key)
            self._free_task(unit)
            return
        unit.finished = True
        unit.state = State.DONE if unit.refs else State.FREED
        self._settle(unit)

    def unready(self, key: str, died: bool) -> bool:
        """The task of a unit is to be computed again; tell whether it must wait to be admitted.

        Parameters
        ----------
        key
            The unit.
        died
            Whether a worker died under it.
        """
        unit = self.units.get(key)
        if unit is None or unit.state is State.FAILED:
            return False
        if unit.state is State.TAILED:
            self.admission.release(key)
            self._free_task(unit)
            return False
        unit.deaths += died
        if unit.deaths > self.most_deaths:
            # Others may have read its result, if it has had one: that can be taken back only with the run.
            crash = Crash(key, unit.deaths, unit.place or unit.address)
            self._fail(unit, crash, () if unit.finished else unit.domain)
            return False
        unit.place = ""
        self.admission.release(key)
        unit.state = State.LOST if unit.refs else State.FREED
        return True

    def ready(self, key: str) -> None:
        """The task of a unit that was lost could be computed again now."""
        unit = self.units.get(key)
        if unit is not None and unit.state in (State.LOST, State.FREED):
            self._enqueue(unit)

    def forgotten(self, key: str) -> None:
        """Dask has forgotten the task of a unit."""
        unit = self.units.get(key)
        if unit is None:
            return
        unit.created = False
        if unit.state is State.TAILED:
            self.admission.release(key)
        if unit.refs == 0:
            self._delete(unit)
        elif unit.state not in (State.TAILED, State.FAILED):
            why = f"Dask has forgotten the task {key}, which is needed: the cluster was restarted, or somebody cancelled the task"
            self.fail_run(unit.run.id, {"fault": why, "address": unit.address})

    def living(self) -> Iterator[Run]:
        """Yield the runs that have not ended."""
        return (run for run in self.runs.values() if not run.status.ended)

    def counts(self) -> dict[str, int]:
        """Return how much there is of everything."""
        admission = self.admission
        waiting, running = admission.n_waiting, admission.n_running
        pools = 0 if admission.is_empty() else 1
        return {"units": len(self.units), "running": running, "waiting": waiting, "pools": pools, "leases": len(self.leases)}
