"""What a task can learn of itself while it runs: :func:`current_context`. Names are those of Flyte's SDK where it has them.

Nothing is made before a task asks for it.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from daskflow import context
from daskflow.contextparts import ExecutionId, Stats, TaskId
from daskflow.errors import RunCancelled, TaskTimeout
from daskflow.logcapture import task_logger
from daskflow.secrets import SecretsManager
from daskflow.taskoptions import PLAIN, TaskOptions

if TYPE_CHECKING:
    from daskflow.checkpoints import Checkpoint, CheckpointStore


def never() -> BaseException | None:
    """Say that nothing was cancelled."""
    return None


@dataclass(frozen=True)
class Place:
    """Where a task runs: what an executor tells of a node.

    Attributes
    ----------
    task : str
        The entity's full name.
    run_id : str
        The run, or child run.
    address : str
        The node's address in it.
    map_index : int or None
        The index in the innermost map that it is in.
    options : TaskOptions
        How its attempts run.
    local : bool
        Whether it runs in process, and not on a cluster.
    started : datetime or None
        When the run began.
    cancelled
        Gives why the run is cancelled, once it is.
    checkpoint : CheckpointStore or None
        Where its checkpoint is; ``None`` for a temporary file.
    outputs : str or None
        A directory or URL for what tasks write; ``None`` for a temporary directory.
    """

    task: str
    run_id: str = "local"
    address: str = ""
    map_index: int | None = None
    options: TaskOptions = PLAIN
    local: bool = True
    started: datetime | None = None
    cancelled: Callable[[], BaseException | None] = never
    checkpoint: CheckpointStore | None = None
    outputs: str | None = None


@dataclass(frozen=True)
class Surroundings:
    """What the tasks of one execution have in common.

    Attributes
    ----------
    local : bool
        Whether it is in process, and not on a cluster.
    started : datetime or None
        When the run began.
    checkpoints : str or None
        The directory, or URL, under which checkpoints are; ``None`` for temporary files.
    worker : str
        The address of the Dask worker; empty in process.
    """

    local: bool = True
    started: datetime | None = None
    checkpoints: str | None = None
    worker: str = ""

    def place(
        self,
        task: str,
        run_id: str,
        address: str,
        index: int | None,
        options: TaskOptions,
        cancelled: Callable[[], BaseException | None],
    ) -> Place:
        """Return where a task runs."""
        store = None
        if self.checkpoints is not None:
            from daskflow.checkpoints import FileCheckpoint

            store = FileCheckpoint.of_node(self.checkpoints, run_id, address)
        return Place(task, run_id, address, index, options, self.local, self.started, cancelled, store)


def too_late(place: Place, seconds: float) -> TaskTimeout:
    """Return what an attempt raises whose time is up."""
    return TaskTimeout(f"task {place.task} lasted longer than its timeout of {seconds:g} s")


class Deck:
    r"""A page of a task's, as Flyte has them; it is kept while the attempt lasts, and shown nowhere.

    Parameters
    ----------
    name : str
        Its title.
    html : str, optional
        What is on it.

    Examples
    --------
    >>> deck = Deck("plots", "<p>one</p>")
    >>> deck.append("<p>two</p>").html
    '<p>one</p>\n<p>two</p>'
    """

    def __init__(self, name: str, html: str | None = "") -> None:
        self.name = name
        self.html = html or ""
        current_context().decks.append(self)

    def append(self, html: str) -> Deck:
        """Add to what is on it."""
        self.html = f"{self.html}\n{html}" if self.html else html
        return self

    @staticmethod
    def publish() -> None:
        """Do nothing: there is nowhere to show it."""


class TaskContext:
    """What the attempt of a task that is running can learn, and what it is given.

    Parameters
    ----------
    place
        Where it runs.
    attempt : int
        Its number, from 0 on, as Flyte counts.
    directory : str, optional
        A working directory that is there already, and is somebody else's to remove.

    Attributes
    ----------
    attempt : int
        Its number, from 0 on.
    place : Place
        Where it runs.
    """

    def __init__(self, place: Place, attempt: int = 0, directory: str | None = None) -> None:
        self.place = place
        self._directory: tempfile.TemporaryDirectory[str] | str | None = directory
        self._lock = threading.RLock()
        self._ended: BaseException | None = None
        self._on_end: list[Callable[[], object]] = []
        self._own_store: CheckpointStore | None = None
        self._inside = True
        self.attempt = attempt

    # ------------------------------------------------------------ what it is

    @property
    def execution_id(self) -> ExecutionId:
        """The id of the run; its ``name`` is that of ``run.id``."""
        return ExecutionId("local", "local", self.place.run_id)

    @property
    def task_id(self) -> TaskId:
        """The id of the task; its ``name`` is the task's full name."""
        return TaskId("local", "local", self.place.task, "local")

    @cached_property
    def execution_date(self) -> datetime:
        """When the run began, in UTC; where that is not known, when the attempt asked first."""
        return self.place.started or datetime.now(UTC)

    @property
    def node(self) -> str:
        """The address of the node in the run."""
        return self.place.address

    @property
    def map_index(self) -> int | None:
        """The index in the innermost map that the node is in, if it is in one."""
        return self.place.map_index

    # ------------------------------------------------------------ what it is given

    @property
    def working_directory(self) -> str:
        """A directory of the attempt's own: made when it is first asked for, and removed after the attempt."""
        with self._lock:
            if self._directory is None:
                self._directory = tempfile.TemporaryDirectory(prefix="daskflow-", ignore_cleanup_errors=True)
        return self._directory if isinstance(self._directory, str) else self._directory.name

    @cached_property
    def raw_output_prefix(self) -> str:
        """A directory, or URL, for what the task writes and leaves there; others do not write to it."""
        if self.place.outputs is None:
            return tempfile.mkdtemp(prefix="daskflow-outputs-")
        path = f"{self.place.outputs.rstrip('/')}/{self.place.run_id}/{self.place.address}/{self.attempt}"
        if "://" not in path:
            os.makedirs(path, mode=0o700, exist_ok=True)
        return path

    @property
    def logging(self) -> logging.Logger:
        """The task's own logger, ``daskflow.task.NAME``, at the level that ``daskflow.logs.level`` says; see :mod:`daskflow.tasklogs`."""
        return task_logger(self.place.task)

    @property
    def stats(self) -> Stats:
        """An object with the methods of Flyte's statistics, which do nothing."""
        return Stats()

    @cached_property
    def secrets(self) -> SecretsManager:
        """The secrets that the task requested; see :mod:`daskflow.secrets`."""
        requested = self.place.options.secret_requests if self._inside else None
        return SecretsManager(requested, f"task {self.place.task}" if self._inside else "the program", local=self.place.local)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What an attempt of this node keeps for the next one; see :class:`~daskflow.checkpoints.Checkpoint`."""
        from daskflow.checkpoints import Checkpoint, FileCheckpoint

        store = self.place.checkpoint
        if store is None:
            store = self._own_store = FileCheckpoint.temporary()
        return Checkpoint(store, self.raise_if_cancelled)

    @cached_property
    def decks(self) -> list[Deck]:
        """The decks that the attempt made."""
        return []

    @cached_property
    def default_deck(self) -> Deck:
        """A deck that is always there."""
        return Deck("default")

    # ------------------------------------------------------------ when it is to end

    @property
    def cancelled(self) -> bool:
        """Whether the attempt does not count any more: its time is up, or its run was cancelled."""
        return self._why() is not None

    def raise_if_cancelled(self) -> None:
        """End the task if it does not count any more.

        Raises
        ------
        TaskTimeout
            When its time is up.
        RunCancelled
            When its run was cancelled.
        """
        why = self._why()
        if why is not None:
            raise why if isinstance(why, Exception) else RunCancelled(str(why) or "the run was cancelled")

    def _why(self) -> BaseException | None:
        return self._ended or self.place.cancelled()

    def end(self, why: BaseException) -> None:
        """Say that the attempt does not count any more."""
        with self._lock:
            if self._ended is None:
                self._ended = why
            waiting, self._on_end = self._on_end, []
        for one in waiting:
            one()

    @contextmanager
    def ending_with(self, function: Callable[[], object]) -> Iterator[None]:
        """Have a function called, by another thread, if the attempt stops to count meanwhile."""
        with self._lock:
            ended = self._ended is not None
            if not ended:
                self._on_end.append(function)
        if ended:
            function()
        try:
            yield
        finally:
            with self._lock, suppress(ValueError):
                self._on_end.remove(function)

    def close(self) -> None:
        """Remove what the attempt had for itself."""
        made = vars(self).get("checkpoint")
        if made is not None:
            made.close()
        if self._own_store is not None:
            self._own_store.clear()
        if isinstance(self._directory, tempfile.TemporaryDirectory):
            self._directory.cleanup()
            self._directory = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make it the current one of this thread, and close it afterwards."""
        state = context.state
        outer, state.task = state.task, self
        try:
            yield
        finally:
            state.task = outer
            self.close()


class _Outside(TaskContext):
    """What there is outside of tasks: placeholders, as in Flyte."""

    def __init__(self) -> None:
        super().__init__(Place("local", address="local"))
        self._inside = False


_outside: TaskContext | None = None
_making = threading.Lock()


def current_context() -> TaskContext:
    """Return what the task that runs in this thread can learn of itself.

    Outside of tasks, and in threads that a task starts, it has placeholders: the run ``local``, all secrets, and a working directory and a
    checkpoint that are removed when the process ends.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def where() -> int:
    ...     return current_context().attempt
    >>> where()
    0
    """
    state = context.state
    if state.task is not None:
        return state.task
    if state.place is None:
        return _placeholder()
    made = state.task = TaskContext(state.place())
    return made


def _placeholder() -> TaskContext:
    import atexit

    global _outside
    with _making:
        if _outside is None:
            _outside = _Outside()
            atexit.register(_outside.close)
    return _outside


def leave() -> None:
    """Close the context that a task has asked for; an executor calls it after a plain task, if ``context.state.task`` is there."""
    state = context.state
    made, state.task = state.task, None
    if made is not None:
        made.close()


#: Flyte's name.
ExecutionParameters = TaskContext
