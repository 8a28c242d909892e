"""What a run's handle tells of its nodes, and does with it: the same as :class:`~daskflow.runview.RunView` of the run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from daskflow import driver
from daskflow.archive import Archive, LocalArchive, RemoteArchive
from daskflow.errors import UnknownRun
from daskflow.runview import RunView


class Viewed:
    """The part of a handle that looks at its run; where the Dask client is an asynchronous one, its methods return awaitables."""

    id: str
    _client: Any
    _view: RunView | None = None
    _by_client = False
    #: Waits until the history has the run, where it is told of it by the way.
    _told: Callable[[], object] | None = None

    async def _begun(self) -> None:
        raise NotImplementedError

    @property
    def view(self) -> Any:
        """The run as :func:`daskflow.get_run` gives it: its state, its history, and more verbs.

        Raises
        ------
        UnknownRun
            When the history does not have it: it was removed, or no history is kept.
        """
        return self._looked(lambda view: view)

    def tree(self, path: str = "", *, depth: int | None = None, width: int = 120) -> Any:
        """Return its nodes as text; see :meth:`~daskflow.runview.RunView.tree`."""
        return self._looked(lambda view: view.tree(path, depth=depth, width=width))

    def node(self, path: str = "") -> Any:
        """Return what is known of a node; see :meth:`~daskflow.runview.RunView.node`."""
        return self._looked(lambda view: view.node(path))

    def nodes(self, path: str = "", **chosen: Any) -> Any:
        """Return the nodes that a node calls, page by page; see :meth:`~daskflow.runview.RunView.nodes`."""
        return self._looked(lambda view: view.nodes(path, **chosen))

    @property
    def counts(self) -> Any:
        """How many nodes it has, by their phases."""
        return self._looked(lambda view: view.counts)

    def logs(self, path: str = "", **chosen: Any) -> Any:
        """Return what its tasks have printed and logged; see :meth:`~daskflow.runview.RunView.logs`."""
        return self._looked(lambda view: view.logs(path, **chosen))

    def events(self) -> Any:
        """Return what happens to its nodes, as it happens; see :meth:`~daskflow.runview.RunView.events`."""
        return self._looked(lambda view: view.events())

    @property
    def outputs(self) -> Any:
        """What it gave; see :attr:`~daskflow.runview.RunView.outputs`."""
        return self._looked(lambda view: view.outputs)

    def recover(self, **chosen: Any) -> Any:
        """Go on from it; see :meth:`~daskflow.runview.RunView.recover`."""
        return self._looked(lambda view: view.recover(**chosen))

    def rerun(self, inputs: Mapping[str, Any] | None = None, /, **changed: Any) -> Any:
        """Run the same again, with some inputs changed; see :meth:`~daskflow.runview.RunView.rerun`."""
        return self._looked(lambda view: view.rerun(inputs, **changed))

    def _looked(self, use: Callable[[RunView], Any]) -> Any:
        if self._client is not None and self._client.asynchronous:
            return self._later(use)
        return use(self._found())

    async def _later(self, use: Callable[[RunView], Any]) -> Any:
        await self._begun()
        return await asyncio.to_thread(self._alone, use)

    def _alone(self, use: Callable[[RunView], Any]) -> Any:
        # Several may be awaited at the same moment, each in a thread of its own, and what is taken up of the run is the same for all.
        with self.__dict__.setdefault("_looking", threading.Lock()):
            return use(self._found())

    def _found(self) -> RunView:
        client = self._client
        by_client: bool = client is not None and driver.is_open(client)
        # Once the client is closed, as that of a run with a cluster of its own is, there is only the file.
        if self._view is None or (self._by_client and not by_client):
            if self._told is not None:
                self._told()
            archive: Archive = RemoteArchive(client) if client is not None and by_client else LocalArchive()
            row = archive.ask("run", self.id)
            if row is None:
                raise UnknownRun(
                    f"{archive} does not have run {self.id}: it was removed, or is not kept, since daskflow.history.enabled is false or "
                    "the file cannot be written, of which the scheduler's log says more"
                )
            self._view, self._by_client = RunView(archive, row), by_client
        return self._view
