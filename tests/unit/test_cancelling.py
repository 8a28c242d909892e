"""Cancelling by address: nothing of it starts any more, it has failed for whoever called it, and nothing else is touched."""

from __future__ import annotations

import itertools
import re
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as fl
from daskflow.driver import place_in
from daskflow.errors import InputError, RunCancelled
from daskflow.execute import Execution
from daskflow.scope import Scope
from daskflow.stacks import root_frame
from tests.unit.test_spilling import expressions, failing, nested, seeds
from tests.unit.unit_model import Broken, Model, expand


def outcome(model: Model, program: Any) -> Any:
    """Return what a run gives, or that it failed."""
    try:
        return model.run(expand, {"expression": program})
    except (Broken, RunCancelled):
        return "failed"


def outcomes(program: Any, cancels: list[str]) -> list[Any]:
    """Return what a run can give where some of what was cancelled had not ended by then: what one unit gives that was told at first."""
    chosen = itertools.chain.from_iterable(itertools.combinations(cancels, count) for count in range(len(cancels) + 1))
    return [outcome(Model(Random(0), spills=0, cancels=some), program) for some in chosen]


def check(program: Any, data: st.DataObject, seed: int, **options: Any) -> None:
    """Run a program of which something is cancelled."""
    known = Model(Random(0), spills=0)
    outcome(known, program)
    if known.addresses:
        cancels = data.draw(st.lists(st.sampled_from(list(known.addresses)), min_size=1, max_size=2, unique=True))
        model = Model(Random(seed), cancels=cancels, last=len(known.executed), **options)
        # That no task of it begins the model asserts itself, as it does that nothing is left.
        assert outcome(model, program) in outcomes(program, cancels)


@given(failing, seeds, st.booleans(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.15]), st.booleans(), st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_cancelled_fails_alone(
    expression: Any, seed: int, deep: bool, spills: float, deaths: float, eager: bool, data: st.DataObject
) -> None:
    """Whatever is cancelled, and when: no task of it is begun, and the run gives what it gives where just that, or some of it, fails."""
    check(nested(expression) if deep else expression, data, seed, spills=spills, deaths=deaths, eager=eager)


@given(expressions, seeds, st.booleans(), st.integers(1, 3), st.sampled_from([0.0, 0.15]), st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_lost_is_made_again_without_what_was_cancelled(
    expression: Any, seed: int, deep: bool, large: int, deaths: float, data: st.DataObject
) -> None:
    """Values that stay where they were made can be made again as they were, also those that lack something that was cancelled."""
    check(("tries", nested(expression) if deep else expression), data, seed, large=large, deaths=deaths)


@given(failing, seeds, st.booleans(), st.data())
@settings(max_examples=100, deadline=None)
def test_all_calls_of_a_name(expression: Any, seed: int, eager: bool, data: st.DataObject) -> None:
    """An address without its last index stands for each call of that name, and the run ends."""
    known = Model(Random(0), spills=0)
    outcome(known, nested(expression))
    groups = [address.rpartition("[")[0] for address in known.addresses if address.endswith("]")]
    if groups:
        cancels = [data.draw(st.sampled_from(groups))]
        outcome(Model(Random(seed), eager=eager, cancels=cancels, last=len(known.executed)), nested(expression))


executing: list[Execution] = []
handled: list[str] = []


@fl.task
def is_cancelled(times: int) -> int:
    for _ in range(times):
        executing[-1].cancel("is_cancelled")
    fl.current_context().raise_if_cancelled()
    return times


@fl.task
def handles(times: int) -> None:
    handled.append(f"{times}")


@fl.workflow(on_failure=handles)
def handling(times: int) -> int:
    return is_cancelled(times=times)


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_cancelled_twice_fails_once(times: int) -> None:
    """Whoever cancels a node again while it executes does not cancel what is executed on its failure."""
    handled.clear()
    executing.append(Execution(root_frame(handling, {"times": times}, Scope.of_run("run", None))))
    with pytest.raises(RunCancelled, match="is_cancelled was cancelled"):
        executing[-1].run()
    assert handled == [f"{times}"]


@pytest.mark.parametrize("path", ["", "/a", "a/", "r0123456780:a", "r0123456780", "r0123456780.0123456789", 3])
def test_what_is_no_address_in_the_run(path: Any) -> None:
    """What cannot be in the run is refused, and the error says what was given."""
    with pytest.raises(InputError, match=re.escape(repr(path))):
        place_in("r0123456789", path)


def test_addresses_in_the_run() -> None:
    """The run's id before an address may be left out; a child run's id stays; what only looks like a run's id is a name."""
    run = "r0123456789"
    given = [f"{run}:a/b[1]", "a/b[1]", f"{run}:", run, None, f"{run}.0123456789", "r0123456789a/b"]
    assert [place_in(run, one) for one in given] == ["a/b[1]", "a/b[1]", "", "", "", f"{run}.0123456789", "r0123456789a/b"]
