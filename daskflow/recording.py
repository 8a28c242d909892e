"""Recording runs: :func:`record`, and :func:`run`, which records one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from daskflow import context
from daskflow.entity import Entity
from daskflow.errors import DefinitionError, MockError, OptionError
from daskflow.flowrecord import Record
from daskflow.mocks import Story, begin_tape, end_tape
from daskflow.traces import users_traceback

if TYPE_CHECKING:
    from distributed import Client

    from daskflow.handle import Run


class Recorder:
    """The records of the runs that began in a block. Made by :func:`record`.

    Attributes
    ----------
    values : bool
        Whether the values of nodes are recorded.
    """

    def __init__(self, values: bool, thread: int | None = None) -> None:
        if not isinstance(values, bool):
            raise OptionError(f"values of a recorder must be bool; got {values!r}")
        self.values = values
        self._thread = thread
        self._stories: list[Story] = []

    def begin(self, story: Story) -> None:
        """Take up a run that begins."""
        if self._thread in (None, threading.get_ident()):
            self._stories.append(story)

    @property
    def runs(self) -> list[Record]:
        """The record of each run, in the order in which they began; of one on a cluster it is empty until the run has ended."""
        return [Record(story.name, story.events, self.values) for story in self._stories]

    @property
    def record(self) -> Record:
        """The record of the only run.

        Raises
        ------
        MockError
            When there is none, or there are several.
        """
        if len(self._stories) != 1:
            raise MockError(f"{len(self._stories)} runs began while this was recorded, not one; all of them are in runs")
        return self.runs[0]


@contextmanager
def record(*, values: bool = False) -> Iterator[Recorder]:
    """Record, node by node, every run that begins in a block: in this process, and on clusters.

    It costs some microseconds for each node. Runs that had begun before are not recorded.

    Parameters
    ----------
    values : bool
        Whether the values of nodes are kept; of runs on clusters those of up to 64 KiB.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def double(a: int) -> int:
    ...     return 2 * a
    >>> @workflow
    ... def quadruple(a: int) -> int:
    ...     return double(a=double(a=a))
    >>> with record(values=True) as recorder:
    ...     quadruple(a=1)
    4
    >>> recorder.record.assert_order("double[0]", "double[1]")
    >>> recorder.record.value("double[0]")
    2
    """
    with _recording(Recorder(values)) as recorder:
        yield recorder


@contextmanager
def _recording(recorder: Recorder) -> Iterator[Recorder]:
    begin_tape(recorder)
    try:
        yield recorder
    finally:
        end_tape(recorder)


class FlowRun:
    """A run that is over, however it ended. Made by :func:`run`.

    Attributes
    ----------
    record : Record
        What became of each node.
    error : Exception or None
        Why it failed.
    handle : Run or None
        Of a run on a cluster, its handle, with ``id``, ``children`` and ``cache``.
    """

    def __init__(self, record: Record, value: Any, error: Exception | None, handle: Run | None) -> None:
        self.record = record
        self.error = error
        self.handle = handle
        self._value = value

    @property
    def result(self) -> Any:
        """The entity's result; raises what it failed with."""
        __tracebackhide__ = True
        if self.error is not None:
            raise self.error
        return self._value

    def __repr__(self) -> str:
        how = "succeeded" if self.error is None else f"failed with {type(self.error).__name__}: {self.error}"
        where = "in process" if self.handle is None else self.handle.id
        return f"<run {where} of {self.record.name}: {how}>"


def run(
    entity: Entity[..., Any],
    inputs: Mapping[str, Any],
    *,
    client: Client | None = None,
    values: bool = False,
    timeout: float | None = None,
) -> FlowRun:
    """Run an entity to its end, and record it; an error of the run is part of what is returned.

    Parameters
    ----------
    entity
        A task, workflow, dynamic, launch plan or map.
    inputs : dict
        Its inputs.
    client : distributed.Client, optional
        The cluster; without one it runs in this process.
    values : bool
        Whether the values of nodes are recorded.
    timeout : float, optional
        Seconds after which a run on a cluster is cancelled; in this process nobody could end it.

    Raises
    ------
    InputError, DefinitionError, OptionError
        When what is given does not fit; nothing is run then.

    Examples
    --------
    >>> from daskflow import task
    >>> @task
    ... def invert(a: int) -> float:
    ...     return 1 / a
    >>> ended = run(invert, {"a": 0})
    >>> ended.record.assert_failed_at("invert", ZeroDivisionError)
    >>> ended
    <run in process of invert: failed with ZeroDivisionError: division by zero>
    """
    if not isinstance(entity, Entity):
        raise DefinitionError(f"run takes a task, workflow, dynamic, launch plan or map, not {entity!r}")
    if timeout is not None:
        _check(timeout, client)
    bound = entity.interface.check_inputs(entity.interface.bind((), dict(inputs)))
    entity.prepare()
    # Other threads may run something at the same time.
    with _recording(Recorder(values, threading.get_ident())) as recorder:
        value, error, handle = _in_process(entity, bound) if client is None else _on_cluster(entity, bound, client, timeout)
    return FlowRun(recorder.record, value, error, handle)


def _check(timeout: float, client: Client | None) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise OptionError(f"timeout of run must be seconds, more than 0; got {timeout!r}")
    if client is None:
        raise OptionError(f"timeout of run is {timeout!r}, and a run in this process cannot be ended; give it a client, or no timeout")


def _in_process(entity: Entity[..., Any], inputs: dict[str, Any]) -> tuple[Any, Exception | None, None]:
    try:
        return context.run_in_process(entity, inputs), None, None
    except Exception as error:
        return None, _trimmed(error), None


def _on_cluster(
    entity: Entity[..., Any], inputs: dict[str, Any], client: Client, timeout: float | None
) -> tuple[Any, Exception | None, Run]:
    from daskflow.session import submit

    if client.asynchronous:
        raise OptionError("run waits for the run, which an asynchronous client cannot; await daskflow.run in a block of record()")
    handle = submit(entity, inputs, client=client)
    try:
        handle.wait(timeout)
    except TimeoutError as error:
        handle.cancel()
        return None, error, handle
    try:
        return handle.result(), None, handle
    except Exception as error:
        return None, _trimmed(error), handle


def _trimmed(error: Exception) -> Exception:
    """Leave out of an exception's traceback how it was brought here."""
    return error.with_traceback(users_traceback(error.__traceback__))
