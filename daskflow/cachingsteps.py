"""What an executor does for a node whose result may be in the cache: before it is executed, and afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daskflow.caching import CacheOptions, CacheStatus
from daskflow.entity import LAUNCH_PLAN, MAP
from daskflow.frames import Frame
from daskflow.leases import Lease
from daskflow.lookahead import ahead
from daskflow.nodecache import NodeCache
from daskflow.stacks import node_address
from daskflow.terms import Terms

if TYPE_CHECKING:
    from daskflow.journal import Journal


class NotCached(Exception):
    """Something must be executed."""


#: In the place of a key: the node needs nothing more.
DONE = ""


class CachingSteps:
    """The part of an execution that has to do with the cache."""

    lock: threading.Lock | None
    journal: Journal | None
    cache: NodeCache | None
    terms: Terms
    hand_over: Callable[[Any, Frame, int, Terms], None] | None
    only_cached: bool
    mocks: Any
    _held: dict[str, Lease]

    def _user(self, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _pause(self) -> None:
        raise NotImplementedError

    def _wait(self, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        """Call a function of ours that takes a while, with the frames open to others meanwhile."""
        return function(**inputs) if self.lock is None else self._user(function, inputs)

    def _look_up(self, frame: Frame, slot: int, entity: Any, options: CacheOptions, inputs: dict[str, Any], hashes: Any) -> str | None:
        """Take a node's result from the cache: :data:`DONE` where it was there, the key where not, ``None`` without a cache."""
        cache = self.cache
        if cache is None or entity.kind == MAP:
            return None
        if not cache.enabled:
            self._tell(frame, slot, CacheStatus.DISABLED)
            return None
        key = ahead(cache, frame, slot) or cache.key(entity, options, inputs, hashes)
        skip = frame.scope.overwrite or (entity.kind == LAUNCH_PLAN and entity.overwrite_cache)
        status, value = self._wait(cache.look, {"key": key, "skip": skip})
        if status is not CacheStatus.HIT and options.serialize:
            if self.hand_over is not None and key != self.terms.lease:
                self.hand_over(self, frame, slot, Terms(lease=key))
                return DONE
            status, value = self._wait_for(key, status, cache)
        self._tell(frame, slot, status)
        if status is not CacheStatus.HIT:
            return key
        self._put(frame, slot, value)
        return DONE

    def _put(self, frame: Frame, slot: int, value: Any) -> None:
        """Give a node a value that was there: nothing is executed for it."""
        if self.mocks is not None:
            self.mocks.hit(frame, slot)
        frame.values[slot] = value
        frame.done += 1
        if self.journal is not None:
            self.journal.note(slot)
        self._pause()

    def _wait_for(self, key: str, status: CacheStatus, cache: NodeCache) -> tuple[CacheStatus, Any]:
        """Get the right to compute a key, which others in other processes may have; look again, since they may have computed it."""
        if self.only_cached:
            return status, None
        lease = Lease(cache.place(key))
        try:
            self._wait(lease.acquire, {})
        except OSError as error:
            cache.warn("leases", error)
        status, value = self._wait(cache.look, {"key": key, "again": True})
        if status is CacheStatus.HIT:
            lease.release()
        else:
            self._held[key] = lease
        return status, value

    def _store(self, frame: Frame, slot: int, entity: Any, key: str, value: Any) -> None:
        assert self.cache is not None
        status = self._wait(self.cache.put, {"key": key, "value": value, "entity": entity, "address": node_address(frame, slot)})
        if key in self._held:
            self._held.pop(key).release()
        self._tell(frame, slot, status)

    def _tell(self, frame: Frame, slot: int, status: CacheStatus) -> None:
        if self.journal is not None:
            self.journal.cached(frame, slot, status)
