"""Submissions: what is known of a run besides its work, and what is needed to run the same again, by somebody else, later."""

from __future__ import annotations

import getpass
import os
import pickle
import socket
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from daskflow import classes, shipping, shortform
from daskflow.cachekey import stable_name
from daskflow.entity import BRANCH, MAP, Entity
from daskflow.launchplan import LaunchPlan
from daskflow.stacks import arrive


class Source(NamedTuple):
    """The run that another one repeats, or goes on from.

    Attributes
    ----------
    run : str
        Its id.
    lineage : str
        The id of the first of the runs that went on from each other.
    recovers : bool
        Whether the outputs of its nodes are taken over.
    outputs : str or None
        Where those are, if some were kept.
    """

    run: str
    lineage: str
    recovers: bool
    outputs: str | None = None


class Submission(NamedTuple):
    """What is needed to run the same again.

    Attributes
    ----------
    entity : Entity
        As it was then.
    inputs : dict
        As they were given, with defaults.
    given : dict
        What was said of the run beside these.
    """

    entity: Entity[..., Any]
    inputs: dict[str, Any]
    given: dict[str, Any]


def target(entity: Any) -> dict[str, str]:
    """Return how an entity is found again: its module and that module's file, its full name, and what it is."""
    of = entity.workflow if isinstance(entity, LaunchPlan) else entity
    function = getattr(of, "fn", None) or getattr(getattr(of, "target", None), "fn", None)
    code = getattr(function, "__code__", None)
    found = shipping.users_module_of(entity) if code is None else sys.modules.get(function.__module__)
    module = function.__module__ if code is not None else found.__name__ if found is not None else entity.name.rpartition(".")[0]
    file = code.co_filename if code is not None else getattr(found, "__file__", None) or ""
    if module == "__main__" and getattr(found, "__spec__", None) is not None:
        # As with python -m: it is imported by that name.
        module = found.__spec__.name  # type: ignore[union-attr]
    return {"module": module, "file": os.path.abspath(file) if os.path.isfile(file) else "", "name": entity.name, "kind": entity.kind_name}


def about(entity: Any, inputs: Mapping[str, Any], given: Mapping[str, Any], source: Source | None, lineage: str | None) -> dict[str, Any]:
    """Return what the history is to know of a run, as plain data."""
    return {
        "entity": entity.name,
        "kind": entity.kind_name,
        "target": target(entity),
        "inputs": {name: _short(name, value) for name, value in inputs.items()},
        "labels": dict(getattr(entity, "labels", None) or {}),
        "owner": _owner(os.getuid()),
        "source": source.run if source is not None else None,
        "mode": "MANUAL" if source is None else "RECOVERED" if source.recovers else "RELAUNCH",
        "lineage": lineage,
        "given": dict(given),
    }


def _short(name: str, value: Any) -> str:
    return "***" if shortform.is_secret(name) else shortform.value(value)


@cache
def _owner(uid: int) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(uid)
    return f"{user}@{socket.gethostname()}"


def packed(message: Mapping[str, Any]) -> bytes:
    """Return the parts of a run's message that are needed to run the same again."""
    kept = {name: message[name] for name in ("spec", "inputs", "digest", "code", "about")}
    return pickle.dumps(kept, protocol=5)


def code_versions(data: bytes) -> dict[str, str]:
    """Return the versions of the code of all that a run could execute, by their full names; none where nothing was to be kept of it."""
    kept = pickle.loads(data)
    entities: Any = shipping.unpack(kept["code"], kept["digest"])
    return {stable_name(one): one.code for one in entities if one.code and one.kind not in (MAP, BRANCH)}


def unpacked(data: bytes, by_name: bool = True) -> Submission:
    """Return what to run; unpickles what users' processes have written.

    Parameters
    ----------
    data : bytes
        As :func:`packed` returned it.
    by_name : bool
        Whether its inputs have the classes that are here; otherwise those that the entity has, as it was then.

    Raises
    ------
    Exception
        What unpickling users' code and values raises.
    """
    kept = pickle.loads(data)
    load = classes.loads_by_name if by_name else shipping.loads
    with shipping.at_hand(kept["digest"], kept["code"]):
        values = {key: (load(payload)[0].values[0],) for key, payload, *_ in kept["inputs"]}
        frames = load(kept["spec"][1])
    arrive(frames, values)
    (node,) = frames[0].todo
    inputs = node.inputs(frames[0].values)
    # Of this process' own: they travel again as if they had been made here, but their code's versions are those that they came with.
    entities = shipping.unpack(kept["code"], kept["digest"])
    for one in entities:
        one.shipment, one.stored = None, True
    return Submission(entities[0], inputs, kept["about"]["given"])
