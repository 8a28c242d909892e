"""Records: what the ledger keeps of runs and units, and what it instructs Dask to do. Plain data."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Any, NamedTuple

from daskflow.admission import Pool
from daskflow.terms import NOTHING, Terms


class State(Enum):
    """Where a unit is in its life."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    LOST = "lost"
    TAILED = "tailed"
    DONE = "done"
    FAILED = "failed"
    FREED = "freed"


class Status(StrEnum):
    """Where a run is in its life."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"
    SKIPPED = "SKIPPED"

    @property
    def ended(self) -> bool:
        """Whether nothing of the run will be executed any more."""
        return self is not Status.RUNNING


class Spec(NamedTuple):
    """What a unit says of another one that is to be executed.

    Attributes
    ----------
    key : str
        Its name; the same work has the same key.
    payload : bytes
        What to execute; opaque here.
    deps : tuple of str
        The units whose results it reads.
    pool : Pool or None
        The innermost limit on it.
    depth : int
        Deeper units go first.
    terms : Terms
        What it needs before it may start, beside these.
    domain : tuple of str
        What fails with it, outermost first; empty where its failure is that of the run.
    address : str
        The address, without the run, of what it executes: a node, or the body or map that several are of; empty for the run's own body.
    """

    key: str
    payload: bytes
    deps: tuple[str, ...]
    pool: Pool | None
    depth: int
    terms: Terms = NOTHING
    domain: tuple[str, ...] = ()
    address: str = ""


class FailedItem(NamedTuple):
    """An item of a map that has failed, where some may.

    Attributes
    ----------
    map : str
        Stands for the map.
    name : str
        What users know it by.
    place : int
        The item's index.
    allowed : int
        How many may fail.
    domain : tuple of str
        What fails with the map.
    line : str
        Why the item failed, in one line.
    """

    map: str
    name: str
    place: int
    allowed: int
    domain: tuple[str, ...]
    line: str


class Value(NamedTuple):
    """A value that a running unit has, and that others may read like a unit's result.

    Attributes
    ----------
    key : str
        Its name.
    place
        Where it is, and how it is made again; opaque here.
    """

    key: str
    place: Any


class Create(NamedTuple):
    """Give Dask a new task.

    Attributes
    ----------
    deps
        Pairs of the name by which the unit knows a result, and the task that has it.
    failures
        Pairs of such a name, and why there is no result.
    answer
        What the gate was answered that the unit waited at; opaque.
    cancelled
        The addresses, in what it executes, of what was cancelled.
    """

    key: str
    run: str
    payload: bytes
    deps: tuple[tuple[str, str], ...]
    depth: int
    terms: Terms = NOTHING
    failures: tuple[tuple[str, Any], ...] = ()
    answer: bytes | None = None
    cancelled: tuple[str, ...] = ()
    address: str = ""


class Adopt(NamedTuple):
    """Give Dask a task whose result is there already; `owner` is the unit that made it."""

    key: str
    run: str
    owner: str
    place: Any
    depth: int


class Lift(NamedTuple):
    """Let a task that Dask has, and that is ready again, start."""

    key: str


class Free(NamedTuple):
    """Nobody needs the task's result any more."""

    key: str
    run: str


class Stop(NamedTuple):
    """What is executing of the task is for nothing."""

    key: str


class Fell(NamedTuple):
    """Something has failed of which the task executes a part, and which may fail without it."""

    key: str
    domain: str
    failure: Any


class Cancel(NamedTuple):
    """What is at an address was cancelled, and may be a part of what the task executes."""

    key: str
    place: str


class Ceased(NamedTuple):
    """What was executing, or waiting, at an address was cancelled, and will not go on."""

    run: str
    place: str


class Wake(NamedTuple):
    """Say when so many seconds have passed."""

    key: str
    run: str
    seconds: float


class Ended(NamedTuple):
    """The run has ended; its tasks, but for one with the result, are free."""

    run: str


Instruction = Create | Adopt | Lift | Free | Stop | Fell | Cancel | Ceased | Wake | Ended


class Crash(NamedTuple):
    """Why a run failed: workers died under one of its units.

    Attributes
    ----------
    key : str
        The unit.
    deaths : int
        How many.
    address : str
        The address, without the run, of the node that it was executing, where that is known, and of all that it executes otherwise.
    """

    key: str
    deaths: int
    address: str = ""


class LedgerError(RuntimeError):
    """A message does not fit what is known: a fault of ours, which fails the run that it concerns."""


class Unit:
    """A unit's record."""

    __slots__ = (
        "address",
        "ahead",
        "answer",
        "created",
        "deaths",
        "deps",
        "depth",
        "domain",
        "failure",
        "finished",
        "holds",
        "key",
        "leases",
        "missing",
        "opened",
        "owner",
        "payload",
        "pins",
        "place",
        "pool",
        "refs",
        "run",
        "state",
        "target",
        "terms",
        "waiters",
    )  # fmt: skip

    def __init__(self, run: Run, spec: Spec) -> None:
        self.run = run
        self.key = spec.key
        self.payload = spec.payload
        self.pool = spec.pool
        self.depth = spec.depth
        self.terms = spec.terms
        #: Whether what its terms have it wait for has happened, and what it was answered.
        self.opened = False
        self.answer: bytes | None = None
        self.domain = spec.domain
        self.address = spec.address
        #: The unit that spilled it, where it may fail without that.
        self.owner: Unit | None = None
        #: Why it has no result, and will have none; opaque.
        self.failure: Any = None
        #: What it holds, of its own or of a unit that it is the tail of.
        self.leases: list[str] = []
        self.deps: tuple[Unit, ...] = ()
        self.state = State.WAITING
        self.missing = 0
        self.waiters: list[Unit] = []
        self.refs = 0
        self.pins: dict[Unit, None] = {}
        self.holds: list[Pool] = []
        self.target: Unit | None = None
        #: A unit further along the tails.
        self.ahead: Unit | None = None
        #: Whether Dask has a task for it.
        self.created = False
        #: Whether its task has had its result; Dask sees to it that it is there for whoever reads it.
        self.finished = False
        self.deaths = 0
        #: The address of what it is executing, as far as it has told since a worker died under it.
        self.place = ""

    def last(self) -> Unit:
        """Return the unit that has, or will have, the result: the end of the tails."""
        end = self
        while (further := end.ahead or end.target) is not None:
            end = further
        # Tails of tails may be thousands deep, and whoever asks, asks again: the way is shortened.
        unit: Unit | None = self
        while unit is not None and unit is not end:
            unit.ahead, unit = end, unit.ahead or unit.target
        return end


class Run:
    """A top-level run's record.

    Attributes
    ----------
    id : str
        Its id.
    owner : str
        The Dask client that submitted it.
    status : Status
        Where it is in its life.
    failure
        Why it did not succeed; opaque here.
    result : str
        Once it has succeeded, the Dask key of its result.
    domains : dict
        By what fails together, the units in it.
    fallen : dict
        By what has failed, why.
    gates : dict
        By its address, the unit that waits at a gate.
    items : dict
        By map, the items that have failed: for each a line that says why, and of the first of them the failure itself.
    answered : dict
        By the addresses of gates that were answered, their names.
    cancelled : dict
        By its address, what was cancelled while the run went on: whether it was ended here.
    """

    __slots__ = (
        "answered",
        "cancelled",
        "domains",
        "failure",
        "fallen",
        "gates",
        "id",
        "items",
        "owner",
        "result",
        "root",
        "status",
        "units",
    )

    def __init__(self, id: str, owner: str) -> None:
        self.id = id
        self.owner = owner
        self.status = Status.RUNNING
        self.failure: Any = None
        self.result = ""
        self.root: Unit | None = None
        self.units: dict[str, Unit] = {}
        self.domains: dict[str, dict[Unit, None]] = {}
        self.fallen: dict[str, Any] = {}
        self.gates: dict[str, Unit] = {}
        self.answered: dict[str, str] = {}
        self.cancelled: dict[str, bool] = {}
        self.items: dict[str, tuple[dict[int, str], Any]] = {}


def plain_failure(failure: Any) -> dict[str, Any]:
    """Return the record of a failure as it travels."""
    if isinstance(failure, Crash):
        place = f"{failure.address} (unit {failure.key})" if failure.address else f"unit {failure.key}"
        return {"crash": f"{failure.deaths} workers died while they executed {place}", "address": failure.address}
    return dict(failure)
