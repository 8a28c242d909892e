"""The store: cached values by key, in files or wherever fsspec reaches, with a layer of memory above.

Whoever may write to a store decides what is unpickled from it. So a folder must be its owner's alone, or entries are signed with a
secret that all who share it have. Either way nothing is unpickled before every byte of it has been checked; see :mod:`daskflow.entries`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow import entries, shipping
from daskflow.entries import SMALL, Damaged, Encoded, Head
from daskflow.places import KEY, VARIABLE, Bottom, Files, Kept, Remote, StoreError, located

if TYPE_CHECKING:
    from zict import LRU


logger = logging.getLogger(__name__)


MEMORY_BYTES = 64 << 20
MAX_BYTES = 10 << 30

# What an entry in memory takes besides its bytes, roughly.
_OVERHEAD = 512


class PickleFailed(StoreError):
    """A value cannot be kept, since it does not pickle."""


class Entry(NamedTuple):
    """What a look-up gives.

    Attributes
    ----------
    value
        The value, made anew for each look-up.
    meta
        What the value was put with.
    """

    value: Any
    meta: dict[str, Any]


class Store:
    """Cached values by key, over files or any fsspec URL.

    Threads and processes may use it, and stores over the same place, at the same time: a look-up gives a whole value or none.
    Nothing is touched, made or checked before the first use.

    Parameters
    ----------
    url : str
        A folder, or a URL that fsspec knows.
    memory_bytes : int
        How much is kept in memory of entries of up to 1 MiB. What is gone from files, or was stored anew, is not given from memory;
        over fsspec it may be for a minute.
    max_bytes : int
        How much is kept; :meth:`put` evicts what was not used for longest when it is exceeded.
    max_age : float, optional
        Entries made longer ago than this many seconds count as not there.
    secret : bytes, optional
        Entries are signed with it, and others are not read. Without one a folder that others can write to is refused.
    """

    def __init__(
        self,
        url: str,
        *,
        memory_bytes: int = MEMORY_BYTES,
        max_bytes: int = MAX_BYTES,
        max_age: float | None = None,
        secret: bytes | None = None,
    ) -> None:
        if secret is not None and not secret:
            raise ValueError("a store's secret must not be empty")
        self.url, path = located(url)
        self.memory_bytes, self.max_bytes, self.max_age = memory_bytes, max_bytes, max_age
        self._secret = secret
        self._bottom: Bottom = Remote(self.url, secret) if path is None else Files(path, secret)
        self._memory = _memory_layer(memory_bytes)
        self._lock = threading.Lock()
        self._evicting = threading.Lock()
        self._unchecked_bytes = 0

    def get(self, key: str) -> Entry | None:
        """Return the value of a key, or None where there is none that may be used.

        A damaged entry is reported, removed if possible, and counts as not there.

        Raises
        ------
        StoreError
            When the store cannot be asked.
        ValueError
            When the key is not lower-case hexadecimal.
        """
        _check_key(key)
        return self._get(key, self._bottom.__getitem__)

    def get_many(self, keys: Sequence[str]) -> dict[str, Entry]:
        """Return the values of those of the keys that are there, from one batch of requests; as :meth:`get`."""
        for key in keys:
            _check_key(key)
        absent = [key for key in keys if key not in self._memory]
        try:
            read = self._bottom.ahead(absent)
        except Exception as error:
            raise self._trouble("read", error) from error
        found = ((key, self._get(key, read)) for key in keys)
        return {key: entry for key, entry in found if entry is not None}

    def put(self, key: str, value: Any, meta: dict[str, Any]) -> None:
        """Keep a value, with what JSON can say about it; whoever looks meanwhile finds what was there before, or this.

        Raises
        ------
        PickleFailed
            When the value does not pickle.
        StoreError
            When it cannot be written; what was there before stays.
        ValueError
            When the key is not lower-case hexadecimal.
        """
        _check_key(key)
        outside = entries.Outside()
        try:
            pickled = shipping.dumps(value, outside)
        except Exception as error:
            raise PickleFailed(f"a value cannot be kept, since it does not pickle: {type(error).__name__}: {error}") from error
        entry = entries.encoded(key, pickled, outside.buffers, meta, signed=self._secret is not None)
        if entry.nbytes > self.max_bytes:
            raise StoreError(f"a value of {entry.nbytes} bytes is more than the store {self.url} may keep, which is {self.max_bytes}")
        try:
            self._bottom[key] = entry
        except Exception as error:
            raise self._trouble("write", error) from error
        # What is in memory has the mark of what was read, so that another process' entry is not taken for it.
        self._memory.discard(key)
        self._count(entry.nbytes)

    def remove(self, key: str) -> bool:
        """Remove an entry; tell whether it was there."""
        _check_key(key)
        self._memory.discard(key)
        try:
            del self._bottom[key]
        except KeyError:
            return False
        except Exception as error:
            raise self._trouble("write", error) from error
        return True

    def keys(self) -> Iterator[str]:
        """Give the keys that are there, in no order."""
        return (one.key for one in self._kept())

    def info(self) -> dict[str, Any]:
        """Return ``url``, ``entries``, ``bytes``, and when the ``oldest`` and ``newest`` of them was last used or made, if any."""
        kept = list(self._kept())
        used = [one.used for one in kept]
        size = sum(one.nbytes for one in kept)
        return {
            "url": self.url,
            "entries": len(kept),
            "bytes": size,
            "oldest": min(used, default=None),
            "newest": max(used, default=None),
        }

    def head(self, key: str) -> dict[str, Any] | None:
        """Return what a value was put with, and ``nbytes`` and ``created``, without reading the value or checking the entry."""
        _check_key(key)
        try:
            head, nbytes = self._bottom.head(key)
        except KeyError:
            return None
        except Damaged as damage:
            self._drop(key, damage)
            return None
        except Exception as error:
            raise self._trouble("read", error) from error
        return {**head.meta, "nbytes": nbytes, "created": head.created}

    def verify(self) -> Iterator[tuple[str, str | None]]:
        """Check each entry without unpickling it; give its key and what is wrong with it, or None. Nothing is removed."""
        for one in list(self._kept()):
            try:
                self._bottom.check(one.key)
            except KeyError:
                continue
            except Damaged as damage:
                yield one.key, str(damage)
            except Exception as error:
                yield one.key, f"it cannot be read: {type(error).__name__}: {error}"
            else:
                yield one.key, None

    def clear(self) -> int:
        """Remove all entries; return how many there were."""
        self._memory = _memory_layer(self.memory_bytes)
        return sum(self.remove(one.key) for one in list(self._kept()))

    def evict(self, now: float | None = None) -> int:
        """Remove what is too old, then what was not used for longest until nine tenths of the size are left, if it is exceeded.

        Parameters
        ----------
        now : float, optional
            The time to count ages from, in seconds since the epoch.

        Returns
        -------
        int
            How many entries were removed.
        """
        now = time.time() if now is None else now
        kept = sorted(self._kept(), key=lambda one: one.used)
        old = [one for one in kept if self._is_old(one, now)]
        removed = sum(self.remove(one.key) for one in old)
        gone = {one.key for one in old}
        left = sum(one.nbytes for one in kept if one.key not in gone)
        target = self.max_bytes if left <= self.max_bytes else self.max_bytes * 9 // 10
        for one in kept:
            if left <= target:
                break
            if one.key not in gone:
                removed += self.remove(one.key)
                left -= one.nbytes
        try:
            self._bottom.tidy(now)
        except Exception as error:
            raise self._trouble("write", error) from error
        return removed

    def __reduce__(self) -> tuple[Any, ...]:
        # The secret does not travel: it would be in every message, and messages are stored.
        if self._secret is not None and self._secret != _environment_secret():
            raise StoreError(f"a store with a secret travels only where the secret is that of the environment variable {VARIABLE}")
        return _reopened, (self.url, self.memory_bytes, self.max_bytes, self.max_age, self._secret is not None)

    def __repr__(self) -> str:
        return f"<store {self.url}>"

    def _get(self, key: str, read: Callable[[str], Encoded]) -> Entry | None:
        try:
            entry = self._remembered(key)
            if entry is None:
                entry = read(key)
                self._remember(key, entry)
            head = entry.head
        except KeyError:
            return None
        except Damaged as damage:
            self._drop(key, damage)
            return None
        except Exception as error:
            raise self._trouble("read", error) from error
        if self._is_expired(head):
            return None
        try:
            return Entry(entry.value(), head.meta)
        except Exception as error:
            # It may well load where the modules are that it needs, so it stays.
            logger.warning("the cached value %s in %s cannot be loaded here: %s: %s", key, self.url, type(error).__name__, error)
            return None

    def _remembered(self, key: str) -> Encoded | None:
        entry = self._memory.get(key)
        if entry is None:
            return None
        # Another process may have removed it, or stored another one.
        if not self._bottom.touch(key, entry.stamp) or (self.max_age is not None and self._is_expired(entry.head)):
            self._memory.discard(key)
            return None
        return entry

    def _is_expired(self, head: Head) -> bool:
        return self.max_age is not None and head.created + self.max_age < time.time()

    def _remember(self, key: str, entry: Encoded) -> None:
        if entry.nbytes <= min(SMALL, self.memory_bytes):
            self._memory[key] = entry.copied()
        else:
            self._memory.discard(key)

    def _drop(self, key: str, damage: Damaged) -> None:
        logger.warning("the cached value %s in %s is dropped: %s", key, self.url, damage)
        with suppress(StoreError):
            self.remove(key)

    def _trouble(self, verb: str, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        return StoreError(f"the store {self.url} cannot be {'read' if verb == 'read' else 'written'}: {type(error).__name__}: {error}")

    def _kept(self) -> Iterator[Kept]:
        try:
            yield from self._bottom.kept()
        except Exception as error:
            raise self._trouble("read", error) from error

    def _is_old(self, one: Kept, now: float) -> bool:
        if self.max_age is None:
            return False
        # What was not even used since is old; otherwise the entry has to be asked, since each use changes the file's time.
        return one.used + self.max_age < now or self._bottom.created(one) + self.max_age < now

    def _count(self, nbytes: int) -> None:
        with self._lock:
            self._unchecked_bytes += nbytes
            if self._unchecked_bytes <= self.max_bytes // 20:
                return
            self._unchecked_bytes = 0
        if self._evicting.acquire(blocking=False):
            try:
                self.evict()
            except StoreError as error:
                logger.warning("the store %s was not brought to its size: %s", self.url, error)
            finally:
                self._evicting.release()


_stores: dict[tuple[Any, ...], Store] = {}
_opening = threading.Lock()


def open_store(
    url: str,
    memory_bytes: int = MEMORY_BYTES,
    max_bytes: int = MAX_BYTES,
    max_age: float | None = None,
) -> Store:
    """Return the one store that this process has for these arguments; its secret is that of the environment.

    Parameters
    ----------
    url, memory_bytes, max_bytes, max_age
        As for :class:`Store`. The secret is the text of ``DASKFLOW_CACHE_SECRET``, where that is set and not empty.
    """
    secret = _environment_secret()
    arguments = (located(url)[0], memory_bytes, max_bytes, max_age, secret)
    with _opening:
        if arguments not in _stores:
            _stores[arguments] = Store(url, memory_bytes=memory_bytes, max_bytes=max_bytes, max_age=max_age, secret=secret)
        return _stores[arguments]


def forget_stores(url: str) -> None:
    """Let go of the stores that this process has for a URL, with what they keep in memory; what they have stored stays."""
    full = located(url)[0]
    with _opening:
        for arguments in [one for one in _stores if one[0] == full]:
            del _stores[arguments]


def _reopened(url: str, memory_bytes: int, max_bytes: int, max_age: float | None, signed: bool) -> Store:
    if signed and _environment_secret() is None:
        # To open it without would be to believe what is not signed.
        raise StoreError(f"the store {url} is signed; set the environment variable {VARIABLE} in this process too")
    return open_store(url, memory_bytes, max_bytes, max_age)


def _environment_secret() -> bytes | None:
    return os.environ.get(VARIABLE, "").encode() or None


def _memory_layer(limit: int) -> LRU[str, Encoded]:
    from zict import LRU

    return LRU(limit, {}, weight=lambda _, entry: entry.nbytes + _OVERHEAD)


def _check_key(key: str) -> None:
    if not isinstance(key, str) or KEY.fullmatch(key) is None:
        raise ValueError(f"a key must be lower-case hexadecimal, of 2 to 200 digits; got {key!r}")
