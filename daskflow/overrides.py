"""``with_overrides``: options of one call.

=================== ==============================================================
key                 effect
=================== ==============================================================
``node_name``       the call's name in addresses, instead of the entity's
``cache``           whether the call's outputs are cached; of a map, each item's
``cache_version``   the version in the cache's key
``cache_serialize`` whether only one at a time computes a key
``cache_ignore_input_vars`` inputs that are left out of the key
=================== ==============================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from daskflow.caching import CacheOptions
from daskflow.errors import OptionError
from daskflow.options import refuse_unknown
from daskflow.promise import holds_promise

if TYPE_CHECKING:
    from daskflow.graph import Node

_KEYS = ("node_name", *CacheOptions.NAMES)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def apply(node: Node, overrides: dict[str, Any]) -> None:
    """Apply overrides to a node.

    Raises
    ------
    OptionError
        When a key is unknown, or a value is not one that it can have.
    """
    owner = f"with_overrides of {node.entity.name}"
    refuse_unknown(overrides, _KEYS, owner)
    for key, value in overrides.items():
        if holds_promise(value):
            raise OptionError(f"{key} of {owner} is a promise; an override's value must be known when the graph is built")
    if overrides.keys() & set(CacheOptions.NAMES):
        node.cache = CacheOptions.overridden(node.entity.cache, overrides, owner, node.entity.interface.parameters)
    name = overrides.get("node_name")
    if name is not None:
        check_name(name, f"node_name of {owner}")
        node.name = name


def check_name(name: object, what: str) -> None:
    """Refuse what cannot be a name in addresses."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise OptionError(f"{what} must be letters, digits, '_' and '-'; got {name!r}")
