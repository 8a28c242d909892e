"""Options of Flyte's that are about its infrastructure: taken, so that a definition need not change, and said to have no effect.

On Dask a worker is a process that is there already: its image, its machine and its rights are the cluster's affair. Such an option
is warned of once in a process, with what to do on Dask instead.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from daskflow.traces import is_ours


class InfrastructureWarning(UserWarning):
    """An option was given that has no effect on Dask; the warning says what has."""


class _Infrastructure(NamedTuple):
    instead: str
    #: Values that ask for what is so anyway.
    moot: tuple[Any, ...] = ()


_WORKERS = "Dask's workers execute it where they were started"
_POD = f"{_WORKERS}; give the pod's specification to what starts them, such as dask-kubernetes"
_RIGHTS = "a run has the rights of the Dask workers; give those the identity that it needs"
_DECK = "there are no decks; return what is to be shown, or write it to a file"

#: Each such option, and what to do on Dask instead.
OPTIONS: dict[str, _Infrastructure] = {
    "container_image": _Infrastructure(f"{_WORKERS}; start them from that image, or install there what it needs"),
    "pod_template": _Infrastructure(_POD),
    "pod_template_name": _Infrastructure(_POD),
    "accelerator": _Infrastructure(f"{_WORKERS}; start some on machines that have it"),
    "shared_memory": _Infrastructure(f"{_WORKERS}; mount a larger /dev/shm there"),
    "interruptible": _Infrastructure(f"{_WORKERS}; start some on spot machines, since a lost worker's work is done again anyway", (False,)),
    "labels": _Infrastructure("there is no pod for each node; label the Dask workers' pods"),
    "annotations": _Infrastructure("there is no pod for each node; annotate the Dask workers' pods"),
    "node_dependency_hints": _Infrastructure("nothing is registered before a run; what a dynamic calls travels with it"),
    "enable_deck": _Infrastructure(_DECK, (False,)),
    "disable_deck": _Infrastructure(_DECK, (True,)),
    "deck_fields": _Infrastructure(_DECK, ((),)),
    "task_resolver": _Infrastructure("code travels by value; nothing is loaded by its name on a worker"),
    "execution_mode": _Infrastructure("every entity is executed on the cluster that it is run on"),
    "task_config": _Infrastructure("Flyte's plug-ins have no counterpart; start what they start in the task itself"),
    "aliases": _Infrastructure("outputs go by the names that the entity gives them"),
    "default_options": _Infrastructure("labels and annotations belong to launch plans"),
    "run_all_sub_nodes": _Infrastructure("every item of a map is executed, unless too many fail", (False,)),
    "metadata": _Infrastructure("give the options of its items to the task, or with_overrides to the call"),
    "security_context": _Infrastructure(_RIGHTS),
    "auth_role": _Infrastructure(_RIGHTS),
    "raw_output_data_config": _Infrastructure("values stay on Dask's workers; set daskflow.cache.url to say where cached ones are stored"),
    "trigger": _Infrastructure("give the plan a schedule=, and start: daskflow schedule FILE"),
    "auto_activate": _Infrastructure("a schedule is active as long as somebody has started: daskflow schedule FILE", (False,)),
    "notifications": _Infrastructure("nobody is told; look at a run's status, or at the log of: daskflow schedule FILE", ((), [])),
}

#: Those of each kind of owner.
TASK_OPTIONS = (
    *("container_image", "pod_template", "pod_template_name", "accelerator", "shared_memory", "interruptible", "labels", "annotations"),
    *("enable_deck", "disable_deck", "deck_fields", "task_resolver", "execution_mode", "task_config"),
)
DYNAMIC_OPTIONS = (*TASK_OPTIONS, "node_dependency_hints")
WORKFLOW_OPTIONS = ("interruptible", "default_options")
MAP_OPTIONS = ("run_all_sub_nodes", "metadata")
OVERRIDE_OPTIONS = (
    *("container_image", "pod_template", "pod_template_name", "accelerator", "shared_memory", "interruptible", "task_config", "aliases"),
)
PLAN_OPTIONS = ("notifications", "raw_output_data_config", "security_context", "auth_role", "trigger", "auto_activate")

_warned: set[str] = set()


def accept(owner: str, given: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Take out the options that mean nothing on Dask, and warn of each, once in a process.

    One that is ``None``, or asks for what is so anyway, is taken out without a word.

    Parameters
    ----------
    owner
        What the options were given to, for the warning: ``task flows.step``.
    given
        All options.
    known
        Which of :data:`OPTIONS` such an owner has.

    Returns
    -------
    dict
        The options that are left.

    Warns
    -----
    InfrastructureWarning
        Names the owner, the option, and what to do instead.

    Examples
    --------
    >>> accept("task f", {"cache": True, "container_image": None, "enable_deck": False}, TASK_OPTIONS)
    {'cache': True}
    """
    known = frozenset(known)
    for name, value in given.items():
        if name in known and not _is_moot(name, value):
            _warn(owner, name)
    return {name: value for name, value in given.items() if name not in known}


def _is_moot(name: str, value: Any) -> bool:
    return value is None or any(value is one or (type(value) is type(one) and value == one) for one in OPTIONS[name].moot)


def _warn(owner: str, name: str) -> None:
    if name in _warned:
        return
    _warned.add(name)
    warnings.warn(f"{name} of {owner} has no effect on Dask: {OPTIONS[name].instead}", InfrastructureWarning, stacklevel=_users_level())


def _users_level() -> int:
    """Return how far up the user's own line is, seen from who warns."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and is_ours(frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    return level
