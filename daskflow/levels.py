"""Levels: the calls that lead from a run down to a node, each told in a short form. Pure.

A level is told only when something failed, or when something is handed over to where nothing is known of what is above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from daskflow import shortform

# Of very deep nesting the outermost and the innermost levels tell enough.
_FIRST, _LAST = 3, 12


class Level(NamedTuple):
    """A call on the way down to a node.

    Attributes
    ----------
    label : str
        Its name in addresses; empty for the run's own call, and ``…`` for levels that are left out.
    call : str
        A short form of the call, with its inputs.
    place : str
        The file and line of what is called, or nothing.
    """

    label: str
    call: str
    place: str

    @property
    def left_out(self) -> int:
        """How many levels it stands for that are left out; 0 where it is one itself."""
        return int(self.call.split()[1]) if self.label == "…" else 0


def level_of(entity: Any, address: str, inputs: Mapping[str, Any] | None) -> Level:
    """Return the level of a node that calls an entity, from its address without the run."""
    label = address.rpartition("/")[2]
    name = shortform.clean(label or entity.short_name)
    if label and label.partition("[")[0] != entity.short_name:
        name = f"{name}: {entity.short_name}"
    return Level(label, shortform.call(name, inputs if entity.names_inputs else None), place_of(entity))


def place_of(entity: Any) -> str:
    """Return the file and line of a user's function that an entity calls; nothing where there is none."""
    for _ in range(4):
        code = getattr(getattr(entity, "fn", None), "__code__", None)
        if code is not None:
            return f"{code.co_filename}:{code.co_firstlineno}"
        entity = getattr(entity, "target", None) or getattr(entity, "workflow", None)
    return ""


def bounded(levels: Iterable[Level], first: int = _FIRST, last: int = _LAST) -> tuple[Level, ...]:
    """Return levels without those in the middle, where there are very many.

    Examples
    --------
    >>> [one.call for one in bounded([Level("", f"f(n={n})", "") for n in range(9)], 1, 2)]
    ['f(n=0)', '… 6 levels', 'f(n=7)', 'f(n=8)']
    """
    levels = tuple(levels)
    count = sum(one.left_out or 1 for one in levels)
    if len(levels) - (count > len(levels)) <= first + last:
        return levels
    left = count - first - last
    return (*levels[:first], Level("…", f"… {left} level{'' if left == 1 else 's'}", ""), *levels[len(levels) - last :])
