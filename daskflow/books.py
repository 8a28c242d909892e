"""The books of the ledger: its units, and what follows when one of them starts, ends or fails. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from daskflow.admission import Admission
from daskflow.leasing import Leases
from daskflow.records import (
    Adopt,
    Ceased,
    Create,
    Ended,
    Fell,
    Free,
    Instruction,
    LedgerError,
    Lift,
    Run,
    Spec,
    State,
    Status,
    Stop,
    Unit,
    Value,
    Wake,
)
from daskflow.scope import cancelled_at, falls, is_in
from daskflow.terms import NOTHING, PlanLimit


class Books:
    """The units of all runs: what :class:`~daskflow.ledger.Ledger` does on each event is put together from this."""

    def __init__(self, most_deaths: int = 5) -> None:
        self.admission = Admission()
        self.units: dict[str, Unit] = {}
        self.runs: dict[str, Run] = {}
        self.most_deaths = most_deaths
        self.instructions: list[Instruction] = []
        self.leases = Leases()

    def fail_run(self, run_id: str, failure: Any) -> None:
        """Fail a run that has not ended; one that was replaced is cancelled, and one that was not to begin skipped."""
        kind = failure if isinstance(failure, dict) else {}
        status = Status.ABORTED if "replaced" in kind else Status.SKIPPED if kind.get("skipped") else Status.FAILED
        self._end(run_id, status, failure)

    def _running(self, key: str) -> Unit | None:
        unit = self.units.get(key)
        return unit if unit is not None and unit.state is State.RUNNING else None

    def _find(self, key: str) -> Unit:
        try:
            return self.units[key]
        except KeyError:
            raise LedgerError(f"unit {key} is not known") from None

    def _add(self, run: Run, spec: Spec, owner: Unit | None = None) -> Unit:
        unit = Unit(run, spec)
        unit.owner = owner if spec.domain else None
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
        if unit.terms.soon and len(unit.deps) > unit.missing:
            unit.missing = 0
        elif unit.terms.soon:
            unit.missing = min(unit.missing, 1)
        fallen = [domain for domain in unit.domain if domain in run.fallen]
        if fallen:
            self._end_failed(unit, run.fallen[fallen[0]])
        elif run.cancelled and (place := cancelled_at(unit.address, run.cancelled)) is not None:
            self._cease(unit, place)
        elif not unit.missing:
            self._enqueue(unit)
        return unit

    def _fail(self, unit: Unit, failure: Any, domain: tuple[str, ...] | None = None) -> None:
        domain = unit.domain if domain is None else domain
        if domain:
            self._fall(unit.run, domain[-1], failure)
        else:
            self.fail_run(unit.run.id, failure)

    def _fall(self, run: Run, domain: str, failure: Any) -> None:
        """End all units of something that has failed: whoever waits for one is told of the failure instead of a result."""
        if domain in run.fallen or run.status.ended:
            return
        run.fallen[domain] = failure
        units = list(run.domains.get(domain, ()))
        # Who spilled them executes a part of it as well, unless it is one of them itself.
        owners = dict.fromkeys(unit.owner for unit in units if unit.owner is not None and domain not in unit.owner.domain)
        self.instructions.extend(Fell(owner.key, domain, failure) for owner in owners if owner.state is State.RUNNING)
        for unit in units:
            # What it tails to is in the domain as well.
            if not unit.finished and unit.state is not State.TAILED and self.units.get(unit.key) is unit:
                self._end_failed(unit, failure)

    def _cease(self, unit: Unit, place: str) -> None:
        """End a unit since what it executes is, or is a part of, what was cancelled: that has failed."""
        failure, domain = {"cancelled": place}, falls(unit.domain, place)
        if not unit.run.cancelled[place]:
            unit.run.cancelled[place] = True
            self.instructions.append(Ceased(unit.run.id, place))
        self._fail(unit, failure, () if domain is None else (domain,))

    def _end_failed(self, unit: Unit, failure: Any) -> None:
        if unit.state is State.RUNNING:
            self.instructions.append(Stop(unit.key))
        unit.state, unit.failure, unit.finished = State.FAILED, failure, True
        self._leave_gate(unit)
        if unit.created:
            self._free_task(unit)
        self._settle(unit)

    def _leave_gate(self, unit: Unit) -> None:
        gate = unit.terms.gate
        if gate is not None and unit.run.gates.get(gate.address) is unit:
            del unit.run.gates[gate.address]

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
        # What is made again, since it was lost, has had what it needed: its turn was then, and who has it now may wait for this.
        if unit.terms is not NOTHING and not unit.finished and not self._may_start(unit):
            return
        unit.state = State.QUEUED
        self.admission.enqueue(unit.key, run=unit.run.id, pool=unit.pool, priority=(-unit.depth,), asked=unit.terms.resources)

    def _may_start(self, unit: Unit) -> bool:
        """Tell whether a unit has all that its terms say; what it has not it waits for."""
        terms = unit.terms
        if unit.state is not State.FAILED:
            unit.state = State.WAITING
        if terms.waits and not unit.opened:
            self._wait(unit)
            return False
        if terms.plan is not None and not self._begins(unit, terms.plan):
            return False
        return not terms.lease or terms.held or self.leases.take(unit, terms.lease)

    def _wait(self, unit: Unit) -> None:
        gate = unit.terms.gate
        if gate is not None:
            unit.run.gates[gate.address] = unit
        seconds = unit.terms.delay if gate is None else gate.timeout
        if seconds is not None:
            self.instructions.append(Wake(unit.key, unit.run.id, seconds))

    def _begins(self, unit: Unit, plan: PlanLimit) -> bool:
        """Tell whether a unit may begin a run of a plan, of which there may be only so many."""
        lease = f"plan {plan.plan}"
        if lease not in unit.leases and not self.leases.is_free(lease, plan.limit):
            if plan.behavior == "REPLACE":
                self._fail(self.leases.oldest(lease), {"replaced": plan.plan})
            elif plan.behavior != "QUEUE":
                self._fail(unit, {"busy": plan.plan, "limit": plan.limit, "skipped": plan.behavior == "SKIP"})
                return False
        # The oldest may have been of the same run, which is over then.
        is_there = self.units.get(unit.key) is unit and unit.state is State.WAITING
        return is_there and self.leases.take(unit, lease, plan.limit)

    def _pass_on(self, unit: Unit, heir: Unit) -> None:
        """The result of a unit will be that of another one, which has its leases now."""
        if heir.finished:
            self._end_leases(unit)
        else:
            self.leases.pass_on(unit, heir)

    def _end_leases(self, unit: Unit) -> None:
        for lease in self.leases.end(unit) if unit.leases else ():
            # One may have it. Those of a run that has ended are gone; and who may not start for another reason leaves it to the next.
            one: Unit | None = self.leases.next(lease)
            while one is not None and not self._asks_again(one, lease):
                one = self.leases.next(lease)

    def _asks_again(self, unit: Unit, lease: str) -> bool:
        """Let a unit that waited for a lease ask again; tell whether it has it."""
        if self.units.get(unit.key) is unit and unit.state is State.WAITING:
            self._enqueue(unit)
        return lease in unit.leases

    def _start(self, unit: Unit) -> None:
        unit.state = State.RUNNING
        for pool in unit.holds:
            self.admission.hold(unit.key, pool)
        if unit.created:
            self.instructions.append(Lift(unit.key))
            return
        unit.created = True
        # What may start soon does so without those that have not ended, and goes on to wait for them.
        sources = [(dep.key, source) for dep in unit.deps if (source := dep.last()).finished]
        deps = tuple((name, source.key) for name, source in sources if source.failure is None)
        failures = tuple((name, source.failure) for name, source in sources if source.failure is not None)
        cancelled = tuple(place for place in unit.run.cancelled if is_in(place, unit.address))
        self.instructions.append(
            Create(unit.key, unit.run.id, unit.payload, deps, unit.depth, unit.terms, failures, unit.answer, cancelled, unit.address)
        )
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
        # A limited plan that refused the one before it may have ended the run.
        if not waiter.missing and waiter.state is State.WAITING and self.units.get(waiter.key) is waiter:
            self._enqueue(waiter)

    def _check_root(self, run: Run) -> None:
        if run.status.ended:
            return
        assert run.root is not None
        last = run.root.last()
        if last.finished:
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
        if unit.state is State.RUNNING:
            self.instructions.append(Stop(unit.key))
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
        self._leave_gate(unit)
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
        # The last first: as long as who is next stays the same, that is all there is to do.
        for unit in reversed(units):
            self.admission.release(unit.key)
        for unit in units:
            if unit.state is State.RUNNING:
                self.instructions.append(Stop(unit.key))
            if unit.created:
                self._free_task(unit)
            self.units.pop(unit.key, None)
        run.units.clear()
        run.domains.clear()
        run.gates.clear()
        for unit in units:
            self._end_leases(unit)
        run.root = None
