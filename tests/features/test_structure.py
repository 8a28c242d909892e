"""What workflows are made of beside calls: conditionals, ordering, nodes in the hand, and workflows that are put together call by call."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import daskflow as fl
from daskflow.errors import BranchFailed, DefinitionError, GraphError, InputError, OptionError, PromiseError
from tests.features.conftest import Flow
from tests.told import told


@fl.task
def half(a: int) -> int:
    return a // 2


@fl.task
def triple(a: int) -> int:
    return 3 * a


@fl.task
def text(a: int) -> str:
    return str(a)


@fl.task
def mark(path: str, word: str) -> int:
    with open(path, "a") as file:
        file.write(f"{word}\n")
    return len(word)


@fl.task
def is_even(a: int) -> bool:
    return a % 2 == 0


@fl.task
def maybe(a: int) -> int | None:
    return a or None


# ---------------------------------------------------------------- conditionals


@fl.workflow
def chosen(a: int, path: str) -> int:
    before = half(a=a)
    chosen = (
        fl.conditional("size")
        .if_((before > 10) & (before < 100))
        .then(mark(path=path, word="large"))
        .elif_((a == 0) | (a == -1))
        .then(triple(a=half(a=before)))
        .elif_(a == 1)
        .fail("one is not enough")
        .else_()
        .then(mark(path=path, word="small"))
    )
    return triple(a=chosen)


@pytest.mark.parametrize(("a", "gives", "marked"), [(40, 15, "large\n"), (0, 0, ""), (5, 15, "small\n"), (400, 15, "small\n")])
def test_a_conditional(flow: Flow, tmp_path: Path, a: int, gives: int, marked: str) -> None:
    """The first branch whose condition holds is executed, and no other; what it gives is the conditional's value."""
    path = tmp_path / "marks"
    path.touch()
    assert flow(chosen, a=a, path=str(path)) == gives
    assert path.read_text() == marked


def test_a_branch_that_fails(flow: Flow) -> None:
    """A branch may say that the run fails; the error is a ValueError with its text, and says where."""
    with pytest.raises(BranchFailed, match="one is not enough") as failed:
        flow(chosen, a=1, path="/nowhere")
    assert isinstance(failed.value, ValueError)
    assert told(failed.value).address == "size"


@fl.workflow
def nested(a: int) -> int:
    inner = fl.conditional("inner").if_(is_even(a=a).is_true()).then(half(a=a)).else_().then(triple(a=a))
    return (
        fl.conditional("outer")
        .if_(a > 10)
        .then(fl.conditional("deep").if_(inner > 10).then(triple(a=inner)).else_().then(inner))
        .else_()
        .then(a)
    )


@pytest.mark.parametrize(("a", "gives"), [(3, 3), (12, 6), (40, 60), (11, 99)])
def test_conditionals_in_conditionals(flow: Flow, a: int, gives: int) -> None:
    """A branch may hold a conditional, which takes promises from outside of both."""
    assert flow(nested, a=a) == gives


class Pair(NamedTuple):
    """Two outputs."""

    low: int
    high: int


@fl.task
def around(a: int) -> Pair:
    return Pair(a - 1, a + 1)


@fl.task
def wide(a: int) -> Pair:
    return Pair(a - 10, a + 10)


@fl.workflow
def several(a: int) -> int:
    pair = fl.conditional("pair").if_(maybe(a=a).is_none()).then(wide(a=a)).else_().then(around(a=a))
    return pair.high


@fl.workflow
def nothing(a: int, path: str) -> int:
    fl.conditional("say").if_(a == 1).then(say(path=path)).else_().then(say_not())
    return a


@fl.task
def say(path: str) -> None:
    Path(path).write_text("said")


@fl.task
def say_not() -> None:
    return None


def test_several_outputs_and_none(flow: Flow, tmp_path: Path) -> None:
    """Branches may give several outputs, or nothing."""
    assert flow(several, a=0) == 10
    assert flow(several, a=5) == 6
    assert flow(nothing, a=0, path=str(tmp_path / "no")) == 0
    assert not (tmp_path / "no").exists()
    assert flow(nothing, a=1, path=str(tmp_path / "yes")) == 1
    assert (tmp_path / "yes").read_text() == "said"


@fl.dynamic
def in_dynamic(a: int) -> list[int]:
    known = fl.conditional("known").if_(a > 3).then(half(a=a)).else_().then(triple(a=a))
    return [known, fl.conditional("made").if_(known == 3).then(triple(a=known)).else_().then(known)]


def test_conditionals_in_dynamics(flow: Flow) -> None:
    """A dynamic's conditionals may be decided by what is known when its body runs, or by promises."""
    assert flow(in_dynamic, a=6) == [3, 9]
    assert flow(in_dynamic, a=1) == [3, 9]
    assert flow(in_dynamic, a=2) == [6, 6]


def test_conditionals_in_maps_and_plans(flow: Flow) -> None:
    """What holds a conditional may be mapped, launched, and called in loops."""
    plan = fl.LaunchPlan.get_or_create(nested, name="features.nested")
    assert flow(fl.map_task(plan), a=[3, 12, 40, 11]) == [3, 6, 60, 99]


CONDITIONALS: list[tuple[Any, type[Exception], str]] = [
    (lambda a: fl.conditional("c").if_(a).then(half(a=a)).else_().then(a), PromiseError, r"is no condition for .*write .is_true\(\)"),
    (lambda a: fl.conditional("c").if_(3).then(half(a=a)), PromiseError, "3 is no condition for <conditional 'c'>"),
    (lambda a: fl.conditional("c").if_(a > 1).then(half(a=a)), GraphError, "<conditional 'c'> in .*wrong has no end; end it with .else_"),
    (lambda a: fl.conditional("c").if_(a > 1).then(half(a=a)).else_().then(text(a=a)), GraphError, "give different types: int and str"),
    (lambda a: fl.conditional("c").if_(a > 1).then(half(a=a)).else_().fail(3), GraphError, "takes the text of the failure; got 3"),  # type: ignore[arg-type]
    (lambda a: fl.conditional("c d").if_(a > 1), OptionError, "the name of a conditional must be letters"),
    (lambda a: half(a=fl.conditional("c").if_(a > 1).then(half(a=a))), InputError, "got <conditional 'c'>, which needs else_"),
]


@pytest.mark.parametrize("kind", [fl.workflow, fl.dynamic])
@pytest.mark.parametrize(("body", "error", "said"), CONDITIONALS, ids=[said for _, _, said in CONDITIONALS])
def test_conditionals_that_are_wrong(kind: Any, body: Any, error: type[Exception], said: str) -> None:
    """A conditional that cannot be is refused while the graph is built."""

    def wrong(a: int) -> int:
        return body(half(a=a))  # type: ignore[no-any-return]

    with pytest.raises(error, match=said):
        kind(wrong)(a=1)


def test_a_conditional_in_plain_python() -> None:
    """Outside a body there is no graph to choose in."""
    with pytest.raises(GraphError, match="in plain Python, write if"):
        fl.conditional("c")


# ---------------------------------------------------------------- ordering


@fl.workflow
def backwards(path: str) -> int:
    third = mark(path=path, word="third")
    second = mark(path=path, word="second")
    first = mark(path=path, word="first")
    first >> second >> third
    return third


@fl.workflow
def nodes(path: str) -> tuple[int, int]:
    last = fl.create_node(backwards, path=path)
    two = fl.create_node(fl.map_task(mark), path=[path], word=["mapped"])
    nothing = fl.create_node(say, path=path)
    nothing.runs_before(two)
    two >> last
    pair = fl.create_node(around, a=last.o0)
    return pair.low, pair.outputs["high"]


def test_ordering(flow: Flow, tmp_path: Path) -> None:
    """What is ordered is executed in order, whichever was called first."""
    path = tmp_path / "marks"
    assert flow(backwards, path=str(path)) == len("third")
    assert path.read_text().split() == ["first", "second", "third"]


def test_nodes_in_the_hand(flow: Flow, tmp_path: Path) -> None:
    """Nodes of any kind are ordered and asked for outputs by name; what gives nothing can be ordered as well."""
    path = tmp_path / "marks"
    assert flow(nodes, path=str(path)) == (4, 6)
    assert path.read_text().replace("said", "said\n").split() == ["said", "mapped", "first", "second", "third"]


@fl.dynamic
def ordered_loop(path: str, n: int) -> list[int]:
    made = [mark(path=path, word=f"{i}") for i in range(n)]
    for later, earlier in itertools.pairwise(made):
        earlier >> later
    return made


def test_ordering_in_a_dynamic(flow: Flow, tmp_path: Path) -> None:
    """Orders hold in dynamics too, and addresses still count in the order of the calls."""
    path = tmp_path / "marks"
    assert flow(ordered_loop, path=str(path), n=12) == [len(str(i)) for i in range(12)]
    assert path.read_text().split() == [str(i) for i in reversed(range(12))]
    with pytest.raises(OSError, match="nowhere") as failed:
        flow(ordered_loop, path="/nowhere/marks", n=3)
    assert told(failed.value).address == "mark[2]"


ORDERS: list[tuple[Any, type[Exception], str]] = [
    (lambda a: _circle(), GraphError, "wait for each other in a circle: say_not in .*wrong >> say_not in .*wrong"),
    (lambda a: half(a=half(a=a)) >> a, GraphError, "input 'a' of .*wrong is not a call: only calls are ordered"),
    (lambda a: _after_its_own_input(a), GraphError, "wait for each other in a circle: half in .*wrong"),
    (lambda a: fl.create_node(half, a), InputError, "create_node takes the inputs of .*half by name: a: int"),
    (lambda a: fl.create_node(len), DefinitionError, "create_node takes a task.*, not <built-in function len>"),
    (lambda a: fl.create_node(half, a=a).o1, AttributeError, "has no output 'o1'; its outputs: o0"),
]


def _circle() -> Any:
    one, two = say_not(), say_not()
    one >> two  # type: ignore[operator]
    two >> one  # type: ignore[operator]


def _after_its_own_input(a: Any) -> Any:
    first = half(a=a)
    second = half(a=first)
    second >> first  # type: ignore[operator]


@pytest.mark.parametrize(("body", "error", "said"), ORDERS, ids=[said for _, _, said in ORDERS])
def test_orders_that_cannot_be(body: Any, error: type[Exception], said: str) -> None:
    """An order that cannot be is refused where it is given."""

    def wrong(a: int) -> int:
        return body(a)  # type: ignore[no-any-return]

    with pytest.raises(error, match=said):
        fl.workflow(wrong).prepare()


def test_a_node_in_plain_python() -> None:
    """Outside a body there is no graph to have a node in."""
    with pytest.raises(GraphError, match=r"outside a @workflow's or @dynamic's body; call half\(...\) instead"):
        fl.create_node(half, a=1)


# ---------------------------------------------------------------- call by call


def imperative(name: str) -> fl.ImperativeWorkflow:
    """Return a workflow with all that can be added to one."""
    flow = fl.ImperativeWorkflow(name)
    first = flow.add_entity(half, a=flow.add_workflow_input("a", int))
    # An input that is declared after a node.
    word = flow.add_workflow_input("word", str)
    second = flow.add_subwf(nested, a=first.o0)
    third = flow.add_launch_plan(fl.LaunchPlan.get_or_create(nested), a=flow.inputs["a"])
    said = flow.add_task(length, word=word)
    third >> second
    flow.add_workflow_output("numbers", [second.o0, third.o0], list[int])
    flow.add_workflow_output("length", said.o0)
    return flow


@fl.task
def length(word: str) -> int:
    return len(word)


made = imperative("tests.features.made")


@fl.workflow
def calls_made(a: int) -> list[int]:
    numbers, _ = made(a=a, word="abc")
    return numbers


def test_a_workflow_that_is_put_together(flow: Flow) -> None:
    """It is a workflow as any other: called, launched, mapped, and called in bodies; its outputs have their names."""
    assert made.ready()
    assert flow(made, a=24, word="four") == ([6, 36], 4)
    assert flow(calls_made, a=24) == [6, 36]
    with pytest.raises(InputError, match="tests.features.made is missing the input 'word'"):
        flow(made, a=1)
    with pytest.raises(GraphError, match="has been used: nothing can be added"):
        made.add_workflow_input("b", int)


def test_what_cannot_be_put_together() -> None:
    """What does not fit is refused where it is added."""
    flow = fl.ImperativeWorkflow("tests.features.wrong")
    assert not flow.ready()
    with pytest.raises(GraphError, match="is not ready: it has no node"):
        flow()
    a = flow.add_workflow_input("a", int)
    with pytest.raises(DefinitionError, match="has an input 'a' already"):
        flow.add_workflow_input("a", int)
    with pytest.raises(DefinitionError, match="cannot have an input named 'b c'"):
        flow.add_workflow_input("b c", int)
    with pytest.raises(InputError, match=r"input 'word' of .*length is declared str, but .* is int"):
        flow.add_entity(length, word=a)
    node = flow.add_entity(half, a=a)
    with pytest.raises(DefinitionError, match="as a workflow; use add_entity"):
        flow.add_subwf(half, a=a)
    with pytest.raises(DefinitionError, match="needs a python_type"):
        flow.add_workflow_output("o", [node.o0])
    with pytest.raises(InputError, match="the output|output 'o'"):
        flow.add_workflow_output("o", node.o0, str)
    flow.add_workflow_output("o", node.o0)
    with pytest.raises(DefinitionError, match="has an output 'o' already"):
        flow.add_workflow_output("o", node.o0)
    assert flow(a=4) == 2
