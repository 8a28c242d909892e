"""How the commands end where something is wrong: a message, and an exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

import click

from daskflow.errors import ClusterError, DaskflowError, HistoryError, InputError, OptionError

#: As shells tell of a program that was interrupted, or that nobody reads from any more.
INTERRUPTED, UNREAD = 130, 141
FAILED, USAGE, UNREACHABLE = 1, 2, 3
#: The commands that the text of a failure may name.
HINTS = ("logs", "recover", "debug")
_MOST_NAME = 80


class Commands(click.Group):
    """Commands that can print whatever text, and have their own status where they are interrupted, or nobody reads any more."""

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke what was asked for."""
        _print_all()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ENOSPC):
                raise
            # What is left would be written at the end, where it can go nowhere either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if error.errno == errno.EPIPE:
                sys.exit(UNREAD)
            fail(f"what is to be printed cannot be written: {error.strerror}", USAGE)


def _print_all() -> None:
    """Have standard output show what its encoding has no characters for, and not fail of it."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def told(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say what is wrong in one line, and end with the status for it."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except Exception as error:
            if (status := _status(error)) is None:
                raise
            fail(str(error), status)

    return wrapped


def _status(error: Exception) -> int | None:
    from daskflow.places import StoreError

    if isinstance(error, (ClusterError, HistoryError, StoreError)):
        return UNREACHABLE
    return USAGE if isinstance(error, DaskflowError) else None


def is_terminal(*streams: Any) -> bool:
    """Tell whether streams are a terminal's; one that is closed is not."""
    return all(one is not None and one.isatty() for one in streams)


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


def fail_run(error: BaseException, name: str, seconds: float, *, verbose: bool) -> NoReturn:
    """Tell why a run failed, and which commands can help."""
    from daskflow.failuretext import text
    from daskflow.oneline import one_line
    from daskflow.outcome import Failure

    name = one_line(name, _MOST_NAME)
    click.echo(text(Failure.seen(error), name=name, seconds=seconds, verbose=verbose, width=_width(), hints=HINTS), err=True)
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

    return max(60, shutil.get_terminal_size((120, 24)).columns) if is_terminal(sys.stderr) else 120
