"""Spilling: what is handed over, in what pieces, and that it changes no result."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.execute import Execution
from daskflow.frames import GraphFrame
from daskflow.policy import Policy
from daskflow.scope import Scope
from daskflow.spilling import Unit, take
from daskflow.stacks import root_frame, stack
from tests.unit import unit_model
from tests.unit.unit_model import BUILDERS, Model, attempt, expand, worth

expressions = st.recursive(
    st.integers(0, 9),
    lambda inner: st.builds(
        lambda kind, parts: (kind, *parts),
        st.sampled_from([*(kind for kind in BUILDERS if kind not in ("fragile", "some")), "total", "eagerly"]),
        st.lists(inner, min_size=1, max_size=5),
    ),
    max_leaves=25,
).map(lambda one: ("plus", one) if isinstance(one, int) else one)
seeds = st.integers(0, 10**6)

#: Programs in which tasks fail, and that go on in spite of that, or do not.
failing = st.recursive(
    st.integers(0, 9),
    lambda inner: st.builds(
        lambda kind, parts: (kind, *parts),
        st.sampled_from(["fragile", "some", "tries", "tries", "half", "guard", "going", "eagerly", "total", "map", "plan", "deep"]),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=20,
).map(lambda one: ("tries", one))


def nested(expression: Any) -> Any:
    """Put a dynamic of its own around each part of an expression that is a list."""
    if isinstance(expression, int):
        return expression
    kind, *parts = expression
    return ("expand", kind, *(nested(part) for part in parts))


@given(expressions, seeds, st.booleans(), st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=250, deadline=None)
def test_spilling_changes_no_result_and_repeats_nothing(expression: Any, seed: int, deep: bool, spills: float) -> None:
    """However work is cut up and handed over, the result is the same, and each task is executed exactly once."""
    program = nested(expression) if deep else expression
    alone, cut = Model(Random(seed), spills=0), Model(Random(seed), spills=spills)
    assert alone.run(expand, {"expression": program}) == worth(expression)
    assert cut.run(expand, {"expression": program}) == worth(expression)
    assert sorted(cut.executed) == sorted(alone.executed)


@given(expressions, seeds, st.booleans(), st.sampled_from([0, None, 1, 2]))
@settings(max_examples=150, deadline=None)
def test_limits_change_no_result(expression: Any, seed: int, deep: bool, limit: int | None) -> None:
    """A run with any limit ends, with the same result."""
    program = nested(expression) if deep else expression
    assert Model(Random(seed)).run(expand, {"expression": program}, limit) == worth(expression)


@given(expressions, seeds, st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_node_a_unit_of_its_own(expression: Any, seed: int, deep: bool) -> None:
    """With a budget of nothing no unit executes two tasks, and the result is the same."""
    model = Model(Random(seed), eager=True)
    assert model.run(expand, {"expression": nested(expression) if deep else expression}) == worth(expression)
    assert all(len(getattr(frame, "todo", ())) <= 1 for unit in model.units for frame in unit.frames)


@given(expressions, seeds, st.booleans())
@settings(max_examples=200, deadline=None)
def test_deaths_change_no_result(expression: Any, seed: int, deep: bool) -> None:
    """Units that die while they execute a task, and are run again, change no result."""
    model = Model(Random(seed), deaths=0.15)
    assert model.run(expand, {"expression": nested(expression) if deep else expression}) == worth(expression)


@given(expressions, seeds, st.booleans(), st.integers(1, 4), st.sampled_from([0.0, 0.2, 1.0]))
@settings(max_examples=250, deadline=None)
def test_values_that_stay_where_they_are_change_no_result(expression: Any, seed: int, deep: bool, large: int, stops: float) -> None:
    """Whichever values are referred to, and wherever a unit is ended, the result is the same, and each value can be made again."""
    program = nested(expression) if deep else expression
    alone, cut = Model(Random(seed), spills=0), Model(Random(seed), large=large, stops=stops)
    assert alone.run(expand, {"expression": program}) == worth(expression)
    assert cut.run(expand, {"expression": program}) == worth(expression)
    assert sorted(cut.executed) == sorted(alone.executed)


@given(expressions, seeds, st.booleans(), st.integers(1, 4))
@settings(max_examples=150, deadline=None)
def test_values_that_stay_where_they_are_and_deaths(expression: Any, seed: int, deep: bool, large: int) -> None:
    """Units that refer to values and die change no result."""
    model = Model(Random(seed), deaths=0.15, large=large, stops=0.1)
    assert model.run(expand, {"expression": nested(expression) if deep else expression}) == worth(expression)


@given(failing, seeds, st.booleans(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.15]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_failures_change_no_other_result(expression: Any, seed: int, deep: bool, spills: float, deaths: float, eager: bool) -> None:
    """However work is cut up, what may fail alone does, and the rest, and the run's outcome, is as in plain Python."""
    model = Model(Random(seed), spills=spills, deaths=deaths, eager=eager)
    outcome = attempt(lambda: worth(expression))
    assert attempt(lambda: model.run(expand, {"expression": nested(expression) if deep else expression})) == outcome


# ---------------------------------------------------------------- what is taken


def started(entity: Any, inputs: dict[str, Any], nodes: int) -> list[Any]:
    """Return the frames of an execution that is busy with its n-th task."""
    frames: list[Any] = []

    class Stop(Exception):
        """The moment has come."""

    class Watch(Model):
        """Stops in the middle of a task."""

        def while_running(self, what: Any) -> None:
            """Count."""
            self.executed.append(what)
            if len(self.executed) == nodes:
                frames.extend(stack(self.execution.frame))  # type: ignore[union-attr]
                raise Stop

    model = Watch(Random(0))
    model.execution = Execution(root_frame(entity, inputs, Scope.of_run("run", 0)), lambda _: None)
    unit_model._model = model
    try:
        with pytest.raises(Stop):
            model.execution.run()
    finally:
        unit_model._model = None
    return frames


#: On the clock of frames.
LONG_AFTER = 1e12


def taken(expression: Any, policy: Policy, *, nodes: int = 1, keep: bool = False, now: float = LONG_AFTER) -> list[Unit]:
    """Return what is taken from the execution of an expression that is busy with its n-th task."""
    return take("owner", started(expand, {"expression": expression}, nodes), policy, now, keep=keep)


def sizes(units: list[Unit]) -> list[int]:
    """Return how many nodes or items each unit has."""
    return [len(unit.frames[0].todo) if hasattr(unit.frames[0], "todo") else unit.frames[0].left for unit in units]


def test_chains_stay_together() -> None:
    """Nodes that only feed each other go together; while nothing is known of their time, each chain by itself."""
    chains = ("total", *[("plus", 1, 2, 3)] * 10)
    assert sizes(taken(chains, Policy())) == [3] * 9


def test_what_waits_for_the_current_node_stays() -> None:
    """The nodes that need the current one's result, and those that need several chains, are not taken."""
    assert taken(("plus", 1, 2, 3, 4), Policy()) == []
    assert sizes(taken(("total", ("plus", 1, 2), ("plus", 1, 2), ("plus", 1, 2)), Policy())) == [2, 2]


def test_short_nodes_are_chunked() -> None:
    """Where nodes are known to be short, as many make a unit as last a chunk."""
    frames = started(expand, {"expression": ("total", *[("total", 1)] * 101)}, 1)
    frames[-1].done, frames[-1].started = 100, 0.001
    units = take("owner", frames, Policy(budget=0.5, chunk=1.0), now=10.001, keep=False)
    assert sizes(units) == [10] * 10


def test_what_is_not_worth_a_message_stays() -> None:
    """Less work than a chunk is not handed over."""
    frames = started(expand, {"expression": ("total", *[("total", 1)] * 5)}, 1)
    frames[-1].done, frames[-1].started = 100, 0.001
    assert take("owner", frames, Policy(budget=0.5, chunk=1.0), now=10.0, keep=False) == []


def test_what_has_just_begun_is_not_handed_over() -> None:
    """Where no node has ended yet, those that may last as long as the first one has by now are handed over, as far as that is a budget."""
    policy = Policy(budget=0.02)
    for after, taken_then in ((0.001, 0), (0.0049, 0), (0.0051, 4), (0.1, 4)):
        frames = started(expand, {"expression": ("total", *[("total", 1)] * 5)}, 1)
        for frame in frames:
            frame.started = 10.0
        assert sum(sizes(take("owner", frames, policy, 10.0 + after, keep=False))) == taken_then


def test_maps_are_cut_into_ranges() -> None:
    """The items of a map are cut into at most as many ranges as the policy says."""
    frames = started(unit_model.fl.map_task(unit_model.plus), {"a": list(range(100)), "b": [0] * 100}, 1)
    units = take("owner", frames, Policy(most=9), LONG_AFTER, keep=False)
    assert sizes(units) == [11] * 9
    assert frames[-1].left == 0


def test_child_runs_have_the_same_names_however_a_map_is_cut() -> None:
    """A mapped launch plan's child runs have ids and limits that say which item they are, and not where its unit began."""
    whole: Any = started(unit_model.fl.map_task(unit_model.plan), {"a": list(range(7))}, 1)[1]
    plan: Any = unit_model.plan
    names = [GraphFrame(plan.workflow.graph, [], plan, whole, item).scope.run_id for item in range(7)]
    cut: list[str] = []
    for unit in take("owner", [whole], Policy(most=3), LONG_AFTER, keep=False):
        part: Any = unit.frames[0]
        cut += [GraphFrame(plan.workflow.graph, [], plan, part, item).scope.run_id for item in range(part.left)]
    assert cut == names[1:]
    assert len(set(names)) == 7


def test_an_execution_between_two_nodes_keeps_something() -> None:
    """What is taken between two nodes leaves the execution its next chain."""
    assert sizes(taken(("total", *[("plus", 1, 2)] * 4), Policy(), keep=True)) == [2, 2]


def test_nothing_is_taken_where_one_at_a_time_may_run() -> None:
    """Under a limit of one, handing over gains nothing."""
    frames = started(expand, {"expression": ("total", *[("total", 1)] * 5)}, 1)
    for frame in frames:
        frame.scope = Scope.of_run("run", 1)
    assert take("owner", frames, Policy(), LONG_AFTER, keep=False) == []


def test_nothing_is_taken_from_under_a_full_limit() -> None:
    """What is under a limit that lets nothing more start stays; what is not is taken, in as many pieces as the limit has slots."""
    frames = started(unit_model.fl.map_task(unit_model.plus), {"a": list(range(100)), "b": [0] * 100}, 1)
    for frame in frames:
        frame.scope = Scope.of_run("run", 3)
    assert take("owner", frames, Policy(), LONG_AFTER, keep=False, full={"run"}) == []
    assert sizes(take("owner", frames, Policy(), LONG_AFTER, keep=False, full={"another"})) == [33, 33, 33]


@given(st.integers(1, 10_000), st.one_of(st.none(), st.floats(1e-6, 10)), st.integers(1, 100))
def test_pieces(pending: int, mean: float | None, most: int) -> None:
    """Pieces are contiguous, whole, never empty, and never more than the policy says."""
    pieces = Policy(most=most).pieces(pending, mean)
    assert [index for piece in pieces for index in piece] == list(range(pending))
    assert all(pieces)
    assert len(pieces) <= most
    assert len(pieces[-1]) == min(map(len, pieces))


def test_keys_are_the_same_for_the_same_cut() -> None:
    """The same cut of the same unit's work has the same keys, and another unit's has others."""
    first, again = ([unit.key for unit in taken(("total", ("plus", 1, 2), ("plus", 3, 4)), Policy())] for _ in range(2))
    frames = started(expand, {"expression": ("total", ("plus", 1), ("plus", 3))}, 1)
    other = [unit.key for unit in take("other", frames, Policy(), LONG_AFTER, keep=False)]
    assert first == again
    assert not set(first) & set(other)
