"""Eagers: async functions with ordinary control flow, whose calls are nodes."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

import daskflow as fl
from daskflow.errors import DefinitionError, OptionError, PromiseError
from tests.features.conftest import Flow
from tests.told import told


class Unlucky(Exception):
    """What a task here raises."""


@fl.task
def half(a: int) -> int:
    return a // 2


@fl.task
def add(a: int, b: int) -> int:
    return a + b


@fl.task
def lucky(a: int) -> int:
    if a == 13:
        raise Unlucky(f"no luck with {a}")
    return a


@fl.task
def mark(path: str, word: str, seconds: float = 0.0) -> str:
    time.sleep(seconds)
    with open(path, "a") as file:
        file.write(f"{word}\n")
    return word


class Pair(NamedTuple):
    """Two outputs."""

    low: int
    high: int


@fl.task
def around(a: int) -> Pair:
    return Pair(a - 1, a + 1)


@fl.workflow
def quarter(a: int) -> int:
    return half(a=half(a=a))


quarter_lp = fl.LaunchPlan.get_or_create(quarter, name="features.quarter")


@fl.dynamic
def halves(l: list[int]) -> list[int]:
    return [half(a=a) for a in l]


@fl.eager
async def halvings(a: int) -> int:
    count = 0
    while a > 1:
        a = await half(a=a)
        count += 1
    return count


@fl.eager
async def catches(l: list[int]) -> list[int]:
    made = []
    for a in l:
        try:
            made.append(await lucky(a=a))
        except Unlucky:
            made.append(-1)
    return made


@fl.eager
async def gathers(l: list[int]) -> list[int]:
    return list(await asyncio.gather(*(add(a=a, b=1) for a in l)))


@fl.eager
async def everything(a: int) -> list[int]:
    low, high = await around(a=a)
    pair = await around(a=100)
    return [
        low,
        high,
        pair.high,
        await quarter(a=a),
        await quarter_lp(a=a),
        *await halves(l=[a, 10]),
        *await fl.map_task(half)(a=[2, 4]),
        await halvings(a=8),
        # A call may be given to another one as it is.
        await add(a=half(a=a), b=half(a=half(a=a))),
    ]


@fl.dynamic
def in_dynamic(n: int) -> list[int]:
    return [halvings.node(a=2**i) for i in range(n)]


@fl.workflow
def in_workflow(a: int) -> int:
    return add(a=halvings.node(a=a), b=1)


def run(flow: Flow, entity: Any, **inputs: Any) -> Any:
    """Run an eager: in plain Python its call is to be awaited."""
    made = flow(entity, **inputs)
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


def test_ordinary_control_flow(flow: Flow) -> None:
    """Loops, branches and exceptions go by the values of calls."""
    assert run(flow, halvings, a=40) == 5
    assert run(flow, halvings, a=1) == 0
    assert run(flow, catches, l=[1, 13, 2]) == [1, -1, 2]


def test_calls_of_every_kind(flow: Flow) -> None:
    """Whatever can be called can be awaited, and calls may be inputs of calls."""
    assert run(flow, everything, a=20) == [19, 21, 101, 5, 5, 10, 5, 1, 2, 3, 15]


def test_gathering(flow: Flow) -> None:
    """What is gathered comes in order."""
    assert run(flow, gathers, l=list(range(50))) == list(range(1, 51))


def test_eagers_in_bodies(flow: Flow) -> None:
    """An eager is a node as any other."""
    assert flow(in_dynamic, n=5) == [0, 1, 2, 3, 4]
    assert flow(in_workflow, a=16) == 5
    assert flow(fl.map_task(halvings), a=[1, 2, 4]) == [0, 1, 2]


@fl.eager
async def marks(path: str) -> list[str]:
    first = await mark(path=path, word="first", seconds=0.05)
    others = await asyncio.gather(*(mark(path=path, word=f"{first}-{i}", seconds=0.05) for i in range(6)))
    return [*others, await mark(path=path, word="last")]


def test_each_call_is_executed_once(flow: Flow, tmp_path: Path) -> None:
    """However often the body begins anew, no call is executed twice."""
    path = tmp_path / "marks"
    assert run(flow, marks, path=str(path)) == [*(f"first-{i}" for i in range(6)), "last"]
    words = path.read_text().split()
    assert words[0] == "first"
    assert words[-1] == "last"
    assert sorted(words[1:-1]) == [f"first-{i}" for i in range(6)]


@fl.task
def meets(folder: str, a: int) -> int:
    Path(folder, f"{a}").touch()
    deadline = time.monotonic() + 20
    while len(list(Path(folder).iterdir())) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return a


@fl.eager
async def meeting(folder: str) -> list[int]:
    return list(await asyncio.gather(*(meets(folder=folder, a=i) for i in range(4))))


def test_what_is_gathered_runs_at_the_same_time(mode: str, flow: Flow, tmp_path: Path) -> None:
    """On a cluster calls that are gathered are executed at the same moment, and the body holds no thread: four meet on four threads."""
    if mode == "in process":
        pytest.skip("in process one thread does all, in order")
    assert run(flow, meeting, folder=str(tmp_path)) == [0, 1, 2, 3]


@fl.eager
async def chains(path: str) -> list[int]:
    async def chain(seconds: float, a: int) -> int:
        for _ in range(3):
            await mark(path=path, word=f"{a}", seconds=seconds)
            a = await add(a=a, b=1)
        return a

    return list(await asyncio.gather(chain(0.15, 10), chain(0.01, 20)))


def test_chains_go_on_by_themselves(mode: str, flow: Flow, tmp_path: Path) -> None:
    """A coroutine goes on as soon as what it awaits is there, whatever others wait for."""
    path = tmp_path / "marks"
    assert run(flow, chains, path=str(path)) == [13, 23]
    words = path.read_text().split()
    assert sorted(words) == ["10", "11", "12", "20", "21", "22"]
    if mode != "in process":
        assert words.index("22") < words.index("12")


@fl.eager
async def lets_fail(l: list[int]) -> list[str]:
    results = await asyncio.gather(*(lucky(a=a) for a in l), return_exceptions=True)
    return [type(one).__name__ for one in results]


@fl.eager
async def fails(a: int) -> int:
    return await lucky(a=await add(a=a, b=0))


@fl.eager
async def ignores_a_failure() -> int:
    lucky(a=13)
    return await half(a=4)


def test_failures(flow: Flow) -> None:
    """A failure is an exception where it is awaited; what is not caught is the eager's own, and says which node it was of."""
    assert run(flow, lets_fail, l=[1, 13, 2]) == ["int", "Unlucky", "int"]
    with pytest.raises(Unlucky, match="no luck with 13") as failed:
        run(flow, fails, a=13)
    assert told(failed.value).address == "lucky[0]"
    assert run(flow, ignores_a_failure) == 2
    assert flow(fl.map_task(fails, min_successes=1), a=[1, 13]) == [1, None]


@fl.eager(cache=True, cache_version="1")
async def cached(path: str) -> str:
    return await mark(path=path, word="once")


def test_an_eager_is_cached(flow: Flow, tmp_path: Path) -> None:
    """The whole of an eager is cached as a task is."""
    path = tmp_path / "marks"
    assert [run(flow, cached, path=str(path)) for _ in range(2)] == ["once", "once"]
    assert path.read_text() == "once\n"


@fl.eager
async def uses_a_call() -> int:
    return 1 + half(a=4)  # type: ignore[operator, no-any-return]


@fl.eager
async def returns_a_call() -> int:
    return half(a=4)


@fl.eager
async def branches_on_a_call() -> int:
    return 1 if half(a=4) else 2


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        (uses_a_call, "cannot be added to; await it first"),
        (returns_a_call, "returned <call, not awaited, .*return await"),
        (branches_on_a_call, "cannot be a truth value; await it first"),
    ],
)
def test_calls_are_no_values(flow: Flow, entity: Any, text: str) -> None:
    """What is not awaited is no value, and says so."""
    with pytest.raises(PromiseError, match=text):
        run(flow, entity)


@fl.eager
async def other_waits(path: str) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(half(a=4)), group.create_task(add(a=1, b=2))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    slept = await asyncio.to_thread(lambda: 7)
    done = [await each for each in asyncio.as_completed([half(a=20), half(a=20)])]
    return [one.result(), two.result(), slept, *done, await half.aio(a=6)]


def test_what_else_is_awaited(flow: Flow, tmp_path: Path) -> None:
    """Task groups, sleeping, threads and the like work as everywhere, beside calls."""
    assert run(flow, other_waits, path=str(tmp_path / "marks")) == [2, 3, 7, 10, 10, 3]


def open_loops() -> int:
    """Return how many event loops of this process are not closed, whoever holds them."""
    return sum(isinstance(one, asyncio.BaseEventLoop) and not one.is_closed() for one in gc.get_objects())


def test_nothing_stays_open() -> None:
    """An eager's event loop is closed when its body is over, also where that failed, and not when somebody collects it."""
    in_workflow(a=16)
    gc.collect()
    gc.disable()
    try:
        loops, files = open_loops(), psutil.Process().num_fds()
        for _ in range(20):
            in_workflow(a=16)
            assert fl.map_task(fails, min_successes=0)(a=[13]) == [None]
        assert open_loops() <= loops
        # A loop has three. Other threads of this process may open a file meanwhile, so all is looked at, but not to the last one.
        assert psutil.Process().num_fds() < files + 20
    finally:
        gc.enable()


def test_in_a_loop_that_runs() -> None:
    """Where an event loop runs already, as in a notebook, an eager is awaited, and workflows of eagers are called as ever."""

    async def notebook() -> list[int]:
        return [await halvings(a=8), in_workflow(a=16)]

    assert asyncio.run(notebook()) == [3, 5]


def test_what_cannot_be_eager() -> None:
    """An eager is an async function, without options that are about attempts."""

    def plain() -> int:
        return 1

    async def coroutine() -> int:
        return 1

    with pytest.raises(DefinitionError, match="@eager decorates an async function, not '.*plain'; write async def"):
        fl.eager(plain)  # type: ignore[type-var]
    with pytest.raises(OptionError, match="retries of eager .*coroutine is an option of tasks: give it to the tasks"):
        fl.eager(retries=1)(coroutine)
