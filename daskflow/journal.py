"""Journals: what a unit tells of its nodes, of its child runs, and of what the cache did. Pure: frames in, reports out.

Nodes are a :class:`~daskflow.nodelog.NodeLog`'s affair. A child run is too small a thing to have a message, or an object anywhere, of
its own. While a unit executes, each child run that ends leaves three numbers; when something is said to the scheduler anyhow, or a
while has passed, those become a **report**: opaque bytes, which the scheduler only keeps. Whoever asks folds the reports
(:mod:`daskflow.children`, :mod:`daskflow.runstate`).
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from daskflow.caching import CacheStatus
from daskflow.entity import LAUNCH_PLAN
from daskflow.frames import Frame, GraphFrame, MapFrame, Part, Root
from daskflow.graph import Graph
from daskflow.nodelog import SHORT, NodeLog
from daskflow.reports import Done, Open, Report, Told, read, write

__all__ = ["Done", "Journal", "Open", "Report", "Told", "read"]


class _Calls:
    """The calls of one launch plan in one body, as far as there is news of them."""

    __slots__ = ("ends", "slots", "starts")

    def __init__(self) -> None:
        # Arrays, since objects that stay would have the garbage collector look at all that a unit holds, again and again.
        self.slots = array("q")
        self.starts = array("d")
        self.ends = array("d")


def _told(frame: Frame, plan: Any, calls: _Calls) -> tuple[Any, ...]:
    """Return calls as a :class:`Told`, but as a plain tuple."""
    scope, slots = frame.scope, calls.slots
    labels: Any = None
    if isinstance(frame, MapFrame):
        total = 0 if frame.exports else len(frame.values)
        slots = array("q", (slot + frame.offset for slot in slots)) if frame.offset else slots
    else:
        assert isinstance(frame, GraphFrame)
        graph = frame.graph
        if graph.places is not None:
            slots = array("q", map(frame.place, slots))
            labels = {frame.place(slot): frame.label(slot) for slot in calls.slots}
            return (scope.run_id, scope.address, scope.digest, plan.name, _limit(plan), 0, labels, slots, calls.starts, calls.ends)
        total = graph.calls(LAUNCH_PLAN).get(plan, 0) if isinstance(graph, Graph) else 0
        labels = _labels(graph, slots)
    return (scope.run_id, scope.address, scope.digest, plan.name, _limit(plan), total, labels, slots, calls.starts, calls.ends)


def _limit(plan: Any) -> int | None:
    limit: int | None = plan.max_parallelism if plan.max_parallelism is not None else plan.workflow.max_parallelism
    return limit


def _labels(graph: Graph | Part, slots: Sequence[int]) -> dict[int, str] | tuple[int, list[str]]:
    if isinstance(graph, Graph) and graph.in_order and len(graph.nodes) <= _FEW * len(slots):
        # Numbering names is for whoever reads them.
        return graph.n_inputs, graph.names()
    return {slot: graph.label(slot) for slot in slots}


#: All nodes' names are told where there are at most so many for each child run told of.
_FEW = 4


class Journal(NodeLog):
    """What one unit has to tell.

    Parameters
    ----------
    epoch : float, optional
        What to add to the clock that frames are timed with, to get seconds since the epoch.
    worker : str
        The address of the unit's worker.
    short : float
        Seconds: what is inside a shorter body is only counted.
    """

    def __init__(self, epoch: float | None = None, worker: str = "", short: float = SHORT) -> None:
        super().__init__(short)
        self._worker = worker
        self._epoch = time.time() - time.perf_counter() if epoch is None else epoch
        self._told: list[tuple[Any, ...]] = []
        self._parent: Frame | None = None
        self._calls: dict[Any, _Calls] = {}
        self._ended: list[tuple[str, float]] = []
        self._marks: set[tuple[bytes, int]] = set()
        self._cached: list[tuple[Any, ...]] = []
        self._fell: list[tuple[str, float]] = []
        self._looked_in: Frame | None = None
        self._looked: dict[int, CacheStatus] = {}
        #: The unit's probe, where tests look on.
        self.probe: Any = None
        #: What keeps the unit's outputs, and knows what an earlier run has made.
        self.keeper: Any = None
        #: What tasks write, where it is taken: an object with a method ``take``.
        self.logs: Any = None

    def cached(self, frame: Frame, slot: int, status: CacheStatus) -> None:
        """Note what the cache did for a node of a frame; for the frame's own result where the slot is -1."""
        if slot < 0 and frame.parent is not None:
            frame, slot = frame.parent, frame.slot
        if frame is not self._looked_in:
            self._look_away()
            self._looked_in = frame
        self._looked[slot] = status

    def _look_away(self) -> None:
        frame, looked = self._looked_in, self._looked
        if frame is not None:
            if isinstance(frame, MapFrame):
                labels: Any = frame.offset
            else:
                # The call that a run begins with is the run.
                is_run = isinstance(frame, GraphFrame) and isinstance(frame.graph, Root)
                labels = {slot: "" if is_run else frame.label(slot) for slot in looked if slot >= 0}
            self._cached.append((frame.scope.address, labels, list(looked), [str(status) for status in looked.values()]))
            self._looked_in, self._looked = None, {}

    def began(self, frames: Sequence[Frame]) -> None:
        """Note frames that are given up, and the child runs among them, unless it is known that those have begun."""
        for frame in frames:
            self._told.extend(self._begun_run(frame))
        self.dropped(frames)

    def fell(self, address: str) -> None:
        """Note that a node has failed while the run goes on."""
        super().fell(address)
        self._fell.append((address, time.perf_counter()))

    def ended(self, frame: GraphFrame) -> None:
        """Note that a child run has its result."""
        parent, now = frame.parent, time.perf_counter()
        if parent is None:
            self._ended.append((frame.scope.run_id, now))
            return
        if parent is not self._parent:
            self._leave()
            self._parent = parent
        calls = self._calls.get(frame.entity)
        if calls is None:
            calls = self._calls[frame.entity] = _Calls()
        calls.slots.append(frame.slot)
        calls.starts.append(frame.started)
        calls.ends.append(now)

    def _leave(self) -> None:
        """Make news of the body that calls were noted of, and let go of it."""
        if self._parent is not None:
            self._told += [_told(self._parent, plan, calls) for plan, calls in self._calls.items()]
            self._parent, self._calls = None, {}

    def report(self, frames: Sequence[Frame] = (), coming: int | None = None) -> bytes | None:
        """Return what is new since the last report, with the child runs among these frames, a stack, as executing.

        Parameters
        ----------
        frames
            The whole stack, lowest first; none where the execution is over.
        coming : int, optional
            The slot of the node of the highest frame that is about to begin.
        """
        self._leave()
        self._look_away()
        told, self._told = self._told, []
        cached, self._cached = self._cached, []
        ended, self._ended = self._ended, []
        fell, self._fell = self._fell, []
        for frame in frames:
            told.extend(self._announced(frame))
            told.extend(self._begun_run(frame))
        probed = self.probe.take() if self.probe is not None else None
        recovered = self.keeper.take() if self.keeper is not None else []
        logs = self.logs.take() if self.logs is not None else []
        parts = {"told": told, "ended": ended, "cached": cached, "fell": fell, "probed": probed, "recovered": recovered, "logs": logs}
        return write({"epoch": self._epoch, "worker": self._worker, **parts, **self._news(frames, coming)})

    def _is_new(self, frame: Frame, slot: int) -> bool:
        mark = (frame.scope.digest, slot)
        if mark in self._marks:
            return False
        self._marks.add(mark)
        return True

    def _begun_run(self, frame: Frame) -> Iterator[tuple[Any, ...]]:
        """Yield a child run that is executing, unless that was told."""
        parent = frame.parent
        is_run = frame.entity is not None and frame.entity.kind == LAUNCH_PLAN
        if is_run and parent is not None and frame.started and self._is_new(parent, frame.slot):
            calls = _Calls()
            calls.slots.append(frame.slot)
            calls.starts.append(frame.started)
            calls.ends.append(-1.0)
            yield _told(parent, frame.entity, calls)

    def _announced(self, frame: Frame) -> Iterator[tuple[Any, ...]]:
        """Yield how many child runs there will be of each launch plan that the frame calls, unless that was told."""
        plans = _plans(frame)
        if plans and self._is_new(frame, -1):
            for plan in plans:
                yield _told(frame, plan, _Calls())


def _plans(frame: Frame) -> Iterable[Any]:
    """Return the launch plans that a frame calls, where the frame is the whole of its body."""
    if isinstance(frame, MapFrame):
        target = frame.entity.target  # type: ignore[union-attr]
        return [target] if target.kind == LAUNCH_PLAN and not frame.exports else []
    return frame.graph.calls(LAUNCH_PLAN) if isinstance(frame, GraphFrame) and isinstance(frame.graph, Graph) else ()
