"""What waits to be written into the history: any number of items, and a limited number of bytes. Pure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

#: Bytes that may wait: of what nodes tell and give, and of what is needed to run runs again.
MOST_TOLD, MOST_SUBMITTED = 64 << 20, 512 << 20
#: Seconds for which what comes is gathered, unless it is so many bytes.
WINDOW, ENOUGH = 0.2, 8 << 20

#: SQL, and the parameters for each time that it is executed.
Statement = tuple[str, list[tuple[Any, ...]]]


class Item(NamedTuple):
    """Something to be written.

    Attributes
    ----------
    run : str
        Of which run.
    encode : callable
        Returns the statements; called in the thread that writes.
    told, submitted : int
        Bytes of it that count.
    after : callable, optional
        Called in that thread when it is written.
    """

    run: str
    encode: Callable[[], list[Statement]]
    told: int = 0
    submitted: int = 0
    after: Callable[[], object] | None = None


class Batch(NamedTuple):
    """What is written at once.

    Attributes
    ----------
    items : list of Item
        In the order in which they came.
    dropped : dict
        By run, how many reports and how many log lines did not find room.
    """

    items: list[Item]
    dropped: dict[str, tuple[int, int]]


class Queue:
    """Items on their way to the thread that writes them.

    Examples
    --------
    >>> queue = Queue()
    >>> queue.offer(Item("r0123456789", list, told=65 << 20))
    False
    >>> queue.put(Item("r0123456789", list))
    >>> len(queue.take(idle=1).items)
    1
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list[Item] = []
        self._dropped: dict[str, tuple[int, int]] = {}
        # Of what waits, and of what is being written.
        self._told = self._submitted = 0
        self._taken = self._done = 0
        self._hurried = False
        #: Whether nothing more is taken in.
        self.closing = False

    def put(self, item: Item) -> None:
        """Add what is always kept."""
        with self._changed:
            self._append(item)

    def offer(self, item: Item) -> bool:
        """Add an item if there is room; tell whether there was."""
        with self._changed:
            if self._told + item.told > MOST_TOLD or self._submitted + item.submitted > MOST_SUBMITTED:
                return False
            self._append(item)
            return True

    def drop(self, run: str, reports: int = 0, logs: int = 0) -> None:
        """Count what there was no room for."""
        with self._changed:
            before = self._dropped.get(run, (0, 0))
            self._dropped[run] = (before[0] + reports, before[1] + logs)

    def _append(self, item: Item) -> None:
        if self.closing:
            return
        self._items.append(item)
        before, self._told = self._told, self._told + item.told
        self._submitted += item.submitted
        # Whoever waits is woken where it makes a difference, not for each item.
        if len(self._items) == 1 or before <= ENOUGH < self._told:
            self._changed.notify_all()

    def take(self, idle: float) -> Batch:
        """Wait for items, and a little longer for more; the batch is empty when none has come for so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._hurried or not self.empty, idle)
            if self._items:
                self._changed.wait_for(lambda: self._hurried or self._told > ENOUGH, WINDOW)
            batch = Batch(self._items, self._dropped)
            self._items, self._dropped = [], {}
            self._taken += 1
            self._hurried = self.closing
            return batch

    def done(self, batch: Batch) -> None:
        """Let go of a batch that is written."""
        with self._changed:
            self._told -= sum(item.told for item in batch.items)
            self._submitted -= sum(item.submitted for item in batch.items)
            self._done += 1
            self._changed.notify_all()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._items or self._dropped)

    def flush(self, timeout: float | None) -> bool:
        """Wait until all is written that waits now; tell whether it is."""
        with self._changed:
            target = self._taken + (not self.empty)
            self._hurry()
            return self._changed.wait_for(lambda: self._done >= target, timeout)

    def close(self) -> None:
        """Take nothing more in, and have what waits written at once."""
        with self._changed:
            self.closing = True
            self._hurry()

    def _hurry(self) -> None:
        self._hurried = True
        self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Wait, unless somebody cannot."""
        with self._changed:
            if self.closing:
                # Somebody waits for the end, and it makes no sense to ask without a pause.
                self._changed.wait_for(lambda: False, min(seconds, WINDOW))
                return
            self._changed.wait_for(lambda: self._hurried, seconds)
            self._hurried = self.closing
