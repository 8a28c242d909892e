"""Which units are to move to another worker: those that wait at one while a thread of another is free.

Dask puts a task where it expects it to start soonest, by what tasks of its name took before. Where those were short and these
are not, one worker has units that wait, and another a free thread; Dask's stealing looks at the same expectations, and leaves them there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Load(NamedTuple):
    """How busy a worker is.

    Attributes
    ----------
    worker : str
        Its address.
    threads : int
        How many it has.
    tasks : int
        How many tasks are assigned to it and take a thread, or wait for one.
    """

    worker: str
    threads: int
    tasks: int


def moves(loads: Iterable[Load]) -> list[tuple[str, str]]:
    """Return from which worker to which one task each is to move, so that no thread is free while a task waits elsewhere.

    Examples
    --------
    >>> moves([Load("a", 2, 4), Load("b", 2, 1), Load("c", 1, 1)])
    [('a', 'b')]
    """
    loads = list(loads)
    waiting = [(one.tasks - one.threads, one.worker) for one in loads if one.tasks > one.threads]
    free = [(one.threads - one.tasks, one.worker) for one in loads if one.tasks < one.threads]
    # The busiest gives first, and the idlest takes first.
    sources = [worker for count, worker in sorted(waiting, reverse=True) for _ in range(count)]
    targets = [worker for count, worker in sorted(free, reverse=True) for _ in range(count)]
    return list(zip(sources, targets, strict=False))
