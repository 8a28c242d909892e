"""The state of a run: each node's phase, whoever executed it, however it was cut up, and in whatever pieces it was told."""

from __future__ import annotations

import pickle
import time
import tracemalloc
from array import array
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daskflow as fl
from daskflow import careful, nodelog
from daskflow.children import Family
from daskflow.errors import InputError
from daskflow.execute import Execution
from daskflow.journal import Journal
from daskflow.nodeviews import PHASES, Phase
from daskflow.outcome import where_of
from daskflow.probe import Probe, Recording
from daskflow.records import Status
from daskflow.reports import Done, Open, Told, read, write
from daskflow.runstate import RunState
from daskflow.scope import Scope, above_all, join
from daskflow.stacks import root_frame, stack
from tests.unit.test_spilling import expressions, failing, nested, seeds
from tests.unit.unit_model import Broken, Model, attempt, expand, total_some

#: Reports with all there is, with what is usual, with as little as there may be, and now this and now that.
shorts = st.sampled_from([0.0, 0.01, 1e9, None])


def has_eager(expression: Any) -> bool:
    """Tell whether a program's calls may have other numbers each time."""
    return isinstance(expression, tuple) and (expression[0] == "eagerly" or any(map(has_eager, expression)))


def folded(reports: list[bytes], status: str = "SUCCEEDED", failed: str | None = None) -> RunState:
    """Return the state of a run of which reports tell."""
    return RunState("run", "a run", "tests.expand", "dynamic", status, 1.0, None if status == "RUNNING" else 4e9, failed, reports)


def nodes(state: RunState) -> dict[str, Phase]:
    """Return the phase of each node that there is."""
    found = {}
    for body in state._fold.bodies.values():
        phases = state.phases(body)
        found.update({join(body.address, body.label(index)): PHASES[phases[index]] for index in body.nodes()})
    return found


def said(state: RunState, path: str) -> str:
    """Return what is said of a node: its phase, or that it is inside something short."""
    try:
        return state.node(path).phase.value
    except KeyError as error:
        return "inside" if "is inside" in str(error) else str(error)


def recorded(expression: Any) -> dict[str, str]:
    """Execute a program in process; return what the probe noted last of each node, but for the run itself."""
    execution = Execution(root_frame(expand, {"expression": expression}, Scope.of_run("run", 0)))
    execution.mocks = probe = Probe((), Recording())
    attempt(execution.run)
    return {event.path: event.what for event in probe.events if event.path}


def pieces(report: bytes) -> Iterator[bytes]:
    """Cut a report into one for each thing that it tells."""
    parts = pickle.loads(report)
    always = {name: parts.pop(name) for name in ("epoch", "worker") if name in parts}
    for name in ("done", "told", "ended", "open", "closed", "attempts", "errors", "fell", "cached"):
        for one in parts.get(name, ()):
            yield pickle.dumps({**always, name: [one]})


# ---------------------------------------------------------------- random programs


@given(expressions.filter(lambda one: not has_eager(one)), seeds, st.booleans(), st.sampled_from([0.0, 0.15]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=200, deadline=None)
def test_every_node_that_was_executed_is_known(expression: Any, seed: int, deep: bool, deaths: float, stops: float) -> None:
    """However a run is cut up, and whatever dies: the nodes told of are those that are executed in process, and all have succeeded."""
    program = nested(expression) if deep else expression
    model = Model(Random(seed), deaths=deaths, stops=stops, short=0.0)
    model.run(expand, {"expression": program})
    known = nodes(folded(model.reports))
    assert set(known) == {path for path, what in recorded(program).items() if what == "ended"}
    assert set(known.values()) <= {Phase.SUCCEEDED}
    running = folded(model.reports, "RUNNING")
    assert all(not body.begun and 0 not in body.states for body in running._fold.bodies.values())
    assert all(running.node(path).seconds is not None for path in known)


@given(expressions, seeds, st.booleans(), shorts, st.sampled_from([0.0, 0.15]), st.booleans())
@settings(max_examples=250, deadline=None)
def test_totals_count_what_is_only_counted(expression: Any, seed: int, deep: bool, short: Any, deaths: float, eager: bool) -> None:
    """The totals are the same however much detail is told; and each node is either known, or inside something known that succeeded."""
    program = nested(expression) if deep else expression
    model = Model(Random(seed), deaths=deaths, eager=eager, short=short)
    model.run(expand, {"expression": program})
    state, expected = folded(model.reports), recorded(program)
    assert state.totals() == ({Phase.SUCCEEDED: len(expected)} if expected else {})
    assert {said(state, path) for path in expected if not has_eager(program)} <= {"SUCCEEDED", "inside"}


@given(expressions, seeds, shorts, st.sampled_from([0.0, 0.15]))
@settings(max_examples=150, deadline=None)
def test_reports_may_be_cut_and_joined(expression: Any, seed: int, short: Any, deaths: float) -> None:
    """The state is the same whether it is told in many pieces, at once, or half when the state is made and half later."""
    model = Model(Random(seed), deaths=deaths, short=short)
    model.run(expand, {"expression": expression})
    whole, cut, later = folded(model.reports), folded([], "RUNNING"), folded(model.reports[: len(model.reports) // 2], "RUNNING")
    for report in model.reports:
        for piece in pieces(report):
            cut.tell(piece)
    for report in model.reports[len(model.reports) // 2 :]:
        later.tell(report)
    for one in (cut, later):
        one.end("SUCCEEDED", 4e9)
        assert one.totals() == whole.totals()
        assert {address: one.node(address) for address in nodes(one)} == {address: whole.node(address) for address in nodes(whole)}


@given(expressions, seeds, shorts, st.sampled_from([0.0, 0.15]))
@settings(max_examples=150, deadline=None)
def test_while_it_runs_nothing_that_has_ended_begins_again(expression: Any, seed: int, short: Any, deaths: float) -> None:
    """What is told once as done stays done; each address can be asked for at any time; and events tell all that changes, once."""
    model = Model(Random(seed), deaths=deaths, short=short)
    model.run(expand, {"expression": expression})
    state = folded([], "RUNNING")
    done: set[str] = set()
    events: list[Any] = []
    for report in model.reports:
        events += state.tell(report)
        known = nodes(state)
        now = {address for address, phase in known.items() if phase is Phase.SUCCEEDED}
        assert done <= now
        assert all(state.node(address).phase is phase for address, phase in known.items())
        done = now
    ended = Counter(event.address for event in events if event.phase is Phase.SUCCEEDED)
    # Where its worker died, the calls of an eager may have other numbers, and two of them the same.
    assert set(ended.values()) <= {1} or has_eager(expression)
    # What was running when its unit died, and was executed again inside something short, ends with that.
    assert set(ended) <= done
    assert {address for address in done - set(ended) if not any(above in ended for above in above_all(address))} == set()


@given(expressions, seeds, shorts, st.sampled_from([0.0, 0.15]), st.sampled_from(["RUNNING", "SUCCEEDED", "ABORTED"]))
@settings(max_examples=150, deadline=None)
def test_child_runs_are_those_of_the_family(expression: Any, seed: int, short: Any, deaths: float, status: str) -> None:
    """Each child run has the id, parent's address and status that the records of child runs have, at any time."""
    model = Model(Random(seed), deaths=deaths, short=short)
    model.run(expand, {"expression": expression})
    reports = model.reports[: seed % (len(model.reports) + 1)] if status != "SUCCEEDED" else model.reports
    _agree(folded(reports, status), Family(reports, Status(status), 4e9))


def _agree(state: RunState, family: Family) -> None:
    records = [family.record(calls, place) for calls in family.calls.values() for place in calls.rows]
    for record in records:
        view = state.node(record.address)
        assert (view.child_run, view.phase.value, view.kind) == (record.id, record.status, "launch plan")
    runs = {view.child_run for view in map(state.node, nodes(state)) if view.child_run}
    assert runs == {record.id for record in records}


@given(failing.filter(lambda one: not has_eager(one)), seeds, st.booleans(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.15]))
@settings(max_examples=200, deadline=None)
def test_what_failed_says_so(expression: Any, seed: int, deep: bool, spills: float, deaths: float) -> None:
    """What failed while the run went on has failed wherever it is executed; what succeeded beside it has succeeded."""
    program = nested(expression) if deep else expression
    model = Model(Random(seed), spills=spills, deaths=deaths, short=0.0)
    if attempt(lambda: model.run(expand, {"expression": program})) is Broken:
        return
    state, expected = folded(model.reports), recorded(program)
    known = nodes(state)
    for path, what in expected.items():
        above = [one for one in above_all(path) if one != path]
        if all(expected.get(one) == "ended" or one not in expected for one in above):
            assert known[path] is (Phase.SUCCEEDED if what == "ended" else Phase.FAILED), path
    assert all(state.node(path).phase is phase for path, phase in known.items())
    _agree_on_failures(state, Family(model.reports, Status.SUCCEEDED, 4e9))


def _agree_on_failures(state: RunState, family: Family) -> None:
    for calls in family.calls.values():
        for record in (family.record(calls, place) for place in calls.rows):
            view = state.node(record.address)
            assert (view.child_run, view.phase.value) == (record.id, record.status)


@given(failing.map(lambda one: ("total", *one[1:], ("fragile", 1))), seeds, st.sampled_from([0.0, 0.4]), shorts)
@settings(max_examples=200, deadline=None)
def test_nothing_is_running_in_a_run_that_failed(expression: Any, seed: int, spills: float, short: Any) -> None:
    """Where a run failed, so did the node that it failed at and all above that; nothing is running; child runs say what records say."""
    model = Model(Random(seed), spills=spills, short=short)
    with pytest.raises(Broken) as caught:
        model.run(expand, {"expression": expression})
    where = where_of(caught.value)
    assert where is not None
    notes = {"node": where.address, **({"child run": where.child} if where.child else {})}
    state = folded(model.reports, "FAILED", notes["node"])
    known = nodes(state)
    assert notes["node"] in known
    assert {known[above] for above in above_all(notes["node"]) if above in known} | {state.node("").phase} == {Phase.FAILED}
    assert state.node("").error.startswith("Broken: ")
    assert Phase.RUNNING not in state.totals()
    assert folded(model.reports, "RUNNING").totals().get(Phase.SUCCEEDED) == state.totals().get(Phase.SUCCEEDED)
    _agree_on_failures(state, Family(model.reports, Status.FAILED, 4e9, notes.get("child run", "run")))


@given(expressions, seeds, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_address_in_a_tree_is_there(expression: Any, seed: int, depth: int) -> None:
    """A tree has a line for the run and no line that is too long; those of pages are all nodes, once each."""
    model = Model(Random(seed), short=0.0)
    model.run(expand, {"expression": expression})
    state = folded(model.reports)
    assert state.tree().startswith("✓ a run")
    assert state.tree(depth=0).count("\n") == 0
    assert len(state.tree(depth=depth).splitlines()) <= len(state.tree().splitlines())
    for body in state._fold.bodies.values():
        page = [view.address for offset in range(0, 20, 3) for view in state.children(body.address, offset=offset, limit=3).items]
        assert page == [join(body.address, body.label(index)) for index in body.nodes()][: len(page)]
        assert state.children(body.address, order="slow").total == len(body.nodes())


def scattered(reports: list[bytes], random: Random, drops: bool) -> list[bytes]:
    """Return reports in any order, some of them twice, and some not at all if that may be."""
    found = [one for one in reports for _ in range(random.choice([0, 1, 2] if drops else [1, 2]))]
    random.shuffle(found)
    return found


def _add_up(state: RunState, look: bool) -> None:
    """Check that each node of a body is in one phase, and counted once; and that whoever asks for it is told that."""
    for body in state._fold.bodies.values():
        phases = state.phases(body)
        assert sum(state.counts(body.address).values()) == state.children(body.address).total == len(body.nodes())
        assert all(PHASES[body.states[index]] is Phase.QUEUED for index in body.begun)
        views = [state.node(join(body.address, body.label(index))) for index in body.nodes()] if look else []
        assert [view.phase for view in views] == [PHASES[phases[index]] for index in body.nodes()][: len(views)]
        assert all(view.seconds is None or (view.seconds >= 0 and view.phase.ended) for view in views)
    assert all(count > 0 for count in state.totals().values())


@given(st.one_of(expressions, failing), seeds, st.booleans(), st.sampled_from([0.0, 0.3]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_counts_add_up_whatever_comes(expression: Any, seed: int, deep: bool, deaths: float, drops: bool) -> None:
    """Units executed again, and reports that come twice, late or never: a node is in one phase, and none goes on when the run has ended."""
    model, random = Model(Random(seed), deaths=deaths, short=None), Random(seed)
    attempt(lambda: model.run(expand, {"expression": nested(expression) if deep else expression}))
    reports = scattered(model.reports, random, drops)
    state = folded([], "RUNNING")
    for report in reports:
        assert all(event.phase is not Phase.QUEUED for event in state.tell(report))
        _add_up(state, not has_eager(expression))
    assert state.totals() == folded(reports, "RUNNING").totals()
    for status in ("SUCCEEDED", "FAILED", "ABORTED"):
        ended = folded(reports, status)
        _add_up(ended, not has_eager(expression))
        assert Phase.RUNNING not in {*ended.totals(), *nodes(ended).values()}
        assert "RUNNING" not in ended.tree()


@given(expressions, seeds, st.booleans(), st.sampled_from([0.0, 0.15, 0.3]))
@settings(max_examples=150, deadline=None)
def test_totals_are_the_same_in_any_order(expression: Any, seed: int, deep: bool, deaths: float) -> None:
    """However often what was executed, and in whatever order that is told: when all is told, each node is counted once."""
    program = nested(expression) if deep else expression
    model = Model(Random(seed), deaths=deaths, short=None)
    model.run(expand, {"expression": program})
    state, expected = folded(scattered(model.reports, Random(seed), drops=False)), recorded(program)
    assert state.totals() == ({Phase.SUCCEEDED: len(expected)} if expected else {})


# ---------------------------------------------------------------- examples


@fl.task
def one(a: int) -> int:
    return a + 1


@fl.task
def refuse(a: int) -> int:
    raise ValueError(f"no {a}\nreally")


@fl.task
def look(a: int) -> int:
    looks.pop(0)()
    return a


#: What is done while a task is executed.
looks: list[Any] = []


@fl.workflow
def pair(a: int) -> int:
    return one(a=one(a=a))


pair_lp = fl.LaunchPlan.get_or_create(pair, name="tests.runstate.pair")


def execute(entity: Any, short: float = 0.0, watch: Any = None, **inputs: Any) -> tuple[RunState, list[bytes], BaseException | None]:
    """Execute in one unit, whose reports are told as they come; return the state, what was told, and what was raised."""
    entity.prepare()
    state = RunState("run", "a run", entity.name, entity.kind_name, "RUNNING", time.time())
    execution = Execution(root_frame(entity, inputs, Scope.of_run("run", 0)))
    execution.journal = journal = Journal(worker="tcp://here", short=short)
    reports: list[bytes] = []

    def report() -> None:
        told = journal.report(stack(execution.frame))
        if told is not None:
            reports.append(told)
            state.tell(told)
        if watch is not None:
            watch(state)

    looks[:] = [report] * 10
    error: BaseException | None = None
    try:
        execution.run()
    except Exception as raised:
        error = raised
    watch = None
    report()
    state.end("SUCCEEDED" if error is None else "FAILED", time.time())
    return state, reports, error


@fl.dynamic
def failing_loop(n: int) -> list[int]:
    return [*(pair(a=index) for index in range(n)), refuse(a=n), pair(a=n)]


@fl.workflow
def outer(n: int) -> list[int]:
    return failing_loop(n=n)


def test_what_failed_and_all_above_it_has_failed() -> None:
    """Of a run that failed, the node that did and all above it has failed, what it had not begun is queued; errors are on one line."""
    state, reports, _ = execute(outer, n=3)
    assert state.node("").error == "ValueError: no 3\\nreally"
    assert [state.node(one).phase.value for one in ("", "failing_loop", "failing_loop/refuse")] == ["FAILED"] * 3
    assert state.node("run:failing_loop/refuse").error == "ValueError: no 3\\nreally"
    assert state.node("failing_loop/refuse").seconds is not None
    assert state.counts("failing_loop") == {Phase.QUEUED: 1, Phase.SUCCEEDED: 3, Phase.FAILED: 1}
    told = RunState("run", "a run", outer.name, "workflow", "FAILED", 1.0, 4e9, "failing_loop/refuse", reports)
    assert nodes(told) == nodes(state)
    aborted = RunState("run", "a run", outer.name, "workflow", "ABORTED", 1.0, 4e9, None, reports)
    assert aborted.node("failing_loop").phase is Phase.ABORTED
    elsewhere = RunState("run", "a run", outer.name, "workflow", "FAILED", 1.0, 4e9, "other/node", reports)
    assert elsewhere.node("failing_loop/refuse").phase is Phase.ABORTED


def test_a_tree_shows_what_is_worth_seeing() -> None:
    """A loop is one row with counts, with what failed; marks, phases, and errors are in columns."""
    state, _, _ = execute(outer, n=20)
    lines = state.tree().splitlines()
    assert lines[0].startswith("✗ a run")
    assert lines[1].lstrip("└─ ").startswith("✗ failing_loop")
    (loop,) = [line for line in lines if "pair[*] x 21" in line]
    assert "20 SUCCEEDED" in loop
    assert "1 QUEUED" in loop
    (failed,) = [line for line in lines if "✗ refuse" in line]
    assert failed.endswith("ValueError: no 20\\nreally")
    assert "… 18 more" in state.tree()
    assert len({line.index("FAILED  ") for line in lines if "✗" in line}) == 1


@fl.workflow
def looking(a: int) -> int:
    return one(a=look(a=one(a=a)))


@fl.dynamic
def looking_loop(n: int) -> list[int]:
    return [one(a=0), *(looking(a=index) for index in range(n))]


def test_what_is_executing_is_running() -> None:
    """While a task is executed, it is running, and what is around it; what comes later is queued."""
    seen: list[Any] = []

    def watch(state: RunState) -> None:
        seen.append((state.counts(""), state.counts("looking[0]"), state.node("looking[0]/look"), state.tree()))

    execute(looking_loop, watch=watch, n=2)
    counts, inner, view, tree = seen[0]
    assert counts == {Phase.QUEUED: 1, Phase.RUNNING: 1, Phase.SUCCEEDED: 1}
    assert inner == {Phase.QUEUED: 1, Phase.RUNNING: 1, Phase.SUCCEEDED: 1}
    assert (view.phase, view.worker, view.seconds, view.entity) == (Phase.RUNNING, "tcp://here", None, look.name)
    assert view.started is not None
    assert abs(view.started.timestamp() - time.time()) < 60
    assert "● look" in tree
    assert "on tcp://here" in tree
    assert "… one" in tree


def test_events_tell_what_begins_and_ends() -> None:
    """A report gives the events of what it tells that is new, and the run's end that of the run and of what was running."""
    _, reports, _ = execute(looking, a=1)
    state = RunState("run", "a run", looking.name, "workflow", "RUNNING", 1.0)
    assert [(event.address, event.phase.value) for event in state.tell(reports[0])] == [("one[0]", "SUCCEEDED"), ("look", "RUNNING")]
    assert list(state.tell(reports[0])) == []
    assert [(event.address, event.phase.value) for event in state.end("ABORTED", 2.0)] == [("", "ABORTED"), ("look", "ABORTED")]
    assert [event.address for event in state.tell(reports[1])] == ["look", "one[1]"]


@fl.workflow
def after(err: Any = None, a: int = 0) -> int:
    return one(a=1)


@fl.workflow(on_failure=after)
def guarded(a: int) -> int:
    return refuse(a=one(a=a))


def test_a_handler_is_a_node() -> None:
    """What is executed once a body has failed is a node of it, with what it calls; the node that failed has, and so has the body."""
    state, _, error = execute(guarded, a=1)
    assert isinstance(error, ValueError)
    assert {one: state.node(one).phase.value for one in ("", "one", "refuse", "on_failure", "on_failure/one")} == {
        "": "FAILED", "one": "SUCCEEDED", "refuse": "FAILED", "on_failure": "SUCCEEDED", "on_failure/one": "SUCCEEDED",
    }  # fmt: skip
    assert state.node("on_failure").entity == after.name
    assert state.node("refuse").error.startswith("ValueError: no 2")


@fl.workflow
def watched_handler(err: Any = None, a: int = 0) -> int:
    return look(a=1)


@fl.workflow(on_failure=watched_handler)
def watched(a: int) -> int:
    return pair(a=refuse(a=a))


def test_a_node_has_failed_while_its_handler_is_executed() -> None:
    """As soon as a failure is handled, the node has failed; its body has not yet."""
    seen: list[dict[str, Phase]] = []
    execute(watched, watch=lambda state: seen.append(nodes(state)), a=1)
    assert seen[0] == {"refuse": Phase.FAILED, "pair": Phase.QUEUED, "on_failure": Phase.RUNNING, "on_failure/look": Phase.RUNNING}


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def going(a: int) -> int:
    return pair(a=one(a=refuse(a=a)))


def test_what_cannot_be_executed_is_skipped() -> None:
    """What needs a node that failed is skipped, where the rest goes on."""
    state, _, _ = execute(going, a=1)
    assert nodes(state) == {"refuse": Phase.FAILED, "one": Phase.SKIPPED, "pair": Phase.SKIPPED}
    assert state.totals() == {Phase.FAILED: 1, Phase.SKIPPED: 2}


@fl.workflow
def choosing(a: int) -> int:
    return fl.conditional("choice").if_(a > 1).then(pair(a=a)).else_().then(one(a=a))  # type: ignore[no-any-return]


def test_a_branch_is_below_its_conditional() -> None:
    """What a branch calls is below the conditional's name."""
    assert set(nodes(execute(choosing, a=2)[0])) == {"choice", "choice/pair", "choice/pair/one[0]", "choice/pair/one[1]"}
    assert set(nodes(execute(choosing, a=1)[0])) == {"choice", "choice/one"}


@fl.eager
async def eagerly(a: int) -> int:
    total = a
    for _ in range(3):
        total = await pair(a=total)
    return total


def test_calls_of_an_eager_are_nodes() -> None:
    """The calls of an eager are its nodes, numbered in their order, with what they call."""
    state, _, _ = execute(eagerly, a=1)
    assert [view.address for view in state.children("").items] == ["pair[0]", "pair[1]", "pair[2]"]
    assert [view.address for view in state.children("pair[1]").items] == ["pair[1]/one[0]", "pair[1]/one[1]"]
    assert state.node("pair[2]").entity == pair.name


@fl.dynamic
def many_plans(n: int) -> list[int]:
    return [pair_lp(a=index) for index in range(n)]


def test_a_loop_of_launch_plans_is_a_row() -> None:
    """Many calls of a launch plan are one row, and pages of any order; each is a run of its own, however little of it is told."""
    for short in (0.0, 1e9):
        state, _, _ = execute(many_plans, short, n=30)
        assert "pair[*] x 30" in state.tree()
        page = state.children("", phase="SUCCEEDED", order="slow", offset=10, limit=5)
        assert (page.total, len(page.items)) == (30, 5)
        seconds = [view.seconds or 0.0 for view in state.children("", order="slow").items]
        assert seconds == sorted(seconds, reverse=True)
        assert all(view.child_run.startswith("run.") for view in state.children("").items)
        assert state.totals() == {Phase.SUCCEEDED: 90}
        assert state.node("pair[3]").inside == (2 if short else 0)


def test_what_is_short_is_only_counted() -> None:
    """What is inside something short has no record; who asks for it is told so, and who asks for nothing that is, what is nearest."""
    state, _, _ = execute(outer, 1e9, n=0)
    with pytest.raises(KeyError, match="what is known that is nearest is failing_loop, which is FAILED"):
        state.node("failing_loop/nothing/more")
    state, _, _ = execute(many_plans, 1e9, n=2)
    with pytest.raises(KeyError, match=r"'pair\[1\]/one\[0\]' is inside pair\[1\], which succeeded; .* of the 2 nodes"):
        state.node("pair[1]/one[0]")
    with pytest.raises(KeyError, match="has no node 'else'.* what is known is the run itself"):
        state.counts("else")
    for wrong in ({"phase": "GONE"}, {"order": "size"}, {"offset": -1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            state.children("", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("short", [0.0, 1e9])
def test_what_is_run_by_itself_is_the_run(short: float) -> None:
    """A map, or a task, that is run by itself is the run, by its own address too; a map's items are its nodes."""
    state, _, _ = execute(fl.map_task(pair), short, a=list(range(12)))
    assert state.node("pair") == state.node("")
    assert state.children("", limit=2).items[1].address == "pair[1]"
    assert state.children("", limit=2) == state.children("pair", limit=2)
    assert state.totals() == {Phase.SUCCEEDED: 36}
    assert "[11]" in state.tree() or "more" in state.tree()
    state, _, _ = execute(refuse, short, a=1)
    assert state.node("refuse") == state.node("")
    assert state.node("").error == "ValueError: no 1\\nreally"
    assert state.children("").total == 0


@fl.task(retries=2)
def flaky(a: int) -> int:
    from daskflow import current_context

    if current_context().attempt < 2:
        raise fl.RecoverableException(f"not yet {a}")
    return a


@fl.workflow
def trying(a: int) -> int:
    return flaky(a=a)


def test_attempts_are_told() -> None:
    """Attempts that failed are told, with their errors, though the node succeeds in the end."""
    state, _, error = execute(trying, a=1)
    assert error is None
    view = state.node("flaky")
    assert [(one.number, one.error) for one in view.attempts] == [(index, "RecoverableException: not yet 1") for index in range(2)]
    assert "attempt 3" in state.tree()


@fl.task(retries=2)
def never(a: int) -> int:
    raise fl.RecoverableException(f"never {a}")


@fl.workflow
def keeps_trying(a: int) -> int:
    return never(a=a)


def test_attempts_made_once_more_are_told_once() -> None:
    """A worker that dies has attempts made again from the first on; each number is told once, by what it failed with last."""
    reports = [report for _ in range(2) for report in execute(keeps_trying, a=1)[1]]
    state = RunState("run", "a run", keeps_trying.name, "workflow", "FAILED", 1.0, 4e9, "never", reports)
    assert [one.number for one in state.node("never").attempts] == [0, 1]
    assert "attempt 3" in state.tree()


@fl.task
def odd_fails(a: int) -> int:
    if a % 2:
        raise ValueError(f"odd {a}")
    return a


@fl.workflow
def deeper(a: int) -> int:
    return one(a=odd_fails(a=a))


@fl.workflow
def tolerant(l: list[int], last: int) -> int:
    return total_some(numbers=[fl.map_task(deeper, min_success_ratio=0.1)(a=l)[0], odd_fails(a=last)])  # type: ignore[list-item]


@pytest.mark.parametrize("most", [3, 1000])
def test_failures_that_are_left_out_are_counted(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many failures in one unit only that they failed is told, and how many those are; what fails the run is always told."""
    monkeypatch.setattr(nodelog, "_MOST_FAILED", most)
    state, _, error = execute(tolerant, l=list(range(40)), last=1)
    left = max(0, 20 - most)
    assert isinstance(error, ValueError)
    assert state.counts("deeper") == {Phase.SUCCEEDED: 20, Phase.FAILED: 20}
    assert (state.node("deeper").untold, state.node("").untold, state.node("deeper[1]").untold) == (left, left, 0)
    assert state.node("odd_fails").phase is Phase.FAILED
    assert [state.node(address).error for address in ("", "odd_fails")] == ["ValueError: odd 1"] * 2
    assert state.node("deeper[1]/odd_fails").error == "ValueError: odd 1"
    last = state.node("deeper[39]")
    assert (last.phase, last.untold, last.error) == (Phase.FAILED, 1 if left else 0, "" if left else "ValueError: odd 39")
    text = f"of {left} nodes that failed no more is told, since very many failed in one unit"
    assert (text in state.tree(width=200)) == (text in str(state.node("deeper").left_out)) == bool(left)
    if left:
        assert "no more is told, since very many failed in one unit" in state.tree("deeper[39]", width=200)
        with pytest.raises(KeyError, match=r"is inside deeper\[39\], which failed; very many nodes failed in that unit"):
            state.node("deeper[39]/odd_fails")


def test_each_node_is_told_before_it_begins_where_workers_have_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """With care each node is told before it begins, and none is when the time for that is spent; no other is taken for it then."""
    for most, expected in ((2.0, ["", "one[0]", "look", "one[1]", ""]), (0.0, [""])):
        monkeypatch.setattr(careful, "_AT_LEAST", most)
        monkeypatch.setattr(careful, "_SHARE", 0.0)
        execution = Execution(root_frame(looking, {"a": 1}, Scope.of_run("run", 0)))
        execution.journal = journal = Journal(short=0.0)
        told: list[str] = []
        execution.check = careful.Care(journal, lambda _, told=told, journal=journal: told.append(journal.place))  # type: ignore[misc]
        # The unit's watchdog may tell of a node as well.
        looks[:] = [lambda journal=journal, execution=execution: journal.report(stack(execution.frame))]
        assert execution.run() == 3
        assert told == expected


def test_a_unit_with_care_names_a_task_that_is_run_by_itself() -> None:
    """A run of a task alone has no body to tell of; the task is named all the same."""
    execution = Execution(root_frame(one, {"a": 1}, Scope.of_run("run", 0)))
    execution.journal = journal = Journal()
    told: list[str] = []
    execution.check = careful.Care(journal, lambda _: told.append(journal.place))
    execution.run()
    assert told[0] == "one"


def test_a_run_that_no_unit_could_tell_the_failure_of() -> None:
    """Where workers died, the run's end says where and why: so do the node, what is around it, and the run."""
    _, reports, _ = execute(looking_loop, n=1)
    for address in ("looking/look", ""):
        state = RunState("run", "a run", looking_loop.name, "dynamic", "RUNNING", 1.0, reports=reports[:1])
        state.end("FAILED", 4e9, address, "WorkerCrashed: 6 workers died")
        assert state.node(address).phase is state.node("").phase is Phase.FAILED
        assert state.node(address).error == state.node("").error == "WorkerCrashed: 6 workers died"
        assert (state.node("looking").phase, state.node("looking/look").phase) == ((Phase.FAILED,) * 2 if address else (Phase.ABORTED,) * 2)
    state = RunState("run", "a run", one.name, "task", "RUNNING", 1.0)
    state.end("FAILED", 4e9, "one", "WorkerCrashed: 6 workers died")
    assert state.node("").error == "WorkerCrashed: 6 workers died"


def test_a_loop_that_will_not_go_on_is_not_running() -> None:
    """Calls of which some have ended and some have not begun are executing between two of them, but not once the run has ended."""
    reports = [done("", "workflow", {index: f"fit[{index}]" for index in range(10)}, 9)]
    running = RunState("run", "a run", "e", "workflow", "RUNNING", 1.0, reports=reports)
    assert "● fit[*] x 10  RUNNING" in running.tree()
    for status in ("FAILED", "ABORTED"):
        over = RunState("run", "a run", "e", "workflow", status, 1.0, 4e9, None, reports)
        assert "RUNNING" not in over.tree()
        assert "… fit[*] x 10  QUEUED" in over.tree()


def test_calls_with_names_of_their_own_are_one_row_by_the_entity() -> None:
    """Where many calls of one entity have names of their own, their row has the entity's, and not that of the first."""
    names = {index: f"model {index}" for index in range(9)}
    assert "task[*] x 9" in RunState("run", "a run", "e", "workflow", "RUNNING", 1.0, reports=[done("", "workflow", names, 9)]).tree()


def test_what_failed_late_is_slow() -> None:
    """What took longest comes first where that is asked for, also if an error was the end of it."""
    opened = Open("", "e", "workflow", 1.0, "late", 2, "tests.task", "task", 100.0)
    told = done("", "workflow", {0: "a", 1: "b"}, 2, open=[tuple(opened)], errors=[("late", 500.0, "ValueError: no")])
    state = RunState("run", "a run", "e", "workflow", "FAILED", 1.0, 4e9, "late", [told])
    assert [view.address for view in state.children(order="slow").items] == ["late", "a", "b"]


def test_very_many_nodes_inside_what_is_short_cost_little() -> None:
    """What is told of nodes that no body is told of is let go of when what they are in has ended; so is the search for an error."""
    count = 5000
    names = {index: f"f[{index}]" for index in range(count)}
    recovered = [(f"f[{index}]/a/b/c", "recovered") for index in range(count)]
    errors = [(f"f[{index}]/a/b/c", 1.0, f"ValueError: {index}") for index in range(count)]
    reports = [done("", "workflow", names, count, recovered=recovered, errors=errors)]
    began = time.perf_counter()
    state = folded(reports + [done("", "workflow", {}, 0)] * 200, "RUNNING")
    assert state._fold._unplaced == {}
    assert state._error(f"f[{count - 1}]") == f"ValueError: {count - 1}"
    assert all(state._error(f"f[{index}]") for index in range(count))
    assert time.perf_counter() - began < 5


def test_more_workers_than_there_are_numbers_for() -> None:
    """A run that went through very many workers can be looked at; the last of them are not known."""
    state = folded([], "RUNNING")
    for index in range(66_000):
        one = Done("run", "m", "tests.map", "map", None, [("tests.task", "task")], 0, 66_000, 0.0, (index, index + 1), [1.0], 0, [])
        state.tell(write({"epoch": 1e9, "worker": f"tcp://{index}", "done": [tuple(one)]}) or b"")
    assert state.counts("m") == {Phase.SUCCEEDED: 66_000}
    assert [state.node(f"m[{index}]").worker for index in (0, 65_999)] == ["tcp://0", ""]


def done(address: str, kind: str, labels: Any, count: int, **parts: Any) -> bytes:
    """Return a report of nodes that have ended."""
    ends = array("d", range(1, count + 1))
    one = Done("run", address, "tests.entity", kind, labels, [("tests.task", "task")], 0, count, 0.0, (0, count), ends, 0, [])
    report = write({"epoch": 1e9, "worker": "w", "done": [tuple(one)], **parts})
    assert report is not None
    return report


def test_names_are_shown_on_one_line() -> None:
    """Whatever is in a name, it does nothing to a terminal and takes one line; what is cut of it says so."""
    nasty = ["<script>alert(1)</script>", "two\nlines\x1b[2J", "x" * 5000]
    state = RunState("run", "\u202eevil\n", "e", "workflow", "RUNNING", 1.0, reports=[done("", "workflow", dict(enumerate(nasty)), 3)])
    lines = state.tree(width=100).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("● \\u202eevil\\n")
    assert "<script>alert(1)</script>" in lines[1]
    assert "two\\nlines\\x1b[2J" in lines[2]
    assert "characters more)" in lines[3]
    assert all(len(line) < 150 for line in lines)
    assert {state.node(name).phase for name in nasty} == {Phase.SUCCEEDED}


def test_what_is_recovered_says_so() -> None:
    """What was taken over from another run is recovered, whether its body is told of before or after that."""
    told = done("", "workflow", {0: "a", 1: "b"}, 2, recovered=[("a", "recovered"), ("b", "code"), ("m[1]", "recovered")])
    state = RunState("run", "n", "e", "workflow", "RUNNING", 1.0, reports=[told])
    assert nodes(state) == {"a": Phase.RECOVERED, "b": Phase.SUCCEEDED}
    state.tell(done("m", "map", None, 3))
    assert state.counts("m") == {Phase.SUCCEEDED: 2, Phase.RECOVERED: 1}


def test_what_a_cache_did_is_told() -> None:
    """Nodes and items say what the cache did for them."""
    cached = [("m", 0, [0, 2], ["HIT", "POPULATED"]), ("", {0: "m"}, [0, -1], ["MISS", "HIT"])]
    state = RunState("run", "n", "e", "workflow", "RUNNING", 1.0, reports=[done("m", "map", None, 3, cached=cached)])
    assert [state.node(f"m[{index}]").cache for index in range(3)] == ["HIT", "", "POPULATED"]
    assert state.node("").cache == "HIT"
    assert "cached" in state.tree("m[0]")


def test_the_fold_is_small_and_quick() -> None:
    """A map of 100,000 items takes at most 30 bytes for each, with 10,000 child runs it is folded in a second, and pages are quick."""
    reports = []
    for start in range(0, 100_000, 1000):
        ends = array("d", range(start + 1, start + 1001))
        one = Done("run", "m", "tests.map", "map", None, [("tests.task", "task")], 0, 100_000, start, (start, start + 1000), ends, 3, [])
        runs = range(start // 10, start // 10 + 100)
        times = array("d", runs)
        labels = {place: f"lp[{place}]" for place in runs}
        told = Told("run", "loop", b"digest", "plan", None, 10_000, labels, array("q", runs), times, times)
        reports.append(write({"epoch": 1e9, "done": [tuple(one)], "told": [tuple(told)]}) or b"")
    began = time.perf_counter()
    state = folded(reports)
    assert time.perf_counter() - began < 1
    assert state.counts("m") == {Phase.SUCCEEDED: 100_000}
    assert state.counts("loop") == {Phase.SUCCEEDED: 10_000}
    assert state.totals() == {Phase.SUCCEEDED: 400_000}
    assert state.children("m", order="state", offset=99_990).items[-1].address.startswith("m[")
    only_map = [write({"epoch": 1e9, "done": read(report).done}) or b"" for report in reports]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = folded(only_map)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert kept.counts("m") == {Phase.SUCCEEDED: 100_000}
    assert taken <= 30 * 100_000
