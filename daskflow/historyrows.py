"""What the history keeps of runs, as rows: plain data, and how it becomes columns. Pure."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from daskflow.errors import OptionError

#: Characters that are kept of a text, the note that it was cut included.
MOST_TEXT = 64 << 10
#: Bytes in a record of a failure, such as a pickled exception, are kept up to this length.
MOST_BYTES = 4 << 20
#: The length of what was too long to be kept.
NOT_KEPT = -1

STATUSES = ("QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "SKIPPED")
MODES = ("MANUAL", "SCHEDULED", "RELAUNCH", "RECOVERED")

_NOTE = 64
#: The only key of what stands for bytes in JSON; a user's own such key has one more of the first character.
_BYTES = "$bytes"


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """What the history has of a run, but for its reports, its logs, its result and what was submitted.

    Attributes
    ----------
    id : str
        The run's id.
    name : str
        What it is called.
    entity : str
        The full name of what is run.
    kind : str
        What that is, such as ``workflow``.
    status : str
        One of ``QUEUED RUNNING SUCCEEDED FAILED ABORTED SKIPPED``.
    mode : str
        Why there is the run: ``MANUAL SCHEDULED RELAUNCH RECOVERED``, the modes of Flyte's executions.
    source : str or None
        The id of the run that it recovers or repeats.
    started, ended : float
        Seconds since the epoch; `ended` is None while it goes on.
    owner : str
        Whose it is, as ``user@host``.
    labels : dict
        Its labels.
    inputs : dict
        By the inputs' names, a short text of each.
    target : dict
        How the entity is found again.
    error : dict or None
        Why it did not succeed; with the key ``lost`` where its scheduler went away.
    failed : str or None
        The address of the node that failed.
    counts : dict
        How many nodes it has, by their phases, once it has ended; empty where that was not counted.
    cache : str or None
        The folder or URL of the cache that whoever began it has: what is kept of it is there. None in rows of former versions.
    lineage : str or None
        The id of the first of the runs that went on from each other, whose outputs are kept together; None where none are kept.
    scheduler : str
        The id of the scheduler that executes it; the writer fills it in.
    submission_nbytes : int or None
        The length of what is needed to run it again; -1 where that was too long to be kept.
    result_nbytes : int or None
        The length of its result; -1 where that was too long to be kept.
    nbytes : int
        The size of all that is kept of it.
    dropped_reports, dropped_logs : int
        How many reports and log lines were not kept, since they came faster than they could be written.

    Raises
    ------
    OptionError
        When there is no such status or mode.

    Examples
    --------
    >>> row = RunRow(id="r0123456789", name="fits", entity="flows.fits", started=1.7e9)
    >>> row.status, row.live
    ('RUNNING', True)
    """

    id: str
    name: str
    entity: str
    kind: str = ""
    status: str = "RUNNING"
    mode: str = "MANUAL"
    source: str | None = None
    started: float
    ended: float | None = None
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    failed: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    cache: str | None = None
    lineage: str | None = None
    scheduler: str = ""
    submission_nbytes: int | None = None
    result_nbytes: int | None = None
    nbytes: int = 0
    dropped_reports: int = 0
    dropped_logs: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (("status", self.status, STATUSES), ("mode", self.mode, MODES)):
            if value not in known:
                raise OptionError(f"run {self.id} cannot have the {name} {value!r}; there are {', '.join(known)}")

    @property
    def live(self) -> bool:
        """Whether it goes on."""
        return self.ended is None

    @property
    def cached(self) -> bool:
        """Whether all its results were in the cache, so that nothing of it was executed."""
        return bool(self.target.get("cached"))


class LogLine(NamedTuple):
    """A line that a node printed or logged.

    Attributes
    ----------
    seq : int
        Lines that were written later have higher numbers.
    address : str
        The node, as a path within the run.
    when : float
        Seconds since the epoch.
    level : str
        ``DEBUG INFO WARNING ERROR CRITICAL`` of logging, or ``stdout``, ``stderr``.
    text : str
        The line.
    """

    seq: int
    address: str
    when: float
    level: str
    text: str


#: A column for each field of a row, in the same order.
COLUMNS = tuple(one.name for one in fields(RunRow))
_JSON = frozenset({"labels", "inputs", "target", "error", "counts"})
_TIMES = frozenset({"started", "ended"})
_LENGTHS = frozenset({"submission_nbytes", "result_nbytes", "nbytes", "dropped_reports", "dropped_logs"})


def bounded(text: str) -> str:
    r"""Return a text as it is kept: lone surrogates are escaped, and what is too long is cut with a note.

    Examples
    --------
    >>> bounded("a\ud800b")
    'a\\ud800b'
    >>> bounded("x" * 100_000)[-29:]
    'xxxx…(34 528 characters more)'
    """
    text = str(text)
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= MOST_TEXT:
        return text
    kept = MOST_TEXT - _NOTE
    return f"{text[:kept]}…({format(len(text) - kept, ',').replace(',', ' ')} characters more)"


def to_json(value: Any) -> str:
    """Return a record as JSON; its texts are :func:`bounded`, bytes stay bytes, and what JSON has no word for is a text."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        plain = {bounded(key): _plain(one) for key, one in value.items()}
        return {f"${key}": one for key, one in plain.items()} if _is_bytes(plain) else plain
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()} if len(value) <= MOST_BYTES else None
    return bounded(value)


def from_json(text: str) -> Any:
    """Return the record that :func:`to_json` has written; tuples are lists.

    Examples
    --------
    >>> from_json(to_json({"failure": ("ValueError", b"pickled")}))
    {'failure': ['ValueError', b'pickled']}
    >>> from_json(to_json({"$bytes": "a user's"}))
    {'$bytes': "a user's"}
    """
    return json.loads(text, object_hook=_hooked)


def _hooked(found: dict[str, Any]) -> Any:
    if not _is_bytes(found):
        return found
    ((key, value),) = found.items()
    return base64.b64decode(value) if key == _BYTES else {key[1:]: value}


def _is_bytes(found: dict[str, Any]) -> bool:
    return len(found) == 1 and next(iter(found)).endswith(_BYTES) and not next(iter(found)).removesuffix(_BYTES).strip("$")


def column(name: str, value: Any) -> Any:
    """Return a field of a row as its column has it.

    Raises
    ------
    ValueError
        When a time is not a finite number.
    """
    if value is None:
        return None
    if name in _JSON:
        return to_json(value)
    if name in _TIMES:
        return moment(value)
    return int(value) if name in _LENGTHS else bounded(value)


def moment(value: float) -> float:
    """Return a time, which must be finite."""
    if not math.isfinite(value):
        raise ValueError(f"a time must be a finite number of seconds; got {value!r}")
    return float(value)


def decoded(columns: tuple[Any, ...]) -> RunRow:
    """Return the row that columns, in their order, are of."""
    pairs = zip(COLUMNS, columns, strict=True)
    values: dict[str, Any] = {name: from_json(value) if name in _JSON and value is not None else value for name, value in pairs}
    return RunRow(**values)


def within(run: str, address: str) -> str:
    """Return an address as a path within its run.

    Examples
    --------
    >>> within("r0123456789", "r0123456789:level1/step2")
    'level1/step2'
    """
    return address.removeprefix(f"{run}:")
