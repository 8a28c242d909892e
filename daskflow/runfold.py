"""The fold of units' reports into what is known of a run's nodes. Pure, and incremental: a report may come at any time."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from daskflow.graph import numbered
from daskflow.nodeviews import FAILED, PHASES, QUEUED, RECOVERED, RUNNING, SKIPPED, SUCCEEDED, TIMED_OUT, Attempt, NodeEvent, utc
from daskflow.reports import Done, Open, Report, Told
from daskflow.runbody import MOST_WORKERS, Body
from daskflow.scope import above_all, child_id, join

#: How the errors begin of nodes whose time was up.
_TIMEOUTS = ("TaskTimeout:", "GateTimeout:")


class Changes(Iterable[NodeEvent]):
    """What one report told that is new: made into events as somebody goes through them."""

    def __init__(self, workers: list[str]) -> None:
        self._workers = workers
        self._all: list[tuple[Body, Sequence[int], int]] = []
        self._more: list[NodeEvent] = []

    def add(self, body: Body, indices: Sequence[int], phase: int) -> None:
        """Add nodes that are in a phase now."""
        if indices:
            self._all.append((body, indices, phase))

    def add_event(self, event: NodeEvent) -> None:
        """Add an event, after all others."""
        self._more.append(event)

    def __len__(self) -> int:
        return sum(len(indices) for _, indices, _ in self._all) + len(self._more)

    def __iter__(self) -> Iterator[NodeEvent]:
        for body, indices, phase in self._all:
            for index in indices:
                since, worker = body.begun.get(index, (0.0, 0)) if phase == RUNNING else (body.ends[index], body.workers[index])
                address = join(body.address, body.label(index))
                yield NodeEvent(address, PHASES[phase], utc(since), *body.called(index), self._workers[worker])
        yield from self._more


class Fold:
    """What is known of the nodes of a run."""

    def __init__(self) -> None:
        self.bodies: dict[str, Body] = {}
        self.workers: list[str] = [""]
        #: What the cache did, by address; for items of maps the bodies know.
        self.cached: dict[str, str] = {}
        self.attempts: dict[str, list[Attempt]] = {}
        #: When an error was raised, and its line, by the address where that was.
        self.errors: dict[str, tuple[float, str]] = {}
        #: When what failed while the run went on did so, by its address.
        self.fell: dict[str, float] = {}
        #: The addresses at which an error was raised, and all above those: for each where the first in it was.
        self.failing: dict[str, str] = {}
        #: What failed and of which no more is told than that; how many of those are in what, until there are others.
        self._untold: set[str] = set()
        self._untold_in: dict[str, int] | None = None
        self._numbers: dict[str, int] = {"": 0}
        #: Bodies whose own nodes are not known yet, by the addresses of the bodies in which those may be.
        self._orphans: dict[str, list[Body]] = {}
        self._runs: dict[str, tuple[Body, int]] = {}
        #: What was told of nodes that are not known yet: a phase, and when.
        self._unplaced: dict[str, tuple[int, float, int]] = {}

    # ------------------------------------------------------------ finding

    def locate(self, address: str) -> tuple[Body, int] | None:
        """Return the body that a node is in, and its index; ``None`` where there is none."""
        if address.endswith("]"):
            cut = address.rfind("[")
            body = self.bodies.get(address[:cut])
            if body is not None and body.is_map:
                index = body.find(address[cut:])
                return None if index is None else (body, index)
        cut = len(address)
        while cut > 0:
            cut = max(address.rfind("/", 0, cut), 0)
            body = self.bodies.get(address[:cut])
            if body is not None and not body.is_map:
                index = body.find(address[cut + 1 if cut else 0 :])
                if index is not None:
                    return body, index
        return None

    def _body(self, address: str) -> Body:
        body = self.bodies.get(address)
        if body is None:
            body = self.bodies[address] = Body(address)
            if address and not self._link(body):
                for outer in _outer(address):
                    self._orphans.setdefault(outer, []).append(body)
        return body

    def _link(self, body: Body) -> bool:
        """Put a body in its place: below the node of its address, or else the nearest above it that is known; tell whether it is that."""
        for address in above_all(body.address):
            found = self.locate(address)
            if found is not None:
                body.put_below(*found, exact=address == body.address)
                return address == body.address
        return False

    # ------------------------------------------------------------ taking up

    def take(self, report: Report) -> Changes:
        """Take up a report; return what is new."""
        changes = Changes(self.workers)
        worker = self._number(report.worker)
        self._names(report)
        for done in report.done:
            self._ended(done, report.epoch, worker, changes)
        for told in report.told:
            self._child_runs(told, report.epoch, worker, changes)
        for id, when in report.ended:
            if id in self._runs:
                body, index = self._runs.pop(id)
                self._settle(body, index, SUCCEEDED, when + report.epoch, worker, changes)
        for one in report.open:
            self._begun(one, report.epoch, worker, changes)
        self._unplaced.update((address, (SUCCEEDED, when + report.epoch, worker)) for address, when in report.closed)
        self._failures(report, worker)
        self._unplaced.update((address, (RECOVERED, 0.0, worker)) for address, what in report.recovered if what == "recovered")
        self._place(changes)
        for address, *_ in report.errors:
            # No unit may have been executing it: a gate waits in none.
            if (found := self.locate(address)) is not None and found[1] not in found[0].begun:
                found[0].begin(found[1], 0.0, 0)
        self._notes(report)
        return changes

    def _number(self, worker: str) -> int:
        if worker not in self._numbers:
            if len(self.workers) > MOST_WORKERS:
                return 0
            self._numbers[worker] = len(self.workers)
            self.workers.append(worker)
        return self._numbers[worker]

    def _names(self, report: Report) -> None:
        """Take up what there is, from the outside to the inside, since what is inside is found by the names around it."""
        ones: list[Done | Open] = [*report.done, *report.open]
        for one in sorted(ones, key=lambda one: len(one.address)):
            body = self._body(one.address)
            body.told = True
            if isinstance(one, Done):
                body.run_id = one.run
                body.describe(one.kind, one.entity, one.total)
                body.name(one.labels, one.entities, one.which)
            else:
                body.describe(one.kind, one.entity, 0)
                if one.node:
                    body.name_one(body.index(one.place), _label(one), (one.node_entity, one.node_kind))
            for orphan in self._orphans.pop(one.address, ()):
                if not self._link(orphan):
                    self._orphans.setdefault(one.address, []).append(orphan)

    def _ended(self, done: Done, epoch: float, worker: int, changes: Changes) -> None:
        body = self.bodies[done.address]
        ends = array("d", [end + epoch for end in done.ends])
        if ends:
            changes.add(body, body.settle_all(done.places, done.since + epoch, ends, done.inside, worker), SUCCEEDED)
        skipped = [body.index(place) for place in done.skipped]
        changes.add(body, [index for index in skipped if body.settle(index, SKIPPED, 0.0, 0.0, worker)], SKIPPED)

    def _child_runs(self, told: Told, epoch: float, worker: int, changes: Changes) -> None:
        body = self._body(told.address)
        body.run_id, body.digest = told.parent, told.digest
        if told.labels is None and not body.is_map:
            body.describe("map", "", told.total)
        if not body.told:
            _name_runs(body, told)
        ended = []
        for place, start, end in zip(told.places, told.starts, told.ends, strict=True):
            index = body.index(place)
            if end >= 0:
                if body.settle(index, SUCCEEDED, start + epoch, end + epoch, worker):
                    ended.append(index)
            else:
                self._runs[child_id(told.parent, told.digest, place)] = (body, index)
                changes.add(body, [index] if body.begin(index, start + epoch, worker) else [], RUNNING)
        changes.add(body, ended, SUCCEEDED)

    def _begun(self, one: Open, epoch: float, worker: int, changes: Changes) -> None:
        body = self.bodies[one.address]
        if body.above is not None and body.is_placed:
            above, index = body.above
            changes.add(above, [index] if above.begin(index, one.began + epoch, worker) else [], RUNNING)
        if one.node:
            index = body.index(one.place)
            changes.add(body, [index] if body.begin(index, one.since + epoch, worker) else [], RUNNING)

    def _settle(self, body: Body, index: int, phase: int, when: float, worker: int, changes: Changes) -> None:
        if body.settle(index, phase, 0.0, when, worker):
            changes.add(body, [index], phase)

    def _failures(self, report: Report, worker: int) -> None:
        for address, when, line in report.errors:
            self.fail(address, when + report.epoch, line)
        for address, when in report.fell:
            self.fell[address] = when + report.epoch
            self._unplaced[address] = (self.how(address), when + report.epoch, worker)
        self._untold.update(report.untold)
        self._untold_in = None

    def fail(self, address: str, when: float, line: str) -> None:
        """Note where an error was raised."""
        self.errors[address] = (when, line)
        for above in above_all(address):
            self.failing.setdefault(above, address)

    def untold(self, address: str) -> int:
        """Return how many nodes failed at an address, or below it, of which no more than that is told."""
        if self._untold_in is None:
            # One whose worker died may have been executed again, and have succeeded.
            places = [one for one in self._untold if (found := self.locate(one)) is None or found[0].states[found[1]] != SUCCEEDED]
            self._untold_in = Counter(above for one in places for above in (*above_all(one), ""))
        return self._untold_in.get(address, 0)

    def how(self, address: str) -> int:
        """Return how a node failed: that its own time was up has a phase of its own."""
        return TIMED_OUT if self.errors.get(address, (0.0, ""))[1].startswith(_TIMEOUTS) else FAILED

    def _place(self, changes: Changes) -> None:
        for address, (phase, when, worker) in list(self._unplaced.items()):
            found = self.locate(address)
            if found is not None:
                del self._unplaced[address]
                self._settle(*found, phase, when, worker, changes)
            elif self._is_over(address):
                # It is inside something short, or was left out: looking for it again and again would take very long where there are many.
                del self._unplaced[address]

    def _is_over(self, address: str) -> bool:
        """Tell whether all has been told of the nearest node above an address that is known."""
        found = next((one for above in above_all(address) if (one := self.locate(above)) is not None), None)
        return found is not None and found[0].states[found[1]] != QUEUED

    def _notes(self, report: Report) -> None:
        for address, number, line, when, delay in report.attempts:
            at = utc(when + report.epoch)
            assert at is not None
            # Where a worker died, the first attempts may have been made once more.
            others = [one for one in self.attempts.get(address, ()) if one.number != number]
            self.attempts[address] = sorted([*others, Attempt(number, line, at, delay)], key=lambda one: one.number)
        for address, labels, slots, statuses in report.cached:
            body = self.bodies.get(address)
            if isinstance(labels, int) and body is not None and body.is_map:
                body.caches = body.caches or {}
                body.caches.update((slot + labels, status) for slot, status in zip(slots, statuses, strict=True) if slot >= 0)
            else:
                for slot, status in zip(slots, statuses, strict=True):
                    name = "" if slot < 0 else f"[{slot + labels}]" if isinstance(labels, int) else labels[slot]
                    self.cached[join(address, name)] = status


def _label(one: Open) -> str:
    inner = one.node[len(one.address) :]
    return inner.removeprefix("/")


def _name_runs(body: Body, told: Told) -> None:
    """Name the child runs of a body of which only those are told."""
    labels, called = told.labels, (told.plan, "launch plan")
    if isinstance(labels, tuple):
        names = numbered(labels[1])
        labels = {place: names[place - labels[0]] for place in told.places}
    for place in told.places:
        body.name_one(body.index(place), "" if labels is None else labels[place], called)


def _outer(address: str) -> list[str]:
    """Return the addresses of the bodies, or maps, in which a node may be."""
    cuts = [address.rfind("["), *(cut for cut in range(len(address)) if address[cut] == "/")]
    return list({"": None, **{address[: max(cut, 0)]: None for cut in cuts}})
