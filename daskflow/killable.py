"""Attempts in processes of their own, which are killed with all that they have started: when time is up, on cancellation, on our own death.

The process is a fresh interpreter (:mod:`daskflow.attemptprocess`). It gets the call in a file, writes to our standard output and
error, and has two pipes: by one it tells what became of the call, by the end of the other it learns that we are gone.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, NoReturn, Self

from daskflow import environ, logcapture, shipping, tasklogs
from daskflow.errors import InputError, OutputError, ProcessDied
from daskflow.outcome import Failure
from daskflow.secrets import DIRECTORY_VARIABLE
from daskflow.secrets import directory as secrets_directory
from daskflow.taskcontext import Place, never, too_late

# Seconds between two looks at whether a run was cancelled; those that a process may take to begin, and to end when it has said all.
_POLL = 0.1
_BEGIN = 300.0
_END = 5.0

#: What a message of the process is: it begins, what it gives, what it raised, the code it leaves with, or why its value cannot travel.
BEGUN, VALUE, RAISED, LEFT, STUCK = b"b", b"v", b"r", b"x", b"s"
#: Before the last one: lines that the task has printed or logged.
LINES = b"l"
#: Bytes of a message's length.
LENGTH = 8

_START = "import sys; sys.path[:] = {path!r}; from daskflow.attemptprocess import main; main({call}, {alive}, {answer})"


def call(body: Callable[..., Any], inputs: dict[str, Any], place: Place, attempt: int, variables: Mapping[str, str]) -> Any:
    """Call a function in a process of its own.

    Parameters
    ----------
    body, inputs
        What is called. They and what comes back travel by pickle, functions of scripts and notebooks by value.
    place
        Where it runs; its options have the timeout, which counts from when the function is called.
    attempt
        The attempt's number.
    variables
        Environment variables that it has besides ours.

    Raises
    ------
    TaskTimeout
        When its time is up.
    ProcessDied
        When the process dies by itself.
    InputError, OutputError
        When what goes in, or comes out, does not pickle.
    BaseException
        Whatever the function raises, or the run was cancelled with.
    """
    assert place.options.timeout is not None
    seconds = place.options.timeout.seconds
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="daskflow-", ignore_cleanup_errors=True))
        data = _pickled((body, inputs, replace(place, cancelled=never), attempt, directory, logcapture.settings()), place)
        process = stack.enter_context(_Process(data, variables, place))
        late = ProcessDied(f"the process of task {place.task} did not begin in {_BEGIN:g} s")
        kind, data = process.message(time.monotonic() + _BEGIN, lambda: late)
        if kind == BEGUN:
            kind, data = process.message(time.monotonic() + seconds, lambda: too_late(place, seconds))
        process.let_end()
    return _outcome(kind, data, place)


def _pickled(call: Any, place: Place) -> bytes:
    try:
        return shipping.dumps_whole(call)
    except Exception as error:
        raise InputError(f"task {place.task} cannot have a process of its own, since what it uses does not pickle: {error}") from error


def _outcome(kind: bytes, data: bytes, place: Place) -> Any:
    if kind == VALUE:
        return shipping.loads(data)
    if kind == STUCK:
        raise OutputError(f"what task {place.task} gives cannot leave its process, since it does not pickle: {data.decode()}")
    if kind == LEFT:
        raise SystemExit(pickle.loads(data))
    raise Failure(*pickle.loads(data)).exception()


def _configuration(place: Place) -> dict[str, str]:
    # What was configured in this process, and not by its environment, is not there in a new one.
    return {DIRECTORY_VARIABLE: secrets_directory()} if place.options.secret_requests else {}


class _Process:
    """A process at work; killed, with its group, when it is left."""

    def __init__(self, data: bytes, variables: Mapping[str, str], place: Place) -> None:
        self._place = place
        with tempfile.TemporaryFile() as call, _Pipe() as alive, _Pipe() as answer:
            call.write(data)
            call.flush()
            fds = (call.fileno(), alive.reading, answer.writing)
            start = _START.format(path=sys.path, call=fds[0], alive=fds[1], answer=fds[2])
            self._popen = subprocess.Popen(
                [sys.executable, "-c", start],
                stdin=subprocess.DEVNULL,
                env={**environ.without_attempts(), **_configuration(place), **variables},
                pass_fds=fds,
                start_new_session=True,
            )
            self._alive, self._answer = alive.keep_writing(), answer.keep_reading()
        self._poller = select.poll()
        self._poller.register(self._answer, select.POLLIN | select.POLLHUP)

    def message(self, until: float, late: Callable[[], BaseException]) -> tuple[bytes, bytes]:
        """Return the next message but for lines, which are passed on: its kind, and what it holds."""
        while True:
            head = self._take(1 + LENGTH, until, late)
            kind, data = head[:1], self._take(int.from_bytes(head[1:], "big"), until, late)
            if kind != LINES:
                return kind, data
            tasklogs.relay(data)
            # There may always be one more line.
            if time.monotonic() >= until:
                raise late()

    def _take(self, length: int, until: float, late: Callable[[], BaseException]) -> bytes:
        parts, missing = [], length
        while missing:
            why = self._place.cancelled()
            if why is not None:
                raise why
            left = until - time.monotonic()
            if self._poller.poll(1000 * max(0.0, min(_POLL, left))):
                part = os.read(self._answer, min(missing, 1 << 20))
                if not part:
                    self._died()
                parts.append(part)
                missing -= len(part)
            elif left <= 0:
                raise late()
        return b"".join(parts)

    def _died(self) -> NoReturn:
        ended = self._wait(_END)
        self._kill()
        code = self._popen.wait()
        name = f"the process of task {self._place.task}"
        if not ended:
            raise ProcessDied(f"{name} closed its connection before the task was done")
        if code >= 0:
            raise ProcessDied(f"{name} left with exit code {code} before the task was done")
        hint = "; the system does so where memory runs out" if -code == signal.SIGKILL else ""
        raise ProcessDied(f"{name} was killed by {signal.Signals(-code).name}{hint}")

    def let_end(self) -> None:
        """Give it a moment to leave by itself, when it has said all."""
        self._wait(_END)

    def _wait(self, seconds: float) -> bool:
        """Wait until it has ended; its id, which is its group's, stays its own meanwhile."""
        until = time.monotonic() + seconds
        while not self._has_ended() and time.monotonic() < until:
            time.sleep(0.002)
        return self._has_ended()

    def _has_ended(self) -> bool:
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self._popen.poll() is not None

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._popen.returncode is None:
            self._kill()
            self._popen.wait()
        os.close(self._alive)
        os.close(self._answer)


class _Pipe:
    """Both ends of a pipe; what is not kept is closed at the end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self._open = {self.reading, self.writing}

    def keep_reading(self) -> int:
        self._open.discard(self.reading)
        return self.reading

    def keep_writing(self) -> int:
        self._open.discard(self.writing)
        return self.writing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._open:
            os.close(end)
