"""A census of the Python standard library's source, on an embedded Dask cluster.

Three levels, as the library itself has them::

    census -> each package (dynamic) -> each of its modules (dynamic) -> map over the files: parse, measure
                                                                      -> total of the module
                                     -> total of the package
           -> ranked report, and a chart as SVG

Each level can be run alone::

    daskflow run examples/04_stdlib_census.py package_census --package json

Prints the report: how much there is, the packages with the most code, the longest functions. The figures depend on the
version of Python::

    ... files in ... packages: ... lines, ... of them code
    ...
    chart: stdlib-census.svg
"""

from __future__ import annotations

import argparse
import ast
import functools
import sysconfig
import time
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from statistics import median

import daskflow as fl

LIBRARY = Path(sysconfig.get_paths()["stdlib"])
LEFT_OUT = {"site-packages", "__pycache__", "lib-dynload", "test", "tests", "idle_test"}
BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.BoolOp, ast.comprehension, ast.match_case)
BLOCKS = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match,
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


@dataclass
class Function:
    """A function, and how long it is in lines."""

    name: str
    lines: int


@dataclass
class Measure:
    """What was counted in a file, a module or a package."""

    name: str
    files: int = 0
    unreadable: int = 0
    lines: int = 0
    code: int = 0
    functions: int = 0
    classes: int = 0
    documented: int = 0
    branches: int = 0
    imports: int = 0
    deepest: int = 0
    lengths: list[int] = field(default_factory=list)
    longest: list[Function] = field(default_factory=list)

    @property
    def median_length(self) -> float:
        """The median length of its functions in lines."""
        return median(self.lengths) if self.lengths else 0.0


# ---------------------------------------------------------------- measuring a file


def code_lines(source: str) -> int:
    """Count the lines that are neither blank nor only a comment."""
    return sum(1 for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def depth(tree: ast.AST) -> int:
    """Return how deep blocks are nested."""
    deepest, todo = 0, [(tree, 0)]
    while todo:
        node, level = todo.pop()
        deepest = max(deepest, level)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
                # To the parser an elif is an if inside an else; it stands where its if stands, and is not deeper.
                is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and child.col_offset == node.col_offset
                todo.append((child, level + (isinstance(child, BLOCKS) and not is_elif)))
    return deepest


def measured(name: str, source: str) -> Measure:
    """Measure the source of one file."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    sized = [Function(f"{name}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]
    return Measure(
        name,
        files=1,
        lines=source.count("\n") + (not source.endswith("\n") and source != ""),
        code=code_lines(source),
        functions=len(functions),
        classes=len(classes),
        documented=sum(ast.get_docstring(node) is not None for node in (*functions, *classes)),
        branches=sum(isinstance(node, BRANCHES) for node in nodes),
        imports=sum(isinstance(node, (ast.Import, ast.ImportFrom)) for node in nodes),
        deepest=depth(tree),
        lengths=[one.lines for one in sized],
        longest=sorted(sized, key=lambda one: -one.lines)[:5],
    )


@fl.task
def measure_file(path: str, library: str) -> Measure:
    """Parse a file and measure it; one that does not parse is counted as such."""
    name = ".".join(Path(path).relative_to(library).with_suffix("").parts).removesuffix(".__init__")
    try:
        with tokenize.open(path) as file:
            return measured(name, file.read())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return Measure(name, files=1, unreadable=1)


@fl.task
def total(name: str, parts: list[Measure]) -> Measure:
    """Add measures up."""
    whole = Measure(name)
    for part in parts:
        for counted in ("files", "unreadable", "lines", "code", "functions", "classes", "documented", "branches", "imports"):
            setattr(whole, counted, getattr(whole, counted) + getattr(part, counted))
        whole.deepest = max(whole.deepest, part.deepest)
        whole.lengths.extend(part.lengths)
        whole.longest.extend(part.longest)
    whole.longest = sorted(whole.longest, key=lambda one: (-one.lines, one.name))[:5]
    return whole


# ---------------------------------------------------------------- the levels


def source_files(folder: Path) -> Iterator[str]:
    """Yield the Python files below a folder."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name not in LEFT_OUT:
            yield from source_files(path)
        elif path.suffix == ".py":
            yield str(path)


@fl.workflow
def module_census(name: str, files: list[str], library: str) -> Measure:
    """Measure a module's files and add them up."""
    return total(name=name, parts=fl.map_task(functools.partial(measure_file, library=library))(path=files))


module_plan = fl.LaunchPlan.get_or_create(module_census)


@fl.dynamic
def package_census(package: str, library: str = str(LIBRARY)) -> Measure:
    """Loop over the modules of a package: its files, and the packages inside it."""
    folder = Path(library) / package
    if folder.is_dir():
        modules = {
            path.stem: list(source_files(path)) if path.is_dir() else [str(path)]
            for path in sorted(folder.iterdir())
            if path.suffix == ".py" or (path.is_dir() and path.name not in LEFT_OUT)
        }
    else:
        modules = {package: [str(folder.with_suffix(".py"))]}
        if not folder.with_suffix(".py").is_file():
            raise ValueError(f"{library} has no package {package!r}; give the name of a folder or module in it, such as json")
    parts = [module_plan(name=f"{package}.{name}", files=files, library=library) for name, files in modules.items() if files]
    return total(name=package, parts=parts)


@fl.task
def list_packages(library: str) -> list[str]:
    """Return the packages, and modules that are in no package."""
    entries = sorted(Path(library).iterdir())
    folders = [path.name for path in entries if (path / "__init__.py").is_file() and path.name not in LEFT_OUT]
    return folders + [path.stem for path in entries if path.suffix == ".py"]


@fl.dynamic
def each_package(packages: list[str], library: str) -> list[Measure]:
    """Loop over the packages."""
    return [package_census(package=package, library=library) for package in packages]


@fl.task
def ranked(packages: list[Measure]) -> list[Measure]:
    """Put the packages with the most code first."""
    return sorted(packages, key=lambda one: (-one.code, one.name))


@fl.workflow
def census(library: str = str(LIBRARY)) -> list[Measure]:
    """Measure the whole library."""
    return ranked(packages=each_package(packages=list_packages(library=library), library=library))


@fl.workflow
def census_of(packages: list[str], library: str = str(LIBRARY)) -> list[Measure]:
    """Measure some packages."""
    return ranked(packages=each_package(packages=packages, library=library))


# ---------------------------------------------------------------- report and chart


def report(packages: list[Measure], most: int = 12) -> Iterable[str]:
    """Yield the lines of the report."""
    files, unreadable, lines, code = (sum(getattr(one, what) for one in packages) for what in ("files", "unreadable", "lines", "code"))
    yield f"{files} files in {len(packages)} packages: {lines:,} lines, {code:,} of them code"
    if unreadable:
        yield f"{unreadable} files do not parse"
    yield ""
    yield f"{'package':<16}{'files':>6}{'code':>9}{'functions':>11}{'classes':>9}{'documented':>12}{'median':>8}{'deepest':>9}"
    for one in packages[:most]:
        share = one.documented / max(1, one.functions + one.classes)
        yield (
            f"{one.name:<16}{one.files:>6}{one.code:>9,}{one.functions:>11,}{one.classes:>9,}"
            f"{share:>12.0%}{one.median_length:>8.0f}{one.deepest:>9}"
        )
    yield ""
    yield "longest functions"
    longest = sorted((function for one in packages for function in one.longest), key=lambda one: -one.lines)
    for function in longest[:5]:
        yield f"{function.lines:>6} lines  {function.name}"


STYLE = """
svg { background: #fff; font: 12px system-ui, sans-serif; fill: #1f2933 }
.bar, .dot { fill: #2b7a9b } .dot { fill-opacity: .55 } .axis { stroke: #9aa5b1; fill: none } .note { fill: #616e7c }
.head { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  svg { background: #14181d; fill: #e4e7eb } .bar, .dot { fill: #5fb3d4 } .axis { stroke: #52606d } .note { fill: #9aa5b1 }
}
"""


def xml(text: str) -> str:
    """Escape text, without the characters that XML cannot hold at all."""
    return escape("".join(one if one.isprintable() else "\ufffd" for one in text))


def bars(packages: list[Measure]) -> Iterator[str]:
    """Yield the bars: the packages with the most code."""
    widest = max((one.code for one in packages), default=1) or 1
    yield '<text class="head" x="20" y="28">lines of code</text>'
    for row, one in enumerate(packages):
        y, width = 44 + 24 * row, 300 * one.code / widest
        yield f'<text x="130" y="{y + 13}" text-anchor="end">{xml(one.name)}</text>'
        yield f'<rect class="bar" x="138" y="{y}" width="{width:.1f}" height="17" rx="2"/>'
        yield f'<text class="note" x="{144 + width:.1f}" y="{y + 13}">{one.code:,}</text>'


def scatter(packages: list[Measure], height: int) -> Iterator[str]:
    """Yield the dots: the median length of functions against the number of functions, both on a square-root scale."""
    left, top, right, bottom = 560, 44, 900, height - 44
    shown = [one for one in packages if one.functions]
    most = max((one.functions for one in shown), default=1) ** 0.5
    longest = max((one.median_length for one in shown), default=1) ** 0.5 or 1
    yield f'<text class="head" x="{left}" y="28">median lines of a function, by number of functions</text>'
    yield f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>'
    for one in shown:
        x = left + (right - left) * one.functions**0.5 / most
        y = bottom - (bottom - top) * one.median_length**0.5 / longest
        title = f"{one.name}: {one.functions} functions, median {one.median_length:.0f} lines"
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{xml(title)}</title></circle>'
    yield f'<text class="note" x="{right}" y="{bottom + 18}" text-anchor="end">{most**2:,.0f} functions</text>'
    yield f'<text class="note" x="{left - 6}" y="{top + 10}" text-anchor="end">{longest**2:.0f}</text>'


def chart(packages: list[Measure], most: int = 15) -> str:
    """Return the chart as SVG."""
    height = 80 + 24 * min(most, max(8, len(packages)))
    inside = "\n".join([*bars(packages[:most]), *scatter(packages, height)])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 940 {height}" role="img"><style>{STYLE}</style>\n{inside}\n</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description="A census of the Python standard library's source.")
    parser.add_argument("--packages", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--chart", default="stdlib-census.svg", metavar="FILE")
    given = parser.parse_args()
    began = time.perf_counter()
    run = fl.run(census_of, packages=given.packages) if given.packages else fl.run(census)
    packages: list[Measure] = run.result()
    print(f"run {run.id} took {time.perf_counter() - began:.1f} s, with starting the cluster\n")
    print("\n".join(report(packages)))
    Path(given.chart).write_text(chart(packages), encoding="utf-8")
    print(f"\nchart: {given.chart}")


if __name__ == "__main__":
    main()
