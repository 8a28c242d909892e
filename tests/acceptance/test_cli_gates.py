"""Gates on the command line: runs that wait in processes of their own, told of and answered."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from daskflow import connecting, driver
from tests.acceptance.processes import DASKFLOW, Cluster, wait_until
from tests.acceptance.test_cli import command, here

FLOWS = str(Path(__file__).with_name("gate_flows.py"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Return a client of a scheduler and a worker that are processes of their own and have no such file as ours."""
    with Cluster(tmp_path_factory.mktemp("cluster"), workers=1) as cluster, Client(cluster.address) as client:
        client.wait_for_workers(1, timeout=60)
        yield client


def waiting(client: Client) -> dict[str, str]:
    """Return the runs at the gates that wait, by their addresses; the tests have one run at a time."""
    return {gate.address: run for run, gate in client.sync(driver.gates, client)}


class Started:
    """A `daskflow run` that goes on.

    Parameters
    ----------
    *arguments
        Of the command.
    terminal : bool
        Whether its standard input is a terminal.
    """

    def __init__(self, *arguments: str, terminal: bool = False) -> None:
        self.keyboard, far = pty.openpty() if terminal else (-1, -1)
        # What runs in the background of a shell ignores interrupts, and hands that down.
        heeds = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        self.log = Path(os.environ["DASK_DASKFLOW__CACHE__URL"]).with_suffix(".log")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [DASKFLOW, "run", *arguments],
                stdin=far if terminal else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=heeds,  # noqa: PLW1509
            )
        if terminal:
            os.close(far)

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said something, so many times."""
        wait_until(lambda: self.said().count(text) >= times or self.process.poll() is not None, f"the words {text!r}")
        assert self.said().count(text) == times, self.said()

    def said(self) -> str:
        """Return what it has said on standard error."""
        return self.log.read_text()

    def type(self, text: str) -> None:
        """Type something at its terminal."""
        os.write(self.keyboard, text.encode())

    def end(self) -> tuple[int, str]:
        """Wait until it ends; return its status and what it printed."""
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


@contextmanager
def started(*arguments: str, terminal: bool = False) -> Iterator[Started]:
    """Start a run, and leave nothing of it."""
    one = Started(*arguments, terminal=terminal)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()
        if terminal:
            os.close(one.keyboard)


def address(client: Client) -> list[str]:
    """Return the option that names the cluster."""
    assert client.scheduler is not None
    return ["--scheduler", client.scheduler.address]


def test_a_run_waits_until_it_is_answered(client: Client) -> None:
    """What waits is listed; the run goes on with the answers; whoever started it is told once for each gate what answers it."""
    where = address(client)
    assert here("gates", *where).stdout == "no run waits at a gate\n"
    with started(FLOWS, "product", "--a", "3", *where) as run:
        run.says("answer with")
        id = waiting(client)["factor"]
        (row,) = json.loads(here("gates", id[:5], *where, "--json").stdout)
        left = row.pop("left")
        assert 3500 < left <= 3600
        assert row == {"run": id, "name": "factor", "address": "factor", "kind": "input", "text": "int", "timeout": 3600.0}
        listed = command("gates", *where).stdout.splitlines()
        assert listed[0].split() == ["run", "gate", "address", "kind", "asks", "left"]
        assert re.fullmatch(rf"{id}  factor  factor   input  int   59m \d+s", listed[1])
        done = command("answer", id[:5], "factor", "-5", *where)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"factor of run {id}: answered\n", "")

        run.says(f"approval of -15, without a limit; answer with: daskflow approve {id} check --scheduler {where[1]}")
        again = here("answer", id, "factor", "5", *where)
        assert again.exit_code == 2
        assert f"gate 'factor' of run {id} was answered already; it waits at check" in again.stderr
        assert here("gates", *where).stdout.splitlines()[1].endswith("no limit")
        assert command("approve", id, "check", *where).stdout == f"check of run {id}: approved\n"
        assert run.end() == (0, "-15\n")
        assert run.said().count("answer with: ") == 2


def test_a_rejected_value_fails_its_run(client: Client) -> None:
    """Who says no fails the run."""
    where = address(client)
    with started(FLOWS, "product", "--a", "3", *where) as run:
        run.says("answer with")
        id = waiting(client)["factor"]
        here("answer", id, "factor", "5", *where)
        run.says("approval of 15")
        assert command("reject", id, "check", *where).stdout == f"check of run {id}: rejected\n"
        assert run.end() == (1, "")
        assert "Disapproved: 15 was not approved at the gate 'check'" in run.said()


WRONG = [
    (["answer", "RUN", "product[0]/factor", "five"], "the answer to gate 'factor' must be int: 'five' is not a valid integer"),
    (["answer", "RUN", "product[0]/factor", "[1]"], "must be int: '[1]' is not int as JSON"),
    (["answer", "RUN", "factor", "5"], "waits at several gates named 'factor'; answer by address: product[0]/factor, product[1]/factor"),
    (["approve", "RUN", "product[0]/factor"], "asks for int, and not for approval; answer it with: daskflow answer"),
    (["answer", "RUN", "other", "5"], "waits at no gate 'other'; it waits at product[0]/factor, product[1]/factor"),
    (["answer", "zzz", "factor", "5"], "no run zzz waits at a gate; there wait RUN at product[0]/factor, RUN at product[1]/factor"),
    (["gates", "zzz"], "no run zzz waits at a gate; there wait RUN at product[0]/factor"),
    (["answer", "RUN", "factor"], "Missing argument 'VALUE'"),
]


def test_what_is_wrong(client: Client) -> None:
    """An answer that does not fit, and a run or gate that is none, are wrong usage; what waits is named, and waits on."""
    where = address(client)
    with started(FLOWS, "products", "--n", "2", *where) as run:
        run.says("answer with: daskflow answer", 2)
        assert "'product[1]/factor' VALUE --scheduler" in run.said()
        id = waiting(client)["product[0]/factor"]
        for arguments, says in WRONG:
            done = here(*(id if one == "RUN" else one for one in arguments), *where)
            assert says.replace("RUN", id) in done.stderr
            assert (done.exit_code, done.stdout) == (2, "")
        assert sorted(waiting(client)) == ["product[0]/factor", "product[1]/factor"]
        run.process.send_signal(signal.SIGINT)
        assert run.end() == (130, "")
        assert "interrupted; the run is cancelled" in run.said()
    assert waiting(client) == {}
    ended = here("answer", id, "factor", "5", *where)
    assert (ended.exit_code, f"no run {id} waits at a gate; none does" in ended.stderr) == (2, True)


def test_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no scheduler is, that has a status of its own; without an address nothing is tried."""
    monkeypatch.setattr(connecting, "_TIMEOUT", 0.3)
    done = here("gates", "--scheduler", "tcp://127.0.0.1:9")
    assert (done.exit_code, "no Dask scheduler answers at tcp://127.0.0.1:9" in done.stderr) == (3, True)
    assert here("approve", "r1", "check").exit_code == 2


def test_answers_of_many_types(client: Client) -> None:
    """Answers are JSON, or plain text where that is no JSON; types of the flow's own file, which is not read for it, included."""
    where = address(client)
    values = {
        "mode": "UP",
        "point": '{"x": 4, "mode": "down"}',
        "text": "it's two words",
        "path": "/some/where",
        "day": "2024-02-29",
        "pause": "PT90S",
        "maybe": "null",
    }
    with started(FLOWS, "of_types", *where) as run:
        run.says("answer with: daskflow answer", len(values))
        id = waiting(client)["mode"]
        refused = here("answer", id, "mode", "SIDEWAYS", *where)
        assert "the answer to gate 'mode' must be Mode: 'SIDEWAYS' is not one of 'UP', 'DOWN'" in refused.stderr
        refused = here("answer", id, "point", '{"x": 4, "mode": "side"}', *where)
        assert "is not Point as JSON: at ['mode']: Input should be 'up' or 'down'" in refused.stderr
        for name, value in values.items():
            text = f"{value}\n" if name == "text" else ""
            done = here("answer", id, name, "-" if text else value, *where, text=text)
            assert done.exit_code == 0, done.stderr
        assert run.end() == (0, 'True 4 True "it\'s two words" /some/where 2024-02-29 0:01:30 None PosixPath\n')


# ---------------------------------------------------------------- at a terminal


@pytest.mark.parametrize("where", [[], ["--local"]], ids=["embedded cluster", "in process"])
def test_whoever_is_at_the_terminal_is_asked(where: list[str]) -> None:
    """Where nobody else can answer, whoever started the run is asked, and again where the answer does not fit."""
    with started(FLOWS, "product", "--a", "3", *where, terminal=True) as run:
        run.says("factor (int): ")
        run.type("five\n")
        run.says("Error: the answer to gate 'factor' must be int: 'five' is not a valid integer")
        run.says("factor (int): ", 2)
        run.type("5\n")
        run.says("check: approve 15? [y/n] ")
        run.type("\n")
        run.says("check: approve 15? [y/n] ", 2)
        run.type("y\n")
        assert run.end() == (0, "15\n")


def test_an_own_type_at_the_terminal() -> None:
    """The members of an enum of the file are offered, and taken by their names."""
    with started(FLOWS, "asks_mode", "--local", terminal=True) as run:
        run.says("mode (Mode: UP, DOWN): ")
        run.type("DOWN\n")
        assert run.end() == (0, "DOWN\n")


@pytest.mark.parametrize("where", [[], ["--local"]], ids=["embedded cluster", "in process"])
def test_an_interrupt_at_the_question(where: list[str]) -> None:
    """Ctrl-C where a question is asked cancels the run, as it does elsewhere."""
    with started(FLOWS, "product", "--a", "3", *where, terminal=True) as run:
        run.says("factor (int): ")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == (130, "")
        assert "interrupted; the run is cancelled" in run.said()


@pytest.mark.parametrize("where", [[], ["--local"]], ids=["embedded cluster", "in process"])
def test_a_question_that_is_answered_too_late(where: list[str]) -> None:
    """The gate's timeout holds at the terminal as well."""
    with started(FLOWS, "soon_too_late", *where, terminal=True) as run:
        run.says("never (int): ")
        assert run.end() == (1, "")
        assert re.search(r"GateTimeout: nobody answered the gate '?never'?", run.said())


@pytest.mark.parametrize("left", [False, True], ids=["no terminal", "left"])
def test_nobody_is_there(left: bool) -> None:
    """Without a terminal, or when whoever was there has left, an embedded cluster's run says so, and its gate's timeout decides."""
    with started(FLOWS, "soon_too_late", terminal=left) as run:
        if left:
            run.says("never (int): ")
            run.type("\x04")
        run.says("waits at the gate never for int, for ")
        assert "and nobody can answer: its cluster is this command's own, and standard input is no terminal" in run.said()
        assert run.end() == (1, "")
        assert "GateTimeout: nobody answered the gate never" in run.said()


def test_values_of_the_files_own_types_as_inputs(client: Client) -> None:
    """Inputs of a type of the file reach workers that have no such file."""
    point: dict[str, Any] = {"x": 1, "mode": "down"}
    inputs = ["--mode", "UP", "--point", json.dumps(point), "--text", "t", "--path", "/p", "--day", "2024-02-29", "--pause", "PT1S"]
    done = here("run", FLOWS, "told", *inputs, "--maybe", "1", *address(client))
    assert (done.exit_code, done.stdout) == (0, "True 1 True 't' /p 2024-02-29 0:00:01 1 PosixPath\n"), done.stderr
