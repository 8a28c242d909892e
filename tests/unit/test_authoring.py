"""What users write, in process: every way to declare, call and combine entities."""

from __future__ import annotations

import functools
import pickle
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskflow as fl
from tests import programs
from tests.told import told


@dataclass
class Box:
    """A value with parts."""

    size: int
    tags: dict[str, list[int]]


class Split(NamedTuple):
    """Two outputs with names."""

    low: list[int]
    high: list[int]


@fl.task
def add(a: int, b: int = 10) -> int:
    return a + b


@fl.task
def split(numbers: list[int], at: int) -> Split:
    return Split([one for one in numbers if one < at], [one for one in numbers if one >= at])


@fl.task
def both(a: int) -> tuple[int, str]:
    return a, str(a)


@fl.task
def box(size: int) -> Box:
    return Box(size, {"odd": [1, 3], "even": [2]})


@fl.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@fl.task
def describe(parts: dict[str, Any]) -> str:
    return repr(parts)


@fl.task
def half(a: float) -> float:
    return a / 2


def run(body: Any, **inputs: Any) -> Any:
    """Return the result of a body, as a workflow and as a dynamic: both must give the same."""
    results = [kind(body)(**inputs) for kind in (fl.workflow, fl.dynamic)]
    assert results[0] == results[1]
    return results[0]


def test_calls_by_position_name_and_default() -> None:
    """Inputs are given by position, by name, or by default, in plain Python and in bodies alike."""
    assert [add(1), add(1, 2), add(a=1), add(b=1, a=2)] == [11, 3, 11, 3]

    def body(a: int) -> list[int]:
        return [add(a), add(a, 2), add(a=a), add(b=a, a=2)]

    assert run(body, a=1) == [11, 3, 11, 3]


def test_containers_mix_promises_and_values() -> None:
    """Lists and dicts may hold promises and values, to any depth, as inputs and as outputs."""

    def body(a: int) -> dict[str, Any]:
        one = add(a=a)
        return {"total": total(numbers=[one, 1, add(a=one)]), "text": describe(parts={"a": one, "b": [one, {"c": 2}]}), "plain": 3}

    assert run(body, a=1) == {"total": 33, "text": "{'a': 11, 'b': [11, {'c': 2}]}", "plain": 3}


def test_paths_into_promises() -> None:
    """Attributes, indices and keys of promises are references to parts of their values."""

    def body(a: int) -> list[int]:
        made = box(size=a)
        return [made.size, made.tags["odd"][1], total(numbers=made.tags["odd"]), add(a=made.tags["even"][0])]

    assert run(body, a=5) == [5, 3, 4, 12]


def test_several_outputs() -> None:
    """Several outputs unpack and have names; a workflow can give several too."""

    def body(numbers: list[int]) -> Split:
        first = split(numbers=numbers, at=3)
        number, _ = both(a=4)
        low, high = split(numbers=first.high, at=number)
        return Split(low, [total(numbers=first.low), total(numbers=high)])

    assert run(body, numbers=[1, 2, 3, 4, 5]) == Split([3], [3, 9])
    assert fl.workflow(body)(numbers=[1]).low == []


def test_outputs_by_position() -> None:
    """A plain tuple of outputs unpacks, in bodies and out of them."""

    def body(a: int) -> tuple[str, int]:
        number, text = both(a=a)
        return text, add(a=number)

    assert run(body, a=1) == ("1", 11)


def test_numbers_are_converted_as_declared() -> None:
    """An int is taken for a float, and becomes one; at each place where a float is declared."""

    def body(a: int) -> float:
        return add(a=a)  # type: ignore[return-value]

    assert repr(run(body, a=1)) == "11.0"
    assert repr(half(a=4)) == "2.0"


def test_what_is_not_used_runs() -> None:
    """A call whose output nobody reads is executed all the same."""
    ran: list[int] = []

    @fl.task
    def note(a: int) -> None:
        ran.append(a)

    def body(a: int) -> int:
        note(a=a)
        return add(a=a)

    assert run(body, a=1) == 11
    assert ran == [1, 1]


MAPPED: list[tuple[Any, dict[str, Any], Any]] = [
    (fl.map_task(add), {"a": [1, 2]}, [11, 12]),
    (fl.map(add), {"a": [1, 2], "b": [3, 4]}, [4, 6]),
    (fl.map_task(functools.partial(add, b=5)), {"a": [1, 2]}, [6, 7]),
    (fl.map_task(functools.partial(functools.partial(add, 7), b=5)), {}, None),
    (fl.map_task(programs.core_wf), {"a": [1, 2]}, [4, 5]),
    (fl.map_task(programs.core_wf_lp, concurrency=1), {"a": [1, 2]}, [4, 5]),
    (fl.map_task(programs.descend), {"depth": [1, 2]}, [1, 2]),
    (fl.map_task(fl.map_task(add)), {"a": [[1], [2, 3]]}, [[11], [12, 13]]),
    (fl.map_task(total), {"numbers": [[1, 2], []]}, [3, 0]),
    (fl.map_task(add), {"a": []}, []),
]


@pytest.mark.parametrize(("entity", "inputs", "expected"), [case for case in MAPPED if case[2] is not None])
def test_maps(entity: Any, inputs: dict[str, Any], expected: Any) -> None:
    """A map goes over any entity, in step over several lists, with bound and default inputs, in order."""
    assert entity(**inputs) == expected


def test_maps_in_bodies() -> None:
    """A map goes over promised lists, and binds promises, as it does values."""

    def body(n: int) -> list[int]:
        numbers = fl.map_task(functools.partial(add, b=add(a=n)))(a=[n, add(a=n)])
        return fl.map_task(add)(a=numbers)

    assert run(body, n=1) == [22, 32]


def test_a_map_of_what_gives_nothing() -> None:
    """A map over a task that gives nothing gives nothing."""

    @fl.task
    def nothing(a: int) -> None:
        return None

    assert fl.map_task(nothing)(a=[1, 2]) is None


def test_launch_plans() -> None:
    """A launch plan binds defaults and fixed inputs; the same name gives the same plan."""

    @fl.workflow
    def three(a: int, b: int, c: int = 3) -> list[int]:
        return [add(a=a, b=b), c]

    plan = fl.LaunchPlan.create("authoring.three", three, default_inputs={"a": 1}, fixed_inputs={"b": 2})
    assert [plan(), plan(a=5), plan(c=4), plan(2)] == [[3, 3], [7, 3], [3, 4], [4, 3]]
    assert fl.LaunchPlan.get_or_create(three) is fl.LaunchPlan.get_or_create(three)
    assert fl.LaunchPlan.get_default_launch_plan(None, three)(a=1, b=1) == [2, 3]


def test_overrides_are_taken() -> None:
    """Overrides are said of calls with one output, several, or none."""

    def body(a: int) -> list[int]:
        first = add(a=a).with_overrides(node_name="first", cache=True, cache_version="1")  # type: ignore[attr-defined]
        number, _ = both(a=a).with_overrides(cache=True, cache_version="2", cache_serialize=True)  # type: ignore[attr-defined]
        return [first, number]

    assert run(body, a=1) == [11, 1]


def test_cache_options_are_accepted() -> None:
    """What is said of caching is kept for when it has an effect; it changes no result."""

    @fl.task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("b",))
    def cached(a: int, b: int) -> int:
        return a

    assert cached(a=1, b=2) == 1


def test_depth_costs_no_stack() -> None:
    """Dynamics may call themselves thousands of levels deep."""
    assert programs.descend(depth=5000) == 5000


def test_a_raising_task() -> None:
    """A task that raises gives its own exception, with notes of run, node path and map index."""
    with pytest.raises(programs.Broken, match="no luck with 3") as caught:
        programs.break_below(l=[2, 3])
    where = told(caught.value)
    assert (where.full_address, where.map_index) == ("local:break[1]/break_at_three[1]", 1)
    assert re.fullmatch(r"local\.[0-9a-f]{10}", where.child)
    assert caught.traceback[-1].name == "break_at_three"


def test_the_map_index_is_that_of_a_map() -> None:
    """The index named is that of the innermost map around the node, at any depth; a numbered call has none."""
    with pytest.raises(programs.Broken) as caught:
        fl.map_task(programs.break_fourth)(n=[1, 4])
    assert told(caught.value)[:4] == ("local", "break_fourth[1]/break_at_three[3]", "", 1)
    with pytest.raises(programs.Broken) as caught:
        programs.break_fourth(n=4)
    assert told(caught.value)[:4] == ("local", "break_at_three[3]", "", None)


def test_names_of_calls_in_addresses() -> None:
    """An address is made of the calls' names, numbered where there are several, or as an override names them."""

    @fl.dynamic
    def outer(a: int) -> list[int]:
        return [add(a=a), programs.break_at_three(a=3).with_overrides(node_name="the-third")]

    with pytest.raises(programs.Broken) as caught:
        outer(a=1)
    assert told(caught.value).address == "the-third"
    assert told(caught.value).levels[-1].call == "the-third: break_at_three(a=3)"


@pytest.mark.parametrize("entity", [programs.step1, programs.core_wf, programs.core_wf_lp, programs.level2, fl.map_task(programs.step1)])
def test_entities_travel_by_value(entity: Any) -> None:
    """An entity that was pickled and unpickled does what it did."""
    copy = pickle.loads(cloudpickle.dumps(entity))
    inputs = {"a": 1} if "l" not in entity.interface.parameters else {"l": [1]}
    inputs = {"a": [1]} if entity.kind_name == "map" else inputs
    assert copy(**inputs) == entity(**inputs)


# Any expression

expressions = st.recursive(st.integers(-9, 9), lambda inner: st.tuples(st.sampled_from(["add", "total", "core", "first"]), inner, inner))


@fl.task
def plus(a: int, b: int) -> int:
    return a + b


def build(expression: Any) -> Any:
    """Record an expression's calls."""
    if isinstance(expression, int):
        return expression
    kind, left, right = expression[0], build(expression[1]), build(expression[2])
    if kind == "add":
        return plus(a=left, b=right)
    if kind == "total":
        return total(numbers=[left, right, 1])
    if kind == "core":
        return plus(a=programs.core_wf(a=left), b=right)
    return fl.map_task(plus)(a=[left, right], b=[right, 0])[0]


def worth(expression: Any) -> int:
    """Return what plain Python gives."""
    if isinstance(expression, int):
        return expression
    kind, left, right = expression[0], worth(expression[1]), worth(expression[2])
    return {"add": left + right, "total": left + right + 1, "core": left + 3 + right, "first": left + right}[kind]


@given(expressions)
def test_any_expression(expression: Any) -> None:
    """A graph of any shape gives what plain Python gives."""

    @fl.dynamic
    def body() -> int:
        return build(expression)

    assert body() == worth(expression)
