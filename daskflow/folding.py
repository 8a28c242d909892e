"""Folding: a run whose every result is in the cache is over before it is sent anywhere."""

from __future__ import annotations

from typing import Any

from daskflow.cachingsteps import NotCached
from daskflow.entity import LAUNCH_PLAN, MAP, WORKFLOW, Entity
from daskflow.execute import Execution
from daskflow.journal import Journal
from daskflow.nodecache import NodeCache
from daskflow.scope import Scope
from daskflow.stacks import root_frame


def may_fold(entity: Any) -> bool:
    """Tell whether all that an entity calls, as far as that is known without calling a user's function, can be cached."""
    if entity.cache is not None:
        return True
    if entity.kind == LAUNCH_PLAN:
        entity = entity.workflow
    if entity.kind != WORKFLOW:
        return False
    nodes = entity.graph.nodes
    return bool(nodes) and all(node.cache is not None or (node.entity.kind != MAP and may_fold(node.entity)) for node in nodes)


def folded(entity: Entity[..., Any], inputs: dict[str, Any], scope: Scope, cache: NodeCache) -> tuple[Any, bytes | None] | None:
    """Return the result of a run, with a report of what the cache did, if no user's function is needed for it; ``None`` otherwise."""
    if not cache.enabled or not may_fold(entity):
        return None
    execution = Execution(root_frame(entity, inputs, scope))
    execution.cache, execution.only_cached = cache, True
    execution.journal = journal = Journal()
    try:
        return execution.run(), journal.report()
    except NotCached:
        return None
