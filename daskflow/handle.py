"""The handle of a run on a cluster: :class:`Run`. It is long by what it says to users: all its verbs are documented in one place."""

from __future__ import annotations

import asyncio
import concurrent.futures
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from daskflow import config, driver
from daskflow.children import CacheReport, Children, Family
from daskflow.errors import ClusterError, InputError, SchedulerLost
from daskflow.outcome import in_coroutine
from daskflow.records import Status
from daskflow.result import decoded
from daskflow.terms import Gate
from daskflow.traces import unseen
from daskflow.viewed import Viewed

if TYPE_CHECKING:
    from distributed import Client

#: Results up to this size, in bytes, are brought to the driver as soon as the run has ended.
_BRING_AT_ONCE = 1 << 20


class Run(Viewed):
    """One execution of an entity on a cluster. Made by :func:`run`.

    Its methods block, or, where the Dask client is an asynchronous one, return awaitables. ``await run`` gives the result.

    Attributes
    ----------
    id : str
        Names the run everywhere.
    name : str
        What the user called it; the entity's short name otherwise.
    """

    def __init__(self, id: str, name: str, client: Any, close: Callable[[], None] | None) -> None:
        self.id = id
        self.name = name
        self._client: Any = client
        self._close = close
        self._ended: dict[str, Any] | None = None
        self._value: Any = _NOTHING
        self._family: Family | None = None
        self._probed = False
        self._detached = False
        self._task: concurrent.futures.Future[None] | None = None
        self._submitted: concurrent.futures.Future[None] | None = None
        # A result that nobody has asked for is kept on the cluster as long as somebody may.
        self._forget = weakref.finalize(self, _forget, weakref.ref(client), id) if client is not None else None

    @classmethod
    def folded(cls, id: str, name: str, client: Client | None, value: Any, family: Family, told: Callable[[], object]) -> Run:
        """Return a run that is over: its result was in the cache, and no cluster was needed. `told` waits until the history has it."""
        run = cls(id, name, client, None)
        run._let_go()
        run._ended, run._value, run._family, run._told = {"status": Status.SUCCEEDED}, value, family, told
        return run

    def _let_go(self) -> bool:
        """Leave it to nobody to have the scheduler forget the run; tell whether that was open."""
        return self._forget is not None and self._forget.detach() is not None

    @property
    def _is_here(self) -> bool:
        """Whether all that can be asked is in this process: a cluster of its own, and with it the event loop, may be gone."""
        return self._ended is not None and self._family is not None and (self._value is not _NOTHING or self._close is not None)

    # ------------------------------------------------------------ for users

    @property
    def status(self) -> str:
        """``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``ABORTED``."""
        if self._ended is None:
            lost = self._task is not None and self._task.done()
            return Status.FAILED.value if lost else Status.RUNNING.value
        return str(self._ended["status"] or Status.FAILED.value)

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until the run has ended, however it ends.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        Run
            The run itself.

        Raises
        ------
        TimeoutError
            When it has not ended by then; it goes on.
        ClusterError
            When the cluster does not fit, or is lost.
        """
        return self._blocking(self._wait(timeout))

    @unseen
    def result(self, timeout: float | None = None) -> Any:
        """Return the entity's result.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        Exception
            What a task raised, as it raised it, with notes that say where.
        RunFailed, WorkerCrashed
            When there is no such exception, or it cannot be brought here.
        RunCancelled
            When the run was cancelled.
        TimeoutError
            When there is no result by then; the run goes on.
        ClusterError
            When the cluster does not fit, or is lost.
        """
        outcome: Any = self._outcome(timeout)
        if self._client is not None and self._client.asynchronous:
            return self._given(outcome)
        __tracebackhide__ = True
        value, error = self._blocking(outcome)
        if error is not None:
            raise error
        return value

    def cancel(self, path: str | None = None) -> Any:
        """Cancel the run and all that it started; or one node of it, whatever that is, with all that is below it.

        What is cancelled has failed, with :class:`~daskflow.errors.RunCancelled`, for whoever called it: so the run fails, unless something
        around the node goes on in spite of failures. As in Flyte, where a child run that is aborted fails the node that started it.

        Parameters
        ----------
        path : str, optional
            The node's address in the run, such as ``level1/level2[1]``, with or without the run's id and a colon before it; or the id of a
            child run. Without it, or with the run's own id, the whole run is cancelled; one that has ended stays as it is.

        Returns
        -------
        bool
            Whether something was found there that executes, or waits. What waits within something that has not begun itself is not
            found; it fails as soon as it would begin.

        Raises
        ------
        InputError
            When a path is given and the run has ended; when the path is none, or of another run; or when no child run of that id is
            executing.
        ClusterError
            When the cluster is lost.
        """
        return self._blocking(self._cancel(path))

    def detach(self) -> Any:
        """Have the run go on when this process ends, or the handle is gone.

        It, and its result, is kept on the cluster until somebody has asked for that, and ten minutes after its end at most; then there is
        what the history keeps of it.

        Raises
        ------
        InputError
            When the run has ended.
        ClusterError
            When its cluster was started for it alone, and ends with this process; or is lost.
        """
        return self._blocking(self._detach())

    @property
    def gates(self) -> Any:
        """The gates at which it waits for somebody to answer: a list of :class:`~daskflow.terms.Gate`.

        Raises
        ------
        ClusterError
            When the cluster is lost.
        """
        return self._blocking(self._gates())

    def answer(self, gate: str, value: Any) -> Any:
        """Answer a gate.

        Parameters
        ----------
        gate : str
            Its name, or its address where several of the name wait.
        value
            The answer; ``True`` or ``False`` where something is to be approved.

        Raises
        ------
        InputError
            When the run waits at no such gate, was answered there already, or has ended; or when the answer is not of the type that is
            asked for.
        """
        return self._blocking(self._answer(gate, value))

    def approve(self, gate: str) -> Any:
        """Approve what is asked at a gate."""
        return self.answer(gate, True)

    def reject(self, gate: str) -> Any:
        """Say no to what is asked at a gate: its node fails."""
        return self.answer(gate, False)

    @property
    def children(self) -> Any:
        """The runs of the launch plans that it called, as far as they have begun: a :class:`Children`, as it is at this moment.

        Raises
        ------
        ClusterError
            When the cluster is lost.
        """
        return self._blocking(self._children())

    @property
    def cache(self) -> Any:
        """What the cache did for each node that could be cached: a :class:`CacheReport`, as far as units have told.

        Raises
        ------
        ClusterError
            When the cluster is lost.
        """
        return self._blocking(self._cache())

    def __await__(self) -> Generator[Any, None, Any]:
        outcome = self._outcome(None)
        return self._given(outcome if self._is_here else self._elsewhere(outcome)).__await__()

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.name}: {self.status}>"

    # ------------------------------------------------------------ within

    def _blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._client is not None and self._client.asynchronous:
            return coroutine
        try:
            if self._is_here:
                return _immediate(coroutine)
            return self._submit(coroutine).result()
        finally:
            if self._ended is not None and self._close is not None:
                self._close()

    async def _elsewhere(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(self._submit(coroutine))

    def _submit(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        loop: Any = self._client.loop
        return asyncio.run_coroutine_threadsafe(coroutine, loop.asyncio_loop)

    def _start(self, message: dict[str, Any]) -> None:
        """Submit the run and follow it; errors of the submission are raised at once where the client is a blocking one."""
        self._probed, patience = "probe" in message["options"], config.get("no-worker-warning")
        submitted = self._submitted = self._submit(_begin(self._client, message))
        if not self._client.asynchronous:
            submitted.result()
        self._task = self._submit(self._follow(submitted, patience))

    async def _begun(self) -> None:
        """Wait until the scheduler knows the run: an asynchronous client's is still being submitted when the user has it."""
        if self._submitted is not None:
            await asyncio.shield(asyncio.wrap_future(self._submitted))

    async def _follow(self, submitted: concurrent.futures.Future[None], patience: float) -> None:
        await asyncio.wrap_future(submitted)
        ended = await driver.outcome(self._client, self.id, patience)
        if self._close is not None or self._probed:
            self._family = await driver.children(self._client, self.id)
        if ended["value"] is not None:
            (self._value,) = decoded(ended.pop("value"))
        if self._value is not _NOTHING or ended["status"] != Status.SUCCEEDED:
            # The scheduler has forgotten the run with its answer.
            self._let_go()
            self._ended = ended
            return
        # An embedded cluster goes when its run ends: the result must be here by then, whatever its size.
        if self._close is not None or ended["nbytes"] <= _BRING_AT_ONCE:
            self._value = await driver.fetch(self._client, ended["key"])
        self._ended = ended
        if self._value is not _NOTHING:
            await self._retire()

    def when_ended(self, call: Callable[[], Any]) -> None:
        """Call back, in any thread, when the run has ended or is lost; at once where that is so already."""
        if self._task is None:
            call()
        else:
            self._task.add_done_callback(lambda _: call())

    @property
    def error(self) -> BaseException | None:
        """Why the run did not succeed, without asking the cluster, which may be gone; None as long as it executes."""
        if self._ended is not None:
            return driver.error_of(self.id, self._ended)
        if self._task is None or not self._task.done():
            return None
        # A client that is closed cancels what it was busy with.
        return SchedulerLost(f"run {self.id} was left") if self._task.cancelled() else self._task.exception()

    async def _retire(self) -> None:
        if self._let_go():
            await driver.retire(self._client, self.id)

    async def _wait(self, timeout: float | None) -> Run:
        if self._ended is not None:
            return self
        assert self._task is not None
        followed = asyncio.wrap_future(self._task)
        # Whoever stops waiting leaves this future behind, and it would complain of an error that nobody asked for.
        followed.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, _ = await asyncio.wait({followed}, timeout=timeout)
        if not done:
            raise TimeoutError(f"run {self.id} has not ended within {timeout} seconds")
        followed.result()
        return self

    async def _outcome(self, timeout: float | None) -> tuple[Any, BaseException | None]:
        await self._wait(timeout)
        assert self._ended is not None
        try:
            error = driver.error_of(self.id, self._ended)
            if error is None and self._value is _NOTHING:
                self._value = await driver.fetch(self._client, self._ended["key"])
                await self._retire()
            return self._value, error
        finally:
            if self._detached:
                self._detached = False
                _forget(weakref.ref(self._client), self.id)

    async def _given(self, outcome: Coroutine[Any, Any, tuple[Any, BaseException | None]]) -> Any:
        value, error = await outcome
        if error is not None:
            raise in_coroutine(error)
        return value

    async def _known(self) -> Family:
        family = self._family
        if family is None:
            await self._begun()
            family = await driver.children(self._client, self.id)
        if self._ended is not None:
            self._family = family
        return family

    async def _children(self) -> Children:
        return Children(await self._known(), self.id)

    async def _cache(self) -> CacheReport:
        return CacheReport((await self._known()).cached)

    async def _gates(self) -> list[Gate]:
        if self._ended is not None:
            return []
        await self._begun()
        return [gate for _, gate in await driver.gates(self._client, self.id)]

    async def _answer(self, gate: str, value: Any) -> None:
        if self._ended is not None:
            raise InputError(f"run {self.id} waits at no gate {gate!r}: it has ended ({self.status})")
        await self._begun()
        await driver.answer(self._client, self.id, gate, value)

    async def _cancel(self, path: str | None) -> bool:
        if driver.place_in(self.id, path):
            self._refuse_ended("cancelled")
            await self._begun()
            return await driver.cancel(self._client, self.id, path)
        if self._ended is not None:
            return False
        await self._begun()
        found = True
        try:
            await driver.cancel(self._client, self.id)
        except InputError:
            # It has just ended, which is all that was asked.
            found = False
        await self._wait(None)
        return found

    async def _detach(self) -> None:
        if self._close is not None:
            raise ClusterError(
                f"run {self.id} cannot be detached: its cluster was started for it, and ends with this process; "
                "give run a client of another cluster"
            )
        self._refuse_ended("detached")
        await self._begun()
        await driver.detach(self._client, self.id)
        self._detached = self._let_go()

    def _refuse_ended(self, what: str) -> None:
        if self._ended is not None:
            raise InputError(f"run {self.id} cannot be {what}: it has ended ({self.status})")


_NOTHING: Any = object()


def _immediate(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine gives that has nothing to wait for: the run's cluster, and with it its event loop, may be gone."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError(f"{coroutine} waits for a cluster that is gone")


def _forget(client: Any, run: str) -> None:
    living = client()
    if living is not None and living.status == "running":
        living.loop.add_callback(driver.retire, living, run)


async def _begin(client: Client, message: dict[str, Any]) -> None:
    await driver.ensure_ready(client)
    await driver.submit(client, **message)
