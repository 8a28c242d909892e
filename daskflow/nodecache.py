"""The cache as an execution sees it: keys, look-ups ahead, and what became of each; a cache that fails never fails a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from daskflow.cachekey import key, stable_name
from daskflow.caching import CacheOptions, CacheSettings, CacheStatus, HashMethod, VersionParameters
from daskflow.entity import LAUNCH_PLAN, Entity
from daskflow.errors import OptionError

logger = logging.getLogger(__name__)


def prepare(entity: Any) -> None:
    """Make the version of an entity's code while the code is here: it travels with the entity."""
    options = entity.cache
    if options is not None and not options.version and hasattr(entity, "fn"):
        options.resolved = resolve(entity, options)


class Entries(Protocol):
    """What is needed of a store."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """Return the entries that are there."""
        ...

    def put(self, key: str, value: Any, meta: dict[str, Any]) -> None:
        """Store a value."""
        ...


def effective_version(entity: Any, options: CacheOptions) -> str:
    """Return the version in an entity's keys: what the user said, or what the policies make of its function.

    Raises
    ------
    OptionError
        When a policy fails.
    """
    if options.version:
        return options.version
    if entity.kind == LAUNCH_PLAN:
        entity = entity.workflow
    if options.resolved is not None and entity.shipment is not None:
        # The source is where the code came from.
        return options.resolved
    return resolve(entity, options)


def resolve(entity: Any, options: CacheOptions) -> str:
    """Make an entity's version from its function, here and now."""
    if not options.policies:
        from daskflow.codeversion import code_version

        # What was put together call by call has no function.
        return code_version(entity if entity.fn is None else entity.fn, options.salt)
    parameters = VersionParameters(entity.fn)
    made = []
    for policy in options.policies:
        try:
            made.append(policy.get_version(options.salt, parameters))
        except Exception as error:
            raise OptionError(f"Failed to generate version for cache policy {policy!r} of {entity.name}: {error}") from error
        if not isinstance(made[-1], str):
            raise OptionError(f"cache policy {policy!r} of {entity.name} must give its version as text; it gave {made[-1]!r}")
    return "+".join(made)


def _open(settings: CacheSettings) -> Entries:
    from daskflow.store import open_store

    return open_store(settings.url, settings.memory_bytes, settings.max_bytes, settings.max_age)


_warned_of: dict[str, None] = {}
_MOST_WARNED = 1000

#: How much of what was looked up ahead is kept when nobody has come for it.
_MOST_AHEAD = 2048


class NodeCache:
    """The cache of one execution.

    Parameters
    ----------
    settings
        Gives how it is used, or ``None`` where it is not; called when it is first needed.
    open
        Gives the store.
    run : str
        The run that it is for: a failure is said once in a process for each; of one without a name, once for this object.
    """

    def __init__(
        self, settings: Callable[[], CacheSettings | None], open: Callable[[CacheSettings], Entries] | None = None, run: str = ""
    ) -> None:
        self._settings = settings
        self._open = open or _open
        self._store: Entries | None = None
        self._ahead: dict[str, Any] = {}
        self._versions: dict[tuple[int, int], tuple[Any, str]] = {}
        self._run = run
        self._warned = False

    @cached_property
    def settings(self) -> CacheSettings | None:
        """How it is used."""
        return self._settings()

    @property
    def enabled(self) -> bool:
        """Whether it is used at all."""
        return self.settings is not None

    @property
    def _overwrites(self) -> bool:
        return self.settings is not None and self.settings.overwrite

    def key(self, entity: Any, options: CacheOptions, inputs: Mapping[str, Any], hashes: Mapping[str, HashMethod] | None = None) -> str:
        """Return the key of a call; a launch plan's is that of its workflow with all inputs.

        Raises
        ------
        InputError
            When an input cannot be hashed.
        """
        version = self._version(entity, options)
        if entity.kind == LAUNCH_PLAN:
            inputs = {**inputs, **entity.fixed_inputs}
            entity = entity.workflow
        return key(entity, version, inputs, options.ignored, hashes)

    def _version(self, entity: Entity[..., Any], options: CacheOptions) -> str:
        if options.version:
            return options.version
        mark = (id(entity), id(options))
        if mark not in self._versions:
            self._versions[mark] = ((entity, options), effective_version(entity, options))
        return self._versions[mark][1]

    def look_ahead(self, keys: Sequence[str]) -> None:
        """Look many keys up at once; :meth:`look` then finds what was found."""
        if not self._overwrites:
            if len(self._ahead) > _MOST_AHEAD:
                self._ahead.clear()
            self._ahead.update(self._found(keys))

    def _found(self, keys: Sequence[str]) -> dict[str, Any]:
        try:
            found = self._opened().get_many(keys)
        except Exception as error:
            self.warn("look-ups", error)
            return dict.fromkeys(keys, error)
        return {one: found.get(one) for one in keys}

    def look(self, key: str, again: bool = False, skip: bool = False) -> tuple[CacheStatus, Any]:
        """Return whether a key is there, and its value; `again` passes over what was looked up ahead, `skip` over all that is there."""
        if skip or self._overwrites:
            return CacheStatus.SKIPPED, None
        if again or key not in self._ahead:
            self._ahead.update(self._found([key]))
        entry = self._ahead.pop(key)
        if entry is None:
            return CacheStatus.MISS, None
        if isinstance(entry, Exception):
            return CacheStatus.LOOKUP_FAILURE, None
        return CacheStatus.HIT, entry.value

    def put(self, key: str, value: Any, entity: Entity[..., Any], address: str) -> CacheStatus:
        """Store a result."""
        try:
            self._opened().put(key, value, {"entity": stable_name(entity), "address": address})
        except Exception as error:
            self.warn("storing", error)
            return CacheStatus.PUT_FAILURE
        return CacheStatus.POPULATED

    def place(self, key: str) -> str:
        """Return what names a key among all caches."""
        return f"{self.settings.url if self.settings is not None else ''}\n{key}"

    def _opened(self) -> Entries:
        if self._store is None:
            assert self.settings is not None
            self._store = self._open(self.settings)
        return self._store

    def warn(self, what: str, error: Exception) -> None:
        """Say, once, that the run goes on without the cache."""
        if not self._warned and self._run not in _warned_of:
            self._warned = True
            if self._run:
                _warned_of[self._run] = None
                # Runs come and go: the names of the last thousand are enough.
                if len(_warned_of) > _MOST_WARNED:
                    _warned_of.pop(next(iter(_warned_of)), None)
            logger.warning(
                "the cache at %s fails at %s, so the run goes on without it: %s", self.settings and self.settings.url, what, error
            )
