"""Classes that travel by value, between processes that are modelled by what cloudpickle knows."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

from daskflow import shipping
from daskflow.files import load

FLOW = """
from __future__ import annotations

import enum
import typing
from dataclasses import dataclass

FACTOR = 2


class Mode(enum.Enum):
    UP = "up"


@dataclass
class Step:
    mode: Mode
    size: int
    then: Step | None = None

    def scaled(self) -> int:
        return self.size * FACTOR


class Pair(typing.NamedTuple):
    mode: Mode
    step: Step
"""


def module(folder: Path) -> Any:
    """Return a user's module."""
    path = folder / "a_users_own_classes.py"
    path.write_text(FLOW)
    return load(str(path))


def elsewhere(data: bytes, code: str) -> str:
    """Return what code prints in a process that has only what was pickled, as `it`."""
    program = "import sys, typing\nfrom daskflow import shipping\nit = shipping.loads(sys.stdin.buffer.read())\n" + code
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def test_types_of_fields_travel_with_their_class(tmp_path: Path) -> None:
    """Where the module of a class is not, the types of its fields are still the types that the names stood for."""
    users = module(tmp_path)
    data = shipping.dumps_by_value((users.Step, users.Pair, users.Mode))
    code = "step, pair, mode = it\nprint(typing.get_type_hints(step) == {'mode': mode, 'size': int, 'then': step | None},"
    assert elsewhere(data, f"{code} typing.get_type_hints(pair) == {{'mode': mode, 'step': step}})") == "True True"
    assert typing.get_type_hints(users.Step)["mode"] is users.Mode
    assert [field.type for field in dataclasses.fields(users.Step)] == ["Mode", "int", "Step | None"]


def test_a_class_that_comes_back_is_left_as_it_is(tmp_path: Path) -> None:
    """Where a class was defined, its methods go on seeing what changes in their module when a copy of it comes back."""
    users = module(tmp_path)
    step = users.Step(users.Mode.UP, 3)
    (back,) = shipping.loads(shipping.dumps_by_value((step,)))
    assert type(back) is users.Step
    assert back.mode is users.Mode.UP
    users.FACTOR = 5
    assert step.scaled() == back.scaled() == 15


def test_a_class_that_has_changed_is_changed_elsewhere(tmp_path: Path) -> None:
    """Where a class arrives once more, it has what it has by now."""
    users = module(tmp_path)
    first = shipping.dumps_by_value(users.Step)
    users.Step.limit = 7
    second = shipping.dumps_by_value(users.Step)
    assert elsewhere(shipping.dumps((first, second)), "a, b = map(shipping.loads, it)\nprint(a is b, a.limit)") == "True 7"
