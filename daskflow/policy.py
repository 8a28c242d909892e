"""The policy of spilling: when work is worth handing over, and in what pieces. Pure."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

#: Seconds, for each thread of the cluster.
_CHUNK, _BUDGET = 1e-3, 2e-4


@dataclass(frozen=True, slots=True)
class Policy:
    """How much to spill, and in what pieces.

    Attributes
    ----------
    budget : float
        Seconds that a unit works alone before it hands over what it has not started; 0 makes every node a unit.
    chunk : float
        Seconds of work that a unit is cut to last, where it is known how long a node takes.
    most : int
        The most units that one frame is cut into at a time; each cuts itself again when it turns out to be long.
    spread : int
        The most units while nodes are long, or nothing is known of them: the threads that there are, and some more. Whatever
        thread is idle later has a unit cut anew, so cutting finer would only cost.
    """

    budget: float = 0.02
    chunk: float = 0.05
    most: int = 64
    spread: int = 64

    @classmethod
    def on(cls, threads: int, budget: float, chunk: float) -> Policy:
        """Return the policy for a cluster of so many threads.

        The scheduler's one event loop takes some 0.65 ms a unit, so units must last longer the more threads there are.

        Examples
        --------
        >>> Policy.on(8, budget=0.02, chunk=0.05)
        Policy(budget=0.02, chunk=0.05, most=64, spread=16)
        >>> Policy.on(1000, budget=0.02, chunk=0.05)
        Policy(budget=0.2, chunk=1.0, most=4000, spread=2000)
        """
        if budget:
            budget = max(budget, threads * _BUDGET)
        return cls(budget, max(chunk, threads * _CHUNK), max(64, 4 * threads), 2 * threads)

    @property
    def eager(self) -> bool:
        """Whether every node is a unit of its own."""
        return self.budget == 0

    def worthwhile(self, pending: int, mean: float | None, since: float) -> bool:
        """Tell whether that many nodes are worth a message.

        Parameters
        ----------
        pending : int
            How many.
        mean : float or None
            The mean time in seconds that one takes; None where none has ended yet.
        since : float
            Seconds since the first began: it may last as long once more, and so may each other.

        Examples
        --------
        >>> policy = Policy(budget=0.02, chunk=0.05)
        >>> policy.worthwhile(1, None, since=0.02), policy.worthwhile(1, None, since=0.001)
        (True, False)
        """
        if not pending or self.eager:
            return pending > 0
        return pending * since >= self.budget if mean is None else pending * mean >= self.chunk

    def pieces(self, pending: int, mean: float | None, slots: float = math.inf) -> list[range]:
        """Cut that many nodes into contiguous pieces; `slots` is how many of them may be executed at the same moment.

        Examples
        --------
        >>> Policy().pieces(10, 0.01)
        [range(0, 5), range(5, 10)]
        >>> len(Policy(most=4).pieces(10, None))
        4
        """
        if self.eager:
            count = pending
        elif mean is None or mean >= self.budget:
            # Where a limit holds, a piece more than there are slots would wait, and leave a slot empty while it is sent.
            count = int(min(pending, self.most, self.spread, slots))
        else:
            count = min(self.most, pending, max(1, math.ceil(pending * mean / self.chunk)))
        # The last one starts last, and so is the shorter where they differ.
        bounds = [-(-index * pending // count) for index in range(count + 1)]
        return [range(low, high) for low, high in itertools.pairwise(bounds)]
