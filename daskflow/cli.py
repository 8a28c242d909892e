"""The command line: ``daskflow``, and the same as ``dask workflow``.

Exit status: 0 for success, 1 where the run failed, 2 for wrong usage or inputs, 3 where the cluster cannot be reached or does
not fit, 130 after Ctrl-C, which cancels the run; where somebody is at a terminal, and the cluster is not the command's own, it asks.
141 where nobody reads any more what is printed, as shells tell it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from daskflow import __version__
from daskflow.cli_cache import cache
from daskflow.cli_common import apart as _apart
from daskflow.cli_export import diff, export
from daskflow.cli_gates import answer, approve, gates, reject
from daskflow.cli_runs import cancel, logs, ls, show
from daskflow.cli_schedule import schedule
from daskflow.cli_verbs import debug, recover, rerun, scheduler, show_result
from daskflow.errors import ClusterError, DaskflowError
from daskflow.exits import USAGE, Commands
from daskflow.exits import fail as _fail
from daskflow.exits import loaded as _loaded
from daskflow.exits import or_usage as _or_usage
from daskflow.options import CHECKPOINT_MODES

if TYPE_CHECKING:
    from daskflow.entity import Entity
    from daskflow.handle import Run


@click.group(name="daskflow", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="daskflow")
def daskflow() -> None:
    """Typed, nested workflows on Dask that cost what the work costs."""


def _run_options() -> list[click.Option]:
    """Return the options of a run: they stand before FILE, or after ENTITY where no input of it has the name."""
    return [
        click.Option(
            ["run_inputs_file", "--inputs-file"], metavar="PATH", help="Inputs as JSON or YAML; - is standard input. Options go before it."
        ),
        click.Option(["run_scheduler", "--scheduler"], metavar="ADDRESS", help="Run on the cluster of this Dask scheduler."),
        click.Option(["run_local", "--local"], is_flag=True, default=False, help="Run in this process."),
        click.Option(
            ["run_max_parallelism", "--max-parallelism"], type=int, metavar="N", help="How many nodes may execute at once; 0: any."
        ),
        click.Option(["run_no_cache", "--no-cache"], is_flag=True, default=False, help="Neither look results up nor store them."),
        click.Option(
            ["run_overwrite_cache", "--overwrite-cache"], is_flag=True, default=False, help="Execute what is cached, and store it anew."
        ),
        click.Option(["run_verbose", "-v", "--verbose"], is_flag=True, default=False, help="Where it fails, print the whole traceback."),
        click.Option(
            ["run_checkpoint", "--checkpoint"], type=click.Choice(CHECKPOINT_MODES), help="What is kept of its work, for: daskflow recover."
        ),
        click.Option(["run_detach", "--detach"], is_flag=True, default=False, help="Print the run's id, and do not wait for it."),
        click.Option(["run_json", "--json"], is_flag=True, default=False, help="Print the result as JSON."),
    ]


class _RunCommand(click.Command):
    """``run``: what stands after ENTITY is parsed by the entity's own options."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show what a user writes."""
        formatter.write_usage(ctx.command_path, "[RUN OPTIONS] FILE ENTITY [--INPUT VALUE]...")


def _run(file: str | None, rest: tuple[str, ...], **chosen: Any) -> None:
    """Run a task, workflow, dynamic, map or launch plan of a FILE, on an embedded Dask cluster if nothing else is said.

    FILE is a path, or the dotted name of a module. `daskflow run FILE` lists what is in it, and
    `daskflow run FILE ENTITY --help` shows an entity's inputs.
    """
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    # An option after ENTITY is known to be one when the entity is.
    with _apart(chosen["run_json"] or "--json" in rest):
        module = _loaded(file)
    if not rest or rest[0] in ("-h", "--help"):
        _list(file, module)
        if not rest:
            _fail(f"which entity of {file} is to be run?", USAGE)
        return
    from daskflow.files import entity as find

    entity = _or_usage(lambda: find(module, rest[0]))
    command = _entity_command(rest[0], entity, chosen)
    with command.make_context(f"daskflow run {file} {rest[0]}", list(rest[1:])) as context:
        command.invoke(context)


daskflow.add_command(
    _RunCommand(
        "run",
        callback=_run,
        params=[*_run_options(), click.Argument(["file"], required=False), click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)],
        help=_run.__doc__,
        context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    )
)


def _list(file: str, module: Any) -> None:
    from daskflow.files import entities

    found = entities(module)
    width = max(map(len, found), default=0)
    click.echo(f"Entities in {file}:")
    for name, entity in found.items():
        summary = (entity.__doc__ or "").strip().partition("\n")[0]
        click.echo(f"  {name:<{width}}  {entity.kind_name:<11}  {summary}".rstrip())


def _entity_command(name: str, entity: Entity[..., Any], before: dict[str, Any]) -> click.Command:
    """Return the command that runs an entity: its inputs are options, and so are those of a run that no input's name hides."""
    from daskflow.cliargs import options

    inputs = options(entity)
    taken = {flag for one in inputs for flag in (*one.opts, *one.secondary_opts)}
    own = [one for one in _run_options() if not taken.intersection(one.opts)]

    def execute(**given: Any) -> None:
        after = {str(one.name): given.pop(str(one.name)) for one in own}
        chosen = {**before, **{option: value for option, value in after.items() if value is not None and value is not False}}
        _execute(entity, {one: value for one, value in given.items() if value is not None}, chosen)

    return click.Command(name, callback=execute, params=[*inputs, *own], help=_help(entity))


def _execute(entity: Entity[..., Any], given: dict[str, Any], chosen: dict[str, Any]) -> None:
    from daskflow.cliargs import read_inputs

    if chosen["run_local"] and chosen["run_scheduler"] is not None:
        _fail("--local runs in this process and --scheduler on a cluster; give one of them", USAGE)
    from daskflow import following
    from daskflow.entity import MAP

    path = chosen["run_inputs_file"]
    from_file = _or_usage(lambda: read_inputs(path, entity.interface)) if path is not None else {}
    inputs, began = {**from_file, **given}, time.monotonic()
    if chosen["run_local"] and chosen["run_checkpoint"] is not None:
        _fail("--checkpoint has no effect with --local: what runs in this process is in no history", USAGE)
    if chosen["run_detach"]:
        following.refuse_detached(None if chosen["run_local"] else chosen["run_scheduler"])
    try:
        with _apart(chosen["run_json"]):
            result = _result_here(entity, inputs, chosen) if chosen["run_local"] else _result(entity, inputs, chosen)
    except _BadInput as error:
        _fail(str(error), USAGE)
    except following.Detached:
        return
    except (Exception, KeyboardInterrupt) as error:
        name = entity.name if entity.kind == MAP else entity.short_name
        following.failed(error, name, began, verbose=chosen["run_verbose"])
    show_result(result, chosen["run_json"])


class _BadInput(Exception):
    """What was given does not fit, seen before anything ran."""


def _result_here(entity: Entity[..., Any], inputs: dict[str, Any], chosen: dict[str, Any]) -> Any:
    from daskflow import config
    from daskflow.inprocess import run_in_process
    from daskflow.options import check_limit

    try:
        bound = entity.interface.check_inputs(entity.interface.bind((), inputs))
        check_limit(chosen["run_max_parallelism"], "max_parallelism", f"the run of {entity.name}", zero=True)
        entity.prepare()
    except DaskflowError as error:
        raise _BadInput(str(error)) from error
    return run_in_process(entity, bound, lambda: config.cache_settings(_cache(chosen), chosen["run_overwrite_cache"]))


def _cache(chosen: dict[str, Any]) -> bool | None:
    return False if chosen["run_no_cache"] else None


def _result(entity: Entity[..., Any], inputs: dict[str, Any], chosen: dict[str, Any]) -> Any:
    from daskflow.connecting import connect as _connected
    from daskflow.session import submit

    address, limit = chosen["run_scheduler"], chosen["run_max_parallelism"]
    words = {"max_parallelism": limit, "cache": _cache(chosen), "overwrite_cache": chosen["run_overwrite_cache"]}
    words["checkpoint"] = chosen["run_checkpoint"]
    client = _connected(address) if address is not None else None
    try:
        try:
            run = submit(entity, inputs, client=client, **words)
        except ClusterError:
            raise
        except DaskflowError as error:
            raise _BadInput(str(error)) from error
        return _followed(run, address, chosen)
    finally:
        if client is not None:
            client.close()


def _followed(run: Run, address: str | None, chosen: dict[str, Any]) -> Any:
    from daskflow import following

    if chosen["run_detach"]:
        return following.detached(run, chosen["run_json"])
    return following.result(run, address)


def _help(entity: Entity[..., Any]) -> str:
    doc = (entity.__doc__ or "").strip()
    return doc.partition("\n\n")[0] or f"Run the {entity.kind_name} {entity.name}."


_COMMANDS = (answer, approve, cache, cancel, debug, diff, export, gates, logs, ls, recover, reject, rerun, schedule, scheduler, show)
for command in _COMMANDS:
    daskflow.add_command(command)


def main() -> None:
    """Run the command line."""
    daskflow()


#: The same commands, as ``dask workflow``.
workflow = Commands("workflow", commands=daskflow.commands, help=daskflow.help)
