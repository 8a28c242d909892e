"""Mocks, in process: what answers, what is checked, and what is left behind."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow import context
from daskflow.errors import MockError, OptionError, OutputError, RealCall, UnusedMock
from daskflow.testing import mock, patch, task_mock
from tests import cached, programs
from tests.told import told

mapped = fl.map_task(programs.step2)


@fl.workflow
def outer(l: list[int]) -> list[int]:
    return mapped(a=l)


@fl.workflow
def nested(a: int) -> int:
    return programs.add(a=programs.core_wf(a=a), b=programs.core_wf(a=a))


@pytest.mark.parametrize(
    ("entity", "answer", "run", "expected", "calls"),
    [
        (programs.step1, 10, lambda: programs.core_wf(a=1), 12, [{"a": 1}]),
        (programs.core_wf, 10, lambda: nested(a=1), 20, [{"a": 1}, {"a": 1}]),
        (programs.level2, [7], lambda: programs.multi_wf(l=[1, 2], chunk=1), [7, 7], [{"l": [1]}, {"l": [2]}]),
        (programs.core_wf_lp, 5, lambda: programs.level2(l=[1, 2]), [5, 5], [{"a": 1}, {"a": 2}]),
        (mapped, [8], lambda: outer(l=[1, 2]), [8], [{"a": [1, 2]}]),
        (programs.step2, 5, lambda: outer(l=[1, 2]), [5, 5], [{"a": 1}, {"a": 2}]),
        (programs.step2, 5, lambda: programs.step2(a=1), 5, [{"a": 1}]),
        (programs.core_wf, 5, lambda: programs.core_wf(a=1), 5, [{"a": 1}]),
        (programs.core_wf_lp, 5, lambda: programs.core_wf_lp(a=1), 5, [{"a": 1}]),
        (programs.level2, [], lambda: programs.level2(l=[1]), [], [{"l": [1]}]),
        (mapped, [1], lambda: mapped(a=[1, 2]), [1], [{"a": [1, 2]}]),
    ],
)
def test_every_kind_of_entity_can_be_mocked(entity: Any, answer: Any, run: Any, expected: Any, calls: Any) -> None:
    """The mock answers the engine's calls of the entity, wherever they are, with checked inputs; after the block the entity does."""
    real = run()
    with mock(entity, return_value=answer) as m:
        assert run() == expected
        assert m.called
    assert m.calls == calls
    assert m.call_count == len(calls)
    assert run() == real
    assert context.mocks is None


@pytest.mark.parametrize(
    ("at", "expected", "paths"),
    [
        ("level1/level2[1]/**", [3, 4, 100, 100], ["level1/level2[1]/core_wf[0]", "level1/level2[1]/core_wf[1]"]),
        ("**/core_wf[0]", [100, 4, 100, 6], ["level1/level2[0]/core_wf[0]", "level1/level2[1]/core_wf[0]"]),
        ("level1/*/core_wf[*]", [100] * 4, [f"level1/level2[{i}]/core_wf[{j}]" for i in range(2) for j in range(2)]),
    ],
)
def test_a_pattern_says_where_a_mock_answers(at: str, expected: list[int], paths: list[str]) -> None:
    """Elsewhere the entity is executed; each call knows its node."""
    with mock(programs.core_wf_lp, return_value=100, at=at) as m:
        assert programs.multi_wf(l=[0, 1, 2, 3], chunk=2) == expected
    assert [call.path for call in m.calls] == paths


def test_items_of_a_map_are_mocked_by_their_index() -> None:
    """An item of a map is a node with an index; the map itself is not one of its items."""
    with mock(programs.step2, return_value=0, at="step2[1]"):
        assert outer(l=[1, 2, 3]) == [3, 0, 5]
    with mock(mapped, return_value=[], at="step2[*]", unused_ok=True) as m:
        assert outer(l=[1]) == [3]
    assert not m.called


@fl.workflow
def adds(a: int, b: int) -> int:
    return programs.add(a=a, b=b)


adds_two = fl.LaunchPlan.get_or_create(adds, name="tests.mocks.adds_two", fixed_inputs={"b": 2})


def test_a_launch_plan_is_called_with_its_own_inputs() -> None:
    """Also where the run is started with it, what is fixed is none of the mock's business."""
    with mock(adds_two, side_effect=lambda a: -a) as m:
        assert adds_two(a=1) == -1
        assert fl.map_task(adds_two)(a=[2, 3]) == [-2, -3]
    assert m.calls == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert adds_two(a=1) == 3


def test_side_effects() -> None:
    """A function answers, an exception is raised, and of a list each call has its own."""
    with mock(programs.step1, side_effect=lambda a: a * 10):
        assert programs.core_wf(a=2) == 22
    error = KeyError("no")
    with mock(programs.step1, side_effect=error), pytest.raises(KeyError, match="no") as caught:
        programs.core_wf(a=2)
    assert told(caught.value).address == "step1"
    assert not hasattr(error, "__notes__")
    with mock(programs.step1, side_effect=OSError), pytest.raises(OSError):
        programs.core_wf(a=2)
    with mock(programs.step1, side_effect=[1, OSError("second"), 3]) as m:
        assert programs.core_wf(a=0) == 3
        with pytest.raises(OSError, match="second"):
            programs.core_wf(a=0)
        assert programs.core_wf(a=0) == 5
        with pytest.raises(MockError, match="which are 3"):
            programs.core_wf(a=0)
    assert m.call_count == 4


def test_what_a_mock_gives_is_checked_against_the_outputs() -> None:
    """A value that the entity could not give is refused where it is said, or given."""
    with pytest.raises(OutputError, match=r"the mock of tests.programs.step1 declares -> int: .*'no'"):
        mock(programs.step1, return_value="no")
    with mock(programs.step1, side_effect=lambda a: "no"), pytest.raises(OutputError, match="the mock of tests.programs.step1"):
        programs.core_wf(a=1)
    with mock(programs.step1, side_effect=["no"]), pytest.raises(OutputError, match="the mock of tests.programs.step1"):
        programs.core_wf(a=1)


def test_the_innermost_mock_answers() -> None:
    """Mocks of one entity may be nested; where the inner one has another path, the outer one answers."""
    with mock(programs.step2, return_value=1) as out, mock(programs.step2, return_value=2, at="step2[0]") as inner:
        assert outer(l=[5, 5]) == [2, 1]
    assert (out.call_count, inner.call_count) == (1, 1)


def test_a_strict_mock_refuses_real_calls() -> None:
    """Where a strict mock does not answer, the entity is not executed; an outer mock is no real call, nor is one of another entity."""
    with mock(programs.step2, return_value=0, at="step2[0]", strict=True, unused_ok=True):
        with pytest.raises(RealCall, match=r"executed at 'step2\[1\]'.*'step2\[0\]'"):
            outer(l=[1, 2])
        assert programs.step1(a=1) == 2


def test_a_mock_that_nothing_calls_fails_the_block() -> None:
    """Unless that is said to be fine, or the block fails anyhow."""
    with pytest.raises(UnusedMock, match=r"nothing called tests.programs.step1 at 'x/\*'"), mock(programs.step1, return_value=1, at="x/*"):
        programs.core_wf(a=1)
    with mock(programs.step1, return_value=1, unused_ok=True):
        pass
    with pytest.raises(ZeroDivisionError), mock(programs.step1, return_value=1):
        raise ZeroDivisionError
    assert context.mocks is None


def test_decorators_restore_also_when_the_test_fails() -> None:
    """A decorated test has the mock while it runs, each time anew."""

    @mock(programs.step1, return_value=9)
    def check(expected: int) -> None:
        assert programs.core_wf(a=1) == expected

    for _ in range(2):
        check(expected=11)
        with pytest.raises(AssertionError):
            check(expected=0)
        assert programs.core_wf(a=1) == 4


def test_async_tests_may_be_decorated() -> None:
    """The mock is active until the coroutine has ended."""

    @mock(programs.step1, return_value=9)
    async def check() -> int:
        await asyncio.sleep(0)
        return programs.core_wf(a=1)

    assert asyncio.run(check()) == 11


class TestPatch:
    """Flyte's names: what is set later, and decorators that give the mock."""

    @patch(programs.step2)
    @patch(programs.step1)
    def test_methods_and_fixtures(self, first: Any, second: Any, tmp_path: Path) -> None:
        """The lowest decorator gives the first argument, behind self; fixtures are found."""
        first.return_value, second.side_effect = 5, lambda a: -a
        assert programs.core_wf(a=1) == -5
        assert tmp_path.is_dir()
        first.assert_called_once_with(a=1)
        assert second.call_args_list[0].kwargs == {"a": 5}

    def test_task_mock_is_restored_after_a_failure(self) -> None:
        """After a test that fails, the real task runs."""
        m = task_mock(programs.step1)
        m.return_value = 77
        with pytest.raises(AssertionError), m:
            assert programs.core_wf(a=1) == 0
        assert programs.core_wf(a=1) == 4
        with pytest.raises(AssertionError):
            m.assert_not_called()

    def test_one_that_says_nothing(self) -> None:
        """A call of a mock that has no answer says so; a task that gives nothing needs none."""
        with task_mock(programs.step1), pytest.raises(MockError, match="neither return_value nor side_effect"):
            programs.core_wf(a=1)

    def test_it_may_be_set_anew(self) -> None:
        """Each call has what is set when it is made, and a value that does not fit is refused at once."""
        with task_mock(programs.step1) as m:
            for value in (1, 2):
                m.return_value = value
                assert programs.core_wf(a=1) == value + 2
            with pytest.raises(OutputError):
                m.return_value = "no"


@fl.task
def quiet(a: int) -> None:
    raise OSError(a)


def test_one_of_a_task_that_gives_nothing_needs_no_value() -> None:
    """What declares None gives None."""
    with mock(quiet) as m:
        quiet(a=1)
    assert m.calls == [{"a": 1}]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mock(len, return_value=1), MockError, "use unittest.mock"),  # type: ignore[arg-type]
        (lambda: mock(programs.step1), OptionError, "neither return_value nor side_effect"),
        (lambda: mock(programs.step1, return_value=1, side_effect=OSError), OptionError, "both"),
        (lambda: mock(programs.step1, side_effect="no"), OptionError, "a function, an exception or a list"),
        (lambda: mock(programs.step1, return_value=1, at=""), OptionError, "a pattern of paths"),
        (lambda: mock(programs.step1, return_value=1, at="a//b"), OptionError, "a pattern of paths"),
        (lambda: mock(programs.step1, return_value=1, at="a**"), OptionError, "a pattern of paths"),
        (lambda: mock(programs.step1, return_value=1, strict=1), OptionError, "strict of the mock of tests.programs.step1 must be bool"),  # type: ignore[arg-type]
        (lambda: mock(programs.step1, return_value=1)(int), MockError, "not the class int"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, error: type[Exception], message: str) -> None:
    """Each refusal says what is wrong."""
    with pytest.raises(error, match=message):
        make()


def test_a_mock_is_active_once_at_a_time() -> None:
    """It may be used again, with nothing of the first time, but not inside of itself."""
    m = mock(programs.step1, side_effect=[1])
    for _ in range(2):
        with m:
            assert programs.core_wf(a=1) == 3
            with pytest.raises(MockError, match="active already"):
                m.__enter__()
        assert m.call_count == 1


# ---------------------------------------------------------------- the cache


def test_mocked_nodes_have_nothing_to_do_with_the_cache(tmp_path: Path) -> None:
    """A mocked task is neither answered by the cache nor stored; other tasks are, since their key has what they were given."""
    folder = str(tmp_path)
    assert cached.double(folder=folder, num=1) == 2
    with mock(cached.double, return_value=50, at="double"):
        assert cached.double(folder=folder, num=1) == 50
        assert cached.double(folder=folder, num=3) == 50
    assert cached.double(folder=folder, num=1) == 2
    assert cached.double(folder=folder, num=3) == 6
    assert cached.marks(tmp_path) == ["1", "3"]


def test_what_a_mock_has_a_part_in_is_not_stored(tmp_path: Path) -> None:
    """A cached workflow with a mocked task is executed, though its result is in the cache, and leaves no result there."""
    folder = str(tmp_path)
    assert cached.chain(folder=folder, num=1) == 3
    with mock(cached.plus, return_value=50):
        assert cached.chain(folder=folder, num=1) == 50
        assert cached.chain(folder=folder, num=2) == 50
    assert cached.chain(folder=folder, num=2) == 4
    assert cached.chain(folder=folder, num=1) == 3
    assert cached.marks(tmp_path) == ["1", "2", "2", "3"]


def test_tasks_beside_a_mock_use_the_cache(tmp_path: Path) -> None:
    """While one entity is mocked, cached items of a map are still looked up and stored."""
    folder = str(tmp_path)
    with mock(programs.step1, return_value=1, unused_ok=True):
        for _ in range(2):
            assert cached.doubles(folder=folder, nums=[1, 2]) == [2, 4]
    assert cached.marks(tmp_path) == ["1", "2"]


def test_mocking_costs_nothing_that_is_not_used() -> None:
    """Importing daskflow imports nothing of it."""
    names = ("daskflow.mocks", "daskflow.probe", "daskflow.testing", "unittest.mock")
    code = f"import sys, daskflow; print([one for one in sys.modules if one in {names!r}])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_partials_of_a_map_reach_the_mock() -> None:
    """What is bound to a map is among the inputs."""
    with mock(programs.add, side_effect=lambda a, b: a * b) as m:
        assert fl.map_task(functools.partial(programs.add, b=3))(a=[1, 2]) == [3, 6]
    assert m.calls == [{"a": 1, "b": 3}, {"a": 2, "b": 3}]
