"""The state of a run: what became of each of its nodes, as far as units told. Pure: reports in, records out.

Nothing is made for a node until somebody asks for it: a map of a hundred thousand items is a few bytes for each.
"""

from __future__ import annotations

from collections.abc import Iterable

from daskflow.nodeviews import FAILED, PHASES, TIMED_OUT, Attempt, NodeEvent, NodeView, Page, Phase, utc
from daskflow.reports import read
from daskflow.runbody import Body
from daskflow.runfold import Changes
from daskflow.runpages import Order, checked, counted, pick
from daskflow.runphases import RunPhases
from daskflow.scope import above_all, join

__all__ = ["Attempt", "NodeEvent", "NodeView", "Page", "Phase", "RunState"]


class RunState(RunPhases):
    """What is known of a run and of its nodes.

    Parameters
    ----------
    run_id : str
        Its id.
    name : str
        A name for people.
    entity, kind : str
        The name and kind of what is run, as ``entity.name`` and ``entity.kind_name``.
    status : str
        Where the run is in its life: a :class:`~daskflow.records.Status`, or ``QUEUED``.
    started : float or None
        When it began, in seconds since the epoch.
    ended : float or None
        When it ended.
    failure_address : str or None
        The address of the innermost node that failed, with or without the run's id before it; without it, where the last error was
        raised that nothing took.
    reports : iterable of bytes
        What units told, in order.

    Examples
    --------
    >>> run = RunState("r0123456789", "nightly", "etl.nightly", "workflow", "RUNNING", 1000.0)
    >>> run.node("").phase
    <Phase.RUNNING: 'RUNNING'>
    >>> run.node("load")
    Traceback (most recent call last):
    ...
    KeyError: "run r0123456789 has no node 'load', as far as its units told; what is known is the run itself"
    >>> run.end("SUCCEEDED", 1002.5)[0].phase, run.node("").seconds
    (<Phase.SUCCEEDED: 'SUCCEEDED'>, 2.5)
    """

    def __init__(
        self,
        run_id: str,
        name: str,
        entity: str,
        kind: str,
        status: str,
        started: float | None = None,
        ended: float | None = None,
        failure_address: str | None = None,
        reports: Iterable[bytes] = (),
    ) -> None:
        super().__init__(run_id, entity, kind)
        self.name = name
        self.status = str(status)
        self.started = started
        self.ended = ended
        for report in reports:
            self.tell(report)
        if self.status not in ("QUEUED", "RUNNING"):
            self.end(status, ended, failure_address)

    # ------------------------------------------------------------ taking up

    def tell(self, report: bytes) -> Changes:
        """Take up a report of a unit.

        Returns
        -------
        Changes
            What is new: the events are made as somebody goes through them.
        """
        return self._fold.take(read(report))

    def end(self, status: str, ended: float | None, failure_address: str | None = None, failure_line: str = "") -> list[NodeEvent]:
        """Take up that the run has ended.

        Parameters
        ----------
        status, ended, failure_address
            As for the class.
        failure_line : str
            Why it failed, on one line, where no unit could tell that.

        Returns
        -------
        list of NodeEvent
            What ended with it: the run itself, and all that was running.
        """
        self.status, self.ended = str(status), ended
        if self.status == "FAILED":
            address = self._guess() if failure_address is None else self._inner(failure_address)
            self._failed = set(above_all(address))
            if failure_line and address not in self._fold.errors:
                self._fold.fail(address, ended or 0.0, failure_line)
            for above in self._failed:
                found = self._fold.locate(above)
                if found is not None and found[1] not in found[0].begun:
                    found[0].begin(found[1], 0.0, 0)
        events = [NodeEvent("", PHASES[self._own()], utc(ended or 0.0), self.entity, self.kind, "")]
        for body in self._fold.bodies.values():
            for index in sorted(body.begun):
                address = join(body.address, body.label(index))
                phase = PHASES[self._phase(body, index)]
                events.append(NodeEvent(address, phase, utc(ended or 0.0), *body.called(index), self._fold.workers[body.begun[index][1]]))
        return events

    # ------------------------------------------------------------ asking

    def node(self, address: str) -> NodeView:
        """Return the record of a node; the run itself has the empty address.

        Raises
        ------
        KeyError
            When nothing is known of it; it says what is known that is nearest.
        """
        address = self._inner(address)
        if not address:
            return self._view_of_run()
        found = self._fold.locate(address)
        if found is None:
            raise KeyError(self._unknown(address))
        return self.view(*found)

    def _unknown(self, address: str) -> str:
        known = [(above, found) for above in above_all(address) if (found := self._fold.locate(above)) is not None]
        for above, (body, index) in known:
            if body.inside is not None and body.inside[index]:
                count = body.inside[index]
                return f"{address!r} is inside {above}, which succeeded; that was short, so of the {count} nodes in it no more is told"
            if self._fold.untold(above) and self._phase(body, index) in (FAILED, TIMED_OUT):
                return f"{address!r} is inside {above}, which failed; very many nodes failed in that unit, so no more is told of it"
        text = f"run {self.run_id} has no node {address!r}, as far as its units told; what is known"
        if not known:
            return f"{text} is the run itself"
        nearest, found = known[0]
        return f"{text} that is nearest is {nearest}, which is {PHASES[self._phase(*found)]}"

    def _view_of_run(self) -> NodeView:
        own = self._own_name() or ""
        seconds = None if self.ended is None or self.started is None else max(0.0, self.ended - self.started)
        return NodeView(
            "", self.name, self.entity, self.kind, PHASES[self._own()], utc(self.started or 0.0), seconds, "",
            tuple(self._fold.attempts.get(own, ())), self._fold.cached.get(own, ""), "", 0, self.counts(""),
            (self._error(own) or self._error("")) if self.status == "FAILED" else "", self._fold.untold(""),
        )  # fmt: skip

    def view(self, body: Body, index: int) -> NodeView:
        """Return the record of a node of a body."""
        label = body.label(index)
        address = join(body.address, label)
        state = self._phase(body, index)
        phase = PHASES[state]
        started, worker = body.starts[index], body.workers[index]
        if index in body.begun:
            started, worker = body.begun[index]
        return NodeView(
            address, label, *body.called(index), phase, utc(started), self._seconds(body, index, state, address, started),
            self._fold.workers[worker], tuple(self._fold.attempts.get(address, ())),
            (body.caches or {}).get(index) or self._fold.cached.get(address, ""), self._child_run(body, index),
            body.inside[index] if body.inside is not None else 0, self.counts(address),
            self._error(address) if state in (FAILED, TIMED_OUT) else "", self._fold.untold(address),
        )  # fmt: skip

    # ------------------------------------------------------------ asking for many

    def counts(self, address: str = "") -> dict[Phase, int]:
        """Return how many of the nodes that a node calls, or of its items, are in which phase.

        Raises
        ------
        KeyError
            As for :meth:`node`.
        """
        address = self._inner(address)
        body = self.body(address)
        if body is None:
            if address and self._fold.locate(address) is None:
                raise KeyError(self._unknown(address))
            return {}
        return counted(self.phases(body))

    def totals(self) -> dict[Phase, int]:
        """Return how many nodes of the whole run, at any depth, are in which phase, with those of which nothing but that is told."""
        totals: dict[Phase, int] = {}
        inside = 0
        for body in self._fold.bodies.values():
            if not body.told or body.collapsed:
                continue
            for phase, count in counted(self.phases(body)).items():
                totals[phase] = totals.get(phase, 0) + count
            if body.inside is not None:
                inside += sum(body.inside)
        if inside:
            totals[Phase.SUCCEEDED] = totals.get(Phase.SUCCEEDED, 0) + inside
        return totals

    def children(self, address: str = "", *, phase: str | None = None, order: Order = "call", offset: int = 0, limit: int = 50) -> Page:
        """Return some of the nodes that a node calls, or of its items.

        Parameters
        ----------
        address : str
            The node; the run itself has the empty address.
        phase : str, optional
            Only those in this phase.
        order : str
            ``call`` is the order of the calls; ``slow`` begins with what took longest; ``state`` with what failed, then what is
            running, then what took longest.
        offset, limit : int
            How many to leave out, and how many to return at most.

        Raises
        ------
        KeyError
            As for :meth:`node`.
        InputError
            When the phase or order is none, or a number is negative.
        """
        wanted = checked(phase, order, offset, limit)
        address = self._inner(address)
        body = self.body(address)
        if body is None:
            if address and self._fold.locate(address) is None:
                raise KeyError(self._unknown(address))
            return Page(0, [])
        phases = self.phases(body)
        indices = body.nodes() if wanted is None else [index for index, one in enumerate(phases) if one == wanted]
        chosen = pick(body, phases, indices, order, offset, limit, self.unsettled(body, phases))
        return Page(len(indices), [self.view(body, index) for index in chosen])

    def tree(self, address: str = "", depth: int | None = None, width: int = 120) -> str:
        """Return a node, and what it calls, as text.

        Parameters
        ----------
        address : str
            The node; the run itself has the empty address.
        depth : int, optional
            How many levels below it; all by default.
        width : int
            Names are cut, with a note, so that lines have about so many characters.

        Raises
        ------
        KeyError
            As for :meth:`node`.
        """
        from daskflow.runtree import draw

        return draw(self, self.node(address), depth, width)
