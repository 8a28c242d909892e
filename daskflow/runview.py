"""A run as it is looked at: :class:`RunView`, of one that executes, or of the past.

It is long by what it says to users: all its verbs are documented in one place.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from daskflow import failed, recovering
from daskflow.children import Children, Family
from daskflow.entries import Damaged
from daskflow.errors import InputError, RunCancelled, SchedulerLost, UnknownRun
from daskflow.historyrows import LogLine, RunRow
from daskflow.keeping import Keeping
from daskflow.outputs import Outputs, result_name
from daskflow.records import Status
from daskflow.reports import read
from daskflow.result import decoded
from daskflow.runpages import Order
from daskflow.runstate import NodeEvent, NodeView, Page, RunState

if TYPE_CHECKING:
    from daskflow.archive import Archive
    from daskflow.debugging import Reached
    from daskflow.handle import Run
    from daskflow.runevents import Events
    from daskflow.submissions import Submission

#: Seconds between two looks at what is new.
_LOOK = 0.2


class RunView:
    """One run, as far as it is known: what :func:`~daskflow.get_run` gives. It is brought up to date whenever it is asked.

    Addresses are paths within the run, such as ``level1/level2[1]``, with or without the run's id before them (``r0123456789:level1``).

    Attributes
    ----------
    id : str
        Its id.
    """

    def __init__(self, archive: Archive, row: RunRow) -> None:
        self.id = row.id
        self._archive = archive
        self._row = row
        self._state: RunState | None = None
        self._seq = 0
        self._taking_up = threading.Lock()

    # ------------------------------------------------------------ what it is

    @property
    def row(self) -> RunRow:
        """All that is kept of it in one place; ``UnknownRun`` where it was executing, and has been removed from the history since."""
        if self._row.live:
            row = self._archive.ask("run", self.id)
            if row is None:
                raise UnknownRun(f"the history does not have run {self.id} any more: it was removed since it was looked up")
            self._row = row
        return self._row

    @property
    def name(self) -> str:
        """What it is called."""
        return self._row.name

    @property
    def status(self) -> str:
        """``QUEUED``, ``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``ABORTED`` or ``SKIPPED``."""
        return self.row.status

    @property
    def started(self) -> datetime:
        """When it began, in UTC."""
        return datetime.fromtimestamp(self._row.started, UTC)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        row = self.row
        return max(0.0, (time.time() if row.ended is None else row.ended) - row.started)

    @property
    def inputs(self) -> Mapping[str, str]:
        """Its inputs, each in a short text."""
        return self._row.inputs

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self._row.labels

    @property
    def source(self) -> str | None:
        """The id of the run that it goes on from, or repeats."""
        return self._row.source

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.name}: {self.status}>"

    # ------------------------------------------------------------ its nodes

    @property
    def state(self) -> RunState:
        """The state of all its nodes, at this moment."""
        # That something is new is told to nobody: an object for each of very many nodes would take its time.
        return self._take_up(lambda _: None)

    def news(self) -> tuple[list[NodeEvent], bool]:
        """Take up what units have told since the last time; return what is new by that, and whether the run has ended."""
        events: list[NodeEvent] = []
        state = self._take_up(events.extend)
        return events, Status(state.status).ended

    def _take_up(self, tell: Callable[[Iterable[NodeEvent]], object]) -> RunState:
        with self._taking_up:
            # An end that is known comes after all that is told: it is asked for first.
            row = self.row
            state = self._state
            if state is None:
                state = self._state = RunState(self.id, row.name, row.entity, row.kind, "RUNNING", started=row.started)
            for seq, report in self._archive.ask("reports_since", self.id, self._seq):
                tell(state.tell(report))
                self._seq = seq
            if row.ended is not None and not Status(state.status).ended:
                tell(state.end(row.status, row.ended, row.failed, failed.line_of(self.id, row.error)))
            return state

    def tree(self, path: str = "", *, depth: int | None = None, width: int = 120) -> str:
        """Return its nodes as text, one below the other; a map, and a loop, is one row with what of it is worth seeing.

        Parameters
        ----------
        path : str
            The address of the node at the top; by default the run itself.
        depth : int, optional
            How many levels are shown.
        width : int
            Characters in a line.
        """
        return self.state.tree(self._path(path), depth=depth, width=width)

    def node(self, path: str = "") -> NodeView:
        """Return what is known of a node.

        Raises
        ------
        KeyError
            When none is known at that address; it names the nearest that is.
        """
        return self.state.node(self._path(path))

    def nodes(self, path: str = "", *, phase: str | None = None, order: Order = "call", offset: int = 0, limit: int = 50) -> Page:
        """Return the nodes that a node calls, page by page.

        Parameters
        ----------
        path : str
            The address of the node; by default the run itself.
        phase : str, optional
            Only those of a phase, such as ``"FAILED"``.
        order : str
            ``"call"`` for the order in which they are called, ``"slow"`` for the slowest first, ``"state"`` for those first that failed.
        offset, limit : int
            At most so many, after the first so many.
        """
        return self.state.children(self._path(path), phase=phase, order=order, offset=offset, limit=limit)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many nodes it has, at any depth, by their phases."""
        row = self.row
        if row.ended is not None and row.counts:
            return row.counts
        return {phase.value: count for phase, count in self.state.totals().items()}

    @property
    def recovered(self) -> dict[str, str]:
        """What became of the nodes that the run before had executed, by address.

        ``recovered`` where the output was taken over; ``code`` or ``inputs`` where that has changed, and ``unreadable`` where what was kept
        could not be read, and the node was executed again.
        """
        return {address: what for report in self._archive.ask("reports", self.id) for address, what in read(report).recovered}

    @property
    def children(self) -> Children:
        """The runs of the launch plans that it called."""
        row = self.row
        family = Family(self._archive.ask("reports", self.id), Status(row.status), row.ended, place=row.failed)
        return Children(family, self.id)

    def _path(self, path: str) -> str:
        own, colon, rest = path.partition(":")
        if not colon:
            return path
        if own != self.id:
            raise InputError(f"{path} is an address in run {own}, and this is run {self.id}")
        return rest

    def events(self) -> Events:
        """Return what happens to its nodes, as it happens: an iterator, and an asynchronous one, which ends with the run."""
        from daskflow.runevents import Events

        return Events(RunView(self._archive, self._row))

    def logs(self, path: str = "", *, after: int = 0, limit: int | None = None) -> list[LogLine]:
        """Return what its tasks have printed and logged, in order.

        Parameters
        ----------
        path : str
            Only of this node, and what is below it.
        after : int
            Only lines with higher numbers, which came since.
        limit : int, optional
            At most so many.
        """
        lines: list[LogLine] = self._archive.ask("logs", self.id, self._path(path) or None, after=after, limit=limit)
        return lines

    # ------------------------------------------------------------ how it ended

    @property
    def failure(self) -> Mapping[str, Any] | None:
        """The record of why it did not succeed, as plain data."""
        return self.row.error

    @property
    def error(self) -> BaseException | None:
        """Why it did not succeed: the task's own exception, where that can be brought here; None as long as it executes."""
        row = self.row
        if row.ended is None or row.status == Status.SUCCEEDED:
            return None
        if row.error is None:
            return RunCancelled(f"run {self.id} was cancelled")
        return SchedulerLost(str(row.error["lost"])) if "lost" in row.error else failed.error_of(self.id, failed.restored(row.error))

    @property
    def outputs(self) -> Any:
        """What it gave.

        Raises
        ------
        Exception
            What it failed with.
        InputError
            When it has not ended, or its result is not kept, or damaged.
        """
        row = self.row
        if row.ended is None:
            raise InputError(f"run {self.id} has no outputs yet: it is {row.status}")
        if row.status != Status.SUCCEEDED:
            raise self.error or InputError(f"run {self.id} has no outputs: it is {row.status}")
        data = self._archive.ask("result", self.id)
        if data is not None:
            return decoded(data, by_name=True)[0]
        if row.target.get("outputs"):
            outputs = Outputs(row.target["outputs"], result_name(self.id))
            for kept in outputs.index().values():
                try:
                    return outputs.load(kept[0])
                except Damaged as error:
                    raise InputError(f"the result of run {self.id} cannot be read: {kept[0].path} is damaged, {error}") from error
        how = "run it again, since the cache has it" if row.cached else "run it with checkpoint='all' to have it kept whatever its size"
        raise InputError(f"the result of run {self.id} is not kept; {how}")

    def wait(self, timeout: float | None = None) -> RunView:
        """Wait until it has ended, however it ends.

        Raises
        ------
        TimeoutError
            When it has not ended within so many seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while self.row.live:
            left = math.inf if until is None else until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"run {self.id} has not ended within {timeout} seconds")
            time.sleep(min(left, _LOOK))
        return self

    # ------------------------------------------------------------ going to a node

    def reach(self, path: str = "", *, entity: Any = None) -> Reached:
        """Execute the run again in this process, up to a node; what is kept of the run is not executed again.

        Parameters
        ----------
        path : str
            The node's address.
        entity, optional
            As for :meth:`recover`.

        Returns
        -------
        Reached
            The node, with `entity`, `inputs`, and `call()`, which calls it here.

        Raises
        ------
        InputError
            When the run comes to no such node, or what is needed is not kept.
        Exception
            What a node raises that is executed before it.
        """
        from daskflow.debugging import reach

        row, again = self.row, self.submitted(entity)
        lineage, outputs = row.target.get("lineage"), row.target.get("outputs")
        keeping = Keeping("off", outputs, lineage, recovers=True) if outputs and lineage else None
        return reach(again.entity, again.inputs, self._path(path), self.id, keeping)

    def submitted(self, entity: Any = None) -> Submission:
        """Return what it executes, or did, as it is now where that can be found, and with which inputs.

        Raises
        ------
        InputError
            When that is not kept.
        """
        return recovering.submitted(self._archive, self.row, entity)

    def kept(self, what: str) -> bytes | None:
        """Return its ``submission`` or ``result`` as it is kept; None where it is not."""
        data: bytes | None = self._archive.ask(what, self.id)
        return data

    def inputs_of(self, path: str = "", *, entity: Any = None) -> dict[str, Any]:
        """Return the values that a node is called with, by name; for that the run is executed again, as by :meth:`reach`."""
        return self.reach(path, entity=entity).inputs

    # ------------------------------------------------------------ verbs

    def cancel(self, path: str = "") -> bool:
        """Cancel it, or one of its nodes with all that is below.

        Returns
        -------
        bool
            Whether something was found there that executes, or waits. If not, what is at the path fails as soon as it would begin.

        Raises
        ------
        InputError
            When it has ended.
        ClusterError
            When its scheduler cannot be reached.
        """
        return recovering.cancel(self._archive.client, self.row, self._path(path) or None)

    def recover(self, *, client: Any = None, entity: Any = None, checkpoint: str | None = None) -> Run:
        """Go on from it: a new run with the same inputs, in which only that is executed which has not succeeded yet, or has changed.

        Parameters
        ----------
        client : distributed.Client, optional
            The cluster; by default as for :func:`~daskflow.run`.
        entity, optional
            What is run; by default what it was: as it is now in this process or its file, or, where it is in neither, as it was then.
        checkpoint : str, optional
            As for :func:`~daskflow.run`; by default as then.

        Returns
        -------
        Run
            The new one.

        Raises
        ------
        InputError
            When it has succeeded, or still executes; or what is needed is not kept.
        """
        return recovering.recover(self._archive, self.row, client, entity, checkpoint)

    def rerun(self, inputs: Mapping[str, Any] | None = None, /, *, client: Any = None, entity: Any = None, **changed: Any) -> Run:
        """Run the same again, with some inputs changed.

        Parameters
        ----------
        inputs : dict, optional
            Inputs that are to be others: a way for those that are named as a parameter of this method.
        client, entity
            As for :meth:`recover`.
        **changed
            Inputs that are to be others.

        Returns
        -------
        Run
            The new one.

        Raises
        ------
        InputError
            When there is no such input, or what is needed is not kept.
        """
        return recovering.rerun(self._archive, self.row, client, entity, {**(inputs or {}), **changed})
