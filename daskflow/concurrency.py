"""How many runs of a launch plan there may be at the same moment: :class:`ConcurrencyPolicy`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from daskflow.errors import OptionError
from daskflow.options import check_limit


class ConcurrencyLimitBehavior(enum.Enum):
    """What becomes of a run that is launched while there are as many as may be. Flyte has ``SKIP``; its design has the others."""

    #: It is not run.
    SKIP = "SKIP"
    #: It waits for one to end.
    QUEUE = "QUEUE"
    #: The one that has lasted longest is cancelled for it.
    REPLACE = "REPLACE"
    #: Launching it is an error.
    FAIL = "FAIL"

    @classmethod
    def of(cls, value: Any) -> ConcurrencyLimitBehavior:
        """Return a member, given as such or by its name.

        Raises
        ------
        OptionError
            When there is none of that name.
        """
        name = value.upper() if isinstance(value, str) else value
        for member in cls:
            if value is member or name == member.name:
                return member
        raise OptionError(f"behavior of a ConcurrencyPolicy must be one of {', '.join(cls.__members__)}; got {value!r}")


@dataclass(frozen=True)
class ConcurrencyPolicy:
    """How many runs of a launch plan there may be, and what becomes of one more. The names are Flyte's.

    Attributes
    ----------
    max_concurrency : int
        How many runs of the plan there may be at the same moment; positive.
    behavior : ConcurrencyLimitBehavior
        What becomes of one more; may be given by its name.

    Raises
    ------
    OptionError
        When the number is not positive, or there is no such behaviour.

    Examples
    --------
    >>> ConcurrencyPolicy(2, behavior="QUEUE").behavior
    <ConcurrencyLimitBehavior.QUEUE: 'QUEUE'>
    >>> ConcurrencyPolicy(0)
    Traceback (most recent call last):
    daskflow.errors.OptionError: max_concurrency of a ConcurrencyPolicy must be a positive int; got 0
    """

    max_concurrency: int
    behavior: ConcurrencyLimitBehavior | str = ConcurrencyLimitBehavior.SKIP

    def __post_init__(self) -> None:
        if check_limit(self.max_concurrency, "max_concurrency", "a ConcurrencyPolicy", zero=False) is None:
            raise OptionError("max_concurrency of a ConcurrencyPolicy must be a positive int; got None")
        # Flyte's own default stands for SKIP.
        given = ConcurrencyLimitBehavior.SKIP if self.behavior is None else self.behavior
        object.__setattr__(self, "behavior", ConcurrencyLimitBehavior.of(given))
