"""The ledger, against a model of Dask."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.admission import Pool
from daskflow.ledger import Ledger
from daskflow.records import Crash, Create, Ended, Free, LedgerError, Lift, Spec, State, Status, plain_failure
from tests.unit.dask_model import Cluster, total

expressions = st.recursive(st.integers(0, 99), lambda inner: st.lists(inner, max_size=5).map(tuple), max_leaves=40)

#: Drawing each choice by itself takes more than hypothesis has for one example.
randoms = st.builds(Random, st.integers(0, 2**32))


def spec(key: str, *deps: str, pool: Pool | None = None) -> Spec:
    """Return a unit that depends on others."""
    return Spec(key, key.encode(), deps, pool, 0)


def ledger(*specs: Spec, capacity: int | None = None) -> Ledger:
    """Return a ledger with one run for each unit, of the unit's key."""
    ledger = Ledger()
    ledger.admission.capacity = capacity
    for one in specs:
        ledger.submit(one.key, one, "client")
    return ledger


def keys(instructions: list[object], kind: type) -> list[str]:
    """Return the keys of the instructions of one kind."""
    return [one.key for one in instructions if isinstance(one, kind)]  # type: ignore[attr-defined]


# Any tree of units


@given(st.lists(expressions, min_size=1, max_size=3), randoms, st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_every_run_ends_with_its_result(trees: list[object], random: Random, capacity: int) -> None:
    """However units spill and tail, each run succeeds with what its expression is worth, and nothing is left of it."""
    cluster = Cluster(random, capacity=capacity)
    for index, tree in enumerate(trees):
        cluster.ledger.submit(f"run{index}", cluster.spec((tree,), pool=Pool(f"pool{index}", random.randint(1, 3))), "client")
    _run_to_the_end(cluster, trees)


@given(expressions, randoms, st.integers(1, 5), st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_killed_workers_change_nothing(tree: object, random: Random, capacity: int, kills: int) -> None:
    """Workers that die at any moment change no result, and leave nothing behind."""
    cluster = Cluster(random, capacity=capacity)
    cluster.ledger.submit("run0", cluster.spec((tree,)), "client")
    for _ in range(kills):
        for _ in range(random.randrange(6)):
            cluster.step()
        cluster.kill()
    _run_to_the_end(cluster, [tree])


def _run_to_the_end(cluster: Cluster, trees: list[object]) -> None:
    for _ in range(5000):
        if not cluster.step():
            break
    for index, tree in enumerate(trees):
        run = cluster.ledger.runs[f"run{index}"]
        assert run.status is Status.SUCCEEDED
        assert cluster.tasks[run.result].value == total(tree)
        cluster.ledger.retire(run.id)
        cluster.flush()
    assert not cluster.tasks
    assert not cluster.ledger.units
    assert cluster.ledger.admission.is_empty()
    assert sorted(cluster.ended) == sorted(f"run{index}" for index in range(len(trees)))


@given(expressions, randoms, st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_a_cancelled_run_leaves_nothing(tree: object, random: Random, steps: int) -> None:
    """A run that is cancelled at any moment ends at once, with no task, unit or slot of it left."""
    cluster = Cluster(random)
    cluster.ledger.submit("run", cluster.spec((tree,)), "client")
    for _ in range(steps):
        cluster.step()
    cluster.ledger.cancel("run")
    cluster.flush()
    cluster.ledger.retire("run")
    cluster.flush()

    assert not cluster.tasks
    assert not cluster.ledger.units
    assert cluster.ledger.admission.is_empty()


# Examples


def test_a_unit_waits_for_its_dependencies() -> None:
    """Dask is told of a unit only once the units that it depends on have their results."""
    book = ledger(spec("root"))
    book.take()
    book.tail("root", [spec("a"), spec("b", "a")], "b")
    assert keys(book.take(), Create) == ["a"]
    book.done("a")
    assert keys(book.take(), Create) == ["b"]


def test_a_tailed_unit_is_read_under_its_own_name() -> None:
    """A unit that depends on one that tailed is given the task that has the result, with the name that it knows."""
    book = ledger(spec("root"))
    book.take()
    book.tail("root", [spec("a"), spec("b", "a")], "b")
    book.take()
    book.tail("a", [spec("c")], "c")
    book.take()
    book.done("c")
    (create,) = [one for one in book.take() if isinstance(one, Create)]
    assert create.deps == (("a", "c"),)


def test_the_run_ends_with_the_last_tail() -> None:
    """A run's result is that of the unit at the end of the tails of its root."""
    book = ledger(spec("root"))
    book.take()
    book.tail("root", [spec("a")], "a")
    book.take()
    book.done("a")
    assert Ended("root") in book.take()
    assert book.runs["root"].result == "a"


def test_what_was_read_is_freed() -> None:
    """A result is freed as soon as the last unit that reads it has its own."""
    book = ledger(spec("root"))
    book.take()
    book.tail("root", [spec("a"), spec("b", "a")], "b")
    book.take()
    book.done("a")
    assert "a" not in keys(book.take(), Free)
    book.done("b")
    assert "a" in keys(book.take(), Free)


def test_spilled_units_live_as_long_as_who_spilled_them() -> None:
    """The result of a spilled unit is kept until the unit that spilled it has said who reads it."""
    book = ledger(spec("root"))
    book.take()
    book.spill("root", [spec("a")])
    book.take()
    book.done("a")
    assert keys(book.take(), Free) == []
    assert book.units["a"].state is State.DONE


def test_a_known_unit_is_not_added_again() -> None:
    """A unit that is run again, and spills what it had spilled before, finds it there."""
    book = ledger(spec("root"))
    book.take()
    book.spill("root", [spec("a")])
    assert keys(book.take(), Create) == ["a"]
    assert book.unready("root", died=True)
    book.ready("root")
    assert keys(book.take(), Lift) == ["root"]
    book.spill("root", [spec("a")])
    assert keys(book.take(), Create) == []
    assert book.units["a"].refs == 1


def test_a_failure_ends_the_whole_run() -> None:
    """The first failure fails the run; what runs is freed, what waits is forgotten, and late words change nothing."""
    book = ledger(spec("root"))
    book.take()
    book.spill("root", [spec("a"), spec("b")])
    book.take()
    book.fail("a", "no luck")
    instructions = book.take()
    assert set(keys(instructions, Free)) == {"root", "a", "b"}
    assert Ended("root") in instructions
    book.fail("b", "late")
    book.tail("root", [], "a")
    book.done("b")
    assert book.runs["root"].failure == "no luck"
    assert book.runs["root"].status is Status.FAILED
    assert book.take() == []


def test_a_unit_whose_workers_keep_dying_fails_its_run() -> None:
    """After more deaths than the budget, the run fails and says how many workers died under which unit."""
    book = Ledger(most_deaths=2)
    book.submit("run", spec("root"), "client")
    for _ in range(2):
        book.take()
        assert book.unready("root", died=True)
        book.ready("root")
    book.take()
    assert not book.unready("root", died=True)
    assert book.runs["run"].failure == Crash("root", 3)


def test_a_result_that_cannot_be_made_again_fails_the_run() -> None:
    """Where workers keep dying of a unit that has had its result, that is no failure of what may fail alone: others have read it."""
    book = Ledger(most_deaths=1)
    book.submit("run", spec("root"), "client")
    book.take()
    book.tail("root", [spec("a")._replace(domain=("part:4",)), spec("b", "a")], "b")
    book.take()
    book.done("a")
    book.take()
    assert book.unready("a", died=False)
    for _ in range(2):
        book.ready("a")
        book.take()
        book.unready("a", died=True)
    assert book.runs["run"].failure == Crash("a", 2)


def test_what_dask_forgets_fails_the_run_with_words_that_travel() -> None:
    """A task that is needed and is gone from Dask fails its run, and why can be told to a driver."""
    book = ledger(spec("root"))
    book.take()
    book.forgotten("root")
    assert "Dask has forgotten the task root" in plain_failure(book.runs["root"].failure)["fault"]


def test_the_node_is_named_that_was_executing_when_the_last_worker_died() -> None:
    """What the unit told that it was at when its last worker died is where the run failed; what it told before another death is not."""
    for places, named in ((["a/b", ""], "a"), (["", "a/b"], "a/b")):
        book = Ledger(most_deaths=1)
        book.submit("run", spec("root")._replace(address="a"), "client")
        for place in places:
            book.take()
            book.units["root"].place = place
            book.unready("root", died=True)
            book.ready("root")
        assert book.runs["run"].failure == Crash("root", 2, named)
        assert plain_failure(book.runs["run"].failure)["address"] == named


def test_the_limit_holds_also_when_units_are_run_again() -> None:
    """Units whose results were lost wait for a slot of their pool like any other."""
    pool = Pool("pool", 1)
    book = ledger(spec("root"))
    book.take()
    book.tail("root", [spec("a", pool=pool), spec("b", pool=pool), spec("c", "a", "b")], "c")
    (first,) = keys(book.take(), Create)
    book.done(first)
    (second,) = keys(book.take(), Create)
    book.unready(first, died=False)
    book.ready(first)
    assert book.take() == []
    book.done(second)
    assert Lift(first) in book.take()


def test_unknown_dependencies_are_refused() -> None:
    """A unit that names a dependency that nobody knows is a fault."""
    book = ledger(spec("root"))
    book.take()
    with pytest.raises(LedgerError, match="unit nowhere is not known"):
        book.spill("root", [spec("a", "nowhere")])


def test_a_run_is_submitted_once() -> None:
    """A second run of the same id is refused."""
    book = ledger(spec("root"))
    with pytest.raises(LedgerError, match="exists already"):
        book.submit("root", spec("other"), "client")


def test_nothing_starts_without_workers() -> None:
    """Without any thread in the cluster units wait, and start when there is one."""
    book = ledger(spec("root"), capacity=0)
    assert book.take() == []
    book.admission.capacity = 1
    assert keys(book.take(), Create) == ["root"]
