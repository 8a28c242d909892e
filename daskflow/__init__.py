"""Write the finest-grained, most deeply nested workflow you like: it costs what the work costs."""

from __future__ import annotations

from daskflow.dynamic import dynamic as dynamic
from daskflow.execute import run_in_process as _run_in_process  # noqa: F401  (gives entities their in-process engine)
from daskflow.launchplan import LaunchPlan as LaunchPlan
from daskflow.map_task import map_task as map_task
from daskflow.task import task as task
from daskflow.workflow import workflow as workflow

map = map_task

__version__ = "0.1.0"
