"""What the tasks of a unit print and log: kept for a while, within bounds, until the unit tells it. Pure, but for the clock.

A node that writes nothing leaves nothing here.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol

from daskflow import context, logcapture
from daskflow.linejoin import Joiner, spaced

if TYPE_CHECKING:
    from daskflow.journal import Journal

#: Bytes of what waits to be told.
MOST_WAITING = 1 << 20

# Bytes that a line counts besides its text.
_LINE = 32
# A node may tell so much of its share more each second; and waits with more than is due until there is so much of it to be told.
_REFILL, _WORTH = 1 / 16, 1 / 8

#: What is told of a line: its node's address, when it was written in seconds since the epoch, its level, and the text.
Line = tuple[str, float, str, str]
_WHEN = itemgetter(1)


def _size(text: str) -> int:
    return _LINE + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))


class _Node:
    """What one node has written and not told."""

    __slots__ = ("_address", "_at", "_due", "_most", "joiner", "left_out", "lines", "size")

    def __init__(self, address: str, most: int) -> None:
        self.joiner = Joiner()
        self.lines: deque[tuple[float, str, str, int]] = deque()
        self.size = 0
        self.left_out = 0
        self._address = address
        self._most = self._due = float(most)
        self._at = time.monotonic()

    def put(self, level: str, text: str, when: float) -> None:
        size = _size(text)
        self.lines.append((when, level, text, size))
        self.size += size
        self._keep_to(self._most)

    def end_lines(self) -> None:
        """Take it that lines have their end where they are."""
        for level, text, when in self.joiner.rest():
            self.put(level, text, when)

    def _keep_to(self, most: float) -> None:
        while self.size > most and len(self.lines) > 1:
            self.size -= self.lines.popleft()[3]
            self.left_out += 1

    @property
    def is_modest(self) -> bool:
        """Whether it has told so little that it does not matter if it has its whole share again."""
        return self._due >= self._most / 2

    def take(self, now: float, over: bool) -> list[Line]:
        """Return what is to be told now; half of the share is for the end."""
        self._due = min(self._most, self._due + (now - self._at) * self._most * _REFILL)
        self._at = now
        usable = self._due if over else self._due - self._most / 2
        if not self.lines or (self.size > usable < self._most * _WORTH and not over):
            return []
        self._keep_to(usable)
        lines, self.lines = self.lines, deque()
        self._due, self.size = self._due - self.size, 0
        told = [(self._address, when, level, text) for when, level, text, _ in lines]
        if self.left_out:
            told.insert(0, left_out(self._address, told[0][1], self.left_out))
            self.left_out = 0
        return told


def left_out(address: str, when: float, number: int, whose: str = "") -> Line:
    """Return the line that says that lines before it were left out."""
    lines = "1 line" if number == 1 else f"{spaced(number)} lines"
    return address, when, "WARNING", f"({lines}{whose} left out here)"


def _is_within(address: str, outer: str) -> bool:
    return address == outer or address.startswith(outer if outer.endswith(":") else f"{outer}/")


class Executing(Protocol):
    """An execution: what it executes now, and the address of that."""

    @property
    def current(self) -> object:
        """The node: the same object as long as it is the same node."""
        ...

    def address(self) -> str:
        """Return its address."""
        ...

    def run(self) -> Any:
        """Execute to the end."""
        ...


class TaskLogs:
    """What the nodes of one execution write.

    A node may tell so many bytes, half of them only at its end, and a sixteenth of them more each second; where it has written more, its
    oldest lines go, and one line says how many. All that waits to be told is at most :data:`MOST_WAITING` bytes.

    Parameters
    ----------
    most : int
        Bytes of one node.
    execution
        What is executing.
    """

    def __init__(self, most: int, execution: Executing) -> None:
        self._most = min(most, MOST_WAITING)
        self._execution = execution
        self._address = execution.address
        self._over = False
        # An ordered one, since it gives the first of many at once, though those before it are gone.
        self._nodes: OrderedDict[str, _Node] = OrderedDict()
        self._writing: tuple[str, _Node] | None = None
        # What tells whether the same node writes again, since to make its address takes a while.
        self._mark: object = None
        self._attempt = 0
        self._size = 0
        self._left_out: tuple[str, float, int] | None = None
        # One that the same thread may have again: anything may be collected meanwhile, and write as it is.
        self._lock = threading.RLock()

    def write(self, level: str, text: str) -> None:
        """Take what the node that this thread executes writes: parts of a line, or several."""
        when = time.time()
        with self._lock:
            node = self._node()
            lines = () if node is None else node.joiner.lines(level, text, when)
            if node is not None and lines:
                self._put(node, level, lines, when)

    def relay(self, level: str, lines: list[str], when: float) -> None:
        """Take lines that the node that this thread executes has written elsewhere."""
        with self._lock:
            node = self._node()
            if node is not None:
                self._put(node, level, lines, when)

    def _node(self) -> _Node | None:
        state = context.state
        executing, task = state.executing, state.task
        if executing is None or self._over:
            return None
        attempt = 0 if task is None else task.attempt
        mark = self._execution.current if executing == self._address else executing
        if self._writing is None or mark is not self._mark:
            self._mark, self._writing = mark, self._entered(executing())
        elif attempt != self._attempt:
            self._end_lines(self._writing[1])
        self._attempt = attempt
        return self._writing[1]

    def _entered(self, address: str) -> tuple[str, _Node]:
        if self._writing is not None and not _is_within(address, self._writing[0]):
            self._end_lines(self._writing[1])
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = _Node(address, self._most)
        return address, node

    def _put(self, node: _Node, level: str, lines: Sequence[str], when: float) -> None:
        before = node.size
        for line in lines:
            node.put(level, line, when)
        self._size += node.size - before
        while self._size > MOST_WAITING and len(self._nodes) > 1:
            self._drop(next(address for address, one in self._nodes.items() if one is not node))

    def _drop(self, address: str) -> None:
        """Leave out what the node told first of."""
        node = self._nodes.pop(address)
        self._end_lines(node)
        self._size -= node.size
        number = len(node.lines) + node.left_out + (self._left_out[2] if self._left_out is not None else 0)
        self._left_out = (address, node.lines[-1][0] if node.lines else time.time(), number)

    def _end_lines(self, node: _Node) -> None:
        before = node.size
        node.end_lines()
        self._size += node.size - before

    def take(self) -> list[Line]:
        """Return what is to be told now. What is executing stands still meanwhile, or is in a user's function."""
        if not self._nodes:
            return []
        with self._lock:
            current = "" if self._over else self._address()
            now, told = time.monotonic(), []
            if self._left_out is not None:
                address, when, number = self._left_out
                told, self._left_out = [left_out(address, when, number, " of this node and others")], None
            for address, node in list(self._nodes.items()):
                told += self._taken(address, node, now, not _is_within(current, address))
            return sorted(told, key=_WHEN)

    def _taken(self, address: str, node: _Node, now: float, over: bool) -> list[Line]:
        if over:
            self._end_lines(node)
        self._size -= node.size
        lines = node.take(now, over)
        self._size += node.size
        if over and node.is_modest:
            del self._nodes[address]
            if self._writing is not None and self._writing[1] is node:
                self._writing = None
        return lines

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Take what this thread writes meanwhile; that of the last nodes is at its end then."""
        try:
            with logcapture.into(self):
                yield
        finally:
            self._over = True


def executed(execution: Executing, journal: Journal, options: Mapping[str, Any]) -> Any:
    """Execute, with what tasks write taken for the journal, as a run's options say.

    Parameters
    ----------
    execution
        What is executed.
    journal
        What asks for it when it reports.
    options
        With ``logs.enabled``, ``logs.level`` and ``logs.node_bytes``.
    """
    logcapture.set_level(logcapture.level_number(options["logs.level"]))
    if not options["logs.enabled"]:
        return execution.run()
    journal.logs = logs = TaskLogs(options["logs.node_bytes"], execution)
    with logs.taking():
        return execution.run()


# ---------------------------------------------------------------- from another process


class Forwarding:
    """Sends what a task writes to the process that takes it: line by line, since this process may die at any moment.

    Parameters
    ----------
    send
        Sends a message.
    """

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._joiner = Joiner()

    def write(self, level: str, text: str) -> None:
        """Take what the task writes: parts of a line, or several."""
        when = time.time()
        lines = self._joiner.lines(level, text, when)
        if lines:
            self._forward(level, lines, when)

    def _forward(self, level: str, lines: list[str], when: float) -> None:
        # Who would take it may be gone.
        with suppress(OSError):
            self._send(pickle.dumps((level, lines, when)))

    def end_lines(self) -> None:
        """Take it that lines have their end where they are."""
        for level, text, when in self._joiner.rest():
            self._forward(level, [text], when)


@contextmanager
def forwarding(settings: tuple[bool, int], send: Callable[[bytes], object]) -> Iterator[None]:
    """Do with what this thread writes as the process does that these are the settings of (:func:`logcapture.settings`)."""
    captures, level = settings
    logcapture.set_level(level)
    if not captures:
        yield
        return
    sink = Forwarding(send)
    with logcapture.into(sink):
        try:
            yield
        finally:
            sink.end_lines()


def relay(message: bytes) -> None:
    """Take a message of :class:`Forwarding`'s as written by this thread."""
    sink = context.state.logs
    if isinstance(sink, TaskLogs):
        sink.relay(*pickle.loads(message))
