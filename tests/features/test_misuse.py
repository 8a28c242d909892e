"""What is wrong is said at the earliest moment: where it is declared, when the graph is built, when it is submitted, when it runs.

What shows while a program runs shows in the same words wherever it runs. The sections are those of what Flyte's users can get wrong.
"""

from __future__ import annotations

import functools
import re
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypedDict

import dask
import pytest
from distributed import Client

import daskflow as fl
from daskflow.errors import (
    BranchFailed,
    DefinitionError,
    GraphError,
    InputError,
    NestingError,
    NodeError,
    OptionError,
    OutputError,
    PromiseError,
    SecretError,
)
from daskflow.infrastructure import OPTIONS, TASK_OPTIONS, InfrastructureWarning
from daskflow.notifications import Email
from daskflow.schedules import CronSchedule, FixedRate
from tests.features.conftest import Flow
from tests.told import told


@dataclass
class Point:
    """A value with parts."""

    x: int
    tags: dict[str, int]


@dataclass(frozen=True, slots=True)
class Slotted:
    """A value without a dict."""

    x: Any


class Row(TypedDict):
    """A dict with declared keys."""

    n: int


class One(NamedTuple):
    """One output with a name."""

    only: int


class Low(NamedTuple):
    """Two outputs."""

    low: int
    high: int


@fl.task
def add(a: int, b: int = 1) -> int:
    return a + b


@fl.task
def numbers(n: int) -> list[int]:
    return list(range(n))


@fl.task
def table(n: int) -> dict[str, int]:
    return {"a": n}


@fl.task
def untyped_table(n: int) -> dict:  # type: ignore[type-arg]
    return {"a": n}


@fl.task
def row(n: int) -> Row:
    return {"n": n}


@fl.task
def point(x: int) -> Point:
    return Point(x, {"k": x})


@fl.task
def one(a: int) -> One:
    return One(a)


@fl.task
def two(a: int) -> tuple[int, str]:
    return a, str(a)


@fl.task
def low(a: int) -> Low:
    return Low(a, a)


@fl.task
def nothing(a: int) -> None:
    return None


@fl.task
def maybe(a: int) -> int | None:
    return a or None


@fl.task
def maybe_point(a: int) -> Point | None:
    return None


@fl.task
def shout(text: str) -> str:
    return text.upper()


@fl.task
def total(n: list[int]) -> int:
    return sum(n)


@fl.task
def count(n: set[int]) -> int:
    return len(n)


@fl.task
def lists(n: list[list[int]]) -> int:
    return len(n)


@fl.task
def maybe_list(n: list[int] | None) -> int:
    return len(n or [])


@fl.task
def values(n: dict[str, int]) -> int:
    return len(n)


@fl.task
def of_row(n: Row) -> int:
    return n["n"]


@fl.task
def of_point(p: Point) -> int:
    return p.x


@fl.task
def anything(p: Any) -> str:
    return type(p).__name__


@fl.task
def fails(a: int) -> int:
    raise KeyError("b")


@fl.workflow
def add_wf(a: int, b: int = 2) -> int:
    return add(a=a, b=b)


def plain(a: int) -> int:
    return a


def fixed(name: str) -> Any:
    return fl.LaunchPlan.get_or_create(add_wf, name=f"misuse.{name}", fixed_inputs={"b": 3})


# ---------------------------------------------------------------- 1.2 and 1.3: where it is declared


def task(**options: Any) -> Any:
    """Return what declares a task with options."""
    return lambda: fl.task(**options)(plain)


def default_of_none(a: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
    return 1


def several_none(a: int, b: int) -> int:
    return a


@fl.task
def handles_text(a: int, b: int, err: str = "") -> None:
    return None


@fl.task
def handles_error(a: int, b: int, error: NodeError | None = None) -> None:
    return None


@fl.task
def handles_more(a: int, b: int, c: int) -> None:
    return None


class Gives3:
    """A policy whose version is no text."""

    def get_version(self, salt: str, params: fl.VersionParameters) -> str:
        return 3  # type: ignore[return-value]


class GivesUp:
    """A policy that has no version."""

    def get_version(self, salt: str, params: fl.VersionParameters) -> str:
        raise ValueError("no version today")


DECLARED: list[tuple[Any, type[Exception], str]] = [
    # cache
    (task(cache=1), OptionError, "cache of .*plain must be bool or Cache; got 1"),
    (task(cache=fl.Cache("1"), cache_version="1"), OptionError, "has both cache=Cache.* and cache_version; say it in Cache"),
    (task(cache=fl.Cache("1"), cache_serialize=True), OptionError, "has both cache=Cache.* and cache_serialize"),
    (task(cache=fl.Cache("1"), cache_ignore_input_vars=("a",)), OptionError, "has both cache=Cache.* and cache_ignore_input_vars"),
    (task(cache_version="1"), OptionError, "cache_version of .*plain has no effect without cache=True"),
    (task(cache_serialize=True), OptionError, "cache_serialize of .*plain has no effect without cache=True"),
    (task(cache_ignore_input_vars=("a",)), OptionError, "cache_ignore_input_vars of .*plain has no effect without cache=True"),
    (task(cache=True, cache_ignore_input_vars=("z",)), OptionError, "names 'z'; its inputs are a"),
    (task(cache=True, cache_ignore_input_vars="a"), OptionError, "must be tuple or list; got 'a'"),
    (task(cache=True, cache_version=1), OptionError, "cache_version of .*plain must be str; got 1"),
    (task(cache=fl.Cache(version=1)), OptionError, "version of the Cache of .*plain must be str or NoneType; got 1"),  # type: ignore[arg-type]
    (task(cache=fl.Cache(salt=1)), OptionError, "salt of the Cache of .*plain must be str; got 1"),  # type: ignore[arg-type]
    (task(cache=fl.Cache(policies=[1])), OptionError, "policies of the Cache of .*plain has 1, which has no get_version"),  # type: ignore[list-item]
    (task(cache=fl.Cache(ignored_inputs=("z",))), OptionError, "names 'z'; its inputs are a"),
    (lambda: fl.task(cache=fl.Cache(policies=[GivesUp()]))(plain)(a=1), OptionError, "Failed to generate version .* no version today"),
    (lambda: fl.task(cache=fl.Cache(policies=[Gives3()]))(plain)(a=1), OptionError, "must give its version as text; it gave 3"),
    (lambda: fl.HashMethod(3), OptionError, "HashMethod takes a function, not 3"),  # type: ignore[arg-type]
    # attempts
    (task(retries=-1), OptionError, "retries of task .*plain must be an int from 0 on, or a Retry; got -1"),
    (task(retries="a"), OptionError, "retries of task .*plain .* got 'a'"),
    (task(timeout=-1), OptionError, "timeout of task .*plain must be more than 0 seconds, as a number or a timedelta; got -1"),
    (task(timeout="a"), OptionError, "timeout of task .*plain .* got 'a'"),
    (lambda: fl.dynamic(timeout=fl.Timeout(1, killable=True))(plain), OptionError, "is killable, and the body of a dynamic cannot be"),
    (lambda: fl.Retry(1, on=3), OptionError, "on of Retry must be a type of Exception"),  # type: ignore[arg-type]
    # what is said of it
    (task(docs=3), OptionError, "docs of task .*plain must be Documentation or text; got 3"),
    (lambda: fl.workflow(docs=3)(plain), OptionError, "docs of workflow .*plain must be Documentation or text; got 3"),
    (lambda: fl.Documentation(short_description=3), OptionError, "short_description of Documentation must be text"),  # type: ignore[arg-type]
    (task(deprecated=True), OptionError, "deprecated of task .*plain must be str; got True"),
    (task(pickle_untyped=1), OptionError, "pickle_untyped of task .*plain must be bool; got 1"),
    (lambda: fl.workflow(pickle_untyped=1)(plain), OptionError, "pickle_untyped of workflow .*plain must be bool; got 1"),  # type: ignore[call-overload]
    (task(enable_deck=True, disable_deck=True), OptionError, "has both enable_deck and disable_deck; give one of them"),
    # where it runs
    (task(environment={"A": 1}), OptionError, "must have text as values; A is 1: write A='1'"),
    (task(environment="A"), OptionError, "environment of task .*plain must be a dict of text by variable"),
    (task(requests={"cpu": 1}), OptionError, "requests of task .*plain must be Resources, such as"),
    (task(limits="1"), OptionError, "limits of task .*plain must be Resources, such as"),
    (task(resources=fl.Resources(cpu=1), requests=fl.Resources(cpu=1)), OptionError, "has both resources and requests; say it all in"),
    (lambda: fl.Resources(cpu=object()), OptionError, "cpu of Resources must be an amount from 0 on"),  # type: ignore[arg-type]
    (lambda: fl.Resources(cpu=(1, 2, 3)), OptionError, r"cpu of Resources must be one amount, or a pair .* got \(1, 2, 3\)"),  # type: ignore[arg-type]
    (lambda: fl.Secret(), OptionError, "Secret needs a group: the secret's name"),  # type: ignore[call-arg]
    (task(secret_requests=["a"]), OptionError, "secret_requests of task .*plain must be a list of Secret"),
    # what is no option
    (task(nonsense=1), OptionError, "task .*plain has no option 'nonsense'; it has cache, cache_version"),
    (task(max_parallelism=1), OptionError, "task .*plain has no option 'max_parallelism'"),
    (task(node_dependency_hints=[]), OptionError, "node_dependency_hints of task .*plain is an option of dynamics"),
    (lambda: fl.workflow(retries=1)(plain), OptionError, "workflow .*plain has no option 'retries'; it has max_parallelism"),  # type: ignore[call-overload]
    (lambda: fl.dynamic(on_failure=nothing)(plain), OptionError, "dynamic .*plain has no option 'on_failure'"),  # type: ignore[call-overload]
    (lambda: fl.Environment(nonsense=1), OptionError, "Environment has no option 'nonsense'"),  # type: ignore[call-arg]
    (lambda: fl.workflow(failure_policy=1)(plain), OptionError, "failure_policy of workflow .*plain must be a WorkflowFailurePolicy"),  # type: ignore[call-overload]
    (lambda: fl.workflow(max_parallelism=-1)(plain), OptionError, "max_parallelism of .*plain must be a positive int, or 0"),
    # what is no function with an interface
    (lambda: fl.task(lambda a: a), DefinitionError, "parameter 'a' of .* has no type annotation; write a: int"),
    (lambda: fl.task(functools.partial(plain, a=1)), DefinitionError, "@task decorates a function, not functools.partial"),  # type: ignore[call-overload]
    (lambda: fl.task(dict), DefinitionError, "@task decorates a function, not <class 'dict'>"),
    (lambda: fl.workflow(add), DefinitionError, "is an entity already; decorate a function with @workflow"),
    (lambda: fl.task(default_of_none), DefinitionError, "the default of 'a' of .*default_of_none: expected int, got None"),
    # on_failure
    (lambda: fl.workflow(on_failure=nothing)(several_none), DefinitionError, r"nothing must take 'b' \(int\), as the workflow does"),
    (lambda: fl.workflow(on_failure=handles_more)(several_none), DefinitionError, "nobody gives .*handles_more its input 'c'"),
    (lambda: fl.workflow(on_failure=handles_text)(several_none), DefinitionError, "declares 'err' as str; it is given a NodeError"),
    (
        lambda: fl.workflow(on_failure=handles_error)(several_none),
        DefinitionError,
        "is given the failure as 'err'; rename its input 'error'",
    ),
    (lambda: fl.workflow(on_failure=plain)(several_none), DefinitionError, "must be a task or workflow, not <function plain"),  # type: ignore[call-overload]
    # maps
    (lambda: fl.map_task(plain), DefinitionError, "map_task goes over a task.*, not <function plain .*; decorate it with @task"),
    (lambda: fl.map_task(lambda a: a), DefinitionError, "map_task goes over a task.*; decorate it with @task"),
    (lambda: fl.map_task(two), DefinitionError, r"two has several outputs \(o0, o1\); what is mapped has one"),
    (lambda: fl.map_task(add, [1]), OptionError, r"concurrency of map of .*add must be a positive int, or 0 .* got \[1\]"),  # type: ignore[arg-type]
    (lambda: fl.map_task(add, concurrency=-1), OptionError, "concurrency of map of .*add must be a positive int, or 0"),
    (lambda: fl.map_task(add, concurrency="2"), OptionError, "concurrency of map of .* got '2'"),  # type: ignore[arg-type]
    (lambda: fl.map_task(add, min_success_ratio=2), OptionError, "min_success_ratio of the map of .* from 0 to 1; got 2"),
    (lambda: fl.map_task(add, min_successes="1"), OptionError, "min_successes of the map of .* got '1'"),  # type: ignore[arg-type]
    (lambda: fl.map_task(add, nonsense=1), OptionError, "map of .*add has no option 'nonsense'"),
    (lambda: fl.map_task(functools.partial(add, c=1)), DefinitionError, "the map of .*add binds 'c', but .*add has no input 'c'"),
    (lambda: fl.map_task(functools.partial(add, b="x")), InputError, "input 'b' of .*add: expected int, got 'x'"),
    (lambda: fl.map_task(add, bound_inputs={"z": 1}), DefinitionError, "the map of .*add binds 'z'"),
    (lambda: fl.map_task(functools.partial(fixed("f1"), b=1)), DefinitionError, "has no input 'b' to give: it is fixed to 3"),
    # launch plans
    (lambda: fl.LaunchPlan.get_or_create(add), DefinitionError, "is made of a @workflow, not of <task .*add>"),  # type: ignore[arg-type]
    (lambda: fl.LaunchPlan.get_or_create(fixed("f2")), DefinitionError, "is made of a @workflow, not of <launch plan"),  # type: ignore[arg-type]
    (lambda: fl.LaunchPlan.get_or_create(add_wf, max_parallelism=1), DefinitionError, "has no properties of its own.*give the plan a name"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, auto_activate=True), DefinitionError, "such as auto_activate; give the plan a name"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, concurrency=fl.ConcurrencyPolicy(1)), DefinitionError, "such as concurrency"),
    (lambda: (fixed("f3"), fl.LaunchPlan.create("misuse.f3", add_wf)), DefinitionError, "named 'misuse.f3' exists already"),
    (lambda: (fixed("f4"), fl.LaunchPlan.get_or_create(add_wf, "misuse.f4")), DefinitionError, "already with another fixed_inputs"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", default_inputs={"z": 1}), InputError, "names 'z'; .*add_wf takes a: int, b: int"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", fixed_inputs={"z": 1}), InputError, "names 'z'; .*add_wf takes a: int, b: int"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", fixed_inputs={"a": "x"}), InputError, "input 'a' of .*add_wf: expected int"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", default_inputs={"a": 1}, fixed_inputs={"a": 1}), InputError, "what is fixed has no"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", nonsense=1), OptionError, "launch plan m has no option 'nonsense'"),  # type: ignore[call-arg]
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", labels={"a": 1}), OptionError, "labels of launch plan m must be a dict of text"),  # type: ignore[dict-item]
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", max_parallelism=-1), OptionError, "max_parallelism of launch plan m must be"),
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", overwrite_cache=1), OptionError, "overwrite_cache of launch plan m must be bool"),  # type: ignore[arg-type]
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", schedule="daily"), OptionError, "must be a CronSchedule or FixedRate"),  # type: ignore[arg-type]
    (lambda: fl.LaunchPlan.get_or_create(add_wf, "m", schedule=CronSchedule("daily")), DefinitionError, r"nobody to give the input 'a'"),
    (
        lambda: fl.LaunchPlan.get_or_create(add_wf, "m", schedule=CronSchedule("daily", kickoff_time_input_arg="z")),
        DefinitionError,
        "kickoff_time_input_arg of .* names 'z'; .*add_wf takes a: int",
    ),
    (
        lambda: fl.LaunchPlan.get_or_create(add_wf, "m", schedule=CronSchedule("daily", kickoff_time_input_arg="a")),
        DefinitionError,
        "names 'a', which is int; declare it as datetime.datetime",
    ),
    (lambda: CronSchedule(cron_expression="* * * * ? *"), OptionError, "Flyte has given up; write schedule= with five fields"),
    (lambda: CronSchedule("61 * * * *"), OptionError, "is no cron expression: '61 .*Bad minute"),
    (lambda: FixedRate(timedelta(seconds=30)), OptionError, "duration of a FixedRate must be a timedelta of whole minutes"),
    (lambda: FixedRate(timedelta(0)), OptionError, "whole minutes, at least one"),
    (lambda: fl.ConcurrencyPolicy(0), OptionError, "max_concurrency of a ConcurrencyPolicy must be a positive int; got 0"),
    (lambda: fl.ConcurrencyPolicy(1, behavior="ABORT"), OptionError, "must be one of SKIP, QUEUE, REPLACE, FAIL; got 'ABORT'"),
    (lambda: Email([], ["a@b"]), OptionError, "phases of Email must be a list that is not empty"),
    (lambda: Email(["RUNNING"], ["a@b"]), OptionError, "phases of Email are ends of a run, .*; got 'RUNNING'"),
]


@pytest.mark.parametrize(("declare", "kind", "said"), DECLARED, ids=[said for _, _, said in DECLARED])
def test_declarations(declare: Any, kind: type[Exception], said: str) -> None:
    """A wrong declaration is refused where it stands, and says what it is of, what was given, and the way out."""
    with pytest.raises(kind, match=said):
        declare()


def no_parameter(a) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_result(a: int):  # type: ignore[no-untyped-def]
    return 1


def star(*a: int) -> int:
    return 1


def goes_once(a: typing.Iterator[int]) -> int:
    return 1


async def coroutine(a: int) -> int:
    return 1


def generator(a: int) -> Any:
    yield 1


@pytest.mark.parametrize("kind", [fl.task, fl.dynamic, fl.workflow])
@pytest.mark.parametrize(
    ("function", "said"),
    [
        (no_parameter, "parameter 'a' of .*no_parameter has no type annotation; write a: int, or a: Any"),
        (no_result, "no_result has no return annotation; write -> None"),
        (star, r"parameter '\*a' of .*star is variadic positional; an entity's inputs are named"),
        (goes_once, r"the annotation of 'a' of .*goes_once cannot be used: .*declare list\[int\]"),
        (generator, "generator is a generator; .* takes a plain function: return a value"),
    ],
)
def test_interfaces(kind: Any, function: Any, said: str) -> None:
    """A function whose interface a graph cannot bind is refused where it is decorated, whatever it is to be."""
    with pytest.raises(DefinitionError, match=said):
        kind(function)


@pytest.mark.parametrize("kind", [fl.dynamic, fl.workflow])
def test_only_tasks_are_coroutines(kind: Any) -> None:
    """A body that builds a graph awaits nothing."""
    with pytest.raises(DefinitionError, match="is an async function, as only tasks may be"):
        kind(coroutine)


@pytest.fixture
def _never_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.infrastructure._warned", set())


@pytest.mark.usefixtures("_never_warned")
@pytest.mark.parametrize("option", TASK_OPTIONS)
def test_infrastructure_is_warned_of_once(flow: Flow, option: str) -> None:
    """An option of Flyte's that is about pods and images is taken, warned of once in a process, and changes nothing."""
    given: Any = {"interruptible": True, "enable_deck": True, "disable_deck": False}.get(option, "something")
    with pytest.warns(
        InfrastructureWarning, match=f"{option} of task .*plain has no effect on Dask: {OPTIONS[option].instead[:20]}"
    ) as said:
        declared = fl.task(**{option: given})(plain)
    assert said[0].filename == __file__
    again = fl.task(**{option: given})(plain)
    assert [flow(declared, a=1), flow(again, a=1)] == [1, 1]


# ---------------------------------------------------------------- 1.4 to 1.12: when the graph is built


def leaked(a: int) -> Any:
    made: list[Any] = []

    def keep() -> Any:
        made.append(add(a=7))
        return made[0]

    fl.conditional("choice").if_(add(a=a) > 1).then(keep()).else_().then(2)
    return add(a=made[0])


def choice(condition: Any, then: Any, otherwise: Any) -> Any:
    return fl.conditional("choice").if_(condition()).then(then()).else_().then(otherwise())


#: Bodies of workflows and dynamics, the error, and what it says. None of them may execute a node.
BODIES: list[tuple[Any, type[Exception], str]] = [
    # 1.4 calls
    (lambda a: add(), InputError, r"add is missing the input 'a' \(int\); it takes a: int, b: int = 1"),
    (lambda a: add(a=1, z=1), InputError, "add has no input 'z'; it takes a: int, b: int = 1"),
    (lambda a: add(1, 2, 3), InputError, "add takes 2 inputs but 3 were given"),
    (lambda a: add(1, a=1), InputError, "add got the input 'a' twice, by position and by name"),
    (lambda a: add(a="x"), InputError, "input 'a' of .*add: expected int, got 'x' of type str"),
    (lambda a: add(a=True), InputError, "input 'a' of .*add: expected int, got True of type bool"),
    (lambda a: add(a=None), InputError, "input 'a' of .*add: expected int, got None"),
    (lambda a: fl.create_node(add, 1), InputError, "create_node takes the inputs of .*add by name: a: int, b: int = 1"),
    (lambda a: fl.create_node(add, z=1), InputError, "add has no input 'z'"),
    (lambda a: fl.create_node(plain, a=1), DefinitionError, "create_node takes a task.*, not <function plain"),
    (lambda a: fl.create_node(add, a=1).o1, AttributeError, "has no output 'o1'; its outputs: o0"),
    (lambda a: fl.create_node(nothing, a=1).o0, AttributeError, "has no output 'o0'; its outputs: none"),
    (lambda a: add(a=fl.create_node(add, a=1)), InputError, "expected int, got <node of .*add>"),
    # 1.5 promises are no values
    (lambda a: add(a=1) + 1, PromiseError, r"cannot be used in an expression \(\+\): .*do this inside a @task, or in a @dynamic"),
    (lambda a: -add(a=1), PromiseError, r"used in an expression \(-\)"),
    (lambda a: len(numbers(n=1)), PromiseError, r"measured with len"),
    (lambda a: int(add(a=1)), PromiseError, r"int\(\)"),
    (lambda a: range(add(a=1)), PromiseError, "an index"),
    (lambda a: [add(a=one) for one in numbers(n=2)], PromiseError, "iterated over: use map_task .* or take it as an input of a @dynamic"),
    (lambda a: add(*numbers(n=2)), PromiseError, "iterated over"),
    (lambda a: sum(numbers(n=2)), PromiseError, "iterated over"),
    (lambda a: 1 if add(a=1) else 2, PromiseError, "used as a truth value"),
    (lambda a: not add(a=1), PromiseError, "used as a truth value"),
    (lambda a: add(a=1) and 2, PromiseError, "used as a truth value"),
    (lambda a: 1 if add(a=1) == 2 else 2, PromiseError, "== 2.* is no truth value .*conditional"),
    (lambda a: add(a=1) in [2], PromiseError, "is no truth value"),  # noqa: FURB171
    (lambda a: sorted([add(a=1), add(a=2)]), PromiseError, "is no truth value"),
    (lambda a: add(a=1) & add(a=1), PromiseError, r"used in an expression \(&\)"),
    (lambda a: numbers(n=1).append(1), PromiseError, "has no attribute 'append'"),
    (lambda a: add(a=1)(), PromiseError, "called"),
    (lambda a: anything(p=f"{add(a=1)}"), PromiseError, "formatted"),
    (lambda a: anything(p=str(add(a=1))), PromiseError, "turned into text"),
    (lambda a: anything(p="%s" % add(a=1)), PromiseError, "turned into text"),  # noqa: UP031
    (lambda a: numbers(n=3)[0:2], PromiseError, "sliced: slice it inside a @task"),
    (lambda a: numbers(n=3)[add(a=1)], PromiseError, "indexed by another promise"),
    (lambda a: numbers(n=3).__setitem__(0, 1), PromiseError, "cannot be changed"),
    (lambda a: numbers(n=3).__delitem__(0), PromiseError, "cannot be changed"),
    (lambda a: numbers(n=3)["x"], PromiseError, r"list\[int\] is indexed by int, not 'x'"),
    (lambda a: table(n=3)[0], PromiseError, r"dict\[str, int\] is indexed by str, not 0"),
    (lambda a: point(x=3).z, PromiseError, "Point declares no attribute 'z'; it has x, tags"),
    (lambda a: row(n=3)["m"], PromiseError, "Row declares no key 'm'; it has n"),
    (lambda a: maybe_point(a=3).x, PromiseError, "may be None, which has no parts; hand the whole value to a @task"),
    # 1.5 what hides a promise
    (lambda a: of_point(p=Point(add(a=1), {})), InputError, "at .x: expected int, got <promise of add"),
    (lambda a: anything(p=Point(add(a=1), {})), PromiseError, "input 'p' of .*anything has a promise inside a Point, where no value"),
    (lambda a: anything(p=Slotted(add(a=1))), PromiseError, "has a promise inside a Slotted"),
    (lambda a: anything(p=Slotted([add(a=1)])), PromiseError, "has a promise inside a Slotted"),
    (lambda a: anything(p=[{add(a=1)}]), PromiseError, "has a promise inside a"),
    (lambda a: anything(p=[add(a=1), {add(a=1)}]), PromiseError, "has a promise inside a set"),
    (lambda a: anything(p={add(a=1): 1}), PromiseError, "has a promise inside a dict"),
    (lambda a: anything(p={add(a=1): add(a=1)}), PromiseError, "has a promise inside a dict"),
    (lambda a: anything(p=add(a=1) == 2), PromiseError, "has a promise inside a Comparison"),
    (lambda a: Slotted(add(a=1)), PromiseError, "the output of .*wrong has a promise inside a Slotted"),
    # 1.5 calls that give nothing
    (lambda a: add(a=nothing(a=1)), InputError, "input 'a' of .*add is declared int, but <promise of nothing .*> gives nothing"),
    (lambda a: anything(p=nothing(a=1)), InputError, "input 'p' of .*anything is given .*, which gives nothing; leave it out, and order"),
    (lambda a: maybe_list(n=nothing(a=1)), InputError, "which gives nothing; leave it out"),
    (lambda a: nothing(a=1) + 1, PromiseError, r"used in an expression \(\+\)"),
    (lambda a: nothing(a=1).x, PromiseError, "None has no part 'x'"),
    # 1.6 several outputs
    (
        lambda a: add(a=two(a=1)),
        InputError,
        r"is declared int, but is given all outputs of a call \(o0, o1\); take one, by name or index",
    ),
    (lambda a: add(a=one(a=1)), InputError, r"is declared int, but is given all outputs of a call \(only\)"),
    (lambda a: two(a=1).o2, AttributeError, "has no attribute 'o2'"),
    # 1.12 types of promises, and of values beside them
    (lambda a: shout(text=add(a=1)), InputError, "input 'text' of .*shout is declared str, but <promise of add .*> is int"),
    (lambda a: total(n=[numbers(n=1)]), InputError, r"input 'n' of .*total\[0\] is declared int, but .* is list\[int\]"),
    (lambda a: lists(n=[add(a=1)]), InputError, r"lists\[0\] is declared list\[int\], but .* is int"),
    (lambda a: maybe_list(n=[two(a=1).o1]), InputError, r"maybe_list\[0\] is declared int, but .* is str"),
    (lambda a: total(n=[add(a=1), "x"]), InputError, r"input 'n' of .*total\[1\]: expected int, got 'x'"),
    (lambda a: values(n={"a": add(a=1), "b": "x"}), InputError, r"input 'n' of .*values\['b'\]: expected int, got 'x'"),
    (lambda a: values(n={1: add(a=1)}), InputError, r"input 'n' of .*values: dict\[str, int\] is indexed by str, not 1"),
    (lambda a: of_row(n={"m": add(a=1)}), InputError, "input 'n' of .*of_row: Row declares no key 'm'"),
    (lambda a: add(a=[add(a=1)]), InputError, "input 'a' of .*add is declared int, but is given a list"),
    (lambda a: total(n=(add(a=1),)), InputError, r"input 'n' of .*total is declared list\[int\], but is given a tuple"),
    (lambda a: total(n={"a": add(a=1)}), InputError, r"is declared list\[int\], but is given a dict"),
    (lambda a: count(n=[add(a=1)]), InputError, r"is declared set\[int\], but is given a list"),
    (lambda a: add(a=maybe(a=1)), InputError, r"it may be None: declare int \| None, or deal with None in a @task or @dynamic"),
    (lambda a: add_wf(a=shout(text="x")), InputError, "input 'a' of .*add_wf is declared int, but .* is str"),
    # 1.7 maps
    (lambda a: fl.map_task(add)(a=add(a=1)), InputError, r"input 'a' of map of .*add is declared list\[int\], but .* is int"),
    (lambda a: fl.map_task(add)(a=[1, 2], b=[1]), InputError, "goes over lists of one length, but 'a' has 2, 'b' has 1 items"),
    (
        lambda a: fl.map_task(add)(a=fl.map_task(add, min_success_ratio=0.5)(a=[1])),
        InputError,
        r"declared list\[int\], but .*Optional\[int\]",
    ),
    (lambda a: fl.map_task(add)(a=(1, 2)), InputError, r"expected list\[int\], got \(1, 2\) of type tuple"),
    (lambda a: fl.map_task(add)(a=[1, "x"]), InputError, r"at \[1\]: expected int, got 'x'"),
    (lambda a: fl.map_task(add(a=1)), DefinitionError, "map_task goes over a task.*, not <promise of add"),
    (lambda a: fl.map_task(add, bound_inputs={"a"})(b=[1]), InputError, "map of .*add is missing the input 'a'"),
    (lambda a: fl.map_task(fixed("f5"))(a=[1], b=[1]), InputError, "map of misuse.f5 has no input 'b' to give: it is fixed to 3"),
    # 1.8 launch plans
    (lambda a: fixed("f6")(a=1, b=add(a=1)), InputError, "launch plan misuse.f6 has no input 'b' to give: it is fixed to 3; make another"),
    (lambda a: fl.LaunchPlan.get_or_create(add_wf, "m", fixed_inputs={"b": add(a=1)}), InputError, "expected int, got <promise of add"),
    (lambda a: fl.LaunchPlan.get_or_create(add_wf)(), InputError, "add_wf is missing the input 'a'"),
    # 1.9 overrides
    (lambda a: add(a=1).with_overrides(nonsense=1), OptionError, "with_overrides of task .*add has no option 'nonsense'; it has node_name"),
    (lambda a: add(a=1).with_overrides(max_parallelism=1), OptionError, "has no option 'max_parallelism'"),
    (lambda a: add(a=1).with_overrides(requests=1), OptionError, "requests of with_overrides of task .*add must be Resources"),
    (
        lambda a: add(a=1).with_overrides(resources=fl.Resources(cpu=1), limits=fl.Resources(cpu=1)),
        OptionError,
        "with_overrides of .* has both resources and limits",
    ),
    (lambda a: add(a=1).with_overrides(timeout="x"), OptionError, "timeout of with_overrides of .* got 'x'"),
    (lambda a: add(a=1).with_overrides(retries="x"), OptionError, "retries of with_overrides of .* got 'x'"),
    (lambda a: add(a=1).with_overrides(retries=add(a=1)), OptionError, "retries of with_overrides of .* is a promise"),
    (lambda a: add(a=1).with_overrides(environment={"A": add(a=1)}), OptionError, "environment of with_overrides of .* is a promise"),
    (lambda a: add(a=1).with_overrides(cache=fl.Cache()), OptionError, "has cache=True and no version; say cache_version as well"),
    (lambda a: add(a=1).with_overrides(cache_version="1"), OptionError, "has no effect without cache=True"),
    (lambda a: add(a=1).with_overrides(node_name="a b"), OptionError, "node_name of with_overrides of .* must be letters"),
    (lambda a: add_wf(a=1).with_overrides(retries=1), OptionError, "has no option 'retries', which is one of tasks: give it to the tasks"),
    (lambda a: fixed("f7")(a=1).with_overrides(timeout=1), OptionError, "has no option 'timeout', which is one of tasks"),
    (lambda a: fl.map_task(add)(a=[1]).with_overrides(concurrency=1), OptionError, "with_overrides of map of .*add has no option 'concurr"),
    # 1.10 order and conditionals
    (lambda a: add(a=1) >> 3, PromiseError, "only calls are ordered with >>"),
    (lambda a: add(a=1) >> [add(a=1)], PromiseError, "order them one by one"),
    (lambda a: (lambda p: p >> p)(add(a=1)), GraphError, "wait for each other in a circle"),  # noqa: PLC3002
    (lambda a: fl.conditional("choice"), GraphError, "<conditional 'choice'> in .*wrong has no end"),
    (lambda a: fl.conditional("choice").if_(add(a=1) > 1).then(1), GraphError, "has no end; end it with .else_"),
    (lambda a: choice(lambda: add(a=1), lambda: 1, lambda: 2), PromiseError, r"is no condition .*write .is_true\(\), or compare it"),
    (lambda a: choice(lambda: add(a=1) > 1 and add(a=1) < 3, lambda: 1, lambda: 2), PromiseError, "join expressions with & and |"),
    (lambda a: choice(lambda: not add(a=1), lambda: 1, lambda: 2), PromiseError, "used as a truth value"),
    (lambda a: choice(lambda: numbers(n=1) == [0], lambda: 1, lambda: 2), PromiseError, "compare with another promise, or with a number"),
    (lambda a: choice(lambda: add(a=1) == "x", lambda: 1, lambda: 2), PromiseError, "is never comparable with 'x'"),
    (lambda a: choice(lambda: add(a=1) > 1, lambda: add(a=1), lambda: shout(text="x")), GraphError, "give different types: int and str"),
    (
        lambda a: choice(lambda: add(a=1) > 1, lambda: two(a=1), lambda: low(a=1)),
        GraphError,
        "different names or number: o0, o1 and low, high",
    ),
    (lambda a: choice(lambda: add(a=1) > 1, lambda: two(a=1), lambda: add(a=1)), GraphError, "different names or number: o0, o1 and one"),
    (lambda a: choice(lambda: add(a=1) > 1, lambda: nothing(a=1), lambda: add(a=1)), GraphError, "give different types: None and int"),
    (leaked, PromiseError, "belongs to another graph .* a promise lives only in the body that made it"),
    # 1.11 gates
    (lambda a: fl.sleep(3), InputError, "input 'duration' of sleep: expected timedelta, got 3"),
    (lambda a: fl.approve(add(a=1), "a b"), OptionError, "the name of a gate must be letters"),
    (lambda a: fl.wait_for_input("x", timedelta(-1), int), OptionError, "timeout of gate 'x' must be a timedelta, or seconds above 0"),
    (lambda a: fl.wait_for_input("x", expected_type=3), DefinitionError, "the expected_type of gate 'x' cannot be used: 3 is not a type"),
    (lambda a: add(a=fl.wait_for_input("x", expected_type=str)), InputError, "is declared int, but <promise of x .*> is str"),
    # runs of their own
    (lambda a: fl.run(add, a=1), NestingError, "run of .*add> was called in the body of .*wrong; call the entity itself"),
    (lambda a: add.aio(a=1), NestingError, "add.aio was called in the body of .*wrong: leave out .aio there"),
]


def with_body(body: Any) -> Any:
    def wrong(a: int) -> Any:
        return body(a)

    return wrong


def refused(run: Any, cases: list[tuple[Any, type[Exception], str]]) -> None:
    """Assert of each case that what is made of it is refused so; tell of all that are not."""
    wrong = []
    for case, kind, said in cases:
        try:
            wrong.append((said, run(case)))
        except Exception as error:
            if not isinstance(error, kind) or not re.search(said, str(error), re.DOTALL):
                wrong.append((said, repr(error)))
    assert not wrong


@pytest.mark.parametrize(("body", "kind", "said"), BODIES, ids=[said for _, _, said in BODIES])
def test_bodies_of_workflows(body: Any, kind: type[Exception], said: str) -> None:
    """What is wrong in a workflow's body shows while its graph is built: before it is submitted, and before any node is executed."""
    with pytest.raises(kind, match=rf"(?s){said}"):
        fl.workflow(with_body(body)).prepare()


def test_bodies_of_dynamics(flow: Flow) -> None:
    """What is wrong in a dynamic's body is the run's failure, in the same words wherever it runs."""
    refused(lambda body: flow(fl.dynamic(with_body(body)), a=1), BODIES)


def text_for_int(a: int) -> int:
    return shout(text="x")  # type: ignore[return-value]


def constant_text_for_int(a: int) -> int:
    return "x"  # type: ignore[return-value]


def one_for_two(a: int) -> tuple[int, int]:
    return add(a=a)  # type: ignore[return-value]


def three_for_two(a: int) -> tuple[int, int]:
    return add(a=a), add(a=a), add(a=a)  # type: ignore[return-value]


def two_for_one(a: int) -> int:
    return add(a=a), add(a=a)  # type: ignore[return-value]


def list_for_two(a: int) -> tuple[int, int]:
    return [add(a=a), add(a=a)]  # type: ignore[return-value]


def wrong_second(a: int) -> tuple[int, int]:
    return add(a=a), shout(text="x")  # type: ignore[return-value]


def text_beside(a: int) -> list[int]:
    return [add(a=a), "x"]  # type: ignore[list-item]


def dict_for_list(a: int) -> list[int]:
    return {"a": add(a=a)}  # type: ignore[return-value]


def promise_for_none(a: int) -> None:
    return add(a=a)  # type: ignore[return-value]


def no_return(a: int) -> int:
    add(a=a)


def whole_outputs(a: int) -> int:
    return low(a=a)  # type: ignore[return-value]


def uncalled(a: int) -> int:
    return add  # type: ignore[return-value]


OUTPUTS: list[tuple[Any, type[Exception], str]] = [
    (text_for_int, InputError, "the output of .*text_for_int is declared int, but <promise of shout .*> is str"),
    (constant_text_for_int, OutputError, "constant_text_for_int declares -> int: expected int, got 'x'"),
    (one_for_two, InputError, r"the output of .*one_for_two is declared tuple\[int, int\], but .* is int"),
    (three_for_two, OutputError, r"three_for_two declares 2 outputs \(o0, o1\), but returned 3 values"),
    (two_for_one, OutputError, "the output of .*two_for_one is declared int, but is given a tuple"),
    (list_for_two, OutputError, r"the output of .*list_for_two is declared tuple\[int, int\], but is given a list"),
    (wrong_second, InputError, "output 'o1' of .*wrong_second is declared int, but .* is str"),
    (text_beside, OutputError, r"the output of .*text_beside\[1\]: expected int, got 'x'"),
    (dict_for_list, OutputError, r"the output of .*dict_for_list is declared list\[int\], but is given a dict"),
    (promise_for_none, InputError, "the output of .*promise_for_none is declared None, but .* is int"),
    (no_return, OutputError, "no_return declares -> int: expected int, got None .*does each way through it end with a return"),
    (whole_outputs, OutputError, r"is declared int, but is given all outputs of a call \(low, high\)"),
    (uncalled, OutputError, "uncalled declares -> int: expected int, got <task .*add>"),
]


def test_outputs_of_bodies(flow: Flow) -> None:
    """What a body returns is checked when the graph is built: that of a workflow before it is submitted."""
    refused(lambda body: fl.workflow(body).prepare(), OUTPUTS)
    refused(lambda body: flow(fl.dynamic(body), a=1), OUTPUTS)


# ---------------------------------------------------------------- 1.1 and 1.6: when a task runs


def returns_text(a: int) -> int:
    return "x"  # type: ignore[return-value]


def returns_bool(a: int) -> int:
    return True


def returns_nothing(a: int) -> int:
    a + 1


def returns_something(a: int) -> None:
    return a  # type: ignore[return-value]


def too_few(a: int) -> tuple[int, str]:
    return (a,)  # type: ignore[return-value]


def too_many(a: int) -> tuple[int, str]:
    return a, "x", a  # type: ignore[return-value]


def list_of_two(a: int) -> tuple[int, str]:
    return [a, "x"]  # type: ignore[return-value]


def wrong_part(a: int) -> Low:
    return Low(a, "x")  # type: ignore[arg-type]


def calls_task(a: int) -> int:
    return add(a=a)


def calls_workflow(a: int) -> int:
    return add_wf(a=a)


def calls_map(a: int) -> list[int]:
    return fl.map_task(add)(a=[a])  # type: ignore[no-any-return]


def calls_plan(a: int) -> int:
    return fixed("f8")(a=a)  # type: ignore[no-any-return]


def calls_run(a: int) -> int:
    return fl.run(add, a=a).result()


def calls_conditional(a: int) -> int:
    return fl.conditional("c").if_(a > 1).then(1).else_().then(2)  # type: ignore[no-any-return]


def calls_create_node(a: int) -> int:
    return fl.create_node(add, a=a).o0  # type: ignore[return-value]


def calls_sleep(a: int) -> None:
    fl.sleep(timedelta(1))


def reads_secret(a: int) -> str:
    return fl.current_context().secrets.get("misuse", "key")


RUNNING: list[tuple[Any, type[Exception], str]] = [
    (returns_text, OutputError, "returns_text declares -> int: expected int, got 'x' of type str"),
    (returns_bool, OutputError, "returns_bool declares -> int: expected int, got True of type bool"),
    (returns_nothing, OutputError, "returns_nothing declares -> int: expected int, got None .*does each way through it end with a return"),
    (returns_something, OutputError, "returns_something declares -> None: expected None, got 1"),
    (too_few, OutputError, r"too_few declares 2 outputs \(o0, o1\), but returned 1 values"),
    (too_many, OutputError, r"too_many declares 2 outputs \(o0, o1\), but returned 3 values"),
    (list_of_two, OutputError, r"list_of_two declares 2 outputs \(o0, o1\), but returned one list"),
    (wrong_part, OutputError, "output 'high' of .*wrong_part: expected int, got 'x'"),
    (
        calls_task,
        NestingError,
        "task .*add was called inside the running task .*: .* Make the caller a @dynamic, or call the plain function",
    ),
    (calls_workflow, NestingError, "workflow .*add_wf was called inside the running task"),
    (calls_map, NestingError, "^map of .*add was called inside the running task"),
    (calls_plan, NestingError, "launch plan misuse.f8 was called inside the running task"),
    (calls_run, NestingError, "run of <task .*add> was called in the running task"),
    (calls_conditional, GraphError, "belongs into a @workflow's or @dynamic's body; in plain Python, write if"),
    (calls_create_node, GraphError, r"outside a @workflow's or @dynamic's body; call add\(...\) instead"),
    (calls_sleep, GraphError, "sleep outside a @workflow's or @dynamic's body"),
    (reads_secret, SecretError, "reads the secret misuse/key, which it did not request: add secret_requests=.Secret"),
]


def test_running_tasks(flow: Flow) -> None:
    """What a task does wrong is the run's failure, alone, in a workflow and in a map, in the same words wherever it runs."""
    refused(lambda function: flow(fl.task(function), a=1), RUNNING)
    refused(lambda function: flow(fl.workflow(with_body(lambda a: [add(a=a), fl.task(function)(a=a)])), a=1), RUNNING)
    of_one = [case for case in RUNNING if case[0] not in (too_few, too_many, list_of_two, wrong_part)]
    refused(lambda function: flow(fl.map_task(fl.task(function)), a=[1]), of_one)


def test_where_a_task_failed(flow: Flow) -> None:
    """A failure says which node it was of, and which item."""
    with pytest.raises(OutputError) as failed:
        flow(fl.workflow(with_body(lambda a: [add(a=a), fl.map_task(fl.task(returns_text))(a=[a])])), a=1)
    where = told(failed.value)
    assert (where.address, where.map_index) == ("returns_text[0]", 0)


PARTS: list[tuple[Any, str]] = [
    (lambda a: numbers(n=3)[10], r"a promise's part \[10\] does not exist in \[0, 1, 2\]: IndexError"),
    (lambda a: numbers(n=3)[-4], r"a promise's part \[-4\] does not exist"),
    (lambda a: table(n=3)["z"], r"a promise's part \['z'\] does not exist in {'a': 3}: KeyError"),
    (lambda a: untyped_table(n=3)["z"], r"a promise's part \['z'\] does not exist"),
    (lambda a: point(x=3).tags["z"], r"a promise's part \['z'\] does not exist"),
]


@pytest.mark.parametrize("build", [fl.workflow, fl.dynamic])
def test_parts_that_are_not_there(flow: Flow, build: Any) -> None:
    """Whether a part is there that may be there shows when the value is; as an output, and as an input."""
    cases: list[tuple[Any, type[Exception], str]] = [(body, PromiseError, said) for body, said in PARTS]
    refused(lambda body: flow(build(with_body(body)), a=1), cases)
    refused(lambda body: flow(build(with_body(lambda a: anything(p=body(a)))), a=1), cases)


LENGTHS: list[tuple[Any, str]] = [
    (
        lambda a: fl.map_task(add)(a=numbers(n=3), b=numbers(n=2)),
        "map of .*add goes over lists of one length, but 'a' has 3, 'b' has 2 items",
    ),
    (lambda a: fl.map_task(add)(a=numbers(n=3), b=[1]), "goes over lists of one length, but 'a' has 3, 'b' has 1 items"),
    (lambda a: fl.map_task(functools.partial(add, a=1, b=add(a=1)))(), "has no list to go over: every input is bound"),
]


@pytest.mark.parametrize("build", [fl.workflow, fl.dynamic])
def test_lengths_that_show_late(flow: Flow, build: Any) -> None:
    """Lists of different lengths are refused, never cut; where they are made by nodes, when those are done."""
    refused(lambda body: flow(build(with_body(body)), a=1), [(body, InputError, said) for body, said in LENGTHS])


@fl.workflow
def chooses(a: int) -> int:
    return fl.conditional("choice").if_(a > 1).then(add(a=a)).else_().fail("too small")  # type: ignore[no-any-return]


def test_a_branch_that_fails_is_a_value_error(flow: Flow) -> None:
    """A branch that is to fail does so if it is taken, and only then."""
    assert flow(chooses, a=2) == 3
    with pytest.raises(BranchFailed, match="too small") as failed:
        flow(chooses, a=1)
    assert isinstance(failed.value, ValueError)


class Told(Exception):
    """An exception with more than a text."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(code, what)
        self.code = code


@fl.task
def raises_told(a: int) -> int:
    raise Told(7, "seven")


@fl.dynamic
def raises_deeply(a: int) -> int:
    return raises_told(a=a) if a == 0 else raises_deeply(a=a - 1)


def test_exceptions_are_what_they_were(flow: Flow) -> None:
    """A task's exception arrives with its class, arguments and attributes, whatever is around it; what is said of it are notes."""
    with pytest.raises(KeyError) as missing:
        flow(fails, a=1)
    assert missing.value.args == ("b",)
    with pytest.raises(Told) as raised:
        flow(raises_deeply, a=3)
    assert (raised.value.args, raised.value.code) == ((7, "seven"), 7)
    assert told(raised.value).address.endswith("/raises_told")


# ---------------------------------------------------------------- what is given to a run


INPUTS: list[tuple[Any, dict[str, Any], str]] = [
    (add, {"a": "1"}, "input 'a' of .*add: expected int, got '1' of type str"),
    (add, {"a": 1, "z": 1}, "add has no input 'z'; it takes a: int, b: int = 1"),
    (add, {}, r"add is missing the input 'a' \(int\); it takes a: int, b: int = 1"),
    (add_wf, {}, r"add_wf is missing the input 'a' \(int\)"),
    (fixed("f9"), {"a": 1, "b": 2}, "launch plan misuse.f9 has no input 'b' to give: it is fixed to 3"),
    (fl.map_task(add), {"a": [1], "b": [1, 2]}, "goes over lists of one length, but 'a' has 1, 'b' has 2 items"),
    (fl.map_task(add), {"a": range(2)}, r"expected list\[int\], got range\(0, 2\)"),
    (fl.map_task(add), {}, "missing the input 'a'"),
]


@pytest.mark.parametrize(("entity", "inputs", "said"), INPUTS, ids=[said for _, _, said in INPUTS])
def test_inputs_of_runs(flow: Flow, entity: Any, inputs: dict[str, Any], said: str) -> None:
    """Inputs that do not fit are refused in the same words wherever it is to run."""
    with pytest.raises(InputError, match=said):
        flow(entity, **inputs)


@fl.workflow
def wrong_workflow(a: int) -> int:
    return add(a=shout(text="x"))  # type: ignore[arg-type]


def test_overrides_of_no_call() -> None:
    """Options of a call that is executed already are refused."""
    with pytest.raises(GraphError, match="with_overrides takes a call in a @workflow's or @dynamic's body; got 2"):
        fl.with_overrides(add(a=1), retries=1)


def test_what_shows_when_it_is_submitted(flow_client: Client) -> None:
    """Nothing is sent of a run that cannot be: inputs, options and all static graphs below are looked at first."""
    outer = fl.workflow(with_body(lambda a: fl.LaunchPlan.get_or_create(wrong_workflow)(a=a)))
    with pytest.raises(InputError, match="input 'a' of .*add is declared int, but .* is str"):
        fl.submit(outer, {"a": 1}, client=flow_client)
    given: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"max_parallelism": -1}, OptionError, "max_parallelism of the run of .*add must be a positive int, or 0"),
        ({"max_parallelism": "2"}, OptionError, "got '2'"),
        ({"name": 3}, OptionError, "name of the run of .*add must be text; got 3"),
        ({"cache": "yes"}, OptionError, "cache of the run of .*add must be bool; got 'yes'"),
        ({"overwrite_cache": 2}, OptionError, "overwrite_cache of the run of .*add must be bool; got 2"),
        ({"client": 3}, OptionError, "client of the run of .*add must be a Dask client, .*; got 3"),
    ]
    for options, kind, said in given:
        with pytest.raises(kind, match=said):
            fl.run(add, **{"client": flow_client, "a": 1, **options})
    with (
        dask.config.set({"daskflow.history.enabled": False}),
        pytest.raises(
            OptionError, match="checkpoint='all' of the run of .*add has no effect without a history.*set daskflow.history.enabled"
        ),
    ):
        fl.run(add, a=1, client=flow_client, checkpoint="all")
    with pytest.raises(InputError, match=r"submit takes the inputs of .*add in a mapping, by their names; got \[1\]"):
        fl.submit(add, [1], client=flow_client)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="run takes a task.*, not <function plain .*; decorate the function with @task"):
        fl.run(plain, a=1, client=flow_client)  # type: ignore[arg-type]


# ---------------------------------------------------------------- 1.11 imperative workflows


def test_imperative_workflows() -> None:
    """What is put together call by call is looked at as it is added."""
    other = fl.Workflow("misuse.other")
    foreign = other.add_workflow_input("a", int)
    flow = fl.Workflow("misuse.imperative")
    a = flow.add_workflow_input("a", int)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (lambda: flow.add_workflow_input("a", int), DefinitionError, "has an input 'a' already"),
        (lambda: flow.add_workflow_input("b", 3), DefinitionError, "the type of input 'b' of misuse.imperative cannot be used: 3 is not"),
        (lambda: flow.add_entity(add), InputError, "add is missing the input 'a'"),
        (lambda: flow.add_entity(add, a=foreign), PromiseError, "belongs to another graph and cannot be used in misuse.imperative"),
        (lambda: flow.add_entity(plain, a=a), DefinitionError, "takes a task.*, not <function plain"),  # type: ignore[arg-type]
        (lambda: flow.add_subwf(add, a=a), DefinitionError, "was given <task .*add> as a workflow; use add_entity"),
        (lambda: flow.add_workflow_output("o", [a]), DefinitionError, "output 'o' of misuse.imperative needs a python_type"),
        (lambda: flow.add_workflow_output("o", a, str), InputError, "output 'o' of misuse.imperative is declared str, but .* is int"),
        (lambda: flow.add_workflow_output("o", [a, "x"], list[int]), InputError, r"output 'o' of .*\[1\]: expected int, got 'x'"),
        (lambda: flow.add_on_failure_handler(shout), DefinitionError, r"shout must take 'a' \(int\), as the workflow does"),
        (lambda: flow(a=1), GraphError, "misuse.imperative is not ready: it has no node; add one with add_entity"),
        (lambda: fl.Workflow("misuse.x", nonsense=1), OptionError, "workflow misuse.x has no option 'nonsense'"),
        (lambda: fl.Workflow("misuse.x", failure_policy=3), OptionError, "must be a WorkflowFailurePolicy"),  # type: ignore[arg-type]
        (lambda: fl.Workflow(""), DefinitionError, "an ImperativeWorkflow has a name"),
    ]
    for add_wrong, kind, said in wrong:
        with pytest.raises(kind, match=said):
            add_wrong()
    assert not flow.ready()
    flow.add_entity(add, a=a)
    assert flow.ready()


# ---------------------------------------------------------------- what is right, and wrong in Flyte


@fl.task
def collect(a: int, into: list[int] = []) -> list[int]:  # noqa: B006
    into.append(a)
    return into


@fl.task
def half(a: float) -> float:
    return a / 2


@fl.task
def when(at: datetime) -> datetime:
    return at


@fl.task
def sequence(n: Sequence[int]) -> int:
    return sum(n)


#: A naive time is one of no zone, and stays so.
NAIVE = datetime(2024, 2, 29, 12)  # noqa: DTZ001

RIGHT: list[tuple[Any, Any]] = [
    (lambda a: half(a=1), 0.5),
    (lambda a: half(a=add(a=1)), 1.0),
    (lambda a: when(at=NAIVE), NAIVE),
    (lambda a: numbers(n=3)[-1], 2),
    (lambda a: table(n=3).a, 3),
    (lambda a: fl.LaunchPlan.get_or_create(add_wf)(1, 2), 3),
    (lambda a: fl.map_task(add)(a=[1, 2]), [2, 3]),
    (lambda a: fl.map_task(functools.partial(add, b=1))(a=[1], b=2), [3]),
    (lambda a: fl.map_task(fixed("f10"))(a=numbers(n=2)), [3, 4]),
    (lambda a: fl.map_task(fl.map_task(add))(a=[[1], []]), [[2], []]),
    (lambda a: fl.map_task(add, min_success_ratio=0.0)(a=[]), []),
    (lambda a: functools.partial(add, b=5)(a=a), 6),
    (lambda a: choice(lambda: add(a=1) > 1, lambda: 5, lambda: add(a=1)), 5),
    (lambda a: sequence(n=(add(a=1), 2)), 4),
    (lambda a: None, None),
    (lambda a: 5, 5),
    (lambda a: maybe(a=0), None),
    (lambda a: [add(a=1).with_overrides(node_name="x"), add(a=2).with_overrides(node_name="x")], [2, 3]),
]


@pytest.mark.parametrize("build", [fl.workflow, fl.dynamic])
def test_what_is_right_here(flow: Flow, build: Any) -> None:
    """What Flyte refuses, changes or does another way in one mode than in another, for no reason of a user's, works everywhere."""
    assert [flow(build(with_body(body)), a=1) for body, _ in RIGHT] == [gives for _, gives in RIGHT]


@fl.workflow
def collects(a: int) -> list[list[int]]:
    return [collect(a=a), collect(a=a, into=[5])]


def test_no_call_sees_what_another_did_to_a_default(flow: Flow) -> None:
    """What a task does to a list that the call has as a constant is gone in the next execution, and in the map's next item."""
    assert [flow(collects, a=1) for _ in range(3)] == [[[1], [5, 1]]] * 3
    assert flow(fl.map_task(collect), a=[1, 2]) == [[1], [2]]


def test_depth(flow: Flow) -> None:
    """Dynamics may call themselves far deeper than Python's stack."""
    with pytest.raises(Told):
        flow(raises_deeply, a=2 * sys.getrecursionlimit())


def test_bodies_of_workflows_run_once(tmp_path: Any) -> None:
    """A workflow's body runs once in a process, however often it is called."""
    path = tmp_path / "notes"
    noted = fl.workflow(with_body(lambda a: _note(str(path))))
    assert [noted(a=1) for _ in range(3)] == [2, 2, 2]
    noted.prepare()
    assert path.read_text() == "."


def _note(path: str) -> Any:
    with open(path, "a") as file:
        file.write(".")
    return add(a=1)
