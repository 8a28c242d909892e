"""Results: a unit's values, encoded where they are made."""

from __future__ import annotations

import pickle
from typing import Any

from daskflow import shipping
from daskflow.classes import loads_by_name
from daskflow.errors import OutputError


class Result:
    """The values that a unit gives, as bytes that Dask moves without looking inside.

    Large buffers, such as those of arrays, are kept out of the bytes and are not copied.

    Parameters
    ----------
    values : tuple
        What the unit gives.

    Raises
    ------
    OutputError
        When a value cannot be pickled.
    """

    __slots__ = ("_buffers", "_data")

    def __init__(self, values: tuple[Any, ...]) -> None:
        self._buffers: list[Any] = []
        try:
            self._data = shipping.dumps(values, self._buffers.append)
        except Exception as error:
            raise OutputError(f"a result cannot travel, since it does not pickle: {type(error).__name__}: {error}") from error

    @classmethod
    def _rebuilt(cls, data: bytes, *buffers: Any) -> Result:
        result = cls.__new__(cls)
        result._data, result._buffers = data, list(buffers)
        return result

    @property
    def values(self) -> tuple[Any, ...]:
        """The values, decoded anew at each call."""
        values: tuple[Any, ...] = pickle.loads(self._data, buffers=self._buffers)
        return values

    @property
    def plain(self) -> bytes | None:
        """The values' pickle, where it is all that there is; for :func:`decoded`."""
        return None if self._buffers else self._data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Result._rebuilt, (self._data, *self._buffers)

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + len(self._data) + sum(memoryview(one).nbytes for one in self._buffers)

    def __repr__(self) -> str:
        return f"<result of {self.__sizeof__()} bytes>"


def decoded(plain: bytes, by_name: bool = False) -> tuple[Any, ...]:
    """Return the values of a plain result; `by_name` with the classes that are here, where it may be another process'."""
    values: tuple[Any, ...] = loads_by_name(plain) if by_name else pickle.loads(plain)
    return values
