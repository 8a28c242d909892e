"""Runs of limited launch plans in this process: how many there are, and who waits. On a cluster the ledger keeps these books."""

from __future__ import annotations

import threading
from typing import Any

from daskflow.errors import PlanBusy, RunCancelled, RunSkipped
from daskflow.terms import PlanLimit

_changed = threading.Condition()
#: By plan, the executions that have begun a run of it and not ended it, the oldest first; once for each run.
_begun: dict[str, list[Any]] = {}


def begin(plan: PlanLimit, execution: Any) -> None:
    """Begin a run of a plan, in an execution; wait for another to end where the policy says so.

    Raises
    ------
    PlanBusy
        When there are as many as there may be, and the policy is to refuse one more; or all are of this execution, which would wait
        for itself.
    """
    with _changed:
        while len(runs := _begun.get(plan.plan, [])) >= plan.limit:
            _make_room(plan, runs, execution)
        # Others may have begun and ended runs meanwhile.
        _begun.setdefault(plan.plan, []).append(execution)


def busy(plan: PlanLimit) -> str:
    """Say that there are as many runs of a plan as there may be."""
    return f"launch plan {plan.plan} has {plan.limit} runs, and may have no more at the same moment"


def _make_room(plan: PlanLimit, runs: list[Any], execution: Any) -> None:
    text = busy(plan)
    if plan.behavior == "SKIP":
        raise RunSkipped(text)
    if plan.behavior == "FAIL":
        raise PlanBusy(text)
    if all(one is execution for one in runs):
        raise PlanBusy(f"{text}; the run that would wait for one of them to end is part of them all")
    if plan.behavior == "REPLACE":
        oldest = next(one for one in runs if one is not execution)
        oldest.cancelled = RunCancelled(f"a newer run of launch plan {plan.plan} took the place of this one")
    _changed.wait(timeout=0.1)


def end(plan: str, execution: Any) -> None:
    """End a run of a plan."""
    with _changed:
        runs = _begun.get(plan, [])
        if execution in runs:
            runs.remove(execution)
        if not runs:
            _begun.pop(plan, None)
        _changed.notify_all()


def end_all(execution: Any) -> None:
    """End all runs of an execution that is over."""
    if not _begun:
        return
    with _changed:
        for plan in [plan for plan, runs in _begun.items() if execution in runs]:
            _begun[plan] = [one for one in _begun[plan] if one is not execution]
            if not _begun[plan]:
                del _begun[plan]
        _changed.notify_all()
