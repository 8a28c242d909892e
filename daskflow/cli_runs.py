"""``daskflow ls``, ``show``, ``logs`` and ``cancel``: what runs there are, and were, and what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from daskflow import cli_common as common
from daskflow.cli_common import Found, archived, find, json_option, run_argument, say, scheduler_option
from daskflow.exits import HINTS, told

if TYPE_CHECKING:
    from daskflow.historyrows import LogLine
    from daskflow.nodeviews import NodeView
    from daskflow.runview import RunView

_STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "SKIPPED")
_PHASES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "SKIPPED", "TIMED_OUT", "RECOVERED")
_LOOK = 0.2  # seconds between two looks at what is new
_LEVELS = 4  # of a tree, unless more are asked for
_MOST_RUNS = 20
_MOST_ROWS = 60
_ITEMS = 20  # on a page
_MOST_INPUT = 100
_MOST_LINES = 10_000  # of logs, that are read at once
_WIDTH = 120  # without a terminal
_DROPPED = "since they came faster than they could be written, or were more than a run may have"


# ---------------------------------------------------------------- ls


@click.command()
@click.option(
    "--status", multiple=True, type=click.Choice(_STATUSES, case_sensitive=False), help="Only runs of this status; may be repeated."
)
@click.option("--name", metavar="GLOB", help="Only runs whose name fits, such as 'fit*'.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, callback=common.label, help="Only runs with this label.")
@click.option(
    "--since", metavar="WHEN", callback=common.moment, help="Only runs that began then or later: 90s, 30m, 12h, 1d, 2w, or a date."
)
@click.option("--until", metavar="WHEN", callback=common.moment, help="Only runs that began before.")
@click.option("--limit", type=click.IntRange(0), help=f"So many, the newest. [default: {_MOST_RUNS}]")
@click.option("--all", "all_runs", is_flag=True, help="All of them, however many.")
@scheduler_option
@json_option
@told
def ls(
    status: tuple[str, ...], name: str | None, labels: Mapping[str, str], since: float | None, until: float | None,
    limit: int | None, all_runs: bool, scheduler: str | None, as_json: bool,
) -> None:  # fmt: skip
    """List runs, those that execute and those of the past, the newest first."""
    from daskflow.runview import RunView

    if all_runs and limit is not None:
        raise click.UsageError("--all and --limit say how many; give one of them.")
    most = None if all_runs else _MOST_RUNS if limit is None else limit
    asked = {"status": list(status) or None, "name": name, "labels": dict(labels) or None, "since": since, "until": until}
    with archived(scheduler) as archive:
        rows = archive.ask("runs", **asked, limit=most)
        views = [RunView(archive, row) for row in rows]
        if as_json:
            from daskflow.runreport import run_plain

            say(common.as_text([run_plain(view) for view in views]))
        elif views:
            say(common.table([_HEADING, *map(_listed, views)], _WIDTHS, ("owner", "mode", "duration", "nodes", "started")))
        else:
            say("no such run" if any(value is not None for value in asked.values()) else "no runs")


_HEADING = ("id", "name", "status", "mode", "nodes", "started", "duration", "owner")
_WIDTHS = (11, 30, 9, 9, 48, 12, 12, 30)


def _listed(view: RunView) -> tuple[str, ...]:
    from daskflow.runtree import duration

    row = view.row
    progress = ", ".join(filter(None, [_progress(view.counts), "cached" if row.cached else ""]))
    return row.id, row.name, row.status, row.mode, progress, common.ago(row.started), duration(view.seconds), row.owner


def _progress(counts: Mapping[str, int]) -> str:
    """Return how far a run is.

    Examples
    --------
    >>> _progress({"SUCCEEDED": 3, "RECOVERED": 1, "FAILED": 1, "QUEUED": 5})
    '4/10, 1 FAILED'
    """
    done = counts.get("SUCCEEDED", 0) + counts.get("RECOVERED", 0)
    rest = [f"{counts[phase]} {phase}" for phase in ("FAILED", "TIMED_OUT", "ABORTED") if counts.get(phase)]
    return ", ".join([f"{done}/{sum(counts.values())}", *rest]) if counts else ""


# ---------------------------------------------------------------- show


@click.command()
@run_argument()
@click.option("--depth", type=click.IntRange(0), help=f"So many levels of the tree; {_LEVELS} otherwise, fewer where lines are many.")
@click.option("--items", type=click.IntRange(1), metavar="N", help="List what it calls, or its items, N on a page.")
@click.option("--phase", type=click.Choice(_PHASES, case_sensitive=False), help="List only those in a phase.")
@click.option("--order", type=click.Choice(["call", "slow", "state"]), help="List them as they are called, or slow ones or bad ones first.")
@click.option("--page", type=click.IntRange(1), help="Which page of the list. [default: 1]")
@scheduler_option
@json_option
@told
def show(
    run: str, depth: int | None, items: int | None, phase: str | None, order: Any, page: int | None, scheduler: str | None, as_json: bool
) -> None:
    """Show a run, or one of its nodes: what became of it, and what it calls.

    RUN is an id, the beginning of one, @last, @last-1 and so on, or the id of a child run. A path is the address of a node in it, such as
    r0123456789:level1/level2[1].
    """
    lists = any(one is not None for one in (items, phase, order, page))
    if depth is not None and (lists or as_json):
        raise click.UsageError("--depth is of the tree, which is not shown with --items, --phase, --order, --page or --json.")
    listed = items or _ITEMS, phase, order or "call", page or 1
    with archived(scheduler) as archive:
        found = find(archive, run)
        node = common.node_of(found)
        if as_json:
            say(common.as_text(_plain(found, node, *listed)))
            return
        say("\n".join(_headline(found.view) if not found.path else _told_node(found, node)))
        if lists:
            say(_page(found, *listed))
        elif node.counts:
            _show_tree(found, depth)
        if not found.path or node.phase in ("FAILED", "TIMED_OUT"):
            _show_failure(found)


def _plain(found: Found, node: NodeView, items: int, phase: str | None, order: Any, page: int) -> dict[str, Any]:
    from daskflow.runreport import SCHEMA, run_plain

    nodes = found.view.nodes(found.path, phase=phase, order=order, offset=(page - 1) * items, limit=items)
    calls = {"total": nodes.total, "offset": (page - 1) * items, "nodes": [one.plain() for one in nodes.items]}
    return {"schema": SCHEMA, "run": run_plain(found.view), "node": node.plain(), "calls": calls}


def _headline(view: RunView) -> list[str]:
    from daskflow.runtree import duration

    row = view.row
    lines = [f"run {row.id} of {common.line(row.name, 80)}: {row.status}", f"  entity    {row.kind} {common.line(row.entity, 120)}"]
    lines += [f"  inputs    {text}" for text in _short_inputs(row.inputs)]
    lines.append(
        f"  started   {common.ago(row.started)}, {'took' if row.ended else 'for'} {duration(view.seconds)}, {row.mode} by {row.owner}"
    )
    if row.source:
        lines.append(f"  source    {row.source}")
    if row.cached:
        lines.append("  cached    all its results were in the cache, so nothing of it was executed")
    if row.labels:
        lines.append(f"  labels    {', '.join(f'{common.line(key)}={common.line(value)}' for key, value in row.labels.items())}")
    if left_out := view.node().left_out:
        lines.append(f"  left out  {left_out}")
    if row.dropped_reports or row.dropped_logs:
        lines.append(f"  dropped   {row.dropped_reports} reports and {row.dropped_logs} log lines, {_DROPPED}")
    return lines


def _short_inputs(inputs: Mapping[str, str]) -> Iterator[str]:
    for name, value in inputs.items():
        yield f"{name} = {common.line(value, _MOST_INPUT)}"


def _told_node(found: Found, node: NodeView) -> list[str]:
    from daskflow.runtree import duration

    run = found.view.id
    lines = [f"{run}:{common.line(node.address, 300)}: {node.phase.value}", f"  entity    {node.kind} {common.line(node.entity, 120)}"]
    pairs = [
        ("call", _call_of(found, node.address)),
        ("started", node.started and f"{common.ago(node.started.timestamp())}{f', took {duration(node.seconds)}' if node.seconds else ''}"),
        ("worker", common.line(node.worker, 100)),
        ("cache", node.cache),
        ("child run", node.child_run),
        ("inside", node.inside and f"{node.inside} nodes, of which no more is told since they were short"),
        ("calls", ", ".join(f"{count} {one.value}" for one, count in node.counts.items())),
        ("error", common.line(node.error, 500)),
        ("left out", node.left_out),
    ]
    lines += [f"  {name:<9} {text}" for name, text in pairs if text]
    lines += [
        f"  attempt {one.number + 1} failed: {common.line(one.error, 300)}; the next {one.delay:.1f} s later" for one in node.attempts
    ]
    return lines


def _call_of(found: Found, address: str) -> str:
    """Return a node with its inputs in short, where the record of the run's failure has it."""
    from daskflow.scope import join

    record = (found.view.row.error or {}).get("failure")
    where = (record[5] if record and len(record) > 5 else None) or {}
    outer = ""
    for label, call, _ in where.get("levels", ()):
        outer = join(outer, label)
        if outer == address:
            return common.line(call, 300)
    return ""


def _page(found: Found, items: int, phase: str | None, order: Any, page: int) -> str:
    from daskflow.runtree import duration

    offset = (page - 1) * items
    nodes = found.view.nodes(found.path, phase=phase, order=order, offset=offset, limit=items)
    what = f"{nodes.total} {f'{phase} ' if phase else ''}of what it calls"
    if not nodes.items:
        return f"{what}: none on page {page}"
    rows = [(one.label, one.phase.value, duration(one.seconds), one.worker, one.error or one.left_out) for one in nodes.items]
    pages = -(-nodes.total // items)
    listed = common.table([("node", "phase", "duration", "worker", "error"), *rows], (50, 9, 12, 40, 200), ("worker", "duration"))
    return f"{listed}\n{what}, page {page} of {pages}"


def _show_tree(found: Found, depth: int | None) -> None:
    """Print the tree, as deep as its lines are few, unless it was said how deep."""
    depths = [depth] if depth is not None else range(_LEVELS, 0, -1)
    text = ""
    for levels in depths:
        text = found.view.tree(found.path, depth=levels, width=common.width(_WIDTH))
        if text.count("\n") < _MOST_ROWS:
            break
    rows = text.splitlines()
    most = len(rows) if depth is not None else _MOST_ROWS
    more = [f"…({len(rows) - most} lines more; see --depth, --items, or show a node of it)"] if rows[most:] else []
    say("\n".join(["", *rows[:most], *more]))


def _show_failure(found: Found) -> None:
    from daskflow.runreport import failure_text

    failed = found.view.row.failed
    if found.path and (failed is None or not _is_around(found.path, failed)):
        return
    text = failure_text(found.view, HINTS, common.width(_WIDTH))
    if text is not None:
        say(f"\n{text}")


def _is_around(path: str, failed: str) -> bool:
    from daskflow.scope import is_in

    return is_in(failed, path)


# ---------------------------------------------------------------- logs


@click.command()
@run_argument()
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on until the run has ended.")
@click.option("--failed", is_flag=True, help="Only what the nodes wrote that failed; with -f once the run has ended.")
@scheduler_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each line.")
@told
def logs(run: str, follows: bool, failed: bool, scheduler: str | None, as_json: bool) -> None:
    """Print what the tasks of a run, or of a node of it and all below, have printed and logged."""
    with archived(scheduler) as archive:
        found = find(archive, run)
        if found.path:
            common.node_of(found)
        if failed and follows:
            found.view.wait()
        for line in _failed_lines(found) if failed else _lines(found, follows):
            say(_line(found.view.id, line, as_json))
        dropped = found.view.row.dropped_logs
        if dropped:
            common.note(f"{dropped} lines of run {found.view.id} were not kept, {_DROPPED}")


def _lines(found: Found, follows: bool) -> Iterator[LogLine]:
    after = 0
    while True:
        # What is written last is there before the run's end is.
        over = not (follows and found.view.row.live)
        lines = found.view.logs(found.path, after=after, limit=_MOST_LINES)
        yield from lines
        after = lines[-1].seq if lines else after
        if len(lines) == _MOST_LINES:
            continue
        if over:
            return
        time.sleep(_LOOK)


def _failed_lines(found: Found) -> Iterator[LogLine]:
    from daskflow.runreport import innermost_failed

    failed = innermost_failed(found.view.state, found.view.row.failed)
    return (line for line in _lines(found, follows=False) if line.address in failed)


def _line(run: str, line: LogLine, as_json: bool) -> str:
    if as_json:
        from daskflow.runreport import line_plain

        return common.as_text(line_plain(run, line), None)
    from daskflow.loglines import LogLine as Shown

    return str(Shown(f"{run}:{line.address}", line.when, line.level, line.text))


# ---------------------------------------------------------------- cancel


@click.command()
@run_argument()
@scheduler_option
@json_option
@told
def cancel(run: str, scheduler: str | None, as_json: bool) -> None:
    """Cancel a run, or one of its nodes with all that is below it; of a map's items, say, [3] alone."""
    with archived(scheduler) as archive:
        found = find(archive, run)
        executing = found.view.cancel(found.path)
    address = f"{found.view.id}:{found.path}" if found.path else f"run {found.view.id}"
    if as_json:
        say(common.as_text({"run": found.view.id, "address": found.path, "found": executing}))
    elif executing:
        say(f"{address} is cancelled")
    else:
        say(f"nothing is executing at {address}; what begins there fails at once")
