"""Whereabouts: where an execution is, as users' code, contexts and errors name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskflow.frames import Frame
from daskflow.stacks import called, node_address
from daskflow.taskcontext import Place, Surroundings
from daskflow.taskoptions import PLAIN, TaskOptions


class Whereabouts:
    """The part of an execution that tells where it is."""

    current: tuple[Frame, int]
    surroundings: Surroundings

    if TYPE_CHECKING:

        def _why_cancelled(self) -> BaseException | None: ...

    def address(self) -> str:
        """Return the address of the node that is executing."""
        run_id, address = self._where()
        return f"{run_id.partition('.')[0]}:{address}"

    def run_id(self) -> str:
        """Return the id of the run that the node that is executing belongs to."""
        return self._where()[0]

    def _where(self) -> tuple[str, str]:
        frame, slot = self.current
        scope = frame.scope
        return scope.run_id, node_address(frame, slot)

    def place(self, entity: Any = None, options: TaskOptions | None = None) -> Place:
        """Return where the node is that is executing, as the context of its task tells it."""
        frame, slot = self.current
        entity = entity or self.entity()
        run_id, address = self._where()
        return self.surroundings.place(entity.name, run_id, address, frame.item(slot), options or PLAIN, self._why_cancelled)

    def entity(self) -> Any:
        """Return what the node that is executing calls."""
        return called(*self.current)
