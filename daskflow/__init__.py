"""Write the finest-grained, most deeply nested workflow you like: it costs what the work costs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from daskflow import context as _context
from daskflow._version import __version__ as __version__
from daskflow.attemptpolicy import Backoff as Backoff
from daskflow.attemptpolicy import Retry as Retry
from daskflow.attemptpolicy import Timeout as Timeout
from daskflow.caching import Cache as Cache
from daskflow.caching import CachePolicy as CachePolicy
from daskflow.caching import HashMethod as HashMethod
from daskflow.caching import VersionParameters as VersionParameters
from daskflow.dynamic import dynamic as dynamic
from daskflow.launchplan import LaunchPlan as LaunchPlan
from daskflow.map_task import map_task as map_task
from daskflow.resources import Resources as Resources
from daskflow.secrets import Secret as Secret
from daskflow.task import task as task
from daskflow.taskoptions import Documentation as Documentation
from daskflow.workflow import WorkflowFailurePolicy as WorkflowFailurePolicy
from daskflow.workflow import workflow as workflow

if TYPE_CHECKING:
    from daskflow.archive import get_run as get_run
    from daskflow.archive import runs as runs
    from daskflow.blobs import Directory as Directory
    from daskflow.blobs import File as File
    from daskflow.blobs import FlyteDirectory as FlyteDirectory
    from daskflow.blobs import FlyteFile as FlyteFile
    from daskflow.checkpoints import Checkpoint as Checkpoint
    from daskflow.children import CacheReport as CacheReport
    from daskflow.children import Children as Children
    from daskflow.children import ChildRun as ChildRun
    from daskflow.concurrency import ConcurrencyLimitBehavior as ConcurrencyLimitBehavior
    from daskflow.concurrency import ConcurrencyPolicy as ConcurrencyPolicy
    from daskflow.conditionals import conditional as conditional
    from daskflow.eagers import eager as eager
    from daskflow.environment import Environment as Environment
    from daskflow.errors import Disapproved as Disapproved
    from daskflow.errors import FlyteDisapprovalException as FlyteDisapprovalException
    from daskflow.errors import FlyteError as FlyteError
    from daskflow.errors import FlyteRecoverableException as FlyteRecoverableException
    from daskflow.errors import FlyteTimeout as FlyteTimeout
    from daskflow.errors import GateTimeout as GateTimeout
    from daskflow.errors import NodeError as NodeError
    from daskflow.errors import NonRecoverableError as NonRecoverableError
    from daskflow.errors import RecoverableException as RecoverableException
    from daskflow.errors import TaskTimeout as TaskTimeout
    from daskflow.gates import answers as answers
    from daskflow.gates import approve as approve
    from daskflow.gates import sleep as sleep
    from daskflow.gates import wait_for_input as wait_for_input
    from daskflow.handle import Run as Run
    from daskflow.imperative import ImperativeWorkflow as ImperativeWorkflow
    from daskflow.imperative import Workflow as Workflow
    from daskflow.infrastructure import InfrastructureWarning as InfrastructureWarning
    from daskflow.nodes import create_node as create_node
    from daskflow.notifications import Email as Email
    from daskflow.notifications import Notification as Notification
    from daskflow.notifications import PagerDuty as PagerDuty
    from daskflow.notifications import Slack as Slack
    from daskflow.notifications import WorkflowExecutionPhase as WorkflowExecutionPhase
    from daskflow.overrides import with_overrides as with_overrides
    from daskflow.planoptions import Annotations as Annotations
    from daskflow.planoptions import Labels as Labels
    from daskflow.runview import RunView as RunView
    from daskflow.schedules import CronSchedule as CronSchedule
    from daskflow.schedules import FixedRate as FixedRate
    from daskflow.session import run as run
    from daskflow.session import submit as submit
    from daskflow.shell import OutputLocation as OutputLocation
    from daskflow.shell import ShellTask as ShellTask
    from daskflow.shell import kwtypes as kwtypes
    from daskflow.taskcontext import Deck as Deck
    from daskflow.taskcontext import ExecutionParameters as ExecutionParameters
    from daskflow.taskcontext import current_context as current_context

map = map_task

#: What is imported when it is first asked for, by the modules that have it. No module has the name of a function in it.
_WHEN_ASKED = {
    name: module
    for module, names in {
        "archive": "get_run runs",
        "blobs": "Directory File FlyteDirectory FlyteFile",
        "children": "CacheReport ChildRun Children",
        "concurrency": "ConcurrencyLimitBehavior ConcurrencyPolicy",
        "conditionals": "conditional",
        "eagers": "eager",
        "environment": "Environment",
        "errors": "Disapproved FlyteDisapprovalException FlyteError FlyteRecoverableException FlyteTimeout GateTimeout NodeError "
        "NonRecoverableError RecoverableException TaskTimeout",
        "gates": "answers approve sleep wait_for_input",
        "handle": "Run",
        "imperative": "ImperativeWorkflow Workflow",
        "infrastructure": "InfrastructureWarning",
        "nodes": "create_node",
        "notifications": "Email Notification PagerDuty Slack WorkflowExecutionPhase",
        "overrides": "with_overrides",
        "planoptions": "Annotations Labels",
        "runview": "RunView",
        "schedules": "CronSchedule FixedRate",
        "session": "run submit",
        "shell": "OutputLocation ShellTask kwtypes",
        "checkpoints": "Checkpoint",
        "taskcontext": "Deck ExecutionParameters current_context",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name in _WHEN_ASKED:
        value = globals()[name] = getattr(importlib.import_module(f"daskflow.{_WHEN_ASKED[name]}"), name)
        return value
    raise AttributeError(f"module 'daskflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHEN_ASKED])


def _run_in_process(entity: Any, bound: dict[str, Any]) -> Any:
    """Fetch the engine for the first run in process, which puts it in the place of this."""
    from daskflow import inprocess

    return inprocess.run_in_process(entity, bound)


def _outcome_in_process(entity: Any, bound: dict[str, Any]) -> tuple[Any, BaseException | None]:
    from daskflow import inprocess

    return inprocess.outcome_in_process(entity, bound)


def _to_delayed(entity: Any, inputs: dict[str, Any]) -> Any:
    from daskflow import lowering

    return lowering.to_delayed(entity, inputs)


_context.run_in_process = _run_in_process
_context.outcome_in_process = _outcome_in_process
_context.to_delayed = _to_delayed
