"""Node logs: which nodes of a unit have ended, and when. Pure: an executor's words in, parts of a report out.

An executor does a node in a microsecond or two, so noting one must cost next to nothing: two numbers are put at the end of a
list that all frames of the stack share. Since frames end in the opposite order of that in which they are entered, those of the
highest one are always the last, and as many as nodes of it are done. When a frame ends that was executed here as a whole and was
short, its numbers are cut off, and only how many there were goes to its own node. Only of a frame that somebody is told of while it
is executed is there more: a level.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from daskflow.entity import LAUNCH_PLAN, TASK
from daskflow.failed import Failed
from daskflow.frames import MISSING, Frame, GraphFrame, MapFrame, Root
from daskflow.graph import Graph
from daskflow.oneline import error_line
from daskflow.outcome import where_of
from daskflow.scope import is_in
from daskflow.stacks import node_address

#: Seconds: what is inside a shorter body is only counted.
SHORT = 0.01

#: Failures of which one unit tells more than where they were, and frames that it tells of since something in them failed.
_MOST_FAILED = 1000

_SHIFT = 32
_SLOT = (1 << _SHIFT) - 1


class _Level:
    """What is known of a frame that is told of, while it is on the stack."""

    __slots__ = ("at", "frame", "mark", "since")

    def __init__(self, frame: Frame, mark: int) -> None:
        self.frame = frame
        #: Where its numbers begin.
        self.mark = mark
        #: When the last of its nodes that is told ended.
        self.since = 0.0
        #: The node that was told to be executing; -2 while the frame itself is not told of.
        self.at = -2


class NodeLog:
    """The nodes that end in one unit.

    Parameters
    ----------
    short : float
        Seconds: what is inside a shorter body is only counted.
    """

    def __init__(self, short: float = SHORT) -> None:
        self._short = short
        # Slots and times in turn; a list, since it takes what is put at its end in a third of the time that an array needs.
        self._notes: list[Any] = []
        self._levels: list[_Level] = []
        #: The frame of the highest level, and that of the run itself.
        self._highest: Frame | None = None
        self._run: Frame | None = None
        self._begun = 0.0
        #: The frame that has the last node of which it is only counted what is inside.
        self._outer: Frame | None = None
        self._named: set[bytes] = set()
        self._done: list[tuple[Any, ...]] = []
        self._open: list[tuple[Any, ...]] = []
        # Told of in a user's thread, while another one makes a report.
        self._attempts: deque[tuple[str, int, str, float, float]] = deque()
        self._errors: list[tuple[str, float, str]] = []
        self._closed: list[tuple[str, float]] = []
        self._failures = self._fallen_frames = 0
        #: Whether something is left out of what is told of the last failure; and its error, which is told if nothing takes it.
        self._left_out = False
        self._last: tuple[str, float, str] | None = None
        self._untold: list[str] = []
        #: The address of what was told last to be executing, and whether that is a node and not a body between two of its nodes.
        self.place = ""
        self.is_at_node = False
        self._skips: set[tuple[bytes, int]] = set()

    # ------------------------------------------------------------ what an executor says

    def begin(self, frames: Sequence[Frame]) -> list[Any]:
        """Note that an execution begins with a stack of frames, lowest first, which it did not make itself; return the notes."""
        self._levels = [_Level(frame, 0) for frame in frames]
        self._highest = frames[-1]
        self._run = frames[0] if _holds_run(frames[0]) else None
        self._begun = perf_counter()
        return self._notes

    def note(self, slot: int) -> None:
        """Note that a node, or item, of the highest frame has ended."""
        self._notes.append(slot)
        self._notes.append(perf_counter())

    def ended(self, frame: Any) -> None:
        """Note that a child run has its result."""
        raise NotImplementedError

    def left(self, frame: Frame) -> float:
        """Note that the highest frame has its result, and with it the node of the one below; return when."""
        entity, now = frame.entity, perf_counter()
        if entity is not None and entity.kind == LAUNCH_PLAN and isinstance(frame, GraphFrame) and frame.exports is None:
            self.ended(frame)
        # The nodes of the run's own body are told of however short it is.
        if frame is self._highest or now - frame.started >= self._short or frame.parent is self._run:
            self._left(frame, now)
            return now
        notes, inside = self._notes, frame.done
        mark = len(notes) - 2 * inside
        if self._outer is frame:
            inside += sum([slot >> _SHIFT for slot in notes[mark::2]])
        self._outer = frame.parent
        del notes[mark:]
        notes.append(frame.slot + (inside << _SHIFT))
        notes.append(now)
        return now

    def _left(self, frame: Frame, now: float) -> None:
        """Tell of the highest frame, which has its result."""
        notes, levels = self._notes, self._levels
        level = levels.pop() if frame is self._highest else _Level(frame, len(notes) - 2 * frame.done)
        self._tell(level, len(notes), None, over=True)
        del notes[level.mark :]
        self._highest = levels[-1].frame if levels else None
        if levels:
            notes.append(frame.slot)
            notes.append(now)
            return
        self._outer = None
        # What waits for a whole body is in another unit.
        if frame.entity is not None and getattr(frame, "exports", None) in (None, False) and frame.scope.address:
            self._closed.append((frame.scope.address, now))

    def dropped(self, frames: Sequence[Frame]) -> None:
        """Note that the highest frames are given up, since something in them has failed."""
        kept = len(self._levels) - len(frames)
        levels, self._levels = self._levels[kept:], self._levels[:kept]
        if not levels:
            return
        mark = levels[0].mark
        self._highest = self._levels[-1].frame if self._levels else None
        if self._last is None and self._fallen_frames < _MOST_FAILED:
            self._fallen_frames += len(frames)
            self._tell_all(levels)
        else:
            self._left_out = True
        del self._notes[mark:]

    def raised(self, top: Frame, frame: Frame, slot: int, error: BaseException) -> None:
        """Note where an error was raised."""
        # What has something in it that failed is not only counted.
        self._look_at(top)
        if any(level.frame.handler is not None for level in self._levels):
            # A frame that has failed knows its nodes no longer.
            self._tell_all(self._levels)
            del self._notes[:]
        self._tell_error(_origin(frame, slot, error), error)

    def failed_elsewhere(self, frame: Frame, slot: int) -> None:
        """Note that a node, or item, of a frame has failed in another unit, or without any: nobody may have told that."""
        error = frame.values[slot].exception()
        self._tell_error(_origin(frame, slot, error), error)
        self.fell(node_address(frame, slot))

    def _tell_error(self, address: str, error: BaseException) -> None:
        told = (address, perf_counter(), error_line(error))
        self._failures += 1
        if self._failures <= _MOST_FAILED:
            self._errors.append(told)
        else:
            self._left_out, self._last = True, told

    def fell(self, address: str) -> None:
        """Note that a node has failed while the run goes on."""
        if self._left_out:
            self._untold.append(address)
        self._left_out, self._last = False, None

    def attempt(self, address: str, number: int, error: BaseException, delay: float) -> None:
        """Note that an attempt of a task has failed, and that another one follows after so many seconds."""
        self._attempts.append((address, number, error_line(error), perf_counter(), delay))

    # ------------------------------------------------------------ what is told

    def _news(self, frames: Sequence[Frame], coming: int | None = None) -> dict[str, Any]:
        """Return the parts of a report that tell of nodes.

        Parameters
        ----------
        frames
            The whole stack, or none where the execution is over.
        coming : int, optional
            The node of the highest frame that begins now; by default the one that has begun last, unless it has ended.
        """
        if frames and self._levels:
            self._look_at(frames[-1])
            self._tell_all(self._levels, coming)
            del self._notes[:]
        attempts = [self._attempts.popleft() for _ in range(len(self._attempts))]
        # However many there were before: what nothing has taken is why the unit fails.
        errors = self._errors if self._last is None else [*self._errors, self._last]
        news: dict[str, Any] = {"done": self._done, "open": self._open, "closed": self._closed, "attempts": attempts}
        news |= {"errors": errors, "untold": self._untold}
        self._done, self._open, self._closed, self._errors, self._untold, self._last = [], [], [], [], [], None
        return news

    def _look_at(self, top: Frame) -> None:
        """Have a level for each frame of a stack."""
        new: list[Frame] = []
        frame: Frame | None = top
        while frame is not None and (not self._levels or frame is not self._levels[-1].frame):
            new.append(frame)
            frame = frame.parent
        mark = len(self._notes) - 2 * sum(frame.done for frame in new)
        for frame in reversed(new):
            self._levels.append(_Level(frame, mark))
            mark += 2 * frame.done
        self._highest = top

    def _tell_all(self, levels: Sequence[_Level], coming: int | None = None) -> None:
        stops = [*(level.mark for level in levels[1:]), len(self._notes)]
        uppers = [*(level.frame.slot for level in levels[1:]), coming]
        for level, stop, upper in zip(levels, stops, uppers, strict=True):
            self._tell(level, stop, upper)
        for level in levels:
            level.mark = 0

    def _tell(self, level: _Level, stop: int, upper: int | None, over: bool = False) -> None:
        """Tell what is new of a frame, whose numbers end before `stop`; `upper` is the slot of the frame above it."""
        frame, mark = level.frame, level.mark
        at = level.at if over else _at_work(frame) if upper is None else upper
        if at != level.at:
            self._note_place(frame, at)
        since = level.since or frame.started or self._begun
        ended = self._notes[stop - 1] if stop > mark else since
        skipped = self._skipped(frame) if _may_skip(frame) else []
        # What holds only the call that a run begins with, or its large inputs, is no body.
        if frame.entity is not None:
            if stop > mark or skipped or level.at == -2:
                self._done.append(self._segment(frame, mark, stop, since, skipped))
            if at != level.at:
                self._open.append(self._at(frame, at, ended))
        level.since, level.at = ended, at

    def _note_place(self, frame: Frame, slot: int) -> None:
        self.is_at_node = slot >= 0 and (frame.entity is not None or _is_task(frame, slot))
        self.place = node_address(frame, slot if self.is_at_node else -1)

    def _at(self, frame: Frame, slot: int, since: float) -> tuple[Any, ...]:
        kind = frame.entity.kind_name if frame.entity is not None else ""
        of = (frame.scope.address, frame.entity.name if frame.entity is not None else "", kind, frame.started or self._begun)
        if slot < 0:
            return (*of, "", -1, "", "", since)
        called = _called(frame, slot)
        node = ("", "") if called is None else (called.name, called.kind_name)
        return (*of, node_address(frame, slot), frame.place(slot), *node, since)

    def _segment(self, frame: Frame, mark: int, stop: int, since: float, skipped: list[int]) -> tuple[Any, ...]:
        """Return nodes as a :class:`~daskflow.reports.Done`, but as a plain tuple."""
        assert frame.entity is not None
        scope, slots, inside = frame.scope, self._notes[mark:stop:2], 0
        if slots and max(slots) > _SLOT:
            inside = _uniform([slot >> _SHIFT for slot in slots])
            slots = [slot & _SLOT for slot in slots]
        what = (scope.run_id, scope.address, frame.entity.name, frame.entity.kind_name, *self._names(frame, slots), since)
        return (*what, _places(frame, slots), array("d", self._notes[mark + 1 : stop : 2]), inside, skipped)

    def _names(self, frame: Frame, slots: Sequence[int]) -> tuple[Any, ...]:
        """Return the names of nodes, what they call, and how many there are, as far as that is not told."""
        if isinstance(frame, MapFrame):
            target: Any = frame.entity.target  # type: ignore[union-attr]
            return None, [(target.name, target.kind_name)], 0, 0 if frame.exports else len(frame.values)
        assert isinstance(frame, GraphFrame)
        graph = frame.graph
        if isinstance(graph, Graph) and graph.in_order and frame.failing is None:
            if frame.scope.digest in self._named:
                return {}, [], 0, len(graph.nodes)
            self._named.add(frame.scope.digest)
            return (graph.n_inputs, graph.names()), *_table([node.entity for node in graph.nodes]), len(graph.nodes)
        called = _entities(frame)
        of = list(called) if isinstance(graph, Graph) and frame.failing is None else slots
        labels = {frame.place(slot): frame.label(slot) for slot in of}
        return labels, *_table([called.get(slot) for slot in of]), len(graph.nodes) if isinstance(graph, Graph) else 0

    def _skipped(self, frame: Frame) -> list[int]:
        """Return the nodes of a frame that are not executed, unless they are told."""
        slots: Any = frame.values.items() if isinstance(frame.values, dict) else enumerate(frame.values)
        digest, found = frame.scope.digest, []
        for slot, value in slots:
            if type(value) is Failed and value.skipped and (digest, slot) not in self._skips:
                self._skips.add((digest, slot))
                found.append(frame.place(slot))
        return found


def _origin(frame: Frame, slot: int, error: BaseException) -> str:
    """Return the address that an error comes from: it may have come to a frame from what is in it, as a value."""
    address = node_address(frame, slot)
    where = where_of(error)
    return address if where is None or not is_in(where.address, address) else where.address


def _holds_run(frame: Frame | None) -> bool:
    return isinstance(frame, GraphFrame) and isinstance(frame.graph, Root)


def _is_task(frame: Frame, slot: int) -> bool:
    """Tell whether a run begins with the call of a task, which is a node by itself."""
    called = _called(frame, slot) if _holds_run(frame) else None
    return called is not None and called.kind == TASK


def _may_skip(frame: Frame) -> bool:
    return isinstance(frame, GraphFrame) and (frame.catches or (frame.entity is not None and frame.entity.keep_going))


def _at_work(frame: Frame) -> int:
    """Return the slot of the node of the highest frame that is executing, -1 if none is."""
    slot = _at_hand(frame)
    if slot < 0 or frame.values[slot] is not MISSING:
        return -1
    called = _called(frame, slot)
    # A child run begins when its own frame does.
    return -1 if called is not None and called.kind == LAUNCH_PLAN else slot


def _at_hand(frame: Frame) -> int:
    """Return the slot of the node that was begun last, -1 where another unit executes that."""
    if isinstance(frame, MapFrame):
        slot = frame.cursor - 1
        return -1 if any(one.start <= slot < one.stop for one in frame.away) else slot
    assert isinstance(frame, GraphFrame)
    if not frame.cursor:
        return -1
    node = frame.todo[frame.cursor - 1]
    return -1 if frame.waiting and frame.waiting[-1] is node else node.slot


def _called(frame: Frame, slot: int) -> Any:
    """Return what a node of a frame calls, where that is known."""
    if isinstance(frame, MapFrame):
        return frame.entity.target  # type: ignore[union-attr]
    assert isinstance(frame, GraphFrame)
    if isinstance(frame.graph, Graph) and 0 <= slot - frame.graph.n_inputs < len(frame.graph.nodes):
        return frame.graph.nodes[slot - frame.graph.n_inputs].entity
    return _entities(frame).get(slot)


def _entities(frame: GraphFrame) -> dict[int, Any]:
    """Return what nodes of a frame call, by slot, as far as it still knows them."""
    nodes = [*(frame.graph.nodes if isinstance(frame.graph, Graph) else ()), *frame.todo]
    return {node.slot: node.entity for node in (*nodes, *filter(None, (frame.handler,)))}


def _table(entities: list[Any]) -> tuple[list[tuple[str, str]], Any]:
    """Return each entity's name and kind once, and which each is."""
    numbers: dict[Any, int] = {}
    which = [numbers.setdefault(entity, len(numbers)) for entity in entities]
    return [("", "") if one is None else (one.name, one.kind_name) for one in numbers], _uniform(which)


def _uniform(numbers: list[int]) -> Any:
    """Return one number where all are the same, and a compact sequence otherwise."""
    first = numbers[0] if numbers else 0
    return first if numbers.count(first) == len(numbers) else array("I" if max(numbers) <= _SLOT else "q", numbers)


def _places(frame: Frame, slots: list[int]) -> Any:
    if not slots:
        return 0, 0
    first, count = slots[0], len(slots)
    if isinstance(frame, MapFrame):
        # Items are begun in the order of their indices.
        first += frame.offset
        follow = slots[-1] - slots[0] + 1 == count
        return (first, first + count) if follow else array("I", [slot + frame.offset for slot in slots])
    if frame.place(first) == first:
        return (first, first + count) if slots == list(range(first, first + count)) else array("I", slots)
    return array("q", [frame.place(slot) for slot in slots])
