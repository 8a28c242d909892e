"""What an executor does when something fails: the nearest frame that takes the failure goes on, or the execution ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daskflow.cachingsteps import NotCached
from daskflow.catching import catch, is_overflow, is_spread
from daskflow.eagerframe import drop
from daskflow.frames import Frame
from daskflow.outcome import annotate
from daskflow.stacks import node_address, stack
from daskflow.taskcontext import leave

if TYPE_CHECKING:
    from daskflow.journal import Journal


class FailingSteps:
    """The part of an execution that has to do with failures."""

    frame: Frame | None
    current: tuple[Frame, int]
    cancelled: BaseException | None
    journal: Journal | None
    fell: Callable[[list[tuple[str, ...]], BaseException], None] | None
    item_failed: Callable[[Any, int, BaseException], None] | None
    mocks: Any
    _fallen: tuple[str, BaseException] | None
    #: Whether more items of a map than may have failed here, where only some of them are.
    overflowed: bool = False

    def _loop(self) -> Any:
        raise NotImplementedError

    def _where(self) -> tuple[str, str]:
        raise NotImplementedError

    def _to_the_end(self) -> Any:
        """Go on, in spite of failures, as long as some frame takes them."""
        while True:
            try:
                self._raise_arrived()
                return self._loop()
            except BaseException as raised:
                leave()
                annotate(raised, *self._where(), self.current[0].item(self.current[1]))
                if self.mocks is not None:
                    self.mocks.failed(self, raised)
                error = self._caught(raised)
                if error is raised:
                    raise
                if error is not None:
                    raise error from None

    def _raise_arrived(self) -> None:
        """Fail where a result that is needed has arrived as a failure."""
        for frame in stack(self.frame):
            if frame.failed is not None:
                failed, frame.failed = frame.failed, None
                self.current = (frame, -1)
                raise failed.exception()

    def _caught(self, error: BaseException) -> BaseException | None:
        """Let the nearest frame that takes an error have it; return what is to be raised where none does."""
        if isinstance(error, (NotCached, KeyboardInterrupt)) or error is self.cancelled:
            return error
        catcher = catch(*self.current, error)
        self.overflowed = catcher.frame is None and is_overflow(stack(self.frame)[0])
        if catcher.frame is not None:
            left = stack(catcher.frame)
            dropped = [frame for frame in stack(self.frame) if frame not in left]
            if self.journal is not None:
                self.journal.began(dropped)
            drop(dropped)
            self.frame = catcher.frame
        if self.journal is not None and catcher.fell is not None:
            self.journal.fell(node_address(*catcher.fell))
        if self.fell is not None and catcher.frame is not None and catcher.domains:
            self.fell(catcher.domains, catcher.error)
        if self.item_failed is not None and catcher.fell is not None and is_spread(catcher.fell[0]):
            self.item_failed(*catcher.fell, error)
        return catcher.error if catcher.frame is None else None

    def interrupt(self, domain: str, error: BaseException) -> None:
        """Fail, before the next node, what other units have found to have failed, if a part of it is executed here; from any thread."""
        self._fallen = (domain, error)

    def _fall(self, domain: str, error: BaseException) -> None:
        self._fallen = None
        for frame in stack(self.frame):
            if domain in frame.scope.domain:
                self.current = (frame, -1)
                raise error

    def _why_cancelled(self) -> BaseException | None:
        """Return why what the node that is executing gives does not count."""
        if self.cancelled is not None or self._fallen is None:
            return self.cancelled
        domain, error = self._fallen
        return error if domain in self.current[0].scope.domain else None
