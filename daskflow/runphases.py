"""The phases of a run's nodes, from what was told of them, of what is around them, and of the run. Pure."""

from __future__ import annotations

from daskflow.nodeviews import ABORTED, FAILED, QUEUED, RECOVERED, RUNNING, SKIPPED, SUCCEEDED, TIMED_OUT
from daskflow.runbody import ABSENT, Body
from daskflow.runfold import Fold
from daskflow.scope import above_all, child_id, join

_OF_RUN = {"QUEUED": QUEUED, "RUNNING": RUNNING, "SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "ABORTED": ABORTED, "SKIPPED": SKIPPED}

#: What calls nothing, and is told of as a node of the run.
_NO_BODY = ("task", "shell task", "gate")


class RunPhases:
    """What follows for single nodes from what is told of a run.

    Parameters
    ----------
    run_id, entity, kind : str
        As for :class:`~daskflow.runstate.RunState`.
    """

    status: str
    ended: float | None

    def __init__(self, run_id: str, entity: str, kind: str) -> None:
        self.run_id = run_id
        self.entity = entity
        self.kind = kind
        self._fold = Fold()
        self._failed: set[str] = set()

    def _guess(self) -> str:
        """Return where the last error was raised that nothing took: the innermost place of it."""
        taken = self._fold.fell
        errors = [address for address in self._fold.errors if not any(above in taken for above in above_all(address))]
        last = errors[-1] if errors else ""
        return max((one for one in errors if last in above_all(one)), key=len, default=last)

    def _inner(self, address: str) -> str:
        address = address.removeprefix(f"{self.run_id}:")
        # What is run by itself, and is no body, has its own name for an address.
        return "" if address == self._own_name() else address

    def _own_name(self) -> str | None:
        """Return the address that the run itself has in reports, where that is not the empty one."""
        if self.kind == "map":
            top = self._top()
            return None if top is None or not top.address else top.address
        return self.entity.rpartition(".")[2] if self.kind in _NO_BODY else None

    def _own(self) -> int:
        return _OF_RUN.get(self.status, RUNNING)

    def _around(self, body: Body) -> tuple[int, str]:
        """Return what became of the nearest thing around a body of which that was told, and its address; of the run otherwise."""
        at = body
        while at.above is not None:
            above, index = at.above
            if above.states[index] not in (QUEUED, ABSENT):
                return above.states[index], join(above.address, above.label(index))
            at = above
        return self._own(), ""

    def goes_on(self, body: Body) -> bool:
        """Tell whether what is around a body is executing, or to come."""
        return self._around(body)[0] in (QUEUED, RUNNING)

    def _of_begun(self, address: str, around: tuple[int, str]) -> int:
        """Return the phase of a node that has begun, and of whose end nobody told."""
        phase, at = around
        if phase in (FAILED, TIMED_OUT) and at:
            failing = self._fold.failing
            return self._fold.how(address) if address in failing or at not in failing else ABORTED
        if phase == FAILED:
            return self._fold.how(address) if address in self._failed else ABORTED
        if phase in (SUCCEEDED, RECOVERED) and address in self._fold.failing:
            # What succeeded in spite of it is told by itself.
            return self._fold.how(address)
        return RUNNING if phase == QUEUED else phase

    def _of_queued(self, around: tuple[int, str]) -> int:
        """Return the phase of a node of which nothing was told."""
        return around[0] if around[0] in (SUCCEEDED, RECOVERED) or (around[0] == SKIPPED and around[1]) else QUEUED

    def _phase(self, body: Body, index: int) -> int:
        state = body.states[index]
        if state != QUEUED:
            return state
        around = self._around(body)
        if index in body.begun or index in body.inner:
            return self._of_begun(join(body.address, body.label(index)), around)
        return self._of_queued(around)

    def phases(self, body: Body) -> bytearray:
        """Return the phases of all nodes of a body, as numbers in :data:`daskflow.nodeviews.PHASES`."""
        around = self._around(body)
        phases = bytearray(body.states)
        rest = self._of_queued(around)
        if rest != QUEUED:
            phases = phases.replace(bytes([QUEUED]), bytes([rest]))
        for index in {*body.begun, *body.inner}:
            if body.states[index] == QUEUED:
                phases[index] = self._of_begun(join(body.address, body.label(index)), around)
        return phases

    def _top(self) -> Body | None:
        """Return the body of the run; of a map that is run by itself, the map."""
        body = self._fold.bodies.get("")
        if body is None and self.kind == "map":
            return next((one for one in self._fold.bodies.values() if one.is_map and one.above is None), None)
        return body

    def body(self, address: str) -> Body | None:
        """Return the body, or map, at an address, if anything is known of its nodes."""
        address = self._inner(address)
        return self._top() if not address else self._fold.bodies.get(address)

    def _seconds(self, body: Body, index: int, state: int, address: str, started: float) -> float | None:
        if state in (QUEUED, RUNNING, SKIPPED) or not started:
            return None
        ended = body.ends[index]
        if not ended and state in (FAILED, TIMED_OUT, ABORTED):
            error = self._fold.errors.get(address)
            ended = error[0] if error is not None else self._ended_around(body)
        return max(0.0, ended - started) if ended else None

    def unsettled(self, body: Body, phases: bytearray) -> dict[int, float]:
        """Return how long nodes took of whose end nobody told: what they failed with, or what is around them, was the end of them."""
        took = {}
        for index, (started, _) in body.begun.items():
            took[index] = self._seconds(body, index, phases[index], join(body.address, body.label(index)), started) or 0.0
        return took

    def _ended_around(self, body: Body) -> float:
        while body.above is not None:
            body, index = body.above
            if body.ends[index]:
                return body.ends[index]
        return self.ended or 0.0

    def _child_run(self, body: Body, index: int) -> str:
        begun = body.states[index] != QUEUED or index in body.begun
        if not begun or not body.digest or body.called(index)[1] != "launch plan":
            return ""
        return child_id(body.run_id, body.digest, body.place(index))

    def _error(self, address: str) -> str:
        """Return the error of a node that failed: its own, or else that of what failed in it."""
        errors = self._fold.errors
        if address in errors:
            return errors[address][1]
        if not address:
            return errors[max(self._failed, key=len)][1] if self._failed and max(self._failed, key=len) in errors else ""
        within = self._fold.failing.get(address)
        return "" if within is None else errors[within][1]
