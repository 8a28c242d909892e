"""Compiled graphs: what a run would execute, and how it hangs together."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import daskflow as fl
from daskflow.errors import DefinitionError, InputError
from daskflow.patterns import is_below, matches
from daskflow.testing import compile  # noqa: A004
from tests import programs


@fl.task
def numbers(n: int) -> list[int]:
    raise AssertionError("no task is executed")


class Pair(NamedTuple):
    """Two outputs."""

    low: int
    high: int


@fl.task
def pair(a: int) -> Pair:
    raise AssertionError("no task is executed")


@fl.task
def quiet(a: int) -> None:
    raise AssertionError("no task is executed")


@fl.workflow
def late(n: int) -> list[int]:
    return programs.level2(l=numbers(n=n))


@fl.workflow
def late_map(n: int) -> list[int]:
    return fl.map_task(functools.partial(programs.add, b=1))(a=numbers(n=n))


@fl.dynamic
def map_of_made(n: int) -> list[int]:
    return fl.map_task(programs.core_wf)(a=[programs.step1(a=i) for i in range(n)])


@fl.workflow
def parts(a: int) -> int:
    both = pair(a=a)
    return programs.add(a=both.low, b=numbers(n=both.high)[0])


@fl.dynamic
def quiets(n: int) -> None:
    for i in range(n):
        quiet(a=i)


@fl.dynamic
def wrong_input(n: int) -> list[int]:
    return programs.level2(l=[n])


@fl.dynamic
def raises(n: int) -> int:
    if n == 0:
        raise ZeroDivisionError("at the bottom")
    return raises(n=n - 1)


def test_the_nested_example() -> None:
    """Dynamics, launch plans and tasks have the paths that they have in a run; an index in a pattern fits what has none."""
    g = compile(programs.multi_wf, l=[1, 2, 3], chunk=2)
    assert g.paths("level1/level2[*]/core_wf[*]/step2") == [
        "level1/level2[0]/core_wf[0]/step2",
        "level1/level2[0]/core_wf[1]/step2",
        "level1/level2[1]/core_wf/step2",
    ]
    assert g.count("**/step2") == len(g.paths("**/step2")) == 3
    assert g.count() == len(g) == 13
    assert (g.max_width, g.depth) == (3, 3)
    assert g.nodes["level1/level2[0]/core_wf[1]"][1:] == ("level1/level2[0]", "launch plan", "tests.programs.core_wf", False)


def test_edges_within_a_body_and_through_bodies() -> None:
    """What a body hands on is an edge; so is what a task's value does through launch plans and dynamics."""
    g = compile(programs.multi_wf, l=[1, 2, 3], chunk=2)
    g.assert_edge("**/step1", "**/step2")
    g.assert_edge("level1/level2[1]", "level1/reduce")
    g.assert_edge("level1/level2[1]/core_wf/step2", "level1/reduce")
    assert not g.has_edge("**/step2", "**/step1")
    assert not g.has_edge("level1/level2[0]", "level1/level2[1]")
    with pytest.raises(AssertionError, match=r"no edge from '\*\*/step1' to 'level1/reduce'.*from level1/level2\[0\], level1/level2\[1\]$"):
        g.assert_edge("**/step1", "level1/reduce")
    with pytest.raises(AssertionError, match=r"has no node 'step9'; it has level1, .* and 3 more"):
        g.assert_edge("step9", "**")


def test_what_tasks_make_is_not_known() -> None:
    """A dynamic, or a map, whose list a task makes is one node, and says so."""
    g = compile(late, n=3)
    assert str(g) == "late: workflow\n  numbers: task\n  level2: dynamic (known when it runs) <- numbers"
    assert (g.max_width, g.depth) == (1, 2)
    assert str(compile(late_map, n=3)) == "late_map: workflow\n  numbers: task\n  add: map (known when it runs) <- numbers"


def test_a_list_of_known_length_is_mapped_over() -> None:
    """Though tasks make its items."""
    g = compile(map_of_made, n=2)
    assert g.count("core_wf[*]") == 2
    assert g.has_edge("step1[1]", "core_wf[1]/step1")
    assert not g.has_edge("step1[0]", "core_wf[1]/step1")
    assert g.has_edge("step1[*]", "core_wf")
    assert (g.max_width, g.depth) == (2, 3)


def test_parts_of_values() -> None:
    """Attributes and items of what is not known are not known, and come from the same node."""
    g = compile(parts, a=1)
    assert g.flow == (("pair", "numbers"), ("pair", "add"), ("numbers", "add"))
    assert str(g).splitlines()[-1] == "  add: task <- pair, numbers"


def test_nodes_that_nothing_reads_count() -> None:
    """A task that gives nothing is a node."""
    g = compile(quiets, n=4)
    assert (g.count("quiet[*]"), g.max_width, g.depth, g.edges) == (4, 4, 1, ())


@pytest.mark.parametrize(
    ("entity", "inputs", "paths"),
    [
        (programs.step1, {"a": 1}, ["step1"]),
        (programs.core_wf_lp, {"a": 1}, ["step1", "step2"]),
        (fl.map_task(programs.step1), {"a": [1, 2]}, ["step1", "step1[0]", "step1[1]"]),
        (fl.map_task(programs.step1), {"a": []}, ["step1"]),
    ],
)
def test_every_kind_of_entity_can_be_compiled(entity: Any, inputs: Any, paths: list[str]) -> None:
    """A task is the one node of its run; the body of anything else is."""
    assert compile(entity, **inputs).paths() == paths


def test_depth_costs_no_recursion() -> None:
    """A dynamic may call itself thousands of times."""
    g = compile(programs.descend, depth=3000)
    assert g.depth == 3001


def test_mistakes_show() -> None:
    """What does not fit is an error, and what a body raises says where."""
    with pytest.raises(InputError):
        compile(programs.core_wf, a="no")
    with pytest.raises(InputError):
        compile(programs.core_wf)
    with pytest.raises(DefinitionError, match="compile takes a task"):
        compile(len)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError) as caught:
        compile(raises, n=2)
    assert caught.value.__notes__ == ["node: raises/raises"]


def test_snapshots(tmp_path: Path) -> None:
    """A graph is as its file says, or the difference is shown; the file is written when that is asked for."""
    path = tmp_path / "deep" / "graph.txt"
    g = compile(programs.multi_wf, l=[1, 2, 3], chunk=2)
    with pytest.raises(AssertionError, match="there is no snapshot"):
        g.assert_snapshot(path)
    g.assert_snapshot(path, update=True)
    g.assert_snapshot(str(path))
    with pytest.raises(AssertionError, match="differs") as caught:
        compile(programs.multi_wf, l=[1, 2], chunk=2).assert_snapshot(path)
    assert "-    level2[0]: dynamic\n+    level2: dynamic" in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "a", True),
        ("**", "a/b[0]/c", True),
        ("a/**", "a", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y[1]/b", True),
        ("a/*", "a", False),
        ("*", "a/b", False),
        ("a[*]", "a", True),
        ("a[*]", "a[12]", True),
        ("a[*]", "a[1][2]", False),
        ("a[*][*]", "a[1][2]", True),
        ("a[1*]", "a[12]", True),
        ("a", "a[0]", False),
        ("a.b", "axb", False),
        ("st*1", "step1", True),
    ],
)
def test_patterns(pattern: str, path: str, expected: bool) -> None:
    """A star is a part of one component, two are any number of them, and an index may be missing."""
    assert matches(pattern, path) is expected


def test_what_is_below() -> None:
    """Nodes of a body and items of a map are below it."""
    assert is_below("a/b", "a")
    assert not is_below("ab/c", "a")
