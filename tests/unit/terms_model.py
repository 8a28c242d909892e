"""A model of units that start on terms: gates, pauses, leases and limited launch plans, some in parts that may fail alone."""

from __future__ import annotations

from random import Random
from typing import Any

from daskflow.admission import Pool
from daskflow.records import Cancel, Ceased, Create, FailedItem, Fell, Instruction, Spec, State, Unit, Wake
from daskflow.scope import above_all, domain_name, falls, is_in, join
from daskflow.terms import NOTHING, Gate, PlanLimit, Terms
from tests.unit.dask_model import Cluster, Task

ASKED = ((("GPU", 1.0),), (("GPU", 2.0), ("MEMORY", 1e9)))
BEHAVIORS = ("QUEUE", "FAIL", "SKIP", "REPLACE")


class TermsCluster(Cluster):
    """A cluster whose units have terms, of which some wait for somebody to answer or for a time to pass.

    What a unit starts is one level below it, and each level has plans and leases of its own: as in programs that end, no run of a plan
    waits for another one of the same plan that it has started itself.
    """

    def __init__(self, random: Random, **options: Any) -> None:
        super().__init__(random, **options)
        self.levels: dict[str, int] = {}
        self.alarms: list[str] = []
        self.begun: dict[str, list[Unit]] = {}
        self.room = {asked: random.randrange(3) for asked in ASKED}
        self.ledger.admission.room = self.room.__getitem__
        self.answered: dict[str, bytes] = {}

    def root(self, work: Any, pool: Pool | None = None) -> Spec:
        """Return the first unit of a run."""
        return self._on_terms(self.spec((work,), pool=pool), 0)._replace(domain=())

    def _on_terms(self, spec: Spec, level: int, domain: tuple[str, ...] = (), deps: tuple[str, ...] = (), address: str = "") -> Spec:
        self.levels[spec.key] = level
        terms = self.random.choice([NOTHING, self._gate, self._delay, self._lease, self._plan, self._plan, self._resources])
        if self.random.random() < 0.2:
            domain = (*domain, domain_name(f"domain of {spec.key}", len(address)))
        terms = terms if isinstance(terms, Terms) else terms(spec.key, level)
        return spec._replace(terms=terms, domain=domain, deps=deps, address=address)

    def _gate(self, key: str, level: int) -> Terms:
        return Terms(gate=Gate("gate", key, "input", "int", timeout=self.random.choice([None, 1.0])))

    def _delay(self, key: str, level: int) -> Terms:
        return Terms(delay=1.0, attempt=1)

    def _resources(self, key: str, level: int) -> Terms:
        return Terms(resources=self.random.choice(ASKED))

    def _lease(self, key: str, level: int) -> Terms:
        return Terms(lease=f"lease {level} {self.random.randrange(2)}")

    def _plan(self, key: str, level: int) -> Terms:
        behavior = self.random.choice(BEHAVIORS)
        limit = self.random.choice([1, 1, 2])
        return Terms(plan=PlanLimit(f"{behavior} {limit} {level}", limit, behavior))

    def _parts_of(self, task: Task, works: list[Any], pool: Pool | None) -> list[Spec]:
        unit, level = self.ledger.units[task.key], self.levels[task.key] + 1
        made: list[Spec] = []
        for work in works:
            after = (made[-1].key,) if made and self.random.random() < 0.5 else ()
            spec = self.spec(work, pool=self._inner(pool))
            made.append(self._on_terms(spec, level, unit.domain, after, join(unit.address, spec.key)))
            if len(made) > 1 and made[-2].terms.plan is not None and self.random.random() < 0.5:
                # Most limited plans are called more than once in a row.
                made[-1] = made[-1]._replace(terms=made[-2].terms)
        return made

    def _rest_of(self, task: Task, work: Any, deps: tuple[str, ...], pool: Pool | None) -> Spec:
        spec = self.spec(work, deps, pool)
        self.levels[spec.key] = self.levels[task.key]
        unit = self.ledger.units.get(task.key)
        # What it spilled may have ended its run.
        return spec if unit is None else spec._replace(domain=unit.domain, address=unit.address)

    def _parts(self, task: Task) -> Any:
        there = {name for name, _ in task.deps}
        # What has failed has no value.
        return [one for one in super()._parts(task) if not isinstance(one, str) or one in there]

    def flush(self) -> None:
        """Carry out instructions; look at what was begun."""
        super().flush()
        for plan, units in self.begun.items():
            going = [unit for unit in units if self.ledger.units.get(unit.key) is unit and not unit.last().finished]
            assert len(going) <= int(plan.split()[1]), f"{len(going)} runs of plan {plan}"

        for asked, room in self.room.items():
            running = [one for one in self.ledger.units.values() if one.state is State.RUNNING and one.terms.resources == asked]
            assert len(running) <= max(1, room), f"{len(running)} units have {asked}"

    def created(self, one: Create) -> None:
        """Note what begins; a unit that waited at a gate has what was answered."""
        unit = self.ledger.units.get(one.key)
        if unit is None:
            assert self.ledger.runs[one.run].status.ended
            return
        assert one.answer == self.answered.get(one.key)
        assert unit.terms.gate is None or one.answer is not None
        assert not [place for place in unit.run.cancelled if is_in(unit.address, place)], "what was cancelled began"
        assert set(one.cancelled) == {place for place in unit.run.cancelled if is_in(place, unit.address)}
        if unit.terms.plan is not None:
            self.begun.setdefault(unit.terms.plan.plan, []).append(unit)

    def other(self, one: Instruction) -> None:
        """Set an alarm; what a unit is told of failures around it, it may as well find out later."""
        if isinstance(one, Wake):
            self.alarms.append(one.key)
        else:
            assert isinstance(one, Fell | Cancel | Ceased), one

    # ------------------------------------------------------------ what happens

    def go(self) -> bool:
        """Let something happen that lets runs go on; tell whether there was anything."""
        return self.step() or self.answer() or self.ring()

    def ring(self) -> bool:
        """Let a time pass that something waits for; tell whether there is any."""
        if not self.alarms:
            return False
        self.ledger.woken(self.alarms.pop(self.random.randrange(len(self.alarms))))
        self.flush()
        return True

    def answer(self) -> bool:
        """Answer a gate, and then once more in vain; tell whether there is any that waits."""
        waiting = [unit for run in self.ledger.runs.values() for unit in run.gates.values()]
        if not waiting:
            return False
        unit = self.random.choice(waiting)
        self.answered[unit.key] = unit.key.encode()
        assert self.ledger.answer(unit.run.id, unit.key, unit.key.encode())
        assert not self.ledger.answer(unit.run.id, unit.key, b"late")
        self.flush()
        return True

    def fail(self) -> None:
        """Let a running unit fail, or find out that something around it has failed, or that an item of a map has."""
        running = [(task, unit) for task in self.processing() if (unit := self.ledger.units.get(task.key)) is not None]
        if not running:
            return
        task, unit = self.random.choice(running)
        chance = self.random.random()
        if unit.domain and chance < 0.3:
            self.say("fall", task.key, unit.domain, {"failure": []})
        elif unit.domain and chance < 0.6:
            outer = unit.domain[: self.random.randrange(len(unit.domain))]
            item = FailedItem(f"map {len(outer)}", "map", self.random.randrange(4), self.random.randrange(3), outer, "failed")
            self.say("item_failed", task.key, item, {"failure": []})
        else:
            self.say("fail", task.key, {"failure": []}, self.random.random() < 0.2)
            self._finish(task, 0)
        self.maybe_flush()

    def cancel_at(self) -> None:
        """Cancel what is at an address: nothing of it goes on, and what is beside it does if something above may fail alone."""
        places = [unit for run in self.ledger.living() for unit in run.units.values() if unit.address]
        if not places:
            return
        chosen = self.random.choice(places)
        # The unit itself, something around it, or something that it may have in it.
        run, place = chosen.run, self.random.choice([chosen.address, *above_all(chosen.address), join(chosen.address, "inside")])
        at = [unit for unit in run.units.values() if is_in(unit.address, place)]
        domain = falls(chosen.domain, place)
        others = [unit for unit in run.units.values() if not unit.finished and domain not in (None, *unit.domain)]
        self.ledger.cancel_at(run.id, place)
        left = [unit for unit in run.units.values() if is_in(unit.address, place) and unit.state is not State.TAILED]
        assert all(unit.finished for unit in left)
        if chosen in at and not any(unit.domain != chosen.domain for unit in at):
            assert run.status.ended or all(unit.state is not State.FAILED for unit in others if not is_in(unit.address, place))
        self.maybe_flush()

    def cancel(self) -> None:
        """Cancel a run."""
        living = list(self.ledger.living())
        if living:
            self.ledger.cancel(self.random.choice(living).id)
            self.maybe_flush()

    def late(self) -> None:
        """Let a unit say once more what it said, when it has ended, has died or is gone: that changes nothing."""
        said = [one for one in self.said if (unit := self.ledger.units.get(one[1][0])) is None or unit.state is not State.RUNNING]
        if said:
            method, args = self.random.choice(said)
            before = self.ledger.counts(), list(self.ledger.instructions)
            getattr(self.ledger, method)(*args)
            assert (self.ledger.counts(), self.ledger.instructions) == before

    def maybe_flush(self) -> None:
        """Carry out instructions, or leave that until something else has happened."""
        if self.random.random() < 0.5:
            self.flush()
