"""Following a run from the command line: its id, its gates, Ctrl-C, and what became of it."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from daskflow.cli_common import note
from daskflow.cli_gates import follow
from daskflow.errors import ClusterError, DaskflowError, InputError
from daskflow.exits import INTERRUPTED, UNREACHABLE, USAGE, fail, fail_run

if TYPE_CHECKING:
    from daskflow.handle import Run

#: The commands that the text of a failure may name.
HINTS = ("logs", "recover", "debug")
_CHOICES = {"d": "detach", "c": "cancel", "w": "wait"}


class Detached(Exception):
    """Whoever follows a run has left it."""


def announce(run: Run) -> None:
    """Say the id of a run, if it is one that can be asked for: one whose result was in the cache is not."""
    if not run.was_folded:
        note(f"run {run.id}")


def detach(run: Run) -> None:
    """Have a run go on without whoever started it."""
    try:
        run.detach()
    except InputError:
        # It has ended, and is kept in the history.
        return


def refuse_detached(scheduler: str | None) -> None:
    """End where a run cannot go on without this process."""
    if scheduler is None:
        fail(
            "a run cannot be detached from a cluster that this command starts, which ends with it; "
            "start one with: daskflow scheduler, and workers for it, and give its address with --scheduler",
            USAGE,
        )


def result(run: Run, scheduler: str | None) -> Any:
    """Wait for a run, and return its result.

    Raises
    ------
    Detached
        When whoever is at the terminal has left it.
    KeyboardInterrupt
        When it was cancelled with Ctrl-C.
    BaseException
        What it failed with.
    """
    asks = scheduler is not None and sys.stdin.isatty() and sys.stderr.isatty()
    again = False
    try:
        while True:
            try:
                if again:
                    note(f"waiting for run {run.id}")
                follow(run, scheduler)
                return run.result()
            except KeyboardInterrupt:
                if not asks or _asked(run) == "cancel":
                    raise
                again = True
    except KeyboardInterrupt:
        run.cancel()
        raise
    finally:
        if scheduler is not None:
            written(run)


def written(run: Run) -> None:
    """Wait until the history's file has what is known of a run: the next command may ask for it."""
    with suppress(DaskflowError):
        # Whoever asks the scheduler is answered when all is written.
        _ = run.view.row


def _asked(run: Run) -> str:
    """Ask whoever has interrupted: leave the run, if that is wanted; return what else is."""
    while True:
        click.echo(f"\nrun {run.id}: [d]etach, [c]ancel, [w]ait? ", err=True, nl=False)
        text = sys.stdin.readline()
        if not text:
            # Whoever was there has left, and the run is nobody's.
            return "cancel"
        chosen = _CHOICES.get(text.strip().lower()[:1])
        if chosen == "detach":
            detach(run)
            raise Detached
        if chosen is not None:
            return chosen


def left(run: Run) -> None:
    """Say how a run that goes on by itself is found again."""
    written(run)
    note(f"run {run.id} goes on; see: daskflow show {run.id}")


def failed(error: BaseException, name: str, began: float, verbose: bool = False) -> NoReturn:
    """End with what a run failed with."""
    if isinstance(error, ClusterError):
        fail(str(error), UNREACHABLE)
    if isinstance(error, KeyboardInterrupt):
        fail("interrupted; the run is cancelled", INTERRUPTED)
    fail_run(error, name, time.monotonic() - began, verbose=verbose, commands=HINTS)
