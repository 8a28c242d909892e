"""Checking the options that users give to decorators, plans, maps and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from daskflow.errors import OptionError

#: What a run may keep of its nodes' outputs.
CHECKPOINT_MODES = ("auto", "all", "off")
#: The number of executing nodes that a run may have where no word of a user's says otherwise. Flyte's default.
DEFAULT_MAX_PARALLELISM = 25


def check_limit(value: Any, option: str, owner: str, *, zero: bool) -> int | None:
    """Return a limit: a positive int, ``0`` for unlimited where that is allowed, ``None`` for not set.

    Raises
    ------
    OptionError
        For anything else; it is a ``ValueError``.

    Examples
    --------
    >>> check_limit(3, "concurrency", "map of f", zero=False)
    3
    >>> check_limit(-1, "max_parallelism", "workflow w", zero=True)
    Traceback (most recent call last):
    daskflow.errors.OptionError: max_parallelism of workflow w must be a positive int, or 0 for unlimited; got -1
    """
    if value is None:
        return None
    if type(value) is int and (value > 0 or (zero and value == 0)):
        return value
    allowed = "a positive int, or 0 for unlimited" if zero else "a positive int"
    raise OptionError(f"{option} of {owner} must be {allowed}; got {value!r}")


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str], owner: str) -> None:
    """Raise :class:`OptionError` when an option is given that nobody knows."""
    known = tuple(known)
    for name in given:
        if name not in known:
            raise OptionError(f"{owner} has no option {name!r}; it has {', '.join(known)}")
