"""Child runs: each has a record, whoever executed it, and however it was cut up."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as fl
from daskflow.children import Children, ChildRun, Family
from daskflow.execute import Execution
from daskflow.journal import Journal
from daskflow.records import Status
from daskflow.reports import write
from daskflow.scope import Scope
from daskflow.stacks import root_frame, stack
from tests.unit.test_spilling import expressions, nested, seeds
from tests.unit.unit_model import Model, expand, plus


@given(expressions, seeds, st.booleans(), st.sampled_from([0.0, 0.15]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=250, deadline=None)
def test_every_child_run_has_one_record(expression: Any, seed: int, deep: bool, deaths: float, stops: float) -> None:
    """Whatever is handed over, ended early or begun anew, each child run is recorded once, with the same id, parent and address."""
    program = nested(expression) if deep else expression
    alone, cut = Model(Random(seed), spills=0), Model(Random(seed), deaths=deaths, stops=stops)
    alone.run(expand, {"expression": program})
    cut.run(expand, {"expression": program})
    assert cut.children() == alone.children()
    assert {status for *_, status in cut.children().values()} <= {"SUCCEEDED"}


@given(expressions, seeds)
@settings(max_examples=100, deadline=None)
def test_every_child_run_has_one_record_with_a_unit_for_each_node(expression: Any, seed: int) -> None:
    """The same holds where every node is a unit of its own."""
    alone, eager = Model(Random(seed), spills=0), Model(Random(seed), eager=True)
    alone.run(expand, {"expression": expression})
    eager.run(expand, {"expression": expression})
    assert eager.children() == alone.children()


@fl.workflow
def twice(a: int) -> int:
    return plus(a=a, b=a)


once_lp = fl.LaunchPlan.create("tests.children.once", twice, max_parallelism=2)


@fl.workflow
def inner(a: int) -> int:
    return once_lp(a=once_lp(a=a))


inner_lp = fl.LaunchPlan.get_or_create(inner, name="tests.children.inner")


@fl.task
def refuse(a: int) -> int:
    raise ValueError(f"not {a}")


@fl.workflow
def refusing(a: int) -> int:
    return refuse(a=once_lp(a=a))


refusing_lp = fl.LaunchPlan.get_or_create(refusing, name="tests.children.refusing")


@fl.dynamic
def call_all(n: int) -> list[int]:
    return [inner_lp(a=one) for one in range(n)]


@fl.dynamic
def call_two(n: int) -> list[int]:
    return [inner_lp(a=n), refusing_lp(a=n), inner_lp(a=n)]


def told(entity: Any, **inputs: Any) -> tuple[list[bytes], str | None]:
    """Execute in one go; return what was told, and which run failed."""
    execution = Execution(root_frame(entity, inputs, Scope.of_run("run", None)))
    execution.journal = journal = Journal()
    failed = None
    try:
        execution.run()
    except ValueError:
        failed = execution.run_id()
    return [report for report in (journal.report(stack(execution.frame)),) if report], failed


def of_run(family: Family) -> Children:
    """Return the top-level run's own."""
    return Children(family, "run")


def test_a_record_says_what_became_of_a_child_run() -> None:
    """A record has the plan, parent, address, limit, status and times of a child run; those that it called are its own."""
    reports, _ = told(call_all, n=3)
    children = of_run(Family(reports, Status.SUCCEEDED, 1e12))
    assert children.counts == {"SUCCEEDED": 3}
    assert [(one.name, one.parent, one.address, one.max_parallelism) for one in children] == [
        ("tests.children.inner", "run", f"inner[{index}]", None) for index in range(3)
    ]
    below = children[1].children
    assert [(one.name, one.parent, one.address, one.max_parallelism) for one in below] == [
        ("tests.children.once", children[1].id, f"inner[1]/once[{index}]", 2) for index in range(2)
    ]
    assert children.get(below[0].id) == below[0]
    assert below[0].seconds is not None
    assert 0 <= below[0].seconds <= children[1].seconds  # type: ignore[operator]
    assert children[1].started <= below[0].started <= below[1].started
    with pytest.raises(KeyError, match=r"no child run run\.nobody has begun"):
        children.get("run.nobody")


def test_those_that_have_not_begun_are_counted() -> None:
    """Where a run fails, the child run that failed says so, those it called before are done, and the rest is counted as not begun."""
    reports, failed = told(call_two, n=1)
    family = Family(reports, Status.FAILED, 1e12, failed)
    children = of_run(family)
    assert [one.status for one in children] == ["SUCCEEDED", "FAILED"]
    assert children.counts == {"QUEUED": 1, "SUCCEEDED": 1, "FAILED": 1}
    assert [one.status for one in children[1].children] == ["SUCCEEDED"]
    assert repr(children) == "<child runs of run: 1 QUEUED, 1 SUCCEEDED, 1 FAILED>"


def test_a_report_may_be_missing() -> None:
    """The history may lack reports: a child run of which only the end is told is left out, and the others are there."""
    end = write({"epoch": 1e9, "ended": [("run.gone", 5.0)]})
    reports, _ = told(call_all, n=3)
    assert of_run(Family([*reports, end or b""], Status.SUCCEEDED, 1e12)).counts == {"SUCCEEDED": 3}


def test_those_around_what_failed_have_failed() -> None:
    """Where only the address is known of what failed, as where workers died, the child runs around it have failed."""
    reports, _ = told(call_two, n=1)
    for place, expected in (("refusing/refuse", "FAILED"), ("refusing", "FAILED"), ("", "ABORTED"), (None, "ABORTED")):
        assert [one.status for one in of_run(Family(reports, Status.FAILED, 1e12, place=place))] == ["SUCCEEDED", expected]


@pytest.mark.parametrize(
    ("status", "failed", "expected"),
    [(Status.RUNNING, None, "RUNNING"), (Status.ABORTED, None, "ABORTED"), (Status.FAILED, "elsewhere", "ABORTED")],
)
def test_one_that_is_executing_ends_with_its_run(status: Status, failed: str | None, expected: str) -> None:
    """A child run that was executing when its run ended has ended with it; only where it is the cause has it failed."""
    reports, _ = told(call_two, n=1)
    ended = None if status is Status.RUNNING else 1e12
    found: ChildRun = of_run(Family(reports, status, ended, failed))[1]
    assert found.status == expected
    assert (found.seconds is None) == (status is Status.RUNNING)
