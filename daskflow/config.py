"""Configuration: the keys under ``daskflow`` in Dask's configuration, with defaults, each checked when it is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daskflow.errors import OptionError
from daskflow.options import DEFAULT_MAX_PARALLELISM, check_limit


def _seconds(value: Any, key: str) -> float:
    from dask.utils import parse_timedelta

    try:
        seconds = float(parse_timedelta(value, default="s"))
    except (TypeError, ValueError, KeyError, AttributeError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise OptionError(f"configuration key daskflow.{key} must be a time such as '20ms', or seconds from 0 on; got {value!r}")
    return seconds


def _limit(value: Any, key: str) -> int:
    limit = check_limit(value, key, "Dask's configuration (daskflow)", zero=True)
    return DEFAULT_MAX_PARALLELISM if limit is None else limit


def _bytes(value: Any, key: str) -> int:
    from dask.utils import parse_bytes

    try:
        size = int(parse_bytes(value))
    except (TypeError, ValueError, AttributeError):
        size = -1
    if isinstance(value, bool) or size < 1:
        raise OptionError(f"configuration key daskflow.{key} must be a size such as '16MiB', or bytes from 1 on; got {value!r}")
    return size


#: Each key with its default and its check.
KEYS: dict[str, tuple[Any, Callable[[Any, str], Any]]] = {
    # How long a unit works alone before it hands over what it has not started; 0 makes every node a Dask task.
    "spill-after": ("20ms", _seconds),
    # How long a unit is cut to last where it is known how long its nodes take.
    "chunk": ("50ms", _seconds),
    # Values from this size on stay where they were made, and are referred to.
    "reference-bytes": ("1MiB", _bytes),
    # A unit that holds values of its own making of this size together ends, so that Dask can move and spill them one by one.
    "unit-output-bytes": ("16MiB", _bytes),
    # The number of executing nodes that a run may have where no word of a user's says otherwise; 0 for unlimited.
    "max-parallelism": (DEFAULT_MAX_PARALLELISM, _limit),
}


def get(key: str) -> Any:
    """Return the value of a key, such as ``spill-after``.

    Raises
    ------
    OptionError
        When the value is not one that the key can have, or there is an unknown key under ``daskflow``.
    """
    import dask.config as dask_config

    section = dask_config.get("daskflow", {}) or {}
    for name in section:
        if name.replace("_", "-") not in KEYS:
            raise OptionError(f"Dask's configuration has no key daskflow.{name}; it has {', '.join(KEYS)}")
    default, check = KEYS[key]
    return check(dask_config.get(f"daskflow.{key}", default), key)
