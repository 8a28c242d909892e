"""Write the finest-grained, most deeply nested workflow you like: it costs what the work costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daskflow._version import __version__ as __version__
from daskflow.attemptpolicy import Backoff as Backoff
from daskflow.attemptpolicy import Retry as Retry
from daskflow.attemptpolicy import Timeout as Timeout
from daskflow.blobs import Directory as Directory
from daskflow.blobs import File as File
from daskflow.blobs import FlyteDirectory as FlyteDirectory
from daskflow.blobs import FlyteFile as FlyteFile
from daskflow.caching import Cache as Cache
from daskflow.caching import CachePolicy as CachePolicy
from daskflow.caching import HashMethod as HashMethod
from daskflow.caching import VersionParameters as VersionParameters
from daskflow.concurrency import ConcurrencyLimitBehavior as ConcurrencyLimitBehavior
from daskflow.concurrency import ConcurrencyPolicy as ConcurrencyPolicy
from daskflow.conditional import conditional as conditional
from daskflow.dynamic import dynamic as dynamic
from daskflow.eager import eager as eager
from daskflow.environment import Environment as Environment
from daskflow.errors import FlyteRecoverableException as FlyteRecoverableException
from daskflow.errors import FlyteTimeout as FlyteTimeout
from daskflow.errors import NonRecoverableError as NonRecoverableError
from daskflow.errors import RecoverableException as RecoverableException
from daskflow.errors import TaskTimeout as TaskTimeout
from daskflow.gates import answers as answers
from daskflow.gates import approve as approve
from daskflow.gates import sleep as sleep
from daskflow.gates import wait_for_input as wait_for_input
from daskflow.imperative import ImperativeWorkflow as ImperativeWorkflow
from daskflow.inprocess import run_in_process as _run_in_process  # noqa: F401  (gives entities their in-process engine)
from daskflow.launchplan import LaunchPlan as LaunchPlan
from daskflow.lowering import to_delayed as _to_delayed  # noqa: F401  (gives entities their lowering)
from daskflow.map_task import map_task as map_task
from daskflow.nodes import create_node as create_node
from daskflow.resources import Resources as Resources
from daskflow.secrets import Secret as Secret
from daskflow.task import task as task
from daskflow.taskcontext import Deck as Deck
from daskflow.taskcontext import current_context as current_context
from daskflow.taskoptions import Documentation as Documentation
from daskflow.workflow import WorkflowFailurePolicy as WorkflowFailurePolicy
from daskflow.workflow import workflow as workflow

if TYPE_CHECKING:
    from daskflow.children import CacheReport as CacheReport
    from daskflow.children import Children as Children
    from daskflow.children import ChildRun as ChildRun
    from daskflow.handle import Run as Run
    from daskflow.session import run as run
    from daskflow.session import submit as submit
    from daskflow.shell import OutputLocation as OutputLocation
    from daskflow.shell import ShellTask as ShellTask
    from daskflow.shell import kwtypes as kwtypes

map = map_task
Workflow = ImperativeWorkflow

_ON_A_CLUSTER = {
    "CacheReport": "children",
    "ChildRun": "children",
    "Children": "children",
    "Run": "handle",
    "run": "session",
    "submit": "session",
}


_WHEN_ASKED = {**_ON_A_CLUSTER, "OutputLocation": "shell", "ShellTask": "shell", "kwtypes": "shell"}


def __getattr__(name: str) -> Any:
    # What plain Python does not need is imported when it is first asked for.
    if name in _WHEN_ASKED:
        import importlib

        return getattr(importlib.import_module(f"daskflow.{_WHEN_ASKED[name]}"), name)
    raise AttributeError(f"module 'daskflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHEN_ASKED])
