"""``daskflow diff`` and ``export``: two runs beside each other, and all that is known of one in a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from daskflow import cli_common as common
from daskflow.cli_common import apart, archived, find, json_option, only_run, run_argument, say, scheduler_option
from daskflow.errors import InputError
from daskflow.exits import told

if TYPE_CHECKING:
    from daskflow.runview import RunView

_MOST_NODES = 10_000
_MOST_LINES = 10_000


@click.command()
@run_argument("first", metavar="RUN1")
@run_argument("second", metavar="RUN2")
@scheduler_option
@json_option
@told
def diff(first: str, second: str, scheduler: str | None, as_json: bool) -> None:
    """Show what two runs differ in: inputs, versions of code, results, and what became of their nodes."""
    from daskflow.rundiff import compare
    from daskflow.rundiff import told as lines

    # Values are of users' classes, whose modules may print when they are imported.
    with apart(as_json), archived(scheduler) as archive:
        views = [only_run(find(archive, text), "compared") for text in (first, second)]
        plain = compare(*views)
    say(common.as_text(plain) if as_json else "\n".join(lines(plain)))


@click.command()
@run_argument(metavar="RUN")
@click.option("--html", metavar="FILE", help="As one page of HTML; - is standard output.")
@click.option("--json", "json_file", metavar="FILE", help="As JSON; - is standard output.")
@click.option("--nodes", type=click.IntRange(1), default=_MOST_NODES, show_default=True, help="So many nodes at most.")
@click.option("--lines", type=click.IntRange(0), default=_MOST_LINES, show_default=True, help="So many log lines at most.")
@scheduler_option
@told
def export(run: str, html: str | None, json_file: str | None, nodes: int, lines: int, scheduler: str | None) -> None:
    """Write all that is known of a run to a file: its nodes, why it failed, and what its tasks have printed and logged."""
    if html is None and json_file is None:
        raise click.UsageError("Where to? Give --html FILE, --json FILE, or both.")
    if html == json_file:
        raise click.UsageError("--html and --json are to be different files.")
    with archived(scheduler) as archive:
        plain = _everything(only_run(find(archive, run), "exported"), nodes, lines)
    if json_file is not None:
        _write(json_file, common.as_text(plain) + "\n")
    if html is not None:
        _write(html, _page(plain))


def _everything(view: RunView, nodes: int, lines: int) -> dict[str, Any]:
    from daskflow.runreport import SCHEMA, failure_text, line_plain, run_plain, tree_plain

    tree, more = tree_plain(view.state, nodes)
    logs = view.logs(limit=lines + 1)
    return {
        "schema": SCHEMA,
        "run": run_plain(view),
        "tree": tree,
        "tree_is_whole": not more,
        "failure": failure_text(view),
        "logs": [line_plain(view.id, one) for one in logs[:lines]],
        "logs_are_whole": len(logs) <= lines,
    }


def _page(plain: dict[str, Any]) -> str:
    from daskflow.loglines import LogLine
    from daskflow.runhtml import page

    logs = [str(LogLine(f"{one['run']}:{one['address']}", one["when"], one["level"], one["text"])) for one in plain["logs"]]
    notes = [] if plain["tree_is_whole"] else ["There are more nodes than those on this page."]
    notes += [] if plain["logs_are_whole"] else ["There are more log lines than those on this page."]
    return page(plain["run"], plain["tree"], plain["failure"], logs, notes)


def _write(path: str, text: str) -> None:
    """Write a file, or standard output; what is in a run is for its owner alone."""
    if path == "-":
        # Whatever encoding the terminal has, a page says of itself that it is in this one.
        click.echo(text.encode(), nl=False)
        return
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
