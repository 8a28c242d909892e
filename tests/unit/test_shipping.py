"""Shipping: entities and values that travel between processes."""

from __future__ import annotations

import enum
import json
import math
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import pytest

import daskflow as fl
from daskflow import shipping
from daskflow.errors import InputError, OutputError
from daskflow.result import Result
from tests import programs


def elsewhere(code: str, data: bytes, tmp_path: Path) -> Any:
    """Run code in a fresh process, with the bytes `data`, where no module of the tests can be imported; return what it prints as JSON."""
    (tmp_path / "data").write_bytes(data)
    paths = [str(Path(fl.__file__).parents[1])]
    script = f"import sys, json; sys.path[:0] = {paths!r}\nfrom daskflow import shipping\ndata = open('data', 'rb').read()\n{code}"
    program = "import sys; sys.modules['tests'] = None\n" + script
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_workflow_runs_where_its_module_is_not(tmp_path: Path) -> None:
    """A shipped workflow runs, with all that it calls, in a process that cannot import the user's module."""
    shipment = shipping.Shipment.of(programs.multi_wf)
    code = "print(json.dumps(shipping.unpack(data, 'd')[0](l=list(range(6)), chunk=2)))"
    assert elsewhere(code, shipment.data, tmp_path) == [3, 4, 5, 6, 7, 8]


def test_dataclasses_travel_by_value(tmp_path: Path) -> None:
    """A user's dataclass travels with the entity that declares it."""
    shipment = shipping.Shipment.of(programs.naps)
    code = "print(json.dumps([type(one).__name__ for one in shipping.unpack(data, 'd')[0](n=[1], seconds=0.0)]))"
    assert elsewhere(code, shipment.data, tmp_path) == ["Span"]


def test_the_same_code_has_the_same_digest() -> None:
    """Shipping an entity twice gives the same bytes, so workers need not unpickle it again."""
    assert shipping.Shipment.of(programs.multi_wf).digest == shipping.Shipment.of(programs.multi_wf).digest


def test_entities_are_named_not_pickled() -> None:
    """A message about a shipped entity holds its name, and finds the very same entity where the shipment is."""
    shipment = shipping.Shipment.of(programs.multi_wf)
    shipping._loaded[shipment.digest] = shipping.unpack(shipment.data, shipment.digest)
    try:
        own = shipping.dumps([programs.multi_wf, programs.step1], names=shipment.names)
        first, second = shipping.loads(own)
        assert first.short_name == "multi_wf"
        assert second.short_name == "step1"
        assert first is shipping.entity_of(shipment.digest, 0)
        assert len(own) < 300
        assert shipping.loads(shipping.dumps(first)) is first
    finally:
        del shipping._loaded[shipment.digest]


def test_shipping_leaves_cloudpickle_as_it_was() -> None:
    """Shipping registers users' modules with cloudpickle only as long as it takes."""
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    shipping.Shipment.of(programs.multi_wf)
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_what_does_not_pickle_is_named() -> None:
    """An entity that uses something that cannot travel is refused with its name."""
    lines = (one for one in "abc")

    @fl.task
    def reads_lines(a: int) -> int:
        next(lines)
        return a

    with pytest.raises(InputError, match=r"reads_lines cannot travel to workers.*generator"):
        shipping.Shipment.of(reads_lines)


@pytest.mark.parametrize(("module", "expected"), [(json, False), (math, False), (pytest, False), (shipping, False), (programs, True)])
def test_whose_module_it_is(module: types.ModuleType, expected: bool) -> None:
    """Python's own modules and installed ones are imported where they are needed; users' own are not."""
    assert shipping.is_users(module) is expected


def test_a_result_keeps_large_buffers_apart() -> None:
    """A result's large buffers are handed on as they are, and its values are equal to what was put in."""
    import pickle

    numpy = pytest.importorskip("numpy")
    array = numpy.arange(100_000)
    result = Result((array, "text"))
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(result, protocol=5, buffer_callback=buffers.append)
    assert len(data) < 1000
    first, second = pickle.loads(data, buffers=buffers).values
    assert (first == array).all()
    assert second == "text"
    assert result.__sizeof__() > array.nbytes


def test_a_result_that_does_not_pickle_is_refused() -> None:
    """A value that cannot travel is refused where it was made."""
    with pytest.raises(OutputError, match="a result cannot travel"):
        Result(((one for one in "abc"),))


def test_pydantic_models_and_enums_travel_by_value(tmp_path: Path) -> None:
    """A user's pydantic models, enums and named tuples travel with the entity that declares them."""
    shipment = shipping.Shipment.of(paint)
    code = """
wall = shipping.unpack(data, 'd')[0]
model = wall.interface.parameters['wall'].annotation
kind = wall.interface.parameters['colour'].annotation
print(json.dumps([*wall(wall=model(width=2, height=3), colour=kind['RED'])]))
"""
    assert elsewhere(code, shipment.data, tmp_path) == [6.0, "red"]


class Wall(pydantic.BaseModel):
    """A model."""

    width: float
    height: float = 1.0


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


class Painted(NamedTuple):
    """Two outputs."""

    area: float
    colour: str


@fl.task
def paint(wall: Wall, colour: Colour) -> Painted:
    return Painted(wall.width * wall.height, colour.value)
