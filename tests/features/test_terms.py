"""Nodes that do not start at once, or not anywhere: attempts after a while, gates, limited launch plans."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import daskflow as fl
from daskflow.errors import Disapproved, GateTimeout, GraphError, InputError, OptionError, PlanBusy, RunCancelled, RunSkipped
from tests.features.conftest import Flow
from tests.told import told

# ---------------------------------------------------------------- attempts


@fl.task(retries=fl.Retry(3, backoff=0.1))
def third_time(path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{fl.current_context().attempt}\n")
    if fl.current_context().attempt < 2:
        raise ValueError("not yet")
    return fl.current_context().attempt


@fl.task(retries=2)
def recovers(path: str, kind: str) -> int:
    with open(path, "a") as file:
        file.write("x")
    if kind == "recoverable":
        raise fl.RecoverableException("again")
    raise ValueError("once")


@fl.dynamic(retries=1)
def body_again(path: str) -> list[int]:
    if fl.current_context().attempt == 0:
        raise fl.RecoverableException("the body")
    return [third_time(path=path)]


def test_attempts(flow: Flow, tmp_path: Path) -> None:
    """A task is attempted again after a while, wherever that is, and knows the number of the attempt."""
    path = tmp_path / "marks"
    assert flow(third_time, path=str(path)) == 2
    assert path.read_text().split() == ["0", "1", "2"]
    path.unlink()
    assert flow(body_again, path=str(path)) == [2]


def test_attempts_of_items(flow: Flow, tmp_path: Path) -> None:
    """Each item of a map has attempts of its own."""
    paths = [str(tmp_path / f"{i}") for i in range(5)]
    assert flow(fl.map_task(third_time), path=paths) == [2] * 5
    assert [Path(path).read_text().split() for path in paths] == [["0", "1", "2"]] * 5


def test_what_is_attempted_again(flow: Flow, tmp_path: Path) -> None:
    """A number of retries is for recoverable exceptions alone; the last error is the task's own, and says which attempt it was of."""
    path = tmp_path / "marks"
    with pytest.raises(fl.RecoverableException, match="again") as failed:
        flow(recovers, path=str(path), kind="recoverable")
    assert path.read_text() == "xxx"
    where = told(failed.value)
    assert (where.attempt, where.attempts) == (3, 3)
    path.unlink()
    with pytest.raises(ValueError, match="once"):
        flow(recovers, path=str(path), kind="other")
    assert path.read_text() == "x"


@fl.workflow
def overridden(path: str) -> int:
    return recovers(path=path, kind="recoverable").with_overrides(retries=4)


def test_overridden_attempts(flow: Flow, tmp_path: Path) -> None:
    """What an override says of attempts holds for that call."""
    path = tmp_path / "marks"
    with pytest.raises(fl.RecoverableException):
        flow(overridden, path=str(path))
    assert path.read_text() == "xxxxx"


_released = threading.Event()


@fl.task(timeout=timedelta(seconds=0.2))
def too_long(path: str) -> int:
    while not os.path.exists(path):
        time.sleep(0.01)
    return 1


@fl.workflow
def goes_on_after(path: str) -> list[int | None]:
    return fl.map_task(too_long, min_successes=0)(path=[path, "/"])


def test_a_timeout_ends_an_attempt(flow: Flow, tmp_path: Path) -> None:
    """What lasts too long fails at once, and what is beside it goes on."""
    path = tmp_path / "go"
    try:
        assert flow(goes_on_after, path=str(path)) == [None, 1]
        with pytest.raises(fl.TaskTimeout, match=r"too_long lasted longer than its timeout of 0.2 s") as failed:
            flow(too_long, path=str(path))
        assert isinstance(failed.value, TimeoutError)
    finally:
        # The attempts that nobody waits for any more end now.
        path.touch()


@fl.task
async def in_a_coroutine(a: int) -> int:
    import asyncio

    await asyncio.sleep(0)
    return a + 1


@fl.workflow
def awaits(a: int) -> int:
    return in_a_coroutine.node(a=in_a_coroutine.node(a=a))


@fl.task
def where_am_i() -> tuple[str, str, int]:
    context = fl.current_context()
    return context.task_id.name, context.node, context.attempt


@fl.workflow
def asks_where() -> tuple[str, str, int]:
    name, node, attempt = where_am_i()
    return name, node, attempt


@fl.task(environment={"DASKFLOW_TEST": "set"}, requests=fl.Resources(cpu="1", mem="1Gi"))
def environment() -> str | None:
    return os.environ.get("DASKFLOW_TEST")


def test_what_a_task_is_given(flow: Flow) -> None:
    """Coroutines are awaited; a task knows where it is; its environment is set while it runs; what no worker declares is not asked for."""
    assert flow(awaits, a=1) == 3
    assert flow(asks_where) == ("tests.features.test_terms.where_am_i", "where_am_i", 0)
    assert flow(environment) == "set"
    assert "DASKFLOW_TEST" not in os.environ


@fl.task(retries=1)
def resumes() -> str:
    checkpoint = fl.current_context().checkpoint
    before = checkpoint.read()
    if before is None:
        checkpoint.write(b"half done")
        raise fl.RecoverableException
    return before.decode()


def test_checkpoints(flow: Flow) -> None:
    """What one attempt keeps the next one finds."""
    assert flow(resumes) == "half done"


# ---------------------------------------------------------------- gates


@fl.task
def mark(path: str, word: str) -> int:
    with open(path, "a") as file:
        file.write(f"{word} {time.monotonic()}\n")
    return len(word)


@fl.workflow
def pauses(path: str, seconds: float) -> int:
    first, pause, last = mark(path=path, word="first"), fl.sleep(timedelta(seconds=0.3)), mark(path=path, word="last")
    first >> pause >> last
    return last


def test_sleep(flow: Flow, tmp_path: Path) -> None:
    """What is ordered after a pause starts no sooner."""
    path = tmp_path / "marks"
    assert flow(pauses, path=str(path), seconds=0.0) == 4
    (first, before), (last, after) = (line.split() for line in path.read_text().splitlines())
    assert (first, last) == ("first", "last")
    assert float(after) - float(before) >= 0.3


@fl.task
def times(a: int, b: int) -> int:
    return a * b


@fl.workflow
def asks(a: int) -> int:
    factor = fl.wait_for_input("factor", expected_type=int)
    product = times(a=a, b=factor)
    return times(a=fl.approve(product, "check"), b=2)


@fl.dynamic
def asks_twice(a: int) -> list[int]:
    return [asks(a=a), asks(a=a + 1)]


@contextmanager
def answering(mode: str, client: Client, answers: dict[str, Any]) -> Iterator[Callable[..., Any]]:
    """Give what runs an entity while gates are answered, by name or address."""
    if mode == "in process":
        with fl.answers(answers):
            yield lambda entity, **inputs: entity(**inputs)
        return

    def run(entity: Any, **inputs: Any) -> Any:
        started = fl.submit(entity, inputs, client=client)
        left = dict(answers)
        deadline = time.monotonic() + 30
        while left and started.status == "RUNNING" and time.monotonic() < deadline:
            for gate in started.gates:
                name = gate.address if gate.address in left else gate.name
                if name in left:
                    started.answer(gate.address, left.pop(name))
            time.sleep(0.01)
        return started.result(30)

    yield run


def test_gates(mode: str, flow: Flow, flow_client: Client) -> None:
    """A run waits for what it asks, and goes on with the answers."""
    with answering(mode, flow_client, {"factor": 5, "check": True}) as run:
        assert run(asks, a=3) == 30
    with answering(mode, flow_client, {"factor": 5, "check": False}) as run, pytest.raises(Disapproved, match="15 was not approved"):
        run(asks, a=3)


def test_gates_of_one_name(mode: str, flow: Flow, flow_client: Client) -> None:
    """Gates of one name are told from each other by their addresses."""
    given = {"asks[0]/factor": 2, "asks[1]/factor": 3, "asks[0]/check": True, "asks[1]/check": True}
    with answering(mode, flow_client, given) as run:
        assert run(asks_twice, a=1) == [4, 12]


def test_answers_that_do_not_fit(mode: str, flow: Flow, flow_client: Client) -> None:
    """An answer of another type is refused, and the run still waits for a right one."""
    if mode == "in process":
        with fl.answers({"factor": "five"}), pytest.raises(InputError, match="the answer to gate 'factor': expected int, got 'five'"):
            asks(a=1)
        return
    started = fl.submit(asks_twice, {"a": 1}, client=flow_client)
    _wait_until(lambda: len(started.gates) == 2)
    with pytest.raises(InputError, match="the answer to gate 'factor': expected int, got 'five'"):
        started.answer("asks[0]/factor", "five")
    with pytest.raises(InputError, match="several gates named 'factor'.*asks.0./factor, asks.1./factor"):
        started.answer("factor", 5)
    with pytest.raises(InputError, match="waits at no gate 'other'; it waits at asks.0./factor"):
        started.answer("other", 5)
    assert started.status == "RUNNING"
    started.cancel()
    assert started.status == "ABORTED"


@fl.workflow
def never_answered() -> int:
    return fl.wait_for_input("never", timeout=0.2, expected_type=int)


def test_gates_that_nobody_answers(mode: str, flow: Flow) -> None:
    """A gate that nobody answers in time fails; in process, at once, where nobody is there to ask."""
    said = "nobody is here" if mode == "in process" else "nobody answered the gate never of run .* within 0.2 s"
    with pytest.raises(GateTimeout, match=said):
        flow(never_answered)


def test_gates_that_cannot_be() -> None:
    """What cannot be a gate is refused where it is made."""
    with pytest.raises(GraphError, match="wait_for_input outside a @workflow's"):
        fl.wait_for_input("x")
    with pytest.raises(OptionError, match="timeout of gate 'x' must be a timedelta, or seconds above 0; got 0"):
        fl.workflow(_no_time).prepare()
    with pytest.raises(OptionError, match="the name of a gate must be letters"):
        fl.workflow(_no_name).prepare()


def _no_time() -> str:
    return fl.wait_for_input("x", timeout=0)


def _no_name() -> str:
    return fl.wait_for_input("x y")


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# ---------------------------------------------------------------- limited plans


@fl.task
def span(path: str, until: str) -> int:
    with open(path, "a") as file:
        file.write("+")
    deadline = time.monotonic() + 20
    while until and not os.path.exists(until) and time.monotonic() < deadline and not fl.current_context().cancelled:
        time.sleep(0.01)
    with open(path, "a") as file:
        file.write("-")
    return 1


@fl.workflow
def spans(path: str, until: str) -> int:
    return span(path=path, until=until)


def plan(behavior: str, limit: int = 1) -> fl.LaunchPlan[..., int]:
    """Return a limited plan."""
    return fl.LaunchPlan.get_or_create(
        spans, name=f"features.{behavior}.{limit}", concurrency=fl.ConcurrencyPolicy(limit, behavior=behavior)
    )


def test_queued_child_runs(flow: Flow, tmp_path: Path) -> None:
    """However many are started, no more runs of a limited plan than allowed are there at the same moment."""
    path = tmp_path / "marks"
    assert flow(fl.map_task(plan("QUEUE")), path=[str(path)] * 6, until=[""] * 6) == [1] * 6
    assert path.read_text() == "+-" * 6


@pytest.mark.parametrize(("behavior", "error"), [("SKIP", RunSkipped), ("FAIL", PlanBusy), ("REPLACE", RunCancelled)])
def test_one_run_too_many(mode: str, flow: Flow, flow_client: Client, tmp_path: Path, behavior: str, error: type[Exception]) -> None:
    """One run more than allowed is skipped, is refused, or takes the place of the oldest, as the policy says."""
    path, until = tmp_path / "marks", tmp_path / "go"
    limited = plan(behavior)
    first: list[Any] = []

    def run_first() -> None:
        try:
            first.append(flow(limited, path=str(path), until=str(until)))
        except Exception as caught:
            first.append(caught)

    thread = threading.Thread(target=run_first)
    thread.start()
    try:
        _wait_until(lambda: path.exists() and path.read_text() == "+")
        if behavior == "REPLACE":
            assert flow(limited, path=str(tmp_path / "others"), until="") == 1
        else:
            with pytest.raises(error, match=f"launch plan features.{behavior}.1 has 1 runs"):
                flow(limited, path=str(path), until="")
    finally:
        until.touch()
        thread.join()
    (ended,) = first
    assert isinstance(ended, RunCancelled) if behavior == "REPLACE" else ended == 1


@fl.dynamic
def calls_its_own_plan(path: str, depth: int) -> int:
    return itself(path=path, depth=depth - 1) if depth else mark(path=path, word="end")


@fl.workflow
def calls_itself(path: str, depth: int) -> int:
    return calls_its_own_plan(path=path, depth=depth)


itself = fl.LaunchPlan.get_or_create(calls_itself, name="features.itself", concurrency=fl.ConcurrencyPolicy(2, behavior="QUEUE"))


def test_a_run_does_not_wait_for_itself(flow: Flow, tmp_path: Path) -> None:
    """A run that would wait for those that it is part of is refused; as many as allowed may be in each other."""
    path = str(tmp_path / "marks")
    assert flow(itself, path=path, depth=1) == 3
    assert flow(calls_itself, path=path, depth=2) == 3
    with pytest.raises(PlanBusy, match="features.itself has 2 runs.*is part of them all"):
        flow(itself, path=path, depth=2)
