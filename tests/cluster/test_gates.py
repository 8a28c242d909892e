"""Gates of runs on a cluster: wherever in a run they are, and whatever happens while they wait."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from distributed import Client, Event

import daskflow as fl
from daskflow.errors import Disapproved, GateTimeout, InputError, RunCancelled
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster


@fl.task
def add(a: int, b: int) -> int:
    return a + b


@fl.workflow
def asks(a: int) -> int:
    return add(a=a, b=fl.wait_for_input("number", expected_type=int))


asks_plan = fl.LaunchPlan.get_or_create(asks, name="tests.cluster.asks")


@fl.dynamic
def asks_in_a_loop(n: int) -> list[int]:
    return [asks(a=a) for a in range(n)]


@fl.workflow
def asks_in_a_child_run(a: int) -> int:
    return add(a=asks_plan(a=a), b=0)


@fl.workflow
def asks_in_items(a: list[int]) -> list[int]:
    return fl.map_task(asks)(a=a)


@fl.workflow
def asks_two() -> int:
    return add(a=fl.wait_for_input("first", expected_type=int), b=fl.wait_for_input("second", expected_type=int))


async def waiting(run: Any, n: int) -> list[Any]:
    """Return the gates of a run, once so many wait."""
    while len(gates := await run.gates) != n:
        await asyncio.sleep(0.01)
    return list(gates)


PLACES = [
    ("workflow", asks, {"a": 1}, ["number"], 8),
    ("dynamic", asks_in_a_loop, {"n": 2}, ["asks[0]/number", "asks[1]/number"], [7, 8]),
    ("child run", asks_in_a_child_run, {"a": 1}, ["asks/number"], 8),
    ("map items", asks_in_items, {"a": [1, 2]}, ["asks[0]/number", "asks[1]/number"], [8, 9]),
    ("map", fl.map_task(asks), {"a": [1, 2]}, ["asks[0]/number", "asks[1]/number"], [8, 9]),
    ("launch plan", asks_plan, {"a": 1}, ["number"], 8),
]


@pytest.mark.parametrize("spill_after", [0.05, 0], ids=["in line", "a task for each node"])
@pytest.mark.parametrize(("entity", "inputs", "addresses", "result"), [one[1:] for one in PLACES], ids=[one[0] for one in PLACES])
def test_gates_anywhere(entity: Any, inputs: dict[str, Any], addresses: list[str], result: Any, spill_after: float) -> None:
    """A gate anywhere in a run is found and answered by its address; it holds no slot of the limit and no thread meanwhile."""

    @on_cluster(workers=1, threads=1, spill_after=spill_after)
    async def test(c: Any, s: Any, worker: Any) -> None:
        run = fl.run(entity, **inputs, client=c, max_parallelism=1)
        gates = await waiting(run, len(addresses))
        assert sorted(gate.address for gate in gates) == addresses
        assert {(gate.name, gate.kind, gate.text, gate.timeout) for gate in gates} == {("number", "input", "int", 3600.0)}
        assert all(3590 < gate.left <= 3600 for gate in gates)
        # Another run has the only thread for itself.
        assert await fl.run(add, a=1, b=1, client=c) == 2
        state = await coordinator(s).state()
        assert state["running"] == 0
        for address in addresses:
            await run.answer(address, 7)
        assert await run == result
        assert await run.gates == []
        await assert_nothing_left(s)
        assert len(coordinator(s).alarms) == 0

    test()


@fl.workflow
def wants_approval(a: int) -> int:
    return fl.approve(add(a=a, b=1), "check", timeout=None)


@on_cluster(workers=1)
async def test_approval_by_an_asynchronous_client(c: Any, s: Any, worker: Any) -> None:
    """What is to be approved is shown; yes lets it through, no fails the node; nothing else will do."""
    run = fl.run(wants_approval, a=1, client=c)
    (gate,) = await waiting(run, 1)
    assert (gate.kind, gate.text, gate.timeout, gate.left) == ("approval", "2", None, None)
    with pytest.raises(InputError, match="the answer to gate 'check': expected bool, got 'yes'"):
        await run.answer("check", "yes")
    await run.approve("check")
    assert await run == 2
    run = fl.run(wants_approval, a=1, client=c)
    await waiting(run, 1)
    await run.reject("check")
    with pytest.raises(Disapproved, match="2 was not approved at the gate 'check'"):
        await run
    await assert_nothing_left(s)


@on_cluster(workers=1)
async def test_answering_twice(c: Any, s: Any, worker: Any) -> None:
    """The second answer is an error that says so, and what waits still; after the end the error says that."""
    run = fl.run(asks_two, client=c)
    await waiting(run, 2)
    first, second = await asyncio.gather(run.answer("first", 1), run.answer("first", 2), return_exceptions=True)
    assert first is None
    assert isinstance(second, InputError)
    assert str(second).startswith(f"gate 'first' of run {run.id} was answered already")
    with pytest.raises(InputError, match="gate 'first' of run .* was answered already; it waits at second"):
        await run.answer("first", 3)
    await run.answer("second", 10)
    assert await run == 11
    with pytest.raises(InputError, match=r"waits at no gate 'second': it has ended \(SUCCEEDED\)"):
        await run.answer("second", 3)
    await assert_nothing_left(s)


@on_cluster(workers=1)
async def test_a_cancelled_run_waits_no_more(c: Any, s: Any, worker: Any) -> None:
    """A gate whose run is cancelled is gone, with its alarm; so is one whose client leaves."""
    run = fl.run(asks_in_a_loop, n=3, client=c)
    await waiting(run, 3)
    assert len(coordinator(s).alarms) == 3
    await run.cancel()
    with pytest.raises(RunCancelled):
        await run
    async with Client(s.address, asynchronous=True) as other:
        left = fl.run(asks, a=1, client=other)
        await waiting(left, 1)
    while await coordinator(s).gates():
        await asyncio.sleep(0.01)
    await assert_nothing_left(s)
    assert len(coordinator(s).alarms) == 0


@fl.workflow
def asks_in_haste(a: int) -> int:
    return add(a=a, b=fl.wait_for_input("number", timeout=0.1, expected_type=int))


@on_cluster(workers=1)
async def test_a_gate_that_is_too_late_in_an_item(c: Any, s: Any, worker: Any) -> None:
    """Nobody's answer in time fails the item, and where items may fail, the item alone."""
    assert await fl.run(fl.map_task(asks_in_haste, min_successes=0), a=[1, 2], client=c) == [None, None]
    with pytest.raises(GateTimeout, match=r"nobody answered the gate number of run .* within 0.1 s"):
        await fl.run(asks_in_haste, a=1, client=c)
    await assert_nothing_left(s)


# ---------------------------------------------------------------- deaths


@on_cluster(workers=2)
async def test_workers_that_die_while_a_gate_waits(c: Any, s: Any, *workers: Any) -> None:
    """A gate waits on no worker: all of them may go, and others come."""
    from distributed import Worker

    run = fl.run(asks_in_items, a=[1, 2], client=c)
    await waiting(run, 2)
    await asyncio.gather(*(worker.close() for worker in workers))
    assert len(await run.gates) == 2
    await run.answer("asks[0]/number", 1)
    async with Worker(s.address, nthreads=1):
        await run.answer("asks[1]/number", 1)
        assert await run == [2, 3]
        await assert_nothing_left(s)


@on_cluster(workers=2)
async def test_an_answer_outlives_the_worker_that_has_it(c: Any, s: Any, *workers: Any) -> None:
    """The result of a gate that is lost with its worker is made again from the same answer, and nobody is asked twice."""
    run = fl.run(asks_two, client=c)
    await waiting(run, 2)
    await run.answer("first", 1)
    (key,) = [unit.key for unit in coordinator(s).ledger.units.values() if unit.opened]
    while not s.tasks[key].who_has if key in s.tasks else True:
        await asyncio.sleep(0.01)
    (holder,) = [worker for worker in workers if worker.address in {one.address for one in s.tasks[key].who_has}]
    await holder.close()
    assert [gate.name for gate in await run.gates] == ["second"]
    await run.answer("second", 10)
    assert await run == 11
    await assert_nothing_left(s)


class Slow:
    """A value whose arrival takes until it is let go, once."""

    def __init__(self, label: str) -> None:
        self.label = label

    def __reduce__(self) -> tuple[Any, ...]:
        return _slow, (self.label,)


def _slow(label: str) -> Slow:
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return Slow(label)
    with open(label, "a") as file:
        file.write("x")
    Event(f"{label}-go").wait(30)
    return Slow(label)


@fl.task
def label(value: Slow) -> str:
    return value.label


@fl.workflow
def asks_slow() -> str:
    return label(value=fl.wait_for_input("slow", expected_type=Slow))


def test_an_answer_outlives_the_worker_that_takes_it_up(tmp_path: Any) -> None:
    """A unit whose worker dies while it takes up an answer is executed again, with the same answer."""

    @on_cluster(workers=2)
    async def test(c: Any, s: Any, *workers: Any) -> None:
        mark = tmp_path / "mark"
        run = fl.run(asks_slow, client=c)
        await waiting(run, 1)
        await run.answer("slow", Slow(str(mark)))
        while not mark.exists():
            await asyncio.sleep(0.01)
        (busy,) = [worker for worker in workers if worker.state.executing_count]
        await s.remove_worker(busy.address, stimulus_id="test")
        while mark.read_text() != "xx":
            await asyncio.sleep(0.01)
        await Event(f"{mark}-go").set()
        assert await run == str(mark)
        await assert_nothing_left(s)

    test()


@fl.task
def large(seed: int) -> bytes:
    return bytes([seed]) * 3_000_000


@fl.task
def slept(value: bytes, more: int, label: str) -> int:
    Event(f"{label}-{more}-started").set()
    Event(f"{label}-go").wait(30)
    return len(value) + more


@fl.workflow
def made_beside_a_gate(items: list[int], label: str) -> list[int]:
    number = fl.wait_for_input("number", expected_type=int)
    value = large(seed=1)
    return add_to_all(values=fl.map_task(functools.partial(slept, value=value, label=label))(more=items), number=number)


@fl.task
def add_to_all(values: list[int], number: int) -> list[int]:
    return [value + number for value in values]


@on_cluster(workers=2, threads=2)
async def test_a_value_made_beside_a_gate_that_is_lost(c: Any, s: Any, *workers: Any) -> None:
    """A large value is made again where it is lost with its worker, though a gate was waited at before it: the gate is not passed again."""
    run = fl.run(made_beside_a_gate, items=list(range(6)), label="beside", client=c)
    await waiting(run, 1)
    await Event("beside-0-started").wait(10)
    adopted = [task for task in s.tasks.values() if task.nbytes and task.get_nbytes() > 1_000_000]
    while not adopted:
        await asyncio.sleep(0.01)
        adopted = [task for task in s.tasks.values() if task.nbytes and task.get_nbytes() > 1_000_000]
    (holder,) = [worker for worker in workers if worker.address == next(iter(adopted[0].who_has)).address][:1]
    await s.remove_worker(holder.address, stimulus_id="test")
    await Event("beside-go").set()
    await run.answer("number", 1)
    assert await run == [3_000_001 + index for index in range(6)]
    await assert_nothing_left(s)


@on_cluster(workers=1)
async def test_a_run_is_known_from_the_first_moment(c: Any, s: Any, worker: Any) -> None:
    """An asynchronous client's run, which is still being submitted, can be asked and cancelled at once."""
    for ask in (lambda run: run.gates, lambda run: run.children, lambda run: run.cancel()):
        run = fl.run(asks, a=1, client=c)
        await ask(run)
        await run.cancel()
        assert run.status == "ABORTED"
        with pytest.raises(RunCancelled):
            await run
    await assert_nothing_left(s)
