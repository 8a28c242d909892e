"""What a launch plan adds to its workflow: :class:`PlanOptions`, checked and comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypedDict

from daskflow import infrastructure
from daskflow.concurrency import ConcurrencyPolicy
from daskflow.errors import DefinitionError, InputError, OptionError
from daskflow.interface import Interface, Outputs, Parameter
from daskflow.notifications import Notification
from daskflow.options import check_limit, refuse_unknown
from daskflow.schedules import CronSchedule, FixedRate, Schedule
from daskflow.types import describe, shorten


@dataclass(frozen=True)
class Labels:
    """What is to be said of a plan's runs, as text by name; a plain dict does as well."""

    values: Mapping[str, str]


@dataclass(frozen=True)
class Annotations:
    """What is to be noted of a plan's runs, as text by name; a plain dict does as well."""

    values: Mapping[str, str]


class PlanKeywords(TypedDict, total=False):
    """The properties of a plan that are given by name only."""

    schedule: Schedule | None
    notifications: Sequence[Notification] | None
    labels: Mapping[str, str] | Labels | None
    annotations: Mapping[str, str] | Annotations | None
    raw_output_data_config: Any
    max_parallelism: int | None
    security_context: Any
    auth_role: Any
    trigger: Any
    overwrite_cache: bool
    auto_activate: bool
    concurrency: ConcurrencyPolicy | None


class CloneKeywords(PlanKeywords, total=False):
    """The properties that a copy of a plan may have otherwise."""

    default_inputs: Mapping[str, Any] | None
    fixed_inputs: Mapping[str, Any] | None


@dataclass(frozen=True)
class PlanOptions:
    """The properties of a launch plan.

    Attributes
    ----------
    default_inputs, fixed_inputs : dict
        Inputs that a call need not give, and those that it cannot give.
    schedule : CronSchedule, FixedRate or None
        When ``daskflow schedule`` runs it.
    labels, annotations : dict
        Text by name, for people and programs that look at the plan.
    max_parallelism : int or None
        The limit of a run.
    overwrite_cache : bool
        Whether cached nodes are executed all the same.
    concurrency : ConcurrencyPolicy or None
        How many runs of it there may be.
    infrastructure : dict
        What was given that has no effect on Dask. It counts where plans are compared.
    """

    default_inputs: dict[str, Any] = field(default_factory=dict)
    fixed_inputs: dict[str, Any] = field(default_factory=dict)
    schedule: Schedule | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    max_parallelism: int | None = None
    overwrite_cache: bool = False
    concurrency: ConcurrencyPolicy | None = None
    infrastructure: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, owner: str, inputs: Interface, given: Mapping[str, Any]) -> PlanOptions:
        """Check what was given to a plan.

        Parameters
        ----------
        owner
            The plan, for messages: ``launch plan NAME``.
        inputs
            The interface of its workflow.
        given
            The properties, by name.

        Raises
        ------
        InputError
            When a default or fixed input is unknown or of the wrong type, or an input is both.
        OptionError
            When a property is unknown, or is not what it can be.
        """
        refuse_unknown(given, NAMES, owner)
        _check_notifications(given.get("notifications"), owner)
        _flag(given.get("auto_activate"), "auto_activate", owner)
        own = infrastructure.accept(owner, given, infrastructure.PLAN_OPTIONS)
        kept = {name: given[name] for name in infrastructure.PLAN_OPTIONS if given.get(name)}
        bound = {name: _bound(own.get(name), name, owner, inputs) for name in ("default_inputs", "fixed_inputs")}
        for name in bound["default_inputs"].keys() & bound["fixed_inputs"].keys():
            raise InputError(f"input {name!r} of {owner} is in default_inputs and in fixed_inputs; what is fixed has no default")
        return cls(
            **bound,
            schedule=_of_type(own.get("schedule"), (CronSchedule, FixedRate), "schedule", owner),
            labels=_texts(own.get("labels"), "labels", owner),
            annotations=_texts(own.get("annotations"), "annotations", owner),
            max_parallelism=check_limit(own.get("max_parallelism"), "max_parallelism", owner, zero=True),
            overwrite_cache=_flag(own.get("overwrite_cache"), "overwrite_cache", owner),
            concurrency=_of_type(own.get("concurrency"), (ConcurrencyPolicy,), "concurrency", owner),
            infrastructure=kept,
        )

    def given(self) -> dict[str, Any]:
        """Return the properties as they may be given again."""
        return {**{name: getattr(self, name) for name in _EFFECTIVE}, **self.infrastructure}

    def differing(self, other: PlanOptions) -> str | None:
        """Return the name of the first property that is another one there."""
        mine, theirs = self.given(), other.given()
        return next((name for name in NAMES if not _equal(mine.get(name), theirs.get(name))), None)

    def travelling(self) -> PlanOptions:
        """Return what a worker has to know."""
        return replace(self, infrastructure={})

    def narrowed(self, name: str, inputs: Interface) -> PlanInterface:
        """Return the interface of a plan of that name: without what is fixed, and with other defaults."""
        parameters = {
            one.name: Parameter(one.name, one.annotation, self.default_inputs.get(one.name, one.default))
            for one in inputs.parameters.values()
            if one.name not in self.fixed_inputs
        }
        return PlanInterface(name, parameters, inputs.outputs, self.fixed_inputs)


_EFFECTIVE = tuple(one.name for one in fields(PlanOptions) if one.name != "infrastructure")
#: All properties of a plan.
NAMES = (*_EFFECTIVE, *infrastructure.PLAN_OPTIONS)


class PlanInterface(Interface):
    """The interface of a launch plan, which knows the inputs that are fixed."""

    __slots__ = ("fixed",)

    def __init__(self, name: str, parameters: Mapping[str, Parameter], outputs: Outputs, fixed: Mapping[str, Any]) -> None:
        super().__init__(name, parameters, outputs)
        self.fixed = fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return PlanInterface, (self.name, self.parameters, self.outputs, self.fixed)

    def why_unknown(self, name: Any) -> str:
        """Return why an input cannot be given, and what to do."""
        return self.why_fixed(name) if name in self.fixed else super().why_unknown(name)

    def renamed(self, name: str, parameters: Mapping[str, Parameter], outputs: Outputs) -> PlanInterface:
        """Return one that has the same inputs fixed."""
        return PlanInterface(name, parameters, outputs, self.fixed)

    def why_fixed(self, name: str) -> str:
        """Return why an input cannot be given, and what to do."""
        owner = self.name if self.name.startswith("map of ") else f"launch plan {self.name}"
        return (
            f"{owner} has no input {name!r} to give: it is fixed to {shorten(self.fixed[name])}; "
            "make another plan with clone_with(..., fixed_inputs=...), or call its workflow"
        )


def check_scheduled(owner: str, schedule: Schedule, inputs: Interface, workflow: Interface) -> None:
    """Refuse a scheduled plan that could not be run.

    Parameters
    ----------
    owner
        The plan, for messages.
    schedule
        Its schedule.
    inputs, workflow
        Its interface and its workflow's.

    Raises
    ------
    DefinitionError
        When the input for the kickoff time is unknown, fixed or takes no datetime, or a required input has no value.
    """
    kickoff = schedule.kickoff_time_input_arg
    if kickoff is not None:
        _check_kickoff(owner, kickoff, inputs, workflow)
    missing = [one for one in inputs.parameters.values() if one.required and one.name != kickoff]
    if missing:
        names = ", ".join(f"{one.name!r} ({describe(one.annotation)})" for one in missing)
        raise DefinitionError(
            f"{owner} has a schedule, and nobody to give the input {names}; bind it in default_inputs or fixed_inputs"
            + (", or name it in the schedule's kickoff_time_input_arg" if kickoff is None else "")
        )


def _check_kickoff(owner: str, name: str, inputs: Interface, workflow: Interface) -> None:
    said = f"kickoff_time_input_arg of the schedule of {owner}"
    if name not in workflow.parameters:
        raise DefinitionError(f"{said} names {name!r}; {workflow.name} takes {workflow.signature() or 'no inputs'}")
    if name not in inputs.parameters:
        raise DefinitionError(f"{said} names {name!r}, which is in fixed_inputs; take it out there")
    try:
        inputs.check_input(name, datetime.now(UTC))
    except InputError:
        declared = describe(workflow.parameters[name].annotation)
        raise DefinitionError(f"{said} names {name!r}, which is {declared}; declare it as datetime.datetime") from None


def _bound(given: Any, option: str, owner: str, inputs: Interface) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise OptionError(f"{option} of {owner} must be a dict of values by the names of inputs; got {given!r}")
    for name in given:
        if name not in inputs.parameters:
            raise InputError(f"{option} of {owner} names {name!r}; {inputs.name} takes {inputs.signature() or 'no inputs'}")
    return inputs.check_inputs(given)


def _of_type(given: Any, types: tuple[type, ...], option: str, owner: str) -> Any:
    if given is None or isinstance(given, types):
        return given
    raise OptionError(f"{option} of {owner} must be a {' or '.join(one.__name__ for one in types)}; got {given!r}")


def _flag(given: Any, option: str, owner: str) -> bool:
    if given is None:
        return False
    if not isinstance(given, bool):
        raise OptionError(f"{option} of {owner} must be bool; got {given!r}")
    return given


def _texts(given: Any, option: str, owner: str) -> dict[str, str]:
    if given is None:
        return {}
    # Flyte's own classes for them hold the mapping.
    texts = given if isinstance(given, Mapping) else getattr(given, "values", None)
    if not isinstance(texts, Mapping) or not all(isinstance(one, str) for pair in texts.items() for one in pair):
        raise OptionError(f"{option} of {owner} must be a dict of text by name; got {given!r}")
    return dict(texts)


def _check_notifications(given: Any, owner: str) -> None:
    if given is None:
        return
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(hasattr(one, "phases") for one in given):
        raise OptionError(f"notifications of {owner} must be a list of Email, Slack and PagerDuty; got {given!r}")


def _equal(one: Any, other: Any) -> bool:
    """Tell whether two properties are the same, also where their values, such as arrays, do not compare as a whole."""
    with suppress(Exception):
        return bool(one == other)
    import cloudpickle

    with suppress(Exception):
        return bool(cloudpickle.dumps(one) == cloudpickle.dumps(other))
    return False
