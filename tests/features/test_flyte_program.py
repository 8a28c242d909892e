"""A program that was written for Flyte's SDK runs as it is, but for its imports, wherever it runs."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from distributed import Client

from daskflow.errors import InputError
from daskflow.infrastructure import InfrastructureWarning
from tests.features.conftest import Flow
from tests.features.test_terms import answering


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """Return the program; what it says of pods and decks is warned of, and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InfrastructureWarning)
        from tests.features import flyte_program
    return flyte_program


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FSEC_ORDERS_TOKEN", "secret")
    monkeypatch.setenv("DASK_DASKFLOW__FILES__URL", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_tasks_workflows_and_plans(flow: Flow, program: ModuleType) -> None:
    """Each entity runs alone: defaults, fixed inputs, several outputs, and dataclasses with enums and optional fields."""
    north = program.Region.NORTH
    shop = flow(program.load_shop, name="a", region=north, size=2)
    assert shop == program.Shop("a", north, [program.Order(0, 10.0, ["even"]), program.Order(1, 20.0, ["odd"])])
    summary = flow(program.summarise, shop=shop)
    assert (summary.total, summary.largest.number, summary.count) == (30.0, 1, 2)
    assert flow(program.shop_total, name="a", region=north) == 60.0
    assert [flow(program.shop_total_plan, name="a"), flow(program.shop_total_plan, name="a", size=4)] == [30.0, 100.0]
    with pytest.raises(InputError, match="launch plan orders.shop_total has no input 'region' to give: it is fixed to"):
        flow(program.shop_total_plan, name="a", region=north)


def test_maps_and_conditionals(flow: Flow, program: ModuleType) -> None:
    """A partial is mapped, some items may fail, and one of the branches is taken."""
    # Of 10, 20, 30 and 40 the second cannot be rated.
    assert flow(program.shop_rating, name="a", region=program.Region.SOUTH) == pytest.approx((5 + 15 + 20) / 3)
    assert [flow(program.discounted, total=total) for total in (200.0, 60.0, 10.0)] == [160.0, 54.0, 10.0]


def test_the_report(flow: Flow, program: ModuleType) -> None:
    """Dynamics that call plans and themselves, an order, retries with a checkpoint, a secret, files, a pause and a script, in one."""
    # 10 + 30 + 60, less 20 per cent.
    assert flow(program.report, names=["a", "b", "c"]) == ("secret:80.00", 1, 1)
    assert flow(program.totals, names=["a", "b"], region=program.Region.SOUTH) == [60.0, 60.0]


def test_failures(flow: Flow, program: ModuleType, tmp_path: Path) -> None:
    """What is to be executed on a failure is told of it."""
    note = tmp_path / "note"
    assert flow(program.checked, name="a", note=str(note)) == "a"
    with pytest.raises(ValueError, match="a shop has a name"):
        flow(program.checked, name="", note=str(note))
    assert note.read_text() == ": ValueError: a shop has a name at check_name\n"


def test_gates(mode: str, flow: Flow, flow_client: Client, program: ModuleType) -> None:
    """A run asks for a number, and for approval."""
    with answering(mode, flow_client, {"percent": 25, "agreed": True}) as run:
        assert run(program.asked) == 150.0


def test_imperative_cached_and_scheduled(flow: Flow, program: ModuleType) -> None:
    """A workflow that is put together, one whose values have hashes of their own, and scheduled plans, which can be called as well."""
    totals, largest = flow(program.imperative, name="a")
    assert (totals, largest.number) == ([54.0, 30.0], 2)
    assert [flow(program.tables, n=3), flow(program.tables, n=3), flow(program.hourly_plan)] == [3, 3, 3]
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert flow(program.daily_plan, at=noon) == [10.0, 30.0]
    given: Any = program.daily_plan.schedule
    assert next(given.ticks(noon)) == datetime(2026, 1, 2, 6, tzinfo=UTC)
