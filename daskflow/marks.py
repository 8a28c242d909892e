"""The file in which it is kept how far each plan's schedule has been dealt with."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any

from daskflow.errors import OptionError
from daskflow.ticks import Mark

_VERSION = 1


class StateFile:
    """The marks of plans, by their names, in a file of JSON.

    Parameters
    ----------
    path
        The file; it and its folder are made when they are first needed.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> file = StateFile(str(folder / "state.json"))
    >>> file.save({"plan": Mark("every 1:00:00", datetime(2026, 3, 1, tzinfo=UTC))})
    >>> file.load()["plan"].last.isoformat()
    '2026-03-01T00:00:00+00:00'
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self) -> dict[str, Mark]:
        """Return all marks; none where there is no file.

        Raises
        ------
        OptionError
            When the file cannot be read, or is none of ours.
        """
        try:
            with open(self.path, encoding="utf-8") as file:
                return _marks(json.load(file))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OptionError(
                f"the state of schedules in {self.path} cannot be read ({type(error).__name__}: {error}); "
                "give another file, or remove it to begin anew"
            ) from None

    def save(self, marks: Mapping[str, Mark]) -> None:
        """Write all marks. Whatever happens meanwhile, the file has either the old ones or the new ones.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        plans = {name: {"schedule": mark.schedule, "last": mark.last.astimezone(UTC).isoformat()} for name, mark in marks.items()}
        folder = self._folder()
        handle, draft = tempfile.mkstemp(prefix=f".{os.path.basename(self.path)}.", dir=folder)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                json.dump({"version": _VERSION, "plans": plans}, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise

    def _folder(self) -> str:
        folder = os.path.dirname(os.path.abspath(self.path))
        os.makedirs(folder, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the file: two processes that go by it would start each run twice.

        Raises
        ------
        OptionError
            When another process holds it, or it cannot be written.
        """
        try:
            self._folder()
            # The file itself is replaced with each tick, and a lock would go with it.
            lock = open(f"{self.path}.lock", "a")  # noqa: SIM115
        except OSError as error:
            raise OptionError(f"the state of schedules cannot be kept in {self.path}: {error}; give another file") from None
        with lock:
            self._lock(lock)
            yield

    def _lock(self, file: IO[Any]) -> None:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OptionError(f"another process runs the schedules whose state is in {self.path}; give another file, or end it") from None


def _marks(stored: Any) -> dict[str, Mark]:
    if stored["version"] != _VERSION:
        raise ValueError(f"it has version {stored['version']!r}, not {_VERSION}")
    return {name: Mark(str(one["schedule"]), _aware(one["last"])) for name, one in stored["plans"].items()}


def _aware(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"the time {text!r} has no zone")
    return time.astimezone(UTC)


def default_path(cache: str, file: str) -> str:
    """Return where the state of a file's or module's schedules is, if nothing is said: beside the cache.

    Examples
    --------
    >>> default_path("/home/me/.cache/daskflow", "flows")
    '/home/me/.cache/daskflow-schedules/flows-....json'
    """
    import hashlib

    from daskflow.config import default_cache

    place = default_cache() if "://" in cache else cache
    whole = os.path.abspath(file) if os.sep in file or file.endswith(".py") else file
    name = os.path.basename(file).removesuffix(".py")
    return f"{place.rstrip(os.sep)}-schedules{os.sep}{name}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}.json"
