"""Launch plans: a workflow with inputs and limits bound to it, whose every call is a run of its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from daskflow.entity import LAUNCH_PLAN, Entity, P, R_co
from daskflow.errors import DefinitionError
from daskflow.options import refuse_unknown
from daskflow.planoptions import NAMES, CloneKeywords, PlanKeywords, PlanOptions, check_scheduled
from daskflow.schedules import Schedule
from daskflow.types import shorten
from daskflow.workflow import Workflow

# Of the class methods, which make plans of any type: the class' own would be those of the plan that they are called on.
Q = ParamSpec("Q")
T = TypeVar("T")

_registry: weakref.WeakValueDictionary[str, LaunchPlan[..., Any]] = weakref.WeakValueDictionary()
_lock = threading.Lock()


class LaunchPlan(Entity[P, R_co]):
    """A workflow as something to launch: each call is a child run, with its own id, limit and record.

    Make one with :meth:`get_or_create`, :meth:`create`, :meth:`clone_with` or :meth:`get_default_launch_plan`. All that these take
    besides a name is optional, and named as in Flyte.

    Attributes
    ----------
    workflow
        What is launched.
    default_inputs : dict
        Inputs that a call need not give.
    fixed_inputs : dict
        Inputs that a call cannot give.
    schedule : CronSchedule, FixedRate or None
        When ``daskflow schedule FILE`` runs it. All inputs that the workflow requires must be bound then.
    max_parallelism : int or None
        The limit of a run of the plan; it goes before the workflow's own.
    overwrite_cache : bool
        Whether cached nodes of a run of the plan, and of all that it starts, are executed all the same, and stored anew.
    concurrency : ConcurrencyPolicy or None
        How many runs of the plan there may be at the same moment.
    labels, annotations : dict
        Text by name, kept with the plan.
    options : PlanOptions
        All properties together. ``notifications``, ``raw_output_data_config``, ``security_context``, ``auth_role``, ``trigger`` and
        ``auto_activate`` are taken and have no effect on Dask, of which an ``InfrastructureWarning`` tells.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> @workflow
    ... def add_wf(a: int, b: int) -> int:
    ...     return add(a=a, b=b)
    >>> add_two = LaunchPlan.get_or_create(add_wf, name="add_two", fixed_inputs={"b": 2})
    >>> add_two(a=1)
    3
    >>> add_two.clone_with("add_three", fixed_inputs={"b": 3})(a=1)
    4
    """

    kind = LAUNCH_PLAN
    kind_name = "launch plan"

    def __init__(self, workflow: Workflow[P, R_co], name: str, options: PlanOptions) -> None:
        self.workflow = workflow
        self.cache = workflow.cache
        self.name = name
        self.short_name = name.rpartition(".")[2]
        self.properties = options
        self.keep_going = workflow.keep_going
        # What is asked for each call is found without a detour.
        self.default_inputs = options.default_inputs
        self.fixed_inputs = options.fixed_inputs
        self.max_parallelism = options.max_parallelism
        self.overwrite_cache = options.overwrite_cache
        self.concurrency = options.concurrency
        self.interface = options.narrowed(name, workflow.interface)
        if options.schedule is not None:
            check_scheduled(f"launch plan {name}", options.schedule, self.interface, workflow.interface)
        self.__doc__ = workflow.__doc__
        self.__wrapped__ = workflow.fn

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "properties": self.properties.travelling()}

    @property
    def schedule(self) -> Schedule | None:
        """When the plan is run."""
        return self.properties.schedule

    @property
    def labels(self) -> Mapping[str, str]:
        """The plan's labels."""
        return self.properties.labels

    @property
    def annotations(self) -> Mapping[str, str]:
        """The plan's annotations."""
        return self.properties.annotations

    @property
    def handler(self) -> Any:
        """What is executed once the workflow has failed."""
        return self.workflow.handler

    def prepare(self) -> None:
        """Trace the workflow."""
        self.workflow.prepare()

    @classmethod
    def create(
        cls,
        name: str,
        workflow: Workflow[Q, T],
        default_inputs: Mapping[str, Any] | None = None,
        fixed_inputs: Mapping[str, Any] | None = None,
        **options: Unpack[PlanKeywords],
    ) -> LaunchPlan[Q, T]:
        """Make a plan under a new name.

        Parameters
        ----------
        name
            Names the plan in this process.
        workflow
            What is launched.
        default_inputs, fixed_inputs : dict
            Inputs that a call need not give, and those that it cannot give.
        **options
            Other properties, as :class:`LaunchPlan` has them.

        Raises
        ------
        DefinitionError
            When a plan of that name exists, or a schedule could not be kept.
        InputError
            When a default or fixed input is unknown or of the wrong type.
        OptionError
            When a property is unknown, or is not what it can be.
        """
        plan = _new(workflow, name, {"default_inputs": default_inputs, "fixed_inputs": fixed_inputs, **options})
        with _lock:
            known = _registry.get(name)
            if known is not None and not _redefined(known, workflow):
                raise DefinitionError(f"a launch plan named {name!r} exists already; names are unique: use get_or_create to share it")
            _registry[name] = plan
        return plan

    @classmethod
    def get_or_create(
        cls,
        workflow: Workflow[Q, T],
        name: str | None = None,
        default_inputs: Mapping[str, Any] | None = None,
        fixed_inputs: Mapping[str, Any] | None = None,
        **options: Unpack[PlanKeywords],
    ) -> LaunchPlan[Q, T]:
        """Return the plan of a name, made now if it is new; without a name, the workflow's default plan.

        Takes what :meth:`create` takes.

        Raises
        ------
        DefinitionError
            When the name is taken by a plan that differs, or properties are given without a name.
        InputError, OptionError
            As for :meth:`create`.
        """
        given = {"default_inputs": default_inputs, "fixed_inputs": fixed_inputs, **options}
        if name is None or name == _workflow(workflow).name:
            return cls._default(_workflow(workflow), given)
        return _shared(_new(workflow, name, given))

    def clone_with(self, name: str, **options: Unpack[CloneKeywords]) -> LaunchPlan[P, R_co]:
        """Return a plan of another name that has the properties of this one, but for those that are given.

        Takes what :meth:`create` takes. A property that is given as ``None`` is not that of this plan, but none at all. An input that
        is fixed now has no default any more.

        Raises
        ------
        DefinitionError, InputError, OptionError
            As for :meth:`get_or_create`.
        """
        mine = self.properties.given()
        if "default_inputs" not in options:
            fixed = options.get("fixed_inputs") or {}
            mine["default_inputs"] = {one: value for one, value in self.default_inputs.items() if one not in fixed}
        return _shared(_new(self.workflow, name, {**mine, **options}))

    @classmethod
    def get_default_launch_plan(cls, ctx: Any, workflow: Workflow[Q, T]) -> LaunchPlan[Q, T]:  # noqa: ARG003
        """Return the workflow's default plan: nothing bound, its own limit. `ctx`, which Flyte has, is not used."""
        return cls._default(_workflow(workflow), {})

    @classmethod
    def _default(cls, workflow: Workflow[Q, T], given: Mapping[str, Any]) -> LaunchPlan[Q, T]:
        owner = f"the default launch plan of {workflow.name}"
        refuse_unknown(given, NAMES, owner)
        properties = [option for option, value in given.items() if not _says_nothing(value)]
        if properties:
            raise DefinitionError(f"{owner} has no properties of its own, such as {', '.join(properties)}; give the plan a name")
        with _lock:
            plan = workflow.__dict__.get("_default_plan")
            if plan is None:
                plan = workflow.__dict__["_default_plan"] = LaunchPlan(workflow, workflow.name, PlanOptions())
        return plan


def _says_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, (Mapping, list, tuple)) and not value)


def _workflow(workflow: Any) -> Any:
    if not isinstance(workflow, Workflow):
        raise DefinitionError(f"a launch plan is made of a @workflow, not of {workflow!r}; wrap it in a workflow")
    return workflow


def _redefined(known: LaunchPlan[..., Any], workflow: Workflow[..., Any]) -> bool:
    # A notebook's cell run again, or code shipped anew to a worker, defines the same workflow as a new object.
    return known.workflow is not workflow and known.workflow.name == workflow.name


def _new(workflow: Workflow[Q, T], name: Any, given: Mapping[str, Any]) -> LaunchPlan[Q, T]:
    owner = f"a launch plan of {_workflow(workflow).name}"
    if not isinstance(name, str) or not name:
        raise DefinitionError(f"the name of {owner} must be text; got {name!r}")
    if name == workflow.name:
        raise DefinitionError(f"{name!r} is the name of the workflow's default launch plan; {owner} with properties needs another one")
    return LaunchPlan(workflow, name, PlanOptions.of(f"launch plan {name}", workflow.interface, given))


def _shared(plan: LaunchPlan[Q, T]) -> LaunchPlan[Q, T]:
    """Return the plan that has the name already, if it is the same; otherwise the plan itself, which has it from now on."""
    with _lock:
        known = _registry.get(plan.name)
        if known is None or _redefined(known, plan.workflow):
            _registry[plan.name] = plan
            return plan
    if known.workflow is not plan.workflow:
        raise DefinitionError(
            f"a launch plan named {plan.name!r} exists already, for {known.workflow.name}; {plan.workflow.name} needs another name"
        )
    differs = plan.properties.differing(known.properties)
    if differs is not None:
        mine, theirs = plan.properties.given(), known.properties.given()
        raise DefinitionError(
            f"a launch plan named {plan.name!r} exists already with another {differs}: "
            f"{shorten(theirs.get(differs))}, not {shorten(mine.get(differs))}; give one of them another name"
        )
    return cast("LaunchPlan[Q, T]", known)


def enter_static(entity: Any, inputs: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return the graph of a workflow or launch plan, and the values of its input slots."""
    if entity.kind == LAUNCH_PLAN:
        inputs = {**inputs, **entity.fixed_inputs} if entity.fixed_inputs else inputs
        entity = entity.workflow
    return entity.graph, [inputs[name] for name in entity.interface.parameters]


def top_level(entity: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what a run of an entity executes: of a launch plan its workflow, since the run itself is what the plan launches."""
    if entity.kind == LAUNCH_PLAN:
        return entity.workflow, {**inputs, **entity.fixed_inputs}
    return entity, inputs
