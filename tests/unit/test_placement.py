"""Which units move to which workers, over any loads."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from daskflow.placement import Load, moves

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
