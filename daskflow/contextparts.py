"""What a task's context has for the sake of Flyte's programs: ids in Flyte's form, and statistics that go nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class ExecutionId(NamedTuple):
    """The id of a run, as Flyte's are: its name, and constants for what is Flyte's alone."""

    project: str
    domain: str
    name: str

    def __str__(self) -> str:
        return f"ex:{self.project}:{self.domain}:{self.name}"


class TaskId(NamedTuple):
    """The id of a task: its full name, and constants for what is Flyte's alone."""

    project: str
    domain: str
    name: str
    version: str


class Stats:
    """Flyte's statistics, which go nowhere: Dask's own are on its dashboard."""

    def incr(self, *args: object, **tags: object) -> None:
        """Take a count."""

    decr = gauge = timing = incr

    @contextmanager
    def timer(self, *args: object, **tags: object) -> Iterator[None]:
        """Take a time."""
        yield
