"""An executor that surrounds attempts with what their options say, in process."""

from __future__ import annotations

from typing import Any

import pytest

from daskflow import context, execute
from daskflow.attempts import run_attempts
from daskflow.execute import Execution
from daskflow.frames import GraphFrame
from daskflow.taskcontext import Place, leave
from daskflow.taskoptions import TaskOptions


class Attempting(Execution):
    """Calls users' functions by way of their options."""

    def run(self) -> Any:
        outer, context.state.place = context.state.place, self.place
        try:
            return super().run()
        finally:
            context.state.place = outer
            leave()

    def place(self) -> Place:
        """Return where the node is that is executing."""
        frame, slot = self.current
        entity, options = self._called()
        return Place(entity.name, *self._where(), map_index=frame.item(slot), options=options, cancelled=lambda: self.cancelled)

    def _called(self) -> tuple[Any, TaskOptions]:
        frame, slot = self.current
        if not isinstance(frame, GraphFrame):
            target = frame.entity.target  # type: ignore[union-attr]
            return target, target.options
        node = next(one for one in frame.todo if one.slot == slot)
        return node.entity, node.options or node.entity.options  # type: ignore[return-value]

    def _user(self, function: Any, inputs: dict[str, Any]) -> Any:
        entity, options = self._called()
        body = entity.body if function is entity.fn else function
        if not options.plain:
            return run_attempts(body, inputs, self.place())
        try:
            return body(**inputs)
        finally:
            leave()


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have entities run so in plain Python."""
    monkeypatch.setattr(execute, "Execution", Attempting)
