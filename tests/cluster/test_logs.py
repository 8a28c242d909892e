"""What tasks print and log on a cluster: it reaches the run, and the workers' own output too."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import threading
from typing import Any

import pytest
from distributed import Event, print  # noqa: A004

import daskflow as fl
from daskflow import config
from daskflow.history import History
from daskflow.loglines import LogLine
from tests.cluster.support import assert_nothing_left, coordinator, on_cluster


def told(scheduler: Any, run: fl.Run) -> list[LogLine]:
    """Return what a run's units have told of lines."""
    if "daskflow" not in scheduler.plugins:
        return []
    assert coordinator(scheduler).chronicle.flush(10)
    kept = History(config.get("history.path")).logs(run.id)
    return [LogLine(f"{run.id}:{one.address}", one.when, one.level, one.text) for one in kept]


def short(found: list[LogLine], run: fl.Run) -> list[tuple[str, str, str]]:
    """Return lines without their times, and addresses without the run, which is that run."""
    assert {line.address.partition(":")[0] for line in found} <= {run.id}
    return [(line.address.partition(":")[2], line.level, line.text) for line in found]


@fl.task
def speak(a: int) -> int:
    # This is Dask's own print, which does as Python's.
    print("a is", a)
    fl.current_context().logging.info("info %d", a)
    logging.getLogger("mine").warning("odd")
    sys.stderr.write("no end")
    return a


def said(a: int) -> set[tuple[str, str]]:
    return {("stdout", f"a is {a}"), ("INFO", f"{speak.name}: info {a}"), ("WARNING", "mine: odd"), ("stderr", "no end")}


@fl.workflow
def inner(a: int) -> int:
    return speak(a=a)


inner_lp = fl.LaunchPlan.create("tests.logs.inner", inner)


@fl.dynamic
def nested(n: int) -> list[int]:
    sys.stdout.write(f"n is {n}\n")
    return [inner_lp(a=a) for a in range(n)]


@on_cluster()
async def test_a_single_task(c: Any, s: Any, *workers: Any) -> None:
    """A run of one task has its lines, at its own address, once it has ended."""
    run = fl.run(speak, a=1, client=c)
    assert await run == 1
    assert set(short(told(s, run), run)) == {("speak", *line) for line in said(1)}
    await assert_nothing_left(s)


@pytest.mark.parametrize("config", [{}, {"spill_after": 0}, {"spill_after": "1ms", "chunk": "1ms"}])
def test_nested_runs_and_maps(config: dict[str, Any]) -> None:
    """Lines of child runs and of items have addresses from the run on, however the run is cut into units."""

    @on_cluster(**config)
    async def test(c: Any, s: Any, *workers: Any) -> None:
        run = fl.run(nested, n=20, client=c)
        assert await run == list(range(20))
        assert sorted(short(told(s, run), run)) == sorted(
            [("nested", "stdout", "n is 20"), *[(f"inner[{a}]/speak", *line) for a in range(20) for line in said(a)]]
        )
        run = fl.run(fl.map_task(speak), a=[1, 2, 3], client=c)
        assert await run == [1, 2, 3]
        assert sorted(short(told(s, run), run)) == sorted((f"speak[{a - 1}]", *line) for a in (1, 2, 3) for line in said(a))
        await assert_nothing_left(s)

    test()


@fl.task(retries=1)
def fail_after_printing(a: int) -> int:
    sys.stdout.write(f"attempt {fl.current_context().attempt}")
    raise fl.RecoverableException("no")


@on_cluster()
async def test_a_task_that_fails(c: Any, s: Any, *workers: Any) -> None:
    """What all attempts of a task that fails have printed is told."""
    run = fl.run(fail_after_printing, a=1, client=c)
    with pytest.raises(fl.RecoverableException):
        await run
    assert short(told(s, run), run) == [("fail_after_printing", "stdout", f"attempt {number}") for number in range(2)]


@fl.task
def meet(name: str, other: str) -> str:
    for number in range(20):
        Event(f"{name}-{number}").set()
        Event(f"{other}-{number}").wait()
        sys.stdout.write(f"{name} {number}\n")
    return name


@fl.workflow
def meeting() -> list[str]:
    return fl.map_task(meet)(name=["x", "y"], other=["y", "x"])


@on_cluster(workers=1, threads=2)
async def test_two_threads_of_one_worker(c: Any, s: Any, *workers: Any) -> None:
    """Tasks at the same time on threads of one process do not get each other's lines."""
    run = fl.run(meeting, client=c)
    await run
    found = told(s, run)
    by_address = {address: [line.text for line in found if line.address.endswith(address)] for address in ("meet[0]", "meet[1]")}
    assert by_address == {f"meet[{index}]": [f"{name} {number}" for number in range(20)] for index, name in enumerate("xy")}


@fl.task
def wait_for(name: str) -> int:
    sys.stdout.write("waiting\n")
    Event(name).wait()
    sys.stdout.write("done\n")
    return 1


@on_cluster()
async def test_lines_come_while_a_task_lasts(c: Any, s: Any, *workers: Any) -> None:
    """What a task prints is told while the task goes on."""
    run = fl.run(wait_for, "go", client=c)
    while not (found := told(s, run)):
        await asyncio.sleep(0.01)
    assert [line.text for line in found] == ["waiting"]
    await Event("go", client=c).set()
    await run
    assert [line.text for line in told(s, run)] == ["waiting", "done"]


@fl.task(timeout=0.2)
def too_long(a: int) -> int:
    sys.stdout.write(f"in {threading.current_thread().name[:8]}\n")
    threading.Event().wait(1)
    sys.stdout.write("late\n")
    return a


@fl.task(timeout=fl.Timeout(60, killable=True))
def own_process(a: int) -> int:
    sys.stdout.write("apart\n")
    fl.current_context().logging.info("logged")
    return a


@on_cluster()
async def test_attempts_in_threads_and_processes(c: Any, s: Any, *workers: Any) -> None:
    """Attempts in a thread of their own, which is left alone, and in a process of their own, are told of."""
    run = fl.run(too_long, a=1, client=c)
    with pytest.raises(fl.TaskTimeout):
        await run
    assert short(told(s, run), run) == [("too_long", "stdout", "in daskflow")]
    run = fl.run(own_process, a=1, client=c)
    await run
    assert short(told(s, run), run) == [("own_process", "stdout", "apart"), ("own_process", "INFO", f"{own_process.name}: logged")]


@fl.task
async def gathered(a: int) -> int:
    async def one(name: str) -> None:
        for number in range(3):
            sys.stdout.write(f"{name} {number}\n")
            await asyncio.sleep(0)

    await asyncio.gather(one("x"), one("y"))
    return a


@fl.eager
async def eager(n: int) -> list[int]:
    sys.stdout.write("begins\n")
    values = await asyncio.gather(*(speak(a=a) for a in range(n)))
    sys.stdout.write("ends\n")
    return list(values)


@on_cluster()
async def test_coroutines(c: Any, s: Any, *workers: Any) -> None:
    """An async task is told of as one node; an eager's body and its calls as what they are."""
    run = fl.run(fl.map_task(gathered), a=[1, 2], client=c)
    await run
    expected = [f"{name} {number}" for number in range(3) for name in "xy"]
    assert sorted(short(told(s, run), run)) == sorted((f"gathered[{item}]", "stdout", text) for item in (0, 1) for text in expected)
    run = fl.run(eager, n=2, client=c)
    assert await run == [0, 1]
    found = short(told(s, run), run)
    assert [line for line in found if line[0].startswith("speak[")]
    assert sorted(line[1:] for line in found if line[0]) == sorted([*said(0), *said(1)])
    assert {line for line in found if not line[0]} == {("", "stdout", "begins"), ("", "stdout", "ends")}


ODD = ["<script>alert(1)</script>", "a\x00b", "\udc80", "\U0001f600", "x" * (1 << 20)]


@fl.task
def odd(n: int) -> int:
    for text in ODD[:n]:
        logging.getLogger("odd").error(text)
    return n


@fl.task
def chatter(n: int) -> int:
    for number in range(n):
        sys.stdout.write(f"line {number}\n")
    return n


@on_cluster()
async def test_odd_and_very_many_lines(c: Any, s: Any, *workers: Any) -> None:
    """Whatever text it is arrives as it is, or cut; of very many lines the last ones do, and all go to the output."""
    run = fl.run(odd, n=5, client=c)
    await run
    cut = "odd: " + "x" * ((16 << 10) - 5) + "…(1 032 197 characters more)"
    assert [line.text for line in told(s, run)] == [*(f"odd: {text}".encode("utf-8", "backslashreplace").decode() for text in ODD[:4]), cut]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        run = fl.run(chatter, n=100_000, client=c)
        await run
    assert output.getvalue().count("\n") == 100_000
    found = told(s, run)
    notes = [line for line in found if line.level == "WARNING"]
    left = sum(int("".join(filter(str.isdigit, line.text))) for line in notes)
    assert left + len(found) - len(notes) == 100_000
    assert found[-1].text == "line 99999"
    assert sum(len(line.text) for line in found) < 128 << 10


@on_cluster(logs__run_bytes=2000)
async def test_a_run_has_a_bound(c: Any, s: Any, *workers: Any) -> None:
    """Of all nodes of a run together no more is kept than a run may have; how many lines were too many is counted."""
    run = fl.run(fl.map_task(speak), a=list(range(40)), client=c)
    await run
    kept = told(s, run)
    assert 20 < len(kept) < 60
    (row,) = History(config.get("history.path")).runs()
    assert row.dropped_logs == 160 - len(kept)


@on_cluster(logs__enabled=False)
async def test_nothing_where_it_is_switched_off(c: Any, s: Any, *workers: Any) -> None:
    """With ``logs.enabled`` off nothing is told."""
    run = fl.run(speak, a=1, client=c)
    await run
    assert told(s, run) == []


@on_cluster(logs__level="WARNING")
async def test_the_drivers_level_counts(c: Any, s: Any, *workers: Any) -> None:
    """The level of tasks' own loggers is what the driver has configured."""
    try:
        run = fl.run(speak, a=1, client=c)
        await run
        assert {line.level for line in told(s, run)} == {"stdout", "stderr", "WARNING"}
    finally:
        logging.getLogger("daskflow.task").setLevel(logging.NOTSET)


@fl.task
def quiet(a: int) -> int:
    return a


@on_cluster()
async def test_quiet_runs_tell_nothing(c: Any, s: Any, *workers: Any) -> None:
    """Where nothing is printed there are no lines."""
    run = fl.run(fl.map_task(quiet), a=list(range(100)), client=c)
    await run
    assert told(s, run) == []
