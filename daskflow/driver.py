"""The driver's side of the wire: what a client's event loop asks of the coordinator.

Every failure of the network ends as one of our errors, which names the scheduler's address. It is one long file since it is one list of
calls, each of which has its few lines and says what it raises.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import pickle
import re
import weakref
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from daskflow import failed, shipping
from daskflow.answering import checked_answer
from daskflow.children import Family
from daskflow.errors import ClusterError, InputError, OptionError, RunCancelled, SchedulerLost, VersionMismatch
from daskflow.records import Status
from daskflow.result import Result
from daskflow.stranded import Lacking, message
from daskflow.terms import Gate
from daskflow.versions import mismatch, versions

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

#: Dask loads it by this name; nothing here is built on it.
_PLUGIN = "daskflow_plugins.scheduler"

_ready: weakref.WeakSet[Client] = weakref.WeakSet()


@asynccontextmanager
async def _connection(client: Client) -> AsyncIterator[Any]:
    try:
        if not is_open(client):
            raise _closed(client)
        yield client.scheduler
    except (OSError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and client.status not in ("closed", "closing"):
            raise
        raise SchedulerLost(f"the connection to the scheduler at {_address(client)} broke: {type(error).__name__}: {error}") from error


def is_open(client: Client) -> bool:
    """Tell whether a client is connected, or will be."""
    return client.status in ("running", "connecting", "newly-created")


def _closed(client: Client) -> SchedulerLost:
    return SchedulerLost(f"the client of {_address(client)} is {client.status}; connect a new one")


def _address(client: Client) -> str:
    return str(getattr(client.scheduler, "address", "an unknown address"))


async def ensure_ready(client: Client) -> None:
    """See to it that the scheduler has our plugin, and that all processes have our version.

    Raises
    ------
    VersionMismatch
        When the scheduler or a worker has another version of daskflow or Python, or no daskflow at all.
    SchedulerLost
        When the connection breaks.
    """
    if client in _ready:
        return
    async with _connection(client) as scheduler:
        await _register(client, scheduler)
        wrong = mismatch(await scheduler.daskflow_versions())
        if wrong:
            raise VersionMismatch(f"the scheduler at {_address(client)} differs from this client: {wrong}; install the same in both")
        await _check_workers(client)
    _ready.add(client)


async def _register(client: Client, scheduler: Any) -> None:
    plugin = importlib.import_module(_PLUGIN)
    try:
        await scheduler.register_scheduler_plugin(plugin=pickle.dumps(plugin.DaskflowScheduler()), name=plugin.NAME, idempotent=True)
    except ImportError as error:
        raise VersionMismatch(
            f"the scheduler at {_address(client)} has no daskflow that fits ({error}); install daskflow {daskflow_version()} there"
        ) from error
    except (ValueError, RuntimeError) as error:
        raise ClusterError(
            f"the scheduler at {_address(client)} does not take daskflow in ({error}); "
            "start it with: dask scheduler --preload daskflow_plugins.scheduler"
        ) from error


async def _check_workers(client: Client) -> None:
    found: Any = await client._run(versions, on_error="return")
    for address, there in found.items():
        wrong = f"it answered {there!r}" if isinstance(there, BaseException) else mismatch(there)
        if wrong:
            raise VersionMismatch(f"the worker at {address} differs from this client: {wrong}; install daskflow {daskflow_version()} there")


def daskflow_version() -> str:
    """Return the version here."""
    return versions()["daskflow"]


async def submit(client: Client, **message: Any) -> None:
    """Begin a run."""
    async with _connection(client) as scheduler:
        if await scheduler.daskflow_submit(client=client.id, **message):
            return
        # A scheduler that was started anew at the same address does not know what is asked, and Dask answers with nothing.
        _ready.discard(client)
        await ensure_ready(client)
        await scheduler.daskflow_submit(client=client.id, **message)


async def outcome(client: Client, run: str, patience: float = 0.0) -> dict[str, Any]:
    """Wait until a run has ended; return what became of it.

    That it waits for a worker which is not there is logged once, when that has been so for some seconds; never where these are 0.
    """
    async with _connection(client) as scheduler:
        telling = asyncio.ensure_future(_tell_lacking(client, run, patience)) if patience else None
        try:
            ended: dict[str, Any] | None = await scheduler.daskflow_wait(run=run)
        finally:
            if telling is not None:
                telling.cancel()
    return ended or {"status": None, "value": None}


async def _tell_lacking(client: Client, run: str, patience: float) -> None:
    lacks: Lacking | None = None
    scheduler: Any = client.scheduler
    # Who waits for the run's end is told if the connection breaks.
    with suppress(OSError):
        while True:
            await asyncio.sleep(patience / 2)
            before, answer = lacks, await scheduler.daskflow_lacking(run=run)
            lacks = None if answer is None else Lacking(*answer)
            if lacks is not None and lacks == before:
                logger.warning("%s", message(run, _address(client), lacks))
                return


async def fetch(client: Client, key: str) -> Any:
    """Return the result of a run that has succeeded.

    Raises
    ------
    SchedulerLost
        When the result is lost, and is not there again within a minute.
    """
    for pause in (0.0, *[0.1] * 10, *[1.0] * 60):
        await asyncio.sleep(pause)
        async with _connection(client) as scheduler:
            response = await scheduler.gather(keys=[key])
        if response["status"] == "OK":
            result: Result = response["data"][key]
            (value,) = result.values
            return value
    raise SchedulerLost(f"the result {key} was lost with the workers that had it, and has not been computed again within a minute")


async def cancel(client: Client, run: str, address: str | None = None) -> bool:
    """Cancel a run, or what is at an address in it, with all that is below it.

    Parameters
    ----------
    client
        A client of the cluster.
    run : str
        The id of a top-level run; or of a child run, which is cancelled then.
    address : str, optional
        An address in the run, with or without the run's id and a colon before it; or the id of a child run.

    Returns
    -------
    bool
        Whether something was found there that executes, or waits. What waits within something that has not begun itself is not found; it
        will fail as soon as it would begin.

    Raises
    ------
    InputError
        When the run is not known, or has ended; when the address is none, or of another run; or when no child run of the id is executing.
    """
    if address is None and "." in run:
        run, address = run.partition(".")[0], run
    place = place_in(run, address)
    if place.startswith(f"{run}."):
        place = await _address_of(client, run, place)
    async with _connection(client) as scheduler:
        # A scheduler that was started anew does not know what is asked.
        answer = await scheduler.daskflow_cancel(run=run, place=place) or {"status": None}
    _check_goes_on(client, run, answer["status"], "cancelled")
    return bool(answer["found"])


def place_in(run: str, address: str | None) -> str:
    """Return an address in a run without the run; the id of a child run as it is; empty for the whole run.

    Raises
    ------
    InputError
        When it is not an address, or one in another run.

    Examples
    --------
    >>> place_in("r0123456789", "r0123456789:level1/level2[1]"), place_in("r0123456789", "r0123456789")
    ('level1/level2[1]', '')
    """
    if address is None or address == run:
        return ""
    if not isinstance(address, str) or not address or address.startswith("/") or address.endswith("/"):
        raise InputError(
            f"what is to be cancelled in run {run} must be an address, such as level1/level2[1], or a child run's id; got {address!r}"
        )
    other = _OF_A_RUN.match(address)
    if other is None:
        return address
    if other[1] != run:
        raise InputError(f"{address!r} is not in run {run}; give the id of the run that it is in")
    return address[other.end() :] if other[2] == ":" else address


#: What an address of a run, or the id of a child run, begins with.
_OF_A_RUN = re.compile(r"(r[0-9a-f]{10})(?:(:)|\.[0-9a-f]{10}$|$)")


async def _address_of(client: Client, run: str, child: str) -> str:
    """Return the address of a child run that is executing."""
    try:
        found = (await children(client, run)).get(child)
    except KeyError:
        status = await _story(client, run)
        _check_goes_on(client, run, None if status is None else status[0], "cancelled")
        raise InputError(f"no child run {child} of run {run} has begun, as far as was told; cancel it by its address") from None
    if found.status != Status.RUNNING:
        raise InputError(f"child run {child} cannot be cancelled: it has ended ({found.status})")
    return found.address


def _check_goes_on(client: Client, run: str, status: str | None, what: str) -> None:
    if status is None:
        raise InputError(f"the scheduler at {_address(client)} has no run {run}; it may have ended, and been forgotten")
    if status != Status.RUNNING:
        raise InputError(f"run {run} cannot be {what}: it has ended ({status})")


async def detach(client: Client, run: str) -> None:
    """Have a run go on when its client goes; it is kept until :func:`retire`, or for ten minutes after its end.

    Raises
    ------
    InputError
        When the run is not known, or has ended.
    """
    async with _connection(client) as scheduler:
        status = await scheduler.daskflow_detach(run=run)
    _check_goes_on(client, run, status, "detached")


async def gates(client: Client, run: str | None = None) -> list[tuple[str, Gate]]:
    """Return the runs, and the gates at which they wait; of one run, or of all."""
    async with _connection(client) as scheduler:
        found = await scheduler.daskflow_gates(run=run)
    return [(id, Gate(*gate)) for id, gate in found]


async def gate(client: Client, run: str, name: str) -> Gate:
    """Return the gate of a name or address at which a run waits.

    Raises
    ------
    InputError
        When it waits at no such gate, or at several of the name.
    """
    waiting = [gate for _, gate in await gates(client, run)]
    found = [gate for gate in waiting if gate.address == name] or [gate for gate in waiting if gate.name == name]
    if not found:
        raise await _no_gate(client, run, name, waiting)
    if len(found) > 1:
        addresses = ", ".join(sorted(gate.address for gate in found))
        raise InputError(f"run {run} waits at several gates named {name!r}; answer by address: {addresses}")
    return found[0]


async def is_known(client: Client, run: str) -> bool:
    """Tell whether the scheduler knows a run."""
    return await _story(client, run) is not None


async def _story(client: Client, run: str) -> tuple[str, dict[str, str]] | None:
    async with _connection(client) as scheduler:
        told = await scheduler.daskflow_answered(run=run)
    return None if told is None else (told[0], told[1])


async def _no_gate(client: Client, run: str, name: str, waiting: list[Gate]) -> InputError:
    told = await _story(client, run)
    if told is None:
        return InputError(f"the scheduler at {_address(client)} has no run {run}; it may have ended, and been forgotten")
    status, answered = told
    if status != Status.RUNNING:
        return InputError(f"run {run} waits at no gate {name!r}: it has ended ({status})")
    if name in (*answered, *answered.values()):
        text = f"gate {name!r} of run {run} was answered already"
    else:
        text = f"run {run} waits at no gate {name!r}"
    addresses = ", ".join(sorted(gate.address for gate in waiting))
    return InputError(text + (f"; it waits at {addresses}" if addresses else ""))


async def answer(client: Client, run: str, name: str, value: Any) -> None:
    """Answer what a run waits for at a gate.

    Raises
    ------
    InputError
        When it waits at no such gate, or at several of the name; or when the answer does not fit.
    """
    found = await gate(client, run, name)
    await send_answer(client, run, found, checked_answer(found, value))


async def send_answer(client: Client, run: str, gate: Gate, value: Any) -> None:
    """Send an answer that fits.

    Raises
    ------
    InputError
        When the run waits at the gate no more.
    """
    data = shipping.dumps_by_value(value)
    async with _connection(client) as scheduler:
        accepted = await scheduler.daskflow_answer(run=run, address=gate.address, answer=data)
    if not accepted:
        raise await _no_gate(client, run, gate.address, [])


async def children(client: Client, run: str) -> Family:
    """Return what is known of the child runs of a run."""
    async with _connection(client) as scheduler:
        told = await scheduler.daskflow_children(run=run)
    if told is None:
        return Family((), Status.SUCCEEDED)
    return Family(told["reports"], Status(told["status"]), told["ended"], told["failed"], told["place"])


async def history(client: Client, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Ask the scheduler's history."""
    await ensure_ready(client)
    async with _connection(client) as scheduler:
        answer: bytes = await scheduler.daskflow_history(asked=pickle.dumps((method, args, dict(kwargs))))
    return answer


async def tell_folded(client: Client, runs: list[dict[str, Any]]) -> None:
    """Tell the scheduler of runs whose every result was in the cache, for its history."""
    await ensure_ready(client)
    async with _connection(client) as scheduler:
        await scheduler.daskflow_folded(runs=runs)


def blocking(client: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Wait for what a coroutine gives, in a thread that is not the client's own.

    Raises
    ------
    OptionError
        In the event loop of an asynchronous client, which would wait for itself.
    SchedulerLost
        When the client is closed, and with it perhaps its event loop.
    """
    try:
        in_loop = asyncio.get_running_loop() is client.loop.asyncio_loop
    except RuntimeError:
        in_loop = False
    if in_loop:
        coroutine.close()
        raise OptionError("this waits for an answer, which an event loop cannot do that is to bring it: call it in asyncio.to_thread(...)")
    if not is_open(client):
        coroutine.close()
        raise _closed(client)
    return asyncio.run_coroutine_threadsafe(coroutine, client.loop.asyncio_loop).result()


def known_client() -> Client | None:
    """Return the current Dask client, if there is one."""
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


async def retire(client: Client, run: str) -> None:
    """Let the scheduler forget a run."""
    async with _connection(client) as scheduler:
        await scheduler.daskflow_retire(run=run)


def error_of(run: str, ended: Mapping[str, Any]) -> BaseException | None:
    """Return the exception that tells what became of a run; None where it succeeded."""
    status = ended["status"]
    if status == Status.SUCCEEDED:
        return None
    if status is None:
        return SchedulerLost(f"the scheduler does not know run {run}; it was restarted, or the run was forgotten")
    if status == Status.ABORTED and not ended.get("failure"):
        return RunCancelled(f"run {run} was cancelled")
    return failed.error_of(run, ended["failure"])
