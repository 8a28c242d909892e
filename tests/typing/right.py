"""What type checkers accept: decorated functions keep their signatures."""

from __future__ import annotations

import functools
from typing import IO, Annotated, Any, NamedTuple, assert_type

import daskflow as fl
from daskflow.blobs import Format
from daskflow.dynamic import Dynamic
from daskflow.launchplan import LaunchPlan
from daskflow.task import Task


class Pair(NamedTuple):
    """Two outputs."""

    low: int
    high: float


@fl.task
def add(a: int, b: int = 1) -> int:
    return a + b


@fl.task(cache=True, cache_version="1")
def pair(a: int) -> Pair:
    return Pair(a, float(a))


@fl.task
def both(a: int) -> tuple[int, str]:
    return a, str(a)


@fl.dynamic
def loop(n: int) -> list[int]:
    return [add(a=i) for i in range(n)]


@fl.workflow(max_parallelism=3)
def flow(a: int, *, text: str = "x") -> float:
    number, _ = both(a=add(a))
    made = pair(a=number)
    return made.high


plan = fl.LaunchPlan.get_or_create(flow, name="typing.plan")
default_plan = fl.LaunchPlan.get_or_create(flow)
cloned = plan.clone_with("typing.cloned", max_parallelism=3, labels={"a": "b"})
created = fl.LaunchPlan.create("typing.created", flow, fixed_inputs={"text": "y"})

assert_type(add(1), int)
assert_type(add(1, 2), int)
assert_type(add(a=1, b=2), int)
assert_type(pair(a=1), Pair)
assert_type(pair(a=1).low, int)
assert_type(both(a=1), tuple[int, str])
assert_type(loop(n=3), list[int])
assert_type(flow(1, text="y"), float)
assert_type(plan(a=1), float)
assert_type(cloned(a=1), float)
assert_type(created(a=1), float)
add_task: Task[..., int] = add
loop_dynamic: Dynamic[..., list[int]] = loop
a_plan: LaunchPlan[..., float] = default_plan


@fl.task
async def fetch(a: int) -> str:
    return str(a)


@fl.task(retries=fl.Retry(3, backoff=fl.Backoff(1)), timeout=fl.Timeout(60, killable=True), environment={"A": "1"})
async def fetch_more(a: int, b: str = "") -> list[str]:
    return [str(a), b]


@fl.task(
    requests=fl.Resources(cpu=1, mem="1Gi"), secret_requests=[fl.Secret("db", "password")], retries=2, timeout=3.5, docs="What it does."
)
def configured(a: int) -> int:
    return a


@fl.dynamic(retries=1, cache=True, cache_version="1", node_dependency_hints=[flow])
def configured_loop(a: str) -> list[str]:
    return fetch_more.node(a=1, b=a)


@fl.workflow
def async_flow(a: int) -> list[str]:
    return fetch_more.node(a=a, b=fetch.node(a=a))


environment = fl.Environment(retries=3, environment={"A": "1"})


@environment.task
def in_environment(a: int) -> int:
    return a


@environment.task(timeout=3)
async def in_environment_too(a: int) -> int:
    return a


@environment.dynamic(retries=1)
def loop_in_environment(a: int) -> list[int]:
    return [in_environment(a), in_environment_too.node(a)]


assert_type(in_environment(a=1), int)
assert_type(loop_in_environment(a=1), list[int])


async def awaits() -> None:
    assert_type(await fetch(a=1), str)
    assert_type(await fetch.aio(1), str)
    assert_type(await fetch_more(1, b="x"), list[str])
    assert_type(await add.aio(a=1), int)
    assert_type(await flow.aio(1, text="y"), float)
    assert_type(await plan.aio(a=1), float)


assert_type(configured(a=1), int)
assert_type(configured_loop(a="x"), list[str])
assert_type(async_flow(a=1), list[str])
assert_type(fl.current_context().working_directory, str)
assert_type(fl.current_context().secrets.get("db", "password"), str)
assert_type(fl.current_context().secrets.get("db", "password", encode_mode="rb"), bytes)


@fl.task
def count(table: fl.File, pictures: Annotated[fl.Directory, Format("png")]) -> fl.File:
    with open(table) as lines, table.open("rb") as stream:
        assert_type(stream, IO[Any])
        return fl.File.new("count.txt").write_text(str(len(list(lines))))


counted = count(table=fl.File("data.csv"), pictures=fl.FlyteDirectory("memory://pictures"))
assert_type(counted, fl.File)
assert_type(counted.uri, str)
assert_type(counted.remote_source, str | None)
assert_type(counted.read_bytes(), bytes)
for each in fl.Directory("pictures"):
    assert_type(each, fl.File | fl.Directory)


mapped: Any = fl.map_task(add, concurrency=2)(a=[1, 2])
bound: Any = fl.map(functools.partial(add, b=2))(a=[1, 2])
lowered: Any = add.to_delayed(a=1)


def on_a_cluster() -> None:
    run = fl.run(flow, a=1, text="y", max_parallelism=2, name="typed")
    assert_type(run.id, str)
    assert_type(run.status, str)


@fl.eager
async def eagerly(a: int) -> list[int]:
    return [await fetch_length.aio(text=await fetch(a=a)), await add.aio(a=a)]


@fl.task
def fetch_length(text: str) -> int:
    return len(text)


@fl.workflow
def of_eagers(a: int) -> list[int]:
    return eagerly.node(a=a)


@fl.workflow
def of_gates() -> int:
    return fl.approve(fl.wait_for_input("number", expected_type=int), "check")


async def awaits_eager() -> None:
    assert_type(await eagerly(a=1), list[int])


assert_type(of_eagers(a=1), list[int])


@fl.workflow
def chosen(a: int) -> int:
    given = add(a=a)
    small = fl.conditional("small").if_((given == 1) & (given < 3)).then(add(a=given)).else_().fail("too large")
    return add(a=small)


@fl.workflow
def overridden(a: int) -> float:
    number = fl.with_overrides(add(a=a), retries=2, timeout=3.0, node_name="first")
    assert_type(number, int)
    made = fl.with_overrides(pair(a=number), cache=False)
    assert_type(made, Pair)
    fl.create_node(add, a=1).with_overrides(environment={"A": "1"})
    return made.high
