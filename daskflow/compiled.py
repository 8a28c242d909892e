"""What a run would execute, to be asserted on: :func:`compile`."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from daskflow.entity import Entity
from daskflow.errors import DefinitionError
from daskflow.expansion import Expansion, PlannedNode
from daskflow.patterns import matches


class CompiledGraph:
    """The nodes of a run, and what flows between them. Made by :func:`compile`; ``str()`` gives all of it as text.

    Attributes
    ----------
    nodes : dict of str
        Each :class:`~daskflow.expansion.PlannedNode` by its path.
    edges : tuple of (str, str)
        From which node to which, where one body hands a node's output to another node.
    flow : tuple of (str, str)
        From which task to which a value goes, through all bodies, changed or not; a dynamic or map that is not looked into is one too.
    """

    def __init__(self, entity: Entity[..., Any], inputs: dict[str, Any]) -> None:
        expansion = Expansion(entity, inputs)
        self.entity = entity
        self.nodes: dict[str, PlannedNode] = expansion.nodes
        self.edges = tuple(expansion.edges)
        self.flow = tuple(expansion.flow)

    def paths(self, pattern: str = "**") -> Sequence[str]:
        """Return the paths that a pattern is of, in order; see :func:`daskflow.patterns.matches`."""
        return [path for path, node in self.nodes.items() if matches(pattern, path, indexed=node.kind == "map")]

    def count(self, pattern: str = "**") -> int:
        """Return how many nodes a pattern is of."""
        return len(self.paths(pattern))

    def has_edge(self, before: str, after: str) -> bool:
        """Tell whether a node that one pattern is of hands its output to one that the other is of: within a body, or through several."""
        starts, ends = set(self.paths(before)), set(self.paths(after))
        return any(start in starts and end in ends for start, end in (*self.edges, *self.flow))

    def assert_edge(self, before: str, after: str) -> None:
        """Assert that there is such an edge.

        Raises
        ------
        AssertionError
            When there is none; it says which there are.
        """
        __tracebackhide__ = True
        if self.has_edge(before, after):
            return
        for pattern in (before, after):
            if not self.paths(pattern):
                raise AssertionError(f"{self!r} has no node {pattern!r}; it has {_some(self.nodes)}")
        ends = set(self.paths(after))
        into = [start for start, end in self.edges if end in ends]
        raise AssertionError(f"{self!r} has no edge from {before!r} to {after!r}; what goes there comes from {_some(into)}")

    @cached_property
    def _levels(self) -> dict[str, int]:
        into: dict[str, list[str]] = {}
        for start, end in self.flow:
            into.setdefault(end, []).append(start)
        levels: dict[str, int] = {}
        for path, node in self.nodes.items():
            if node.kind == "task" or node.opaque:
                levels[path] = 1 + max((levels[start] for start in into.get(path, ())), default=0)
        return levels

    @property
    def max_width(self) -> int:
        """How many tasks could be executed at the same moment, if all took the same time: the widest level."""
        return max(Counter(self._levels.values()).values(), default=0)

    @property
    def depth(self) -> int:
        """How many tasks must be executed one after the other: the number of levels."""
        return max(self._levels.values(), default=0)

    def assert_snapshot(self, path: str | Path, *, update: bool = False) -> None:
        """Assert that the graph is as a file says.

        Parameters
        ----------
        path
            The file; it has what ``str()`` gives.
        update : bool
            Whether the file is written.

        Raises
        ------
        AssertionError
            When the graph is another one, with the difference, or there is no file.
        """
        __tracebackhide__ = True
        assert_text(str(self), Path(path), update=update)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        into: dict[str, list[str]] = {}
        for start, end in self.edges:
            into.setdefault(end, []).append(start)
        lines = [f"{self.entity.short_name}: {self.entity.kind_name}"]
        depths: dict[str, int] = {"": 0}
        for path, node in self.nodes.items():
            depth = depths[path] = depths[node.parent] + 1
            label = path[len(node.parent) :].removeprefix("/")
            opaque = " (known when it runs)" if node.opaque else ""
            comes = _ranges([one[len(node.parent) :].removeprefix("/") for one in into.get(path, ())])
            lines.append(f"{'  ' * depth}{label}: {node.kind}{opaque}{f' <- {comes}' if comes else ''}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<compiled graph of {self.entity.name}: {len(self.nodes)} nodes>"


def compile(entity: Entity[..., Any], /, *args: Any, **inputs: Any) -> CompiledGraph:
    """Find out what a run would execute, without executing any task.

    Workflows, launch plans, maps over lists of known length, and dynamics whose inputs are all known are expanded: the bodies of dynamics
    run. A dynamic that takes a task's output is one node, since what it does is known only when it runs.

    Parameters
    ----------
    entity
        A task, workflow, dynamic, launch plan or map.
    *args, **inputs
        Its inputs.

    Raises
    ------
    InputError, OutputError, PromiseError
        When something does not fit, as far as it is known.

    Examples
    --------
    >>> from daskflow import dynamic, task
    >>> @task
    ... def square(a: int) -> int:
    ...     return a * a
    >>> @task
    ... def total(parts: list[int]) -> int:
    ...     return sum(parts)
    >>> @dynamic
    ... def squares(n: int) -> int:
    ...     return total(parts=[square(a=i) for i in range(n)])
    >>> graph = compile(squares, n=3)
    >>> graph.paths("square[*]")
    ['square[0]', 'square[1]', 'square[2]']
    >>> graph.assert_edge("square[*]", "total")
    >>> graph.max_width, graph.depth
    (3, 2)
    >>> print(graph)
    squares: dynamic
      square[0]: task
      square[1]: task
      square[2]: task
      total: task <- square[0..2]
    """
    if not isinstance(entity, Entity):
        raise DefinitionError(f"compile takes a task, workflow, dynamic, launch plan or map, not {entity!r}")
    checked = entity.interface.check_inputs(entity.interface.bind(args, inputs))
    entity.prepare()
    return CompiledGraph(entity, checked)


def assert_text(text: str, path: Path, *, update: bool = False, way_out: str = "write it with update=True") -> None:
    """Assert that a file has a text; the exception has the difference."""
    __tracebackhide__ = True
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
        return
    if not path.exists():
        raise AssertionError(f"there is no snapshot {path}; {way_out}. It would be\n{text}")
    expected = path.read_text(encoding="utf-8").removesuffix("\n")
    if text != expected:
        lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), f"snapshot {path}", "now", lineterm="")
        raise AssertionError("\n".join([f"what is compared differs from its snapshot; if that is meant, {way_out}", *lines]))


def _some(paths: Iterable[str]) -> str:
    known = list(dict.fromkeys(paths))
    rest = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return (", ".join(known[:10]) or "none") + rest


def _ranges(labels: list[str]) -> str:
    """Write names, runs of numbers together.

    Examples
    --------
    >>> _ranges(["a[0]", "a[1]", "a[2]", "a[4]", "b"])
    'a[0..2], a[4], b'
    """
    parts = []
    numbered = [(*_split(label), label) for label in labels]
    for _, run in itertools.groupby(enumerate(numbered), lambda one: (one[1][0], one[1][1] - one[0] if one[1][1] >= 0 else one[1][2])):
        (name, first, label), *more = (one for _, one in run)
        parts.append(f"{name}[{first}..{more[-1][1]}]" if more else label)
    return ", ".join(parts)


def _split(label: str) -> tuple[str, int]:
    name, bracket, number = label.removesuffix("]").rpartition("[")
    return (name, int(number)) if bracket and number.isdigit() else (label, -1)
