"""What Dask's scheduler and workers see of a unit: opaque bytes, with a few plain facts beside them."""

from __future__ import annotations

from typing import Any

from daskflow.terms import NOTHING, Terms


class Payload:
    """A unit's work, as it travels. The scheduler keeps it and never looks inside.

    Attributes
    ----------
    key, run : str
        The unit's name and its top-level run.
    data : bytes
        The frames.
    names : tuple of str
        The names by which the frames know the results that the task is given, in order.
    options : dict
        The run's options: versions and the spilling policy.
    threads : int
        How many threads the cluster had when the unit was let in.
    place : tuple or None
        What the task is to give, where that is a value on the way and not the unit's result.
    may_spill : bool
        Whether the unit may hand over work. One that is computed again, because its result was lost, may not: the units
        that it might name are gone.
    terms : Terms
        On which the unit was let in.
    answer : bytes or None
        What the gate was answered that it waited at.
    failures : dict
        By the names of results that are not there, why.
    cancelled : tuple of str
        The addresses, in what it executes, of what was cancelled.
    ceased : tuple of str
        Those at which something failed for such a reason when the result was made: so it does if the result is lost, and made again.
    address : str
        The address of what the unit executes.
    deaths : int
        How many workers have died under it.
    """

    __slots__ = (
        "address",
        "answer",
        "cancelled",
        "ceased",
        "data",
        "deaths",
        "failures",
        "key",
        "may_spill",
        "names",
        "options",
        "place",
        "run",
        "terms",
        "threads",
    )

    def __init__(
        self,
        key: str,
        run: str,
        data: bytes,
        names: tuple[str, ...],
        options: dict[str, Any],
        threads: int = 1,
        may_spill: bool = True,
        place: tuple[Any, ...] | None = None,
        terms: Terms = NOTHING,
        failures: dict[str, Any] | None = None,
        answer: bytes | None = None,
        cancelled: tuple[str, ...] = (),
        ceased: tuple[str, ...] = (),
        address: str = "",
        deaths: int = 0,
    ) -> None:
        self.key = key
        self.run = run
        self.data = data
        self.names = names
        self.options = options
        self.threads = threads
        self.may_spill = may_spill
        self.place = place
        self.terms = terms
        self.answer = answer
        self.failures = failures or {}
        self.cancelled = cancelled
        self.ceased = ceased
        self.address = address
        self.deaths = deaths

    def __reduce__(self) -> tuple[Any, ...]:
        rest = (self.threads, self.may_spill, self.place, self.terms, self.failures, self.answer, self.cancelled, self.ceased)
        return Payload, (self.key, self.run, self.data, self.names, self.options, *rest, self.address, self.deaths)

    # Dask logs and shows a task's arguments: a user's values and secrets are none of its business.
    def __repr__(self) -> str:
        return f"<unit {self.key} of {self.run}, {len(self.data)} bytes>"

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + len(self.data)
