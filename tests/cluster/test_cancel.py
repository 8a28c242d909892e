"""Cancelling what is at an address in a run: nothing of it starts any more, what runs of it is told, and nothing else is touched."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from distributed import WorkerPlugin

import daskflow as fl
from daskflow import driver
from daskflow.errors import InputError, RunCancelled
from tests import programs
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster


@fl.task
def mark(path: str, word: str, until: str) -> str:
    """Write a line when it begins, and when it is told that it does not count."""
    with open(path, "a") as file:
        file.write(f"{word} {time.time()}\n")
    deadline = time.monotonic() + 30
    while not Path(until).exists():
        assert time.monotonic() < deadline
        if fl.current_context().cancelled:
            with open(path, "a") as file:
                file.write(f"told:{word} {time.time()}\n")
            break
        time.sleep(0.005)
    return word


@fl.workflow
def leaf(path: str, word: str, until: str) -> str:
    return mark(path=path, word=mark(path=path, word=word, until=until), until=until)


leaf_lp = fl.LaunchPlan.get_or_create(leaf, name="tests.cancel.leaf")


@fl.dynamic
def loop(path: str, word: str, until: str) -> list[str]:
    return [leaf_lp(path=path, word=f"{word}-{item}", until=until) for item in range(6)]


@fl.workflow
def inner(path: str, word: str, until: str) -> list[str]:
    return loop(path=path, word=word, until=until)


@fl.dynamic
def outer(path: str, words: list[str], until: str) -> list[list[str] | None]:
    return fl.map_task(inner, min_successes=0)(path=[path] * len(words), word=words, until=[until] * len(words))


@fl.task
def after(expects: list[str]) -> str:
    return ",".join(expects)


@fl.task
def busy(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@fl.dynamic
def load(n: int) -> list[float]:
    return [busy(seconds=0.05) for _ in range(n)]


def words(path: Path) -> list[str]:
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


async def until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def idle(workers: Any) -> None:
    """Wait until tasks that were executing, and do not count, are over."""
    await until(lambda: not any(worker.state.executing_count for worker in workers))


async def _deep(c: Any, s: Any, workers: Any, tmp_path: Path, cancel: str) -> None:
    """Cancel something deep within a run of many tasks, while other runs have theirs; the others give what they give."""
    path, go = tmp_path / "marks", tmp_path / "go"
    others = [fl.run(load, n=30, client=c) for _ in range(4)]
    run = fl.run(outer, path=str(path), words=["a", "b"], until=str(go), max_parallelism=0, client=c)
    await until(lambda: {"a-0", "b-0"} <= set(words(path)))
    assert await run.cancel(cancel)
    returned = time.time()
    assert await asyncio.gather(*others) == [[0.05] * 30] * 4
    before = words(path)
    go.touch()
    result = await run
    b = [f"b-{item}" for item in range(6)]
    assert result == [None, b]
    late = [line.split() for line in path.read_text().splitlines() if line.startswith("a-")]
    assert all(float(when) < returned + 1 for _, when in late), late
    assert "told:a-0" in before
    await idle(workers)
    await assert_nothing_left(s)


@pytest.mark.parametrize(
    "cancel", ["inner[0]", "inner[0]/loop", "inner[0]/loop/leaf", "inner[0]/loop/leaf[0]", "inner[0]/loop/leaf[0]/mark[0]"]
)
@on_cluster()
async def test_deep_within_under_load(c: Any, s: Any, *workers: Any, tmp_path: Path, cancel: str) -> None:
    """An item, a dynamic, a child run or a task within is cancelled: the item fails, and the other one and other runs do not."""
    await _deep(c, s, workers, tmp_path, cancel)


@pytest.mark.parametrize("cancel", ["inner[0]", "inner[0]/loop", "inner[0]/loop/leaf[0]"])
@on_cluster(spill_after=0)
async def test_deep_within_with_a_task_for_each_node(c: Any, s: Any, *workers: Any, tmp_path: Path, cancel: str) -> None:
    """The same where every node is a Dask task of its own."""
    await _deep(c, s, workers, tmp_path, cancel)


# ---------------------------------------------------------------- each kind of node


@fl.task(retries=fl.Retry(5, backoff=fl.Backoff(base=60, cap=60)))
def keeps_failing(path: str, word: str, until: str) -> str:
    with open(path, "a") as file:
        file.write(f"{word} {time.time()}\n")
    raise fl.RecoverableException("not yet")


one_at_once = fl.LaunchPlan.get_or_create(leaf, name="tests.cancel.one", concurrency=fl.ConcurrencyPolicy(1, "QUEUE"))


@fl.task
def handle(path: str, word: str, until: str) -> None:
    with open(path, "a") as file:
        file.write(f"handled:{word} {time.time()}\n")


@fl.workflow(on_failure=handle)
def handled(path: str, word: str, until: str) -> str:
    return mark(path=path, word=word, until=until)


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def going(path: str, until: str) -> str:
    return after(expects=[mark(path=path, word="one", until=until), mark(path=path, word="two", until=until)])


@fl.workflow
def gated(path: str, word: str, until: str) -> str:
    return fl.wait_for_input("gate", expected_type=str)


@fl.eager
async def catches(kind: str, path: str, until: str) -> str:
    try:
        if kind == "map":
            await fl.map_task(mark)(path=[path] * 2, word=["one", "two"], until=[until] * 2)
        elif kind == "slot":
            first = one_at_once(path=path, word="one", until=until)
            await one_at_once(path=path, word="two", until=until)
            await first
        else:
            call = {"task": mark, "flow": leaf, "plan": leaf_lp, "dynamic": loop, "gate": gated, "delay": keeps_failing, "handled": handled}
            await call[kind](path=path, word="one", until=until)
    except RunCancelled as error:
        return f"{error}".partition(",")[0]
    return "nothing was cancelled"


KINDS = {
    "task": "mark[0]", "flow": "leaf[0]", "plan": "leaf[0]", "dynamic": "loop[0]", "map": "mark[0]", "gate": "gated[0]/gate",
    "delay": "keeps_failing[0]", "handled": "handled[0]",
}  # fmt: skip


async def _caught(c: Any, s: Any, workers: Any, tmp_path: Path, kind: str, place: str) -> None:
    path, never = tmp_path / "marks", tmp_path / "never"
    run = fl.run(catches, kind=kind, path=str(path), until=str(never), client=c)
    if kind == "gate":
        while not await run.gates:
            await asyncio.sleep(0.01)
    else:
        await until(lambda: words(path))
    if kind == "delay":
        await until(lambda: any(unit.terms.delay for unit in coordinator(s).ledger.units.values()))
    assert await run.cancel(f"{run.id}:{place}")
    assert await run == f"{place} was cancelled"
    await idle(workers)
    await assert_nothing_left(s)
    assert not [word for word in words(path) if word.startswith("handled")]


@on_cluster()
async def test_each_kind_of_node(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """Whatever is cancelled, an eager that catches its failure goes on at once, with an error that says what was cancelled."""
    for kind, place in KINDS.items():
        (tmp_path / kind).mkdir()
        await _caught(c, s, workers, tmp_path / kind, kind, place)


@on_cluster(spill_after=0)
async def test_each_kind_of_node_as_a_task_of_its_own(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """The same where every node is a Dask task of its own."""
    for kind, place in KINDS.items():
        (tmp_path / kind).mkdir()
        await _caught(c, s, workers, tmp_path / kind, kind, place)


@on_cluster()
async def test_what_waits_for_a_slot(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A run of a limited plan that waits for its turn is cancelled without the other's being touched."""
    path = tmp_path / "marks"
    enough = tmp_path / "enough"
    run = fl.run(catches, kind="slot", path=str(path), until=str(enough), client=c)
    await until(lambda: words(path))
    units = coordinator(s).ledger.units
    await until(lambda: any(unit.state.value == "waiting" and unit.terms.plan is not None for unit in units.values()))
    (address,) = [unit.address for unit in units.values() if unit.state.value == "waiting" and unit.terms.plan is not None]
    assert await run.cancel(address)
    enough.touch()
    assert await run == f"{address} was cancelled"
    await idle(workers)
    await assert_nothing_left(s)
    assert set(words(path)) == {"one"}


@on_cluster()
async def test_a_failure_is_handled(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A workflow's on_failure is executed when a node in it is cancelled; and the run fails with what was cancelled."""
    path = tmp_path / "marks"
    run = fl.run(handled, path=str(path), word="one", until=str(tmp_path / "never"), client=c)
    await until(lambda: words(path))
    assert await run.cancel("mark")
    with pytest.raises(RunCancelled, match="mark was cancelled"):
        await run
    assert run.status == "FAILED"
    assert words(path)[-1] == "handled:one"
    await idle(workers)
    await assert_nothing_left(s)


@on_cluster()
async def test_others_of_a_workflow_go_on(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A workflow that keeps going has its other nodes executed to their ends; what needs the cancelled one is not executed."""
    path, go = tmp_path / "marks", tmp_path / "go"
    run = fl.run(going, path=str(path), until=str(go), client=c)
    await until(lambda: {"one", "two"} <= set(words(path)))
    assert await run.cancel("mark[0]")
    await until(lambda: "told:one" in words(path))
    assert run.status == "RUNNING"
    go.touch()
    with pytest.raises(RunCancelled, match=r"mark\[0\] was cancelled"):
        await run
    assert sorted(words(path)) == ["one", "told:one", "two"]
    await assert_nothing_left(s)


@on_cluster()
async def test_what_has_not_begun_never_begins(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A node is cancelled before anybody knows it; whoever cancels is told that nothing was found, and it fails when its turn comes."""
    path, go = tmp_path / "marks", tmp_path / "go"
    run = fl.run(leaf, path=str(path), word="one", until=str(go), client=c)
    await until(lambda: words(path))
    assert not await run.cancel("nowhere/at/all")
    await run.cancel("mark[1]")
    go.touch()
    with pytest.raises(RunCancelled, match=r"mark\[1\] was cancelled"):
        await run
    assert words(path) == ["one"]
    await assert_nothing_left(s)


@fl.dynamic
def children(path: str, until: str) -> list[str | None]:
    return fl.map_task(leaf_lp, min_successes=0)(path=[path] * 3, word=["0", "1", "2"], until=[until] * 3)


@on_cluster()
async def test_a_child_run_by_its_id(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A child run is cancelled by its id, and has failed then; the others are not touched."""
    path, go = tmp_path / "marks", tmp_path / "go"
    run = fl.run(children, path=str(path), until=str(go), client=c)
    await until(lambda: {"0", "1", "2"} <= set(words(path)))
    while len(await run.children) < 3:
        await asyncio.sleep(0.02)
    one = next(child for child in await run.children if child.address.endswith("[1]"))
    assert await run.cancel(one.id)
    await until(lambda: "told:1" in words(path))
    go.touch()
    assert await run == ["0", None, "2"]
    statuses = {child.address[-3:]: child.status for child in await run.children}
    assert statuses == {"[0]": "SUCCEEDED", "[1]": "FAILED", "[2]": "SUCCEEDED"}
    await assert_nothing_left(s)


@on_cluster()
async def test_what_cannot_be_cancelled(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """A run that is not known, or has ended, and what is no address in it, is refused with what was given and why."""
    run = fl.run(programs.step1, a=1, client=c)
    await run
    with pytest.raises(InputError, match=rf"run {run.id} cannot be cancelled: it has ended \(SUCCEEDED\)"):
        await run.cancel("step1")
    assert await run.cancel() is False
    for child in ("", ".0123456789"):
        with pytest.raises(InputError, match=rf"has no run {run.id}; it may have ended, and been forgotten"):
            await driver.cancel(c, run.id + child)
    going = fl.run(leaf, path=str(tmp_path / "marks"), word="one", until=str(tmp_path / "never"), client=c)
    with pytest.raises(InputError, match=f"no child run {going.id}.0123456789 of run {going.id} has begun"):
        await going.cancel(f"{going.id}.0123456789")
    with pytest.raises(InputError, match="is not in run"):
        await going.cancel(f"{run.id}:step1")
    assert await going.cancel(f"{going.id}:") is True
    assert going.status == "ABORTED"
    with pytest.raises(RunCancelled, match=f"run {going.id} was cancelled"):
        await going
    await idle(workers)
    await assert_nothing_left(s)


@on_cluster(workers=1)
async def test_a_worker_that_nothing_was_sent_to_before(c: Any, s: Any, worker: Any, tmp_path: Path) -> None:
    """What is cancelled when a worker has been sent its first unit, and has not said anything yet, is told nonetheless."""
    asked = []

    class AtOnce(WorkerPlugin):
        def transition(self, key: Any, start: str, finish: str, **kwargs: Any) -> None:
            if finish == "executing" and not asked:
                asked.append(asyncio.ensure_future(coordinator(s).cancelling.cancel(run.id, "mark[0]")))

    await worker.plugin_add(AtOnce())
    run = fl.run(leaf, path=str(tmp_path / "marks"), word="one", until=str(tmp_path / "never"), client=c)
    with pytest.raises(RunCancelled, match=r"mark\[0\] was cancelled"):
        await asyncio.wait_for(run, 20)
    assert (await asked[0])["status"] == "RUNNING"
    await idle([worker])
    await assert_nothing_left(s)


@on_cluster()
async def test_what_was_cancelled_stays_in_the_history(c: Any, s: Any, *workers: Any, tmp_path: Path) -> None:
    """What was cancelled while it waited, and executed nowhere, has failed for whoever looks at the run afterwards."""
    run = fl.run(catches, kind="gate", path="", until="", client=c)
    while not await run.gates:
        await asyncio.sleep(0.01)
    assert await run.cancel("gated[0]/gate")
    assert await run == "gated[0]/gate was cancelled"
    assert (await run.node("gated[0]/gate")).phase == "FAILED"
    await assert_nothing_left(s)
