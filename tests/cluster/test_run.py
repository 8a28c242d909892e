"""Runs on a cluster: results, errors, cancelling, and what is left."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from distributed import Client, Event, Scheduler, Worker
from distributed.utils_test import gen_test

import daskflow as fl
from daskflow.errors import ClusterError, InputError, OptionError, RunCancelled, RunFailed
from tests import programs
from tests.cluster.support import assert_nothing_left, on_cluster
from tests.told import told

PROGRAMS: list[tuple[Any, dict[str, Any], Any]] = [
    (programs.multi_wf, {"l": list(range(6)), "chunk": 2}, [3, 4, 5, 6, 7, 8]),
    (programs.mixed_wf, {"l": list(range(6)), "chunk": 2}, [2, 3, 4, 5, 6, 7]),
    (programs.spawn, {"n": 5}, [2, 3, 4, 5, 6]),
    (programs.descend, {"depth": 200}, 200),
    (programs.step1, {"a": 1}, 2),
    (programs.core_wf_lp, {"a": 1}, 4),
    (fl.map_task(programs.core_wf_lp), {"a": [1, 2]}, [4, 5]),
]


@on_cluster()
async def test_programs_give_what_they_give_in_process(c: Any, s: Any, *workers: Any) -> None:
    """Every kind of entity gives the same on a cluster as in process, and leaves nothing there."""
    for entity, inputs, expected in PROGRAMS:
        assert entity(**inputs) == expected
        assert await fl.run(entity, **inputs, client=c) == expected
        await assert_nothing_left(s)


@on_cluster(spill_after=0)
async def test_programs_give_the_same_with_a_task_for_each_node(c: Any, s: Any, *workers: Any) -> None:
    """With a budget of nothing, every node is a Dask task of its own, and the results are the same."""
    for entity, inputs, expected in PROGRAMS:
        assert await fl.run(entity, **inputs, client=c) == expected
        await assert_nothing_left(s)


@on_cluster(spill_after="1ms", chunk="1ms")
async def test_a_large_nested_program(c: Any, s: Any, *workers: Any) -> None:
    """A nested program that is cut into many units gives each item's result, in order."""
    items = list(range(3000))
    assert await fl.run(programs.multi_wf, l=items, chunk=7, client=c) == [item + 3 for item in items]
    await assert_nothing_left(s)


@on_cluster()
async def test_ten_thousand_launch_plans_from_one_dynamic(c: Any, s: Any, *workers: Any) -> None:
    """A dynamic can start ten thousand launch plans."""
    assert await fl.run(programs.fan_out, n=10_000, client=c) == list(range(3, 10_003))
    await assert_nothing_left(s)


@on_cluster()
async def test_runs_at_the_same_time(c: Any, s: Any, *workers: Any) -> None:
    """Runs of one client do not touch each other."""
    runs = [fl.run(programs.multi_wf, l=list(range(n)), chunk=3, client=c) for n in range(1, 20)]
    assert await asyncio.gather(*runs) == [[item + 3 for item in range(n)] for n in range(1, 20)]
    assert len({run.id for run in runs}) == len(runs)
    await assert_nothing_left(s)


@on_cluster()
async def test_the_users_exception_comes_back(c: Any, s: Any, *workers: Any) -> None:
    """A task that raises fails the run with its own exception, whose notes say run, node and map index."""
    run = fl.run(programs.break_below, l=[1, 2, 3], client=c)
    with pytest.raises(programs.Broken, match="no luck with 3") as caught:
        await run
    where = told(caught.value)
    assert (where.full_address, where.map_index) == (f"{run.id}:break[1]/break_at_three[2]", 2)
    assert where.child.startswith(f"{run.id}.")
    assert caught.traceback[-1].name == "break_at_three"
    assert str(caught.traceback[-1].path) == programs.__file__
    assert run.status == "FAILED"
    await assert_nothing_left(s)


@on_cluster(spill_after=0)
async def test_an_item_of_a_map_keeps_its_index(c: Any, s: Any, *workers: Any) -> None:
    """The map's index comes along to whichever worker executes a node of the item."""
    with pytest.raises(programs.Broken) as caught:
        await fl.run(fl.map_task(programs.break_fourth), n=[1, 4], client=c)
    where = told(caught.value)
    assert (where.address, where.map_index) == ("break_fourth[1]/break_at_three[3]", 1)
    await assert_nothing_left(s)


@fl.task
def break_on(event: str, a: int) -> int:
    Event(f"{event}-{a}").set()
    Event(event).wait()
    raise programs.Broken(a)


@fl.dynamic
def break_together(event: str, n: int) -> list[int]:
    return [break_on(event=event, a=a) for a in range(n)]


@on_cluster(workers=1, spill_after=0)
async def test_nodes_that_fail_at_the_same_moment(c: Any, s: Any, *workers: Any) -> None:
    """The first failure ends the run; word of the others, which comes with it, harms neither the worker nor what comes next."""
    for number in range(3):
        name = f"break{number}"
        run = fl.run(break_together, event=name, n=4, client=c)
        for a in range(4):
            await Event(f"{name}-{a}", client=c).wait()
        await Event(name, client=c).set()
        with pytest.raises(programs.Broken):
            await run
    assert await fl.run(programs.step1, a=1, client=c) == 2
    assert [*s.workers] == [one.address for one in workers]
    await assert_nothing_left(s)


@fl.task
def step_of_many(event: str, a: int) -> int:
    Event(f"{event}-begun").set()
    Event(f"{event}-broken").wait()
    if a == 3000:
        raise AssertionError("nobody has ended this")
    return a


@fl.dynamic
def many_steps(event: str) -> list[int]:
    return [step_of_many(event=event, a=a) for a in range(3001)]


@fl.task
def break_beside(event: str) -> int:
    Event(f"{event}-begun").wait()
    Event(f"{event}-broken").set()
    raise programs.Broken(event)


@fl.task
def note_failure(event: str, path: str, err: fl.FlyteError) -> None:
    with open(path, "a") as file:
        file.write(f"{err.failed_node_id}\n")


@fl.workflow(on_failure=note_failure)
def many_beside(event: str, path: str) -> tuple[list[int], int]:
    return many_steps(event=event), break_beside(event=event)


@fl.dynamic
def around(event: str, path: str) -> int:
    return first_of(l=many_beside(event=event, path=path)[0])


@fl.task
def first_of(l: list[int]) -> int:
    return l[0]


@on_cluster(spill_after="1ms")
async def test_what_is_ended_says_what_failed(c: Any, s: Any, *workers: Any, tmp_path: Any) -> None:
    """Where a node is ended since another one failed elsewhere, the failure is still that one's, for who is told of it as well."""
    path = tmp_path / "failed"
    with pytest.raises(programs.Broken) as caught:
        await fl.run(around, event="beside", path=str(path), client=c)
    assert told(caught.value).address == "many_beside/break_beside"
    assert path.read_text() == "many_beside/break_beside\n"
    await assert_nothing_left(s)


@fl.task
def hold(name: str) -> str:
    Event(f"{name}-begun").set()
    Event(name).wait()
    return name


@fl.workflow
def hold_wf(name: str) -> str:
    return hold(name=name)


hold_lp = fl.LaunchPlan.create("tests.hold", hold_wf, max_parallelism=2)


@fl.dynamic
def hold_all(names: list[str]) -> list[str]:
    return [hold_lp(name=name) for name in names]


@on_cluster()
async def test_child_runs_are_told_of_while_they_run_and_later(c: Any, s: Any, *workers: Any) -> None:
    """A child run that executes says so, with its own id, plan and limit; once the run has ended, and is forgotten, all have succeeded."""
    run = fl.run(hold_all, names=["one", "two"], client=c)
    await asyncio.gather(Event("one-begun", client=c).wait(), Event("two-begun", client=c).wait())
    while len(children := await run.children) < 2:
        await asyncio.sleep(0.01)
    assert children.counts == {"RUNNING": 2}
    assert [(one.address, one.name, one.parent, one.seconds, one.max_parallelism) for one in children] == [
        (f"hold[{index}]", "tests.hold", run.id, None, 2) for index in range(2)
    ]
    await asyncio.gather(Event("one", client=c).set(), Event("two", client=c).set())
    assert await run == ["one", "two"]
    await assert_nothing_left(s)
    later = await run.children
    assert [one.id for one in later] == [one.id for one in children]
    assert later.counts == {"SUCCEEDED": 2}


@on_cluster()
async def test_a_child_run_that_failed_says_so(c: Any, s: Any, *workers: Any) -> None:
    """The id in an exception's notes is that of a record, and that says that the child run failed."""
    run = fl.run(programs.break_below, l=[1, 2, 3], client=c)
    with pytest.raises(programs.Broken) as caught:
        await run
    id = told(caught.value).child
    children = await run.children
    assert children.get(id).status == "FAILED"
    assert children.get(id).address == "break[1]"


@on_cluster()
async def test_child_runs_of_a_run_that_is_cancelled(c: Any, s: Any, *workers: Any) -> None:
    """When a run is cancelled, its child runs that had begun are aborted."""
    run = fl.run(hold_all, names=["first"], client=c)
    await Event("first-begun", client=c).wait()
    while not (await run.children).counts:
        await asyncio.sleep(0.01)
    await run.cancel()
    await Event("first", client=c).set()
    assert (await run.children).counts == {"ABORTED": 1}


@on_cluster(spill_after="1ms", chunk="1ms")
async def test_each_of_many_child_runs_has_a_record(c: Any, s: Any, *workers: Any) -> None:
    """Thousands of child runs that are spread over the cluster have a record each."""
    run = fl.run(programs.fan_out, n=5000, client=c)
    await run
    children = await run.children
    assert children.counts == {"SUCCEEDED": 5000}
    assert [one.address for one in children[4990:]] == [f"core_wf[{index}]" for index in range(4990, 5000)]
    assert len({one.id for one in children}) == 5000


@fl.task
def exit_task(a: int) -> int:
    raise SystemExit(a)


@fl.task
def interrupt(a: int) -> int:
    raise KeyboardInterrupt


@fl.task
def recurse(a: int) -> int:
    def deeper(n: int) -> int:
        return deeper(n + 1)

    return deeper(0)


class Unpicklable(Exception):
    """An exception that holds what cannot be pickled."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.generator = (one for one in "abc")


@fl.task
def raise_unpicklable(a: int) -> int:
    raise Unpicklable("odd")


@pytest.mark.parametrize(
    ("entity", "kind", "text"),
    [
        (exit_task, RunFailed, "SystemExit: 1"),
        (interrupt, RunFailed, "KeyboardInterrupt"),
        (recurse, RecursionError, "maximum recursion depth"),
        (raise_unpicklable, RunFailed, "Unpicklable: odd"),
    ],
)
def test_what_a_task_may_raise(entity: Any, kind: type[BaseException], text: str) -> None:
    """Whatever a task raises ends the run with an error that names it, and takes no worker down."""

    @on_cluster(workers=1)
    async def test(c: Any, s: Any, worker: Any) -> None:
        run = fl.run(entity, a=1, client=c)
        with pytest.raises(kind, match=text) as caught:
            await run
        assert told(caught.value).address == entity.short_name
        assert await fl.run(programs.step1, a=1, client=c) == 2
        await assert_nothing_left(s)

    test()


@fl.task
def wait_for(label: str) -> int:
    from distributed import get_client

    Event(f"{label}-started", client=get_client()).set()
    Event(f"{label}-go", client=get_client()).wait()
    return 1


@on_cluster()
async def test_cancelling(c: Any, s: Any, *workers: Any) -> None:
    """A cancelled run ends at once, though a task of it still runs; other runs go on."""
    run, other = (fl.run(wait_for, label=name, client=c) for name in ("cancelled", "other"))
    for name in ("cancelled", "other"):
        await Event(f"{name}-started").wait()
    assert run.status == "RUNNING"
    with pytest.raises(TimeoutError, match=f"run {run.id} has not ended within 0.01 seconds"):
        await run.wait(timeout=0.01)
    await run.cancel()
    assert run.status == "ABORTED"
    with pytest.raises(RunCancelled, match=run.id):
        await run.result()
    for name in ("cancelled", "other"):
        await Event(f"{name}-go").set()
    assert await other == 1
    await run.cancel()
    await assert_nothing_left(s)


@on_cluster()
async def test_a_run_that_is_dropped_is_forgotten(c: Any, s: Any, *workers: Any) -> None:
    """A large result that nobody fetches is freed when nobody can ask for it any more."""
    run = fl.run(_large, n=2_000_000, client=c)
    await run.wait()
    assert run.status == "SUCCEEDED"
    assert len(s.tasks) == 1
    del run
    while s.tasks:
        await asyncio.sleep(0.01)
    await assert_nothing_left(s)


@fl.task
def _large(n: int) -> bytes:
    return b"x" * n


@on_cluster()
async def test_a_large_result_comes_when_it_is_asked_for(c: Any, s: Any, *workers: Any) -> None:
    """A large result stays on the cluster until it is asked for, and is freed then."""
    run = fl.run(_large, n=2_000_000, client=c)
    await run.wait()
    assert len(s.tasks) == 1
    assert len(await run.result()) == 2_000_000
    assert len(await run) == 2_000_000
    await assert_nothing_left(s)


@on_cluster()
async def test_a_client_that_leaves_while_it_submits(c: Any, s: Any, *workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose client was gone when it arrived is not executed for nobody."""
    monkeypatch.setattr("daskflow.cancelling._GRACE", 0.05)
    await fl.run(programs.step1, a=1, client=c)
    with monkeypatch.context() as patch:
        patch.setattr(c, "id", "gone")
        run = fl.run(wait_for, label="orphan", client=c)
        await run._begun()
    with pytest.raises(ClusterError, match=f"does not know run {run.id}"):
        await run
    await Event("orphan-go").set()
    await assert_nothing_left(s)


@on_cluster()
async def test_a_client_that_leaves_takes_its_runs_along(c: Any, s: Any, *workers: Any) -> None:
    """When a client closes, its runs are cancelled, and nothing of them is left."""
    from distributed import Client

    async with Client(s.address, asynchronous=True) as other:
        run = fl.run(wait_for, label="left", client=other)
        await Event("left-started").wait()
    while s.tasks:
        await asyncio.sleep(0.01)
    await Event("left-go").set()
    await assert_nothing_left(s)
    assert run.status in ("RUNNING", "FAILED")


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        (
            {"max_parallelism": -1},
            OptionError,
            "max_parallelism of the run of .*core_wf must be a positive int, or 0 for .*; got -1",
        ),
        ({"max_parallelism": True}, OptionError, "got True"),
        ({"name": ""}, OptionError, "name of the run of .*core_wf must be text"),
        ({"b": 1}, InputError, "core_wf has no input 'b'; it takes a: int"),
        ({"a": "1"}, InputError, "input 'a' of .*core_wf: expected int, got '1'"),
    ],
)
def test_what_run_refuses(options: dict[str, Any], kind: type[BaseException], text: str) -> None:
    """What does not fit is refused before any cluster is touched."""
    with pytest.raises(kind, match=text):
        fl.run(programs.core_wf, **{"a": 1, **options})


@fl.task
def greet(name: str = "you") -> str:
    return f"hello {name}"


def test_an_input_named_like_a_parameter_of_run_is_ambiguous() -> None:
    """An input that shares its name with a parameter of run is never taken for that parameter in silence."""
    with pytest.raises(InputError, match=r"'name' is a parameter of run and an input of .*greet as well; write run\(greet, ...\) with"):
        fl.run(greet, name="me")


@on_cluster(workers=1)
async def test_inputs_named_like_parameters_of_run(c: Any, s: Any, worker: Any) -> None:
    """Such an input can be given by position, or in a mapping."""
    assert await fl.run(greet, "me", client=c, name="greeting") == "hello me"
    assert await fl.submit(greet, {"name": "me"}, client=c) == "hello me"


@gen_test(timeout=60)  # type: ignore[untyped-decorator]
async def test_a_scheduler_that_was_started_anew() -> None:
    """A client whose scheduler was replaced by another one at the same address can go on with that."""
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address=":0") as s:
        port = s.port
        async with Worker(s.address, dashboard_address=":0"):
            client = await Client(s.address, asynchronous=True)
            assert await fl.run(programs.step1, a=1, client=client) == 2
            first = client.scheduler_comm
    async with Scheduler(host="127.0.0.1", port=port, dashboard_address=":0") as s, Worker(s.address, dashboard_address=":0"), client:
        while client.scheduler_comm in (None, first):
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(fl.run(programs.step1, a=1, client=client), 20) == 2
        await assert_nothing_left(s)


@on_cluster(workers=1)
async def test_a_closed_client_is_refused(c: Any, s: Any, worker: Any) -> None:
    """A client that is closed is named as the reason."""
    from distributed import Client

    other = await Client(s.address, asynchronous=True)
    await other.close()
    with pytest.raises(ClusterError, match="is closed; connect a new one"):
        await fl.run(programs.step1, a=1, client=other)


@on_cluster()
async def test_the_thread_that_watches_units_goes_with_the_last_one(c: Any, s: Any, *workers: Any) -> None:
    """A process that executes no unit has no thread of ours, once a moment has passed."""
    await fl.run(programs.step1, a=1, client=c)
    watching = [one for one in threading.enumerate() if one.name == "daskflow-watchdog"]
    await asyncio.to_thread(lambda: [one.join(10) for one in watching])
    assert not any(one.is_alive() for one in watching)
