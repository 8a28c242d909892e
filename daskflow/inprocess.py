"""Running an entity here and now: the same engine, with no cluster behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from daskflow import config, context
from daskflow.caching import CacheSettings
from daskflow.entity import LAUNCH_PLAN, Entity
from daskflow.execute import Execution
from daskflow.launchplan import top_level
from daskflow.nodecache import NodeCache
from daskflow.outcome import in_coroutine, over, stand_in, stands_in
from daskflow.scope import Scope
from daskflow.stacks import root_frame
from daskflow.taskcontext import Surroundings


def run_in_process(
    entity: Entity[..., Any], bound: dict[str, Any], cache: Callable[[], CacheSettings | None] = config.cache_settings
) -> Any:
    """Run an entity here and now: the same engine, with no cluster behind it."""
    inputs = entity.interface.check_inputs(bound)
    entity.prepare()
    mocks = context.mocks and context.mocks(entity)
    plan: Any = entity if entity.kind == LAUNCH_PLAN else None
    entity, inputs = top_level(entity, inputs)
    scope = Scope.of_run("local", None)
    execution = Execution(root_frame(entity, inputs, scope))
    execution.surroundings = Surroundings(started=datetime.now(UTC))
    execution.mocks = mocks
    execution.cache = NodeCache(lambda: _overwriting(cache()) if plan is not None and plan.overwrite_cache else cache())
    if plan is not None:
        execution.begin_plan(plan)
    try:
        return execution.run()
    except BaseException as error:
        over(error)
        if stands_in(error):
            raise stand_in(error) from None
        raise


def _overwriting(settings: CacheSettings | None) -> CacheSettings | None:
    return None if settings is None else settings._replace(overwrite=True)


def outcome_in_process(entity: Entity[..., Any], bound: dict[str, Any]) -> tuple[Any, BaseException | None]:
    """Run an entity here and now; return what it gives, or what a coroutine is to raise instead."""
    try:
        return run_in_process(entity, bound), None
    except BaseException as error:
        return None, in_coroutine(error)


context.run_in_process = run_in_process
context.outcome_in_process = outcome_in_process
