"""``with_overrides``: options of one call.

=================== ==============================================================
key                 effect
=================== ==============================================================
``node_name``       the call's name in addresses, instead of the entity's
``cache``           whether the call's outputs are cached
``cache_version``   the version in the cache's key
``cache_serialize`` whether only one unit at a time computes a key
=================== ==============================================================
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from daskflow.errors import OptionError
from daskflow.options import CacheOptions, refuse_unknown
from daskflow.promise import holds_promise

if TYPE_CHECKING:
    from daskflow.graph import Node

_KEYS = ("node_name", *CacheOptions.NAMES[:3])
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
    CacheOptions(overrides, owner)
    name = overrides.get("node_name")
    if name is not None:
        if not isinstance(name, str) or not _NAME.match(name):
            raise OptionError(f"node_name of {owner} must be letters, digits, '_' and '-'; got {name!r}")
        node.name = name
