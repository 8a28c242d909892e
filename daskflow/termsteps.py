"""What an executor does with a node that must not start yet, or not here: on a cluster it is handed over, in process it waits."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from daskflow import planslots
from daskflow.entity import LAUNCH_PLAN
from daskflow.errors import PlanBusy
from daskflow.frames import Frame
from daskflow.stacks import node_address
from daskflow.taskcontext import Place
from daskflow.taskoptions import TaskOptions
from daskflow.terms import NOTHING, PlanLimit, Terms

if TYPE_CHECKING:
    from daskflow.journal import Journal
    from daskflow.keeping import Keeper

logger = logging.getLogger(__name__)

#: Resources that were asked for and that no worker has: told of once in a process.
_missed: set[str] = set()

#: Seconds between two attempts that are worth a unit of its own: shorter ones are waited for.
_SHORT = 0.05


class ComeBack(BaseException):
    """Another attempt is to be made, and not before a while has passed."""

    def __init__(self, delay: float, attempt: int) -> None:
        super().__init__(delay)
        self.delay = delay
        self.attempt = attempt


class TermSteps:
    """The part of an execution that has to do with the terms on which nodes start."""

    lock: threading.Lock | None
    frame: Frame | None
    terms: Terms
    declared: Collection[str]
    hand_over: Callable[[Any, Frame, int, Terms], None] | None
    leave: Callable[[Frame, int, Terms], object] | None
    answer: bytes | None
    journal: Journal | None
    keeper: Keeper | None
    _limited: bool

    def _keep(self, keeper: Keeper, frame: Frame, slot: int, entity: Any, inputs: dict[str, Any], value: Any, seconds: float) -> None:
        raise NotImplementedError

    def _user(self, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        raise NotImplementedError

    def place(self, entity: Any = None, options: TaskOptions | None = None) -> Place:
        """Return where the node is that is executing."""
        raise NotImplementedError

    def _mine(self, frame: Frame) -> Terms:
        """Return the terms on which a node of the frame is executed here."""
        return self.terms if frame.parent is None else NOTHING

    def _is_elsewhere(self, frame: Frame, slot: int, entity: Any, options: TaskOptions | None) -> bool:
        """Hand over a node whose terms are not those on which this execution was let in; tell whether that was done."""
        if self.hand_over is None:
            return False
        resources = () if options is None else self._resources(options)
        plan = plan_limit(entity) if entity.kind == LAUNCH_PLAN else None
        mine = self._mine(frame)
        if resources == mine.resources and plan == mine.plan:
            return False
        if plan is not None and frame.scope.plans.count(plan.plan) >= plan.limit:
            raise PlanBusy(f"{planslots.busy(plan)}; the run that would wait for one of them to end is part of them all")
        self._hand_on(frame, slot, Terms(resources=resources, plan=plan))
        return True

    def _resources(self, options: TaskOptions) -> tuple[tuple[str, float], ...]:
        """Return what the worker must have; what no worker of the cluster declares cannot be asked of one."""
        asked = options.dask_resources()
        for name in asked.keys() - set(self.declared) - _missed:
            _missed.add(name)
            logger.warning(
                "daskflow: tasks ask for %s, which no worker had when the run began: they run anywhere; "
                "start workers with --resources to have them placed", name,
            )  # fmt: skip
        return tuple(sorted((name, amount) for name, amount in asked.items() if name in self.declared))

    def _hand_on(self, frame: Frame, slot: int, terms: Terms) -> None:
        """Hand over a node on terms, with the lease that is had for it."""
        assert self.hand_over is not None
        lease = self._mine(frame).lease
        self.hand_over(self, frame, slot, terms._replace(lease=lease, held=True) if lease else terms)

    # ------------------------------------------------------------ attempts

    def _attempts(self, body: Callable[..., Any], inputs: dict[str, Any], place: Place, first: int) -> Any:
        from daskflow.attempts import run_attempts

        failed: list[int] = []

        def sleep(delay: float) -> None:
            if delay < _SHORT:
                time.sleep(delay)
            else:
                raise ComeBack(delay, failed[-1] + 1)

        def note(attempt: int, error: BaseException, delay: float) -> None:
            failed.append(attempt)
            if self.journal is not None:
                self.journal.attempt(place.address, attempt, error, delay)

        return run_attempts(body, inputs, place, first=first, sleep=None if self.hand_over is None else sleep, notify=note)

    def _again(self, frame: Frame, slot: int, later: ComeBack) -> None:
        mine = self._mine(frame)
        self._hand_on(frame, slot, Terms(resources=mine.resources, plan=mine.plan, delay=later.delay, attempt=later.attempt))

    # ------------------------------------------------------------ gates

    def _gate(self, frame: Frame, slot: int, entity: Any, inputs: dict[str, Any]) -> bool:
        """Pass a gate, if that can be; tell whether its value is there."""
        if self._mine(frame).waits:
            value = entity.answered(inputs, self.answer)
        elif self.leave is not None:
            self.leave(frame, slot, entity.terms(inputs, node_address(frame, slot)))
            return False
        elif self.hand_over is None:
            value = self._user(lambda: entity.passed(inputs, self.place(entity)), {})
        else:
            self._hand_on(frame, slot, entity.terms(inputs, node_address(frame, slot)))
            return False
        value = frame.values[slot] = entity.interface.outputs.check(value, entity.name)
        if self.keeper is not None:
            # Nobody is asked again, and no time waited for again.
            self._keep(self.keeper, frame, slot, entity, inputs, value, math.inf)
        frame.done += 1
        if self.journal is not None:
            self.journal.note(slot)
        return True

    # ------------------------------------------------------------ plans, in process

    def _begins(self, plan: Any, parent: Frame, slot: int) -> bool:
        """Tell whether a run of a plan is begun here and now, of which there may be only so many."""
        if plan.concurrency is None:
            return True
        if self._is_elsewhere(parent, slot, plan, None):
            return False
        self.begin_plan(plan)
        self._limited = True
        return True

    def begin_plan(self, entity: Any) -> None:
        """Wait for, or be refused, one of the runs of a plan that there may be; of several processes each counts for itself."""
        limit = plan_limit(entity)
        if limit is not None and self.hand_over is None:
            planslots.begin(limit, self)


def plan_limit(plan: Any) -> PlanLimit | None:
    """Return how many runs of a launch plan there may be, if its policy says so."""
    policy = plan.concurrency
    return None if policy is None else PlanLimit(plan.name, policy.max_concurrency, policy.behavior.name)
