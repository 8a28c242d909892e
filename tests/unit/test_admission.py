from __future__ import annotations

import pickle
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daskflow import admission as admission_module
from daskflow.admission import Admission, Pool


@pytest.fixture
def admission() -> Iterator[Admission]:
    """An Admission that must be consistent when the test is over."""
    admission = Admission()
    yield admission
    admission.validate()


def enqueue(admission: Admission, keys: str, pool: Pool | None = None, *, run: str = "run", priority: float = 0) -> None:
    """Enqueue each of the keys that *keys* names, separated by spaces."""
    for key in keys.split():
        admission.enqueue(key, run=run, pool=pool, priority=(priority,))


# Pools


def test_pool_chain() -> None:
    """A chain begins with the pool itself and ends with the outermost."""
    outer = Pool("outer", 3)
    inner = Pool("inner", 2, Pool("middle", 1, outer))

    assert ["inner", "middle", "outer"] == [pool.id for pool in inner.chain()]


@pytest.mark.parametrize("limit", [0, -1])
def test_pool_limit_is_positive(limit: int) -> None:
    """A limit below 1, under which nothing could ever run, is refused, naming the pool."""
    with pytest.raises(ValueError, match=f"pool 'p': .* not {limit}"):
        Pool("p", limit)


def test_pool_is_not_above_itself() -> None:
    """A chain has each pool once."""
    with pytest.raises(ValueError, match="'p' cannot be above itself"):
        Pool("p", 1, Pool("q", 1, Pool("p", 1)))


# Limits


def test_limit(admission: Admission) -> None:
    """No more units than the pool's limit are admitted, and a release lets in the next."""
    enqueue(admission, "a b c", Pool("p", 2))

    assert ["a", "b"] == admission.admit()
    assert [] == admission.admit()

    admission.release("a")

    assert ["c"] == admission.admit()


def test_limit_of_an_ancestor(admission: Admission) -> None:
    """A limit holds for all the pools below it together."""
    outer = Pool("outer", 2)
    enqueue(admission, "a b", Pool("left", 5, outer))
    enqueue(admission, "c d", Pool("right", 5, outer))

    assert ["a", "b"] == admission.admit()
    assert (2, 2, 0) == tuple(map(admission.running, ("outer", "left", "right")))


def test_inner_pool_cannot_widen_outer(admission: Admission) -> None:
    """A larger limit below a smaller one changes nothing."""
    enqueue(admission, "a b", Pool("inner", 100, Pool("outer", 1)))

    assert ["a"] == admission.admit()


def test_all_or_none(admission: Admission) -> None:
    """A unit that waits for one pool of its chain takes no slot in the others."""
    outer, blocked = Pool("outer", 2), Pool("blocked", 1, Pool("outer", 2))
    enqueue(admission, "a b", blocked)
    enqueue(admission, "c", outer, priority=1)

    assert ["a", "c"] == admission.admit()


def test_no_pool(admission: Admission) -> None:
    """Units with no pool are limited by the capacity only."""
    admission.capacity = 2
    enqueue(admission, "a b c")

    assert ["a", "b"] == admission.admit()

    admission.capacity = None

    assert ["c"] == admission.admit()


def test_capacity(admission: Admission) -> None:
    """The capacity bounds what runs over all runs, and may fall below what runs already."""
    assert admission.capacity is None
    admission.capacity = 2
    enqueue(admission, "a1 a2", run="a")
    enqueue(admission, "b1 b2", run="b")

    assert ["a1", "b1"] == admission.admit()

    admission.capacity = 1
    admission.release("a1")

    assert (1, []) == (admission.capacity, admission.admit())

    admission.release("b1")

    assert 1 == len(admission.admit())


def test_full_pools_are_told(admission: Admission) -> None:
    """A pool that fills is told of, and one that has a slot free again; not those of one slot, or of no fewer than the capacity."""
    admission.capacity = 4
    for limit in (1, 2, 3, 4):
        for index in range(limit):
            admission.enqueue(f"{limit}.{index}", run="run", pool=Pool(f"of {limit}", limit), priority=(limit,))
    admission.admit()

    assert {"of 1": False, "of 2": True} == admission.take_changed()

    admission.release("2.0")
    admission.admit()

    assert {"of 2": False} == admission.take_changed()

    admission.release("2.1")
    admission.release("1.0")
    admission.admit()

    assert {"of 1": False, "of 3": True} == admission.take_changed()
    assert {} == admission.take_changed()


def test_capacity_is_not_negative(admission: Admission) -> None:
    """A capacity of 0 admits nothing; a negative one is refused."""
    admission.capacity = 0
    enqueue(admission, "a")

    assert [] == admission.admit()
    with pytest.raises(ValueError, match="at least 0, not -1"):
        admission.capacity = -1


def test_free(admission: Admission) -> None:
    """What is free in a pool is what its whole chain leaves, and never less than nothing."""
    outer = Pool("outer", 3)
    inner, other = Pool("inner", 2, outer), Pool("other", 5, outer)

    assert 2 == admission.free(inner)

    enqueue(admission, "a b", other)
    admission.admit()

    assert (1, 1, 1) == tuple(map(admission.free, (inner, other, outer)))

    admission.hold("a", inner)
    admission.hold("b", inner)
    enqueue(admission, "c", other)
    admission.admit()
    admission.hold("c", inner)

    assert 0 == admission.free(inner)
    assert 3 == admission.running("inner")


def test_counts(admission: Admission) -> None:
    """The numbers of waiting and of running units follow each step."""
    enqueue(admission, "a b c", Pool("p", 2))
    assert (3, 0) == (admission.n_waiting, admission.n_running)

    admission.admit()
    assert (1, 2) == (admission.n_waiting, admission.n_running)

    admission.release("c")
    admission.release("a")
    assert (0, 1) == (admission.n_waiting, admission.n_running)


# Order


def test_priority_then_submission(admission: Admission) -> None:
    """Within a pool the smaller priority goes first, and among equals the earlier."""
    pool = Pool("p", 10)
    enqueue(admission, "late1 late2", pool, priority=2)
    enqueue(admission, "early1 early2", pool, priority=1)

    assert ["early1", "early2", "late1", "late2"] == admission.admit()


def test_order_holds_over_the_pools_below(admission: Admission) -> None:
    """A pool ranks what waits in it and in the pools below it by the same order."""
    outer = Pool("outer", 10)
    enqueue(admission, "b", Pool("left", 5, outer), priority=2)
    enqueue(admission, "c", outer, priority=3)
    enqueue(admission, "a d", Pool("right", 5, outer), priority=1)

    assert ["a", "d", "b", "c"] == admission.admit()


def test_better_unit_overtakes(admission: Admission) -> None:
    """A unit that arrives later with a smaller priority goes first."""
    pool = Pool("p", 1)
    enqueue(admission, "a b", pool, priority=2)
    admission.admit()
    enqueue(admission, "urgent", pool, priority=1)
    admission.release("a")

    assert ["urgent"] == admission.admit()


def test_blocked_unit_blocks_no_other_pool(admission: Admission) -> None:
    """When the best waiting unit's pool is full, the units behind it that have room start."""
    outer = Pool("outer", 10)
    enqueue(admission, "a b", Pool("full", 1, outer), priority=1)
    enqueue(admission, "c", Pool("room", 1, outer), priority=2)
    enqueue(admission, "d", outer, priority=3)
    enqueue(admission, "e", priority=4)

    assert ["a", "c", "d", "e"] == admission.admit()


def test_released_while_waiting(admission: Admission) -> None:
    """A unit that is released while it waits never starts."""
    enqueue(admission, "a b c", Pool("p", 2))
    admission.release("b")

    assert ["a", "c"] == admission.admit()


# Fairness


def test_round_robin(admission: Admission) -> None:
    """Runs take turns of one unit, however many each has waiting and whatever their priorities."""
    enqueue(admission, "a1 a2 a3 a4", run="a", priority=-1)
    enqueue(admission, "b1 b2", Pool("p", 5), run="b")
    enqueue(admission, "c1", run="c")

    assert ["a1", "b1", "c1", "a2", "b2", "a3", "a4"] == admission.admit()


def test_round_robin_from_call_to_call(admission: Admission) -> None:
    """Whose turn it is outlives one call, so a capacity of 1 is shared as well."""
    admission.capacity = 1
    enqueue(admission, "a1 a2 a3", run="a")
    enqueue(admission, "b1 b2 b3", run="b")

    started = []
    for _ in range(6):
        started += admission.admit()
        admission.release(started[-1])

    assert ["a1", "b1", "a2", "b2", "a3", "b3"] == started


def test_blocked_run_keeps_its_turn(admission: Admission) -> None:
    """A run whose pool was full when its turn came goes next when the pool frees."""
    admission.capacity = 3
    enqueue(admission, "a1 a2", Pool("p", 1), run="a")
    enqueue(admission, "b1 b2 b3", run="b")
    enqueue(admission, "c1 c2 c3", run="c")
    assert ["a1", "b1", "c1"] == admission.admit()

    admission.release("b1")
    assert ["b2"] == admission.admit()

    admission.release("a1")
    assert ["a2"] == admission.admit()


def test_new_runs_do_not_starve_an_old_one(admission: Admission) -> None:
    """A run waits for the runs before it only, even if a new one arrives for each unit that ends."""
    admission.capacity = 1
    enqueue(admission, "first", run="run-first")
    admission.admit()
    enqueue(admission, "old", run="old")

    started = ["first"]
    for i in range(3):
        enqueue(admission, f"new-{i}", run=f"run-{i}")
        admission.release(started[-1])
        started += admission.admit()

    assert ["first", "old", "new-0", "new-1"] == started


# hold


def test_starving(admission: Admission) -> None:
    """A run starves when nothing of it runs, and something could but for others: neither its own limit nor a free place holds it back."""
    one = Pool("one", 1)
    admission.capacity = 2
    enqueue(admission, "a b", run="first")
    enqueue(admission, "c", run="second")
    assert admission.starving() == set()
    assert admission.admit() == ["a", "c"]
    enqueue(admission, "d", run="third")
    enqueue(admission, "e", one, run="third")
    assert admission.starving() == {"third"}
    admission.release("c")
    assert admission.starving() == set()


def test_hold_counts(admission: Admission) -> None:
    """A held slot counts against the limit until its key is released."""
    pool = Pool("p", 1)
    enqueue(admission, "outside")
    admission.admit()
    admission.hold("outside", pool)
    enqueue(admission, "a", pool)

    assert [] == admission.admit()

    admission.release("outside")

    assert ["a"] == admission.admit()


def test_hold_past_the_limit(admission: Admission) -> None:
    """Holding never blocks, and nothing is admitted until the pool is below its limit again."""
    pool = Pool("p", 1)
    enqueue(admission, "x y")
    enqueue(admission, "a b", pool, priority=1)
    assert ["x", "y", "a"] == admission.admit()
    admission.hold("x", pool)
    admission.hold("y", pool)
    assert 3 == admission.running("p")

    for key in ("x", "a"):
        admission.release(key)
        assert [] == admission.admit()

    admission.release("y")
    assert ["b"] == admission.admit()


def test_hold_takes_what_is_missing_only(admission: Admission) -> None:
    """A key has at most one slot in each pool, however often it holds and through whichever chain."""
    outer = Pool("outer", 5)
    left, right = Pool("left", 5, outer), Pool("right", 5, outer)
    enqueue(admission, "a", left)
    admission.admit()
    for pool in (left, right, right, outer):
        admission.hold("a", pool)

    assert (1, 1, 1) == tuple(map(admission.running, ("outer", "left", "right")))
    assert 1 == admission.n_running

    admission.release("a")

    assert admission.is_empty()


def test_hold_blocks_a_pool_below(admission: Admission) -> None:
    """What waits below a pool that becomes full by holding does not start, and its other siblings do."""
    outer = Pool("outer", 2)
    enqueue(admission, "x y")
    admission.admit()
    enqueue(admission, "a", Pool("inner", 1, outer))
    enqueue(admission, "b", Pool("other", 1), priority=1)
    admission.hold("x", outer)
    admission.hold("y", outer)

    assert ["b"] == admission.admit()


@pytest.mark.parametrize("known", [True, False])
def test_hold_needs_a_running_key(admission: Admission, known: bool) -> None:
    """A key that waits or is unknown holds nothing."""
    if known:
        enqueue(admission, "a")

    with pytest.raises(ValueError, match="'a' is not running"):
        admission.hold("a", Pool("p", 1))
    assert 0 == admission.running("p")


# Identity


def test_pools_are_known_by_id(admission: Admission) -> None:
    """Copies of a pool are the same pool."""
    pool = Pool("inner", 1, Pool("outer", 5))
    for key in ("a", "b"):
        enqueue(admission, key, pickle.loads(pickle.dumps(pool)))

    assert ["a"] == admission.admit()


@pytest.mark.parametrize(
    ("pool", "run", "named"),
    [
        pytest.param(Pool("inner", 3, Pool("outer", 5)), "run", "inner", id="limit"),
        pytest.param(Pool("inner", 2, Pool("outer", 6)), "run", "outer", id="limit above"),
        pytest.param(Pool("inner", 2), "run", "inner", id="no parent"),
        pytest.param(Pool("inner", 2, Pool("new", 5)), "run", "inner", id="unknown parent"),
        pytest.param(Pool("outer", 5, Pool("inner", 2)), "run", "outer", id="upside down"),
        pytest.param(Pool("inner", 2, Pool("outer", 5)), "new", "outer", id="another run"),
        pytest.param(Pool("new", 1, Pool("inner", 1, Pool("outer", 5))), "run", "inner", id="below a new one"),
    ],
)
def test_conflicting_pool(admission: Admission, pool: Pool, run: str, named: str) -> None:
    """A known pool that comes with another limit, parent or run is refused by name, and leaves nothing behind."""
    enqueue(admission, "a", Pool("inner", 2, Pool("outer", 5)))
    admission.admit()

    with pytest.raises(ValueError, match=f"pool '{named}' is known"):
        enqueue(admission, "b", pool, run=run)
    if run == "run":
        with pytest.raises(ValueError, match=f"pool '{named}' is known"):
            admission.hold("a", pool)

    admission.validate()
    admission.release("a")
    assert admission.is_empty()


def test_pool_may_change_once_forgotten(admission: Admission) -> None:
    """A pool that no unit refers to is forgotten, its limit included."""
    enqueue(admission, "a", Pool("p", 1))
    admission.release("a")
    enqueue(admission, "b c", Pool("p", 2), run="another")

    assert ["b", "c"] == admission.admit()


def test_key_is_known_once(admission: Admission) -> None:
    """A key that waits or runs cannot be enqueued again; a released one can."""
    enqueue(admission, "a")
    with pytest.raises(ValueError, match="'a' is waiting already"):
        enqueue(admission, "a")

    admission.admit()
    with pytest.raises(ValueError, match="'a' is running already"):
        enqueue(admission, "a")

    admission.release("a")
    enqueue(admission, "a")
    assert ["a"] == admission.admit()


def test_release_of_an_unknown_key(admission: Admission) -> None:
    """Releasing twice, or what never was, does nothing."""
    admission.release("a")
    enqueue(admission, "a b", Pool("p", 5))
    admission.admit()
    admission.release("a")
    admission.release("a")

    assert 1 == admission.running("p")


def test_nothing_is_left(admission: Admission) -> None:
    """Runs and pools vanish with their last unit, and not before."""
    pool = Pool("inner", 1, Pool("outer", 5))
    enqueue(admission, "a b", pool)
    admission.admit()
    admission.release("a")
    assert not admission.is_empty()

    admission.release("b")
    assert admission.is_empty()


# Cost


class Counted(float):
    """A number that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) < float(other)

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return isinstance(other, float) and float(self) == float(other)

    __hash__ = float.__hash__


def cost(work: Callable[[], Any]) -> int:
    """Return how many lines of the module, and comparisons of priorities, *work* takes."""
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename == admission_module.__file__ else None

    before, traced = Counted.compared, sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(traced)
    return lines + Counted.compared - before


def full(n: int) -> Admission:
    """Return an Admission where *n* units wait, half in one small pool and half in many, with no slot free."""
    admission = Admission()
    outer = Pool("outer", 4)
    big = Pool("big", 2, outer)
    for i in range(n // 2):
        admission.enqueue(f"big-{i}", run="run", pool=big, priority=(Counted(-i),))
        admission.enqueue(f"small-{i}", run="run", pool=Pool(f"small-{i}", 1, outer), priority=(Counted(i % 7),))
    return admission


def steps(admission: Admission, n: int) -> list[int]:
    """Return what each of *n* steps costs, where one unit ends and the next one starts."""
    running = admission.admit()
    costs = []
    for _ in range(n):
        key = running.pop(0)
        costs.append(cost(lambda key=key, running=running: running.extend(admission.admit()) or admission.release(key)))
        running += admission.admit()
    return costs


def test_cost_does_not_follow_what_waits() -> None:
    """Ending a unit and starting the next costs hardly more with 100 000 waiting than with 100."""
    few, many = (steps(full(n), 40) for n in (100, 100_000))

    assert max(many) < 600
    assert sum(many) < 3 * sum(few)


def test_cost_of_a_blocked_release() -> None:
    """An end that frees nothing looks at none of those that wait for something else."""
    admission = full(100_000)
    enqueue(admission, "other", run="other")
    admission.admit()

    assert cost(lambda: (admission.release("other"), admission.admit())) < 100


def test_stale_entries_are_bounded(admission: Admission) -> None:
    """A pool that fills and frees for ever behind a better unit leaves no trail in the queue above it."""
    outer = Pool("outer", 1)
    inner = Pool("inner", 1, outer)
    enqueue(admission, "x", outer)
    admission.admit()
    enqueue(admission, "better", outer, priority=0)
    enqueue(admission, "worse", inner, priority=1)
    for i in range(500):
        enqueue(admission, f"y-{i}", run="run", priority=2)
        admission.admit()
        admission.hold(f"y-{i}", inner)
        admission.release(f"y-{i}")
        admission.validate()


# Resources

GPU, TPU = (("GPU", 1.0),), (("GPU", 1.0), ("TPU", 1.0))


def test_what_waits_for_a_resource_takes_no_place(admission: Admission) -> None:
    """Of those that ask for a resource so many start as there is room for; the places of the others are for whoever asks for nothing."""
    admission.capacity, admission.room = 4, lambda _: 2
    for i in range(10):
        admission.enqueue(f"gpu-{i}", run="run", pool=None, priority=(0,), asked=GPU)
    enqueue(admission, "a b c", priority=1)
    assert admission.admit() == ["gpu-0", "gpu-1", "a", "b"]
    admission.release("a")
    assert admission.admit() == ["c"]
    admission.release("gpu-1")
    assert admission.admit() == ["gpu-2"]


def test_what_there_is_no_room_for_starts_alone(admission: Admission) -> None:
    """One is let in although no worker could take it, so that whoever looks finds it, and it is in nobody's way."""
    admission.room = lambda asked: int(asked == GPU)
    for i in range(3):
        admission.enqueue(f"tpu-{i}", run="run", pool=None, priority=(0,), asked=TPU)
    admission.enqueue("gpu", run="run", pool=None, priority=(1,), asked=GPU)
    assert admission.admit() == ["tpu-0", "gpu"]


def test_runs_have_a_resource_in_turn(admission: Admission) -> None:
    """A run that has asked for a resource a thousand times leaves every other turn to one that has asked a few times."""
    admission.room = lambda _: 1
    for run, n in (("many", 1000), ("few", 3)):
        for i in range(n):
            admission.enqueue(f"{run}-{i}", run=run, pool=Pool(f"{run}-{i % 7}", 1), priority=(0,), asked=GPU)
    started = []
    for _ in range(8):
        (key,) = admission.admit()
        started.append(key.partition("-")[0])
        admission.release(key)
    assert started[:6] == ["many", "few"] * 3


def test_cost_does_not_follow_what_waits_for_a_resource() -> None:
    """Ending a unit and starting the next costs no more where 20 000 pools have units that wait for the same than where 20 have."""

    def waiting(n: int) -> Admission:
        admission = Admission()
        admission.room = lambda _: 1
        for i in range(n):
            admission.enqueue(f"gpu-{i}", run=f"r{i % 5}", pool=Pool(f"p{i}", 1), priority=(0,), asked=GPU)
        return admission

    few, many = (steps(waiting(n), 15) for n in (20, 20_000))
    assert max(many) < 1000
    assert sum(many) < 2 * sum(few)


# All of it, against a model that looks at everything each time


class Model(RuleBasedStateMachine):
    """Compare with lists and loops."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission()
        self.capacity: int | None = None
        self.waiting: dict[str, tuple[str, tuple[str, ...], float]] = {}  # key: run, pools, priority
        self.held: dict[str, tuple[str, set[str]]] = {}  # running key: run, pools
        self.turns: list[str] = []  # the runs, the next one first
        self.n_keys = 0
        self.full: set[str] = set()
        self.resized = False
        self.asked: dict[str, Any] = {}  # of keys
        self.room = {GPU: 2, TPU: 1}
        self.admission.room = self.room.__getitem__

    @initialize(tree=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=8))
    def make_pools(self, tree: list[tuple[int, int]]) -> None:
        self.pools: list[tuple[str, Pool]] = []  # with the run of each
        for i, (parent, limit) in enumerate(tree):
            if parent < i:
                run, above = self.pools[parent]
                self.pools.append((run, Pool(f"p{i}", limit, above)))
            else:
                self.pools.append((f"r{parent % 3}", Pool(f"p{i}", limit)))
        self.limits = {pool.id: pool.limit for _, pool in self.pools}

    def pool(self, index: int) -> tuple[str, Pool]:
        run, pool = self.pools[index % len(self.pools)]
        return run, pickle.loads(pickle.dumps(pool))

    def used(self, pool_id: str) -> int:
        return sum(pool_id in pools for _, pools in self.held.values())

    def admissible(self) -> dict[str, list[str]]:
        """Return the keys that could start now, best first, by run."""
        runs: dict[str, list[str]] = {}
        if self.capacity is not None and len(self.held) >= self.capacity:
            return runs
        room = {pool_id for pool_id, limit in self.limits.items() if self.used(pool_id) < limit}
        having = Counter(self.asked[key] for key in self.held)
        for key, (run, pools, _) in sorted(self.waiting.items(), key=lambda item: item[1][2]):
            asked = self.asked[key]
            if room.issuperset(pools) and (not asked or having[asked] < max(1, self.room[asked])):
                runs.setdefault(run, []).append(key)
        return runs

    def forget_runs(self) -> None:
        alive = {run for run, *_ in (*self.waiting.values(), *self.held.values())}
        self.turns = [run for run in self.turns if run in alive]

    @rule(
        index=st.integers(0, 9), priority=st.integers(0, 2), pooled=st.integers(0, 4), n=st.integers(1, 4),
        asked=st.sampled_from([(), (), GPU, TPU]),
    )  # fmt: skip
    def enqueue(self, index: int, priority: int, pooled: int, n: int, asked: Any) -> None:
        run, pool = self.pool(index)
        for _ in range(n):
            key, self.n_keys = f"k{self.n_keys}", self.n_keys + 1
            self.admission.enqueue(key, run=run, pool=pool if pooled else None, priority=(priority,), asked=asked)
            self.asked[key] = asked
            self.waiting[key] = run, tuple(link.id for link in pool.chain()) if pooled else (), priority
        if run not in self.turns:
            self.turns.append(run)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.held)))
        run, held = self.held[key]
        pools = [pool for its_run, pool in self.pools if its_run == run]
        if pools:
            pool = data.draw(st.sampled_from(pools))
            self.admission.hold(key, pool)
            held.update(link.id for link in pool.chain())

    @precondition(lambda self: self.waiting or self.held)
    @rule(data=st.data(), n=st.integers(1, 3))
    def release(self, data: st.DataObject, n: int) -> None:
        for _ in range(n):
            key = data.draw(st.sampled_from([*self.held, *self.waiting, "unknown"]))
            self.admission.release(key)
            self.waiting.pop(key, None)
            self.held.pop(key, None)
            self.forget_runs()

    @rule(capacity=st.none() | st.integers(0, 6))
    def set_capacity(self, capacity: int | None) -> None:
        self.admission.capacity = self.capacity = capacity
        self.resized = True

    @rule(asked=st.sampled_from([GPU, TPU]), room=st.integers(0, 3))
    def change_room(self, asked: Any, room: int) -> None:
        self.room[asked] = room

    @rule(index=st.integers(0, 9))
    def conflict(self, index: int) -> None:
        """Whatever is wrong with a known pool, it is refused, and nothing has changed."""
        run, pool = self.pool(index)
        known = {pool_id for _, pools, _ in self.waiting.values() for pool_id in pools}.union(*(pools for _, pools in self.held.values()))
        if pool.id not in known:
            return
        for wrong, its_run in [
            (Pool(pool.id, pool.limit + 1, pool.parent), run),
            (Pool(pool.id, pool.limit, Pool("new", 1, pool.parent)), run),
            (pool, "another"),
        ]:
            with pytest.raises(ValueError, match="is known with another"):
                self.admission.enqueue("refused", run=its_run, pool=wrong, priority=(0,))

    @rule()
    def admit(self) -> None:
        started = self.admission.admit()

        turns: list[str] = []
        blocked: set[str] = set()
        # Those that ask for resources come in turn with each other: that is looked at where bundles are few.
        plain = not any(self.asked[key] for key in self.waiting)
        for key in started:
            runs = self.admissible()
            assert runs, "more than the limits and the capacity allow"
            run = next(run for run in self.turns if run in runs) if plain else self.waiting[key][0]
            like = [one for one in runs[run] if plain or (self.waiting[one][1], self.asked[one]) == (self.waiting[key][1], self.asked[key])]
            assert key == like[0]
            _, pools, _ = self.waiting.pop(key)
            self.held[key] = run, set(pools)
            self.turns.remove(run)
            self.turns.append(run)
            turns.append(run)
            blocked |= set(self.turns) - self.admissible().keys()
            counts = [turns.count(run) for run in self.turns if run not in blocked]
            assert not plain or not counts or max(counts) - min(counts) <= 1
        assert not self.admissible(), "work conserving"

    @invariant()
    def agree(self) -> None:
        self.admission.validate()
        assert (len(self.waiting), len(self.held)) == (self.admission.n_waiting, self.admission.n_running)
        assert self.admission.is_empty() == (not self.waiting and not self.held)
        for pool_id, full in self.admission.take_changed().items():
            (self.full.add if full else self.full.discard)(pool_id)
        really = {pool_id for pool_id, limit in getattr(self, "limits", {}).items() if self.used(pool_id) >= limit}
        assert self.full <= really, "told to be full, and it is not"
        if self.capacity is None and not self.resized:
            assert self.full == {pool_id for pool_id in really if self.limits[pool_id] > 1}
        for _, pool in getattr(self, "pools", ()):
            assert self.used(pool.id) == self.admission.running(pool.id)
            free = min(self.limits[link.id] - self.used(link.id) for link in pool.chain())
            assert max(0, free) == self.admission.free(pool)

    def teardown(self) -> None:
        for key in (*self.waiting, *self.held):
            self.admission.release(key)
            self.admission.validate()
        assert self.admission.is_empty()


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
