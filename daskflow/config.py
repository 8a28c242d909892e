"""Configuration: the keys under ``daskflow`` in Dask's configuration, with defaults, each checked when it is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from daskflow.caching import CacheSettings
from daskflow.errors import OptionError
from daskflow.options import CHECKPOINT_MODES, DEFAULT_MAX_PARALLELISM, check_limit


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
    except (TypeError, ValueError, AttributeError, OverflowError):
        size = -1
    if isinstance(value, bool) or size < 1:
        raise OptionError(f"configuration key daskflow.{key} must be a size such as '16MiB', or bytes from 1 on; got {value!r}")
    return size


def _flag(value: Any, key: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    flag = value if isinstance(value, bool) else words.get(str(value).lower())
    if flag is None:
        raise OptionError(f"configuration key daskflow.{key} must be true or false; got {value!r}")
    return flag


def _checkpoint(value: Any, key: str) -> str:
    if value not in CHECKPOINT_MODES:
        raise OptionError(f"configuration key daskflow.{key} must be one of {', '.join(CHECKPOINT_MODES)}; got {value!r}")
    return str(value)


def _log_level(value: Any, key: str) -> str:
    name = str(value).upper()
    if name not in _LOG_LEVELS:
        raise OptionError(f"configuration key daskflow.{key} must be one of {', '.join(_LOG_LEVELS)}; got {value!r}")
    return name


_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _age(value: Any, key: str) -> float | None:
    return None if value is None else _seconds(value, key)


def _count(value: Any, key: str) -> int | None:
    text = value.strip() if isinstance(value, str) else value
    count = int(text) if isinstance(text, str) and text.isdecimal() else text
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise OptionError(f"configuration key daskflow.{key} must be an integer from 1 on, or null for no limit; got {value!r}")
    return count


def _file(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value or "://" in value:
        raise OptionError(f"configuration key daskflow.{key} must be a file on a disk of this machine; got {value!r}")
    return os.path.abspath(os.path.expanduser(value))


def _url(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise OptionError(f"configuration key daskflow.{key} must be a directory or a URL of fsspec's; got {value!r}")
    return os.path.expanduser(value)


def _directory(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise OptionError(f"configuration key daskflow.{key} must be a directory; got {value!r}")
    return os.path.expanduser(value)


def default_cache() -> str:
    """Return where the cache is if nothing is said."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "daskflow")


def default_files() -> str:
    """Return where new files are made if nothing is said: in the process' working directory, which Dask's workers share."""
    return os.path.join(os.getcwd(), "daskflow-files")


def default_history() -> str:
    """Return where the history of runs is if nothing is said: beside the cache's entries, if those are on a disk."""
    url: str = get("cache.url")
    for scheme in ("file://", "local://"):
        url = url.removeprefix(scheme)
    if url.startswith("memory://"):
        return os.path.join(_folder_of_process(), "history.db")
    return os.path.join(default_cache() if "://" in url else url, "history.db")


_folders: dict[int, str] = {}


def _folder_of_process() -> str:
    """Return a folder that goes with this process, and not with one that is forked from it."""
    import atexit
    import tempfile

    pid = os.getpid()
    if pid not in _folders:
        _folders[pid] = tempfile.mkdtemp(prefix="daskflow-history-")
        atexit.register(_remove_folder, pid)
    return _folders[pid]


def _remove_folder(pid: int) -> None:
    import shutil

    if os.getpid() == pid:
        shutil.rmtree(_folders[pid], ignore_errors=True)


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
    # How long a run waits for a worker, which is not there, until its driver logs that; 0 for never.
    "no-worker-warning": ("10s", _seconds),
    # Whether what is cached is looked up and stored.
    "cache.enabled": (True, _flag),
    # Where: a directory, or a URL of fsspec's.
    "cache.url": (default_cache, _url),
    # How much of it a process keeps in memory.
    "cache.memory-bytes": ("64MiB", _bytes),
    # What it may hold: entries that were not used for longest go first.
    "cache.max-bytes": ("10GiB", _bytes),
    # How long entries are kept; for ever if it is null.
    "cache.max-age": (None, _age),
    # What runs keep of their nodes' outputs for others that go on from them.
    "checkpoint": ("auto", _checkpoint),
    # Whether runs are kept in the history.
    "history.enabled": (True, _flag),
    # In which file.
    "history.path": (default_history, _file),
    # How many runs are kept; all of them if it is null.
    "history.max-runs": (10_000, _count),
    # How long after their end; for ever if it is null.
    "history.max-age": (None, _age),
    # Where files with secrets are: Flyte's default.
    "secrets.directory": ("/etc/secrets", _directory),
    # Where File.new and Directory.new make theirs: a directory, or a URL of fsspec's.
    "files.url": (default_files, _url),
    # Whether what tasks print and log on a cluster is kept with the run.
    "logs.enabled": (True, _flag),
    # The level of the tasks' own loggers: current_context().logging.
    "logs.level": ("INFO", _log_level),
    # What is told of one node, and a sixteenth of it more each second; of more, the oldest lines go.
    "logs.node-bytes": ("64KiB", _bytes),
    # What is kept of all nodes of a run together; of more, the newest lines are counted alone.
    "logs.run-bytes": ("64MiB", _bytes),
}


def get(key: str) -> Any:
    """Return the value of a key, such as ``spill-after``.

    Raises
    ------
    OptionError
        When the value is not one that the key can have, or there is an unknown key under ``daskflow``.
    """
    return values(key)[0]


def values(*keys: str) -> list[Any]:
    """Return the values of keys; raises as :func:`get` does."""
    import dask.config as dask_config

    section = dask_config.get("daskflow", None)
    if not isinstance(section, Mapping | None):
        raise OptionError(f"daskflow in Dask's configuration must be a mapping from keys to values; got {section!r}")
    for name in _names(section or {}):
        if name not in KEYS:
            raise OptionError(f"Dask's configuration has no key daskflow.{name}; it has {', '.join(KEYS)}")
    return [_value(dask_config.get(f"daskflow.{key}", _UNSET), key) for key in keys]


def _value(value: Any, key: str) -> Any:
    default, check = KEYS[key]
    if value is _UNSET:
        value = default() if callable(default) else default
    return check(value, key)


_UNSET = object()


def _names(section: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in section.items():
        full = above + str(name).replace("_", "-")
        if isinstance(value, Mapping) and any(key.startswith(f"{full}.") for key in KEYS):
            yield from _names(value, f"{full}.")
        else:
            yield full


def cache_settings(enabled: bool | None = None, overwrite: bool = False) -> CacheSettings | None:
    """Return how the cache is used, as configured; ``None`` where it is not."""
    configured, url, memory, size, age = values("cache.enabled", "cache.url", "cache.memory-bytes", "cache.max-bytes", "cache.max-age")
    return CacheSettings(url, memory, size, age, overwrite) if (configured if enabled is None else enabled) else None


class HistorySettings(NamedTuple):
    """How the history is kept.

    Attributes
    ----------
    path : str
        The file.
    max_runs : int or None
        How many runs are kept.
    max_age : float or None
        For how many seconds after their end.
    """

    path: str
    max_runs: int | None
    max_age: float | None


def history_settings() -> HistorySettings | None:
    """Return how the history is kept, as configured; ``None`` where it is not."""
    enabled, path, runs, age = values("history.enabled", "history.path", "history.max-runs", "history.max-age")
    return HistorySettings(path, runs, age) if enabled else None
