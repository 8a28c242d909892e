"""The examples: each prints what its docstring says, and the census counts what is there."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))

SAMPLE = '''"""A sample."""
import os
from json import dumps, loads


class Greeter:
    """Greets."""

    def greet(self, name):
        # A comment alone.
        if name and self:
            return f"hello {name}"
        elif os.sep:
            return "hello"
        elif dumps:
            return "hm"


def total(numbers):
    """Add up."""
    whole = 0
    for number in numbers:
        while number:
            whole, number = whole + 1, number - 1
    return whole


async def nothing():
    pass
'''


def _python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=False, cwd=cwd, capture_output=True, text=True, encoding="utf-8", timeout=300)


def _promised(script: Path) -> str:
    """Return the code block that ends a script's docstring: what the script says that it prints."""
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    block = docstring.rpartition("::\n\n")[2]
    return re.sub(r"^ {4}", "", block, flags=re.MULTILINE) + "\n"


@pytest.fixture
def census(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The census as a module."""
    spec = importlib.util.spec_from_file_location("stdlib_census", EXAMPLES / "04_stdlib_census.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "stdlib_census", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library with one package, which has the sample in it, one file that does not parse, and an inner package."""
    package = tmp_path / "library" / "sampled"
    (package / "inner").mkdir(parents=True)
    for name, text in {"__init__.py": "", "sample.py": SAMPLE, "broken.py": "def (:\n", "inner/one.py": "x = 1\n"}.items():
        (package / name).write_text(text, encoding="utf-8")
    return tmp_path / "library"


def _texts(svg: str) -> Iterator[str]:
    for element in ET.fromstring(svg.encode()).iter():
        if element.text:
            yield element.text


def test_there_are_examples() -> None:
    """The scripts are found, so that the tests for each of them are there."""
    assert [script.name[:2] for script in SCRIPTS] == ["01", "02", "03", "04"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_prints_what_its_docstring_says(script: Path, tmp_path: Path) -> None:
    """A script prints exactly the block of its docstring, where an ellipsis stands for what differs from run to run."""
    done = _python(str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert doctest.OutputChecker().check_output(_promised(script), done.stdout, doctest.ELLIPSIS), done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_importing_does_nothing(script: Path, tmp_path: Path) -> None:
    """Importing a script, as a worker process that is spawned does, prints nothing, writes nothing and needs no cluster."""
    code = f"import runpy, sys; runpy.run_path({str(script)!r}, run_name='example'); sys.exit('distributed' in sys.modules)"
    done = _python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_limits_are_reached_and_not_exceeded(tmp_path: Path) -> None:
    """Each line of the limits names a limit, and an overlap that equals it."""
    done = _python(str(EXAMPLES / "03_limits.py"), cwd=tmp_path)
    found = re.findall(r"at most +(\d+) at once[,:] reached +(\d+)", done.stdout)
    assert len(found) >= 5
    assert all(limit == reached for limit, reached in found), done.stdout


def test_census_writes_its_chart_where_it_is_told(tmp_path: Path) -> None:
    """The chart of some packages is at the given path, parses as XML and names the packages; nothing else is written."""
    done = _python(str(EXAMPLES / "04_stdlib_census.py"), "--packages", "json", "email", "--chart", "there.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["there.svg"]
    assert {"json", "email"} <= set(_texts((tmp_path / "there.svg").read_text(encoding="utf-8")))


def test_census_of_a_package_agrees_with_counts_of_our_own(census: ModuleType) -> None:
    """A package's figures are those that reading its files gives."""
    paths = sorted((Path(census.LIBRARY) / "json").glob("*.py"))
    trees = [ast.parse(path.read_bytes()) for path in paths]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    found = census.package_census(package="json")
    assert found.files == len(paths)
    assert found.lines == sum(len(path.read_bytes().splitlines()) for path in paths)
    assert found.functions == len(functions)
    assert found.classes == sum(isinstance(node, ast.ClassDef) for node in nodes)
    assert found.imports == sum(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes)
    assert sorted(found.lengths) == sorted(len(range(node.lineno, (node.end_lineno or 0) + 1)) for node in functions)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("lines", 29),
        ("code", 21),
        ("functions", 3),
        ("classes", 1),
        ("documented", 2),
        ("imports", 2),
        ("lengths", [8, 7, 2]),
        ("median_length", 7),
        ("deepest", 3),
    ],
)
def test_measures_of_a_sample(census: ModuleType, what: str, expected: Any) -> None:
    """What a file holds is counted as one counts by hand; an elif lies as deep as its if."""
    found = getattr(census.measured("sample", SAMPLE), what)
    assert (sorted(found, reverse=True) if what == "lengths" else found) == expected


def test_levels_add_up(census: ModuleType, library: Path) -> None:
    """A package's census holds all its modules' files, and counts the one that does not parse."""
    found = census.package_census(package="sampled", library=str(library))
    assert (found.files, found.unreadable) == (4, 1)
    assert (found.functions, found.classes) == (3, 1)
    assert census.census_of(packages=["sampled"], library=str(library)) == [found]


@pytest.mark.parametrize(
    "content",
    [b"a = 1\0\n", b"# coding: nonsense\n", b"a = '\xff'\n", b"a = " + b"+".join([b"1"] * 3000), b"def (:\n"],
    ids=["nul", "unknown-encoding", "wrong-encoding", "deep", "syntax"],
)
def test_a_strange_file_ends_no_census(census: ModuleType, library: Path, content: bytes) -> None:
    """A file that Python itself may not read is measured or counted as unreadable, and never an error."""
    (library / "sampled" / "strange.py").write_bytes(content)
    found = census.package_census(package="sampled", library=str(library))
    assert found.files == 5
    assert found.unreadable in (1, 2)


def test_an_unknown_package_is_refused(census: ModuleType, library: Path) -> None:
    """A package that is not there is an error that names it, and not a package without code."""
    with pytest.raises(ValueError, match="nosuch"):
        census.census_of(packages=["nosuch"], library=str(library))


@pytest.mark.parametrize("name", ["<script>&\"'", "]]>", "bell\a", "half\udc80"], ids=["markup", "cdata", "control", "surrogate"])
def test_the_chart_holds_any_name(census: ModuleType, name: str) -> None:
    """Whatever a package is called, the chart can be written, is XML, and has no element of that name's making."""
    hostile = census.chart([census.Measure(name, files=1, code=10, functions=1, lengths=[3])])
    harmless = census.chart([census.Measure("name", files=1, code=10, functions=1, lengths=[3])])
    tags = [[element.tag for element in ET.fromstring(svg.encode()).iter()] for svg in (hostile, harmless)]
    assert tags[0] == tags[1]
    printable = "".join(one if one.isprintable() else "\ufffd" for one in name)
    assert any(printable in text for text in _texts(hostile))
