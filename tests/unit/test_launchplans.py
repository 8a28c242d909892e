"""Launch plans: what they bind, what they take, when two are the same, and what is refused."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import click
import numpy as np
import pytest

import daskflow as fl
from daskflow import infrastructure
from daskflow.cliargs import options, read_inputs
from daskflow.concurrency import ConcurrencyLimitBehavior, ConcurrencyPolicy
from daskflow.errors import DefinitionError, InputError, OptionError
from daskflow.infrastructure import InfrastructureWarning
from daskflow.notifications import Email, PagerDuty, Slack, WorkflowExecutionPhase
from daskflow.planoptions import Annotations, Labels
from daskflow.schedules import CronSchedule, FixedRate


@fl.task
def add(a: int, b: int) -> int:
    return a + b


@fl.workflow
def add_wf(a: int, b: int = 10) -> int:
    return add(a=a, b=b)


@fl.task
def show(when: datetime, a: int) -> str:
    return f"{when:%H:%M} {a}"


@fl.workflow
def show_wf(when: datetime, a: int) -> str:
    return show(when=when, a=a)


@fl.workflow
def maybe_wf(when: datetime | None = None) -> None:
    return None


@fl.workflow
def marked_wf(when: Annotated[datetime, "a mark"]) -> None:
    return None


@fl.task
def total(values: Any) -> float:
    return float(values.sum())


@fl.workflow
def total_wf(values: Any) -> float:
    return total(values=values)


@pytest.fixture(autouse=True)
def _nothing_warned_of() -> Iterator[None]:
    infrastructure._warned.clear()
    yield
    infrastructure._warned.clear()


get = fl.LaunchPlan.get_or_create

# ---------------------------------------------------------------- fixed inputs

fixed = get(add_wf, "plans.fixed", fixed_inputs={"b": 2})


@fl.dynamic
def gives_fixed() -> int:
    return fixed(a=1, b=3)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "call",
    [
        lambda: fixed(a=1, b=3),
        lambda: fixed(1, b=2),
        lambda: gives_fixed(),
        lambda: fl.workflow(_body).graph,
        lambda: fl.run(fixed, a=1, b=3),
        lambda: fl.submit(fixed, {"a": 1, "b": 3}),
        lambda: fixed.to_delayed(a=1, b=3),
    ],
)
def test_a_fixed_input_cannot_be_given(call: Any) -> None:
    """Wherever a plan is called, giving what it has fixed is an error that names the plan, the input, its value and the way out."""
    with pytest.raises(InputError, match=r"launch plan plans\.fixed has no input 'b' to give: it is fixed to 2; .*clone_with"):
        call()


def _body() -> int:
    return fixed(a=1, b=3)  # type: ignore[no-any-return]


def test_a_fixed_input_cannot_be_mapped_over() -> None:
    """Neither a map nor a partial gives a fixed input."""
    with pytest.raises(InputError, match=r"map of plans\.fixed has no input 'b'"):
        fl.map_task(fixed)(a=[1], b=[2])
    with pytest.raises(DefinitionError, match=r"map of plans\.fixed binds 'b'"):
        fl.map_task(functools.partial(fixed, b=2))


@pytest.mark.parametrize("arguments", [["--a", "1", "--b", "3"], ["--b=3", "--a=1"]])
def test_a_fixed_input_is_no_option_of_the_command(arguments: list[str]) -> None:
    """On the command line a fixed input is refused with the same words, and the help does not show it."""
    command = click.Command("fixed", params=options(fixed), callback=lambda **_: None)
    with pytest.raises(click.UsageError, match=r"launch plan plans\.fixed has no input 'b' to give: it is fixed to 2"):
        command.main(arguments, standalone_mode=False)
    assert "--b" not in command.get_help(click.Context(command))
    command.main(["--a", "1"], standalone_mode=False)


def test_a_fixed_flag_is_refused_either_way() -> None:
    """An input that is a flag is refused as one."""

    @fl.workflow
    def flagged(on: bool) -> bool:
        return on

    command = click.Command("flagged", params=options(get(flagged, "plans.flagged", fixed_inputs={"on": True})), callback=lambda: None)
    for flag in ("--on", "--no-on"):
        with pytest.raises(click.UsageError, match="it is fixed to True"):
            command.main([flag], standalone_mode=False)
    command.main([], standalone_mode=False)


def test_a_file_of_inputs_does_not_give_what_is_fixed(tmp_path: Path) -> None:
    """A file that names a fixed input is refused with the same words."""
    (tmp_path / "inputs.json").write_text('{"b": 3}')
    with pytest.raises(InputError, match=r"inputs\.json names the input 'b'; launch plan plans\.fixed has no input 'b' to give"):
        read_inputs(str(tmp_path / "inputs.json"), fixed.interface)


def test_an_input_is_fixed_or_has_a_default() -> None:
    """One input cannot be bound both ways."""
    with pytest.raises(InputError, match=r"input 'a' of launch plan plans\.both is in default_inputs and in fixed_inputs"):
        get(add_wf, "plans.both", default_inputs={"a": 1}, fixed_inputs={"a": 1})


# ---------------------------------------------------------------- properties

PROPERTIES: list[tuple[str, Any, Any]] = [
    ("default_inputs", {"a": 1}, {"a": 2}),
    ("fixed_inputs", {"a": 1}, {"a": 2}),
    ("schedule", FixedRate(timedelta(hours=1)), FixedRate(timedelta(hours=2))),
    ("labels", {"team": "x"}, {"team": "y"}),
    ("annotations", {"note": "x"}, None),
    ("max_parallelism", 2, 0),
    ("overwrite_cache", True, False),
    ("concurrency", ConcurrencyPolicy(1), ConcurrencyPolicy(1, "FAIL")),
]


@pytest.mark.parametrize(("name", "value", "other"), PROPERTIES)
def test_properties_are_kept_and_compared(name: str, value: Any, other: Any) -> None:
    """A property is on the plan; the same name with another value of it is refused, by name and values."""
    needed: dict[str, Any] = {"default_inputs": {"a": 1}} if name == "schedule" else {}
    plan = get(add_wf, f"plans.kept.{name}", **needed, **{name: value})
    assert getattr(plan, name) == value
    assert get(add_wf, f"plans.kept.{name}", **needed, **{name: value}) is plan
    with pytest.raises(DefinitionError, match=f"exists already with another {name}: .*, not .*; give one of them another name"):
        get(add_wf, f"plans.kept.{name}", **needed, **{name: other})


@pytest.mark.parametrize(("name", "value", "_"), [*PROPERTIES, ("auto_activate", True, None), ("trigger", object(), None)])
def test_the_default_plan_has_no_properties(name: str, value: Any, _: Any) -> None:
    """Without a name, or under the workflow's, no property may be given, and the error names it."""
    for own in (None, add_wf.name):
        with pytest.raises(
            DefinitionError, match=f"the default launch plan of .*add_wf has no properties of its own, such as {name}; give"
        ):
            get(add_wf, own, **{name: value})
    with pytest.raises(DefinitionError, match="is the name of the workflow's default launch plan"):
        fl.LaunchPlan.create(add_wf.name, add_wf, **{name: value})


def test_the_default_plan() -> None:
    """What says nothing is no property; the default plan is one and the same."""
    assert get(add_wf) is get(add_wf, add_wf.name) is get(add_wf, None, {}, None, labels=None, auto_activate=False, overwrite_cache=False)


def test_flytes_own_objects_for_texts() -> None:
    """Labels and annotations are taken as dicts, or as objects that hold one."""
    plan = get(add_wf, "plans.texts", labels=Labels({"team": "x"}), annotations=Annotations({"note": "y"}))
    assert (plan.labels, plan.annotations) == ({"team": "x"}, {"note": "y"})
    assert get(add_wf, "plans.texts", labels={"team": "x"}, annotations={"note": "y"}) is plan


def test_values_that_do_not_compare_as_a_whole() -> None:
    """Arrays as inputs are compared by what they hold."""
    plan = get(total_wf, "plans.array", fixed_inputs={"values": np.arange(3)})
    assert get(total_wf, "plans.array", fixed_inputs={"values": np.arange(3)}) is plan
    with pytest.raises(DefinitionError, match="another fixed_inputs"):
        get(total_wf, "plans.array", fixed_inputs={"values": np.arange(4)})


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"scheduel": 1}, OptionError, r"launch plan plans\.wrong has no option 'scheduel'; it has default_inputs, fixed_inputs, schedule"),
        ({"schedule": "daily"}, OptionError, "schedule of .* must be a CronSchedule or FixedRate; got 'daily'"),
        ({"concurrency": 3}, OptionError, "concurrency of .* must be a ConcurrencyPolicy; got 3"),
        ({"labels": {"a": 1}}, OptionError, r"labels of .* must be a dict of text by name; got \{'a': 1\}"),
        ({"annotations": ["a"]}, OptionError, r"annotations of .* must be a dict of text by name"),
        ({"overwrite_cache": 1}, OptionError, "overwrite_cache of .* must be bool; got 1"),
        ({"auto_activate": "yes"}, OptionError, "auto_activate of .* must be bool; got 'yes'"),
        ({"notifications": ["me@example.org"]}, OptionError, "notifications of .* must be a list of Email, Slack and PagerDuty"),
        ({"notifications": "me@example.org"}, OptionError, "notifications of .* must be a list of Email, Slack and PagerDuty"),
        ({"default_inputs": [1]}, OptionError, "default_inputs of .* must be a dict of values by the names of inputs"),
        ({"fixed_inputs": {"z": 1}}, InputError, "fixed_inputs of .* names 'z'; .*add_wf takes a: int, b: int = 10"),
        ({"max_parallelism": -1}, OptionError, r"max_parallelism of launch plan plans\.wrong must be a positive int, or 0"),
    ],
)
def test_wrong_properties(given: dict[str, Any], error: type[Exception], text: str) -> None:
    """A property that is unknown, or not what it can be, is refused when the plan is made, by each way to make one."""
    for make in (lambda: get(add_wf, "plans.wrong", **given), lambda: fl.LaunchPlan.create("plans.wrong", add_wf, **given)):
        with pytest.raises(error, match=text):
            make()
    plan = get(add_wf, "plans.right")
    with pytest.raises(error, match=text):
        plan.clone_with("plans.wrong", **given)


@pytest.mark.parametrize("name", ["", 3])
def test_a_name_is_text(name: Any) -> None:
    """A plan's name is text, and there is some of it."""
    with pytest.raises(DefinitionError, match="the name of a launch plan of .*add_wf must be text; got"):
        get(add_wf, name)


# ---------------------------------------------------------------- copies


def test_a_copy_has_all_but_what_is_given() -> None:
    """A copy differs in what is given, and `None` takes a property away."""
    rate, policy = FixedRate(timedelta(hours=1)), ConcurrencyPolicy(2)
    plan = get(
        add_wf, "plans.original", default_inputs={"a": 1}, fixed_inputs={"b": 2}, schedule=rate, labels={"x": "y"}, concurrency=policy
    )
    copy = plan.clone_with("plans.copy", max_parallelism=3, labels=None, fixed_inputs={"b": 5})
    assert (copy.workflow, copy.schedule, copy.concurrency, copy.max_parallelism, copy.labels) == (add_wf, rate, policy, 3, {})
    assert (copy(), plan()) == (6, 3)
    assert plan.clone_with("plans.copy", max_parallelism=3, labels=None, fixed_inputs={"b": 5}) is copy
    with pytest.raises(DefinitionError, match="another max_parallelism: 3, not 4"):
        copy.clone_with("plans.copy", max_parallelism=4)
    with pytest.raises(DefinitionError, match="default launch plan"):
        plan.clone_with(add_wf.name)


def test_a_copy_may_fix_what_had_a_default() -> None:
    """An input that a copy fixes has no default there; a copy cannot give what is fixed a default."""
    plan = get(add_wf, "plans.defaults", default_inputs={"a": 1, "b": 2})
    copy = plan.clone_with("plans.defaults.fixed", fixed_inputs={"a": 7})
    assert copy() == 9
    with pytest.raises(InputError, match="launch plan plans.defaults.fixed has no input 'a' to give"):
        copy(a=1)
    with pytest.raises(InputError, match="input 'a' of launch plan plans.defaults.again is in default_inputs and in fixed_inputs"):
        copy.clone_with("plans.defaults.again", default_inputs={"a": 1})


# ---------------------------------------------------------------- schedules


@pytest.mark.parametrize(
    ("workflow", "given", "text"),
    [
        (show_wf, {"kickoff": "when"}, r"launch plan plans\.scheduled has a schedule, and nobody to give the input 'a' \(int\); bind it"),
        (show_wf, {}, r"nobody to give the input 'when' \(datetime\), 'a' \(int\); .*or name it in the schedule's kickoff_time_input_arg"),
        (show_wf, {"kickoff": "wann", "default_inputs": {"a": 1}}, "names 'wann'; .*show_wf takes when: datetime, a: int"),
        (show_wf, {"kickoff": "a", "default_inputs": {"a": 1}}, "names 'a', which is int; declare it as datetime.datetime"),
        (show_wf, {"kickoff": "when", "fixed_inputs": {"when": datetime(2026, 1, 1), "a": 1}}, "'when', which is in fixed_inputs"),  # noqa: DTZ001
    ],
)
def test_a_schedule_that_could_not_be_kept(workflow: Any, given: dict[str, Any], text: str) -> None:
    """A plan whose schedule nobody could give the inputs for is refused when it is made."""
    schedule = CronSchedule("daily", kickoff_time_input_arg=given.pop("kickoff", None))
    with pytest.raises(DefinitionError, match=text):
        get(workflow, "plans.scheduled", schedule=schedule, **given)


@pytest.mark.parametrize(("workflow", "bound"), [(show_wf, {"a": 1}), (maybe_wf, {}), (marked_wf, {}), (total_wf, {})])
def test_an_input_for_the_time(workflow: Any, bound: dict[str, Any]) -> None:
    """What takes a datetime takes the time of a tick."""
    name = next(iter(workflow.interface.parameters))
    schedule = CronSchedule("daily", kickoff_time_input_arg=name)
    assert get(workflow, f"plans.kickoff.{workflow.short_name}", bound, schedule=schedule).schedule is schedule


def test_a_plan_with_a_schedule_is_called_as_ever() -> None:
    """A schedule changes nothing for calls."""
    plan = get(show_wf, "plans.daily", {"a": 1}, schedule=CronSchedule("daily", kickoff_time_input_arg="when"))
    assert plan(when=datetime(2026, 1, 1, 6, 30), a=2) == "06:30 2"  # noqa: DTZ001


# ---------------------------------------------------------------- what has no effect on Dask

MAIL = Email(phases=[WorkflowExecutionPhase.FAILED], recipients_email=["me@example.org"])


def test_infrastructure_is_taken_and_said_to_have_no_effect() -> None:
    """Each such option is warned of once in a process, with the plan, the option and the way out, at the user's own line."""
    given: dict[str, Any] = {name: object() for name in ("raw_output_data_config", "security_context", "auth_role", "trigger")}
    with pytest.warns(InfrastructureWarning) as told:
        plan = get(add_wf, "plans.infrastructure", notifications=[MAIL], auto_activate=True, **given)
    messages = [str(one.message) for one in told]
    assert len(messages) == 6
    assert {one.filename for one in told} == {__file__}
    assert "trigger of launch plan plans.infrastructure has no effect on Dask: give the plan a schedule=" in "\n".join(messages)
    # Not again, for this plan or another.
    assert get(add_wf, "plans.infrastructure", notifications=[MAIL], auto_activate=True, **given) is plan
    with pytest.raises(DefinitionError, match="another trigger"):
        get(add_wf, "plans.infrastructure", notifications=[MAIL], auto_activate=True, **{**given, "trigger": object()})
    assert plan(a=1) == 11


def test_what_asks_for_nothing_is_not_warned_of() -> None:
    """None, and what asks for what is so anyway, is no word worth."""
    with warnings.catch_warnings(record=True) as told:
        get(add_wf, "plans.moot", notifications=[], auto_activate=False, trigger=None, security_context=None)
    assert not told
    assert infrastructure.accept("task t", {"disable_deck": True, "interruptible": False, "cache": 1}, infrastructure.TASK_OPTIONS) == {
        "cache": 1
    }


def test_every_owner_has_known_options() -> None:
    """What an owner takes as infrastructure has its words."""
    for names in (
        infrastructure.DYNAMIC_OPTIONS,
        infrastructure.WORKFLOW_OPTIONS,
        infrastructure.OVERRIDE_OPTIONS,
        infrastructure.PLAN_OPTIONS,
    ):
        assert set(names) <= infrastructure.OPTIONS.keys()


@pytest.mark.parametrize("kind", [Email, Slack, PagerDuty])
@pytest.mark.parametrize(
    ("phases", "recipients", "text"),
    [
        ([], ["a@b"], "phases of {} must be a list that is not empty"),
        (["RUNNING"], ["a@b"], "phases of {} are ends of a run, ABORTED, FAILED, SUCCEEDED, TIMED_OUT; got 'RUNNING'"),
        ([2], ["a@b"], "phases of {} are ends of a run"),
        (["FAILED"], [], "recipients_email of {} must be a list that is not empty"),
        (["FAILED"], "a@b", "recipients_email of {} must be a list"),
        (["FAILED"], [3], "recipients_email of {} are addresses; got 3"),
    ],
)
def test_wrong_notifications(kind: Any, phases: Any, recipients: Any, text: str) -> None:
    """A notification of no end of a run, or to nobody, is refused."""
    with pytest.raises(OptionError, match=text.format(kind.__name__)):
        kind(phases, recipients)


def test_notifications_compare() -> None:
    """Phases may be given by name, number or member; kinds are not the same."""
    assert Email(["FAILED", 4], ["a@b"]) == Email([WorkflowExecutionPhase.FAILED, "SUCCEEDED"], ("a@b",))
    assert Email(["FAILED"], ["a@b"]) != Slack(["FAILED"], ["a@b"])


# ---------------------------------------------------------------- concurrency


def test_a_concurrency_policy() -> None:
    """A behaviour is given as a member or by its name; Flyte's default is to skip."""
    assert (
        ConcurrencyPolicy(1) == ConcurrencyPolicy(1, ConcurrencyLimitBehavior.SKIP) == ConcurrencyPolicy(max_concurrency=1, behavior="skip")
    )
    assert {ConcurrencyPolicy(1, name).behavior for name in ("SKIP", "QUEUE", "REPLACE", "FAIL")} == set(ConcurrencyLimitBehavior)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((0,), "max_concurrency of a ConcurrencyPolicy must be a positive int; got 0"),
        ((True,), "must be a positive int; got True"),
        ((None,), "must be a positive int; got None"),
        ((1, "WAIT"), "behavior of a ConcurrencyPolicy must be one of SKIP, QUEUE, REPLACE, FAIL; got 'WAIT'"),
        ((1, 2), "must be one of SKIP, QUEUE, REPLACE, FAIL; got 2"),
    ],
)
def test_wrong_concurrency(given: tuple[Any, ...], text: str) -> None:
    """No runs at all, or an unknown behaviour, is refused."""
    with pytest.raises(OptionError, match=text):
        ConcurrencyPolicy(*given)


# ---------------------------------------------------------------- travelling


class _Untravelled:
    def __reduce__(self) -> Any:
        raise TypeError("this stays where it is")


def test_what_no_worker_needs_does_not_travel() -> None:
    """A plan is pickled without what has no effect, and has all the rest afterwards."""
    with pytest.warns(InfrastructureWarning):
        plan = get(add_wf, "plans.travels", fixed_inputs={"b": 2}, concurrency=ConcurrencyPolicy(2), security_context=_Untravelled())
    there = pickle.loads(pickle.dumps(plan.__getstate__()["properties"]))
    assert (there.fixed_inputs, there.concurrency) == ({"b": 2}, ConcurrencyPolicy(2))
    interface = pickle.loads(pickle.dumps(plan.interface))
    with pytest.raises(InputError, match="it is fixed to 2"):
        interface.bind((), {"b": 1})


def test_schedules_cost_no_start() -> None:
    """Neither cron expressions nor time zones are imported before a schedule is made."""
    code = "import sys, daskflow; assert not {'cronsim', 'zoneinfo', 'pydantic', 'distributed'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
