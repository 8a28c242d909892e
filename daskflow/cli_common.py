"""What the commands on runs have in common: which run is meant, where that is looked up, and how they print."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from daskflow.errors import InputError, UnknownRun
from daskflow.exits import is_terminal

if TYPE_CHECKING:
    from daskflow.archive import Archive
    from daskflow.runview import RunView

#: Characters of one cell of a table.
_MOST_CELL = 40
_MOST_COMPLETED = 200


class Found(NamedTuple):
    """What is meant by ``RUN[:path]``.

    Attributes
    ----------
    view : RunView
        The top-level run.
    path : str
        The node's address in it; empty for the run itself.
    """

    view: RunView
    path: str


# ---------------------------------------------------------------- options


def _completed(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return the runs of the history's file here that are meant by the beginning of an id, or the nodes by the beginning of an address."""
    from click.shell_completion import CompletionItem

    from daskflow.archive import LocalArchive

    with suppress(Exception):
        archive = LocalArchive()
        if ":" in incomplete:
            run, path = incomplete.split(":", 1)
            page = find(archive, run).view.nodes(path.rpartition("/")[0], limit=_MOST_COMPLETED)
            # A shell's words break at colons in some shells only; the whole is what all of them take.
            return [CompletionItem(f"{run}:{one.address}") for one in page.items if one.address.startswith(path)]
        rows = archive.ask("runs", limit=_MOST_COMPLETED)
        names = [CompletionItem(row.id, help=line(f"{row.name} {row.status}")) for row in rows if row.id.startswith(incomplete)]
        return [*names, *([CompletionItem("@last")] if rows and "@last".startswith(incomplete) else [])]
    return []


def run_argument(name: str = "run", metavar: str = "RUN[:path]") -> Callable[[Any], Any]:
    """Return the argument that names a run, or a node of one."""
    return click.argument(name, metavar=metavar, shell_complete=_completed)


scheduler_option = click.option(
    "--scheduler", metavar="ADDRESS", help="Ask the Dask scheduler at this address; otherwise the history's file on this machine is read."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# ---------------------------------------------------------------- which run


@contextmanager
def archived(scheduler: str | None) -> Iterator[Archive]:
    """Give where runs are looked up: at a scheduler, or in the history's file."""
    from daskflow.archive import LocalArchive, RemoteArchive

    if scheduler is None:
        yield LocalArchive()
        return
    from daskflow.connecting import connect

    client = connect(scheduler)
    try:
        yield RemoteArchive(client)
    finally:
        client.close()


def find(archive: Archive, text: str) -> Found:
    """Return the run, or node, that is meant.

    Raises
    ------
    UnknownRun
        When it is none, or one of several.
    """
    from daskflow.runview import RunView

    run, _, path = text.partition(":")
    top, dot, child = run.partition(".")
    view = RunView(archive, archive.ask("find", top))
    if dot:
        own = _child(view, child)
        return Found(view, path or own)
    return Found(view, path)


def _child(view: RunView, begins: str) -> str:
    """Return the address of the child run whose id goes on so."""
    waiting, found = [view.children], []
    while waiting:
        for child in waiting.pop():
            if child.id.startswith(f"{view.id}.{begins}"):
                found.append(child)
            waiting.append(child.children)
    if len(found) == 1:
        return found[0].address
    if not found:
        raise UnknownRun(f"run {view.id} has no child run whose id begins with {view.id}.{begins}, as far as was told")
    named = ", ".join(f"{one.id} ({one.address})" for one in found[:5])
    raise UnknownRun(f"{view.id}.{begins} is the beginning of the ids of {len(found)} child runs: {named}; give more of it")


def node_of(found: Found) -> Any:
    """Return the node that is meant.

    Raises
    ------
    InputError
        When nothing is known of it.
    """
    try:
        return found.view.node(found.path)
    except KeyError as error:
        raise InputError(str(error.args[0])) from None


def only_run(found: Found, verb: str) -> RunView:
    """Return the run that is meant, where a node cannot be."""
    if found.path:
        raise InputError(f"only whole runs can be {verb}: give {found.view.id} without {found.path}")
    return found.view


# ---------------------------------------------------------------- printing


def clean(text: str) -> str:
    """Return a user's text without what could direct a terminal."""
    from daskflow.shortform import clean as cleaned

    return cleaned(text)


def line(text: str, most: int = _MOST_CELL) -> str:
    """Return a user's text on one line."""
    from daskflow.oneline import one_line

    return one_line(text, most)


def say(text: str, *, err: bool = False) -> None:
    """Print text in which there may be a user's."""
    click.echo(clean(text), err=err)


def note(text: str) -> None:
    """Say on standard error what is no result."""
    say(f"daskflow: {text}", err=True)


@contextmanager
def apart(wanted: bool) -> Iterator[None]:
    """Send what this process, and those that it starts, print meanwhile to standard error, where standard output is for a result."""
    if not wanted or sys.stdout is None or sys.stderr is None:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def as_text(plain: Any, indent: int | None = 1) -> str:
    r"""Return plain data as JSON that any terminal can show.

    Examples
    --------
    >>> as_text({"a": "\x7f\x1b"}, None)
    '{"a": "\\u007f\\u001b"}'
    """
    return json.dumps(plain, indent=indent).replace("\x7f", "\\u007f")


def table(rows: Sequence[Sequence[str]], most: Sequence[int] = (), spare: Sequence[str] = ()) -> str:
    """Return rows, the first of which is the heading, under each other.

    Parameters
    ----------
    rows
        Texts, as many in each.
    most
        How long the cells of columns may be.
    spare
        The columns that are left out, in this order, as long as a line does not fit on the terminal.

    Examples
    --------
    >>> print(table([("id", "name"), ("r1", "a"), ("r22", "b")]))
    id   name
    r1   a
    r22  b
    """
    longest = [*most, *[_MOST_CELL] * len(rows[0])]
    columns = {str(column[0]): [line(cell, longest[at]) for cell in column] for at, column in enumerate(zip(*rows, strict=True))}
    widths = {name: max(map(len, cells)) for name, cells in columns.items()}
    room = width()
    for name in spare:
        if sum(widths.values()) + 2 * len(widths) - 2 > room:
            del widths[name]
    cells = zip(*(columns[name] for name in widths), strict=True)
    return "\n".join("  ".join(f"{cell:<{wide}}" for cell, wide in zip(row, widths.values(), strict=True)).rstrip() for row in cells)


def width(otherwise: int = 1 << 16) -> int:
    """Return how many characters a line of the terminal has; without a terminal there is always room."""
    return shutil.get_terminal_size((120, 24)).columns if is_terminal(sys.stdout) else otherwise


# ---------------------------------------------------------------- times

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def ago(when: float, now: float | None = None) -> str:
    """Return a time as how long ago it was; the day, where that is long.

    Examples
    --------
    >>> [ago(when, 1e6) for when in (1e6 - 5, 1e6 - 90, 1e6 - 7300, 1e6 - 2 * 86400, 1e6 + 3)]
    ['5 s ago', '1 min ago', '2 h ago', '2 d ago', '0 s ago']
    """
    seconds = max(0.0, (time.time() if now is None else now) - when)
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (14 * 86400, 86400, "d")):
        if seconds < limit:
            return f"{int(seconds // size)} {unit} ago"
    return datetime.fromtimestamp(when).astimezone().strftime("%Y-%m-%d")


def moment(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Return a time that is given as an age, such as ``1d``, or as a date, with or without a time, in seconds since the epoch."""
    if text is None:
        return None
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        return time.time() - float(age[1]) * _UNITS[age[2]]
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time; give an age, such as 90s, 30m, 12h, 1d or 2w, or a date, such as 2026-01-01"
        ) from None


def label(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Return pairs that are given as ``key=value``."""
    for text in texts:
        if "=" not in text:
            raise click.BadParameter(f"{text!r} must be KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)
