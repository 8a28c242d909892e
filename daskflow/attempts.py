"""What surrounds an attempt of a task: its context, environment and time, and what comes after it when it fails.

An executor calls :func:`run_attempts` for tasks whose options are not plain. Where it would rather come back later than wait between two
attempts, it calls :func:`one_attempt` and :func:`after` itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from daskflow import abandon, context, environ
from daskflow.outcome import note_attempt
from daskflow.taskcontext import Place, TaskContext, too_late

#: Seconds between two looks at whether a run was cancelled, where nothing wakes who waits.
POLL = 0.1


def one_attempt(body: Callable[..., Any], inputs: dict[str, Any], place: Place, attempt: int = 0) -> Any:
    """Make one attempt, with all that the options say of it.

    Parameters
    ----------
    body
        What is called.
    inputs
        Its inputs by name.
    place
        Where it runs, with the options.
    attempt
        Its number, from 0 on.

    Raises
    ------
    TaskTimeout
        When it lasts longer than its timeout.
    BaseException
        Whatever the body raises, or the run was cancelled with.
    """
    _raise_cancelled(place)
    options, task = place.options, TaskContext(place, attempt)
    variables = {**options.environment, **task.secrets.variables()}
    if options.timeout is not None and options.timeout.killable:
        from daskflow import killable

        return killable.call(body, inputs, place, attempt, variables)
    with environ.applied(variables, f"task {place.task}", lambda: _raise_cancelled(place)):
        return _called(body, inputs, task) if options.timeout is None else _timed(body, inputs, task, options.timeout.seconds)


def _called(body: Callable[..., Any], inputs: dict[str, Any], task: TaskContext) -> Any:
    with task.entered():
        return body(**inputs)


def _timed(body: Callable[..., Any], inputs: dict[str, Any], task: TaskContext, seconds: float) -> Any:
    place = task.place

    def called() -> Any:
        # What an executor says of where it is holds for as long as it waits.
        context.state.executing = lambda: f"{place.run_id.partition('.')[0]}:{place.address}"
        return _called(body, inputs, task)

    return abandon.call(
        called,
        name=f"daskflow {place.task}",
        seconds=seconds,
        late=lambda: too_late(place, seconds),
        cancelled=place.cancelled,
        ended=task.end,
    )


def after(error: BaseException, place: Place, attempt: int) -> float | None:
    """Return the seconds until the next attempt; ``None`` where there is none, and the error is final: that is noted with it then.

    Parameters
    ----------
    error
        What the attempt raised.
    place
        Where it ran.
    attempt
        Its number, from 0 on.
    """
    retries = place.options.retries
    delay = None if place.cancelled() is not None else retries.next_delay(attempt, error)
    if delay is None:
        note_attempt(error, attempt + 1, retries.count + 1)
    return delay


def run_attempts(
    body: Callable[..., Any],
    inputs: dict[str, Any],
    place: Place,
    *,
    first: int = 0,
    sleep: Callable[[float], None] | None = None,
    notify: Callable[[int, BaseException, float], None] | None = None,
) -> Any:
    """Make attempts until one succeeds, or an error is final.

    Parameters
    ----------
    body, inputs, place
        As for :func:`one_attempt`.
    first
        The number of the first attempt that is made here.
    sleep
        Waits some seconds; by default here, and no longer than until the run is cancelled.
    notify
        Called with the number of an attempt that failed, what it raised, and the seconds until the next one.

    Raises
    ------
    BaseException
        As for :func:`one_attempt`.

    Examples
    --------
    >>> from daskflow import RecoverableException
    >>> from daskflow.taskoptions import TaskOptions
    >>> from daskflow.taskcontext import current_context
    >>> def body(a):
    ...     if current_context().attempt < 2:
    ...         raise RecoverableException("not yet")
    ...     return a
    >>> run_attempts(body, {"a": 1}, Place("body", options=TaskOptions.of({"retries": 2}, "body")))
    1
    """
    if place.checkpoint is None:
        from daskflow.checkpoints import FileCheckpoint

        own = FileCheckpoint.temporary()
        try:
            return _loop(body, inputs, replace(place, checkpoint=own), first, sleep, notify)
        finally:
            own.clear()
    value = _loop(body, inputs, place, first, sleep, notify)
    # What is done needs no checkpoint; what failed may be recovered with it.
    place.checkpoint.clear()
    return value


def _loop(
    body: Callable[..., Any],
    inputs: dict[str, Any],
    place: Place,
    attempt: int,
    sleep: Callable[[float], None] | None,
    notify: Callable[[int, BaseException, float], None] | None,
) -> Any:
    while True:
        try:
            return one_attempt(body, inputs, place, attempt)
        except BaseException as error:
            delay = after(error, place, attempt)
            if delay is None:
                raise
            if notify is not None:
                notify(attempt, error, delay)
        if sleep is not None:
            sleep(delay)
        else:
            _wait(delay, place)
        attempt += 1


def _wait(delay: float, place: Place) -> None:
    until = time.monotonic() + delay
    while place.cancelled() is None and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, POLL))


def _raise_cancelled(place: Place) -> None:
    why = place.cancelled()
    if why is not None:
        raise why
