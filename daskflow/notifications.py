"""Flyte's notifications, as values: they are checked and kept with a launch plan, and nobody is told on Dask."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daskflow.errors import OptionError


class WorkflowExecutionPhase(enum.IntEnum):
    """What a run is at. Names and numbers are Flyte's."""

    UNDEFINED = 0
    QUEUED = 1
    RUNNING = 2
    SUCCEEDING = 3
    SUCCEEDED = 4
    FAILING = 5
    FAILED = 6
    ABORTED = 7
    TIMED_OUT = 8
    ABORTING = 9


_ENDS = tuple(WorkflowExecutionPhase[name] for name in ("ABORTED", "FAILED", "SUCCEEDED", "TIMED_OUT"))


def _phase(value: Any, owner: str) -> WorkflowExecutionPhase:
    for phase in _ENDS:
        if value == phase or value == phase.name:
            return phase
    raise OptionError(f"phases of {owner} are ends of a run, {', '.join(one.name for one in _ENDS)}; got {value!r}")


def _sequence(values: Any, option: str, owner: str) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise OptionError(f"{option} of {owner} must be a list that is not empty; got {values!r}")
    return tuple(values)


@dataclass(frozen=True)
class Notification:
    """Who is to be told of which ends of a run: base of :class:`Email`, :class:`Slack` and :class:`PagerDuty`.

    Attributes
    ----------
    phases : tuple of WorkflowExecutionPhase
        Some of ``ABORTED``, ``FAILED``, ``SUCCEEDED`` and ``TIMED_OUT``; may be given by name.
    recipients_email : tuple of str
        Their addresses.

    Raises
    ------
    OptionError
        When a phase is none of these, or there is no phase or no recipient.

    Examples
    --------
    >>> Email(phases=["FAILED"], recipients_email=["team@example.org"]).phases
    (<WorkflowExecutionPhase.FAILED: 6>,)
    """

    phases: Sequence[WorkflowExecutionPhase | int | str]
    recipients_email: Sequence[str]

    def __post_init__(self) -> None:
        owner = type(self).__name__
        phases = _sequence(self.phases, "phases", owner)
        recipients = _sequence(self.recipients_email, "recipients_email", owner)
        for one in recipients:
            if not isinstance(one, str) or not one:
                raise OptionError(f"recipients_email of {owner} are addresses; got {one!r}")
        object.__setattr__(self, "phases", tuple(_phase(one, owner) for one in phases))
        object.__setattr__(self, "recipients_email", recipients)


class Email(Notification):
    """A notification by mail."""


class Slack(Notification):
    """A notification by mail to a Slack channel."""


class PagerDuty(Notification):
    """A notification by mail to PagerDuty."""
