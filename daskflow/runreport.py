"""What is told of a run as plain data, and why it failed as text."""

from __future__ import annotations

import linecache
import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from daskflow.failed import failure_of
from daskflow.failuretext import text
from daskflow.nodeviews import NodeView, Phase
from daskflow.oneline import one_line
from daskflow.outcome import Failure
from daskflow.runstate import RunState
from daskflow.shortform import cut

if TYPE_CHECKING:
    from daskflow.historyrows import LogLine
    from daskflow.runview import RunView

#: Of the schema of what :func:`run_plain` and others give.
SCHEMA = 1
_PAGE = 1000
_MOST_SOURCE = 200  # characters


def run_plain(view: RunView) -> dict[str, Any]:
    """Return what is kept of a run in one place, as JSON has it; times in seconds since the epoch."""
    row = view.row
    return {
        **{name: getattr(row, name) for name in ("id", "name", "entity", "kind", "status", "mode", "source", "owner")},
        "labels": dict(row.labels),
        "inputs": dict(row.inputs),
        "started": row.started,
        "ended": row.ended,
        "seconds": view.seconds,
        "scheduler": row.target.get("scheduler"),
        "file": row.target.get("file") or None,
        "failed": row.failed,
        "error": error_plain(row.id, row.error),
        "counts": dict(view.counts),
        "cached": row.cached,
        "dropped": {"reports": row.dropped_reports, "logs": row.dropped_logs},
    }


def error_plain(run: str, error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return why a run did not succeed, as JSON has it."""
    if error is None:
        return None
    if "lost" in error:
        return {"kind": "SchedulerLost", "message": str(error["lost"]), "notes": [], "causes": [], "address": None}
    failure = failure_of(run, error)
    where = failure.where
    return {
        "kind": failure.kind,
        "message": failure.message,
        "notes": failure.users_notes(),
        "causes": [said for said, _ in failure.causes],
        "address": where["address"] if where else None,
    }


def failure_text(view: RunView, hints: Collection[str] = (), width: int = 120) -> str | None:
    """Return why a run failed, in some lines; None where it has not."""
    error = view.row.error
    if error is None:
        return None
    name = one_line(view.name, 80)
    if "lost" in error:
        return f"✗ {name} failed: {error['lost']}"
    failure = sourced(failure_of(view.id, error), view.row.started)
    return text(failure, name=name, seconds=view.seconds, hints=hints, width=width)


def sourced(failure: Failure, started: float) -> Failure:
    """Return a record with the lines of code that a worker could not tell, since it has no such file, where the one here is as it was.

    Parameters
    ----------
    failure
        The record.
    started : float
        When the run began, in seconds since the epoch: a file that was changed later may have other lines.
    """
    return failure._replace(code=[(name, place, source or _line(place, started)) for name, place, source in failure.code])


def _line(place: str, started: float) -> str:
    file, _, number = place.rpartition(":")
    try:
        if not number.isdigit() or os.path.getmtime(file) > started:
            return ""
    except (OSError, ValueError):
        return ""
    return cut(linecache.getline(file, int(number)).strip(), _MOST_SOURCE)


def line_plain(run: str, line: LogLine) -> dict[str, Any]:
    """Return a line that a task has printed or logged, as JSON has it."""
    return {"run": run, **line._asdict()}


def walk(state: RunState, address: str = "", most: int | None = None) -> Iterator[NodeView]:
    """Yield the nodes below a node, each before those below it, at most so many."""
    waiting = [_calls(state, address)]
    count = 0
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        if most is not None and count >= most:
            return
        count += 1
        yield node
        if node.counts:
            waiting.append(_calls(state, node.address))


def _calls(state: RunState, address: str, phase: str | None = None) -> Iterator[NodeView]:
    offset = 0
    while True:
        page = state.children(address, phase=phase, offset=offset, limit=_PAGE)
        yield from page.items
        offset += _PAGE
        if offset >= page.total:
            return


def innermost_failed(state: RunState, failed: str | None) -> set[str]:
    """Return the addresses of nodes that failed, and in which nothing else did."""
    found = {failed} if failed is not None else set()
    waiting = [""]
    while waiting:
        address = waiting.pop()
        for phase in (Phase.FAILED, Phase.TIMED_OUT):
            for node in _calls(state, address, phase):
                if any(node.counts.get(one) for one in (Phase.FAILED, Phase.TIMED_OUT)):
                    waiting.append(node.address)
                else:
                    found.add(node.address)
    return found


def tree_plain(state: RunState, most: int) -> tuple[dict[str, Any], bool]:
    """Return the run's node with those below it, each with `calls`, of which there are at most so many; and whether there are more."""
    root: dict[str, Any] = {**state.node("").plain(), "calls": []}
    by_address = {"": root}
    for count, node in enumerate(walk(state, most=most + 1)):
        if count >= most:
            return root, True
        plain = by_address[node.address] = {**node.plain(), "calls": []}
        by_address[_above(node.address, by_address)]["calls"].append(plain)
    return root, False


def _above(address: str, known: Mapping[str, Any]) -> str:
    while address:
        address = address[: max(address.rfind("/"), address.rfind("["), 0)]
        if address in known:
            return address
    return ""
