"""What happens to the nodes of a run, as it happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from daskflow.runstate import NodeEvent

if TYPE_CHECKING:
    from daskflow.runview import RunView

#: Seconds between two looks at what is new.
_LOOK = 0.2


class Events:
    """What happens to the nodes of a run, as it happens.

    Parameters
    ----------
    view
        Of the run; nobody else's.
    """

    def __init__(self, view: RunView) -> None:
        self._view = view

    def __iter__(self) -> Iterator[NodeEvent]:
        over = False
        while not over:
            events, over = self._view.news()
            yield from events
            if not over and not events:
                time.sleep(_LOOK)

    async def __aiter__(self) -> AsyncIterator[NodeEvent]:
        over = False
        while not over:
            events, over = await asyncio.to_thread(self._view.news)
            for event in events:
                yield event
            if not over and not events:
                await asyncio.sleep(_LOOK)
