"""What is refused, how early, and with what words."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

import daskflow as fl
from daskflow.errors import DefinitionError, GraphError, InputError, NestingError, OptionError, OutputError, PromiseError


@dataclass
class Point:
    """A value with parts."""

    x: int
    name: str


class Pair(NamedTuple):
    """Two outputs."""

    a: int
    b: str


@fl.task
def add(a: int, b: int = 1) -> int:
    return a + b


@fl.task
def make_list(n: int) -> list[int]:
    return list(range(n))


@fl.task
def make_point(x: int) -> Point:
    return Point(x, "p")


@fl.task
def make_pair(a: int) -> Pair:
    return Pair(a, "b")


@fl.task
def shout(text: str) -> str:
    return text.upper()


@fl.task
def nothing(a: int) -> None:
    return None


@fl.task
def add_up(numbers: list[int]) -> int:
    return sum(numbers)


@fl.workflow
def add_wf(a: int, b: int) -> int:
    return add(a=a, b=b)


# ---------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: add(a="1"), r"input 'a' of .*\.add: expected int, got '1' of type str"),
        (lambda: add(a=True), r"input 'a' of .*\.add: expected int, got True of type bool"),
        (lambda: add(a=1.0), r"expected int, got 1.0 of type float"),
        (lambda: add(), r"add is missing the input 'a' \(int\); it takes a: int, b: int = 1"),
        (lambda: add(a=1, c=2), r"add has no input 'c'; it takes a: int, b: int = 1"),
        (lambda: add(1, a=2), r"add got the input 'a' twice, by position and by name"),
        (lambda: add(1, 2, 3), r"add takes 2 inputs but 3 were given"),
        (lambda: add_up(numbers=[1, "2"]), r"input 'numbers' of .*add_up: at \[1\]: .*got '2'"),
        (lambda: fl.map_task(add)(a=[1, 2], b=[1]), r"map of .*add goes over lists of one length, but 'a' has 2, 'b' has 1 items"),
        (lambda: fl.map_task(add)(a=1), r"input 'a' of map of .*add: expected list\[int\], got 1"),
        (lambda: fl.map_task(functools.partial(add, a=1, b=2))(), r"has no list to go over"),
        (lambda: fl.LaunchPlan.get_or_create(add_wf, name="refusals.fixed", fixed_inputs={"b": 2})(a=1, b=3), r"has no input 'b'"),
    ],
)
def test_calls(call: Any, text: str) -> None:
    """A call that does not fit is refused, naming the entity, the input and what was given."""
    with pytest.raises(InputError, match=text):
        call()


def test_output_of_another_type() -> None:
    """What a function returns is checked against what it declares."""

    @fl.task
    def lies(a: int) -> str:
        return a  # type: ignore[return-value]

    @fl.task
    def short(a: int) -> tuple[int, str]:
        return (a,)  # type: ignore[return-value]

    with pytest.raises(OutputError, match=r"lies declares -> str: expected str, got 1 of type int"):
        lies(a=1)
    with pytest.raises(OutputError, match=r"short declares 2 outputs \(o0, o1\), but returned 1 values"):
        short(a=1)


# ---------------------------------------------------------------- bodies: each is built into a workflow and a dynamic


def for_each(promise: Any) -> Any:
    return [one for one in promise]


BODIES: list[tuple[Any, str]] = [
    (lambda a: 1 if make_list(n=a) else 2, "used as a truth value"),
    (lambda a: for_each(make_list(n=a)), "iterated over: use map_task"),
    (lambda a: shout(text=f"{add(a=a)}"), "formatted"),
    (lambda a: shout(text=str(add(a=a))), "turned into text"),
    (lambda a: add(a=a) + 1, r"used in an expression \(\+\)"),
    (lambda a: 1 - add(a=a), r"used in an expression \(-\)"),
    (lambda a: 1 if add(a=a) < 3 else 2, r"< 3.*is no truth value.*conditional"),
    (lambda a: add(a=a) == 3 or 4, r"== 3.*is no truth value.*join expressions with & and \|"),
    (lambda a: not add(a=a) == 3, r"== 3.*is no truth value"),
    (lambda a: add(a=a) == [3], r"compared with \[3\]: compare with another promise, or with a number"),
    (lambda a: add(a=a) == "3", r"never comparable with '3'"),
    (lambda a: add(a=a) & add(a=a), r"used in an expression \(&\)"),
    (lambda a: (add(a=a) == 3) & True, r"& joins two expressions of promises; got True|& joins two expressions"),
    (lambda a: ~(add(a=a) == 3), "cannot be inverted"),
    (lambda a: add(a=a) >> 3, "only calls are ordered with >>"),
    (lambda a: add(a=a).is_(3), r"asked is_\(3\): is_ takes True, False or None"),
    (lambda a: -add(a=a), r"used in an expression \(-\)"),
    (lambda a: len(make_list(n=a)), r"measured with len"),
    (lambda a: 3 in make_list(n=a), "searched with 'in'"),
    (lambda a: add(a=a) in [1, 2], "is no truth value"),
    (lambda a: make_list(n=a)[0:2], "sliced"),
    (lambda a: make_list(n=a)[add(a=a)], "indexed by another promise"),
    (lambda a: add(a=a)(), "called"),
    (lambda a: range(add(a=a)), "an index"),
    (lambda a: int(add(a=a)), r"int\(\)"),
    (lambda a: add(a=a)[0], "int has no part 0"),
    (lambda a: make_list(n=a)["x"], "list.int. is indexed by int, not 'x'"),
]


@pytest.mark.parametrize("kind", [fl.workflow, fl.dynamic])
@pytest.mark.parametrize(("body", "text"), BODIES, ids=[text for _, text in BODIES])
def test_promises_are_not_values(body: Any, text: str, kind: Any) -> None:
    """A promise that is used as a value is refused while the graph is built, with the node's name and a way out."""

    def wrong(a: int) -> Any:
        return body(a)

    with pytest.raises(PromiseError, match=rf"(?s)<promise of \w+ in .*wrong.*{text}|{text}"):
        kind(wrong)(a=1)


TYPES: list[tuple[Any, str]] = [
    (lambda a: shout(text=add(a=a)), r"input 'text' of .*shout is declared str, but <promise of add in .*> is int"),
    (lambda a: add_up(numbers=[1, make_list(n=a)]), r"input 'numbers' of .*add_up\[1\] is declared int, but .* is list\[int\]"),
    (lambda a: add(a=make_point(x=a).name), r"input 'a' of .*add is declared int, but .*\.name.* is str"),
    (lambda a: add(a=make_pair(a=a).b), r"input 'a' of .*add is declared int, but .* is str"),
    (lambda a: add(a=nothing(a=a)), r"input 'a' of .*add is declared int, but .* gives nothing"),
    (lambda a: fl.map_task(shout)(text=make_list(n=a)), r"input 'text' of map of .*shout is declared list\[str\]"),
    (lambda a: fl.map_task(add)(a=[1, 2], b=[3]), r"goes over lists of one length, but 'a' has 2, 'b' has 1 items"),
    (lambda a: shout(text=a), r"input 'text' of .*shout"),
]


@pytest.mark.parametrize(("body", "text"), TYPES, ids=[text[:40] for _, text in TYPES])
def test_types_of_promises(body: Any, text: str) -> None:
    """A promise of a type that can never fit is refused while the graph is built."""

    def wrong(a: int) -> Any:
        return body(a)

    with pytest.raises(InputError, match=text):
        fl.workflow(wrong).prepare()


def test_a_promise_of_another_body() -> None:
    """A promise that escapes its body cannot be used in another."""
    escaped: list[Any] = []

    @fl.workflow
    def first(a: int) -> int:
        escaped.append(add(a=a))
        return escaped[0]

    @fl.workflow
    def second(a: int) -> int:
        return add(a=escaped[0])

    first.prepare()
    with pytest.raises(PromiseError, match="belongs to another graph"):
        second.prepare()


def test_the_output_of_a_body() -> None:
    """What a body returns is checked against what it declares while the graph is built."""

    @fl.workflow
    def wrong(a: int) -> str:
        return add(a=a)  # type: ignore[return-value]

    @fl.workflow
    def constant(a: int) -> int:
        return "x"  # type: ignore[return-value]

    with pytest.raises(InputError, match=r"the output of .*wrong is declared str, but .* is int"):
        wrong.prepare()
    with pytest.raises(OutputError, match=r"constant declares -> int: expected int, got 'x'"):
        constant.prepare()


def test_calls_inside_a_running_task() -> None:
    """An entity called inside a running task is refused, with the way out."""

    @fl.task
    def outer(a: int) -> int:
        return add(a=a)

    with pytest.raises(NestingError, match=r"task .*add was called inside the running task local:outer.* Make the caller a @dynamic"):
        outer(a=1)
    with pytest.raises(NestingError, match=r"run of .* was called in the running task"):
        fl.task(_runs)(a=1)


def _runs(a: int) -> int:
    fl.run(add, a=a)
    return a


def test_a_workflow_that_calls_itself() -> None:
    """A workflow that calls itself has no static graph, and is told to be a dynamic."""

    @fl.workflow
    def endless(a: int) -> int:
        return endless(a=a)

    with pytest.raises(GraphError, match="endless calls itself.*make it a @dynamic"):
        endless(a=1)


# ---------------------------------------------------------------- declarations


def no_annotation(a) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_return(a: int):  # type: ignore[no-untyped-def]
    return 1


def many(*a: int) -> int:
    return 1


def named(**a: int) -> int:
    return 1


def unknown_name(a: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


def bad_default(a: int = "x") -> int:  # type: ignore[assignment]
    return 1


async def coroutine(a: int) -> int:
    return 1


def generator(a: int) -> Any:
    yield 1


@pytest.mark.parametrize("kind", [fl.task, fl.dynamic, fl.workflow])
@pytest.mark.parametrize(
    ("function", "text"),
    [
        (no_annotation, r"parameter 'a' of .*no_annotation has no type annotation; write a: int, or a: Any"),
        (no_return, r"no_return has no return annotation; write -> None if it gives nothing back"),
        (many, r"parameter '\*a' of .*many is variadic positional"),
        (named, r"parameter '\*\*a' of .*named is variadic keyword"),
        (unknown_name, r"an annotation of .*unknown_name cannot be resolved: name 'Nowhere' is not defined"),
        (bad_default, r"the default of 'a' of .*bad_default: expected int, got 'x'"),
        (generator, r"generator is a generator"),
        (add, r"is an entity already; decorate a function"),
        (3, r"decorates a function, not 3"),
    ],
)
def test_declarations(kind: Any, function: Any, text: str) -> None:
    """A function that cannot be an entity is refused where it is decorated."""
    with pytest.raises(DefinitionError, match=text):
        kind(function)


@pytest.mark.parametrize("kind", [fl.dynamic, fl.workflow])
def test_only_tasks_are_coroutines(kind: Any) -> None:
    """A body that builds a graph has nothing to wait for."""
    with pytest.raises(DefinitionError, match="coroutine is an async function, as only tasks may be"):
        kind(coroutine)


@pytest.mark.parametrize(
    ("declare", "kind", "text"),
    [
        (lambda: fl.task(retry=3)(no_op), OptionError, "task .*no_op has no option 'retry'; it has cache, cache_version"),
        (lambda: fl.task(cache="yes")(no_op), OptionError, "cache of .*no_op must be bool or Cache; got 'yes'"),
        (lambda: fl.task(cache_version="1")(no_op), OptionError, "cache_version of .*no_op has no effect without cache=True"),
        (lambda: fl.task(cache=True, cache_ignore_input_vars=("z",))(no_op), OptionError, "names 'z'; its inputs are a"),
        (lambda: fl.workflow(max_parallelism=-1)(no_op), OptionError, "max_parallelism of .*no_op must be a positive int, or 0 .*; got -1"),
        (lambda: fl.workflow(max_parallelism=2.0)(no_op), OptionError, "got 2.0"),
        (lambda: fl.workflow(max_parallelism="2")(no_op), OptionError, "got '2'"),
        (lambda: fl.workflow(max_parallelism=True)(no_op), OptionError, "got True"),
        (lambda: fl.workflow(parallelism=2)(no_op), OptionError, "workflow .*no_op has no option 'parallelism'; it has max_parallelism"),
        (lambda: fl.map_task(add, concurrency=-1), OptionError, "concurrency of map of .*add must be a positive int, or 0 .*; got -1"),
        (lambda: fl.map_task(add, min_successes=-1), OptionError, "min_successes of the map of .*add must be an int of 0 or more; got -1"),
        (lambda: fl.map_task(add, min_success_ratio=1.5), OptionError, "min_success_ratio of .*add must be a number from 0 to 1; got 1.5"),
        (lambda: fl.map_task(add, return_exceptions=1), OptionError, "return_exceptions of .*add must be a bool; got 1"),
        (lambda: fl.map_task(add, return_exceptions=True, min_successes=1), OptionError, "leave out min_successes"),
        (lambda: fl.map_task(add, bound_inputs="a"), DefinitionError, "bound_inputs of the map of .*add are names.*; got 'a'"),
        (
            lambda: fl.map_task(add, bound_inputs={"z"}),
            DefinitionError,
            "the map of .*add binds 'z', but .*add has no input 'z'",
        ),
        (lambda: fl.map_task(add, bound_inputs_values={"b": "x"}), InputError, "input 'b' of .*add: expected int, got 'x'"),
        (lambda: fl.map_task(add, concurrency=1.5), OptionError, "got 1.5"),
        (lambda: fl.map_task(add, concurency=1), OptionError, "map of .*add has no option 'concurency'; it has concurrency"),
        (lambda: fl.map_task(len), DefinitionError, "map_task goes over a task.*, not <built-in function len>; decorate it with @task"),
        (lambda: fl.map_task(make_pair), DefinitionError, "make_pair has several outputs .a, b."),
        (
            lambda: fl.map_task(functools.partial(add, c=1)),
            DefinitionError,
            "the map of .*add binds 'c', but .*add has no input 'c'",
        ),
        (lambda: fl.map_task(functools.partial(add, a="x")), InputError, "input 'a' of .*add: expected int, got 'x'"),
        (lambda: fl.LaunchPlan.create("x", add), DefinitionError, "a launch plan is made of a @workflow, not of <task .*add>"),
        (lambda: fl.LaunchPlan.get_or_create(add_wf, "refusals.a", max_parallelism=-1), OptionError, "launch plan refusals.a must be"),
        (lambda: fl.LaunchPlan.get_or_create(add_wf, "refusals.b", fixed_inputs={"z": 1}), InputError, "names 'z'; .*add_wf takes a: int"),
        (lambda: fl.LaunchPlan.get_or_create(add_wf, "refusals.c", default_inputs={"a": "1"}), InputError, "input 'a' of .*: expected int"),
        (lambda: fl.LaunchPlan.get_or_create(add_wf, default_inputs={"a": 1}), DefinitionError, "give the plan a name"),
    ],
)
def test_options(declare: Any, kind: type[Exception], text: str) -> None:
    """An option that is unknown, or has a value that it cannot have, is refused where it is given."""
    with pytest.raises(kind, match=text):
        declare()


def no_op(a: int) -> int:
    return a


def test_launch_plans_of_one_name() -> None:
    """A name stands for one launch plan; another with other properties is refused."""
    first = fl.LaunchPlan.get_or_create(add_wf, "refusals.same", max_parallelism=2)
    assert fl.LaunchPlan.get_or_create(add_wf, "refusals.same", max_parallelism=2) is first
    with pytest.raises(DefinitionError, match="exists already with another max_parallelism: 2, not 3"):
        fl.LaunchPlan.get_or_create(add_wf, "refusals.same", max_parallelism=3)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"nonsense": 2}, "with_overrides of .*add has no option 'nonsense'; it has node_name, name, cache"),
        ({"cache": 1}, "cache of with_overrides of .*add must be bool or Cache; got 1"),
        ({"node_name": "a b"}, "node_name of with_overrides of .*add must be letters"),
    ],
)
def test_overrides(overrides: dict[str, Any], text: str) -> None:
    """An override that has no effect is refused while the graph is built."""

    @fl.workflow
    def wrong(a: int) -> int:
        return add(a=a).with_overrides(**overrides)  # type: ignore[attr-defined,no-any-return]

    with pytest.raises(OptionError, match=text):
        wrong.prepare()


def test_overrides_take_no_promises() -> None:
    """An override's value must be known when the graph is built."""

    @fl.workflow
    def wrong(a: int) -> int:
        return add(a=a).with_overrides(cache=add(a=a))  # type: ignore[attr-defined,no-any-return]

    with pytest.raises(OptionError, match="cache of with_overrides of .*add is a promise"):
        wrong.prepare()


def test_mutable_defaults_are_not_shared() -> None:
    """A default that a task changes is the same again in the next call."""

    @fl.task
    def collect(a: int, into: list[int] = []) -> list[int]:  # noqa: B006
        into.append(a)
        return into

    assert collect(a=1) == [1]
    assert collect(a=2) == [2]


@dataclass
class Access:
    """A value one part of which is a secret by its name."""

    user: str
    password: int


@fl.task
def with_token(api_token: int) -> int:
    return api_token


@fl.task
def with_access(access: Access) -> int:
    return access.password


@fl.task
def with_mapping(given: dict[str, int], api_token: str = "hush") -> int:
    return len(given)


@fl.task
def gives_access() -> Access:
    return Access("me", "hush")  # type: ignore[arg-type]


@fl.workflow
def hands_on(a: int) -> int:
    return with_token(api_token="hush")  # type: ignore[arg-type]


REFUSED_SECRETS: list[tuple[Any, dict[str, Any], str]] = [
    (with_token, {"api_token": "hush"}, "input 'api_token' of .*: expected int, got \\*\\*\\* of type str"),
    (with_access, {"access": Access("me", "hush")}, "at .password: expected int, got \\*\\*\\* of type str"),  # type: ignore[arg-type]
    (with_access, {"access": {"user": "me", "password": "hush"}}, "got {'user': 'me', 'password': \\*\\*\\*} of type dict"),
    (with_mapping, {"given": {"secret": "hush"}}, "at \\['secret'\\]: expected int, got \\*\\*\\*"),
    (with_mapping, {}, "it takes given: dict\\[str, int\\], api_token: str = \\*\\*\\*"),
    (gives_access, {}, "declares -> Access: at .password: expected int, got \\*\\*\\*"),
    (hands_on, {"a": 1}, "expected int, got \\*\\*\\*"),
]


@pytest.mark.parametrize(("entity", "inputs", "says"), REFUSED_SECRETS, ids=[says[:20] for _, _, says in REFUSED_SECRETS])
def test_what_is_refused_shows_no_secret(entity: Any, inputs: dict[str, Any], says: str) -> None:
    """A value that does not fit is not shown where its name, or that of the part that does not fit, says that it is a secret."""
    with pytest.raises((InputError, OutputError), match=says) as caught:
        entity(**inputs)
    assert "hush" not in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


@fl.task
def breaks_with(api_token: str) -> int:
    raise ValueError("odd")


@fl.workflow
def chooses(a: int, api_token: str) -> int:
    return (  # type: ignore[no-any-return]
        fl.conditional("way").if_(a > 0).then(breaks_with(api_token=api_token)).else_().fail("none")
    )


def test_what_is_told_of_a_conditional_shows_no_secret() -> None:
    """What a conditional is given has no names of the user's, and is not shown."""
    with pytest.raises(ValueError, match="odd") as caught:
        chooses(a=1, api_token="hush")
    notes = "\n".join(caught.value.__notes__)
    assert "way(…)" in notes
    assert "hush" not in notes
