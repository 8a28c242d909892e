"""What an exception says of where it comes from, and that its notes say the same."""

from __future__ import annotations

from daskflow.outcome import where_of
from daskflow.where import Where


def told(error: BaseException) -> Where:
    """Return where an exception comes from; its notes must have it once."""
    where = where_of(error)
    assert where is not None
    assert error.__notes__.count(where.line()) == 1
    return where


def attempt_of(error: BaseException) -> tuple[int, int]:
    """Return the number of the attempt that an exception ended, and how many there might have been."""
    attempt: tuple[int, int] = vars(error)["__daskflow_attempt__"]
    return attempt
