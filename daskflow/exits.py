"""How the commands end where something is wrong: a message, and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any, NoReturn

import click

from daskflow.errors import InputError, OptionError

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
_MOST_LINES = 15


def loaded(file: str) -> Any:
    """Import a user's file or module."""
    from daskflow.files import load

    try:
        return load(file)
    except InputError as error:
        fail(str(error), USAGE)
    except Exception as error:
        fail_with(error, f"{file} cannot be imported")


def or_usage(action: Callable[[], Any]) -> Any:
    """Return what an action gives; what does not fit is wrong usage."""
    try:
        return action()
    except (InputError, OptionError) as error:
        fail(str(error), USAGE)


def fail(message: str, status: int) -> NoReturn:
    """End with a message."""
    from daskflow.shortform import clean

    click.echo(clean(f"daskflow: {message}"), err=True)
    sys.exit(status)


def fail_run(error: BaseException, name: str, seconds: float, *, verbose: bool, commands: Collection[str]) -> NoReturn:
    """Tell why a run failed, and which of the commands that there are can help."""
    import shutil

    from daskflow.failuretext import text
    from daskflow.outcome import Failure

    width = shutil.get_terminal_size((120, 24)).columns if sys.stderr.isatty() else 160
    click.echo(text(Failure.seen(error), name=name, seconds=seconds, verbose=verbose, width=width, hints=commands), err=True)
    sys.exit(FAILED)


def fail_with(error: BaseException, what: str) -> NoReturn:
    """Show a user's exception: its message first, then their own lines of code, then where."""
    import traceback

    from daskflow.shortform import clean
    from daskflow.traces import users_frames

    lines = traceback.format_exception_only(error)
    first = "".join(lines[:1]).rstrip("\n")
    notes = "".join(lines[1:]).rstrip("\n").splitlines()
    code = "".join(traceback.format_list(users_frames(error.__traceback__))).rstrip("\n").splitlines()
    room = max(2, _MOST_LINES - 2 - len(notes))
    shown = code if len(code) <= room else ["  ...", *code[1 - room :]]
    click.echo(clean("\n".join([f"daskflow: {what}", first[:2000], *shown, *(f"  {note}" for note in notes)])), err=True)
    sys.exit(FAILED)
