"""Lowering to plain ``dask.delayed`` graphs."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

import daskflow as fl
from daskflow.errors import InputError
from tests import programs
from tests.told import told


class Pair(NamedTuple):
    """Two outputs."""

    low: int
    high: float


@fl.task
def pair(a: int) -> Pair:
    return Pair(a, a + 1)


@fl.task
def total(numbers: list[float]) -> float:
    return sum(numbers)


@fl.task
def as_text(value: Any) -> str:
    return repr(value)


ran: list[int] = []


@fl.task
def note(a: int) -> int:
    ran.append(a)
    return a


@fl.workflow
def paths(a: int) -> float:
    made = pair(a=a)
    return total(numbers=[made.low, made.high, 0.5])


@fl.workflow
def as_float(value: float) -> str:
    return as_text(value=value)


@fl.workflow
def converted(a: int) -> str:
    return as_float(value=programs.step1(a=a))


@fl.workflow
def unused(a: int) -> int:
    note(a=a)
    return programs.step1(a=a)


@fl.workflow
def both(a: int) -> Pair:
    return Pair(programs.step1(a=a), 2)


@fl.workflow
def known_map(a: int) -> list[int]:
    return fl.map_task(programs.core_wf)(a=[a, 1, programs.step1(a=a)])


CASES: list[tuple[Any, dict[str, Any], int]] = [
    (programs.step1, {"a": 1}, 1),
    (programs.core_wf, {"a": 1}, 2),
    (programs.core_wf_lp, {"a": 1}, 2),
    (programs.multi_wf, {"l": list(range(6)), "chunk": 2}, 1),
    (programs.mapped2, {"l": [1, 2, 3]}, 4),
    (fl.map_task(programs.step1), {"a": [1, 2]}, 3),
    (programs.descend, {"depth": 5}, 1),
    (paths, {"a": 1}, 2),
    (converted, {"a": 1}, 2),
    (both, {"a": 1}, 2),
    (known_map, {"a": 5}, 8),
]


@pytest.mark.parametrize(("entity", "inputs", "tasks"), CASES)
def test_plain_dask_gives_the_same(entity: Any, inputs: dict[str, Any], tasks: int) -> None:
    """Plain Dask gives what the entity gives in process, with one task for each node."""
    lowered = entity.to_delayed(**inputs)
    assert lowered.compute(scheduler="synchronous") == entity(**inputs)
    assert len(dict(lowered.dask)) == tasks


def test_processes_need_no_module() -> None:
    """The graph carries users' code by value, so it runs in other processes."""
    assert programs.core_wf.to_delayed(a=1).compute(scheduler="processes", num_workers=1) == 4


def test_keys_have_the_tasks_names() -> None:
    """The tasks of the graph are named after the nodes."""
    names = sorted(key.rpartition("-")[0] for key in dict(programs.core_wf.to_delayed(a=1).dask))
    assert names == ["step1", "step2"]


def test_what_nobody_reads_runs_as_well() -> None:
    """A node whose output is not used runs, as it does everywhere."""
    ran.clear()
    assert unused.to_delayed(a=7).compute(scheduler="synchronous") == 8
    assert ran == [7]


def test_bad_inputs_are_refused_at_once() -> None:
    """What does not fit is refused before there is a graph."""
    with pytest.raises(InputError, match=r"input 'a' of .*core_wf: expected int, got 'x'"):
        programs.core_wf.to_delayed(a="x")
    with pytest.raises(InputError, match="core_wf has no input 'b'"):
        programs.core_wf.to_delayed(b=1)


def test_errors_say_where() -> None:
    """A task that raises says which node of the graph it was."""
    with pytest.raises(programs.Broken, match="no luck with 3") as caught:
        programs.break_in_map.to_delayed(l=[1, 3]).compute(scheduler="synchronous")
    where = told(caught.value)
    assert (where.full_address, where.map_index) == ("delayed:break_at_three[1]", 1)
