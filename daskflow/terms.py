"""Terms: what a unit needs before it may start, beside its inputs and a place under its limits. Plain data."""

from __future__ import annotations

from typing import Any, NamedTuple


class Gate(NamedTuple):
    """Something that somebody must answer.

    Attributes
    ----------
    name : str
        What its author called it.
    address : str
        The node's address in the top-level run, which no other gate of the run has.
    kind : str
        ``input`` or ``approval``.
    text : str
        What is asked: the type of the input, or a short form of what is to be approved.
    expects : bytes
        Pickled, what an answer is checked against; opaque to who keeps it.
    timeout : float or None
        Seconds after which it is too late; None for never.
    left : float or None
        How many of them are left, where it was asked for what waits.
    """

    name: str
    address: str
    kind: str
    text: str
    expects: bytes = b""
    timeout: float | None = None
    left: float | None = None


class PlanLimit(NamedTuple):
    """How many runs of a launch plan there may be.

    Attributes
    ----------
    plan : str
        Its name.
    limit : int
        How many.
    behavior : str
        What becomes of one more: ``QUEUE``, ``SKIP``, ``REPLACE`` or ``FAIL``.
    """

    plan: str
    limit: int
    behavior: str


class Terms(NamedTuple):
    """What a unit needs before it may start.

    Attributes
    ----------
    lease : str
        What no other unit may have at the same moment, until the result is there; empty for nothing.
    held : bool
        Whether whoever hands the unit over has the lease.
    resources : tuple of (str, float)
        What the worker must have.
    delay : float
        Seconds that must pass.
    gate : Gate or None
        What must be answered.
    plan : PlanLimit or None
        The launch plan that it begins a run of, if those are limited.
    attempt : int
        The number of the attempt that it makes, from 0 on.
    soon : bool
        Whether it may start as soon as one of the units that it needs has ended, instead of all.
    """

    lease: str = ""
    held: bool = False
    resources: tuple[tuple[str, float], ...] = ()
    delay: float = 0.0
    gate: Gate | None = None
    plan: PlanLimit | None = None
    attempt: int = 0
    soon: bool = False

    @property
    def waits(self) -> bool:
        """Whether something must happen first that is not another unit's end."""
        return bool(self.delay) or self.gate is not None


#: The terms of most units.
NOTHING = Terms()


def read_terms(record: Any) -> Terms:
    """Return terms that have travelled."""
    lease, held, resources, delay, gate, plan, attempt, soon = record
    return Terms(
        lease,
        held,
        tuple((name, amount) for name, amount in resources),
        delay,
        None if gate is None else Gate(*gate),
        None if plan is None else PlanLimit(*plan),
        attempt,
        soon,
    )
