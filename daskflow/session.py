"""Running on a cluster: :func:`run`, and the :class:`Run` that it returns."""

from __future__ import annotations

import asyncio
import concurrent.futures
import secrets
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any

from daskflow import config, context, driver, references, shipping
from daskflow.children import Children, Family
from daskflow.entity import LAUNCH_PLAN, Entity
from daskflow.errors import ClusterError, DefinitionError, InputError, NestingError, OptionError
from daskflow.execute import top_level
from daskflow.options import check_limit
from daskflow.records import Status
from daskflow.result import decoded
from daskflow.scope import Scope
from daskflow.spilling import root_unit
from daskflow.stacks import root_frame
from daskflow.unit import scale
from daskflow.versions import versions
from daskflow.wire import spec

if TYPE_CHECKING:
    from distributed import Client

#: Results up to this size, in bytes, are brought to the driver as soon as the run has ended.
_BRING_AT_ONCE = 1 << 20


class Run:
    """One execution of an entity on a cluster. Made by :func:`run`.

    Its methods block, or, where the Dask client is an asynchronous one, return awaitables. ``await run`` gives the result.

    Attributes
    ----------
    id : str
        Names the run everywhere.
    name : str
        What the user called it; the entity's short name otherwise.
    """

    def __init__(self, id: str, name: str, client: Client, close: Callable[[], None] | None) -> None:
        self.id = id
        self.name = name
        self._client = client
        self._close = close
        self._ended: dict[str, Any] | None = None
        self._value: Any = _NOTHING
        self._family: Family | None = None
        self._task: concurrent.futures.Future[None] | None = None
        # A result that nobody has asked for is kept on the cluster as long as somebody may.
        self._forget = weakref.finalize(self, _forget, weakref.ref(client), id)

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
        return self._blocking(self._result(timeout))

    def cancel(self) -> Any:
        """Cancel the run and all that it started; one that has ended stays as it is."""
        return self._blocking(self._cancel())

    @property
    def children(self) -> Any:
        """The runs of the launch plans that it called, as far as they have begun: a :class:`Children`, as it is at this moment.

        Raises
        ------
        ClusterError
            When the cluster is lost.
        """
        return self._blocking(self._children())

    def __await__(self) -> Generator[Any, None, Any]:
        return self._elsewhere(self._result(None)).__await__()

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.name}: {self.status}>"

    # ------------------------------------------------------------ within

    def _blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._client.asynchronous:
            return coroutine
        try:
            if self._ended is not None and self._close is not None:
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
        submitted = self._submit(_begin(self._client, message))
        if not self._client.asynchronous:
            submitted.result()
        self._task = self._submit(self._follow(submitted))

    async def _follow(self, submitted: concurrent.futures.Future[None]) -> None:
        await asyncio.wrap_future(submitted)
        ended = await driver.outcome(self._client, self.id)
        if self._close is not None:
            self._family = await driver.children(self._client, self.id)
        if ended["value"] is not None:
            (self._value,) = decoded(ended.pop("value"))
        if self._value is not _NOTHING or ended["status"] != Status.SUCCEEDED:
            # The scheduler has forgotten the run with its answer.
            self._forget.detach()
            self._ended = ended
            return
        # An embedded cluster goes when its run ends: the result must be here by then, whatever its size.
        if self._close is not None or ended["nbytes"] <= _BRING_AT_ONCE:
            self._value = await driver.fetch(self._client, ended["key"])
        self._ended = ended
        if self._value is not _NOTHING:
            await self._retire()

    async def _retire(self) -> None:
        if self._forget.detach() is not None:
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

    async def _result(self, timeout: float | None) -> Any:
        await self._wait(timeout)
        assert self._ended is not None
        error = driver.error_of(self.id, self._ended)
        if error is not None:
            raise error
        if self._value is _NOTHING:
            self._value = await driver.fetch(self._client, self._ended["key"])
            await self._retire()
        return self._value

    async def _children(self) -> Children:
        family = self._family or await driver.children(self._client, self.id)
        if self._ended is not None:
            self._family = family
        return Children(family, self.id)

    async def _cancel(self) -> None:
        if self._ended is None:
            await driver.cancel(self._client, self.id)
            await self._wait(None)


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


def run(
    entity: Entity[..., Any],
    /,
    *args: Any,
    client: Client | None = None,
    max_parallelism: int | None = None,
    name: str | None = None,
    **inputs: Any,
) -> Run:
    """Run an entity on a Dask cluster.

    Parameters
    ----------
    entity
        A task, workflow, dynamic, launch plan or map.
    *args, **inputs
        Its inputs. One with the name of a parameter of this function is given by position, or with :func:`submit`.
    client : distributed.Client, optional
        The cluster. By default the current Dask client's; where there is none, a ``LocalCluster`` that is closed when the run has ended.
    max_parallelism : int, optional
        How many nodes of the run may execute at the same moment: positive, or 0 for unlimited. Goes before what the entity says.
    name : str, optional
        A name for people.

    Returns
    -------
    Run
        With ``id``, ``status``, ``wait()``, ``result()`` and ``cancel()``.

    Raises
    ------
    InputError, OptionError, DefinitionError
        When what is given does not fit; nothing has been sent then.
    ClusterError
        When the cluster's versions do not fit, or it cannot be reached.
    """
    own = {"client": client, "max_parallelism": max_parallelism, "name": name}
    _refuse_ambiguous(entity, len(args), [option for option, given in own.items() if given is not None])
    return submit(entity, _bound(entity, args, inputs), client=client, max_parallelism=max_parallelism, name=name)


def _bound(entity: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> dict[str, Any]:
    return _entity(entity).interface.bind(args, inputs)


def _refuse_ambiguous(entity: Any, by_position: int, given: list[str]) -> None:
    for option in given:
        if option in list(_entity(entity).interface.parameters)[by_position:]:
            raise InputError(
                f"{option!r} is a parameter of run and an input of {entity.name} as well; "
                f"write run({entity.short_name}, ...) with that input by position, or submit({entity.short_name}, {{{option!r}: ...}})"
            )


def _entity(entity: Any) -> Entity[..., Any]:
    if not isinstance(entity, Entity):
        raise DefinitionError(f"run takes a task, workflow, dynamic, launch plan or map, not {entity!r}; decorate the function with @task")
    return entity


def submit(
    entity: Entity[..., Any],
    inputs: Mapping[str, Any],
    *,
    client: Client | None = None,
    max_parallelism: int | None = None,
    name: str | None = None,
) -> Run:
    """Run an entity, with its inputs in a mapping; otherwise as :func:`run`."""
    _refuse_inside(entity)
    interface = _entity(entity).interface
    checked = interface.check_inputs(interface.bind((), dict(inputs)))
    entity.prepare()
    limit = _limit(entity, max_parallelism)
    if name is not None and (not isinstance(name, str) or not name):
        raise OptionError(f"name of the run of {entity.name} must be text; got {name!r}")
    message = _message(*top_level(entity, checked), limit)
    close = None
    if client is None:
        client, close = _current_client()
    started = Run(message["run"], name or entity.short_name, client, close)
    message["name"] = started.name
    try:
        started._start(message)
    except BaseException:
        if close is not None:
            close()
        raise
    return started


def _refuse_inside(entity: Any) -> None:
    state = context.state
    if state.builder is not None or state.executing is not None:
        where = f"the body of {state.builder.owner}" if state.builder is not None else f"the running task {state.executing()}"  # type: ignore[misc]
        raise NestingError(f"run of {entity!r} was called in {where}; call the entity itself, in a @workflow or @dynamic")


def _limit(entity: Any, max_parallelism: int | None) -> int:
    """Return the limit of a run: the nearest word counts."""
    given = check_limit(max_parallelism, "max_parallelism", f"the run of {entity.name}", zero=True)
    target = entity.workflow if entity.kind == LAUNCH_PLAN else entity
    for said in (given, getattr(entity, "max_parallelism", None), getattr(target, "max_parallelism", None)):
        if said is not None:
            return int(said)
    return -1


#: What units must know of the configuration: that of the driver holds for the whole run.
_UNIT_OPTIONS = ("spill-after", "chunk", "reference-bytes", "unit-output-bytes")


def _message(entity: Entity[..., Any], inputs: dict[str, Any], limit: int) -> dict[str, Any]:
    run_id = f"r{secrets.token_hex(5)}"
    shipment = shipping.Shipment.of(entity)
    scope = Scope.of_run(run_id, limit if limit >= 0 else None, config.get("max-parallelism"))
    options = {name.replace("-", "_"): config.get(name) for name in _UNIT_OPTIONS}
    root, large = references.inputs(root_unit(root_frame(entity, inputs, scope)), options["reference_bytes"], scale())
    specs = [spec(unit, shipment.names) for unit in (root, *large)]
    return {
        "run": run_id,
        "spec": specs[0],
        "inputs": specs[1:],
        "digest": shipment.digest,
        "code": shipment.data,
        "options": {**options, "versions": versions()},
    }


# ---------------------------------------------------------------- the cluster


def _current_client() -> tuple[Client, Callable[[], None] | None]:
    from distributed import default_client

    try:
        return default_client(), None
    except ValueError:
        return _embedded()


def _embedded() -> tuple[Client, Callable[[], None]]:
    from distributed import Client, LocalCluster

    if sys.modules["__main__"].__name__ == "__mp_main__":
        raise ClusterError(
            'daskflow.run was called while a worker process imports the main script; put the call under: if __name__ == "__main__":'
        )
    cluster = LocalCluster(dashboard_address=":0")
    client = Client(cluster, set_as_default=False)
    closed = threading.Lock()

    def close() -> None:
        if closed.acquire(blocking=False):
            client.close()
            cluster.close()

    return client, close
