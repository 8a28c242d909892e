"""Where something failed: plain data, that travels, and how it is told in lines. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from daskflow import shortform
from daskflow.levels import Level, bounded

_MOST_CALL = 76  # characters of a call that places are aligned behind


class Where(NamedTuple):
    """Where something failed.

    Attributes
    ----------
    run : str
        The top-level run; ``local`` for one in process.
    address : str
        The node's address in it; empty for the run as a whole.
    child : str
        The id of the child run that the node belongs to, if it belongs to one.
    map_index : int or None
        The index in the innermost map around the node.
    entity : str
        The full name of what the node calls.
    levels : tuple of Level
        The calls that lead to the node, the run's own first.
    attempt, attempts : int
        The number of the attempt that failed, from 1 on, and how many there might have been; 0 where that is not known.
    worker : str
        The address of the worker; empty in process, and where it is not known.
    """

    run: str
    address: str = ""
    child: str = ""
    map_index: int | None = None
    entity: str = ""
    levels: tuple[Level, ...] = ()
    attempt: int = 0
    attempts: int = 0
    worker: str = ""

    @property
    def full_address(self) -> str:
        """The address with the run.

        Examples
        --------
        >>> Where("r0123456789", "level1/step[3]").full_address
        'r0123456789:level1/step[3]'
        """
        return f"{self.run}:{shortform.clean(self.address)}" if self.address else self.run

    def plain(self) -> dict[str, Any]:
        """Return it as plain data, which JSON has words for."""
        return {**self._asdict(), "levels": [list(one) for one in self.levels]}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Where:
        """Return it from plain data."""
        return cls(**{**plain, "levels": tuple(Level(*one) for one in plain["levels"])})

    def details(self) -> list[str]:
        """Return what is to be said beside the address."""
        said = [f"map index {self.map_index}"] if self.map_index is not None else []
        if self.child:
            said.append(f"child run {self.child}")
        if self.attempts and (self.worker or self.attempts > 1):
            said.append(f"attempt {self.attempt}/{self.attempts}")
        return [*said, f"on worker {self.worker}"] if self.worker else said

    def line(self) -> str:
        """Return the address and what is to be said beside it.

        Examples
        --------
        >>> Where("local", "level1/step[3]", map_index=3, attempt=2, attempts=3).line()
        'at local:level1/step[3], map index 3, attempt 2/3'
        """
        place = self.full_address if self.address else f"{self.run} (the whole run)"
        return ", ".join([f"at {place}", *self.details()])


def tree(levels: Sequence[Level], most: int) -> list[tuple[str, str]]:
    """Return a line for each level, with its place: at most so many.

    Examples
    --------
    >>> tree([Level("", "wf(a=1)", "/x/flow.py:3"), Level("step", "step(a=1)", "/x/flow.py:1")], 5)
    [('wf(a=1)', 'flow.py:3'), ('└ step(a=1)', 'flow.py:1')]
    """
    if len(levels) > most:
        levels = bounded(levels, first := max(1, min(3, most // 3)), max(1, most - 1 - first))
    return [(f"{'  ' * (depth - 1)}└ {one.call}" if depth else one.call, short_place(one.place)) for depth, one in enumerate(levels)]


def short_place(place: str) -> str:
    """Return a file and line for people: from the current directory on, or without the directory."""
    try:
        relative = os.path.relpath(place)
    except (OSError, ValueError):
        relative = ".."
    return shortform.clean(os.path.basename(place) if relative.startswith("..") or not place else relative)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines, their columns under each other as far as that is readable."""
    widths = [max((len(row[place]) for row in rows if len(row) > place + 1), default=0) for place in range(max(map(len, rows), default=0))]
    return ["  ".join(f"{cell:<{min(width, _MOST_CALL)}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
