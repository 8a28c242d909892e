"""How entities are called and put together, the same wherever they run: conventions of calls, parts of promises, outputs, nesting."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import daskflow as fl
from tests import programs
from tests.features.conftest import Flow


@dataclass
class Box:
    """A value with parts."""

    size: int
    tags: dict[str, list[int]]
    inner: Box | None = None


class Model(pydantic.BaseModel):
    size: int
    boxes: list[dict[str, int]]


class Split(NamedTuple):
    """Two outputs with names."""

    low: list[int]
    high: list[int]


class Only(NamedTuple):
    """One output with a name."""

    only: int


@fl.task
def add(a: int, b: int = 10) -> int:
    return a + b


@fl.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@fl.task
def describe(parts: dict[str, Any]) -> str:
    return repr(parts)


@fl.task
def box(size: int) -> Box:
    return Box(size, {"odd": [1, 3], "even": [2]})


@fl.task
def model(size: int) -> Model:
    return Model(size=size, boxes=[{"a": size}, {"b": 2}])


@fl.task
def split(numbers: list[int], at: int) -> Split:
    return Split([one for one in numbers if one < at], [one for one in numbers if one >= at])


@fl.task
def only(a: int) -> Only:
    return Only(a)


@fl.task
def both(a: int) -> tuple[int, str]:
    return a, str(a)


def by_position_name_and_default(a: int) -> list[int]:
    return [add(a), add(a, 2), add(a=a), add(b=a, a=2), functools.partial(add, b=5)(a=a), functools.partial(add, 1)(b=a)]


def containers(a: int) -> dict[str, Any]:
    one = add(a=a)
    numbers = [one, 1, add(a=one)]
    summed = total(numbers=numbers)
    # What becomes of the list after the call is nothing to the call.
    numbers.append(1000)
    return {"total": summed, "text": describe(parts={"a": one, "b": [one, {"c": 2}]}), "plain": 3, "nested": [[one], {"x": (one, 1)}]}


def paths(a: int) -> list[int]:
    made, other = box(size=a), model(size=a)
    return [made.size, made.tags["odd"][-1], made.tags.even[0], total(numbers=made.tags["odd"]), other.boxes[0]["a"], add(a=other.size)]


def outputs(a: int) -> Split:
    first = split(numbers=[1, 2, 3, 4, 5, a], at=3)
    number, _ = both(a=4)
    low, high = split(numbers=first.high, at=number)
    single = only(a=a)
    return Split(low, [total(numbers=first.low), total(numbers=high), single.only, single[0], both(a=a).o0])


BODIES: list[tuple[Any, Any]] = [
    (by_position_name_and_default, [11, 3, 11, 3, 6, 2]),
    (
        containers,
        {"total": 33, "text": "{'a': 11, 'b': [11, {'c': 2}]}", "plain": 3, "nested": [[11], {"x": (11, 1)}]},
    ),
    (paths, [1, 3, 2, 4, 1, 11]),
    (outputs, Split([3], [4, 9, 1, 1, 1])),
]


@pytest.mark.parametrize("kind", [fl.workflow, fl.dynamic])
@pytest.mark.parametrize(("body", "gives"), BODIES, ids=[body.__name__ for body, _ in BODIES])
def test_bodies(flow: Flow, kind: Any, body: Any, gives: Any) -> None:
    """A body means the same as a workflow and as a dynamic, alone, as a launch plan, and below another one."""
    entity = kind(body)
    assert flow(entity, a=1) == gives
    if body is outputs:
        assert type(flow(entity, a=1)) is Split
        return
    assert flow(fl.map_task(entity), a=[1, 1]) == [gives, gives]
    if kind is fl.workflow:
        assert flow(fl.LaunchPlan.get_or_create(entity), a=1) == gives


def test_calls_in_plain_python() -> None:
    """Outside of bodies an entity is called as the function is."""
    assert [add(1), add(1, 2), add(a=1), add(b=1, a=2), add.fn(1, 2)] == [11, 3, 11, 3, 3]
    assert [fl.map_task(add)([1, 2]), fl.map_task(add, 1)(a=[1], b=[2])] == [[11, 12], [3]]
    assert fl.workflow(paths)(1) == fl.LaunchPlan.get_or_create(fl.workflow(paths))(1)


# ---------------------------------------------------------------- nesting


@fl.dynamic
def fibonacci(n: int) -> int:
    if n < 2:
        return n
    return add(a=fibonacci(n=n - 1), b=fibonacci(n=n - 2))


@fl.dynamic
def grows(depth: int, width: int) -> list[Any]:
    if depth == 0:
        return [width]
    return [grows(depth=depth - 1, width=width), fl.map_task(fl.LaunchPlan.get_or_create(child))(depth=[depth - 1] * width)]


@fl.workflow
def child(depth: int) -> int:
    return programs.descend(depth=depth)


def test_dynamics_that_call_themselves(flow: Flow) -> None:
    """Recursion is plain: to any depth, with several calls at each level, and with maps over launch plans of workflows of dynamics."""
    assert flow(fibonacci, n=10) == 55
    assert flow(programs.descend, depth=300) == 300
    assert flow(grows, depth=3, width=2) == [[[[2], [0, 0]], [1, 1]], [2, 2]]


def test_nested_programs(flow: Flow) -> None:
    """Dynamics of launch plans in dynamics in a workflow, and maps in workflows in dynamics."""
    assert flow(programs.multi_wf, l=list(range(10)), chunk=3) == [a + 3 for a in range(10)]
    assert flow(programs.mixed_wf, l=list(range(10)), chunk=4) == [a + 2 for a in range(10)]
    assert flow(programs.spawn, n=5) == [2, 3, 4, 5, 6]


@fl.task
def plus(a: int, b: int) -> int:
    return a + b


@fl.workflow
def plus_one(a: int) -> int:
    return plus(a=a, b=1)


plus_one_lp = fl.LaunchPlan.get_or_create(plus_one)

trees = st.recursive(
    st.integers(-9, 9), lambda inner: st.tuples(st.sampled_from("add total plan dynamic map choose".split()), inner, inner)
)


def build(tree: Any) -> Any:
    """Record the calls of a tree."""
    if isinstance(tree, int):
        return tree
    kind, left, right = tree
    if kind == "dynamic":
        return plus(a=nested(tree=left), b=nested(tree=right))
    one, other = build(left), build(right)
    if kind == "plan":
        return plus(a=plus_one_lp(a=one), b=plus_one_lp(a=other))
    if kind == "map":
        return total(numbers=fl.map_task(functools.partial(plus, b=other))(a=[one, other]))
    if kind == "total":
        return total(numbers=[one, other, 1])
    summed = plus(a=one, b=other)
    if kind == "choose":
        return fl.conditional("choose").if_(summed > 0).then(plus(a=summed, b=1)).else_().then(plus(a=summed, b=-1))
    return summed


def worth(tree: Any) -> int:
    """Return what plain Python gives."""
    if isinstance(tree, int):
        return tree
    kind, one, other = tree[0], worth(tree[1]), worth(tree[2])
    plain = one + other
    gives = {"plan": plain + 2, "map": one + 3 * other, "total": plain + 1, "choose": plain + (1 if plain > 0 else -1)}
    return gives.get(kind, plain)


@fl.dynamic
def nested(tree: Any) -> int:
    return build(tree)  # type: ignore[no-any-return]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_any_tree(flow: Flow, tree: Any) -> None:
    """Whatever is nested in whatever, it gives what plain Python gives."""
    assert flow(nested, tree=tree) == worth(tree)
