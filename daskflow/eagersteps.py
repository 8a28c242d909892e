"""What an executor does with an eager: its body between its calls, and the calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daskflow.eagerframe import EagerFrame, drop
from daskflow.frames import Frame, GraphFrame

#: What an execution gives when what is left of it waits for other units.
STUCK = object()


class EagerSteps:
    """The part of an execution that has to do with eagers."""

    current: tuple[Frame, int]
    check: Callable[[Any], bool] | None
    lets_go: Callable[[Frame], bool] | None
    _eager: bool
    _spill: Callable[[Any], None] | None

    def _nodes(self, frame: GraphFrame) -> Any:
        raise NotImplementedError

    def _plain(self, body: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _pause(self) -> None:
        raise NotImplementedError

    def _why_cancelled(self) -> BaseException | None:
        raise NotImplementedError

    def _eager_frame(self, frame: EagerFrame) -> Any:
        """Execute an eager's calls, and its body between them, until one enters a frame of its own, or the body waits for others."""
        if frame.body is None:
            from daskflow.eagerbody import EagerBody

            frame.body = EagerBody(frame.entity, frame, self._why_cancelled)
        while True:
            self._step(frame)
            if self._eager and self._spill is not None:
                self._spill(self)
            if frame.left and frame.outstanding and self.lets_go is not None and self.lets_go(frame):
                return STUCK
            stopped = self._nodes(frame)
            if stopped is not None:
                return stopped
            if not frame.news() and not frame.left:
                break
        if (self.check is not None and self.check(self)) or frame.outstanding or not frame.body.done:
            return STUCK
        self.current = (frame, -1)
        value = frame.body.result()
        drop([frame])
        return frame.entity.interface.outputs.check(value, frame.entity.name)  # type: ignore[union-attr]

    def _step(self, frame: EagerFrame) -> None:
        """Give a body the values that are here, and run it until it waits for others."""
        self.current = (frame, -1)
        body = frame.body
        for slot in frame.news():
            body.give(slot, frame.values[slot])
        self._plain(body.step, {})
        calls, body.builder.pending = body.builder.pending, []
        for node in calls:
            frame.call(node)
        self._pause()
