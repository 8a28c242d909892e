"""What a run executed is found again, as it is now: the same entity, and no other of its name."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from daskflow.recovering import current
from daskflow.submissions import target

FLOW = """
import daskflow as fl
{imports}

@fl.workflow
def flow(a: int) -> int:
    return a
"""

PLAN = """

plan = fl.LaunchPlan.create("plans.of.flows", flow, fixed_inputs={"a": 3})
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of a package, of which nothing is imported, before and afterwards."""
    folder = tmp_path / "users_package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "beside.py").write_text(FLOW.format(imports=""))
    (folder / "flows.py").write_text(FLOW.format(imports="from .beside import flow as theirs") + PLAN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def forget() -> None:
    for name in [one for one in sys.modules if one.startswith("users_package")]:
        del sys.modules[name]


def test_a_module_of_a_package_is_imported_as_one(package: Path) -> None:
    """It may import what is beside it, in a process where nothing of it is imported yet, and the path does not say where it is."""
    sys.path.insert(0, str(package.parent))
    module = importlib.import_module("users_package.flows")
    described = [target(one) for one in (module.flow, module.plan)]
    del sys.path[0]
    forget()
    for name, one in zip(("flow", "plan"), described, strict=True):
        found: Any = current(one)
        assert found is getattr(sys.modules["users_package.flows"], name)
        assert found is not getattr(module, name)


def test_what_has_no_function_is_found_where_it_has_a_name(package: Path) -> None:
    """A workflow that was put together call by call is that of the module which has it, whatever its name says."""
    path = package / "put_together.py"
    built = "flow = fl.ImperativeWorkflow('some.where')\nflow.add_workflow_output('o', flow.add_workflow_input('a', int))\n"
    path.write_text(f"import daskflow as fl\n\n{built}")
    sys.path.insert(0, str(package.parent))
    module = importlib.import_module("users_package.put_together")
    described = target(module.flow)
    assert (described["module"], described["file"]) == ("users_package.put_together", str(path))
    del sys.path[0]
    forget()
    found: Any = current(described)
    assert (found.name, found is module.flow) == ("some.where", False)


def test_what_is_imported_under_another_name_is_another_one(package: Path) -> None:
    """A module that has an entity of the same name from elsewhere gives its own."""
    sys.path.insert(0, str(package.parent))
    module = importlib.import_module("users_package.flows")
    assert list(vars(module)).index("theirs") < list(vars(module)).index("flow")
    assert current(target(module.flow)) is module.flow
    assert current(target(module.theirs)) is module.theirs


def test_another_script_is_another_one(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a script that was run, another one that runs here, with an entity of the same name, is not taken for it; it itself is."""
    script = package / "beside.py"
    main = ModuleType("__main__")
    main.__file__, main.__spec__ = str(script), None
    exec(compile(script.read_text(), script, "exec"), vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    described = target(main.flow)
    assert described["module"] == "__main__"
    assert current(described) is main.flow
    main.__file__ = str(package / "flows.py")
    found: Any = current(described)
    assert (found.name, found is main.flow) == ("beside.flow", False)


def test_a_module_that_is_run_is_found_by_its_name(package: Path) -> None:
    """What python -m has run is imported by the name that it was given."""
    path = package / "run.py"
    path.write_text(
        FLOW.format(imports="from .beside import flow as theirs\nfrom daskflow.submissions import target") + "print(target(flow))"
    )
    done = subprocess.run([sys.executable, "-m", "users_package.run"], cwd=package.parent, capture_output=True, text=True, check=True)
    found: Any = current(eval(done.stdout))
    assert found.name == "users_package.run.flow"


def test_what_is_not_there_is_none(package: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was renamed, or whose file is gone, is not found."""
    sys.path.insert(0, str(package.parent))
    described = target(importlib.import_module("users_package.flows").flow)
    assert current({**described, "name": "users_package.flows.renamed"}) is None
    forget()
    del sys.path[0]
    assert current({**described, "file": str(package / "gone.py"), "module": "gone"}) is None
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
