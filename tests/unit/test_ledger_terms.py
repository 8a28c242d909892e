"""The ledger's gates, pauses, leases and limited plans, against a model of Dask."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.admission import Pool
from daskflow.ledger import Ledger
from daskflow.records import Create, Ended, Lift, Spec, Status, Wake
from daskflow.terms import Gate, PlanLimit, Terms
from tests.unit.terms_model import TermsCluster
from tests.unit.test_ledger import expressions, keys, ledger, randoms, spec

#: What may happen next, and how often, beside what lets runs go on.
_EVENTS = ("go",) * 12 + ("kill",) * 3 + ("fail", "cancel_at", "late") * 2 + ("step", "answer", "ring", "cancel")


@given(
    st.lists(expressions, min_size=1, max_size=5),
    randoms,
    st.integers(1, 5),
    st.lists(st.sampled_from(_EVENTS), max_size=100),
)
@settings(max_examples=300, deadline=None)
def test_every_run_ends_whatever_it_waits_for(trees: list[object], random: Random, capacity: int, events: list[str]) -> None:
    """Whatever is answered, passes, dies, fails, is cancelled or said too late, and when: each run ends, limits hold, nothing is left."""
    cluster = TermsCluster(random, capacity=capacity)
    for index, tree in enumerate(trees):
        cluster.ledger.submit(f"run{index}", cluster.root(tree, Pool(f"pool{index}", random.randint(1, 3))), "client")
        cluster.flush()
    for event in events:
        getattr(cluster, event)()
    # From now on nothing goes wrong, and everybody answers.
    for _ in range(5000):
        if not cluster.go():
            break
    _assert_nothing_left(cluster, len(trees))


def _assert_nothing_left(cluster: TermsCluster, runs: int) -> None:
    ledger = cluster.ledger
    assert {run.id for run in ledger.living()} == set()
    assert not any(run.gates for run in ledger.runs.values())
    for index in range(runs):
        ledger.retire(f"run{index}")
        cluster.flush()
    assert sorted(cluster.ended) == sorted(f"run{index}" for index in range(runs))
    assert not cluster.tasks
    assert not ledger.units
    assert not ledger.runs
    assert not ledger.leases._waiting
    assert not ledger.leases
    assert ledger.admission.is_empty()


# Examples


def limited(behavior: str, limit: int = 1) -> Terms:
    """Return the terms of a unit that begins a run of a limited plan."""
    return Terms(plan=PlanLimit("plan", limit, behavior))


def begun(*specs: Spec) -> Ledger:
    """Return a ledger with a run whose first unit has handed over others, and tails to the last of them."""
    book = ledger(spec("root"))
    book.take()
    book.tail("root", specs, specs[-1].key)
    return book


def asks(key: str, timeout: float | None = 1.0) -> Spec:
    """Return a unit that waits at a gate."""
    return spec(key)._replace(terms=Terms(gate=Gate(key, f"at/{key}", "input", "int", b"", timeout)))


@pytest.mark.parametrize("behavior", ["QUEUE", "FAIL", "SKIP", "REPLACE"])
def test_what_is_made_again_begins_no_run(behavior: str) -> None:
    """The result of a plan's run that is lost is made again whoever has the plan now: that one may be waiting for it."""
    book = begun(spec("a")._replace(terms=limited(behavior)), spec("b", "a")._replace(terms=limited(behavior)))
    book.take()
    book.done("a")
    assert keys(book.take(), Create) == ["b"]
    book.unready("b", died=True)
    book.unready("a", died=False)
    book.ready("a")
    assert keys(book.take(), Lift) == ["a"]
    assert book.runs["root"].status is Status.RUNNING


@pytest.mark.parametrize("behavior", ["FAIL", "SKIP", "REPLACE"])
def test_a_plan_that_ends_the_run_it_is_begun_in_leaves_nothing(behavior: str) -> None:
    """When one run too many of a plan ends the run that both are of, nothing of it is left, and nothing is a fault."""
    for tails in (False, True):
        book = ledger(spec("root"))
        book.take()
        first, second = (spec(key)._replace(terms=limited(behavior)) for key in "ab")
        if tails:
            assert not book.tail("root", [first, second, spec("c", "a", "b")], "c")
        else:
            assert not book.spill("root", [first, second, spec("c")], [Pool("pool", 1)])
        assert Ended("root") in book.take()
        assert book.runs["root"].status.ended
        assert (book.units, len(book.leases), book.admission.is_empty(), book.take()) == ({}, 0, True, [])


def test_a_plan_that_is_refused_later_ends_the_run_once() -> None:
    """A unit whose result lets one run too many begin has ended all the same: whatever else waited for it is not started."""
    for behavior in ("FAIL", "REPLACE"):
        held = spec("a")._replace(terms=limited(behavior))
        book = begun(
            spec("first"), held, spec("b", "first")._replace(terms=limited(behavior)), spec("c", "first"), spec("d", "a", "b", "c")
        )
        assert keys(book.take(), Create) == ["first", "a"]
        book.done("first")
        assert Ended("root") in book.take()
        assert (book.units, len(book.leases), book.admission.is_empty(), book.take()) == ({}, 0, True, [])


def test_an_answer_is_taken_once() -> None:
    """The first answer counts; the alarm of an answered gate means nothing; what was answered is known while the run lasts."""
    book = begun(asks("a"), spec("b", "a"))
    assert [one for one in book.take() if isinstance(one, Wake)] == [Wake("a", "root", 1.0)]
    assert book.answer("root", "at/a", b"1")
    assert not book.answer("root", "at/a", b"2")
    book.woken("a")
    (create,) = [one for one in book.take() if isinstance(one, Create)]
    assert (create.key, create.answer) == ("a", b"1")
    assert book.runs["root"].answered == {"at/a": "a"}


def test_a_gate_that_nobody_needs_is_waited_for_no_more() -> None:
    """When whoever started it goes on without it, a gate is gone, and cannot be answered."""
    book = ledger(spec("root"))
    book.take()
    book.spill("root", [asks("a")])
    assert list(book.runs["root"].gates) == ["at/a"]
    book.done("root")
    assert (book.runs["root"].gates, book.answer("root", "at/a", b"1")) == ({}, False)
    assert keys(book.take(), Create) == []


def test_a_gate_that_is_too_late_fails_what_it_is_part_of() -> None:
    """The failure of a gate names its address and its timeout, and is that of the domain that may fail alone."""
    book = begun(asks("a")._replace(domain=("part",)), spec("b", "a"))
    book.take()
    book.woken("a")
    (create,) = [one for one in book.take() if isinstance(one, Create)]
    assert create.failures == (("a", {"gate": "at/a", "timeout": 1.0}),)
    assert book.runs["root"].gates == {}
