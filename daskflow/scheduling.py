"""Running launch plans by their schedules: the loop of ``daskflow schedule``.

What is due is :mod:`daskflow.ticks`' to say. Here are the clock, the file of marks and the cluster. A tick is marked when the
cluster has taken its run, so a crash between the two may start a run twice, and never leaves one out.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from daskflow.errors import ClusterError
from daskflow.launchplan import LaunchPlan
from daskflow.marks import StateFile
from daskflow.schedules import Schedule
from daskflow.ticks import CatchUp, Mark, begin, decide

logger = logging.getLogger("daskflow.schedule")

#: Seconds. A clock that is set, or a machine that sleeps, is noticed within this time.
_LONGEST_WAIT = 30.0
_LONGEST_BACK_OFF = 60.0

Overlap = Literal["allow", "skip"]
Plan = LaunchPlan[..., Any]


class Started(Protocol):
    """A run: what :class:`daskflow.handle.Run` has."""

    id: str

    @property
    def status(self) -> str: ...
    @property
    def error(self) -> BaseException | None: ...
    def when_ended(self, call: Callable[[], Any]) -> None: ...
    def cancel(self) -> Any: ...


#: Takes a plan, its inputs and a name for the run.
Submit = Callable[[Plan, dict[str, Any], str], Started]


@dataclass(frozen=True)
class Policy:
    """What becomes of ticks that were missed, and of those that come while a run lasts.

    Attributes
    ----------
    catch_up : str
        See :mod:`daskflow.ticks`.
    overlap : str
        ``allow``, or ``skip``: a tick is left out while a run of the plan from here lasts. A plan with a ``concurrency`` of its own
        goes by that.
    grace : timedelta
        How late a tick may be found and still be due.
    """

    catch_up: CatchUp = "none"
    overlap: Overlap = "allow"
    grace: timedelta = timedelta(minutes=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def schedule_of(plan: Plan) -> Schedule:
    """Return the schedule of a plan that has one."""
    assert plan.schedule is not None
    return plan.schedule


def next_tick(schedule: Schedule, mark: Mark | None, now: datetime) -> datetime | None:
    """Return the next tick from now on, as far as it is known how far the schedule has been dealt with."""
    mark = begin(mark, str(schedule), now)
    latest = schedule.latest(mark.last, now)
    return next(schedule.ticks(latest or mark.last), None)


class Scheduling:
    """Starts runs of plans at their ticks.

    Parameters
    ----------
    plans
        Launch plans that have a schedule.
    submit
        Starts a run; raises :class:`ClusterError` where the cluster is away.
    file
        Where marks are kept.
    policy
        What becomes of missed and overlapping ticks.
    clock
        Returns the time, aware.
    """

    def __init__(
        self, plans: Iterable[Plan], submit: Submit, file: StateFile, policy: Policy, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self.plans = list(plans)
        self.submit = submit
        self.file = file
        self.policy = policy
        self.clock = clock
        self.marks = file.load()
        self.live: dict[str, list[Started]] = {}
        self.stops = 0
        self._failures = 0
        # A signal's handler may put something into it wherever it interrupts: not so with an Event.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    # ------------------------------------------------------------ the loop

    def serve(self) -> None:
        """Start runs until :meth:`stop` is called."""
        self._begin()
        while not self.stops:
            self._wait(self.step())

    def stop(self) -> None:
        """End :meth:`serve`, or, called again, :meth:`drain`. Safe in a signal's handler."""
        self.stops += 1
        self._wake.put(None)

    def drain(self) -> None:
        """Wait until all runs from here have ended."""
        while self._reap() and self.stops < 2:
            self._wait(_LONGEST_WAIT)

    def leave(self) -> None:
        """Cancel the runs from here that last."""
        self._reap()
        for name, runs in self.live.items():
            for run in runs:
                logger.warning("%s: run %s is cancelled", name, run.id)
                # Where the cluster is gone, so is the run.
                with contextlib.suppress(ClusterError):
                    run.cancel()
        logger.info("stopped")

    def _wait(self, seconds: float) -> None:
        try:
            self._wake.get(timeout=max(0.0, min(seconds, _LONGEST_WAIT)))
            # Several words to wake are one.
            while True:
                self._wake.get_nowait()
        except queue.Empty:
            pass

    def _begin(self) -> None:
        """Make marks for schedules that are new, so that a stop before their first tick counts as one."""
        now = self.clock()
        for plan in self.plans:
            self._go_on(plan, now)
            logger.info("%s: %s, next at %s", plan.name, plan.schedule, _stamp(next_tick(schedule_of(plan), self.marks[plan.name], now)))
        self._save()

    def _go_on(self, plan: Plan, now: datetime) -> Mark:
        known = self.marks.get(plan.name)
        mark = self.marks[plan.name] = begin(known, str(plan.schedule), now)
        if known is not None and mark is not known:
            why = "the clock was ahead" if known.schedule == mark.schedule else f"its schedule was {known.schedule}"
            logger.warning("%s: begins anew at %s: %s", plan.name, _stamp(now), why)
        return mark

    # ------------------------------------------------------------ one step

    def step(self) -> float:
        """Do all that is due now; return the seconds until there is more."""
        self._reap()
        for plan in self.plans:
            try:
                self._run_due(plan)
            except ClusterError as error:
                return self._back_off(plan, error)
        self._failures = 0
        return self._seconds_left()

    def _back_off(self, plan: Plan, error: BaseException) -> float:
        seconds = min(_LONGEST_BACK_OFF, 2.0**self._failures)
        self._failures += 1
        logger.error("%s: the cluster is away, tried again in %g s: %s", plan.name, seconds, error)
        return seconds

    def _seconds_left(self) -> float:
        following = [next(schedule_of(plan).ticks(self.marks[plan.name].last), None) for plan in self.plans]
        now = self.clock()
        return min(((tick - now).total_seconds() for tick in following if tick is not None), default=_LONGEST_WAIT)

    def _run_due(self, plan: Plan) -> None:
        now = self.clock()
        decision = decide(schedule_of(plan), self._go_on(plan, now).last, now, self.policy.catch_up, self.policy.grace)
        if decision.dropped is not None:
            logger.warning("%s: ticks up to %s were missed and are not run", plan.name, _stamp(decision.dropped))
            self._mark(plan, decision.dropped)
        for tick in decision.run:
            if self.stops:
                return
            self._start(plan, tick)
            self._mark(plan, tick)

    def _start(self, plan: Plan, tick: datetime) -> None:
        if self.policy.overlap == "skip" and plan.concurrency is None and self._living(plan):
            logger.warning("%s: the tick at %s is skipped: run %s lasts", plan.name, _stamp(tick), self._living(plan)[0].id)
            return
        kickoff = schedule_of(plan).kickoff_time_input_arg
        try:
            run = self.submit(plan, {} if kickoff is None else {kickoff: tick}, f"{plan.short_name} {_stamp(tick)}")
        except ClusterError:
            raise
        except Exception as error:
            logger.error("%s: the run of %s cannot be started: %s", plan.name, _stamp(tick), _told(error))
            return
        logger.info("%s: run %s of %s started", plan.name, run.id, _stamp(tick))
        self.live.setdefault(plan.name, []).append(run)
        run.when_ended(lambda: self._wake.put(None))

    def _living(self, plan: Plan) -> list[Started]:
        return [run for run in self.live.get(plan.name, ()) if run.status == "RUNNING"]

    def _mark(self, plan: Plan, tick: datetime) -> None:
        self.marks[plan.name] = Mark(str(plan.schedule), tick)
        self._save()

    def _save(self) -> None:
        try:
            self.file.save(self.marks)
        except OSError as error:
            # Runs go on without it; what is lost is where to go on after the process' end.
            logger.error("the state of schedules cannot be written: %s", error)

    def _reap(self) -> int:
        """Tell what has become of runs that have ended; return how many last."""
        for name, runs in self.live.items():
            for run in [run for run in runs if run.status != "RUNNING"]:
                runs.remove(run)
                _tell(name, run)
        return sum(map(len, self.live.values()))


def _tell(plan: str, run: Started) -> None:
    if run.error is None:
        logger.info("%s: run %s succeeded", plan, run.id)
    else:
        logger.error("%s: run %s failed: %s", plan, run.id, _told(run.error))


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).rstrip().replace("\n", "; ")


def _stamp(tick: datetime | None) -> str:
    return "never" if tick is None else tick.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def scheduled(entities: Mapping[str, Any]) -> dict[str, Plan]:
    """Return the launch plans with a schedule among entities by name: each under its own name, and once."""
    plans = (one for one in entities.values() if isinstance(one, LaunchPlan) and one.schedule is not None)
    return {plan.name: plan for plan in plans}
