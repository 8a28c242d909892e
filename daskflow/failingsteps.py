"""What an executor does when something fails: the nearest frame that takes the failure goes on, or the execution ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow.cachingsteps import NotCached
from daskflow.catching import catch, is_overflow, is_spread
from daskflow.eagerframe import drop
from daskflow.entity import TASK
from daskflow.failed import cancelled
from daskflow.frames import Frame
from daskflow.outcome import annotate, forget, is_over, where_of
from daskflow.scope import Scope, cancelled_at, is_in
from daskflow.stacks import called, has_node, levels, node_address, stack
from daskflow.taskcontext import Surroundings, leave
from daskflow.where import Where

if TYPE_CHECKING:
    from daskflow.journal import Journal


class Fall(NamedTuple):
    """Something that has failed outside of an execution that may execute a part of it: a domain, or what was cancelled at an address."""

    domain: str = ""
    place: str = ""
    error: BaseException | None = None

    def holds(self, scope: Scope) -> bool:
        """Tell whether all that is executed in a scope is a part of it."""
        return self.domain in scope.domain if self.domain else is_in(scope.address, self.place)

    def why(self, run_id: str) -> BaseException:
        """Return why a part of it fails."""
        return self.error or cancelled(run_id.partition(".")[0], self.place)


class FailingSteps:
    """The part of an execution that has to do with failures."""

    frame: Frame | None
    current: tuple[Frame, int]
    cancelled: BaseException | None
    journal: Journal | None
    fell: Callable[[list[tuple[str, ...]], BaseException], None] | None
    item_failed: Callable[[Any, int, BaseException], None] | None
    mocks: Any
    surroundings: Surroundings
    #: The addresses of what was cancelled, and is not to begin.
    cancels: dict[str, None]
    #: The addresses at which something was ended, or not begun; whoever makes a lost value again must fail the same.
    ceased: dict[str, None]
    ceases: Callable[[str], None] | None
    _fallen: list[Fall]
    #: What was raised last that had failed elsewhere.
    brought: BaseException | None = None
    #: Whether more items of a map than may have failed here, where only some of them are.
    overflowed: bool = False

    def _loop(self) -> Any:
        raise NotImplementedError

    def _where(self) -> tuple[str, str]:
        raise NotImplementedError

    def entity(self) -> Any:
        """Return what the node that is executing calls."""
        raise NotImplementedError

    def _to_the_end(self) -> Any:
        """Go on, in spite of failures, as long as some frame takes them."""
        while True:
            try:
                self._raise_arrived()
                return self._loop()
            except BaseException as first:
                leave()
                error = self._left(self._instead(first))
                try:
                    if error is first:
                        raise
                    if error is not None:
                        raise error from None
                finally:
                    # Its traceback has this frame, so that all that was executing would stay until the garbage collector comes by.
                    del error

    def _left(self, raised: BaseException) -> BaseException | None:
        """Have an error noted, and taken where that is possible; return what is left to be raised."""
        self._forget_others(raised)
        self.note(raised)
        if self.mocks is not None:
            self.mocks.failed(self, raised)
        return self._caught(raised)

    def note(self, error: BaseException) -> None:
        """Note where an error comes from, unless it is on its way already, or none."""
        if isinstance(error, NotCached) or where_of(error) is not None:
            return
        frame, slot = self.current
        id, address = self._where()
        run, dot, _ = id.partition(".")
        name = getattr(called(frame, slot), "name", "")
        worker = self.surroundings.worker
        told = levels(frame, slot)
        annotate(error, Where(run, address, id if dot else "", frame.item(slot), name, told, 1, 1, worker))

    def _forget_others(self, error: BaseException) -> None:
        """Forget where an exception object was raised before, unless it is on its way from there: elsewhere, or here or below."""
        known = where_of(error)
        if known is None or error is self.brought or error is self.cancelled:
            return
        id, address = self._where()
        if is_over(error) or known.run != id.partition(".")[0] or not is_in(known.address, address):
            forget(error)

    def _raise_arrived(self) -> None:
        """Fail where a result that is needed has arrived as a failure, or where something was cancelled before this began."""
        if self.cancelled is not None:
            raise self.cancelled
        self._fall()
        for frame in stack(self.frame):
            if frame.failed is not None:
                failed, frame.failed = frame.failed, None
                self.current = (frame, -1)
                self.brought = failed.exception()
                raise self.brought

    def _caught(self, error: BaseException) -> BaseException | None:
        """Let the nearest frame that takes an error have it; return what is to be raised where none does."""
        if isinstance(error, (NotCached, KeyboardInterrupt)) or error is self.cancelled:
            return error
        if self.journal is not None and self.frame is not None:
            self.journal.raised(self.frame, *self.current, error)
        catcher = catch(*self.current, error)
        self.overflowed = catcher.frame is None and is_overflow(stack(self.frame)[0])
        if catcher.frame is not None:
            left = stack(catcher.frame)
            dropped = [frame for frame in stack(self.frame) if frame not in left]
            if self.journal is not None:
                self._tell_failed(catcher.frame, dropped)
            drop(dropped)
            # What has failed is no more what is executing: it would fail once more of a second word that it was cancelled.
            self.frame, self.current = catcher.frame, (catcher.frame, -1)
        if self.fell is not None and catcher.frame is not None and catcher.domains:
            self.fell(catcher.domains, catcher.error)
        if self.item_failed is not None and catcher.fell is not None and is_spread(catcher.fell[0]):
            self.item_failed(*catcher.fell, error)
        return catcher.error if catcher.frame is None else None

    def _tell_failed(self, catcher: Frame, dropped: list[Frame]) -> None:
        """Tell which node of a frame has failed that takes the failure, and what was executing in that."""
        assert self.journal is not None
        self.journal.began(dropped)
        slot = dropped[0].slot if dropped else self.current[1]
        if slot >= 0:
            self.journal.fell(node_address(catcher, slot))

    def interrupt(self, domain: str, error: BaseException) -> None:
        """Fail, before the next node, what other units have found to have failed, if a part of it is executed here; from any thread."""
        self._fallen.append(Fall(domain, error=error))

    def cancel(self, place: str) -> None:
        """Fail, before the next node, what is executed at an address, or below it, and begin nothing there; from any thread."""
        self.cancels[place] = None
        self._fallen.append(Fall(place=place))

    def has(self, place: str) -> bool:
        """Tell whether it executes something at an address, or below it, or has something left there; whoever asks has the lock."""
        frames = stack(self.frame)
        return (
            place in self.ceased
            or self._is_at(place)
            or any(is_in(frame.scope.address, place) or has_node(frame, place) for frame in frames)
        )

    def _fall(self) -> None:
        """Fail where something that has failed elsewhere, or was cancelled, is executed."""
        while self._fallen:
            fall = self._fallen.pop(0)
            at = self._struck(fall)
            if at is not None:
                self.current = at
                self._cease(fall.place or node_address(*at))
                if fall.place:
                    self._tell_fell(*at)
                self.brought = fall.why(at[0].scope.run_id)
                raise self.brought

    def _struck(self, fall: Fall) -> tuple[Frame, int] | None:
        for frame in stack(self.frame):
            if fall.holds(frame.scope):
                # What is to be executed once it has failed is a part of it as well.
                return (frame, -1) if frame.parent is None else (frame.parent, frame.slot)
        return self.current if fall.place and self.current[0] is self.frame and self._is_at(fall.place) else None

    def _is_at(self, place: str) -> bool:
        return is_in(self._address(*self.current), place)

    def _address(self, frame: Frame, slot: int) -> str:
        """Return the address of a node, as whoever cancels knows it: the call of a body that a run begins with is the run."""
        return "" if slot >= 0 and frame.holds_run and getattr(self.entity(), "kind", "") != TASK else node_address(frame, slot)

    def _refuse(self, frame: Frame, slot: int) -> None:
        """Fail a node that is about to be executed, if it was cancelled."""
        place = cancelled_at(self._address(frame, slot), self.cancels)
        if place is not None:
            self._cease(place)
            self._tell_fell(frame, slot)
            raise cancelled(frame.scope.run_id.partition(".")[0], place)

    def _cease(self, place: str) -> None:
        if place not in self.ceased:
            self.ceased[place] = None
            if self.ceases is not None:
                self.ceases(place)

    def _tell_fell(self, frame: Frame, slot: int) -> None:
        """Note that a node fails since it was cancelled; where others go on beside it, that is told anyhow."""
        if self.journal is not None and not frame.catches:
            self.journal.fell(node_address(frame, slot))

    def _instead(self, error: BaseException) -> BaseException:
        """Return why a node has failed: what it raises when it was told that it does not count says nothing."""
        if isinstance(error, (NotCached, KeyboardInterrupt)):
            return error
        if self.cancelled is not None:
            return self.cancelled
        try:
            self._fall()
        except BaseException as why:
            return why
        return error

    def _why_cancelled(self) -> BaseException | None:
        """Return why what the node that is executing gives does not count."""
        if self.cancelled is not None or not self._fallen:
            return self.cancelled
        scope = self.current[0].scope
        for fall in [*self._fallen]:
            if fall.holds(scope) or (fall.place and self._is_at(fall.place)):
                return fall.why(scope.run_id)
        return None
