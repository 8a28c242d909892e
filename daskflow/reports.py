"""Reports: what a unit tells the scheduler, as it travels. Plain data: the scheduler keeps the bytes, whoever asks reads them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

from daskflow.errors import HistoryError


class Told(NamedTuple):
    """What is told of the calls of one launch plan in one body, or map.

    Attributes
    ----------
    parent : str
        The run that they are child runs of.
    address : str
        The address of the body, or map.
    digest : bytes
        Stands for that address in ids.
    plan : str
        The name of the launch plan.
    limit : int or None
        The limit of each.
    total : int
        How many there are; 0 where whoever tells does not know.
    labels
        Their names in addresses: a dict by slot; or the names of all nodes of the body, not numbered yet, with the first one's
        slot; ``None`` for a map's items, whose names are their indices.
    places, starts, ends
        For each what tells it from the others, which is its slot or index; when it began, and when it ended, -1 while it is executing.
    """

    parent: str
    address: str
    digest: bytes
    plan: str
    limit: int | None
    total: int
    labels: dict[int, str] | tuple[int, list[str]] | None
    places: Sequence[int]
    starts: Sequence[float]
    ends: Sequence[float]


class Done(NamedTuple):
    """What is told of nodes that have ended in one body, or map; a node began when the one before it ended.

    Attributes
    ----------
    run : str
        The run that the nodes belong to.
    address : str
        The address of the body, or map.
    entity, kind : str
        The name and kind of what the body is of.
    labels
        As for :class:`Told`; an empty dict where the same unit has told it all before.
    entities : list of (str, str)
        The names and kinds of what the nodes call, each once; one for a map.
    which : int or sequence of int
        For each label which of those it calls; one number where that is the same for all.
    total : int
        How many nodes the whole body or map has; 0 where whoever tells does not know.
    since : float
        When the first of these nodes began.
    places : tuple of (int, int), or sequence of int
        What tells each node from the others, its slot or index; from one to before another where they follow each other.
    ends : sequence of float
        When each ended.
    inside : int or sequence of int
        For each how many nodes have ended inside it of which nothing else is told; one number where that is the same for all.
    skipped : list of int
        The places of nodes that are not executed, since what they need has failed.
    """

    run: str
    address: str
    entity: str
    kind: str
    labels: dict[int, str] | tuple[int, list[str]] | None
    entities: list[tuple[str, str]]
    which: int | Sequence[int]
    total: int
    since: float
    places: tuple[int, int] | Sequence[int]
    ends: Sequence[float]
    inside: int | Sequence[int]
    skipped: list[int]


class Open(NamedTuple):
    """What is told of a body, or map, that is being executed, when that is new or another of its nodes is.

    Attributes
    ----------
    address, entity, kind : str
        Where it is, and what.
    began : float
        When it was entered.
    node : str
        The address of the node that is executing; empty where none is.
    place : int
        What tells that from the others; -1 where none is.
    node_entity, node_kind : str
        What it calls.
    since : float
        When it began.
    """

    address: str
    entity: str
    kind: str
    began: float
    node: str
    place: int
    node_entity: str
    node_kind: str
    since: float


class Report(NamedTuple):
    """What a unit tells. Times are on a clock of its own; those of `logs` are in seconds since the epoch.

    Attributes
    ----------
    epoch : float
        What to add to its times, to get seconds since the epoch.
    worker : str
        The address of its worker.
    told : list of Told
        Child runs.
    ended : list of (str, float)
        The ids of child runs of which another unit told that they were executing, and when they ended.
    cached : list of (str, labels, slots, statuses)
        What the cache did, by the address of a body or map: for each node or item its slot, -1 for the body itself, and a status.
    fell : list of (str, float)
        The addresses of nodes, and of bodies, that failed while the run went on, and when.
    probed : bytes or None
        What the unit's probe noted, if it has one; opaque here.
    done : list of Done
        Nodes that have ended.
    open : list of Open
        Bodies and nodes that are being executed.
    closed : list of (str, float)
        The addresses of bodies and maps that succeeded and were begun in another unit, and when.
    attempts : list of (str, int, str, float, float)
        Attempts that failed and are followed by another: address, number from 0 on, one line of the error, when, seconds until the next.
    errors : list of (str, float, str)
        Where errors were raised, when, and one line of each, whatever became of them.
    untold : list of str
        Those of `fell` of which neither an error nor what was in them is told, or not all of it: too many had failed in the unit.
    logs : list of (str, float, str, str)
        What tasks printed and logged: address, when, level, text.
    recovered : list of (str, str)
        What became of nodes of a run that is recovered: address, and one of ``recovered``, ``code``, ``inputs``, ``unreadable``.
    """

    epoch: float
    worker: str = ""
    told: Sequence[Told] = ()
    ended: Sequence[tuple[str, float]] = ()
    cached: Sequence[tuple[str, dict[int, str] | int, list[int], list[str]]] = ()
    fell: Sequence[tuple[str, float]] = ()
    probed: bytes | None = None
    done: Sequence[Done] = ()
    open: Sequence[Open] = ()
    closed: Sequence[tuple[str, float]] = ()
    attempts: Sequence[tuple[str, int, str, float, float]] = ()
    errors: Sequence[tuple[str, float, str]] = ()
    untold: Sequence[str] = ()
    logs: Sequence[tuple[str, float, str, str]] = ()
    recovered: Sequence[tuple[str, str]] = ()


#: The parts that say nothing by themselves.
_ALWAYS = ("epoch", "worker")


def write(parts: dict[str, Any]) -> bytes | None:
    """Return a report of these parts as it travels, without those that are empty; ``None`` where there is no news.

    Examples
    --------
    >>> write({"epoch": 5.0, "worker": "tcp://w", "fell": []}) is None
    True
    >>> read(write({"epoch": 5.0, "worker": "tcp://w", "fell": [("a/b", 1.0)]})).fell
    [('a/b', 1.0)]
    """
    news = {name: part for name, part in parts.items() if part}
    return pickle.dumps(news, protocol=5) if any(name not in _ALWAYS for name in news) else None


def read(report: bytes) -> Report:
    """Return what a report says, which may be in a history that a newer version has written: what that says besides is passed over.

    Raises
    ------
    HistoryError
        When it is in a form that this version cannot read.

    Examples
    --------
    >>> read(pickle.dumps({"epoch": 5.0, "news of tomorrow": [1], "open": [("a", "f", "task", 1.0, "", -1, "", "", 1.0, "more")]})).open
    [Open(address='a', entity='f', kind='task', began=1.0, node='', place=-1, node_entity='', node_kind='', since=1.0)]
    """
    parts = {name: part for name, part in pickle.loads(report).items() if name in Report._fields}
    try:
        for name, kind in (("told", Told), ("done", Done), ("open", Open)):
            if name in parts:
                parts[name] = [kind(*one[: len(kind._fields)]) for one in parts[name]]
        return Report(**parts)
    except TypeError as error:
        raise HistoryError("what was told of the run is in the form of another version of daskflow: look with that") from error
