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
from daskflow.exits import INTERRUPTED, UNREACHABLE, USAGE, fail, fail_run, is_terminal

if TYPE_CHECKING:
    from daskflow.handle import Run


class Detached(Exception):
    """Whoever follows a run has left it."""


def detached(run: Run, as_json: bool) -> Any:
    """Have a run go on without whoever started it; return what is printed of it."""
    _leave(run)
    written(run)
    return {"run": run.id} if as_json else run.id


def _leave(run: Run) -> bool:
    """Have a run go on by itself; tell whether it does, and has not ended."""
    try:
        run.detach()
    except InputError:
        return False
    return True


def refuse_detached(scheduler: str | None) -> None:
    """End where a run cannot go on without this process."""
    if scheduler is None:
        fail(
            "a run cannot be detached from a cluster that this command starts, which ends with it; "
            "start one with: daskflow scheduler, and workers for it, and give its address with --scheduler",
            USAGE,
        )


def result(run: Run, scheduler: str | None) -> Any:
    """Say the id of a run, wait for it, and return its result.

    Raises
    ------
    Detached
        When whoever is at the terminal has left it, and was told how it is found again.
    KeyboardInterrupt
        When it was cancelled with Ctrl-C.
    BaseException
        What it failed with.
    """
    note(f"run {run.id}")
    from daskflow.records import Status

    try:
        return _followed(run, scheduler)
    except KeyboardInterrupt:
        run.cancel()
        if run.status != Status.ABORTED:
            # It had ended before.
            return run.result()
        raise
    finally:
        if scheduler is not None:
            written(run)


def _followed(run: Run, scheduler: str | None) -> Any:
    asks = scheduler is not None and is_terminal(sys.stdin, sys.stderr)
    again = False
    while True:
        try:
            if again:
                note(f"waiting for run {run.id}")
            follow(run, scheduler)
            return run.result()
        except KeyboardInterrupt:
            if not asks:
                raise
            _ask(run)
            again = True


def written(run: Run) -> None:
    """Wait until the history's file has what is known of a run: the next command may ask for it."""
    with suppress(DaskflowError):
        # Whoever asks the scheduler is answered when all is written.
        _ = run.view.row


def _ask(run: Run) -> None:
    """Ask whoever has interrupted whether the run is to be waited for; raise what else is wanted."""
    while True:
        click.echo(f"\nrun {run.id}: [d]etach, [c]ancel, [w]ait? ", err=True, nl=False)
        text = sys.stdin.readline()
        chosen = text.strip().lower()[:1]
        # Where whoever was there has left, the run is nobody's.
        if chosen == "c" or not text:
            raise KeyboardInterrupt
        if chosen == "d" and _leave(run):
            written(run)
            note(f"run {run.id} goes on; see: daskflow show {run.id}")
            raise Detached
        if chosen in ("d", "w"):
            return


def failed(error: BaseException, name: str, began: float, *, verbose: bool = False) -> NoReturn:
    """End with what a run failed with."""
    if isinstance(error, ClusterError):
        fail(str(error), UNREACHABLE)
    if isinstance(error, KeyboardInterrupt):
        fail("interrupted; the run is cancelled", INTERRUPTED)
    fail_run(error, name, time.monotonic() - began, verbose=verbose)
