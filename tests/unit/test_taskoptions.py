"""Options of tasks, dynamics and their calls: what is accepted, what it becomes, and what is refused with which words."""

from __future__ import annotations

import copy
import pickle
import warnings
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daskflow as fl
from daskflow.attemptpolicy import RECOVERABLE
from daskflow.errors import DefinitionError, OptionError
from daskflow.infrastructure import InfrastructureWarning
from daskflow.resources import amount
from daskflow.taskoptions import TaskOptions


def body(a: int) -> int:
    return a


@fl.task
def plain(a: int) -> int:
    return a


@fl.task(retries=2, timeout=3, environment={"A": "1"}, requests=fl.Resources(cpu=1))
def full(a: int) -> int:
    return a


@fl.dynamic
def loop(a: int) -> int:
    return plain(a=a)


@fl.workflow
def flow(a: int) -> int:
    return plain(a=a)


plan = fl.LaunchPlan.get_or_create(flow, name="taskoptions.plan")


def node_of(entity: Any, **overrides: Any) -> Any:
    """Return the node that a call with overrides makes."""

    @fl.dynamic
    def calls(a: int) -> Any:
        return entity(a=[a] if entity.kind_name == "map" else a).with_overrides(**overrides)

    return calls.build({"a": 1}).nodes[0]


def test_what_is_said_is_what_is_kept() -> None:
    """Options come in several forms, and are kept in one."""
    assert plain.options == TaskOptions()
    assert plain.options.plain
    options = full.options
    assert options.retries == fl.Retry(2, on=RECOVERABLE)
    assert options.timeout is not None
    assert options.timeout.seconds == 3
    assert (options.environment, options.dask_resources()) == ({"A": "1"}, {"CPU": 1.0})
    assert not options.plain
    assert fl.task(timeout=timedelta(minutes=1))(body).options.timeout == fl.Timeout(60.0)
    assert fl.task(timeout=0)(body).options.timeout is None
    assert fl.task(docs="What it does.")(body).options.docs == fl.Documentation(short_description="What it does.")


@pytest.mark.parametrize(
    "options",
    [
        {"retries": 1},
        {"timeout": 1},
        {"environment": {"A": "1"}},
        {"secret_requests": [fl.Secret("g", "k", env_var="A")]},
        {"secret_requests": [fl.Secret("g", "k")]},
    ],
)
def test_what_changes_an_attempt_is_not_plain(options: Any) -> None:
    """Each option that changes how an attempt runs takes the task from the fast path; options travel as they are."""
    made = fl.task(**options)(body).options
    assert not made.plain
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made
    assert not pickle.loads(pickle.dumps(made)).plain


@pytest.mark.parametrize("options", [{"docs": "x"}, {"deprecated": "x"}])
def test_what_does_not_change_an_attempt_is_plain(options: Any) -> None:
    """What only describes a task leaves it on the fast path."""
    assert fl.task(**options)(body).options.plain


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"retries": -1}, "retries of task .*body must be an int from 0 on, or a Retry; got -1"),
        ({"retries": "a"}, "retries of task .*body .* got 'a'"),
        ({"retries": True}, "retries of .* got True"),
        ({"timeout": -1}, "timeout of task .*body must be more than 0 seconds.* got -1; .*None is for no timeout"),
        ({"timeout": timedelta(seconds=-1)}, "timeout of .* got datetime.timedelta"),
        ({"timeout": False}, "timeout of .* got False"),
        ({"timeout": -1.5}, r"timeout of .* got -1\.5"),
        ({"timeout": "1m"}, "timeout of .* got '1m'"),
        ({"timeout": float("nan")}, "timeout of .* got nan"),
        ({"timeout": True}, "timeout of .* got True"),
        ({"environment": ["A"]}, "environment of task .*body must be a dict of text"),
        ({"environment": {"A": 1}}, "environment of .* must have text as values; A is 1: write A='1'"),
        ({"environment": {"": "1"}}, "environment of .* has '', which cannot be the name of a variable"),
        ({"environment": {"A=B": "1"}}, "has 'A=B', which cannot"),
        ({"requests": "1Gi"}, "requests of task .*body must be Resources.* got '1Gi'"),
        ({"limits": {"cpu": 1}}, "limits of .* must be Resources"),
        ({"resources": 1}, "resources of .* must be Resources.* got 1"),
        ({"resources": fl.Resources(cpu=1), "limits": fl.Resources(cpu=1)}, "has both resources and limits"),
        ({"requests": fl.Resources(cpu=(1, 2))}, "requests of .* has a pair .*; give it as resources"),
        (
            {"requests": fl.Resources(mem="2Gi"), "limits": fl.Resources(mem="1Gi")},
            "limits of .* has mem='1Gi', below the '2Gi' of requests",
        ),
        ({"secret_requests": fl.Secret("g")}, "secret_requests of .* must be a list of Secret"),
        ({"secret_requests": ["g"]}, "secret_requests of .* must be a list of Secret; got .'g'."),
        ({"secret_requests": [fl.Secret("g", env_var="A")], "environment": {"A": "1"}}, "sets the environment variable A twice"),
        ({"deprecated": True}, "deprecated of .* must be str; got True"),
        ({"docs": 1}, "docs of .* must be Documentation or text; got 1"),
        ({"pickle_untyped": 1}, "pickle_untyped of .* must be bool; got 1"),
        ({"enable_deck": True, "disable_deck": False}, "has both enable_deck and disable_deck"),
        ({"node_dependency_hints": [flow]}, "node_dependency_hints of task .*body is an option of dynamics"),
        ({"nonsense": 1}, "task .*body has no option 'nonsense'; it has cache"),
    ],
)
def test_wrong_options(options: Any, text: str) -> None:
    """What an option cannot be is refused at decoration, with the entity, the option, the value and the way out."""
    with pytest.raises(OptionError, match=text):
        fl.task(**options)(body)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fl.Retry(-1), "count of Retry must be an int from 0 on; got -1"),
        (lambda: fl.Retry(1, backoff=-1), "backoff of Retry must be 0 or more seconds"),
        (lambda: fl.Retry(1, backoff="1s"), "backoff of Retry .* got '1s'"),  # type: ignore[arg-type]
        (lambda: fl.Retry(1, on=KeyboardInterrupt), "on of Retry must be a type of Exception"),  # type: ignore[arg-type]
        (lambda: fl.Retry(1, on=()), "on of Retry must be"),
        (lambda: fl.Retry(1, on=(ValueError, 1)), "on of Retry must be"),  # type: ignore[arg-type]
        (lambda: fl.Backoff(-1), "base of Backoff must be 0 or more seconds"),
        (lambda: fl.Backoff(1, factor=0.5), "factor of Backoff must be a number from 1 on; got 0.5"),
        (lambda: fl.Backoff(1, jitter=2), "jitter of Backoff must be a number from 0 to 1; got 2"),
        (lambda: fl.Backoff(1, cap=0), "cap of Backoff must be more than 0 seconds"),
        (lambda: fl.Timeout(0), "max_runtime of Timeout must be more than 0 seconds"),
        (lambda: fl.Timeout(1, killable=1), "killable of Timeout must be bool; got 1"),  # type: ignore[arg-type]
        (lambda: fl.Documentation(1), "short_description of Documentation must be text"),  # type: ignore[arg-type]
        (lambda: fl.Resources(cpu="two"), "cpu of Resources must be an amount from 0 on, such as 2, 0.5 or '500m'; got 'two'"),
        (lambda: fl.Resources(mem=-1), "mem of Resources .* got -1"),
        (lambda: fl.Resources(gpu="500m"), "gpu of Resources must be a whole number"),
        (lambda: fl.Resources(cpu=(1, 2, 3)), "cpu of Resources must be one amount, or a pair"),
        (lambda: fl.Resources(mem=("2Gi", "1Gi")), "mem of Resources has a limit below its request"),
    ],
)
def test_wrong_values(make: Any, text: str) -> None:
    """What options are made of refuses what it cannot be when it is made."""
    with pytest.raises(OptionError, match=text):
        make()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", 0.5),
        ("2", 2),
        (0.25, 0.25),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5Gi", 1.5 * 2**30),
        ("2G", 2e9),
        ("4GiB", 2**32),
        ("1e3", 1000),
        ("1E", 1e18),
        ("1Ei", 2**60),
    ],
)
def test_amounts(text: Any, value: float) -> None:
    """Amounts are read as Kubernetes reads them."""
    assert amount("mem", text) == value


@given(st.fixed_dictionaries({}, optional={"cpu": st.integers(0, 9), "mem": st.integers(0, 9), "gpu": st.integers(0, 9)}))
def test_resources_of_dask(amounts: dict[str, int]) -> None:
    """Dask is asked for what is set, and for nothing else."""
    names = {"cpu": "CPU", "mem": "MEMORY", "gpu": "GPU"}
    assert fl.Resources(**amounts).dask() == {names[name]: value for name, value in amounts.items()}  # type: ignore[arg-type]


def test_resources_say_both() -> None:
    """A pair is a request and a limit; one amount is a request; limits alone are requests, as in Kubernetes."""
    options = fl.task(resources=fl.Resources(cpu=(1, 2), mem="1Gi"))(body).options
    assert options.requests == fl.Resources(cpu=1, mem="1Gi")
    assert options.limits == fl.Resources(cpu=2)
    assert options.dask_resources() == {"CPU": 1.0, "MEMORY": 2.0**30}
    assert fl.task(limits=fl.Resources(gpu=2))(body).options.dask_resources() == {"GPU": 2.0}


def test_flytes_infrastructure_is_accepted_with_a_warning() -> None:
    """What has no effect on Dask is said once for each option of an entity, and None says nothing."""
    with pytest.warns(InfrastructureWarning, match="container_image of task .*body"):
        fl.task(container_image="image")(body)
    with pytest.warns(InfrastructureWarning, match="node_dependency_hints of dynamic"):
        fl.dynamic(node_dependency_hints=[flow])(body)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fl.task(interruptible=None, pod_template=None)(body)


def test_untyped_functions() -> None:
    """With pickle_untyped, what has no annotation may be anything; without, it is refused."""

    def untyped(a, b: int = 1):  # type: ignore[no-untyped-def]
        return [a, b]

    assert fl.task(pickle_untyped=True)(untyped)(a="x") == ["x", 1]
    with pytest.raises(DefinitionError, match="'a' of .*untyped has no type annotation"):
        fl.task(untyped)


def test_deprecated_tasks_warn_once() -> None:
    """The first call of a deprecated entity says so, where it is called; its later calls do not."""
    old = fl.task(deprecated="use new instead")(body)
    with pytest.warns(DeprecationWarning, match="task .*body is deprecated: use new instead") as caught:
        assert old(a=1) == 1
    assert [one.filename for one in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert old(a=2) == 2
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        fl.map_task(fl.task(deprecated="use new instead")(body))


# ---------------------------------------------------------------- overrides


@pytest.mark.parametrize("entity", [full, loop, fl.map_task(full), fl.map_task(fl.map_task(loop))], ids=lambda one: one.name)
def test_overrides_of_what_has_attempts(entity: Any) -> None:
    """A call of a task or dynamic, or of a map of these, has options of its own, and what it does not say stays."""
    if entity.name.startswith("map of map"):
        entity = fl.map_task(loop)
    node = node_of(entity, retries=5, timeout=None)
    assert node.options == entity.options.overridden({"retries": 5, "timeout": None}, "")
    assert (node.options.retries.count, node.options.timeout) == (5, None)
    assert node.options.environment == entity.options.environment
    assert node_of(entity).options is None
    assert node.reduced({}, ()).options is node.options


def test_overrides_add_up() -> None:
    """A second override of the same call keeps what the first one said."""

    @fl.dynamic
    def calls(a: int) -> Any:
        return plain(a=a).with_overrides(retries=1).with_overrides(timeout=2, environment={"B": "2"}, name="shown")

    node = calls.build({"a": 1}).nodes[0]
    assert (node.options.retries.count, node.options.timeout.seconds, node.options.environment) == (1, 2.0, {"B": "2"})
    assert node.name == "shown"


@pytest.mark.parametrize("entity", [flow, plan, fl.map_task(flow)], ids=lambda one: one.name)
@pytest.mark.parametrize("key", TaskOptions.OVERRIDES)
def test_options_of_tasks_on_what_has_no_attempts(entity: Any, key: str) -> None:
    """A workflow's or launch plan's call has no attempts of its own, and says where the option belongs."""
    with pytest.raises(
        OptionError, match=f"with_overrides of .* has no option '{key}', which is one of tasks: .* it has node_name, name, cache"
    ):
        node_of(entity, **{key: None})


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"retries": -1}, "retries of with_overrides of task .*plain must be an int"),
        ({"deprecated": "x"}, "has no option 'deprecated'; it has node_name"),
        ({"node_name": "a", "name": "b"}, "has both node_name and name"),
        ({"name": "a b"}, "name of with_overrides of task .*plain must be letters"),
        ({"resources": fl.Resources(), "requests": fl.Resources()}, "has both resources and requests"),
    ],
)
def test_wrong_overrides(overrides: Any, text: str) -> None:
    """A wrong override is refused while the graph is built."""
    with pytest.raises(OptionError, match=text):
        node_of(plain, **overrides)


@pytest.mark.parametrize("entity", [loop, fl.map_task(loop)], ids=lambda one: one.name)
def test_the_body_of_a_dynamic_is_not_killable(entity: Any) -> None:
    """What builds a graph does so in the process that executes it."""
    killable = fl.Timeout(1, killable=True)
    with pytest.raises(OptionError, match="timeout of with_overrides of .*loop is killable, .*: give that to the tasks that it calls"):
        node_of(entity, timeout=killable)
    with pytest.raises(OptionError, match="timeout of dynamic .*body is killable"):
        fl.dynamic(timeout=killable)(body)


def test_infrastructure_overrides_warn() -> None:
    """A call may say what Flyte's can say of its pod; it has no effect."""
    with pytest.warns(InfrastructureWarning, match="shared_memory of with_overrides of workflow .*flow"):
        assert node_of(flow, shared_memory=True).options is None


# ---------------------------------------------------------------- shared options


def test_an_environment_shares_options() -> None:
    """Tasks and dynamics of an environment have its options, and theirs go before; dicts are merged."""
    shared = fl.Environment(retries=3, environment={"A": "1"}, cache=True, cache_version="1")
    made = shared.task(environment={"B": "2"}, retries=1)(body)
    assert (made.options.retries.count, made.options.environment) == (1, {"A": "1", "B": "2"})
    assert made.cache is not None
    assert shared.task(body).options == shared(body).options == shared.dynamic(body).options
    assert shared.dynamic(retries=0)(body).kind_name == "dynamic"
    other = shared.extend(timeout=2)
    shared.update(retries=5)
    assert other.task(body).options.retries.count == 3
    assert other.task(body).options.timeout == fl.Timeout(2.0)
    assert shared.task(body).options.retries.count == 5
    assert repr(fl.Environment(retries=2)) == "Environment(retries=2)"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: fl.Environment(retries=-1), "retries of Environment must be an int"),
        (lambda: fl.Environment(nonsense=1), "Environment has no option 'nonsense'"),  # type: ignore[call-arg]
        (lambda: fl.Environment().update(timeout=-1), "timeout of Environment must be"),
        (lambda: fl.Environment().task(3), r"options are given by name, as in task\(retries=3\); got 3"),  # type: ignore[call-overload]
        (lambda: fl.Environment(requests=fl.Resources(cpu=1)).task(resources=fl.Resources(cpu=2))(body), "has both resources and requests"),
    ],
)
def test_wrong_environments(make: Any, text: str) -> None:
    """An environment refuses what a task refuses."""
    with pytest.raises(OptionError, match=text):
        make()
