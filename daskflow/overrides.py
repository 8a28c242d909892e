"""``with_overrides``: options of one call.

=================== ==============================================================
key                 effect
=================== ==============================================================
``node_name``       the call's name in addresses, instead of the entity's
``name``            the same: what Flyte shows is what we address
``cache``           whether the call's outputs are cached; of a map, each item's
``cache_version``   the version in the cache's key
``cache_serialize`` whether only one at a time computes a key
``cache_ignore_input_vars`` inputs that are left out of the key
=================== ==============================================================

Of tasks, dynamics and maps of these, there each item's, also those of :class:`~daskflow.taskoptions.TaskOptions`: ``retries``, ``timeout``,
``environment``, ``requests``, ``limits``, ``resources``, ``secret_requests``. A ``None`` takes back what the entity says. Keys that are
about Flyte's infrastructure are accepted with a warning (:mod:`daskflow.infrastructure`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from daskflow import infrastructure
from daskflow.attemptpolicy import Retry, Timeout
from daskflow.caching import Cache, CacheOptions
from daskflow.errors import GraphError, OptionError
from daskflow.options import refuse_unknown
from daskflow.promise import holds_promise
from daskflow.resources import Resources
from daskflow.secrets import Secret
from daskflow.taskoptions import TaskOptions

if TYPE_CHECKING:
    from daskflow.graph import Node

_KEYS = ("node_name", "name", *CacheOptions.NAMES)
#: Names in addresses.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")

R = TypeVar("R")


class Overrides(TypedDict, total=False):
    """The keywords of :func:`with_overrides`; which of them a call has depends on its entity."""

    node_name: str
    name: str
    cache: bool | Cache
    cache_version: str
    cache_serialize: bool
    cache_ignore_input_vars: tuple[str, ...]
    retries: int | Retry | None
    timeout: float | timedelta | Timeout | None
    environment: Mapping[str, str] | None
    requests: Resources | None
    limits: Resources | None
    resources: Resources | None
    secret_requests: Sequence[Secret] | None


def with_overrides(call: R, **overrides: Unpack[Overrides]) -> R:
    """Change options of one call, as the call's own ``with_overrides`` does, which type checkers cannot see.

    Parameters
    ----------
    call
        What a call gave in a ``@workflow``'s or ``@dynamic``'s body.
    **overrides
        The keys of :mod:`daskflow.overrides`.

    Returns
    -------
    The same.

    Raises
    ------
    GraphError
        When it is no call, such as one made in plain Python, which is executed already.
    OptionError
        When a key is unknown, or has no effect on a call of that kind; or a value is not one that it can have.

    Examples
    --------
    >>> from daskflow import task, with_overrides, workflow
    >>> @task
    ... def double(a: int) -> int:
    ...     return 2 * a
    >>> @workflow
    ... def four_times(a: int) -> int:
    ...     return double(a=with_overrides(double(a=a), retries=2, node_name="first"))
    >>> four_times(a=3)
    12
    """
    change = getattr(call, "with_overrides", None)
    if change is None:
        raise GraphError(f"with_overrides takes a call in a @workflow's or @dynamic's body; got {call!r:.100}")
    change(**overrides)
    return call


def apply(node: Node, overrides: dict[str, Any]) -> None:
    """Apply overrides to a node.

    Raises
    ------
    OptionError
        When a key is unknown, or has no effect on a call of that kind; or a value is not one that it can have.
    """
    entity = node.entity
    owner = f"with_overrides of {entity.title}"
    keys = (*(_KEYS if entity.may_cache else _KEYS[:2]), *(TaskOptions.OVERRIDES if entity.options is not None else ()))
    overrides = infrastructure.accept(owner, overrides, infrastructure.OVERRIDE_OPTIONS)
    _refuse_of_tasks(overrides, keys, owner)
    refuse_unknown(overrides, keys, owner)
    for key, value in overrides.items():
        if holds_promise(value):
            raise OptionError(f"{key} of {owner} is a promise; an override's value must be known when the graph is built")
    if overrides.keys() & set(CacheOptions.NAMES):
        node.cache = CacheOptions.overridden(node.cache, overrides, owner, entity.interface.parameters)
    if entity.options is not None and overrides.keys() & set(TaskOptions.OVERRIDES):
        node.options = (node.options or entity.options).overridden(overrides, owner)
        entity.check_options(node.options, owner)
    _rename(node, overrides, owner)


def _refuse_of_tasks(overrides: dict[str, Any], keys: tuple[str, ...], owner: str) -> None:
    for key in overrides:
        if key in TaskOptions.OVERRIDES and key not in keys:
            raise OptionError(
                f"{owner} has no option {key!r}, which is one of tasks: give it to the tasks inside; it has {', '.join(keys)}"
            )


def _rename(node: Node, overrides: dict[str, Any], owner: str) -> None:
    given = {key: overrides[key] for key in ("node_name", "name") if overrides.get(key) is not None}
    if len(given) > 1:
        raise OptionError(f"{owner} has both node_name and name, which are the same here: give one of them")
    for key, name in given.items():
        check_name(name, f"{key} of {owner}")
        node.name = name


def check_name(name: object, what: str) -> None:
    """Refuse what cannot be a name in addresses."""
    if not isinstance(name, str) or not NAME.match(name):
        raise OptionError(f"{what} must be letters, digits, '_' and '-'; got {name!r}")
