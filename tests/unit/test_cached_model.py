"""Caching under spilling, limits and deaths: over random programs, with chance in the place of time."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_spilling import expressions, nested, seeds
from tests.unit.unit_model import Entries, Model, caching, double_plus, expand, pair, plan, plus, total, worth

#: Those of tasks are named as their marks are.
ENTITIES = {"plus": plus, "total": total, "pair": pair, "expand": expand, "flow": double_plus, "plan": plan}
some = st.sets(st.sampled_from(sorted(ENTITIES)), min_size=1)


def run(model: Model, program: Any, store: Entries) -> Any:
    """Run a program with a store."""
    model.store = store
    return model.run(expand, {"expression": program})


@given(expressions, seeds, st.booleans(), some, st.booleans(), st.sampled_from([0.0, 0.15]), st.sampled_from([0, 2]))
@settings(max_examples=300, deadline=None)
def test_what_is_cached_is_executed_once(
    expression: Any, seed: int, deep: bool, names: set[str], serialize: bool, deaths: float, large: int
) -> None:
    """Whatever is cached, handed over or begun anew, results are right, and a second run executes nothing that is cached."""
    program = nested(expression) if deep else expression
    store = Entries()
    with caching([ENTITIES[name] for name in names], serialize):
        assert run(Model(Random(seed), deaths=deaths, large=large), program, store) == worth(expression)
        again = Model(Random(seed + 1), large=large)
        assert run(again, program, store) == worth(expression)
    assert not {mark[0] for mark in again.executed} & names
    assert not [mark for mark in again.executed if "expand" in names]


@given(expressions, seeds, st.booleans(), some, st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_key_is_computed_once_where_that_is_asked_for(expression: Any, seed: int, deep: bool, names: set[str], eager: bool) -> None:
    """With ``serialize`` no two equal calls are both executed, in whatever order units are; and there is always an end."""
    program = nested(expression) if deep else expression
    model = Model(Random(seed), eager=eager)
    with caching([ENTITIES[name] for name in names], serialize=True):
        assert run(model, program, Entries()) == worth(expression)
    executed = Counter(mark for mark in model.executed if mark[0] in names)
    assert not [mark for mark, count in executed.items() if count > 1]
