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

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from daskflow.admission import Admission, Pool
from daskflow.records import Adopt, Crash, Create, Ended, Free, Instruction, LedgerError, Lift, Run, Spec, State, Status, Stop, Unit, Value


class Ledger:
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

    def __init__(self, most_deaths: int = 5) -> None:
        self.admission = Admission()
        self.units: dict[str, Unit] = {}
        self.runs: dict[str, Run] = {}
        self.most_deaths = most_deaths
        self.instructions: list[Instruction] = []
        #: By lease the unit that has it, and those that wait for it, in order.
        self.leases: dict[str, tuple[Unit, deque[Unit]]] = {}

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
        run.root = self._add(run, spec)
        run.root.refs += 1

    def cancel(self, run_id: str, failure: Any = None) -> None:
        """End a run that has not ended; a run that nobody knows is none."""
        self._end(run_id, Status.ABORTED, failure)

    def fail_run(self, run_id: str, failure: Any) -> None:
        """Fail a run that has not ended."""
        self._end(run_id, Status.FAILED, failure)

    def retire(self, run_id: str) -> None:
        """Forget a run; one that has not ended is cancelled."""
        self.cancel(run_id)
        run = self.runs.pop(run_id, None)
        if run is not None:
            self._drop_units(run)

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
            if known is None or known not in unit.pins:
                child = known or self._add(unit.run, spec)
                child.refs += 1
                unit.pins[child] = None
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
            if spec.key not in self.units:
                self._pin(unit, self._add(unit.run, spec))
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

    def fail(self, key: str, failure: Any) -> None:
        """Fail what fails with a running unit: the run, or something in it that may fail alone."""
        unit = self._running(key)
        if unit is not None:
            self._fail(unit, failure)

    def fall(self, key: str, domain: Sequence[str], failure: Any) -> None:
        """Fail something that may fail alone, and of which a running unit, which has found that out, executes a part."""
        unit = self._running(key)
        if unit is not None:
            self._fall(unit.run, domain[-1], failure)

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
            self._fail(unit, Crash(key, unit.deaths))
            return False
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
            self.fail_run(unit.run.id, LedgerError(f"Dask has forgotten the task {key}, which is needed"))

    # ------------------------------------------------------------ within

    def _running(self, key: str) -> Unit | None:
        unit = self.units.get(key)
        return unit if unit is not None and unit.state is State.RUNNING else None

    def _find(self, key: str) -> Unit:
        try:
            return self.units[key]
        except KeyError:
            raise LedgerError(f"unit {key} is not known") from None

    def _add(self, run: Run, spec: Spec) -> Unit:
        unit = Unit(run, spec)
        unit.deps = tuple(self._find(key) for key in spec.deps)
        self.units[spec.key] = run.units[spec.key] = unit
        for domain in unit.domain:
            run.domains.setdefault(domain, {})[unit] = None
        for dep in unit.deps:
            dep.refs += 1
            source = dep.last()
            if not source.finished:
                source.waiters.append(unit)
                unit.missing += 1
        fallen = [domain for domain in unit.domain if domain in run.fallen]
        if fallen:
            self._end_failed(unit, run.fallen[fallen[0]])
        elif not unit.missing:
            self._enqueue(unit)
        return unit

    def _fail(self, unit: Unit, failure: Any) -> None:
        if unit.domain:
            self._fall(unit.run, unit.domain[-1], failure)
        else:
            self.fail_run(unit.run.id, failure)

    def _fall(self, run: Run, domain: str, failure: Any) -> None:
        """End all units of something that has failed: whoever waits for one is told of the failure instead of a result."""
        if domain in run.fallen or run.status.ended:
            return
        run.fallen[domain] = failure
        for unit in list(run.domains.get(domain, ())):
            # What it tails to is in the domain as well.
            if not unit.finished and unit.state is not State.TAILED and self.units.get(unit.key) is unit:
                self._end_failed(unit, failure)

    def _end_failed(self, unit: Unit, failure: Any) -> None:
        if unit.state is State.RUNNING:
            self.instructions.append(Stop(unit.key))
        unit.state, unit.failure, unit.finished = State.FAILED, failure, True
        if unit.created:
            self._free_task(unit)
        self._settle(unit)

    def _keep(self, unit: Unit, values: Iterable[Value]) -> None:
        """Take up values of a unit as units that have been executed."""
        for value in values:
            known = self.units.get(value.key)
            if known is None:
                known = Unit(unit.run, Spec(value.key, b"", (), unit.pool, unit.depth))
                known.state, known.created, known.finished = State.DONE, True, True
                self.units[value.key] = unit.run.units[value.key] = known
                self.instructions.append(Adopt(value.key, unit.run.id, unit.key, value.place, unit.depth))
            if known not in unit.pins:
                self._pin(unit, known)

    def _pin(self, unit: Unit, child: Unit) -> None:
        child.refs += 1
        unit.pins[child] = None

    def _enqueue(self, unit: Unit) -> None:
        if unit.lease and unit.lease not in unit.leases and not self._lease(unit):
            unit.state = State.WAITING
            return
        unit.state = State.QUEUED
        self.admission.enqueue(unit.key, run=unit.run.id, pool=unit.pool, priority=(-unit.depth,))

    def _lease(self, unit: Unit) -> bool:
        """Give a unit its lease, if nobody has it; let it wait for that otherwise."""
        if unit.lease in self.leases:
            waiting = self.leases[unit.lease][1]
            if unit not in waiting:
                waiting.append(unit)
            return False
        self.leases[unit.lease] = (unit, deque())
        unit.leases.append(unit.lease)
        return True

    def _pass_on(self, unit: Unit, heir: Unit) -> None:
        """The result of a unit will be that of another one, which has its leases now."""
        if heir.finished:
            self._end_leases(unit)
            return
        for lease in unit.leases:
            self.leases[lease] = (heir, self.leases[lease][1])
        heir.leases += unit.leases
        unit.leases = []

    def _end_leases(self, unit: Unit) -> None:
        leases, unit.leases = unit.leases, []
        for lease in leases:
            _, waiting = self.leases.pop(lease)
            # Those of a run that has ended meanwhile are gone.
            alive = [one for one in waiting if self.units.get(one.key) is one and one.state is State.WAITING]
            if alive:
                self.leases[lease] = (alive[0], deque(alive[1:]))
                alive[0].leases.append(lease)
                self._enqueue(alive[0])

    def _start(self, unit: Unit) -> None:
        unit.state = State.RUNNING
        for pool in unit.holds:
            self.admission.hold(unit.key, pool)
        if unit.created:
            self.instructions.append(Lift(unit.key))
            return
        unit.created = True
        sources = [(dep.key, dep.last()) for dep in unit.deps]
        deps = tuple((name, source.key) for name, source in sources if source.failure is None)
        failures = tuple((name, source.failure) for name, source in sources if source.failure is not None)
        self.instructions.append(Create(unit.key, unit.run.id, unit.payload, deps, unit.depth, unit.lease, failures))
        unit.payload = b""

    def _settle(self, unit: Unit) -> None:
        """A unit has ended: let go of its slots and of what it held, and tell those that wait."""
        self.admission.release(unit.key)
        self._end_leases(unit)
        self._let_go(unit)

    def _let_go(self, unit: Unit) -> None:
        waiters, unit.waiters = unit.waiters, []
        last = unit.last()
        if last.finished:
            for waiter in waiters:
                self._arrived(waiter)
            self._check_root(unit.run)
        else:
            last.waiters.extend(waiters)
        self._unref([*unit.pins, *unit.deps])
        unit.pins, unit.deps, unit.holds = {}, (), []

    def _arrived(self, waiter: Unit) -> None:
        waiter.missing -= 1
        if not waiter.missing and waiter.state is State.WAITING:
            self._enqueue(waiter)

    def _check_root(self, run: Run) -> None:
        assert run.root is not None
        last = run.root.last()
        if last.finished and not run.status.ended:
            run.status = Status.SUCCEEDED
            run.result = last.key
            self.instructions.append(Ended(run.id))

    def _unref(self, units: Iterable[Unit]) -> None:
        left = list(units)
        while left:
            unit = left.pop()
            unit.refs -= 1
            if unit.refs == 0:
                left.extend(self._release(unit))

    def _release(self, unit: Unit) -> list[Unit]:
        """Free a unit that nobody refers to; return those that it referred to."""
        self.admission.release(unit.key)
        held = [*unit.pins, *unit.deps]
        if unit.target is not None:
            held.append(unit.target)
        unit.pins, unit.deps = {}, ()
        if unit.state not in (State.TAILED, State.FAILED):
            unit.state = State.FREED
        if unit.created:
            self._free_task(unit)
        else:
            self._delete(unit)
        return held

    def _free_task(self, unit: Unit) -> None:
        self.instructions.append(Free(unit.key, unit.run.id))

    def _delete(self, unit: Unit) -> None:
        # It may be running, or wait for that, for the sake of a task that is gone by now as well.
        self.admission.release(unit.key)
        self.units.pop(unit.key, None)
        unit.run.units.pop(unit.key, None)
        for domain in unit.domain:
            self._leave(unit, domain)
        self._end_leases(unit)

    def _leave(self, unit: Unit, domain: str) -> None:
        members = unit.run.domains.get(domain)
        if members is not None:
            members.pop(unit, None)
            if not members:
                del unit.run.domains[domain]

    def _end(self, run_id: str, status: Status, failure: Any) -> None:
        run = self.runs.get(run_id)
        if run is None or run.status.ended:
            return
        run.status = status
        run.failure = failure
        self._drop_units(run)
        self.instructions.append(Ended(run_id))

    def _drop_units(self, run: Run) -> None:
        units = list(run.units.values())
        for unit in units:
            self.admission.release(unit.key)
            if unit.state is State.RUNNING:
                self.instructions.append(Stop(unit.key))
            if unit.created:
                self._free_task(unit)
            self.units.pop(unit.key, None)
        run.units.clear()
        run.domains.clear()
        for unit in units:
            self._end_leases(unit)
        run.root = None

    def living(self) -> Iterator[Run]:
        """Yield the runs that have not ended."""
        return (run for run in self.runs.values() if not run.status.ended)
