"""Which units are to move to another worker: those that wait at one while a thread of another is free.

Dask puts a task where it expects it to start soonest, by what tasks of its name took before. Where those were short and these
are not, one worker has units that wait, and another a free thread; Dask's stealing looks at the same expectations, and leaves them there.
Nor does it look at what is left of a worker's resources, but at what the worker has in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

#: Three times 0.1 fit into 0.3.
_ROUNDING = 1e-9


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


class Supply(NamedTuple):
    """What a worker has, and who asks for it.

    Attributes
    ----------
    worker : str
        Its address.
    free : int
        How many of its threads have nothing to do; less than none where tasks wait for one.
    resources : mapping of str to float
        How much it has of each.
    asking : sequence of (str, mapping of str to float)
        The tasks that are assigned to it and ask for resources, the first to be served first, each with what it asks for.
    """

    worker: str
    free: int
    resources: Mapping[str, float]
    asking: Sequence[tuple[str, Mapping[str, float]]]


def resource_moves(supplies: Iterable[Supply]) -> list[tuple[str, str, str]]:
    """Return which task is to move from which worker to which, so that none waits for resources that another worker has to spare.

    Examples
    --------
    >>> gpu = {"GPU": 1.0}
    >>> resource_moves([Supply("a", 2, gpu, [("t1", gpu), ("t2", gpu)]), Supply("b", 4, gpu, []), Supply("c", 0, gpu, [])])
    [('t2', 'a', 'b')]
    """
    served = [_served(one) for one in supplies]
    found = []
    for place, waiting in served:
        for key, asked in waiting:
            fitting = [other for other, _ in served if other is not place and other.free > 0 and other.fits(asked)]
            if fitting:
                target = max(fitting, key=lambda one: one.free)
                target.take(asked)
                target.free -= 1
                found.append((key, place.worker, target.worker))
    return found


class _Place:
    """What is left of a worker."""

    def __init__(self, supply: Supply) -> None:
        self.worker, self.free = supply.worker, supply.free
        self._left = dict(supply.resources)

    def fits(self, asked: Mapping[str, float]) -> bool:
        return all(self._left.get(name, 0.0) + _ROUNDING >= amount for name, amount in asked.items())

    def take(self, asked: Mapping[str, float]) -> None:
        for name, amount in asked.items():
            self._left[name] = self._left.get(name, 0.0) - amount


def _served(supply: Supply) -> tuple[_Place, list[tuple[str, Mapping[str, float]]]]:
    """Return what is left of a worker when it has served those that it can, and the others."""
    place, waiting = _Place(supply), []
    for key, asked in supply.asking:
        if place.fits(asked):
            place.take(asked)
        else:
            waiting.append((key, asked))
    return place, waiting
