"""``daskflow gates``, ``answer``, ``approve`` and ``reject``: what runs wait for, and answers to it; and saying so where one is started."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from daskflow.cli_common import as_text, json_option, note, say, table
from daskflow.errors import InputError
from daskflow.exits import told

if TYPE_CHECKING:
    from distributed import Client

    from daskflow.handle import Run
    from daskflow.terms import Gate

_LOOK = 0.5  # seconds between two looks at what a run waits for

_scheduler = click.option("--scheduler", metavar="ADDRESS", required=True, help="The Dask scheduler whose runs wait.")
_run = click.argument("run", metavar="RUN")
_gate = click.argument("gate", metavar="GATE")


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    from daskflow import driver
    from daskflow.connecting import connect

    client = connect(address)
    try:
        client.sync(driver.ensure_ready, client)
        yield client
    finally:
        client.close()


# ---------------------------------------------------------------- what waits


@click.command()
@click.argument("run", metavar="[RUN]", required=False)
@_scheduler
@json_option
@told
def gates(run: str | None, scheduler: str, as_json: bool) -> None:
    """List the gates at which runs wait for an answer; of one RUN, given by its id or how that begins, or of all."""
    with _connected(scheduler) as client:
        found = _waiting(client)
    if run is not None:
        id = _id(run, found)
        found = [(one, gate) for one, gate in found if one == id]
    if as_json:
        say(as_text([_plain(id, gate) for id, gate in found]))
    elif found:
        _show(found)
    else:
        say("no run waits at a gate")


def _waiting(client: Client) -> list[tuple[str, Gate]]:
    from daskflow import driver

    found: Any = client.sync(driver.gates, client)
    return list(found)


def _id(run: str, waiting: list[tuple[str, Gate]]) -> str:
    """Return the id of the run that waits and whose id begins so."""
    ids = list(dict.fromkeys(id for id, _ in waiting))
    found = [run] if run in ids else [id for id in ids if id.startswith(run)]
    if not found:
        raise InputError(f"no run {run} waits at a gate; " + (_list(waiting) if waiting else "none does"))
    if len(found) > 1:
        raise InputError(f"several runs that wait begin with {run}: {', '.join(found)}")
    return found[0]


def _list(waiting: list[tuple[str, Gate]]) -> str:
    return "there wait " + ", ".join(f"{id} at {gate.address}" for id, gate in waiting)


def _plain(id: str, gate: Gate) -> dict[str, Any]:
    asked = gate._asdict()
    del asked["expects"]
    return {"run": id, **asked}


def _show(waiting: list[tuple[str, Gate]]) -> None:
    rows = [("run", "gate", "address", "kind", "asks", "left")]
    rows += [(id, gate.name, gate.address, gate.kind, gate.text, _left(gate.left)) for id, gate in waiting]
    say(table(rows, (11, 40, 200, 8, 100)))


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "no limit"
    from dask.utils import format_time

    return str(format_time(seconds))


# ---------------------------------------------------------------- answers


@click.command(context_settings={"ignore_unknown_options": True})
@_run
@_gate
@click.argument("value", metavar="VALUE")
@_scheduler
@told
def answer(run: str, gate: str, value: str, scheduler: str) -> None:
    """Give RUN the VALUE that it waits for at GATE.

    RUN is its id or how that begins. GATE is its name, or its address where several of the name wait. VALUE is JSON, or plain text where
    text, an enum's member, a path, a date or a duration is expected; - is standard input.
    """
    text = sys.stdin.read().removesuffix("\n") if value == "-" else value
    _answer(run, gate, text, scheduler)


@click.command()
@_run
@_gate
@_scheduler
@told
def approve(run: str, gate: str, scheduler: str) -> None:
    """Approve what RUN asks at GATE."""
    _answer(run, gate, "true", scheduler, "approval")


@click.command()
@_run
@_gate
@_scheduler
@told
def reject(run: str, gate: str, scheduler: str) -> None:
    """Say no to what RUN asks at GATE: its node fails."""
    _answer(run, gate, "false", scheduler, "approval")


def _answer(run: str, name: str, text: str, scheduler: str, kind: str | None = None) -> None:
    from daskflow import driver
    from daskflow.answering import typed_answer

    with _connected(scheduler) as client:
        id = _run_id(client, run)
        gate: Any = client.sync(driver.gate, client, id, name)
        if kind not in (None, gate.kind):
            raise InputError(f"gate {gate.name!r} of run {id} asks for {gate.text}, and not for approval; answer it with: daskflow answer")
        given = typed_answer(gate, text)
        client.sync(driver.send_answer, client, id, gate, given)
    done = "answered" if gate.kind == "input" else "approved" if given else "rejected"
    say(f"{gate.address} of run {id}: {done}")


def _run_id(client: Client, run: str) -> str:
    from daskflow import driver

    if client.sync(driver.is_known, client, run):
        return run
    return _id(run, _waiting(client))


# ---------------------------------------------------------------- where a run is started


def follow(run: Run, scheduler: str | None) -> None:
    """Wait until a run has ended, and say at which gates it waits; without a scheduler's address, ask whoever is at the terminal."""
    from daskflow.answering import somebody_is_here

    said: set[str] = set()
    while not _has_ended(run):
        waiting: list[Gate] = run.gates
        for gate in waiting:
            if gate.address not in said:
                said.add(gate.address)
                if scheduler is not None:
                    _tell(run, gate, waiting, scheduler)
                elif somebody_is_here():
                    _ask(run, gate)
                else:
                    _nobody(run, gate)


def _has_ended(run: Run) -> bool:
    try:
        run.wait(_LOOK)
    except TimeoutError:
        return False
    return True


def _limit(gate: Gate) -> str:
    return "without a limit" if gate.left is None else f"for {_left(gate.left)} at most"


def _asks(gate: Gate) -> str:
    return f"for {gate.text}" if gate.kind == "input" else f"for approval of {gate.text}"


def _tell(run: Run, gate: Gate, waiting: list[Gate], scheduler: str) -> None:
    name = gate.name if [one.name for one in waiting].count(gate.name) == 1 else gate.address
    command = ["daskflow", "answer" if gate.kind == "input" else "approve", run.id, name]
    text = shlex.join(command) + (" VALUE" if gate.kind == "input" else "") + f" --scheduler {shlex.quote(scheduler)}"
    note(f"run {run.id} waits at the gate {gate.address} {_asks(gate)}, {_limit(gate)}; answer with: {text}")


def _nobody(run: Run, gate: Gate) -> None:
    note(
        f"run {run.id} waits at the gate {gate.address} {_asks(gate)}, {_limit(gate)}, and nobody can answer: "
        "its cluster is this command's own, and standard input is no terminal"
    )


def _ask(run: Run, gate: Gate) -> None:
    from daskflow.answering import ask

    def is_open() -> bool:
        return any(one.address == gate.address for one in run.gates)

    try:
        run.answer(gate.address, ask(gate, is_open))
    except TimeoutError:
        note(f"run {run.id} waits at the gate {gate.address} no more")
    except EOFError:
        _nobody(run, gate)
    except InputError as error:
        note(str(error))
