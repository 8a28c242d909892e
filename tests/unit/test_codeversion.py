"""Versions of code: what makes another one, and what does not."""

from __future__ import annotations

import gc
import glob
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow import sourcetext
from daskflow.codeversion import CodeError, code_version, version_as_is
from tests.unit import versioned

#: What code of tests/unit/versioned.py has for versions, wherever and with whatever Python: by name, in the order of versioned.ALL.
KNOWN = """
db52b2bb9c4784a1086221846201a4a3
e48c05c754ce85050fe6a1da15aa07ea
0b0d648e203596a756ce9c407e2a9a3f
f2ef1f9ff26fe3cc7e9140e44ed16891
7da1913d31d459302ec59351f2082333
905076d2cab3e89e4320679fdd67c519
51b2cd5abc5efb016452d33695b6d2f6
26be0380177b8cf5a620cf7062e7af3d
021e9fbad5d658c276bf2833a9929215
59ece751cca85b9561c024b2dec0e762
ed695a6b2738c94d36cc0d7f1049fcc9
""".split()

HELPERS = """
import math

SCALE = 2


def scaled(x):
    return deeper(x) * SCALE


def deeper(x):
    return x + 1


def imported(x):
    return x - 1


def late(x):
    return x - 2


def unrelated(x):
    return x
"""

MAIN = '''
from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import functools
import logging
import re
import threading
import types

import daskflow as fl
import helpers
from helpers import imported

LIMIT = 3
UNUSED = 4
TABLE = {"a": [1, 2], "b": {"c": (1.5, None)}}
WORD = re.compile("a+")
DAY = datetime.date(2024, 1, 1)
SPACE = types.SimpleNamespace(depth=1)
LOCK = threading.Lock()
LOGGER = logging.getLogger(__name__)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Base:
    def inherited(self):
        return 10


class Shape(Base):
    """A shape."""

    sides = 4

    def area(self):
        return self._side() ** 2

    @property
    def _side(self):
        return class_helper()

    @functools.cached_property
    def costly(self):
        return 5


def class_helper():
    return 6


def fresh():
    return [7]


@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 0.5
    colour: Colour = Colour.RED
    items: list = dataclasses.field(default_factory=fresh)

    def doubled(self):
        return self.rate * 20


CONFIG = Config(rate=0.25)


class Given:
    def method(self):
        return 30


def doubled(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) * 40

    return wrapper


@doubled
def decorated(x):
    return x + 50


@functools.lru_cache
def remembered(x):
    return x + 60


def adder(by):
    def add(x):
        return x + by

    return add


add_eight = adder(8)
bound = functools.partial(adder, 9)
HANDLERS = {"one": imported, "two": fresh}


def helper(x):
    return other_helper(x) + LIMIT


def other_helper(x):
    return [y for y in range(x) if y != 11]


def unrelated(x):
    return x


@fl.task
def step(a: int, b: int = 12) -> int:
    """Step."""

    # A comment.
    return a + b


@fl.workflow(max_parallelism=2)
def inner_wf(a: int, b: int) -> int:
    return step(a=a, b=b)


plan = fl.LaunchPlan.get_or_create(inner_wf, name="versions.plan", fixed_inputs={"b": 70})
mapped = fl.map_task(functools.partial(step, b=80), concurrency=2)


@fl.dynamic
def outer(n: int) -> list[int]:
    return [step(a=n), plan(a=n), *[one for one in mapped(a=[n])]]


@fl.task(cache=True)
def entry(n: int, given: Given | None = None, factor: int = 13) -> int:
    """Do everything."""

    import helpers as again
    from helpers import late

    LOGGER.info("entry")
    with LOCK:
        found = WORD.match("aa"), DAY, SPACE, TABLE, HANDLERS, bound, CONFIG, Shape().area(), remembered, decorated
    return helper(n) + helpers.scaled(n) + imported(n) + late(n) + again.scaled(n) + add_eight(n) + factor + len(found)


@fl.dynamic(cache=True)
def everything(n: int) -> list[int]:
    return [entry(n=n), *outer(n=n)]
'''

#: What is edited, and whether that counts.
EDITS: dict[str, tuple[str, str, str, bool]] = {
    # name: file, what, by what, whether it makes another version
    "the function": ("main", "[entry(n=n), *outer(n=n)]", "[*outer(n=n), entry(n=n)]", True),
    "a task called by a dynamic": ("main", 'LOGGER.info("entry")', 'LOGGER.info("another")', True),
    "a dynamic called by a dynamic": ("main", "[step(a=n), plan(a=n)", "[plan(a=n), step(a=n)", True),
    "a helper": ("main", "other_helper(x) + LIMIT", "other_helper(x) - LIMIT", True),
    "a helper's helper": ("main", "y != 11", "y != 12", True),
    "a helper by import m": ("helpers", "deeper(x) * SCALE", "deeper(x) / SCALE", True),
    "what that one calls": ("helpers", "x + 1", "x + 2", True),
    "a constant over there": ("helpers", "SCALE = 2", "SCALE = 3", True),
    "a helper by from m import f": ("helpers", "x - 1", "x - 3", True),
    "a helper imported inside": ("helpers", "x - 2", "x - 3", True),
    "a constant": ("main", "LIMIT = 3", "LIMIT = 4", True),
    "a constant's type": ("main", "LIMIT = 3", "LIMIT = 3.0", True),
    "a constant in a dict": ("main", "1.5", "1.6", True),
    "a pattern": ("main", '"a+"', '"a*"', True),
    "a date": ("main", "2024, 1, 1", "2024, 1, 2", True),
    "a namespace": ("main", "depth=1", "depth=2", True),
    "a dataclass' instance": ("main", "rate=0.25", "rate=0.75", True),
    "a dataclass' method": ("main", "self.rate * 20", "self.rate * 21", True),
    "a field's factory": ("main", "return [7]", "return [8]", True),
    "an enum member's value": ("main", "RED = 1", "RED = 3", True),
    "a class' method": ("main", "self._side() ** 2", "self._side() ** 3", True),
    "a class' attribute": ("main", "sides = 4", "sides = 5", True),
    "a cached property": ("main", "return 5", "return 6", True),
    "what a method calls": ("main", "return 6", "return 7", True),
    "a base class": ("main", "return 10", "return 11", True),
    "a class in an annotation": ("main", "return 30", "return 31", True),
    "a user's decorator": ("main", "* 40", "* 41", True),
    "what a user's decorator wraps": ("main", "x + 50", "x + 51", True),
    "what a library's decorator wraps": ("main", "x + 60", "x + 61", True),
    "a closure's value": ("main", "adder(8)", "adder(9)", True),
    "a closure's code": ("main", "x + by", "x - by", True),
    "what a partial binds": ("main", "partial(adder, 9)", "partial(adder, 10)", True),
    "a default": ("main", "factor: int = 13", "factor: int = 14", True),
    "a task's default": ("main", "b: int = 12", "b: int = 13", True),
    "a function in a dict": ("main", '"one": imported', '"one": helpers.late', True),
    "the workflow behind a launch plan": ("main", "return step(a=a, b=b)", "return step(a=b, b=a)", True),
    "a plan's fixed input": ("main", '{"b": 70}', '{"b": 71}', True),
    "a map's bound input": ("main", "b=80", "b=81", True),
    "a comment": ("main", "# A comment.", "# Another one.", False),
    "a comment that goes": ("main", "    # A comment.\n", "", False),
    "a docstring": ("main", '"""Do everything."""', '"""Do all.\n\n    At once.\n    """', False),
    "a docstring that goes": ("main", '    """Step."""\n', "", False),
    "a class' docstring": ("main", '"""A shape."""', '"""Another."""', False),
    "blank lines": ("main", '    LOGGER.info("entry")\n', '\n\n    LOGGER.info(  "entry"  )  \n\n', False),
    "the indentation": ("main", "    def inherited(self):\n        return 10", "   def inherited(self):\n     return 10", False),
    "line breaks in brackets": ("main", "[entry(n=n), *outer(n=n)]", "[\n        entry(n=n), *outer(n=n)\n    ]", False),
    "the place in the file": ("main", "LIMIT = 3\n", "\n\n\n# Below.\nLIMIT = 3\n", False),
    "a limit": ("main", "@fl.workflow(max_parallelism=2)", "@fl.workflow(max_parallelism=3)", False),
    "a map's window": ("main", "concurrency=2", "concurrency=3", False),
    "an option": ("main", "@fl.task(cache=True)", '@fl.task(cache=True, cache_version="2")', False),
    "an unrelated function": ("main", "def unrelated(x):\n    return x", "def unrelated(x):\n    return 0", False),
    "an unrelated constant": ("main", "UNUSED = 4", "UNUSED = 5", False),
    "an unrelated function over there": ("helpers", "def unrelated(x):\n    return x", "def unrelated(x):\n    return 0", False),
    "the order of a dict": ("main", '{"one": imported, "two": fresh}', '{"two": fresh, "one": imported}', False),
    "which lock it is": ("main", "LOCK = threading.Lock()", "LOCK = threading.Lock(); LOCK.acquire()", False),
}


def load(folder: Path, **sources: str) -> types.ModuleType:
    """Write modules and import the last of them, as if for the first time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(list(sources)[-1])
    finally:
        sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def _no_modules_left() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before & {"helpers", "main", "module", "parts", "parts.one"}:
        del sys.modules[name]


def version(folder: Path, source: str, name: str = "f") -> str:
    """Return the version of a function of a module."""
    return code_version(getattr(load(folder, module=source), name))


def run(program: list[str], **environment: str) -> str:
    """Run Python where the tests and daskflow can be imported; return what it prints, or nothing where it fails."""
    roots = (Path(__file__).parents[2], Path(fl.__file__).parents[1], sysconfig.get_path("purelib"))
    paths = os.pathsep.join(str(root) for root in roots)
    done = subprocess.run(program, env={**os.environ, "PYTHONPATH": paths, **environment}, capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.parametrize(("file", "old", "new", "counts"), EDITS.values(), ids=EDITS)
def test_edits(tmp_path: Path, file: str, old: str, new: str, counts: bool) -> None:
    """An edit of what a function reaches makes another version, and any other edit does not."""
    sources = {"helpers": HELPERS, "main": MAIN}
    assert sources[file].count(old) == 1
    before = code_version(load(tmp_path / "before", **sources).everything)
    after = code_version(load(tmp_path / "after", **{**sources, file: sources[file].replace(old, new)}).everything)
    assert (before != after) is counts


def test_known_versions() -> None:
    """Versions do not change with ours, or users' caches would be lost."""
    assert [code_version(fn) for fn in versioned.ALL] == KNOWN


def pythons(minor: int) -> Iterator[str]:
    """Give what may be Python 3.`minor`."""
    found = shutil.which(f"python3.{minor}")
    yield from [found] if found else []
    yield from glob.glob(str(Path.home() / ".pyenv" / "versions" / f"3.{minor}.*" / "bin" / "python"))


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_known_versions_of_other_pythons(minor: int) -> None:
    """Code has the same versions whatever Python is used."""
    script = f"""
        import sys
        assert sys.version_info[:2] == (3, {minor})
        from daskflow.codeversion import code_version
        print("is here", flush=True)
        from tests.unit import versioned
        print(*[code_version(fn) for fn in versioned.ALL])
    """
    outputs = (run([python, "-B", "-c", textwrap.dedent(script)]) for python in pythons(minor))
    output = next((one for one in outputs if one.startswith("is here")), None)
    if output is None:
        pytest.skip(f"there is no Python 3.{minor} here")
    assert output.split()[2:] == KNOWN


def test_any_process(tmp_path: Path) -> None:
    """A version is the same wherever the file lies, whether it is run or imported, and whatever seeds the hashes."""
    script = (
        MAIN + "\n\nif __name__ == '__main__':\n    from daskflow.codeversion import code_version\n\n    print(code_version(everything))\n"
    )
    expected = code_version(load(tmp_path / "imported", helpers=HELPERS, main=MAIN).everything)
    load(tmp_path / "run", helpers=HELPERS, main=script)
    assert run([sys.executable, str(tmp_path / "run" / "main.py")], PYTHONHASHSEED="1").strip() == expected
    imported = f"import sys; sys.path.insert(0, {str(tmp_path / 'run')!r}); import main; from daskflow.codeversion import code_version"
    assert run([sys.executable, "-c", f"{imported}; print(code_version(main.everything))"], PYTHONHASHSEED="2").strip() == expected


def test_sets_of_functions(tmp_path: Path) -> None:
    """Sets have no order, whatever is in them."""
    program = "def a(): pass\ndef b(): pass\nS = frozenset([{}, ('x', 1), 'y'])\ndef f(): return S\n"
    first, second = (version(tmp_path / str(number), program.format(order)) for number, order in enumerate(("a, b", "b, a")))
    assert first == second


def test_salt() -> None:
    """Another salt gives another version."""
    assert len({code_version(versioned.total, salt) for salt in ("", "a", "b")}) == 3


def test_mutual_recursion(tmp_path: Path) -> None:
    """Functions that call each other have versions, which change with either."""
    program = "def f(n):\n    return n and g(n - 1)\n\n\ndef g(n):\n    return n or f({})\n"
    assert version(tmp_path / "a", program.format("n")) != version(tmp_path / "b", program.format("n + 1"))


def test_swapped_closures(tmp_path: Path) -> None:
    """Which of two closures of the same code goes by which name counts."""
    program = """
        def make(by):
            def add(x):
                return x + by
            return add
        one, two = make({}), make({})
        def f(x):
            return one(x) - two(x)
    """
    assert version(tmp_path / "a", program.format(1, 2)) != version(tmp_path / "b", program.format(2, 1))


def test_which_attributes_of_a_package_count(tmp_path: Path) -> None:
    """Of a package without a file of its own, and of what is in it, the attributes count that are named."""
    program = "import parts.one\n\n\ndef f():\n    return parts.one.g()\n"
    versions = []
    for number, (used, unused) in enumerate([(1, 1), (2, 1), (1, 2)]):
        folder = tmp_path / str(number)
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "one.py").write_text(f"def g():\n    return {used}\n\n\ndef h():\n    return {unused}\n")
        for name in ("parts", "parts.one"):
            sys.modules.pop(name, None)
        versions.append(version(folder, program))
    assert versions[0] == versions[2] != versions[1]


def test_a_global_that_becomes_another_one(tmp_path: Path) -> None:
    """A helper that is defined again, as a notebook's cells do, makes another version, and the first one again the first."""
    module: Any = load(tmp_path, module="def g():\n    return 1\n\n\ndef again():\n    return 2\n\n\ndef f():\n    return g()\n")
    first, g = code_version(module.f), module.g
    module.g = module.again
    assert code_version(module.f) != first
    module.g = g
    assert code_version(module.f) == first


def test_equal_code_in_two_files(tmp_path: Path) -> None:
    """Code objects that are equal have the version of their own text."""
    first = load(tmp_path / "a", module="def f(x):\n    return x + (1)\n").f
    second = load(tmp_path / "b", module="def f(x):\n    return x +  1\n").f
    versions = code_version(first), code_version(second)
    assert versions[0] != versions[1]
    assert versions == (code_version(first), code_version(second))


@pytest.mark.parametrize(
    ("program", "named"),
    [
        ("f = lambda: 1", "<lambda> is a lambda"),
        ("g = lambda: 1\n\n\ndef f():\n    return g()\n", "the code of f.*<lambda> is a lambda"),
        ("exec('def g(): return 1')\n\n\ndef f():\n    return g()\n", "the code of f.*g has no source"),
    ],
)
def test_no_source(tmp_path: Path, program: str, named: str) -> None:
    """A function whose source cannot be had is refused by name, with the way out."""
    with pytest.raises(CodeError, match=f"(?s){named}.*give cache_version"):
        version(tmp_path, program)


def test_a_file_that_was_edited_meanwhile(tmp_path: Path) -> None:
    """Another function's text is not taken for that of a function whose file has changed since it was imported."""
    module = load(tmp_path, module="def f():\n    return 1\n")
    (tmp_path / "module.py").write_text("def g():\n    return 'something else'\n")
    with pytest.raises(CodeError, match="f has no source"):
        code_version(module.f)


@pytest.mark.parametrize("other", ["np.arange(4)", "np.arange(3, dtype='i2')", "np.arange(3).reshape(3, 1)", "np.array([0, 1, None])"])
def test_arrays(tmp_path: Path, other: str) -> None:
    """An array counts with its type, its shape and its items."""
    pytest.importorskip("numpy")
    program = "import numpy as np\n\nA = {}\n\n\ndef f():\n    return A\n"
    first = version(tmp_path / "a", program.format("np.arange(3)"))
    assert version(tmp_path / "b", program.format("np.arange(6)[::2] // 2")) == first
    assert version(tmp_path / "c", program.format(other)) != first


def test_pydantic_instances(tmp_path: Path) -> None:
    """The fields of a pydantic model's instance count."""
    program = "import pydantic\n\n\nclass M(pydantic.BaseModel):\n    a: int\n\n\nONE = M(a={})\n\n\ndef f():\n    return ONE\n"
    assert version(tmp_path / "a", program.format(1)) != version(tmp_path / "b", program.format(2))


def test_classes_without_source(tmp_path: Path) -> None:
    """A class whose text cannot be had, as in a notebook, counts with its methods and attributes."""
    program = """
        import types
        def method(self):
            return {}
        C = types.new_class("C", (), {{}}, lambda names: names.update(method=method, limit={}, __module__=__name__))
        def f():
            return C()
    """
    assert len({version(tmp_path / f"{a}{b}", program.format(a, b)) for a, b in ((1, 1), (1, 2), (2, 1))}) == 3


def test_circles_of_values(tmp_path: Path) -> None:
    """A list that holds itself has an end."""
    assert version(tmp_path / "a", "A = [1]\nA.append(A)\n\n\ndef f():\n    return A\n")


def test_nothing_is_kept(tmp_path: Path) -> None:
    """What is remembered of a function goes with it."""

    module = load(tmp_path, module="class C:\n    pass\n\n\ndef f():\n    return C\n")
    code_version(module.f)
    code, cls = id(module.f.__code__), id(module.C)
    assert code in sourcetext.function_tokens._known
    assert code in sourcetext.named_by._known
    assert cls in sourcetext.class_tokens._known
    del module, sys.modules["module"]
    gc.collect()
    assert code not in sourcetext.function_tokens._known
    assert code not in sourcetext.named_by._known
    assert cls not in sourcetext.class_tokens._known


def test_threads() -> None:
    """Threads that ask at the same time are told the same."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(code_version(versioned.paint))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {code_version(versioned.paint)}


def test_entities() -> None:
    """An entity has the version of its function and of its kind, and a library's function one of its name."""
    functions: list[Callable[..., Any]] = [versioned.square, versioned.plan, len, textwrap.dedent]
    assert len({code_version(fn) for fn in functions}) == 4


def test_there_is_always_a_version_of_the_code_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lambdas count by their bytecode, and what is imported when a function runs by its text, wherever it is imported from."""
    (tmp_path / "late_pkg").mkdir()
    (tmp_path / "late_pkg" / "__init__.py").touch()
    late = tmp_path / "late_pkg" / "late.py"
    monkeypatch.syspath_prepend(tmp_path)
    namespace: dict[str, Any] = {}

    def versions(scale: str, body: str) -> list[str]:
        late.write_text(body)
        namespace["scale"] = eval(f"lambda a: a in {{'x', 'y', {scale}}}")
        exec("def f(a):\n    return scale(a)\n\ndef g(a):\n    from late_pkg.late import h\n    return h(a)\n", namespace)
        return [version_as_is(namespace[name]) for name in "fg"]

    (f, g), (scaled, same), (back, changed), (_, commented) = (
        versions("1", "def h(a): return 1\n"), versions("2", "def h(a): return 1\n"),
        versions("1", "def h(a): return 2\n"), versions("1", "def h(a): return 2  # two\n"),
    )  # fmt: skip
    assert f == back != scaled
    assert g == same != changed == commented
    assert "late_pkg" not in sys.modules


def test_bytecode_is_the_same_in_every_process() -> None:
    """Sets among the constants have another order in another process, and count as the same."""
    program = "from daskflow.codeversion import version_as_is\nprint(version_as_is(lambda a: a in {'a', 'b', 'c', 'd'}))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(printed) == 1


def test_a_workflow_without_a_function_has_a_version() -> None:
    """What was put together call by call counts by its calls, also where another function reaches it."""

    def built(number: int, twice: bool) -> Any:
        flow = fl.ImperativeWorkflow("built")
        node = flow.add_entity(plus, a=flow.add_workflow_input("a", int), b=number)
        flow.add_workflow_output("o", flow.add_entity(plus, a=node.o0, b=1).o0 if twice else node.o0)
        return flow

    def calling(flow: Any) -> Any:
        def calls(a: int) -> int:
            return flow(a=a)  # type: ignore[no-any-return]

        return calls

    for wrapped in (lambda flow: flow, calling):
        versions = [code_version(wrapped(built(*given))) for given in ((1, True), (1, True), (2, True), (1, False))]
        assert versions[0] == versions[1]
        assert len(set(versions)) == 3


@fl.task
def plus(a: int, b: int) -> int:
    return a + b


def test_a_field_is_no_global(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else has the name of a class' field is not what the class is made of; what makes its fields is."""
    source = (
        "import dataclasses\n\nMOST = {most}\n\n@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "    c: int = dataclasses.field(default=MOST)\n\ndef f(p: Point):\n    return Point(1)\n\n"
    )
    versions = []
    for number, (most, more) in enumerate([(1, ""), (1, "c = 5"), (1, "x = 7"), (2, "")]):
        path = tmp_path / str(number) / "fields_of_a_class.py"
        path.parent.mkdir()
        path.write_text(source.format(most=most) + more)
        spec = importlib.util.spec_from_file_location("fields_of_a_class", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "fields_of_a_class", module)
        spec.loader.exec_module(module)
        versions.append(version_as_is(module.f))
    assert versions[0] == versions[1] == versions[2] != versions[3]
