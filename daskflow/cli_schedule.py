"""``daskflow schedule``: a process that runs launch plans by their schedules."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from daskflow.errors import ClusterError, OptionError
from daskflow.exits import UNREACHABLE, USAGE, fail, loaded, or_usage

if TYPE_CHECKING:
    from daskflow.marks import StateFile
    from daskflow.scheduling import Plan, Scheduling


@click.command()
@click.argument("file")
@click.argument("plans", metavar="[PLAN]...", nargs=-1)
@click.option("--scheduler", metavar="ADDRESS", help="Run on the cluster of this Dask scheduler; otherwise on an embedded one.")
@click.option("--list", "listing", is_flag=True, help="Show the plans with their last and next ticks, and end.")
@click.option("--next", "count", type=click.IntRange(min=1), metavar="N", help="Show the next N ticks of each plan, and end.")
@click.option(
    "--catch-up",
    type=click.Choice(["none", "last", "all"]),
    default="none",
    show_default=True,
    help="Which of the ticks that were missed, while this did not run or the cluster was away, are run.",
)
@click.option(
    "--overlap",
    type=click.Choice(["allow", "skip"]),
    default="allow",
    show_default=True,
    help="What becomes of a tick while a run of its plan lasts. A plan with a concurrency goes by that.",
)
@click.option("--grace", default="60s", show_default=True, metavar="TIME", help="How late a tick may be found and not count as missed.")
@click.option("--state", metavar="PATH", help="Where the last ticks are kept. [default: beside the cache]")
@click.option("--drain", is_flag=True, help="At SIGTERM or Ctrl-C, let runs end first; a second one cancels them.")
def schedule(file: str, plans: tuple[str, ...], listing: bool, count: int | None, **chosen: Any) -> None:
    """Run the launch plans of FILE that have a schedule, each at its ticks, until SIGTERM or Ctrl-C.

    FILE is a path, or the dotted name of a module. With PLANs, only those are run.
    """
    found = _plans(file, plans)
    state = or_usage(lambda: _state(chosen["state"], file))
    if listing or count is not None:
        marks = or_usage(state.load)
        _show_plans(found, marks) if listing else _show_ticks(found, marks, count or 1)
        return
    grace = or_usage(lambda: _grace(chosen["grace"]))
    _serve(found, state, grace, chosen)


def _plans(file: str, names: tuple[str, ...]) -> dict[str, Plan]:
    from daskflow.files import entities, entity
    from daskflow.scheduling import scheduled

    module = loaded(file)
    if not names:
        found = scheduled(entities(module))
        if not found:
            fail(f"no launch plan of {file} has a schedule; give one schedule=CronSchedule(...) or FixedRate(...)", USAGE)
        return found
    chosen = {name: or_usage(partial(entity, module, name)) for name in names}
    for name, one in chosen.items():
        if not scheduled({name: one}):
            fail(f"{one.kind_name} {name} of {file} has no schedule; it has {', '.join(scheduled(entities(module))) or 'none'}", USAGE)
    return scheduled(chosen)


def _state(path: str | None, file: str) -> StateFile:
    from daskflow import config
    from daskflow.marks import StateFile, default_path

    return StateFile(path if path is not None else default_path(config.get("cache.url"), file))


def _grace(text: str) -> timedelta:
    from dask.utils import parse_timedelta

    try:
        seconds = float(parse_timedelta(text, default="s"))
    except (TypeError, ValueError, KeyError, AttributeError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise OptionError(f"--grace must be a time such as '60s', more than none; got {text!r}")
    return timedelta(seconds=seconds)


# ---------------------------------------------------------------- showing


def _show_plans(plans: dict[str, Plan], marks: dict[str, Any]) -> None:
    from daskflow.scheduling import next_tick, schedule_of

    now = datetime.now(UTC)
    rows = [("plan", "schedule", "last", "next")]
    for name, plan in plans.items():
        mark = marks.get(name)
        last = "" if mark is None else _text(mark.last)
        rows.append((name, str(plan.schedule), last, _text(next_tick(schedule_of(plan), mark, now))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _show_ticks(plans: dict[str, Plan], marks: dict[str, Any], count: int) -> None:
    from daskflow.scheduling import next_tick, schedule_of

    now = datetime.now(UTC)
    for name, plan in plans.items():
        tick = next_tick(schedule_of(plan), marks.get(name), now)
        for one in _first(count, tick, schedule_of(plan)):
            click.echo(f"{_text(one)}  {name}")


def _first(count: int, tick: datetime | None, timetable: Any) -> Iterable[datetime]:
    from itertools import chain, islice

    return () if tick is None else islice(chain((tick,), timetable.ticks(tick)), count)


def _text(tick: datetime | None) -> str:
    return "never" if tick is None else tick.isoformat(timespec="seconds")


# ---------------------------------------------------------------- running


def _serve(plans: dict[str, Plan], state: StateFile, grace: timedelta, chosen: dict[str, Any]) -> None:
    from daskflow.connecting import Connection
    from daskflow.scheduling import Policy, Scheduling
    from daskflow.session import submit

    connection = Connection(chosen["scheduler"])
    policy = Policy(chosen["catch_up"], chosen["overlap"], grace)

    def start(plan: Plan, inputs: dict[str, Any], name: str) -> Any:
        return submit(plan, inputs, client=connection.client(), name=name)

    _log()
    try:
        with state.held():
            scheduling = Scheduling(plans.values(), start, state, policy)
            with _signals(scheduling):
                connection.client()
                scheduling.serve()
                if chosen["drain"]:
                    scheduling.drain()
                scheduling.leave()
    except ClusterError as error:
        fail(str(error), UNREACHABLE)
    except OptionError as error:
        fail(str(error), USAGE)
    finally:
        connection.close()


def _log() -> None:
    logger = logging.getLogger("daskflow.schedule")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@contextmanager
def _signals(scheduling: Scheduling) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop the loop; a third one ends the process as it would have."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, _: Any) -> None:
        scheduling.stop()
        if scheduling.stops > 1:
            signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
