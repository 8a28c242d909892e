"""A program in the style of Flyte's SDK, of which only the import lines are other ones: shops, their orders, and a report on them.

In Flyte's SDK the names come from ``flytekit`` and its submodules (``flytekit.types.file``, ``flytekit.core.node_creation``,
``flytekit.types.error`` and others).
"""

from __future__ import annotations

import functools
import typing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated, Optional

from daskflow import (
    Annotations,
    Cache,
    ConcurrencyLimitBehavior,
    ConcurrencyPolicy,
    CronSchedule,
    Deck,
    Documentation,
    Email,
    FixedRate,
    FlyteDirectory,
    FlyteError,
    FlyteFile,
    FlyteRecoverableException,
    HashMethod,
    Labels,
    LaunchPlan,
    OutputLocation,
    Resources,
    Secret,
    ShellTask,
    Workflow,
    WorkflowFailurePolicy,
    approve,
    conditional,
    create_node,
    current_context,
    dynamic,
    kwtypes,
    map_task,
    sleep,
    task,
    wait_for_input,
    workflow,
)

IMAGE = "ghcr.io/example/orders:1.2.0"


class Region(Enum):
    NORTH = "north"
    SOUTH = "south"


@dataclass
class Order:
    number: int
    amount: float
    tags: typing.List[str] = field(default_factory=list)  # noqa: UP006


@dataclass
class Shop:
    name: str
    region: Region
    orders: typing.List[Order]  # noqa: UP006
    rating: Optional[float] = None  # noqa: UP045


class Summary(typing.NamedTuple):
    total: float
    largest: Optional[Order]  # noqa: UP045
    count: int


# ---------------------------------------------------------------- tasks


@task(
    cache=True,
    cache_version="1.0",
    retries=2,
    timeout=timedelta(minutes=5),
    requests=Resources(cpu="100m", mem="64Mi"),
    limits=Resources(cpu="1", mem="512Mi"),
    container_image=IMAGE,
    docs=Documentation(short_description="Makes up a shop's orders."),
)
def load_shop(name: str, region: Region, size: int = 3) -> Shop:
    current_context().logging.info("loading %s", name)
    orders = [Order(number=i, amount=10.0 * (i + 1), tags=["even" if i % 2 == 0 else "odd"]) for i in range(size)]
    return Shop(name=name, region=region, orders=orders)


@task(interruptible=True, environment={"ORDERS_CURRENCY": "EUR"})
def summarise(shop: Shop) -> Summary:
    amounts = [order.amount for order in shop.orders]
    largest = max(shop.orders, key=lambda order: order.amount, default=None)
    return Summary(total=sum(amounts), largest=largest, count=len(amounts))


@task(cache=Cache(version="2", serialize=True, ignored_inputs=("label",)))
def rate(order: Order, weight: float, label: str) -> float:
    if order.number == 1:
        raise ValueError(f"{label}: order {order.number} cannot be rated")
    return order.amount * weight


@task
def average(rates: typing.List[Optional[float]]) -> float:  # noqa: UP006, UP045
    known = [one for one in rates if one is not None]
    return sum(known) / len(known)


@task
def add(a: float, b: float) -> float:
    return a + b


@task
def cut(a: float, percent: int) -> float:
    return a * (100 - percent) / 100


@task(retries=3)
def flaky(value: float) -> float:
    checkpoint = current_context().checkpoint
    if checkpoint.read() is None:
        checkpoint.write(b"tried")
        raise FlyteRecoverableException("the first attempt never works")
    return value


@task(secret_requests=[Secret(group="orders", key="token")])
def signature(value: float) -> str:
    token = current_context().secrets.get("orders", "token")
    return f"{token}:{value:.2f}"


@task(enable_deck=True)
def write_report(text: str) -> FlyteFile:
    Deck("report", f"<p>{text}</p>")
    path = f"{current_context().raw_output_prefix}-report.txt"
    with open(path, "w") as file:
        file.write(text)
    return FlyteFile(path)


@task
def read_report(report: FlyteFile) -> str:
    with open(report) as file:
        return file.read()


@task
def keep_reports(report: FlyteFile) -> FlyteDirectory:
    folder = FlyteDirectory.new("reports")
    folder.new_file("one.txt").write_text(report.read_text())
    return folder


@task
def count_reports(reports: FlyteDirectory) -> int:
    return len(reports.listdir())


def hash_of_table(table: dict) -> str:  # type: ignore[type-arg]
    return str(sorted(table))


@task
def make_table(n: int) -> Annotated[dict, HashMethod(hash_of_table)]:  # type: ignore[type-arg]
    return {str(i): i for i in range(n)}


@task(cache=True, cache_version="1")
def size_of_table(table: dict) -> int:  # type: ignore[type-arg]
    return len(table)


@task
def log_start(name: str) -> None:
    current_context().logging.info("start of %s", name)


@task
def note_failure(name: str, note: str, err: Optional[FlyteError] = None) -> None:  # noqa: UP045
    with open(note, "a") as file:
        file.write(f"{name}: {err.message if err else ''} at {err.failed_node_id if err else ''}\n")


@task
def check_name(name: str) -> str:
    if not name:
        raise ValueError("a shop has a name")
    return name


count_words = ShellTask(
    name="count_words",
    script="cat {inputs.text} | wc -w > {outputs.n}",
    inputs=kwtypes(text=FlyteFile),
    output_locs=[OutputLocation(var="n", var_type=int, location="n.txt")],
)


# ---------------------------------------------------------------- workflows


@workflow
def shop_total(name: str, region: Region, size: int = 3) -> float:
    shop = load_shop(name=name, region=region, size=size).with_overrides(node_name="load", requests=Resources(cpu="200m", mem="64Mi"))
    total, _, _ = summarise(shop=shop)
    return total


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def shop_rating(name: str, region: Region) -> float:
    shop = load_shop(name=name, region=region, size=4)
    rate_all = map_task(functools.partial(rate, weight=0.5, label="rating"), concurrency=2, min_success_ratio=0.5)
    return average(rates=rate_all(order=shop.orders))


@workflow
def discounted(total: float) -> float:
    return (
        conditional("discount")
        .if_(total >= 100.0)
        .then(cut(a=total, percent=20))
        .elif_((total > 50.0) & (total < 100.0))
        .then(cut(a=total, percent=10))
        .else_()
        .then(cut(a=total, percent=0))
    )


@workflow(on_failure=note_failure)
def checked(name: str, note: str) -> str:
    return check_name(name=name)


@dynamic(retries=1, requests=Resources(mem="64Mi"))
def totals(names: typing.List[str], region: Region) -> typing.List[float]:  # noqa: UP006
    made = []
    for index, name in enumerate(names):
        # Values are values here: they may be looked at.
        made.append(shop_total_plan(name=name, size=index + 1) if region == Region.NORTH else shop_total(name=name, region=region))
    return made


@dynamic
def add_up(values: typing.List[float]) -> float:  # noqa: UP006
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    return add(a=add_up(values=values[:half]), b=add_up(values=values[half:]))


@workflow
def report(names: typing.List[str], region: Region = Region.NORTH) -> typing.Tuple[str, int, int]:  # noqa: UP006
    start = create_node(log_start, name="report")
    all_totals = totals(names=names, region=region)
    start >> all_totals
    total = flaky(value=discounted(total=add_up(values=all_totals)))
    written = write_report(text=signature(value=total))
    reports = keep_reports(report=written)
    pause = sleep(timedelta(milliseconds=1))
    words = count_words(text=written)
    pause >> words
    return read_report(report=written), count_reports(reports=reports), words


@workflow
def asked() -> float:
    percent = wait_for_input("percent", timeout=timedelta(minutes=10), expected_type=int)
    return approve(cut(a=200.0, percent=percent), "agreed", timeout=timedelta(minutes=10))


@workflow
def tables(n: int) -> int:
    return size_of_table(table=make_table(n=n))


@workflow
def daily(at: datetime, names: typing.List[str]) -> typing.List[float]:  # noqa: UP006
    return totals(names=names, region=Region.NORTH)


# ---------------------------------------------------------------- launch plans


shop_total_plan = LaunchPlan.get_or_create(
    workflow=shop_total,
    name="orders.shop_total",
    default_inputs={"size": 2},
    fixed_inputs={"region": Region.NORTH},
    labels=Labels({"team": "orders"}),
    annotations=Annotations({"owner": "orders@example.org"}),
    max_parallelism=4,
)

daily_plan = LaunchPlan.get_or_create(
    daily,
    "orders.daily",
    default_inputs={"names": ["a", "b"]},
    schedule=CronSchedule(schedule="0 6 * * *", kickoff_time_input_arg="at"),
    notifications=[Email(phases=["FAILED"], recipients_email=["orders@example.org"])],
    concurrency=ConcurrencyPolicy(max_concurrency=1, behavior=ConcurrencyLimitBehavior.SKIP),
)

hourly_plan = LaunchPlan.create("orders.hourly", tables, fixed_inputs={"n": 3}, schedule=FixedRate(duration=timedelta(hours=1)))


# ---------------------------------------------------------------- call by call


imperative = Workflow(name="orders.imperative")
imperative.add_workflow_input("name", str)
_loaded = imperative.add_entity(load_shop, name=imperative.inputs["name"], region=Region.SOUTH)
_summary = imperative.add_entity(summarise, shop=_loaded.outputs["o0"])
_total = imperative.add_subwf(discounted, total=_summary.outputs["total"])
_plan = imperative.add_launch_plan(shop_total_plan, name=imperative.inputs["name"])
imperative.add_workflow_output("totals", [_total.outputs["o0"], _plan.outputs["o0"]], python_type=typing.List[float])  # noqa: UP006
imperative.add_workflow_output("largest", _summary.outputs["largest"])
