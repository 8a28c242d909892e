"""``daskflow recover``, ``rerun``, ``debug`` and ``scheduler``: what can be done with a run, and where runs go."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from daskflow import cli_common as common
from daskflow.cli_common import apart, archived, find, json_option, note, only_run, run_argument, say
from daskflow.errors import DaskflowError, InputError, SchedulerUnreachable
from daskflow.exits import is_terminal, told
from daskflow.options import CHECKPOINT_MODES

if TYPE_CHECKING:
    from daskflow.archive import Archive
    from daskflow.handle import Run
    from daskflow.runview import RunView

_scheduler = click.option(
    "--scheduler", metavar="ADDRESS", help="The Dask scheduler that has the run, and executes the new one; otherwise the one that had it."
)
_detach = click.option("--detach", is_flag=True, help="Print the new run's id, and do not wait for it.")
_whole_run = run_argument(metavar="RUN")


# ---------------------------------------------------------------- going on, and again


@click.command()
@_whole_run
@click.option("--checkpoint", type=click.Choice(CHECKPOINT_MODES), help="What is kept of the new run's work; otherwise as then.")
@_detach
@_scheduler
@json_option
@told
def recover(run: str, checkpoint: str | None, detach: bool, scheduler: str | None, as_json: bool) -> None:
    """Go on from a run that did not succeed: a new run, in which only that is executed which has not succeeded yet, or has changed."""
    _go_on(run, scheduler, detach, as_json, lambda view, client: view.recover(client=client, checkpoint=checkpoint), tells=True)


@click.command()
@_whole_run
@click.option("--with", "changed", metavar="INPUT=VALUE", multiple=True, callback=common.label, help="Another value for an input.")
@_detach
@_scheduler
@json_option
@told
def rerun(run: str, changed: Mapping[str, str], detach: bool, scheduler: str | None, as_json: bool) -> None:
    """Run the same again, with the same inputs but for those that are given. Values are JSON, or plain text, as for daskflow run."""

    def begin(view: RunView, client: Any) -> Run:
        entity, inputs = _typed(view, changed)
        return view.rerun(inputs, client=client, entity=entity)

    _go_on(run, scheduler, detach, as_json, begin)


def _typed(view: RunView, changed: Mapping[str, str]) -> tuple[Any, dict[str, Any]]:
    """Return what a run executed, and values for its inputs from text."""
    from daskflow.plaintext import typed
    from daskflow.types import Checker

    entity = view.submitted().entity
    interface, inputs = entity.interface, {}
    for name, text in changed.items():
        if name not in interface.parameters:
            raise InputError(f"{entity.name} has no input {name!r}; it takes {interface.signature() or 'none'}")
        try:
            inputs[name] = typed(Checker(interface.parameters[name].annotation), text)
        except InputError as error:
            raise InputError(f"input {name!r} of {entity.name}: {error}") from None
    return entity, inputs


def _go_on(
    text: str, scheduler: str | None, detached: bool, as_json: bool, begin: Callable[[RunView, Any], Run], tells: bool = False
) -> None:
    """Begin a run from another one, follow it, and print what it gives; say what became of the other one's nodes, if it `tells` that."""
    from daskflow import following

    with apart(as_json), archived(scheduler) as archive:
        view = only_run(find(archive, text), "gone on from, or repeated")
        with _cluster(archive, view, scheduler) as (client, address):
            if detached:
                following.refuse_detached(address)
            run, began = _begun(view, lambda: begin(view, client)), time.monotonic()
            try:
                result = following.detached(run, as_json) if detached else following.result(run, address)
            except following.Detached:
                return
            except BaseException as error:
                if tells:
                    _tell_recovered(run.id, client)
                following.failed(error, view.name, began)
            if tells and not detached:
                _tell_recovered(run.id, client)
    show_result(result, as_json)


def _begun(view: RunView, begin: Callable[[], Any]) -> Any:
    """Begin what needs a user's code; what that raises when it is imported is the user's."""
    try:
        return begin()
    except (DaskflowError, KeyboardInterrupt):
        raise
    except Exception as error:
        from daskflow.exits import fail_with

        fail_with(error, f"{view.row.entity} of run {view.id} cannot be had from {view.row.target.get('file') or 'its module'}")


@contextmanager
def _cluster(archive: Archive, view: RunView, scheduler: str | None) -> Iterator[tuple[Any, str | None]]:
    """Give a client, and the address, of the cluster that is to execute a run; none where it has one of its own, as the old one had."""
    if archive.client is not None:
        yield archive.client, scheduler
        return
    target = view.row.target
    if target.get("embedded"):
        yield None, None
        return
    from daskflow.connecting import connect

    address = str(target["scheduler"])
    try:
        client = connect(address)
    except SchedulerUnreachable:
        raise SchedulerUnreachable(
            f"the scheduler of run {view.id} does not answer at {address} any more; give the address of one with --scheduler, "
            "whose history has the run: one with the same daskflow.history.path"
        ) from None
    try:
        yield client, address
    finally:
        client.close()


def show_result(result: Any, as_json: bool) -> None:
    """Print what a run gave."""
    if isinstance(result, str) and not as_json:
        # What is read by a program is to be as it is.
        click.echo(common.clean(result) if is_terminal(sys.stdout) else result)
    elif as_json or result is not None:
        with _long_numbers():
            say(common.as_text(_plain(result)) if as_json else _pretty(result))


@contextmanager
def _long_numbers() -> Iterator[None]:
    """Print numbers of any length: they were computed here, and are no text of somebody else's."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(limit)


def _plain(value: Any, depth: int = 20) -> Any:
    """Return a result as JSON has it; what JSON has no word for is a text."""
    from pydantic_core import from_json, to_json

    from daskflow.shortform import value as short

    try:
        return from_json(to_json(value, fallback=repr, inf_nan_mode="strings"))
    except Exception:
        # Somewhere in it are bytes that are no text, half a character, itself once more, or what cannot even say what it is.
        if depth and type(value) in (list, tuple):
            return [_plain(one, depth - 1) for one in value]
        if depth and type(value) is dict:
            return {str(key): _plain(one, depth - 1) for key, one in value.items()}
        return value if type(value) is str else repr(value) if type(value) is bytes else short(value)


def _pretty(result: Any) -> str:
    import pprint

    from daskflow.shortform import value as short

    try:
        return pprint.pformat(result, width=100, sort_dicts=False)
    except Exception:
        # A user's class may raise whatever it likes.
        return short(result)


_FATES = {
    "recovered": "taken over",
    "code": "executed again since their code has changed",
    "inputs": "executed again since their inputs have changed",
    "unreadable": "executed again since what was kept of them could not be read",
}


#: So many nodes that were executed again are named.
_MOST_NAMED = 5


def _tell_recovered(run: str, client: Any) -> None:
    """Say what became of the nodes that the run before had executed."""
    from daskflow.archive import LocalArchive, RemoteArchive
    from daskflow.runview import RunView

    archive = LocalArchive() if client is None else RemoteArchive(client)
    row = archive.ask("run", run)
    if row is None:
        note("all that it needs is in the cache, so nothing was executed")
        return
    fates = RunView(archive, row).recovered
    told = [_told_fate(what, [address for address, fate in fates.items() if fate == what]) for what in _FATES]
    note(f"nodes of the run before: {'; '.join(filter(None, told))}" if fates else "nothing was there to be taken over")


def _told_fate(what: str, addresses: list[str]) -> str:
    """Return how many nodes there are, and of those that were executed again which."""
    if not addresses:
        return ""
    named = [address or "the run itself" for address in addresses[:_MOST_NAMED]]
    more = len(addresses) - len(named)
    which = "" if what == "recovered" else f" ({', '.join(named)}{f' and {more} more' if more else ''})"
    return f"{len(addresses)} {_FATES[what]}{which}"


# ---------------------------------------------------------------- debug


@click.command()
@run_argument(metavar="RUN:path")
@click.option("--pdb", "breaks", is_flag=True, help="Break at the first line of the task's function.")
@common.scheduler_option
@json_option
@told
def debug(run: str, breaks: bool, scheduler: str | None, as_json: bool) -> None:
    """Call the task at an address of a run here, in this process, with its inputs.

    What it needs is taken from what is kept of the run, and executed here where that is not kept. At a terminal, a debugger looks at where
    the task raises.
    """
    with apart(as_json), archived(scheduler) as archive:
        found = find(archive, run)
        reached = _reached(found.view, found.path)
    note(f"{found.view.id}:{reached.address} calls {common.line(_call(reached), 300)}")
    with apart(as_json):
        result = _called(reached, breaks)
    show_result(result, as_json)


def _called(reached: Any, breaks: bool) -> Any:
    """Return what a task gives; tell of its failure."""
    from daskflow import following

    began = time.monotonic()
    try:
        return reached.call(_pdb(reached.entity)) if breaks else reached.call()
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if not breaks and is_terminal(sys.stdin, sys.stdout):
            _post_mortem(error)
        following.failed(error, reached.entity.short_name, began)


def _reached(view: RunView, path: str) -> Any:
    entity = _begun(view, view.submitted).entity
    try:
        return view.reach(path, entity=entity)
    except (InputError, KeyboardInterrupt):
        raise
    except Exception as error:
        from daskflow.exits import fail_with

        fail_with(error, f"{path} of run {view.id} is not reached, since a node before it failed here")


def _call(reached: Any) -> str:
    from daskflow.shortform import call

    return call(reached.entity.short_name, reached.inputs)


def _pdb(entity: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what has a debugger call a function, and break where the task's own begins."""
    import pdb  # noqa: T100, it is what was asked for

    code = entity.fn.__code__
    lines = [number for *_, number in code.co_lines() if number not in (None, code.co_firstlineno)]
    debugger = pdb.Pdb()

    def through(body: Callable[..., Any]) -> Callable[..., Any]:
        if getattr(body, "__code__", None) is not code:
            # Between the debugger and the function is something of ours, such as what runs a coroutine.
            debugger.rcLines.extend([f"tbreak {code.co_filename}:{lines[0] if lines else code.co_firstlineno}", "continue"])
        return lambda **inputs: debugger.runcall(body, **inputs)

    return through


def _post_mortem(error: BaseException) -> None:
    import pdb  # noqa: T100, it is what was asked for
    import traceback

    from daskflow.traces import users_traceback

    trace = users_traceback(error.__traceback__)
    say("".join(traceback.format_exception_only(error)).rstrip("\n"), err=True)
    if trace is not None:
        pdb.post_mortem(trace)


# ---------------------------------------------------------------- scheduler


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
    short_help="Start a Dask scheduler that runs workflows; takes the options of dask scheduler.",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def scheduler(options: tuple[str, ...]) -> None:
    """Start a Dask scheduler that runs workflows; takes the options of dask scheduler."""
    command = [sys.executable, "-m", "dask", "scheduler", "--preload", "daskflow_plugins.scheduler", *options]
    # It has this process, so that whoever started it can end it.
    os.execv(sys.executable, command)  # noqa: S606, there is no shell in it
