"""How the commands end where something is wrong: a message, and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any, NoReturn

import click

from daskflow.errors import InputError, OptionError

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130


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
    from daskflow.failuretext import text
    from daskflow.outcome import Failure

    click.echo(text(Failure.seen(error), name=name, seconds=seconds, verbose=verbose, width=_width(), hints=commands), err=True)
    sys.exit(FAILED)


def fail_with(error: BaseException, what: str) -> NoReturn:
    """Show a user's exception: its message first, then where it was, and their own lines of code."""
    from daskflow.failuretext import plain_text
    from daskflow.outcome import Failure
    from daskflow.shortform import clean

    click.echo(clean(f"daskflow: {what}\n{plain_text(Failure.seen(error), width=_width())}"), err=True)
    sys.exit(FAILED)


def _width() -> int:
    import shutil

    return max(60, shutil.get_terminal_size((120, 24)).columns) if sys.stderr.isatty() else 120
