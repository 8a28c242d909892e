"""Units: Dask tasks of ours, in the process of a Dask worker. All that a worker process says and hears is in this one, longer file.

A unit unpickles its frames, executes them, and encodes the result. One watchdog thread for the whole process looks at the
units at work: from one that lasts longer than the budget it takes what has not been started, while the unit's current node goes
on. Whatever a user's code does, what Dask sees is a task that returned.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from daskflow import classes, failed, shipping, tasklogs
from daskflow.caching import CacheSettings
from daskflow.cancelled import CancelledHere, hear
from daskflow.careful import DEATHS, Care
from daskflow.eagerframe import EagerFrame
from daskflow.eagersteps import STUCK
from daskflow.errors import VersionMismatch
from daskflow.execute import Execution
from daskflow.failed import AllFailed, Failed
from daskflow.frames import MISSING, Frame, MapFrame
from daskflow.journal import Journal
from daskflow.keeping import Keeper, Keeping
from daskflow.levels import Level
from daskflow.nodecache import NodeCache
from daskflow.outcome import Failure, annotate
from daskflow.payload import Payload
from daskflow.policy import Policy
from daskflow.references import Kept, References, Scale, computed
from daskflow.result import Result
from daskflow.spilling import Unit, mean_time, on_terms, tail, take
from daskflow.stacks import arrive, has_more, is_run, link, stack, unit_result
from daskflow.taskcontext import Surroundings
from daskflow.terms import Terms
from daskflow.versions import mismatch
from daskflow.watchdog import watchdog
from daskflow.where import Where
from daskflow.wire import pool_chain, spec

if TYPE_CHECKING:
    from distributed import Worker

_LONG = 0.125  # of the budget: a node that takes as much is long
_MOST_RESUME = 4 << 20  # bytes
_MOST_VALUES = 20_000
_MOST_SENT = 64 << 10  # bytes
_REPORT = 0.25  # seconds between two reports of what a unit does


class Link:
    """What a worker says to the scheduler, and hears from it.

    Attributes
    ----------
    worker : str
        The worker's address.
    hungry : bool
        Whether the cluster has threads with nothing to do.
    full : set of str
        The limits that let nothing more start.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = weakref.ref(worker)
        self.worker = str(worker.address)
        self.hungry = True
        self.full: set[str] = set()
        #: The units at work, by key.
        self.units: weakref.WeakValueDictionary[str, Running] = weakref.WeakValueDictionary()
        self.cancelled = CancelledHere(self, worker)
        worker.stream_handlers["daskflow-hungry"] = partial(hear, self._on_hungry)
        worker.stream_handlers["daskflow-fell"] = partial(hear, self._on_fell)
        self.send({"op": "daskflow-hello"})

    def _on_hungry(self, hungry: bool, full: list[str], free: list[str], **_: Any) -> None:
        self.hungry = hungry
        self.full = (self.full | set(full)) - set(free)

    def _on_fell(self, key: str, domain: str, failure: dict[str, Any], **_: Any) -> None:
        unit = self.units.get(key)
        if unit is not None and unit.execution is not None:
            unit.execution.interrupt(domain, failed.error_of(unit.payload.run, failure))

    def send(self, message: dict[str, Any], data: dict[str, Result] | None = None, last: bool = False) -> None:
        """Send a message; it arrives before word that the task that sends it has ended.

        Both go through the worker's event loop and its one stream to the scheduler, in this order.

        Parameters
        ----------
        message
            What to say.
        data
            What the worker is to have, by key, when the message arrives.
        last
            Whether the task ends now: the message goes along with word of that.
        """
        worker = self._worker()
        if worker is not None:
            worker.loop.add_callback(_send, worker, message, data or {}, last)


def _send(worker: Worker, message: dict[str, Any], data: dict[str, Result], last: bool) -> None:
    new: dict[Any, object] = {key: value for key, value in data.items() if key not in worker.state.tasks}
    if new:
        worker.update_data(new)
    if last:
        # Sent by itself it would have word of the task's end wait for the next batch, which is some milliseconds.
        worker.batched_stream.buffer.append(message)
        return
    # A worker that is cut off has nobody to tell; its units are executed by others.
    with suppress(OSError):
        worker.batched_stream.send(message)


_links: weakref.WeakKeyDictionary[Any, Link] = weakref.WeakKeyDictionary()
_links_lock = threading.Lock()


def _link(worker: Worker) -> Link:
    with _links_lock:
        link = _links.get(worker)
        if link is None:
            link = _links[worker] = Link(worker)
        return link


def scale() -> Scale:
    """Return what measures values as Dask does."""
    from dask.sizeof import sizeof

    return Scale(sizeof)


def _fetch(digest: str) -> bytes:
    from distributed import get_worker
    from distributed.utils import sync

    worker = get_worker()
    data = sync(worker.loop, worker.scheduler.daskflow_code, digest=digest)
    if data is None:
        raise LookupError(f"the scheduler has no shipment {digest}: its run has ended")
    return bytes(data)


shipping.fetch = _fetch


def probe_of(run: str, options: dict[str, Any]) -> Any:
    """Return the probe that a run's options have, where tests look on."""
    if "probe" not in options:
        return None
    from distributed import get_worker

    from daskflow.probe import Probe

    return Probe.arrived(options["probe"], run, get_worker().address)


def run_unit(payload: Payload, *results: Result) -> Result | None:
    """Execute a unit; what Dask calls.

    Returns
    -------
    Result or None
        The unit's result. None where it failed, or handed what is left to others: the scheduler has been told.
    """
    from distributed import get_worker

    link = _link(get_worker())
    unit = link.units[payload.key] = Running(payload, link)
    try:
        wrong = mismatch(payload.options["versions"])
        if wrong:
            raise VersionMismatch(f"a worker differs from the client: {wrong}")
        with classes.executing(payload.options["digest"]):
            return unit.execute(results)
    except BaseException as error:
        # Not even SystemExit may reach Dask: it would take the worker down.
        unit.note(error)
        link.send({"op": "daskflow-fail", "key": payload.key, "failure": list(Failure.of(error)), **unit.last_words()})
        return None
    finally:
        # Each knows the other: what users made would stay until the garbage collector comes by.
        unit.execution = unit.journal.logs = None
        if unit.keeper is not None:
            unit.keeper.close()


class Running:
    """A unit at work.

    Parameters
    ----------
    payload
        What it executes.
    link
        Its worker's link to the scheduler.
    """

    def __init__(self, payload: Payload, link: Link) -> None:
        self.key = payload.key
        self.link = link
        self.payload = payload
        options = payload.options
        self.most_output: int = options["unit_output_bytes"]
        self.references = References(payload.key, options["reference_bytes"], scale())
        self.policy = Policy.on(payload.threads, options["spill_after"], options["chunk"])
        self.execution: Execution | None = None
        self.journal = Journal(worker=link.worker)
        self.failed: BaseException | None = None
        self.probe: Any = None
        self.trail: tuple[Level, ...] = ()
        cache = options["cache"]
        keeping = options["keeping"]
        self.keeper = None if keeping is None else Keeper(Keeping(*keeping), payload.key, payload.run, scale().one)
        self.cache = NodeCache(lambda: None if cache is None else CacheSettings(*cache), run=payload.run)
        now = time.perf_counter()
        self.report_at = now + _REPORT
        self.look_at = now + self.policy.budget
        self.first_look = self.look_at
        self.last_node: tuple[Any, float] = (None, now)

    def execute(self, results: tuple[Result, ...]) -> Result | None:
        """Execute it to its end, or to where it cannot go on."""
        self.probe = probe_of(self.payload.run, self.payload.options)
        frames: tuple[Frame, ...] = shipping.loads(self.payload.data)
        bottom = frames[0]
        self.trail = bottom.scope.trail
        arrived: dict[str, Any] = dict(zip(self.payload.names, (one.values for one in results), strict=True))
        failures = {name: AllFailed(Failed(failed.error_of(self.payload.run, one))) for name, one in self.payload.failures.items()}
        link(frames)
        for frame, slot in arrive(frames, {**arrived, **failures}):
            self.journal.failed_elsewhere(frame, slot)
        if self.payload.place is not None:
            return Result(computed(frames, self.payload.place, self.probe, self.payload.ceased))
        if not self.payload.may_spill:
            execution = Execution(frames[-1])
            execution.cache, execution.mocks, execution.surroundings = self.cache, self.probe, self._surroundings()
            execution.terms, execution.answer = self.payload.terms, self.payload.answer
            for place in self.payload.ceased:
                execution.cancel(place)
            return self._result(bottom, tasklogs.executed(execution, self.journal, self.payload.options))
        self.references.arrived(arrived)
        eager = self.policy.eager
        self.execution = Execution(frames[-1], self._spill_entered if eager else self._spill_between, eager=eager)
        self.execution.journal, self.journal.probe = self.journal, self.probe
        self.execution.cache, self.execution.mocks = self.cache, self.probe
        self.execution.keeper, self.journal.keeper = self.keeper, self.keeper
        self.execution.terms, self.execution.hand_over = self.payload.terms, self._hand_over
        self.execution.answer, self.execution.declared = self.payload.answer, self.payload.options["resources"]
        self.execution.fell, self.execution.lets_go = self._fell, self._lets_go
        self.execution.item_failed = self._item_failed
        self.execution.surroundings = self._surroundings()
        self.link.cancelled.begins(self.payload, self.execution)
        # That may have been said before there was an execution. It may be said at this moment, too: that is not to be overwritten.
        stopped = self.failed or self.link.cancelled.stopped.pop(self.key, None)
        if stopped is not None:
            self.execution.cancelled = stopped
        if self.payload.deaths >= DEATHS:
            self.execution.check = Care(self.journal, self._send_report)
        with watchdog.watching(self):
            value = tasklogs.executed(self.execution, self.journal, self.payload.options)
        if value is STUCK:
            self._tail()
            return None
        return self._result(bottom, value)

    def _surroundings(self) -> Surroundings:
        options = self.payload.options
        return Surroundings(False, datetime.fromtimestamp(options["started"], UTC), options["checkpoints"], self.link.worker)

    def _result(self, bottom: Frame, value: Any) -> Result:
        result = Result(unit_result(bottom, value))
        report = self.journal.report()
        if report is not None:
            self.link.send({"op": "daskflow-report", "key": self.key, "report": report}, last=True)
        if is_run(bottom):
            self._tell_result(result, value)
        return result

    def _tell_result(self, result: Result, value: Any) -> None:
        plain = result.plain
        # Whoever waits for the run need not fetch a small result then.
        if plain is not None and len(plain) <= _MOST_SENT:
            self.link.send({"op": "daskflow-result", "key": self.key, "data": plain}, last=True)
        elif self.keeper is not None:
            self.keeper.keep_result(value, time.time() - self.payload.options["started"])

    def note(self, error: BaseException) -> None:
        """Note where an error comes from that was not raised by a node: what was to be executed is not here, or its result cannot leave."""
        if self.execution is not None:
            self.execution.note(error)
        elif isinstance(error, ModuleNotFoundError):
            error.add_note(f"the worker lacks the module {error.name}, which what it was to execute is made of: install it there")
        annotate(error, Where(self.payload.run, self.payload.address, levels=self.trail, worker=self.link.worker))

    def last_words(self) -> dict[str, Any]:
        """Return, as parts of a message, which run failed in it, and what it has not told yet. Never raises."""
        try:
            if self.execution is None:
                return {"report": self.journal.report()}
            report = self.journal.report(stack(self.execution.frame))
            return {"report": report, "run": self.execution.run_id(), "whole": self.execution.overflowed}
        except Exception:
            return {}

    # ------------------------------------------------------------ handing over

    def fail(self, error: BaseException) -> None:
        """Fail in the execution: what cannot be handed over, since it does not pickle, fails where it can be said."""
        self.failed = error
        if self.execution is not None:
            self.execution.cancelled = error

    def look(self, now: float) -> None:
        """Hand over what has not been started, and tell what goes on, if it is time; called by the watchdog, from its own thread."""
        execution = self.execution
        if execution is None:
            return
        if now >= self.report_at:
            self._tell(execution, now)
        # What makes a unit of each node has nothing that could be handed over.
        if self.policy.eager or (now < self.look_at and not self._is_long(execution.current, now)):
            return
        execution.wants_spill = True
        lock = execution.lock
        # While the lock is taken the executor is between two nodes, and looks itself.
        if lock is not None and lock.acquire(blocking=False):
            try:
                self._relieve(execution, keep=False)
                execution.wants_spill = False
            finally:
                lock.release()

    def _tell(self, execution: Execution, now: float) -> None:
        if execution.lock is None or not execution.lock.acquire(blocking=False):
            return
        try:
            report = self.journal.report(stack(execution.frame))
        finally:
            execution.lock.release()
        self.report_at = now + _REPORT
        if report is not None:
            self._send_report(report)

    def _send_report(self, report: bytes | None) -> None:
        self.link.send({"op": "daskflow-report", "key": self.key, "report": report, "place": self.journal.place})

    def _is_long(self, node: Any, now: float) -> bool:
        """Tell whether the first node that was found at work lasts: so may its siblings, and they need not wait for the whole budget."""
        if node is not self.last_node[0]:
            self.last_node = (node, now)
        return bool(self.link.hungry and now - self.last_node[1] >= self.policy.budget * _LONG and self.look_at == self.first_look)

    def _spill_between(self, execution: Execution) -> None:
        self._relieve(execution, keep=True)

    def _spill_entered(self, execution: Execution) -> None:
        """Hand over every node of a frame that was just entered; what the unit came with it executes itself."""
        frames = stack(execution.frame)
        if len(frames) > 1 or isinstance(frames[-1], EagerFrame):
            self._send_spilled(frames, take(self.key, frames[-1:], self.policy, time.perf_counter(), keep=False))

    def _hand_over(self, execution: Execution, frame: Frame, slot: int, terms: Terms) -> None:
        """Hand over a node that may start only on some terms: it waits for them where that costs no thread."""
        self._send_spilled(stack(execution.frame), [on_terms(self.key, frame, slot, terms)])

    def _item_failed(self, frame: MapFrame, slot: int, error: BaseException) -> None:
        """Have the items counted that fail of one map, in whatever unit: it fails as soon as there are too many."""
        assert frame.entity is not None
        scope = frame.scope
        item = (scope.digest.hex(), frame.entity.name, frame.place(slot), frame.allowed, scope.domain, failed.line(error))
        self.link.send({"op": "daskflow-item-failed", "key": self.key, "item": item, "failure": list(Failure.of(error))})

    def _lets_go(self, frame: Frame) -> bool:
        mean = mean_time(frame, time.perf_counter())
        return mean is not None and mean >= self.policy.budget * _LONG

    def _fell(self, domains: list[tuple[str, ...]], error: BaseException) -> None:
        """Have what other units execute of something that has failed ended."""
        self.link.send({"op": "daskflow-fall", "key": self.key, "domains": domains, "failure": list(Failure.of(error))})

    def _relieve(self, execution: Execution, keep: bool) -> None:
        """Hand over work, if somebody has time for it; and end the execution where it holds too much."""
        began = time.perf_counter()
        frames = stack(execution.frame)
        if self.references.made(frames) >= self.most_output and self.references.waiting(frames) >= self.most_output:
            execution.check = has_more
        elif self.link.hungry:
            self._spill(execution, frames, began, keep)
        # Where looking is dear, since much is left, it is done less often: it may cost a tenth of the time.
        ended = time.perf_counter()
        self.look_at = ended + 10 * (ended - began)

    def _spill(self, execution: Execution, frames: list[Frame], now: float, keep: bool) -> None:
        units = take(self.key, frames, self.policy, now, keep=keep, full=self.link.full)
        if units:
            execution.marked(frames)
            frame, slot = execution.current
            under_way = slot >= 0 and frame is frames[-1] and frame.values[slot] is MISSING
            self._send_spilled(frames, units, under_way)

    def _send_spilled(self, frames: Sequence[Frame], units: Sequence[Unit], under_way: bool | None = None) -> None:
        if not units:
            return
        holds = [pool_chain(frame.scope.pool) for frame in frames if frame.outstanding and frame.scope.pool is not None]
        message, data = self._lowered(units)
        # What is referred to here is nowhere else after this worker's death: the unit begins anew then.
        resume = None if under_way is None or self.references else _resume(frames, under_way)
        report = self.journal.report(frames)
        told = {"key": self.key, "holds": holds, "resume": resume, "report": report, "place": self.journal.place}
        self.link.send({"op": "daskflow-spill", **told, **message}, data)

    def _tail(self) -> None:
        assert self.execution is not None
        frames = stack(self.execution.frame)
        report = self.journal.report(frames)
        self.execution.marked(frames)
        units, output = tail(self.key, frames, self.policy, time.perf_counter(), stopped=self.execution.check is has_more)
        message, data = self._lowered(units)
        self.link.send({"op": "daskflow-tail", "key": self.key, "output": output, "report": report, **message}, data, last=True)

    def _lowered(self, units: Sequence[Unit]) -> tuple[dict[str, Any], dict[str, Result]]:
        """Return units, and the values that they refer to, as parts of a message; and what the worker is to have for it."""
        lowered, kept = self.references.lower(units)
        data = {one.key: Result(one.values) for one in kept}
        return {"units": [spec(one) for one in lowered], "values": [_value(one, data[one.key]) for one in kept]}, data


def _value(kept: Kept, result: Result) -> tuple[Any, ...]:
    return (kept.key, kept.place, sys.getsizeof(result))


def _resume(frames: Sequence[Frame], under_way: bool) -> bytes | None:
    """Return what a unit is to execute should its worker die: what is left, so that nothing handed over is done again."""
    # Where there are very many values they are small, and writing them down costs more than making them again.
    if sum(len(frame.values) for frame in frames) > _MOST_VALUES:
        return None
    top = frames[-1]
    inner = [upper.slot for upper in frames[1:]]
    lower = (frame.resumed(False, slot) for frame, slot in zip(frames, inner, strict=False))
    data = shipping.dumps((*lower, top.resumed(under_way)))
    return data if len(data) <= _MOST_RESUME else None
