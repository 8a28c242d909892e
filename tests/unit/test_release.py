"""What an execution lets go of: values that nobody needs any more, and all of it when it is over, without the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskflow as fl
from daskflow.graph import Graph, Node, _note_drops


class Large:
    """What a task makes; how many there are is counted."""

    alive: ClassVar[weakref.WeakSet[Large]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.alive.add(self)


most: list[int] = [0]


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    most[0] = 0
    yield
    gc.enable()


def counted() -> Large:
    made = Large()
    most[0] = max(most[0], len(Large.alive))
    return made


@fl.task
def make(n: int) -> Large:
    return counted()


@fl.task
def change(value: Large) -> Large:
    return counted()


@fl.task
def look(value: Large) -> int:
    return len(Large.alive)


@fl.task
def refuse(value: Large) -> int:
    raise ValueError("no")


@fl.workflow
def in_steps(n: int) -> Large:
    return change(value=change(value=make(n=n)))


@fl.workflow
def chain(n: int) -> int:
    value = make(n=n)
    for _ in range(6):
        value = change(value=value)
    return look(value=value)


@fl.dynamic
def nested(n: int) -> int:
    value = make(n=0)
    for _ in range(n):
        value = through(value=value)
    return look(value=value)


@fl.workflow
def through(value: Large) -> Large:
    return change(value=change(value=value))


@fl.workflow
def unused(n: int) -> int:
    for _ in range(5):
        make(n=n)
    return look(value=make(n=n))


@fl.workflow
def keeps_all(n: int) -> tuple[Large, Large, int]:
    first = make(n=n)
    second = change(value=first)
    return first, second, look(value=change(value=second))


@pytest.mark.parametrize(("entity", "n", "at_once"), [(chain, 1, 2), (nested, 5, 3), (unused, 1, 1)])
def test_a_value_goes_when_nobody_needs_it_any_more(entity: Any, n: int, at_once: int) -> None:
    """A body has only those values at the same time that one of its nodes is still to be given, however many it makes."""
    assert entity(n=n) == 1
    assert most[0] == at_once
    assert not Large.alive


def test_what_is_returned_stays() -> None:
    """What a body gives it has to its end."""
    first, second, alive = keeps_all(n=1)
    assert (type(first), type(second), alive) == (Large, Large, 3)


@fl.workflow
def fails(n: int) -> int:
    return refuse(value=change(value=make(n=n)))


@fl.workflow
def some_fail(n: list[int]) -> list[int | None]:
    return fl.map_task(fails, min_successes=0)(n=n)


@fl.eager
async def awaits(n: int) -> int:
    return await look(value=await change(value=await make(n=n)))


def attempted(action: Callable[[], Any]) -> None:
    try:
        action()
    except ValueError:
        return


@pytest.mark.parametrize(
    ("entity", "inputs"),
    [(chain, {"n": 1}), (fails, {"n": 1}), (some_fail, {"n": [1, 2]}), (awaits, {"n": 1})],
    ids=["chain", "fails", "some_fail", "awaits"],
)
def test_nothing_stays_when_an_execution_is_over(entity: Any, inputs: dict[str, Any]) -> None:
    """All that was made goes at once, also where something has failed, and not when the garbage collector comes by."""
    attempted(lambda: asyncio.run(entity(**inputs)) if entity is awaits else entity(**inputs))
    assert not Large.alive


@given(st.lists(st.sets(st.integers(0, 20), max_size=4), min_size=1, max_size=12), st.sets(st.integers(0, 14), max_size=4))
def test_each_value_is_dropped_after_its_last_use(uses: list[set[int]], output: set[int]) -> None:
    """In any graph a value is there for whoever needs it, goes before whatever comes next, and the body's inputs and outputs stay."""
    n_inputs = 2
    count = n_inputs + len(uses)
    nodes = []
    for index, wanted in enumerate(uses):
        node = Node(n_inputs + index, make, {})
        node.wait_for(slot for slot in wanted if slot < node.slot)
        nodes.append(node)
    graph = Graph(n_inputs, nodes, [])
    kept = tuple(sorted(slot for slot in output if slot < count))
    _note_drops(graph.nodes, n_inputs, kept)
    there = set(range(n_inputs))
    for node in nodes:
        there -= set(node.drops)
        assert there >= set(node.deps) | (set(kept) & set(range(node.slot)))
        later = {slot for one in nodes if one.slot >= node.slot for slot in one.deps}
        assert there <= later | set(kept) | set(range(n_inputs))
        there.add(node.slot)
