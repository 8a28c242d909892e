"""Answers to gates: whether they fit, what a text stands for, and asking whoever is at the terminal."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable
from typing import Any

from daskflow.errors import InputError
from daskflow.shipping import loads
from daskflow.shortform import clean
from daskflow.terms import Gate
from daskflow.types import Checker, Mismatch

_LOOK = 0.25  # seconds between two looks whether somebody still has to answer

#: Whoever asks first is answered first: several threads may wait at gates.
_terminal = threading.Lock()


def checked_answer(gate: Gate, value: Any) -> Any:
    """Return an answer, converted.

    Raises
    ------
    InputError
        When it is not what the gate asks for.
    """
    try:
        return _checker(gate).check(value)
    except Mismatch as error:
        raise InputError(f"the answer to gate {gate.name!r}: {error}") from None


def typed_answer(gate: Gate, text: str) -> Any:
    """Return what somebody typed as the gate's type: JSON, or plain text as for an input of that type on the command line.

    Raises
    ------
    InputError
        When it is not what the gate asks for.
    """
    from daskflow.plaintext import typed

    checker = _checker(gate)
    asked = "yes or no" if gate.kind == "approval" else gate.text
    try:
        return typed(checker, text.strip() if gate.kind == "approval" else text)
    except InputError as error:
        raise InputError(f"the answer to gate {gate.name!r} must be {asked}: {error}") from None


def _checker(gate: Gate) -> Checker:
    try:
        checker: Checker = loads(gate.expects)
    except Exception as error:
        raise InputError(
            f"what the gate {gate.name!r} asks for, {gate.text}, cannot be had here: {type(error).__name__}: {error}; "
            "answer where that is installed"
        ) from error
    return checker


def somebody_is_here() -> bool:
    """Tell whether somebody can be asked: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def ask(gate: Gate, is_open: Callable[[], bool]) -> Any:
    """Ask whoever is at the terminal, until the answer fits.

    Raises
    ------
    TimeoutError
        When it is not open any more.
    EOFError
        When whoever was there has left.
    """
    import click

    question = _question(gate)
    with _terminal:
        while True:
            text = _line(question, is_open)
            try:
                return typed_answer(gate, text)
            except InputError as error:
                click.echo(clean(f"Error: {error}"), err=True)


def _question(gate: Gate) -> str:
    from daskflow.plaintext import choices

    if gate.kind == "approval":
        return f"{gate.name}: approve {gate.text}? [y/n] "
    texts = choices(_checker(gate).annotation)
    return f"{gate.name} ({gate.text}{': ' if texts else ''}{', '.join(texts)}): "


def _line(question: str, is_open: Callable[[], bool]) -> str:
    import click

    click.echo(clean(question), nl=False, err=True)
    while not select.select([sys.stdin], [], [], _LOOK)[0]:
        if not is_open():
            click.echo(err=True)
            raise TimeoutError
    line = sys.stdin.readline()
    if not line:
        click.echo(err=True)
        raise EOFError
    return line.removesuffix("\n")
