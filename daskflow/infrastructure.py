"""Options that say where Flyte runs something: they are accepted, and have no effect on Dask."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

#: What Flyte's decorators and overrides have for its pods, images and pages.
NAMES = (
    "accelerator", "aliases", "annotations", "container_image", "deck_fields", "disable_deck", "enable_deck", "execution_mode",
    "interruptible", "labels", "node_dependency_hints", "pod_template", "pod_template_name", "shared_memory", "task_config",
    "task_resolver",
)  # fmt: skip


class InfrastructureWarning(UserWarning):
    """An option has no effect, since Dask's workers are there already."""


_warned: set[tuple[str, str]] = set()


def accept(owner: str, given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the options without those that have no effect on Dask; each is warned of once for an owner.

    Parameters
    ----------
    owner
        The entity, for messages.
    given
        All options.
    known
        Those that have an effect.
    """
    known = tuple(known)
    rest = {}
    for name, value in given.items():
        if name in known or name not in NAMES:
            rest[name] = value
        elif value is not None and (owner, name) not in _warned:
            _warned.add((owner, name))
            warnings.warn(f"{name} of {owner} has no effect on Dask: its workers are what they are", InfrastructureWarning, stacklevel=2)
    return rest
