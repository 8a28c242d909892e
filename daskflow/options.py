"""Checking the options that users give to decorators, plans, maps and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from daskflow.errors import OptionError

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


class CacheOptions:
    """What a user said of caching an entity or a call.

    Raises
    ------
    OptionError
        When a value has the wrong type, or something is said of a cache that is off.
    """

    __slots__ = ("enabled", "ignored", "serialize", "version")

    #: The options' names, as users write them.
    NAMES = ("cache", "cache_version", "cache_serialize", "cache_ignore_input_vars")

    def __init__(self, given: Mapping[str, Any], owner: str) -> None:
        self.enabled = _typed(given, "cache", bool, False, owner)
        self.version = _typed(given, "cache_version", str, "", owner)
        self.serialize = _typed(given, "cache_serialize", bool, False, owner)
        self.ignored = tuple(_typed(given, "cache_ignore_input_vars", (tuple, list), (), owner))
        if not self.enabled and (self.version or self.serialize or self.ignored):
            said = next(name for name in self.NAMES[1:] if given.get(name))
            raise OptionError(f"{said} of {owner} has no effect without cache=True")

    def check_ignored(self, inputs: Iterable[str], owner: str) -> None:
        """Refuse ignored inputs that the entity does not have."""
        inputs = tuple(inputs)
        for name in self.ignored:
            if name not in inputs:
                raise OptionError(f"cache_ignore_input_vars of {owner} names {name!r}; its inputs are {', '.join(inputs) or 'none'}")


def _typed(given: Mapping[str, Any], name: str, kind: Any, default: Any, owner: str) -> Any:
    value = given.get(name, default)
    if not isinstance(value, kind):
        wanted = kind.__name__ if isinstance(kind, type) else " or ".join(one.__name__ for one in kind)
        raise OptionError(f"{name} of {owner} must be {wanted}; got {value!r}")
    return value
