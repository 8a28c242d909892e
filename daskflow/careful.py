"""Care: how a unit goes on under which workers have died again and again.

It tells of each node before that begins, and waits until the message is on its way: should the next worker die as well, it is known
which node it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from daskflow.entity import LAUNCH_PLAN
from daskflow.frames import Frame, GraphFrame, MapFrame, known
from daskflow.stacks import stack

if TYPE_CHECKING:
    from daskflow.execute import Execution
    from daskflow.journal import Journal

#: After so many deaths a unit goes on with care. One worker may be lost for any reason.
DEATHS = 3

#: Seconds until a message that was given to Dask has left the process: it puts those of two milliseconds together.
_UNDER_WAY = 0.005
#: Seconds that may be spent on it, and which part of the time more than that: a unit may have very many nodes that are short.
_AT_LEAST, _SHARE = 2.0, 0.5


class Care:
    """What an execution asks before each node, as its `check`.

    Parameters
    ----------
    journal
        The unit's.
    tell
        Sends a report, if there is one, and where the unit is then.
    """

    def __init__(self, journal: Journal, tell: Callable[[bytes | None], object]) -> None:
        self._journal = journal
        self._tell = tell
        self._began = time.perf_counter()
        self._spent = 0.0

    def __call__(self, execution: Execution) -> bool:
        """Tell which node begins now; no execution ends for that."""
        now = time.perf_counter()
        frame = execution.frame
        assert frame is not None
        coming = _coming(frame) if self._spent < _AT_LEAST + _SHARE * (now - self._began) else -1
        # Where there is no time to tell of each, none may be taken for the one that is executing but that.
        if coming >= 0 or self._journal.is_at_node:
            self._tell(self._journal.report(stack(frame), coming))
            time.sleep(_UNDER_WAY)
            self._spent += time.perf_counter() - now
        return False


def _coming(frame: Frame) -> int:
    """Return the slot of the node, or item, that a frame begins next, unless that waits for others, or begins as a run of its own."""
    if not frame.left:
        return -1
    if isinstance(frame, MapFrame):
        return -1 if frame.entity.target.kind == LAUNCH_PLAN else frame.cursor  # type: ignore[union-attr]
    assert isinstance(frame, GraphFrame)
    node = frame.todo[frame.cursor]
    begins = node.entity.kind != LAUNCH_PLAN and all(known(frame.values[slot]) for slot in node.deps)
    return node.slot if begins else -1
