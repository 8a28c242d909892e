"""The coordinator: carries events of clients, workers and Dask into the ledger, and its instructions out to Dask.

It lives in the scheduler process, on its event loop. Nothing here decides; and nothing that goes wrong here may pass for
success: a fault fails the run that it concerns, and is counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daskflow.alarms import Alarms
from daskflow.announcer import Announcer
from daskflow.balance import Balance
from daskflow.cancelling import Cancelling
from daskflow.chronicle import Chronicle
from daskflow.dask_tasks import DaskTasks
from daskflow.failed import place_of
from daskflow.hearing import Hearing
from daskflow.ledger import Ledger
from daskflow.pace import Pace
from daskflow.payload import Payload
from daskflow.records import Adopt, Create, Ended, Fell, Free, Lift, Status, Stop, Wake, plain_failure
from daskflow.register import Entry, Register
from daskflow.stranded import lacking
from daskflow.versions import versions
from daskflow.wire import read_spec

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler

logger = logging.getLogger(__name__)

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
        self._pace = Pace()
        self.ledger.admission.room = lambda asked: self._pace.capacity(self.tasks.room(asked))
        self.cancelling = Cancelling(self)
        self.hearing = Hearing(self)
        self._balance = Balance(self)
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
        self.scheduler.stream_handlers.update(self.hearing.stream_handlers)
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
        options["resources"] = self.tasks.resources()
        self.register.add(run, Entry(digest, options, name), code)
        self.chronicle.begin(
            run, name, {"spec": spec, "inputs": inputs, "digest": digest, "code": code, "about": about, "options": options}
        )
        self.flush_soon()
        if client not in self.scheduler.clients:
            self.cancelling.orphaned(run)
        return True

    async def wait(self, run: str) -> dict[str, Any]:
        """Return what became of a run, once it has ended, and forget it, unless its result is still to be fetched, or it is detached."""
        entry = self.register.runs.get(run)
        if entry is None:
            return {"status": None, "value": None}
        await entry.ended.wait()
        outcome = self._outcome(run, entry)
        is_all = outcome["value"] is not None or outcome["status"] != Status.SUCCEEDED
        if is_all and not self.cancelling.is_detached(run):
            self.drop(run)
        return outcome

    async def retire(self, run: str) -> None:
        """Forget a run."""
        self.drop(run)

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

    def drop(self, run: str) -> None:
        """End and forget a run."""
        self.ledger.retire(run)
        self.flush()
        self.tasks.forget_run(run)
        entry = self.register.runs.get(run)
        if entry is not None:
            entry.ended.set()
            self.register.drop(run)

    def tell(self, run: str, report: bytes | None) -> Entry | None:
        """Keep what is told of a run, and write it down."""
        entry = self.register.runs.get(run)
        if entry is not None and report:
            entry.story.tell(self.chronicle.report(run, report))
        return entry

    def guarded(self, key: str, action: Callable[[], object]) -> None:
        """Do something for a unit; a fault of ours fails its run."""
        try:
            action()
        except Exception as error:
            self.fault(key, error)
        self.flush_soon()

    def fault(self, key: str, error: Exception) -> None:
        """Count a fault at a unit, and fail its run."""
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
            self.fault(key, error)
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
        self.tasks.recount()
        self._fit()
        self.flush_soon()

    def client_gone(self, client: str) -> None:
        """Cancel and forget the runs of a client that is no more."""
        for run in [run for run in self.ledger.runs.values() if run.owner == client]:
            self.drop(run.id)

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
        self._balance.look()

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
                self.fault(getattr(one, "key", ""), error)
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
        plain = None if record is None or record.failure is None else plain_failure(record.failure)
        entry.story.end(status, place_of(plain))
        entry.ended.set()
        if self.cancelling.is_detached(run):
            # Nobody may ever ask; the history has it then.
            asyncio.get_running_loop().call_later(DETACHED_KEPT, self.drop, run)
        value = entry.value[1] if entry.value is not None and record is not None and entry.value[0] == record.result else None
        self.chronicle.end(run, status, plain, value, entry.story.reports)

    def _create(self, one: Create) -> str:
        names, options, threads = tuple(name for name, _ in one.deps), self.register.runs[one.run].options, self.tasks.total_threads
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
            self.fault(one.key, error)
