"""Leases: what only so many units may have at the same moment, and who waits for them. Pure.

A unit has a lease until its result is there, wherever that comes from: when it tails, the lease goes to the unit that it tails to.
"""

from __future__ import annotations

from collections import deque
from typing import Any


class Leases:
    """The leases of all units. A unit is anything with a list `leases`."""

    def __init__(self) -> None:
        self._holders: dict[str, dict[Any, None]] = {}
        self._waiting: dict[str, deque[Any]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def __bool__(self) -> bool:
        return bool(self._holders)

    def take(self, unit: Any, lease: str, limit: int = 1) -> bool:
        """Give a unit a lease that fewer than `limit` have, or let it wait; tell whether it has it."""
        if lease in unit.leases:
            return True
        if not self.is_free(lease, limit):
            waiting = self._waiting.setdefault(lease, deque())
            if unit not in waiting:
                waiting.append(unit)
            return False
        self._holders.setdefault(lease, {})[unit] = None
        unit.leases.append(lease)
        return True

    def is_free(self, lease: str, limit: int = 1) -> bool:
        """Tell whether fewer than `limit` units have a lease."""
        return len(self._holders.get(lease, ())) < limit

    def oldest(self, lease: str) -> Any:
        """Return the unit that has had a lease the longest."""
        return next(iter(self._holders[lease]))

    def pass_on(self, unit: Any, heir: Any) -> None:
        """Give an heir what a unit has."""
        for lease in unit.leases:
            holders = self._holders[lease]
            # It keeps its place among them: how old a lease is does not change by who has it.
            self._holders[lease] = {(heir if one is unit else one): None for one in holders}
        heir.leases += unit.leases
        unit.leases = []

    def end(self, unit: Any) -> list[str]:
        """Take from a unit all that it has; return the leases of which one more may be had now."""
        leases: list[str] = unit.leases
        unit.leases = []
        for lease in leases:
            holders = self._holders[lease]
            del holders[unit]
            if not holders:
                del self._holders[lease]
        return leases

    def next(self, lease: str) -> Any:
        """Return the unit that has waited the longest for a lease, and waits no more; ``None`` where none does."""
        waiting = self._waiting.get(lease)
        if not waiting:
            self._waiting.pop(lease, None)
            return None
        return waiting.popleft()
