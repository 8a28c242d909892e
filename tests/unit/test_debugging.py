"""A run comes to any of its nodes again, with the inputs that the node had, and executes no more for that than what is not kept."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as fl
from daskflow import context
from daskflow.debugging import reach
from daskflow.errors import InputError
from daskflow.execute import Execution
from daskflow.keeping import Keeper, Keeping
from daskflow.scope import Scope
from daskflow.stacks import root_frame

executed: list[tuple[str, int]] = []


def here() -> str:
    """Return the address of what is executing, without the run."""
    assert context.state.executing is not None
    return context.state.executing().partition(":")[2]


@fl.task
def leaf(number: int) -> int:
    executed.append((here(), number))
    return number + 1


@fl.task(retries=2, timeout=30, environment={"DEBUGGED": "yes"})
def surrounded(number: int) -> str:
    import os

    attempt = fl.current_context().attempt
    if number < 0:
        raise fl.RecoverableException("never")
    return f"{os.environ['DEBUGGED']} {number} {attempt}"


@fl.task
def join(parts: list[Any]) -> int:
    return sum(parts)


@fl.dynamic
def grow(tree: Any, number: int) -> int:
    kind, rest = tree
    if kind == "leaf":
        return leaf(number=number)
    if kind == "map":
        return join(parts=fl.map_task(leaf)(number=[number + one for one in range(rest)]))
    if kind == "chain":
        return leaf(number=leaf(number=leaf(number=number)))
    return join(parts=[grow(tree=one, number=number + at) for at, one in enumerate(rest)])


trees = st.recursive(
    st.one_of(st.just(("leaf", 0)), st.tuples(st.just("map"), st.integers(1, 3)), st.just(("chain", 0))),
    lambda inner: st.tuples(st.just("all"), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=8,
)


@given(trees, st.booleans())
@settings(deadline=None, max_examples=60)
def test_each_node_is_reached_with_the_inputs_that_it_had(tree: Any, keeps: bool) -> None:
    """Wherever a task was executed the run comes to that task, with the same inputs; what is kept, or not needed, is not executed."""
    with tempfile.TemporaryDirectory() as folder:
        keeping = Keeping("all", folder, "r1") if keeps else None
        execution = Execution(root_frame(grow, {"tree": tree, "number": 0}, Scope.of_run("r1", None)))
        if keeping is not None:
            execution.keeper = Keeper(keeping, "u", "r1")
        executed.clear()
        execution.run()
        if execution.keeper is not None:
            execution.keeper.close()
        before = list(executed)
        for at, (address, number) in enumerate(before):
            executed.clear()
            reached = reach(grow, {"tree": tree, "number": 0}, address, "r1", keeping)
            assert (reached.address, reached.entity.name, reached.inputs) == (address, leaf.name, {"number": number})
            body = address.rpartition("/")[0]
            beside = [] if keeps else [one for one in before[:at] if one[0].rpartition("/")[0] == body]
            assert executed in (beside, [])
            assert reached.call() == number + 1
            assert executed[-1] == (address, number)


def test_only_what_a_node_needs_is_executed_before_it() -> None:
    """Other items of its map, and calls that it does not wait for, may fail, and are not executed; those that it waits for are."""

    @fl.task
    def picky(number: int) -> int:
        executed.append((here(), number))
        if number < 0:
            raise ValueError(number)
        return number + 1

    @fl.workflow
    def flow(numbers: list[int], number: int) -> int:
        fails, needed, ordered = picky(number=-1), picky(number=number), picky(number=7)
        several = fl.with_overrides(fl.map_task(picky)(number=numbers), node_name="several")
        last = fl.with_overrides(picky(number=needed), node_name="last")
        _ = ordered >> last
        return join(parts=[last, join(parts=several), fails])

    inputs = {"numbers": [-1, 3, -2, 4], "number": 5}
    for address, number, before in (
        ("several[1]", 3, []),
        ("several[2]", -2, []),
        ("last", 6, [("picky[1]", 5), ("picky[2]", 7)]),
    ):
        executed.clear()
        reached = reach(flow, inputs, address, "r1", None)
        assert (reached.address, reached.inputs, executed) == (address, {"number": number}, before)
    for address in ("several[4]", "last/inner", "several[1]/inner"):
        with pytest.raises(InputError, match="without coming to"):
            reach(flow, inputs, address, "r1", None)
    executed.clear()
    with pytest.raises(InputError, match=r"without coming to lost; is that an address in it\? There are picky\[0\], picky\[1\]"):
        reach(flow, inputs, "lost", "r1", None)
    assert executed == []


def test_what_handles_a_failure_is_reached() -> None:
    """It is executed once its workflow has failed, so the workflow is executed until then."""

    @fl.task
    def fails(number: int) -> int:
        raise ValueError(number)

    @fl.task
    def tidy(number: int) -> None:
        executed.append((here(), number))

    @fl.workflow(on_failure=tidy)
    def flow(number: int) -> int:
        return fails(number=number)

    reached = reach(flow, {"number": 5}, "on_failure", "r1", None)
    assert (reached.entity, reached.inputs) == (tidy, {"number": 5})


def test_a_node_may_have_the_name_of_what_its_run_is_of() -> None:
    """It is the node that is meant then; of a task, which has no nodes, the name is its own."""

    @fl.workflow
    def flow(number: int) -> int:
        return fl.with_overrides(leaf(number=number), node_name="flow")

    assert reach(flow, {"number": 1}, "flow", "r1", None).entity is leaf
    assert reach(flow, {"number": 1}, "", "r1", None).entity is flow


def test_what_surrounds_a_task_is_there() -> None:
    """It has its environment and context; it is called once, in this thread, whatever its options say."""
    assert reach(surrounded, {"number": 3}, "", "r1", None).call() == "yes 3 0"
    reached = reach(surrounded, {"number": -1}, "surrounded", "r1", None)
    with pytest.raises(fl.RecoverableException, match="never"):
        reached.call()


def test_the_cache_is_no_way_round(tmp_path: Any) -> None:
    """What is in the cache is not executed, unless the node is in it."""
    calls: list[str] = []

    @fl.task(cache=True, cache_version="1")
    def first(a: int) -> int:
        calls.append("first")
        return a + 1

    @fl.dynamic(cache=True, cache_version="1")
    def inner(a: int) -> int:
        calls.append("inner")
        return first(a=a)

    @fl.workflow
    def both(a: int) -> int:
        return inner(a=first(a=a))

    assert both(a=1) == 3
    calls.clear()
    reached = reach(both, {"a": 1}, "inner/first", "r1", None)
    assert (reached.inputs, calls) == ({"a": 2}, ["inner"])
    assert reached.call() == 3


def test_what_is_called_by_an_eager_is_reached() -> None:
    """An eager's body is executed up to the call."""

    @fl.task
    def double(a: int) -> int:
        return 2 * a

    @fl.eager
    async def grows(a: int) -> int:
        while a < 100:
            a = await double.aio(a=a)
        return a

    reached = reach(grows, {"a": 30}, "double[1]", "r1", None)
    assert reached.inputs == {"a": 60}
    assert reached.call() == 120


def test_there_is_no_such_node() -> None:
    """A run that ends without coming to an address says so; what is no task cannot be called."""
    with pytest.raises(InputError, match="without coming to join/leaf; is that an address in it"):
        reach(grow, {"tree": ("leaf", 0), "number": 0}, "join/leaf", "r1", None)
    tree = ("all", [("leaf", 0)])
    with pytest.raises(InputError, match=r"grow calls the dynamic .*grow; give the address of a task that it calls"):
        reach(grow, {"tree": tree, "number": 0}, "grow", "r1", None).call()
