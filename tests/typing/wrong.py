"""What type checkers refuse. Each line says what it is refused with; one that is refused no longer fails the test."""

from __future__ import annotations

import daskflow as fl


@fl.task
def add(a: int, b: int = 1) -> int:
    return a + b


@fl.dynamic
def loop(n: int) -> list[int]:
    return [add(a=i) for i in range(n)]


@fl.workflow
def flow(a: int) -> int:
    return add(a=a)


plan = fl.LaunchPlan.get_or_create(flow, name="typing.wrong")

add(a="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add(a=1, c=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
add(1, 2, 3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
text: str = add(a=1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
loop(n="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
flow(b=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
plan(a="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add(a=loop(n=1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fl.map_task(add, concurrency="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fl.workflow(parallelism=2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
fl.task(cache="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
fl.run(flow, a=1, max_parallelism="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fl.task(retries="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
fl.task(tries=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
fl.dynamic(environment={"A": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
fl.task(node_dependency_hints=[])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
awaited = add.aio(a="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
add.to_delayed(a="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@fl.task
def size(file: fl.File) -> int:
    return file.size()


size(file=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
size(file=fl.Directory("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fl.File(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
number: int = fl.File("x").read_text()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


@fl.workflow
def wrong_body(a: int) -> str:
    return add(a=a)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


@fl.workflow
def wrong_overrides(a: int) -> int:
    fl.with_overrides(add(a=a), retry=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    text: str = fl.with_overrides(add(a=a), retries=2)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    return fl.with_overrides(add(a=text), retries="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


fl.conditional(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
fl.conditional("x").when(True)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
fl.conditional("x").if_(True).otherwise()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
