"""What may fail without all the rest: items of maps, nodes of workflows, and what is executed on a failure."""

from __future__ import annotations

import functools
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import daskflow as fl
from daskflow.errors import DefinitionError, NodeError, RunFailed
from tests.features.conftest import Flow
from tests.told import told


class Unlucky(Exception):
    """What tasks here raise."""


@fl.task
def lucky(a: int) -> int:
    if a % 3 == 0:
        raise Unlucky(f"no luck with {a % 2}")
    return a


@fl.workflow
def lucky_wf(a: int) -> int:
    return lucky(a=lucky(a=a))


@fl.dynamic
def lucky_dynamic(a: int) -> int:
    return total(numbers=[lucky(a=a), lucky(a=a + 3)])


@fl.task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@fl.task
def total_some(numbers: list[int | None]) -> int:
    return sum(number or 0 for number in numbers)


lucky_lp = fl.LaunchPlan.get_or_create(lucky_wf, name="features.lucky")


@pytest.mark.parametrize("target", [lucky, lucky_wf, lucky_lp], ids=lambda one: one.kind_name)
def test_a_map_that_some_items_may_fail(flow: Flow, target: Any) -> None:
    """Whatever is mapped, failed items are None in their places, as long as enough succeed."""
    assert flow(fl.map_task(target, min_success_ratio=0.5), a=list(range(6))) == [None, 1, 2, None, 4, 5]
    assert flow(fl.map_task(target, min_successes=4), a=list(range(6))) == [None, 1, 2, None, 4, 5]
    assert flow(fl.map_task(target, min_successes=0), a=[3, 0]) == [None, None]


def test_a_map_over_dynamics_and_maps_that_may_fail(flow: Flow) -> None:
    """An item that is itself a graph fails as a whole."""
    assert flow(fl.map_task(lucky_dynamic, min_successes=0), a=[1, 3, 2]) == [5, None, 7]
    assert flow(fl.map_task(fl.map_task(lucky), min_successes=0), a=[[1, 2], [1, 3], []]) == [[1, 2], None, []]


def test_a_map_that_too_many_items_fail(flow: Flow) -> None:
    """A map fails with its first failed item's exception; notes tell of the others by their indices, one message once."""
    with pytest.raises(Unlucky, match="no luck with 0") as failed:
        flow(fl.map_task(lucky, min_success_ratio=0.75), a=[0, 6, 1, 3])
    notes = "\n".join(failed.value.__notes__)
    # Which two fail first is nobody's to say where they are executed at the same moment.
    assert re.fullmatch(r"lucky\[[01]\]", told(failed.value).address)
    assert "map of tests.features.test_failures.lucky: 2 items failed, and at most 1 may" in notes
    assert re.search(r"  \[[-01]+\]: Unlucky: no luck with 0", notes)
    with pytest.raises(RunFailed, match="has 2 items, but 3 must succeed"):
        flow(fl.map_task(lucky, min_successes=3), a=[1, 2])


def test_ratios_at_their_ends(flow: Flow) -> None:
    """A ratio of 0 lets all fail, and one of 1 none."""
    assert flow(fl.map_task(lucky, min_success_ratio=0), a=[0, 3]) == [None, None]
    with pytest.raises(Unlucky) as failed:
        flow(fl.map_task(lucky, min_success_ratio=1), a=[1, 2, 3, 4])
    assert told(failed.value).map_index == 2


def test_exceptions_as_results(flow: Flow) -> None:
    """With return_exceptions every item may fail, and its exception is its result."""
    first, second, third = flow(fl.map_task(lucky_wf, return_exceptions=True), a=[1, 3, 6])
    assert first == 1
    assert isinstance(second, Unlucky)
    assert second.args == ("no luck with 1",)
    assert told(second).address == "lucky_wf[1]/lucky[0]"
    assert third.args == ("no luck with 0",)


@fl.workflow
def sums(l: list[int]) -> int:
    return total_some(numbers=fl.map_task(lucky, min_successes=1)(a=l))


def test_results_with_gaps_go_on(flow: Flow) -> None:
    """What a tolerant map gives is an input as any other list; where its gaps do not fit, that is said when the graph is built."""
    assert flow(sums, l=[3, 4, 5]) == 9
    with pytest.raises(fl.errors.InputError, match=r"is declared list\[int\]"):
        fl.workflow(_gaps_into_a_list_without).prepare()


def _gaps_into_a_list_without(l: list[int]) -> int:
    return total(numbers=fl.map_task(lucky, min_successes=1)(a=l))


@fl.task
def add(a: int, b: int, c: int = 100) -> int:
    return a + b + c


@fl.workflow
def bound(l: list[int], b: int) -> list[int]:
    return fl.map_task(add, bound_inputs={"b"})(a=l, b=b)


def test_inputs_that_are_bound(flow: Flow) -> None:
    """What is bound, by any of the ways that there are, is the same for all items; defaults hold; a call may give others."""
    assert flow(fl.map_task(functools.partial(add, b=1)), a=[1, 2]) == [102, 103]
    assert flow(fl.map_task(functools.partial(add, b=1)), a=[1, 2], b=2) == [103, 104]
    assert flow(fl.map_task(add, bound_inputs_values={"b": 1, "c": 0}), a=[1, 2]) == [2, 3]
    assert flow(fl.map_task(add, bound_inputs={"b": 1}), a=[1, 2]) == [102, 103]
    assert flow(bound, l=[1, 2], b=5) == [106, 107]
    assert flow(bound, l=[], b=5) == []
    assert flow(fl.map_task(add), a=[1, 2], b=[10, 20], c=[0, 1]) == [11, 23]


# ---------------------------------------------------------------- workflows


@fl.task
def mark(path: str, text: str) -> int:
    with open(path, "a") as file:
        file.write(f"{text}\n")
    return 1


@fl.task
def break_down(text: str) -> int:
    raise Unlucky(text)


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def goes_on(path: str) -> int:
    first = break_down(text="first")
    mark(path=path, text="beside")
    mark_after(path=path, text="after", needs=first)
    break_down(text="second")
    return mark(path=path, text="last")


@fl.task
def mark_after(path: str, text: str, needs: int) -> int:
    return 1


def test_a_workflow_that_goes_on(flow: Flow, tmp_path: Path) -> None:
    """What does not need a failed node is executed, what does is not, and the workflow fails with the first failure."""
    path = tmp_path / "marks"
    with pytest.raises(Unlucky, match="first") as failed:
        flow(goes_on, path=str(path))
    assert sorted(path.read_text().split()) == ["beside", "last"]
    assert any("Unlucky: second" in note for note in failed.value.__notes__)


@fl.dynamic
def goes_on_inside(path: str) -> list[int]:
    return [goes_on(path=path), mark(path=path, text="outside")]


def test_a_policy_is_the_workflow_s_own(flow: Flow, tmp_path: Path) -> None:
    """A sub-workflow's failure policy holds for its own nodes, whatever calls it."""
    path = tmp_path / "marks"
    with pytest.raises(Unlucky, match="first"):
        flow(goes_on_inside, path=str(path))
    assert {"beside", "last"} <= set(path.read_text().split())


@fl.task
def tell(path: str, fails: bool, err: NodeError | None = None) -> None:
    assert err is not None
    with open(path, "a") as file:
        file.write(f"{err.message} at {err.failed_node_id}\n")
    if fails:
        raise ValueError("and I failed as well")


@fl.workflow(on_failure=tell)
def watched(path: str, fails: bool) -> int:
    return lucky(a=total(numbers=[break_down(text="below"), mark(path="/dev/null", text="")]))


@fl.workflow
def outer(path: str) -> list[int | None]:
    return fl.map_task(functools.partial(watched, path=path), min_successes=0)(fails=[False, True])


def test_what_is_executed_on_a_failure(flow: Flow, tmp_path: Path) -> None:
    """It is executed once, with the workflow's inputs and the failure, and the workflow's failure is still its own."""
    path = tmp_path / "marks"
    with pytest.raises(Unlucky, match="below"):
        flow(watched, path=str(path), fails=False)
    assert path.read_text() == "Unlucky: below at break_down\n"


def test_what_is_executed_on_a_failure_fails(flow: Flow, tmp_path: Path) -> None:
    """Should it fail as well, the workflow's own failure is raised, with a note."""
    with pytest.raises(Unlucky, match="below") as failed:
        flow(watched, path=str(tmp_path / "marks"), fails=True)
    assert any("failed as well: ValueError: and I failed as well" in note for note in failed.value.__notes__)


def test_failures_that_are_watched_and_tolerated(flow: Flow, tmp_path: Path) -> None:
    """A workflow in a tolerant map has what is executed on a failure executed, and is an item that failed."""
    path = tmp_path / "marks"
    assert flow(outer, path=str(path)) == [None, None]
    assert sorted(path.read_text().splitlines()) == [f"Unlucky: below at watched[{item}]/break_down" for item in (0, 1)]


@fl.task
def leave(a: int) -> int:
    sys.exit(a)


def test_a_task_that_leaves_is_a_failed_item(flow: Flow) -> None:
    """An item that calls sys.exit has failed, as any other."""
    assert flow(fl.map_task(leave, min_successes=0), a=[1]) == [None]
    (error,) = flow(fl.map_task(leave, return_exceptions=True), a=[3])
    assert "SystemExit: 3" in str(error)


def _handled(a: int) -> int:
    return lucky(a=a)


@fl.task
def takes_text(a: str) -> None:
    return None


@fl.task
def takes_more(a: int, b: int) -> None:
    return None


@fl.task
def takes_nothing() -> None:
    return None


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (takes_text, r"takes_text must take 'a' \(int\), as the workflow does; it takes a: str"),
        (takes_more, "nobody gives .*takes_more its input 'b'; give it a default"),
        (takes_nothing, "must take 'a'"),
        (_handled, "must be a task or workflow, not <function _handled"),
    ],
)
def test_what_cannot_be_executed_on_a_failure(handler: Any, text: str) -> None:
    """What does not take what it is given is refused where the workflow is declared."""
    with pytest.raises(DefinitionError, match=text):
        fl.workflow(on_failure=handler)(_handled)


def test_unknown_policies() -> None:
    """A failure policy is one of those that there are."""
    with pytest.raises(fl.errors.OptionError, match="failure_policy of workflow .*_handled must be a WorkflowFailurePolicy; got 1"):
        fl.workflow(failure_policy=1)(_handled)  # type: ignore[arg-type]


class Mute(Exception):
    """An exception that has no text, and takes no notes."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def add_note(self, note: str) -> None:
        raise RuntimeError("no notes")


@fl.task
def mute(a: int) -> int:
    raise Mute


@fl.task
def takes_error(a: int, err: NodeError) -> None:
    raise ValueError(err.message)


@fl.workflow(on_failure=takes_error)
def watched_mute(a: int) -> int:
    return mute(a=a)


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def patient_mute(a: int) -> list[int]:
    return [mute(a=a), mute(a=a)]


@pytest.mark.parametrize("entity", [watched_mute, patient_mute], ids=lambda one: one.short_name)
def test_an_exception_that_says_nothing(flow: Flow, entity: Any) -> None:
    """An exception whose text cannot be made, and which refuses notes, is still what a workflow fails with."""
    with pytest.raises(Mute):
        flow(entity, a=1)


def test_an_item_that_says_nothing(flow: Flow) -> None:
    """The same holds where items may fail, one of them too many or not."""
    assert flow(fl.map_task(mute, min_successes=0), a=[1, 2]) == [None, None]
    with pytest.raises(Mute):
        flow(fl.map_task(mute, min_successes=1), a=[1, 2])


again = Unlucky("the same object")


@fl.task
def raises_again(a: int) -> int:
    raise again


@fl.workflow
def once(a: int) -> int:
    return raises_again(a=a)


@fl.workflow
def twice(b: int) -> int:
    return once(a=b)


def test_an_exception_object_that_is_raised_again(flow: Flow) -> None:
    """Where one object is raised by several runs, each says where it was in that one."""
    for entity, inputs, calls in (
        (once, {"a": 1}, ["once(a=1)", "raises_again(a=1)"]),
        (twice, {"b": 2}, ["twice(b=2)", "once(a=2)", "raises_again(a=2)"]),
        (once, {"a": 3}, ["once(a=3)", "raises_again(a=3)"]),
    ):
        with pytest.raises(Unlucky) as failed:
            flow(entity, **inputs)
        assert [one.call for one in told(failed.value).levels] == calls


@fl.task
def undecodable(a: int) -> int:
    raise ValueError(f"odd {chr(0xDCFF)}")


def test_a_text_that_is_no_unicode(flow: Flow) -> None:
    """A message that has been read from a file of another encoding fails the run, and nothing else."""
    with pytest.raises(ValueError, match="odd \udcff"):
        flow(undecodable, a=1)


class Coded(Exception):
    """An exception that cannot be made from its arguments alone."""

    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{why} {code}")
        self.code = code


class Locked(Exception):
    """An exception that holds what does not pickle."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


@fl.task
def coded(a: int) -> int:
    raise Coded(a, why="odd")


@fl.task
def locked(a: int) -> int:
    raise Locked("odd")


def test_any_exception_can_be_a_result(flow: Flow, mode: str) -> None:
    """An exception that is the result of an item arrives like one that fails a run: as itself, or as what stands in for it."""
    for number, one in enumerate(flow(fl.map_task(coded, return_exceptions=True), a=[3, 4])):
        assert isinstance(one, Coded)
        assert one.code == number + 3
        assert told(one).address == f"coded[{number}]"
    (one,) = flow(fl.map_task(locked, return_exceptions=True), a=[1])
    assert isinstance(one, Locked if mode == "in process" else RunFailed)
    assert told(one).address == "locked[0]"
