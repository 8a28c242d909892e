"""Launch plans: what is bound to them, and what of it holds for their runs, wherever those are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import daskflow as fl
from daskflow.errors import InputError
from tests.cached import leave, marks
from tests.features.conftest import Flow
from tests.programs import Span, nap, overlap


@fl.task
def join(a: int, b: int, c: list[int]) -> list[int]:
    return [a, b, *c]


@fl.workflow
def joined(a: int, b: int = 2, c: list[int] = [3]) -> list[int]:  # noqa: B006
    return join(a=a, b=b, c=c)


bound = fl.LaunchPlan.get_or_create(joined, "plans.bound", default_inputs={"a": 1, "c": [4]}, fixed_inputs={"b": 5})


@fl.dynamic
def in_dynamic(n: int) -> list[list[int]]:
    return [bound(a=one) for one in range(n)] + [bound()]


@fl.workflow
def in_workflow(a: int) -> list[list[int]]:
    mapped = fl.map_task(functools.partial(bound, c=[7]))(a=[a, a])
    return [bound(a=a, c=[6]), mapped[1], fl.LaunchPlan.get_or_create(joined)(a=a)]


def test_what_is_bound(flow: Flow) -> None:
    """Defaults of a plan go before those of its workflow, and give way to a call; what is fixed stays."""
    assert flow(bound) == [1, 5, 4]
    assert flow(bound, a=2, c=[]) == [2, 5]
    assert flow(bound.clone_with("plans.clone", fixed_inputs={"a": 0, "b": 0})) == [0, 0, 4]
    with pytest.raises(InputError, match="launch plan plans.bound has no input 'b' to give: it is fixed to 5"):
        flow(bound, b=1)


def test_in_bodies_and_maps(flow: Flow) -> None:
    """A plan is called in dynamics and workflows, and mapped, as any entity; its fixed inputs are none of the map's."""
    assert flow(in_dynamic, n=2) == [[0, 5, 4], [1, 5, 4], [1, 5, 4]]
    assert flow(in_workflow, a=9) == [[9, 5, 6], [9, 5, 7], [9, 2, 3]]
    assert flow(fl.map_task(bound), a=[1, 2]) == [[1, 5, 4], [2, 5, 4]]
    assert flow(fl.map_task(bound), a=[]) == []
    with pytest.raises(InputError, match="map of plans.bound has no input 'b' to give: it is fixed to 5"):
        flow(fl.map_task(bound), a=[1], b=[1])


def test_labels_and_names() -> None:
    """A plan keeps what it is labelled with; its name stands for it in the process."""
    plan = fl.LaunchPlan.create("plans.labelled", joined, labels={"team": "a"}, annotations={"note": "b"})
    assert (plan.labels, plan.annotations) == ({"team": "a"}, {"note": "b"})
    assert fl.LaunchPlan.get_or_create(joined, "plans.labelled", labels={"team": "a"}, annotations={"note": "b"}) is plan
    assert fl.LaunchPlan.get_or_create(joined) is fl.LaunchPlan.get_default_launch_plan(None, joined)


# ---------------------------------------------------------------- limits


@fl.workflow
def naps(n: int) -> list[Span]:
    return several_naps(n=n)


@fl.dynamic
def several_naps(n: int) -> list[Span]:
    return [nap(seconds=0.03) for _ in range(n)]


one_at_once = fl.LaunchPlan.get_or_create(naps, "plans.one", max_parallelism=1)
four_at_once = fl.LaunchPlan.get_or_create(naps, "plans.four", max_parallelism=4)


@fl.dynamic
def children(n: int) -> list[list[Span]]:
    return [one_at_once(n=n), one_at_once(n=n)]


@fl.workflow(max_parallelism=2)
def wide_child_of_two() -> list[Span]:
    return four_at_once(n=8)


def test_limits_of_child_runs(flow: Flow) -> None:
    """A plan's own limit holds for each of its runs, each with a count of its own; a run above it is not exceeded either."""
    first, second = flow(children, n=4)
    assert (overlap(first), overlap(second)) == (1, 1)
    assert len(first + second) == 8
    assert overlap(flow(wide_child_of_two)) <= 2
    assert overlap(flow(one_at_once, n=4)) == 1


# ---------------------------------------------------------------- caching


@fl.task(cache=True, cache_version="1", cache_ignore_input_vars=("folder",))
def double(folder: str, num: int) -> int:
    leave(folder, num)
    return 2 * num


@fl.workflow
def doubled(folder: str, num: int) -> int:
    return double(folder=folder, num=num)


rewriting = fl.LaunchPlan.get_or_create(doubled, "plans.rewriting", overwrite_cache=True)
cached_plan = fl.LaunchPlan.get_or_create(doubled)


@fl.dynamic
def cached_calls(folder: str, nums: list[int]) -> list[int]:
    return [cached_plan(folder=folder, num=num).with_overrides(cache=True, cache_version="1.0.0") for num in nums]  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where executions leave their marks."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def test_a_plan_that_overwrites(flow: Flow, folder: Path) -> None:
    """What is cached below such a plan is executed all the same; others find it."""
    given: dict[str, Any] = {"folder": str(folder), "num": 4}
    assert [flow(doubled, **given), flow(doubled, **given)] == [8, 8]
    assert marks(folder) == ["4"]
    assert [flow(rewriting, **given), flow(rewriting, **given)] == [8, 8]
    assert marks(folder) == ["4", "4"]
    assert flow(doubled, **given) == 8
    assert marks(folder) == []


def test_a_call_that_is_cached(flow: Flow, folder: Path) -> None:
    """A call of a plan is cached by an override: its run is not even started the next time."""
    for _ in range(2):
        assert flow(cached_calls, folder=str(folder), nums=[1, 2, 3]) == [2, 4, 6]
    assert marks(folder) == ["1", "2", "3"]


def test_child_runs_have_records(flow_client: Client) -> None:
    """Each call of a plan is a run with an id and a record of its own."""
    run = fl.run(in_dynamic, n=3, client=flow_client)
    assert len(run.result(30)) == 4
    assert len(run.children) == 4
    assert {child.status for child in run.children} == {"SUCCEEDED"}
