"""What a task needs of the machine that it runs on: :class:`Resources`, as in Flyte, and as Dask's workers have them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from daskflow.errors import OptionError

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]+)|(m|[kKMGTPE]i?)?(B?))\Z")
_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "K": 1e3, "ki": 1024.0, "Ki": 1024.0}
_UNITS.update({letter: 1000.0**power for power, letter in enumerate("MGTPE", 2)})
_UNITS.update({f"{letter}i": 1024.0**power for power, letter in enumerate("MGTPE", 2)})

#: What a resource is called among the resources of a Dask worker.
DASK_NAMES = {"cpu": "CPU", "mem": "MEMORY", "gpu": "GPU", "ephemeral_storage": "EPHEMERAL_STORAGE"}


@dataclass(frozen=True)
class Resources:
    """Amounts of what a machine has. Amounts are written as Kubernetes writes them.

    Parameters
    ----------
    cpu
        Processor cores: ``2``, ``0.5``, ``"500m"``.
    mem
        Bytes of memory: ``"2Gi"``, ``"500M"``, or a number.
    gpu
        Whole accelerators.
    ephemeral_storage
        Bytes of disk for temporary files.

    Each may be a pair, of the request and the limit, where it is given as ``resources``.

    Raises
    ------
    OptionError
        When an amount cannot be read.

    Examples
    --------
    >>> Resources(cpu="500m", mem="1Gi", gpu=1).dask()
    {'CPU': 0.5, 'MEMORY': 1073741824.0, 'GPU': 1.0}
    """

    cpu: str | float | Sequence[str | float] | None = None
    mem: str | int | Sequence[str | int] | None = None
    gpu: str | int | Sequence[str | int] | None = None
    ephemeral_storage: str | int | Sequence[str | int] | None = None

    def __post_init__(self) -> None:
        for name in DASK_NAMES:
            value = getattr(self, name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, name, value)
            if isinstance(value, tuple):
                _check_pair(name, value)
            elif value is not None:
                amount(name, value)

    @property
    def has_pairs(self) -> bool:
        """Whether an amount is a pair of a request and a limit."""
        return any(isinstance(getattr(self, name), tuple) for name in DASK_NAMES)

    def requested(self) -> Resources:
        """Return the requests, of what is a pair the first."""
        return self._each(lambda value: value[0] if isinstance(value, tuple) else value)

    def limited(self) -> Resources | None:
        """Return the limits, of what is a pair the second; ``None`` where there is no pair."""
        return self._each(lambda value: value[1] if isinstance(value, tuple) else None) if self.has_pairs else None

    def _each(self, part: Any) -> Resources:
        return replace(self, **{name: part(getattr(self, name)) for name in DASK_NAMES})

    def dask(self) -> dict[str, float]:
        """Return the requests as resources of Dask's workers.

        They are ``"CPU"`` in cores, ``"MEMORY"`` and ``"EPHEMERAL_STORAGE"`` in bytes, and ``"GPU"``: only those that are set.
        A worker has what it was started with, such as ``dask worker --resources "GPU=2 MEMORY=64e9"``.
        """
        own = self.requested()
        return {dask: amount(name, getattr(own, name)) for name, dask in DASK_NAMES.items() if getattr(own, name) is not None}


def _check_pair(name: str, pair: tuple[Any, ...]) -> None:
    if len(pair) != 2:
        raise OptionError(f"{name} of Resources must be one amount, or a pair of a request and a limit; got {pair!r}")
    request, limit = (amount(name, one) for one in pair)
    if request > limit:
        raise OptionError(f"{name} of Resources has a limit below its request: {pair!r}")


def amount(name: str, value: Any) -> float:
    """Return an amount as a number: cores, bytes, or accelerators.

    Raises
    ------
    OptionError
        When it cannot be read, is negative, or is no whole number where it must be one.

    Examples
    --------
    >>> amount("mem", "1.5Ki")
    1536.0
    """
    number = _parsed(value)
    if number is None or not 0 <= number < float("inf"):
        raise OptionError(f"{name} of Resources must be an amount from 0 on, such as {_EXAMPLES[name]}; got {value!r}")
    if name == "gpu" and number != int(number):
        raise OptionError(f"gpu of Resources must be a whole number; got {value!r}")
    return number


_EXAMPLES = {"cpu": "2, 0.5 or '500m'", "mem": "'2Gi' or '500M'", "gpu": "1", "ephemeral_storage": "'10Gi'"}


def _parsed(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _QUANTITY.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    number, exponent, unit, _ = match.groups()
    return float(number + exponent) if exponent else float(number) * _UNITS[unit or ""]


def check_limits(requests: Resources | None, limits: Resources | None, owner: str) -> None:
    """Refuse limits that are below requests.

    Raises
    ------
    OptionError
        When one is.
    """
    if requests is None or limits is None:
        return
    needed, most = requests.dask(), limits.dask()
    for name, dask in DASK_NAMES.items():
        if dask in needed and dask in most and needed[dask] > most[dask]:
            raise OptionError(
                f"limits of {owner} has {name}={getattr(limits, name)!r}, below the {getattr(requests, name)!r} of requests: raise it"
            )
