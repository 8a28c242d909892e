"""Some of many nodes of a run, in an order, and how many there are. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from daskflow.errors import InputError
from daskflow.nodeviews import ABORTED, FAILED, PHASES, QUEUED, RECOVERED, RUNNING, SKIPPED, SUCCEEDED, TIMED_OUT, Phase
from daskflow.runbody import Body

Order = Literal["call", "slow", "state"]

#: What is most worth seeing comes first.
_RANKS = {FAILED: 0, TIMED_OUT: 0, RUNNING: 1, ABORTED: 2, QUEUED: 3, SKIPPED: 4, SUCCEEDED: 5, RECOVERED: 5}


def counted(phases: bytearray) -> dict[Phase, int]:
    """Return how many nodes are in which phase."""
    return {phase: count for number, phase in enumerate(PHASES) if (count := phases.count(number))}


def checked(phase: str | None, order: str, offset: int, limit: int) -> int | None:
    """Return the number of a phase; refuse what is asked for and cannot be given."""
    if phase is not None and phase not in PHASES:
        raise InputError(f"phase is {phase!r}, which is none; those of nodes are {', '.join(PHASES)}")
    if order not in ("call", "slow", "state"):
        raise InputError(f"order is {order!r}; it may be call, slow or state")
    if offset < 0 or limit < 0:
        raise InputError(f"offset and limit may not be negative; they are {offset} and {limit}")
    return None if phase is None else PHASES.index(Phase(phase))


#: Of no nodes.
_NONE: Mapping[int, float] = MappingProxyType({})


def pick(
    body: Body, phases: bytearray, indices: Sequence[int], order: Order, offset: int, limit: int, took: Mapping[int, float] = _NONE
) -> Sequence[int]:
    """Return some of the nodes of a body, in an order; `took` are the seconds of those of whose end nobody told."""
    if order == "call":
        return indices[offset : offset + limit]
    starts, ends = body.starts, body.ends

    def seconds(index: int) -> float:
        return ends[index] - starts[index] if starts[index] else took.get(index, 0.0)

    def worth(index: int) -> tuple[float, ...]:
        return (_RANKS[phases[index]], -seconds(index), index)

    def slow(index: int) -> tuple[float, ...]:
        return (-seconds(index), index)

    key: Callable[[int], tuple[float, ...]] = slow if order == "slow" else worth
    return heapq.nsmallest(offset + limit, indices, key)[offset:]
