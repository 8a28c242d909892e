"""What became of every launch plan that a run called, and what the cache did for its nodes. Pure: units' reports in, records out.

The scheduler keeps reports (:mod:`daskflow.reports`) as they come, in order, and looks into none; they are folded here, by whoever asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import overload

from daskflow.caching import CacheStatus
from daskflow.graph import numbered
from daskflow.records import Status
from daskflow.reports import Report, Told, read
from daskflow.scope import above_all, child_id, join


@dataclass(frozen=True)
class ChildRun:
    """One call of a launch plan, which is a run of its own.

    Attributes
    ----------
    id : str
        Names it everywhere; it begins with the top-level run's id.
    parent : str
        The id of the run that called it.
    address : str
        Where in the top-level run that was.
    name : str
        The launch plan.
    status : str
        ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``ABORTED``. One that has not begun has no record.
    started : datetime
        When it began, in UTC.
    seconds : float or None
        How long it took; ``None`` while it is executing.
    max_parallelism : int or None
        The limit that is set on it, by itself or its workflow; ``None`` where what is set above it holds, or else the default.
    """

    id: str
    parent: str
    address: str
    name: str
    status: str
    started: datetime
    seconds: float | None
    max_parallelism: int | None
    _family: Family = field(repr=False, compare=False)

    @property
    def children(self) -> Children:
        """The child runs that it called itself."""
        return Children(self._family, self.id)


@dataclass
class _Child:
    """One child run, as far as told."""

    label: str
    started: float
    ended: float | None


class _Calls:
    """The calls of one launch plan in one body or map, by what tells each from the others."""

    def __init__(self, first: Told) -> None:
        self.first = first
        self.total = 0
        self.rows: dict[int, _Child] = {}

    def tell(self, place: int, label: str, started: float, ended: float | None) -> None:
        """Take up what is told of one, perhaps again: a unit whose worker died begins anew."""
        known = self.rows.get(place)
        if known is None:
            self.rows[place] = _Child(label, started, ended)
        elif known.ended is None:
            known.started, known.ended = min(known.started, started), ended

    def id(self, place: int) -> str:
        """Return the id of one."""
        return child_id(self.first.parent, self.first.digest, place)


def _label(told: Told) -> Callable[[int], str]:
    """Return what gives each its name in addresses."""
    labels = told.labels
    if labels is None:
        return lambda place: f"[{place}]"
    if isinstance(labels, dict):
        return labels.__getitem__
    first, names = labels
    all_labels = numbered(names)
    return lambda place: all_labels[place - first]


class Family:
    """All child runs of one top-level run, at any depth.

    Parameters
    ----------
    reports
        What units told, in order.
    status
        Where the top-level run is in its life.
    ended : float or None
        When it ended, in seconds since the epoch.
    failed
        The id of the innermost run that failed, where that is known.
    place : str or None
        The address, without the run, of what failed it, where that is known.
    """

    def __init__(
        self,
        reports: Iterable[bytes],
        status: Status,
        ended: float | None = None,
        failed: str | None = None,
        place: str | None = None,
    ) -> None:
        self.calls: dict[tuple[bytes, str], _Calls] = {}
        self.by_parent: dict[str, list[_Calls]] = {}
        self._status = status
        self._ended = ended
        self._open: dict[str, tuple[_Calls, int]] = {}
        #: What the cache did for each node that could be cached, by its address.
        self.cached: dict[str, CacheStatus] = {}
        #: When what failed while the run went on did so, by its address.
        self.fell: dict[str, float] = {}
        #: The addresses at which an error was raised, and all above those.
        self.failing: set[str] = set()
        #: What units' probes noted, where tests look on.
        self.probed: list[bytes] = []
        for report in map(read, reports):
            self._fold(report)
        self._failed = self._chain(failed)
        self._above_failure = set(above_all(place or ""))

    def _fold(self, report: Report) -> None:
        if report.probed is not None:
            self.probed.append(report.probed)
        for told in report.told:
            calls, label = self._calls(told), _label(told)
            for place, started, ended in zip(told.places, told.starts, told.ends, strict=True):
                calls.tell(place, label(place), started + report.epoch, ended + report.epoch if ended >= 0 else None)
                if ended < 0:
                    self._open[calls.id(place)] = (calls, place)
        for id, when in report.ended:
            # Whoever ends one that it did not begin was made by a unit that has told of it; but the history may lack reports.
            if id in self._open:
                calls, place = self._open[id]
                child = calls.rows[place]
                calls.tell(place, child.label, child.started, when + report.epoch)
        self._note_cached(report)
        for address, *_ in report.errors:
            self.failing.update(above_all(address))
        self.fell.update((address, when + report.epoch) for address, when in report.fell)

    def _note_cached(self, report: Report) -> None:
        for address, labels, slots, statuses in report.cached:
            for slot, status in zip(slots, statuses, strict=True):
                name = "" if slot < 0 else f"[{slot + labels}]" if isinstance(labels, int) else labels[slot]
                self.cached[join(address, name)] = CacheStatus(status)

    def _calls(self, told: Told) -> _Calls:
        key = (told.digest, told.plan)
        calls = self.calls.get(key)
        if calls is None:
            calls = self.calls[key] = _Calls(told)
            self.by_parent.setdefault(told.parent, []).append(calls)
        calls.total = max(calls.total, told.total)
        return calls

    def _chain(self, failed: str | None) -> set[str]:
        """Return the runs that failed since an inner one did."""
        chain: set[str] = set()
        while failed in self._open and failed not in chain:
            chain.add(failed)
            failed = self._open[failed][0].first.parent
        return chain

    def record(self, calls: _Calls, place: int) -> ChildRun:
        """Return one as users see it."""
        child, first = calls.rows[place], calls.first
        address = join(first.address, child.label)
        id = calls.id(place)
        status = self.status_of(calls, place)
        ended = child.ended if child.ended is not None or status is Status.RUNNING else self._fell_at(address) or self._ended
        seconds = None if ended is None else max(0.0, ended - child.started)
        started = datetime.fromtimestamp(child.started, UTC)
        return ChildRun(id, first.parent, address, first.plan, status.value, started, seconds, first.limit, self)

    def status_of(self, calls: _Calls, place: int) -> Status:
        """Return where a child run is in its life."""
        if calls.rows[place].ended is not None:
            return Status.SUCCEEDED
        if self.fell:
            address = join(calls.first.address, calls.rows[place].label)
            fallen = self._fallen(address)
            if fallen is not None:
                return Status.FAILED if address in self.failing or fallen not in self.failing else Status.ABORTED
        if not self._status.ended or self._status is Status.SUCCEEDED:
            return self._status
        has_failed = calls.id(place) in self._failed or join(calls.first.address, calls.rows[place].label) in self._above_failure
        return Status.FAILED if has_failed else Status.ABORTED

    def _fell_at(self, address: str) -> float | None:
        """Return when a node, or something around it, failed while the run went on."""
        fallen = self._fallen(address)
        return None if fallen is None else self.fell[fallen]

    def _fallen(self, address: str) -> str | None:
        """Return the address of what failed while the run went on, if that was a node or something around it."""
        return next((above for above in above_all(address) if above in self.fell), None)

    def get(self, id: str) -> ChildRun:
        """Return the record of a child run.

        Raises
        ------
        KeyError
            When there is none of that id, or it has not begun.
        """
        for calls in self.calls.values():
            for place in calls.rows:
                if calls.id(place) == id:
                    return self.record(calls, place)
        raise KeyError(f"no child run {id} has begun")


class CacheReport(Mapping[str, CacheStatus]):
    """What the cache did for each node of a run that could be cached, by the node's address.

    Attributes
    ----------
    counts : dict
        How many there are by status.

    Examples
    --------
    >>> CacheReport({"level1/step[0]": CacheStatus.HIT, "level1/step[1]": CacheStatus.POPULATED})
    <cache: 1 HIT, 1 POPULATED>
    """

    def __init__(self, statuses: Mapping[str, CacheStatus]) -> None:
        self._statuses = statuses

    @property
    def counts(self) -> dict[str, int]:
        """How many there are by status."""
        return {status.value: count for status, count in Counter(self._statuses.values()).items()}

    def __getitem__(self, address: str) -> CacheStatus:
        return self._statuses[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statuses)

    def __len__(self) -> int:
        return len(self._statuses)

    def __repr__(self) -> str:
        return f"<cache: {', '.join(f'{count} {status}' for status, count in self.counts.items()) or 'not used'}>"


class Children(Sequence[ChildRun]):
    """The child runs that one run called, as far as they have begun: in order, those of one body or map together.

    A picture of the moment when it was made; records are made as they are asked for.

    Attributes
    ----------
    counts : dict
        How many there are by status; ``QUEUED`` are those that have not begun, as far as it is known that they are to come.
    """

    def __init__(self, family: Family, parent: str) -> None:
        self._family = family
        self._parent = parent
        self._all_calls = family.by_parent.get(parent, [])
        self._places = [(calls, place) for calls in self._all_calls for place in sorted(calls.rows)]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are by status."""
        counts: dict[str, int] = {}
        queued = sum(max(0, calls.total - len(calls.rows)) for calls in self._all_calls)
        if queued:
            counts["QUEUED"] = queued
        for calls, place in self._places:
            status = self._family.status_of(calls, place).value
            counts[status] = counts.get(status, 0) + 1
        return counts

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> ChildRun: ...

    @overload
    def __getitem__(self, index: slice) -> list[ChildRun]: ...

    def __getitem__(self, index: int | slice) -> ChildRun | list[ChildRun]:
        if isinstance(index, slice):
            return [self._family.record(*one) for one in self._places[index]]
        return self._family.record(*self._places[index])

    def get(self, id: str) -> ChildRun:
        """Return the child run of an id, at any depth of the whole top-level run; ``KeyError`` where none of that id has begun."""
        return self._family.get(id)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"<child runs of {self._parent}: {counts or 'none'}>"
