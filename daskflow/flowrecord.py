"""Records of runs, node by node, to be asserted on. Pure: what probes noted in, records out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from daskflow.errors import OptionError
from daskflow.patterns import is_below, matches
from daskflow.probe import Event

#: What may become of a node. One is aborted where the run ended before it did.
OUTCOMES = ("succeeded", "failed", "cached", "skipped", "mocked", "aborted")

_OUTCOME_OF = {"ended": "succeeded", "mocked": "mocked", "failed": "failed", "cached": "cached", "skipped": "skipped"}


@dataclass(frozen=True)
class NodeRecord:
    """One node of a run.

    Attributes
    ----------
    path : str
        Its address.
    kind : str
        ``task``, ``workflow``, ``dynamic``, ``map`` or ``launch plan``; empty where it failed before that was noted.
    outcome : str
        One of :data:`OUTCOMES`.
    start, end : float
        When it began, of a task its last attempt, and ended, in seconds since the epoch.
    attempt : int
        How often a task was begun; of other nodes 1.
    worker : str
        The address of the worker where it ended; empty in process.
    error : BaseException or None
        Why it failed; of a body that failed since something in it did, that node's.
    value
        What it gave, where values are recorded.
    """

    path: str
    kind: str
    outcome: str
    start: float
    end: float
    attempt: int = 1
    worker: str = ""
    error: BaseException | None = None
    value: Any = None
    spans: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.0, self.end - self.start)


class _Node:
    """What is known of a node while events are folded."""

    def __init__(self, first: Event) -> None:
        self.first = first
        self.kind = first.kind
        self.began: list[float] = []
        self.last: Event | None = None
        self.spans: list[tuple[float, float]] = []

    def take(self, event: Event) -> None:
        self.kind = self.kind or event.kind
        if event.what == "began":
            self.began.append(event.when)
            return
        self.last = event
        if self.began and len(self.spans) < len(self.began):
            self.spans.append((self.began[-1], event.when))

    def record(self, path: str, over: float) -> NodeRecord:
        is_task, last = self.kind == "task", self.last
        first = self.began or [self.first.when]
        error = last.detail if last is not None and last.what == "failed" else None
        return NodeRecord(
            path,
            self.kind,
            "aborted" if last is None else _OUTCOME_OF[last.what],
            first[-1 if is_task else 0],
            over if last is None else last.when,
            max(1, len(self.began)) if is_task else 1,
            (last or self.first).where,
            error,
            None if error is not None or last is None else last.detail,
            tuple(self.spans) if is_task else ((first[0], over if last is None else last.when),),
        )


def _folded(events: Iterable[Event]) -> dict[str, NodeRecord]:
    nodes: dict[str, _Node] = {}
    over = 0.0
    for event in sorted(events, key=lambda one: one.when):
        over = event.when
        node = nodes.get(event.path)
        if node is None:
            node = nodes[event.path] = _Node(event)
        node.take(event)
    records = {path: node.record(path, over) for path, node in nodes.items()}
    failed = [one for one in records.values() if one.outcome == "failed"]
    return {path: _blamed(one, failed) for path, one in records.items()}


def _blamed(node: NodeRecord, failed: Sequence[NodeRecord]) -> NodeRecord:
    """Let a body, or map, that never ended have failed where something in it did."""
    if node.outcome != "aborted":
        return node
    inner = next((one for one in failed if is_below(one.path, node.path)), None)
    return node if inner is None else replace(node, outcome="failed", error=inner.error)


class Record:
    """What became of each node of a run; patterns are those of :func:`daskflow.patterns.matches`. ``str()`` gives it as text.

    Parameters
    ----------
    name : str
        What was run.
    events
        What was noted.
    values : bool
        Whether that has the nodes' values.

    Attributes
    ----------
    nodes : dict of str
        Each node that began, came from the cache or was skipped, by its path, in the order of time.

    Examples
    --------
    >>> record = Record("w", [Event("a", "task", "began", 1.0), Event("a", "task", "ended", 2.0), Event("b", "task", "cached", 2.5)])
    >>> record.count(), record.count("a", "succeeded"), record.cached("b")
    (2, 1, True)
    """

    def __init__(self, name: str, events: Iterable[Event], values: bool = False) -> None:
        self.name = name
        self.nodes: Mapping[str, NodeRecord] = _folded(events)
        self._values = values

    def select(self, pattern: str = "**", state: str | None = None) -> list[NodeRecord]:
        """Return the nodes that a pattern is of, and that have an outcome, if one is given.

        Raises
        ------
        OptionError
            When the outcome is not one of :data:`OUTCOMES`.
        """
        if state is not None and state not in OUTCOMES:
            raise OptionError(f"state of a node must be one of {', '.join(OUTCOMES)}; got {state!r}")
        found = [one for path, one in self.nodes.items() if matches(pattern, path, indexed=one.kind == "map")]
        return [one for one in found if state is None or one.outcome == state]

    def count(self, pattern: str = "**", state: str | None = None) -> int:
        """Return how many nodes that are."""
        return len(self.select(pattern, state))

    def cached(self, pattern: str) -> bool:
        """Tell whether the results of all nodes that a pattern is of, and there are some, came from the cache."""
        found = self.select(pattern)
        return bool(found) and all(one.outcome == "cached" for one in found)

    def peak_parallelism(self, pattern: str = "**") -> int:
        """Return how many nodes that a pattern is of were executing at the same moment, at most; where tasks are among them, only those."""
        found = self.select(pattern)
        tasks = [one for one in found if one.kind == "task" or one.outcome == "mocked"]
        changes = sorted(change for one in tasks or found for start, end in one.spans for change in ((start, 1), (end, -1)))
        peak = now = 0
        for _, change in changes:
            now += change
            peak = max(peak, now)
        return peak

    def assert_order(self, before: str, after: str) -> None:
        """Assert that all nodes that the first pattern is of had ended when the first of the others began.

        Raises
        ------
        AssertionError
            When that is not so, or there are no such nodes.
        """
        __tracebackhide__ = True
        last = max(self._some(before), key=lambda one: one.end)
        first = min(self._some(after), key=lambda one: one.spans[0][0] if one.spans else one.start)
        began = first.spans[0][0] if first.spans else first.start
        if last.end > began:
            raise AssertionError(f"{last.path} ended {last.end - began:.6f} s after {first.path} had begun\n{self}")

    def overlap(self, one: str, other: str) -> bool:
        """Tell whether a node that one pattern is of was executing at a moment when one that the other is of was."""
        lefts, rights = self._some(one), self._some(other)
        return any(
            start < until and since < end
            for left in lefts
            for right in rights
            if left is not right
            for start, end in left.spans
            for since, until in right.spans
        )

    def assert_failed_at(self, pattern: str, kind: type[BaseException] = Exception, match: str | None = None) -> None:
        """Assert that a node that a pattern is of failed, with an exception of a class, and a text in which a regular expression is found.

        Raises
        ------
        AssertionError
            When there is none; it says what failed.
        """
        __tracebackhide__ = True
        for node in self.select(pattern, "failed"):
            if isinstance(node.error, kind) and (match is None or re.search(match, str(node.error))):
                return
        failed = [f"{one.path}: {type(one.error).__name__}: {one.error}" for one in self.select(state="failed")]
        wanted = kind.__name__ if match is None else f"{kind.__name__} matching {match!r}"
        raise AssertionError(f"nothing at {pattern!r} failed with {wanted}; what failed is: {'; '.join(failed) or 'nothing'}\n{self}")

    def value(self, path: str) -> Any:
        """Return what a node gave.

        Raises
        ------
        OptionError
            When values are not recorded.
        KeyError
            When there is no such node, or it gave nothing.
        """
        if not self._values:
            raise OptionError("the values of nodes are not recorded; ask for them with values=True")
        node = self.nodes.get(path)
        if node is None or node.outcome not in ("succeeded", "mocked"):
            raise KeyError(f"no node {path!r} was executed to its end; there are {', '.join(list(self.nodes)[:10])}")
        return node.value

    def _some(self, pattern: str) -> list[NodeRecord]:
        __tracebackhide__ = True
        found = self.select(pattern)
        if not found:
            raise AssertionError(f"nothing at {pattern!r} was executed\n{self}")
        return found

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        begin = min((one.start for one in self.nodes.values()), default=0.0)
        lines = [_line(one, begin) for one in list(self.nodes.values())[:_MOST_LINES]]
        rest = len(self.nodes) - len(lines)
        return "\n".join([f"{self.name}: {len(self.nodes)} nodes", *lines, *([f"  and {rest} more"] if rest else [])])


_MOST_LINES = 200


def _line(node: NodeRecord, begin: float) -> str:
    attempt = f", attempt {node.attempt}" if node.attempt > 1 else ""
    where = f" on {node.worker}" if node.worker else ""
    why = f": {type(node.error).__name__}: {node.error}" if node.error is not None else ""
    return f"  {node.start - begin:8.3f} s {node.seconds:8.3f} s  {node.path}: {node.outcome}{attempt}{where}{why}"
