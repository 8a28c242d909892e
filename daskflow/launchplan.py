"""Launch plans: a workflow with inputs and limits bound to it, whose every call is a run of its own."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Any, ParamSpec, TypeVar, cast

from daskflow.entity import LAUNCH_PLAN, Entity, P, R_co
from daskflow.errors import DefinitionError, InputError, OptionError
from daskflow.interface import Interface, Parameter
from daskflow.options import check_limit
from daskflow.workflow import Workflow

# Of the class methods, which make plans of any type: the class' own would be those of the plan that they are called on.
Q = ParamSpec("Q")
T = TypeVar("T")

_registry: weakref.WeakValueDictionary[str, LaunchPlan[..., Any]] = weakref.WeakValueDictionary()
_lock = threading.Lock()


class LaunchPlan(Entity[P, R_co]):
    """A workflow as something to launch: each call is a child run, with its own id, limit and record.

    Make one with :meth:`get_or_create`, :meth:`create` or :meth:`get_default_launch_plan`.

    Attributes
    ----------
    workflow
        What is launched.
    fixed_inputs : dict
        Inputs that a call cannot give.
    max_parallelism : int or None
        The limit of a run of the plan; it goes before the workflow's own.
    overwrite_cache : bool
        Whether cached nodes of a run of the plan, and of all that it starts, are executed all the same, and stored anew.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> @workflow
    ... def add_wf(a: int, b: int) -> int:
    ...     return add(a=a, b=b)
    >>> LaunchPlan.get_or_create(add_wf, name="add_two", fixed_inputs={"b": 2})(a=1)
    3
    """

    kind = LAUNCH_PLAN
    kind_name = "launch plan"

    def __init__(
        self,
        workflow: Workflow[P, R_co],
        name: str,
        default_inputs: Mapping[str, Any],
        fixed_inputs: Mapping[str, Any],
        max_parallelism: int | None,
        overwrite_cache: bool = False,
    ) -> None:
        self.workflow = workflow
        self.cache = workflow.cache
        if not isinstance(overwrite_cache, bool):
            raise OptionError(f"overwrite_cache of launch plan {name} must be bool; got {overwrite_cache!r}")
        self.overwrite_cache = overwrite_cache
        self.name = name
        self.short_name = name.rpartition(".")[2]
        self.max_parallelism = check_limit(max_parallelism, "max_parallelism", f"launch plan {name}", zero=True)
        self.fixed_inputs = self._checked(fixed_inputs, "fixed_inputs")
        self.default_inputs = self._checked(default_inputs, "default_inputs")
        self.interface = self._narrowed()
        self.__doc__ = workflow.__doc__
        self.__wrapped__ = workflow.fn

    def _checked(self, inputs: Mapping[str, Any], option: str) -> dict[str, Any]:
        known = self.workflow.interface.parameters
        for name in inputs:
            if name not in known:
                raise InputError(
                    f"{option} of launch plan {self.name} names {name!r}; "
                    f"{self.workflow.name} takes {self.workflow.interface.signature() or 'no inputs'}"
                )
        return self.workflow.interface.check_inputs(inputs)

    def _narrowed(self) -> Interface:
        own = self.workflow.interface
        parameters = {
            name: Parameter(name, one.annotation, self.default_inputs.get(name, one.default))
            for name, one in own.parameters.items()
            if name not in self.fixed_inputs
        }
        return Interface(self.name, parameters, own.outputs)

    @property
    def keep_going(self) -> bool:  # type: ignore[override]
        """Whether the workflow's other nodes are executed when one has failed."""
        return self.workflow.keep_going

    @property
    def handler(self) -> Any:
        """What is executed once the workflow has failed."""
        return self.workflow.handler

    def prepare(self) -> None:
        """Trace the workflow."""
        self.workflow.prepare()

    def _same(self, other: LaunchPlan[..., Any]) -> str | None:
        """Return the name of the first property in which another plan differs."""
        for name in ("default_inputs", "fixed_inputs", "max_parallelism", "overwrite_cache"):
            if getattr(self, name) != getattr(other, name):
                return name
        return None

    @classmethod
    def create(
        cls,
        name: str,
        workflow: Workflow[Q, T],
        default_inputs: Mapping[str, Any] | None = None,
        fixed_inputs: Mapping[str, Any] | None = None,
        *,
        max_parallelism: int | None = None,
        overwrite_cache: bool = False,
    ) -> LaunchPlan[Q, T]:
        """Make a plan under a new name.

        Raises
        ------
        DefinitionError
            When a plan of that name exists.
        InputError
            When a default or fixed input is unknown or of the wrong type.
        OptionError
            When the limit is not one.
        """
        plan: LaunchPlan[Q, T] = _new(_workflow(workflow), name, default_inputs, fixed_inputs, max_parallelism, overwrite_cache)
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
        *,
        max_parallelism: int | None = None,
        overwrite_cache: bool = False,
    ) -> LaunchPlan[Q, T]:
        """Return the plan of a name, made now if it is new; without a name, the workflow's default plan.

        Raises
        ------
        DefinitionError
            When the name is taken by a plan that differs, or properties are given without a name.
        InputError, OptionError
            As for :meth:`create`.
        """
        if name is None:
            if default_inputs or fixed_inputs or max_parallelism is not None or overwrite_cache:
                raise DefinitionError(
                    f"the default launch plan of {_workflow(workflow).name} has no properties of its own; give the plan a name"
                )
            return cls._default(_workflow(workflow))
        plan: LaunchPlan[Q, T] = _new(_workflow(workflow), name, default_inputs, fixed_inputs, max_parallelism, overwrite_cache)
        with _lock:
            known = _registry.get(name)
            if known is None or _redefined(known, workflow):
                _registry[name] = plan
                return plan
        return cls._agreeing(known, plan)

    @staticmethod
    def _agreeing(known: Any, plan: LaunchPlan[Q, T]) -> LaunchPlan[Q, T]:
        if known.workflow is not plan.workflow:
            raise DefinitionError(
                f"a launch plan named {plan.name!r} exists already, for {known.workflow.name}; {plan.workflow.name} needs another name"
            )
        differs = plan._same(known)
        if differs is not None:
            raise DefinitionError(
                f"a launch plan named {plan.name!r} exists already with another {differs}: "
                f"{getattr(known, differs)!r}, not {getattr(plan, differs)!r}"
            )
        return cast("LaunchPlan[Q, T]", known)

    @classmethod
    def get_default_launch_plan(cls, ctx: Any, workflow: Workflow[Q, T]) -> LaunchPlan[Q, T]:  # noqa: ARG003
        """Return the workflow's default plan: nothing bound, its own limit. `ctx`, which Flyte has, is not used."""
        return cls._default(_workflow(workflow))

    @classmethod
    def _default(cls, workflow: Workflow[Q, T]) -> LaunchPlan[Q, T]:
        with _lock:
            plan = workflow.__dict__.get("_default_plan")
            if plan is None:
                plan = workflow.__dict__["_default_plan"] = _new(workflow, workflow.name, None, None, None)
        return plan


def _workflow(workflow: Any) -> Any:
    if not isinstance(workflow, Workflow):
        raise DefinitionError(f"a launch plan is made of a @workflow, not of {workflow!r}; wrap it in a workflow")
    return workflow


def _redefined(known: LaunchPlan[..., Any], workflow: Workflow[..., Any]) -> bool:
    # A notebook's cell run again, or code shipped anew to a worker, defines the same workflow as a new object.
    return known.workflow is not workflow and known.workflow.name == workflow.name


def _new(
    workflow: Workflow[Q, T],
    name: str,
    default_inputs: Mapping[str, Any] | None,
    fixed_inputs: Mapping[str, Any] | None,
    max_parallelism: int | None,
    overwrite_cache: bool = False,
) -> LaunchPlan[Q, T]:
    return LaunchPlan(workflow, name, default_inputs or {}, fixed_inputs or {}, max_parallelism, overwrite_cache)
