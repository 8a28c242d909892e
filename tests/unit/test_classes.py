"""Classes that travel by value, between processes that are modelled by what cloudpickle knows."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

from daskflow import classes, shipping
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


def test_what_is_kept_is_read_with_the_classes_of_whoever_reads(tmp_path: Path) -> None:
    """A script's values are read by a process that imports it, and by code that came with a shipment, as instances of their own classes."""
    path = tmp_path / "a_users_script.py"
    written = (
        "from daskflow import shipping\nopen('data', 'wb').write(shipping.dumps([Step(Mode.UP, 3), Pair(Mode.UP, Step(Mode.UP, 4))]))\n"
    )
    path.write_text(f"{FLOW}\n\nif __name__ == '__main__':\n    {written.replace(chr(10), chr(10) + '    ')}")
    subprocess.run([sys.executable, str(path)], check=True, cwd=tmp_path, timeout=60)
    data = (tmp_path / "data").read_bytes()
    users = load(str(path))
    step, pair = classes.loads_by_name(data)
    assert (type(step), step.mode, type(pair), type(pair.step)) == (users.Step, users.Mode.UP, users.Pair, users.Step)
    assert type(shipping.loads(data)[0]) is not users.Step
    (tmp_path / "data").write_bytes(shipping.dumps_by_value([step, users.Step]))
    program = (
        "import sys\nfrom daskflow import classes\nimport pickle\nkept, shipped = (open(one, 'rb').read() for one in sys.argv[1:])\n"
        "with classes.unpacking('d'):\n    own = pickle.loads(shipped)[1]\n"
        "with classes.executing('d'):\n    print(type(classes.loads_by_name(kept)[0]) is own)\n"
        "with classes.executing('another'):\n    print(type(classes.loads_by_name(kept)[0]) is own)\n"
    )
    (tmp_path / "kept").write_bytes(data)
    command = [sys.executable, "-c", program, str(tmp_path / "kept"), str(tmp_path / "data")]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", timeout=60).stdout == "True\nFalse\n"


def test_local_classes_are_not_found_by_their_names() -> None:
    """Two classes that one function has made have one name, and are read as what they are."""

    def made(size: int) -> Any:
        class Local:
            length = size

        return Local

    one, other = classes.loads_by_name(shipping.dumps([made(1)(), made(2)()]))
    assert (type(one).length, type(other).length) == (1, 2)
