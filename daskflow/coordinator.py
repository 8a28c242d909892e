"""The coordinator: carries events of clients, workers and Dask into the ledger, and its instructions out to Dask.

It lives in the scheduler process, on its event loop. Nothing here decides; and nothing that goes wrong here may pass for
success: a fault fails the run that it concerns, and is counted. It is one long file since it is one table: each message has its few
lines, and all are about one object's state.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from daskflow.alarms import Alarms
from daskflow.announcer import Announcer
from daskflow.cancelling import Cancelling
from daskflow.chronicle import Chronicle
from daskflow.dask_tasks import DaskTasks
from daskflow.failed import place_of
from daskflow.ledger import Ledger
from daskflow.pace import Pace
from daskflow.payload import Payload
from daskflow.records import Adopt, Create, Ended, FailedItem, Fell, Free, Lift, Status, Stop, Value, Wake, plain_failure
from daskflow.register import Entry, Register
from daskflow.stranded import lacking
from daskflow.versions import versions
from daskflow.wire import read_pool, read_spec

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

logger = logging.getLogger(__name__)

#: Seconds from a change until units that wait at one worker are moved to another.
_REBALANCE_AFTER = 0.1
#: Seconds that a run waits for its first thread until others' units are cut.
_STARVED_AFTER = 0.5
#: Seconds that the client of a run may take to be there.
_GRACE = 60.0
#: Seconds for which the result of a run that was left is kept in the cluster.
DETACHED_KEPT = 600.0


class Coordinator:
    """All runs of one Dask scheduler.

    Parameters
    ----------
    scheduler
        The scheduler that it is part of.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.tasks = DaskTasks(scheduler)
        self.ledger = Ledger()
        self.faults = 0
        self.register = Register()
        self.chronicle = Chronicle(str(scheduler.address))
        self.announcer = Announcer(scheduler)
        self.alarms = Alarms(self._wake)
        self._scheduled = False
        self._rebalancing: asyncio.TimerHandle | None = None
        #: The runs of which nothing has been executed for a while, though it could be.
        self._starved: set[str] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._pace = Pace()
        self.cancelling = Cancelling(self)
        self._handlers: dict[str, Callable[..., Any]] = {
            "daskflow_versions": self.versions,
            "daskflow_submit": self.submit,
            "daskflow_wait": self.wait,
            "daskflow_retire": self.retire,
            "daskflow_code": self.code,
            "daskflow_children": self.children,
            "daskflow_state": self.state,
            "daskflow_gates": self.gates,
            "daskflow_answer": self.answer,
            "daskflow_answered": self.answered,
            "daskflow_history": self.chronicle.answer,
            "daskflow_folded": self.folded,
            "daskflow_lacking": self.lacking,
            **self.cancelling.handlers,
        }
        self._carriers: dict[type, Callable[[Any], object]] = {
            Adopt: self._adopt,
            Stop: lambda one: self.announcer.stop(one.key),
            Fell: lambda one: self.announcer.fell(one.key, one.domain, plain_failure(one.failure)),
            Wake: lambda one: self.alarms.set(one.run, one.key, one.seconds),
            Ended: lambda one: self._ended(one.run),
            **self.cancelling.carriers,
        }
        self._stream_handlers: dict[str, Callable[..., None]] = {
            "daskflow-hello": self._on_hello,
            "daskflow-spill": self._on_spill,
            "daskflow-tail": self._on_tail,
            "daskflow-fail": self._on_fail,
            "daskflow-fall": self._on_fall,
            "daskflow-item-failed": self._on_item_failed,
            "daskflow-report": self._on_report,
            "daskflow-result": self._on_result,
            **self.cancelling.stream_handlers,
        }

    def start(self) -> None:
        """Take up work.

        Raises
        ------
        RuntimeError
            When Dask is configured to give up tasks that wait for a worker, as ours may.
        """
        if self.scheduler.no_workers_timeout is not None:
            raise RuntimeError(
                "daskflow cannot work while distributed.scheduler.no-workers-timeout is set: "
                "Dask would fail units that wait for their turn; unset it"
            )
        self.scheduler.handlers.update(self._handlers)
        self.scheduler.stream_handlers.update({op: partial(self._hear, handler) for op, handler in self._stream_handlers.items()})
        self.workers_changed()

    # ------------------------------------------------------------ what clients ask

    async def versions(self) -> dict[str, str]:
        """Return the versions here."""
        return versions()

    async def submit(
        self,
        run: str,
        spec: tuple[Any, ...],
        inputs: list[tuple[Any, ...]],
        client: str,
        digest: str,
        code: bytes,
        options: dict[str, Any],
        name: str,
        about: dict[str, Any],
    ) -> bool:
        """Begin a run; the answer is always the same."""
        self.ledger.submit(run, read_spec(spec), client, map(read_spec, inputs))
        options["resources"] = list(self.scheduler.resources)
        self.register.add(run, Entry(digest, options, name), code)
        self.chronicle.begin(
            run, name, {"spec": spec, "inputs": inputs, "digest": digest, "code": code, "about": about, "options": options}
        )
        self.flush_soon()
        if client not in self.scheduler.clients:
            # One that is connecting anew comes back; one that died just now does not, and nobody would say that it is gone.
            asyncio.get_running_loop().call_later(_GRACE, self._drop_orphan, run)
        return True

    def _drop_orphan(self, run: str) -> None:
        record = self.ledger.runs.get(run)
        if record is not None and not self.cancelling.is_detached(run) and record.owner not in self.scheduler.clients:
            self._retire(run)

    async def wait(self, run: str) -> dict[str, Any]:
        """Return what became of a run, once it has ended, and forget it, unless its result is still to be fetched, or it is detached."""
        entry = self.register.runs.get(run)
        if entry is None:
            return {"status": None, "value": None}
        await entry.ended.wait()
        outcome = self._outcome(run, entry)
        is_all = outcome["value"] is not None or outcome["status"] != Status.SUCCEEDED
        if is_all and not self.cancelling.is_detached(run):
            self._retire(run)
        return outcome

    async def retire(self, run: str) -> None:
        """Forget a run."""
        self._retire(run)

    async def code(self, digest: str) -> bytes | None:
        """Return a shipment."""
        return self.register.code.get(digest)

    async def children(self, run: str) -> dict[str, Any] | None:
        """Return what units told of the child runs of a run; None where the run is not known, or has called none."""
        story = self.register.story(run)
        return story.plain() if story is not None else None

    async def folded(self, runs: list[dict[str, Any]]) -> None:
        """Take note of runs whose every result was in the cache."""
        for told in runs:
            self.chronicle.folded(**told)

    async def gates(self, run: str | None = None) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the runs and gates that wait for an answer; of one run, or of all."""
        units = [unit for one in self.ledger.runs.values() if run in (None, one.id) for unit in one.gates.values()]
        gates = [(unit.run.id, unit.terms.gate, self.alarms.left(unit.run.id, unit.key)) for unit in units]
        return [(id, tuple(gate._replace(left=left))) for id, gate, left in gates if gate is not None]

    async def answer(self, run: str, address: str, answer: bytes) -> bool:
        """Answer what is waited for at a gate; tell whether it is."""
        accepted = self.ledger.answer(run, address, answer)
        self.flush_soon()
        return accepted

    async def answered(self, run: str) -> tuple[str, dict[str, str]] | None:
        """Return the status of a run, and the names of gates that were answered in it, by address; None where it is not known."""
        record = self.ledger.runs.get(run)
        return None if record is None else (record.status.value, record.answered)

    async def lacking(self, run: str) -> tuple[Any, ...] | None:
        """Return what a run waits for that no worker gives; None where it does not."""
        return lacking(self.ledger, self.tasks, run)

    async def state(self) -> dict[str, Any]:
        """Return how much there is of everything."""
        return {
            "runs": {run.id: run.status.value for run in self.ledger.runs.values()},
            **self.ledger.counts(),
            "shipments": len(self.register.code),
            "faults": self.faults,
        }

    def _outcome(self, run: str, entry: Entry) -> dict[str, Any]:
        record = self.ledger.runs.get(run)
        if record is None:
            return {"status": None, "value": None}
        failure = record.failure
        return {
            "status": record.status.value,
            "key": record.result,
            "value": entry.value[1] if entry.value is not None and entry.value[0] == record.result else None,
            "nbytes": self.tasks.nbytes(record.result) if record.result else 0,
            "failure": None if failure is None else plain_failure(failure),
        }

    def _retire(self, run: str) -> None:
        self.ledger.retire(run)
        self.flush()
        self.tasks.forget_run(run)
        entry = self.register.runs.get(run)
        if entry is not None:
            entry.ended.set()
            self.register.drop(run)

    # ------------------------------------------------------------ what units say

    def _hear(self, handler: Callable[..., object], **message: Any) -> None:
        """Hear what a worker says; a fault of ours would have Dask take the worker for broken, and remove it."""
        try:
            handler(**message)
        except Exception as error:
            self._fault(message.get("key", ""), error)
            self.flush_soon()

    def _on_hello(self, worker: str, **_: Any) -> None:
        self.announcer.add(worker)

    def _on_spill(
        self, worker: str, key: str, units: list[Any], values: list[Any], holds: list[Any], resume: bytes | None, report: bytes | None,
        place: str,
    ) -> None:  # fmt: skip
        kept = [Value(name, (worker, tuple(place), nbytes)) for name, place, nbytes in values]
        if self.tasks.is_on(key, worker):
            self._note(key, report, place)
            self._guarded(key, lambda: self._spill(key, units, holds, kept, resume))
        self._disown_soon(worker, kept)

    def _spill(self, key: str, units: list[Any], holds: list[Any], values: list[Value], resume: bytes | None) -> None:
        accepted = self.ledger.spill(key, map(read_spec, units), filter(None, map(read_pool, holds)), values)
        payload = self.tasks.payload(key)
        if accepted and payload is not None and resume is not None:
            payload.data = resume

    def _on_tail(self, worker: str, key: str, units: list[Any], values: list[Any], output: str, report: bytes | None) -> None:
        kept = [Value(name, (worker, tuple(place), nbytes)) for name, place, nbytes in values]
        if self.tasks.is_on(key, worker):
            self._note(key, report)
            self._guarded(key, lambda: self.ledger.tail(key, map(read_spec, units), output, kept))
        self._disown_soon(worker, kept)

    def _disown_soon(self, worker: str, values: list[Value]) -> None:
        """Once instructions are carried out, let the worker drop those values that were not taken up."""
        if values:
            keys = [value.key for value in values]
            self.flush_soon()
            asyncio.get_running_loop().call_soon(self.tasks.disown, keys, worker)

    def _on_fail(
        self, worker: str, key: str, failure: list[Any], report: bytes | None = None, run: str | None = None, whole: bool = False
    ) -> None:
        if self.tasks.is_on(key, worker):
            entry, unit = self._note(key, report), self.ledger.units.get(key)
            # There is none where the run has ended a moment ago: Dask is still to be told.
            if entry is not None and unit is not None and entry.story.ended is None and not unit.domain:
                entry.story.failed = run
            self._guarded(key, lambda: self.ledger.fail(key, {"failure": failure}, whole))

    def _on_fall(self, worker: str, key: str, domains: list[list[str]], failure: list[Any]) -> None:
        if self.tasks.is_on(key, worker):
            for domain in domains:
                self._guarded(key, lambda domain=domain: self.ledger.fall(key, domain, {"failure": failure}))  # type: ignore[misc]

    def _on_item_failed(self, worker: str, key: str, item: Any, failure: list[Any]) -> None:
        if self.tasks.is_on(key, worker):
            one = FailedItem(*item)
            one = one._replace(domain=tuple(one.domain))
            self._guarded(key, lambda: self.ledger.item_failed(key, one, {"failure": failure}))

    def _on_report(self, worker: str, key: str, report: bytes | None, place: str = "") -> None:
        if self.tasks.is_on(key, worker):
            self._note(key, report, place)

    def _on_result(self, worker: str, key: str, data: bytes) -> None:
        if (entry := self._entry(key)) and self.tasks.is_on(key, worker):
            entry.value = (key, data)

    def _entry(self, key: str) -> Entry | None:
        unit = self.ledger.units.get(key)
        return self.register.runs.get(unit.run.id) if unit is not None else None

    def _note(self, key: str, report: bytes | None, place: str = "") -> Entry | None:
        unit = self.ledger.units.get(key)
        if unit is None:
            return None
        unit.place = place
        return self.tell(unit.run.id, report)

    def tell(self, run: str, report: bytes | None) -> Entry | None:
        """Keep what is told of a run, and write it down."""
        entry = self.register.runs.get(run)
        if entry is not None and report:
            entry.story.tell(self.chronicle.report(run, report))
        return entry

    def _guarded(self, key: str, action: Callable[[], object]) -> None:
        """Do something for a unit; a fault of ours fails its run."""
        try:
            action()
        except Exception as error:
            self._fault(key, error)
        self.flush_soon()

    def _fault(self, key: str, error: Exception) -> None:
        self.faults += 1
        logger.error("daskflow: a fault at unit %s", key, exc_info=error)
        unit = self.ledger.units.get(key)
        if unit is not None:
            self.ledger.fail_run(unit.run.id, {"fault": f"{type(error).__name__}: {error}"})

    # ------------------------------------------------------------ what Dask says

    def transition(self, key: Any, finish: str) -> None:
        """Follow a task of Dask's; most are none of ours."""
        if key not in self.ledger.units:
            self._forget_dropped(key, finish)
            return
        try:
            self._follow(key, finish)
        except Exception as error:
            self._fault(key, error)
        self.flush_soon()

    def _follow(self, key: str, finish: str) -> None:
        self._time(key, finish)
        if finish == "memory":
            payload = self.tasks.payload(key)
            if payload is not None:
                payload.may_spill = False
            self.ledger.done(key)
        elif finish == "erred":
            self._erred(key)
        elif finish == "forgotten":
            self.tasks.forgotten(key)
            self.ledger.forgotten(key)
        elif finish == "no-worker":
            if self.tasks.is_held_back(key):
                self.ledger.ready(key)
        elif finish == "released" or (finish == "waiting" and self.tasks.waits_for_data(key)):
            self._unready(key)

    def _forget_dropped(self, key: Any, finish: str) -> None:
        """Let go of what is known of a unit that the ledger has dropped, since its run has ended."""
        self._pace.forget(key)
        if finish == "forgotten" and self.tasks.payload(key) is not None:
            self.tasks.forgotten(key)

    def _time(self, key: str, finish: str) -> None:
        if finish == "processing":
            self._pace.began(key)
        elif self._pace.ended(key):
            self._fit()

    def _fit(self) -> None:
        self.ledger.admission.capacity = self._pace.capacity(self.tasks.total_threads)

    def _unready(self, key: str) -> None:
        if self.ledger.unready(key, self.tasks.death(key)):
            self.tasks.hold_back(key)
            if (payload := self.tasks.payload(key)) is not None:
                payload.deaths = self.ledger.units[key].deaths

    def _erred(self, key: str) -> None:
        # Units catch everything that users' code raises: what reaches Dask is that a unit could not be run at all.
        unit = self.ledger.units.get(key)
        if unit is not None:
            self.ledger.fail_run(unit.run.id, {"erred": self.tasks.error(key), "key": key, "address": unit.address})

    def close(self) -> None:
        """Write down what there is to write; nothing comes any more."""
        self.chronicle.close()

    def workers_changed(self, gone: str | None = None) -> None:
        """Fit what may run to the workers that there are."""
        if gone is not None:
            self.announcer.remove(gone)
        self._fit()
        self.flush_soon()

    def client_gone(self, client: str) -> None:
        """Cancel and forget the runs of a client that is no more."""
        for run in [run for run in self.ledger.runs.values() if run.owner == client]:
            self._retire(run.id)

    def restarted(self) -> None:
        """Fail everything: Dask has dropped all tasks."""
        for run in list(self.ledger.living()):
            self.ledger.fail_run(run.id, {"fault": "the Dask cluster was restarted during the run"})
        self.flush_soon()

    # ------------------------------------------------------------ instructions

    def flush_soon(self) -> None:
        """Carry out instructions at the end of this turn of the event loop, those of many events together."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Carry out the ledger's instructions."""
        self._scheduled = False
        # Carrying out makes Dask report transitions, and those may give new instructions.
        while instructions := self.ledger.take():
            try:
                self._carry_out(instructions)
            except Exception:
                self.faults += 1
                logger.exception("daskflow: a fault while instructing Dask")
                for run in list(self.ledger.living()):
                    self.ledger.fail_run(run.id, {"fault": "an internal error in the scheduler; its log has the details"})
        self._broadcast()

    def _carry_out(self, instructions: list[Any]) -> None:
        created: list[str] = []
        freed: dict[str, list[str]] = defaultdict(list)
        for one in instructions:
            try:
                if isinstance(one, Create):
                    created.append(self._create(one))
                elif isinstance(one, Free):
                    freed[one.run].append(one.key)
                elif not isinstance(one, Lift):
                    self._carriers[type(one)](one)
            except Exception as error:
                # Those after it are other runs' as well, and one may be the end of a run, which somebody waits for.
                self._fault(getattr(one, "key", ""), error)
        self.tasks.start(created)
        self.tasks.lift([one.key for one in instructions if isinstance(one, Lift)])
        for run, keys in freed.items():
            self.tasks.free(keys, run)

    def _wake(self, key: str) -> None:
        self.ledger.woken(key)
        self.flush_soon()

    def _ended(self, run: str) -> None:
        self.alarms.drop(run)
        entry, record = self.register.runs.get(run), self.ledger.runs.get(run)
        if entry is None:
            return
        status = record.status if record is not None else Status.ABORTED
        failure = record.failure if record is not None else None
        plain = None if failure is None else plain_failure(failure)
        entry.story.end(status, place_of(plain))
        entry.ended.set()
        if self.cancelling.is_detached(run):
            # Nobody may ever ask; the history has it then.
            asyncio.get_running_loop().call_later(DETACHED_KEPT, self._retire, run)
        value = entry.value[1] if entry.value is not None and record is not None and entry.value[0] == record.result else None
        self.chronicle.end(run, status, plain, value, entry.story.reports)

    def _create(self, one: Create) -> str:
        names = tuple(name for name, _ in one.deps)
        options, threads = self.register.runs[one.run].options, self.tasks.total_threads
        failures = {name: plain_failure(failure) for name, failure in one.failures}
        payload = Payload(one.key, one.run, one.payload, names, options, threads, terms=one.terms, failures=failures, answer=one.answer)
        payload.cancelled, payload.address = one.cancelled, one.address
        return self.tasks.create(payload, [key for _, key in one.deps], one.depth)

    def _adopt(self, one: Adopt) -> None:
        if one.key not in self.ledger.units:
            return
        worker, place, nbytes = one.place
        try:
            if not self.tasks.adopt(one.key, one.owner, place, worker, nbytes, one.depth):
                self._unready(one.key)
                self.tasks.start([one.key])
        except Exception as error:
            self._fault(one.key, error)

    def _broadcast(self) -> None:
        admission = self.ledger.admission
        starving = admission.starving()
        self._starved &= starving
        if starving and self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_STARVED_AFTER, self._look_for_starved, starving)
        # Units that last hand over what they have not started when somebody has time for it: so they do for a run that gets nothing.
        self.announcer.announce(admission.n_running < self.tasks.total_threads or bool(self._starved), admission.take_changed())
        if admission.n_running > 1:
            self._rebalance_soon()

    def _look_for_starved(self, before: set[str]) -> None:
        self._looking = None
        self._starved = before & self.ledger.admission.starving()
        self._broadcast()

    def _rebalance_soon(self) -> None:
        if self._rebalancing is None:
            self._rebalancing = asyncio.get_running_loop().call_later(_REBALANCE_AFTER, self._rebalance)

    def _rebalance(self) -> None:
        self._rebalancing = None
        try:
            if self.tasks.rebalance(self.ledger.units):
                self._rebalance_soon()
        except Exception:
            self.faults += 1
            logger.exception("daskflow: a fault while moving units between workers")
