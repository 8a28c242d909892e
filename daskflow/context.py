"""What the current thread is doing: building a graph, running a task, or neither.

A call of an entity means one of three things, and this is how it knows which. The state is the thread's own;
a thread that a user's task starts is outside, like a plain program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daskflow.builder import Builder
    from daskflow.entity import Entity
    from daskflow.logcapture import Sink
    from daskflow.taskcontext import Place, TaskContext


class State(threading.local):
    """The state of one thread.

    Attributes
    ----------
    builder
        The graph being built by a workflow's or dynamic's body, if one is.
    executing
        The address of what an executor runs in this thread, if one does; a callable, since it is needed only in errors.
    place
        Gives where the task is that an executor runs in this thread, if one does.
    task
        What the task that runs in this thread has been told of itself, once it has asked.
    logs
        Where what the task that runs in this thread prints and logs goes besides, if anywhere.
    """

    builder: Builder | None = None
    executing: Callable[[], str] | None = None
    place: Callable[[], Place] | None = None
    task: TaskContext | None = None
    logs: Sink | None = None


state = State()

#: How an entity called in plain Python is run. Set by :mod:`daskflow.execute`, which is above the entities.
run_in_process: Callable[[Entity[..., Any], dict[str, Any]], Any]

#: The same for coroutines: what it gives, or what is to be raised instead. Set there too.
outcome_in_process: Callable[[Entity[..., Any], dict[str, Any]], tuple[Any, BaseException | None]]

#: What makes the probe of a run, from what is run, while tests look on; set by :mod:`daskflow.mocks`.
mocks: Callable[[Entity[..., Any]], Any] | None = None

#: How an entity is lowered to plain Dask. Set by :mod:`daskflow.lowering`.
to_delayed: Callable[[Entity[..., Any], dict[str, Any]], Any]
