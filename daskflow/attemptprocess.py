"""The process of a killable attempt: what runs in the fresh interpreter that :mod:`daskflow.killable` starts."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
from typing import Any

from daskflow import context, shipping, tasklogs
from daskflow.killable import BEGUN, LEFT, LENGTH, LINES, RAISED, STUCK, VALUE
from daskflow.outcome import Failure
from daskflow.taskcontext import TaskContext


def main(call: int, alive: int, answer: int) -> None:
    """Make one call, tell what became of it, and leave.

    Parameters
    ----------
    call
        A file with the call.
    alive
        The end of a pipe whose other end closes when whoever started us is gone.
    answer
        Where to write.
    """
    for one in (call, alive, answer):
        # What the task starts is not to hold them.
        os.set_inheritable(one, False)
    threading.Thread(target=_end_with, args=(alive,), name="daskflow alive", daemon=True).start()
    _send(answer, *_made(call, answer))
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    logging.shutdown()
    # Threads that the task left are not waited for.
    os._exit(0)


def _end_with(alive: int) -> None:
    os.read(alive, 1)
    os.killpg(0, signal.SIGKILL)


def _made(call: int, answer: int) -> tuple[bytes, bytes]:
    try:
        with open(call, "rb") as file:
            file.seek(0)
            body, inputs, place, attempt, directory, logs = pickle.load(file)
        _send(answer, BEGUN)
        context.state.executing = lambda: f"{place.run_id.partition('.')[0]}:{place.address}"
        with tasklogs.forwarding(logs, lambda lines: _send(answer, LINES, lines)), TaskContext(place, attempt, directory).entered():
            value = body(**inputs)
    except SystemExit as error:
        return LEFT, _plain(error.code)
    except BaseException as error:
        return RAISED, pickle.dumps(tuple(Failure.of(error)))
    return _pickled(value)


def _plain(code: Any) -> bytes:
    return pickle.dumps(code if code is None else int(code) if isinstance(code, int) else str(code))


def _pickled(value: Any) -> tuple[bytes, bytes]:
    try:
        return VALUE, shipping.dumps(value)
    except Exception as error:
        return STUCK, f"{type(error).__name__}: {error}".encode(errors="replace")


def _send(answer: int, kind: bytes, data: bytes = b"") -> None:
    view = memoryview(kind + len(data).to_bytes(LENGTH, "big") + data)
    while view:
        view = view[os.write(answer, view) :]
