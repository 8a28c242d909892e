"""Records of runs, in process: what became of each node, and what can be asserted on it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow import context
from daskflow.errors import DefinitionError, InputError, MockError, OptionError, OutputError
from daskflow.flowrecord import Record
from daskflow.probe import Event
from daskflow.testing import compile, mock, record, run  # noqa: A004
from tests import cached, programs

PROGRAMS: list[tuple[Any, dict[str, Any]]] = [
    (programs.multi_wf, {"l": list(range(5)), "chunk": 2}),
    (programs.mixed_wf, {"l": list(range(5)), "chunk": 2}),
    (programs.descend, {"depth": 30}),
    (programs.fan_out, {"n": 4}),
    (programs.step1, {"a": 1}),
    (programs.core_wf, {"a": 1}),
    (programs.core_wf_lp, {"a": 1}),
    (fl.map_task(programs.core_wf_lp), {"a": [1, 2]}),
    (fl.map_task(programs.level2), {"l": [[1], [2, 3]]}),
    (fl.map_task(fl.map_task(programs.step1)), {"a": [[1], [2, 3]]}),
]


@pytest.mark.parametrize(("entity", "inputs"), PROGRAMS)
def test_paths_are_those_of_compile(entity: Any, inputs: dict[str, Any]) -> None:
    """What compile says is what a run executes, node by node, of the same kind."""
    ended = run(entity, inputs)
    assert ended.result == entity(**inputs)
    assert {path: one.kind for path, one in ended.record.nodes.items()} == {
        path: one.kind for path, one in compile(entity, **inputs).nodes.items()
    }
    assert ended.record.count(state="succeeded") == len(ended.record)
    assert context.mocks is None


def test_order_and_overlap() -> None:
    """A node begins when what it needs has ended; a body's nodes are executed while the body is."""
    got = run(programs.multi_wf, {"l": [1, 2, 3], "chunk": 2}).record
    got.assert_order("level1/level2[0]", "level1/reduce")
    got.assert_order("level1/level2[1]/core_wf/step1", "level1/level2[1]/core_wf/step2")
    with pytest.raises(AssertionError, match=r"level1/reduce ended .* s after level1 had begun"):
        got.assert_order("level1/reduce", "level1")
    with pytest.raises(AssertionError, match="nothing at 'step9' was executed"):
        got.assert_order("step9", "level1")
    assert got.overlap("level1", "level1/reduce")
    assert not got.overlap("level1/level2[*]", "level1/reduce")
    assert got.peak_parallelism() == 1
    assert got.peak_parallelism("level1/**") == 1


def test_values() -> None:
    """Each node's value is there where it is asked for."""
    got = run(programs.multi_wf, {"l": [1, 2, 3], "chunk": 2}, values=True).record
    assert got.value("level1/level2[0]") == [4, 5]
    assert got.value("level1/level2[1]/core_wf/step1") == 4
    with pytest.raises(KeyError, match="no node 'x'"):
        got.value("x")
    with pytest.raises(OptionError, match="values=True"):
        run(programs.step1, {"a": 1}).record.value("step1")


def test_failures() -> None:
    """The node that failed and all that it was in have failed, with its exception; what came before has not."""
    ended = run(programs.break_below, {"l": [1, 2, 3]})
    got = ended.record
    got.assert_failed_at("break[1]/break_at_three[2]", programs.Broken, match="with 3$")
    got.assert_failed_at("break[1]", programs.Broken)
    got.assert_failed_at("**", programs.Broken)
    assert got.count("break[0]/**", "succeeded") == 4
    assert got.count("**", "failed") == 3
    for arguments in [("break[0]",), ("**", KeyError), ("**", programs.Broken, "with 4")]:
        with pytest.raises(AssertionError, match=r"what failed is: .*break\[1\]/break_at_three\[2\]: Broken: no luck with 3"):
            got.assert_failed_at(*arguments)
    with pytest.raises(programs.Broken):
        _ = ended.result
    assert isinstance(ended.error, programs.Broken)


@fl.task
def lies(a: int) -> int:
    return "no"  # type: ignore[return-value]


@fl.dynamic
def body_raises(n: int) -> list[int]:
    raise ZeroDivisionError(n)


@fl.workflow
def wrong(a: int) -> int:
    return lies(a=programs.step1(a=a))


@fl.workflow
def calls_it(n: int) -> list[int]:
    return body_raises(n=n)


def test_failures_of_outputs_and_bodies() -> None:
    """A node fails also where it gives what it did not declare; and so does a dynamic whose body raises."""
    run(wrong, {"a": 1}).record.assert_failed_at("lies", OutputError)
    run(calls_it, {"n": 1}).record.assert_failed_at("body_raises", ZeroDivisionError)


def test_mocked_nodes_say_so() -> None:
    """A mocked node has its outcome, and what is inside of it is not executed."""
    with mock(programs.level2, return_value=[1]):
        got = run(programs.multi_wf, {"l": [1, 2], "chunk": 1}).record
    assert {path: one.outcome for path, one in got.nodes.items()} == {
        "level1": "succeeded",
        "level1/level2[0]": "mocked",
        "level1/level2[1]": "mocked",
        "level1/reduce": "succeeded",
    }
    with mock(programs.step1, side_effect=OSError("down")):
        run(programs.core_wf, {"a": 1}).record.assert_failed_at("step1", OSError, match="down")


def test_cached_nodes_say_so(tmp_path: Path) -> None:
    """A node whose result came from the cache is cached, whatever kind it is; recording changes no keys."""
    folder = str(tmp_path)
    assert cached.doubles(folder=folder, nums=[1]) == [2]
    got = run(cached.doubles, {"folder": folder, "nums": [1, 2]}).record
    assert [got.nodes[f"double_all/double[{index}]"].outcome for index in range(2)] == ["cached", "succeeded"]
    assert got.cached("double_all/double[0]")
    assert not got.cached("double_all/double[*]")
    assert not got.cached("nowhere")
    for times in range(2):
        got = run(cached.tree, {"folder": folder, "depth": 2}).record
        assert [one.outcome for one in got.select("tree")] == ["succeeded"] * (1 - times)


@fl.task(cache=True)
def by_code(a: int) -> int:
    return a + 1


@fl.workflow
def calls_by_code(a: int) -> int:
    return by_code(a=a)


def test_a_version_that_the_code_makes_is_that_of_the_task() -> None:
    """A recorded run finds what one that was not recorded has stored, and the other way round."""
    assert calls_by_code(a=1) == 2
    assert run(calls_by_code, {"a": 1}).record.cached("by_code")
    assert run(calls_by_code, {"a": 2}).record.count("by_code", "succeeded") == 1
    assert run(calls_by_code, {"a": 2}).record.cached("by_code")


def test_a_block_records_all_runs_that_begin_in_it() -> None:
    """Each has its record; an only one is easier to get at."""
    with record() as recorder:
        programs.core_wf(a=1)
        assert recorder.record.count() == 2
        programs.step1(a=1)
    programs.step1(a=1)
    assert [one.name for one in recorder.runs] == ["core_wf", "step1"]
    with pytest.raises(MockError, match="2 runs began"):
        _ = recorder.record


def test_runs_of_several_threads_do_not_mix() -> None:
    """Each thread has the record of its own run."""
    found: dict[int, int] = {}

    def work(n: int) -> None:
        found[n] = run(programs.fan_out, {"n": n}).record.count("core_wf[*]")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 9)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == {n: n for n in range(1, 9)}


def test_what_does_not_fit_is_refused_before_anything_runs() -> None:
    """Mistakes of the test are raised, and are no failures of the run."""
    with pytest.raises(InputError):
        run(programs.step1, {"a": "no"})
    with pytest.raises(DefinitionError):
        run(len, {})  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="state of a node must be one of"):
        run(programs.step1, {"a": 1}).record.count("**", "ok")
    with pytest.raises(OptionError, match="values of a recorder"):
        run(programs.step1, {"a": 1}, values=1)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="timeout of run is 5, and a run in this process cannot be ended; give it a client"):
        run(programs.step1, {"a": 1}, timeout=5)
    with pytest.raises(OptionError, match="timeout of run must be seconds, more than 0; got -1"):
        run(programs.step1, {"a": 1}, timeout=-1)


def events(*told: tuple[str, str, float]) -> list[Event]:
    """Return events of tasks."""
    return [Event(path, "task", what, when) for path, what, when in told]


def test_attempts_are_counted_and_the_last_one_counts() -> None:
    """A task that failed and was tried again has its last attempt's times and outcome; all attempts count as executing."""
    told = events(("a", "began", 1), ("b", "began", 1.5), ("a", "failed", 2), ("b", "ended", 3), ("a", "began", 4), ("a", "ended", 5))
    got = Record("w", told)
    node = got.nodes["a"]
    assert (node.outcome, node.attempt, node.start, node.end) == ("succeeded", 2, 4, 5)
    assert got.peak_parallelism() == 2
    assert got.overlap("a", "b")
    with pytest.raises(AssertionError):
        got.assert_order("b", "a")


def test_one_that_ends_when_another_one_begins_does_not_overlap_it() -> None:
    """What hands over is not parallel."""
    got = Record("w", events(("a", "began", 1), ("a", "ended", 2), ("b", "began", 2), ("b", "ended", 3)))
    assert got.peak_parallelism() == 1
    got.assert_order("a", "b")


def test_what_never_ended_is_aborted_unless_something_in_it_failed() -> None:
    """The end of a run is that of its nodes."""
    told = [
        Event("a", "dynamic", "began", 1),
        Event("a/x", "task", "began", 2),
        Event("b", "task", "began", 2),
        Event("a/x", "task", "failed", 3, OSError("x")),
    ]
    got = Record("w", told)
    assert {path: one.outcome for path, one in got.nodes.items()} == {"a": "failed", "a/x": "failed", "b": "aborted"}
    assert "b: aborted" in str(got)
    assert "a/x: failed: OSError: x" in str(got)
