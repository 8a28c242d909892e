"""Which units move to which workers, over any loads."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from daskflow.placement import Load, Supply, moves, resource_moves

loads = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 12)), max_size=12).map(
    lambda sizes: [Load(f"w{i}", threads, tasks) for i, (threads, tasks) in enumerate(sizes)]
)


@given(loads)
def test_no_thread_stays_free_while_a_task_waits(loads: list[Load]) -> None:
    """After the moves nothing waits, or no thread is free; and no worker gave what it could begin, or took more than it can."""
    moved = moves(loads)
    given, taken = Counter(source for source, _ in moved), Counter(target for _, target in moved)
    after = [one._replace(tasks=one.tasks - given[one.worker] + taken[one.worker]) for one in loads]
    assert not any(one.tasks > one.threads for one in after) or not any(one.tasks < one.threads for one in after)
    for one in loads:
        assert given[one.worker] <= max(0, one.tasks - one.threads)
        assert taken[one.worker] <= max(0, one.threads - one.tasks)


amounts = st.fixed_dictionaries({"GPU": st.integers(1, 2)}, optional={"MEMORY": st.integers(1, 4)})
have = st.fixed_dictionaries({}, optional={"GPU": st.integers(1, 4), "MEMORY": st.integers(1, 8)})
supplies = st.lists(st.tuples(st.integers(-2, 4), have, st.lists(amounts, max_size=5)), max_size=6).map(
    lambda rows: [
        Supply(f"w{i}", free, resources, [(f"t{i}.{n}", asked) for n, asked in enumerate(asking)])
        for i, (free, resources, asking) in enumerate(rows)
    ]
)


def left_over(supply: Supply) -> tuple[dict[str, float], dict[str, Any]]:
    """Return what is left of a worker that serves who asks in order, and who waits."""
    left, waiting = dict(supply.resources), {}
    for key, asked in supply.asking:
        if all(left.get(name, 0) >= amount for name, amount in asked.items()):
            for name, amount in asked.items():
                left[name] -= amount
        else:
            waiting[key] = asked
    return left, waiting


@given(supplies)
def test_no_resource_stays_free_while_a_task_waits(supplies: list[Supply]) -> None:
    """Only what waits is moved, each once, to where it need not wait; after that nothing waits for what another worker has to spare."""
    moved = resource_moves(supplies)
    places = {one.worker: (one.free, *left_over(one)) for one in supplies}
    free, left = {name: one[0] for name, one in places.items()}, {name: one[1] for name, one in places.items()}
    for key, source, target in moved:
        asked = places[source][2].pop(key)
        free[target] -= 1
        for name, amount in asked.items():
            left[target][name] -= amount
            assert left[target][name] >= 0
        assert free[target] >= 0
        assert source != target
    for worker, (_, _, waiting) in places.items():
        for asked in waiting.values():
            spare = [one for one in left if one != worker and free[one] > 0]
            assert not any(all(left[one].get(name, 0) >= amount for name, amount in asked.items()) for one in spare)
