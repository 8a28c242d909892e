"""What an executor does so that another run can go on from its own: it keeps outputs, and takes over those that are there."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daskflow.frames import Frame, GraphFrame
from daskflow.stacks import node_address, stack

if TYPE_CHECKING:
    from daskflow.journal import Journal
    from daskflow.keeping import Keeper

_WHILE = 1.0  # second


class KeepingSteps:
    """The part of an execution that has to do with outputs that are kept."""

    frame: Frame | None
    journal: Journal | None
    keeper: Keeper | None
    _notes: Any
    _since: float
    _least: float

    def _wait(self, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _put(self, frame: Frame, slot: int, value: Any) -> None:
        raise NotImplementedError

    def _why_cancelled(self) -> BaseException | None:
        raise NotImplementedError

    def _begin(self) -> None:
        """Look at the clock for the first time."""
        # Where only outputs are kept, what is noted goes nowhere.
        nowhere: Any = None if self.keeper is None else deque(maxlen=0)
        self._notes = nowhere if self.journal is None else self.journal.begin(stack(self.frame))
        self._least = math.inf if self.keeper is None else self.keeper.least
        self._since = time.perf_counter()

    def _start(self, frame: Frame) -> None:
        if not frame.started:
            self._since = frame.started = time.perf_counter()

    def _taken_over(self, keeper: Keeper, frame: Frame, slot: int, entity: Any, inputs: dict[str, Any]) -> bool:
        """Take a node's output from an earlier run, if that is possible; tell whether it was."""
        address = _address(frame, slot)
        if not keeper.knows(address):
            return False
        found, value = self._wait(keeper.find, {"address": address, "entity": entity, "inputs": inputs})
        if not found:
            return False
        self._put(frame, slot, value)
        return True

    def _keep(self, keeper: Keeper, frame: Frame, slot: int, entity: Any, inputs: dict[str, Any], value: Any, seconds: float) -> None:
        """Keep a node's output, if it is worth that."""
        # When what a run begins with has ended, so has the run in a moment: then nobody goes on from it.
        if (not frame.holds_run or keeper.keeps_all or seconds >= _WHILE) and keeper.worthwhile(seconds, value, inputs):
            late = self._why_cancelled() is not None
            node = {"address": _address(frame, slot), "entity": entity, "inputs": inputs}
            self._wait(_keep, {"keeper": keeper, **node, "value": value, "late": late})

    def _keep_result(self, keeper: Keeper, frame: GraphFrame, value: Any) -> None:
        """Keep what a body gave."""
        if frame.exports is not None or frame.entity is None or (frame.parent is None and frame.mark is None):
            return
        if not keeper.keeps_all and frame.parent is not None and frame.parent.holds_run:
            # What takes long in it is kept by itself.
            return
        seconds = time.perf_counter() - frame.started
        if frame.mark is not None:
            # Of what was handed over this execution knows only the end.
            if keeper.worthwhile(keeper.handed_over(seconds), value):
                self._wait(keeper.keep, {"mark": frame.mark, "value": value, "late": self._why_cancelled() is not None})
        elif frame.given is not None and seconds >= keeper.least and frame.parent is not None:
            self._keep(keeper, frame.parent, frame.slot, frame.entity, frame.given, value, seconds)

    def marked(self, frames: list[Frame]) -> None:
        """Work out, before frames are handed over without their inputs, what their outputs are kept by."""
        if self.keeper is None:
            return
        for frame in frames:
            parent, entity = frame.parent, frame.entity
            if (
                isinstance(frame, GraphFrame)
                and frame.mark is None
                and frame.given is not None
                and entity is not None
                and parent is not None
                and self.keeper.is_light(frame.given)
                and (self.keeper.keeps_all or not parent.holds_run)
            ):
                frame.mark = self.keeper.mark(_address(parent, frame.slot), entity, frame.given)


def _address(frame: Frame, slot: int) -> str:
    # What a run begins with is the run.
    return "" if frame.holds_run else node_address(frame, slot)


def _keep(keeper: Keeper, address: str, entity: Any, inputs: dict[str, Any], value: Any, late: bool) -> None:
    mark = keeper.mark(address, entity, inputs)
    if mark is not None:
        keeper.keep(mark, value, late)
