"""What of a run's work is kept for another run that goes on from it, and what that one takes over.

A node's output is taken over where the same node, by its address, was executed with the same inputs, by code of the same version.
Otherwise it is executed, and it is told why: since its code has changed, or what it is given, or since what was kept cannot be read.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from daskflow.cachekey import key
from daskflow.entity import BRANCH, GATE, MAP
from daskflow.errors import OptionError
from daskflow.frame import Mark
from daskflow.options import CHECKPOINT_MODES
from daskflow.outputs import Kept, Outputs, Writer, encoded, result_name

logger = logging.getLogger(__name__)

#: A node that takes less, in seconds, is made again sooner than it is found.
LONG = 0.02
#: Bytes a second at which outputs are written, and inputs are read through for their key.
_RATE = 200e6
#: Bytes of inputs that are read through for their key in a millisecond or two.
_LIGHT = 256 << 10
#: Entities without code of their own: what is called inside has.
_NOT_KEPT = (MAP, BRANCH)


class Keeping(NamedTuple):
    """How a run keeps what its nodes give.

    Attributes
    ----------
    mode : str
        ``auto`` keeps what took longer to make than it takes to keep, ``all`` everything, ``off`` nothing.
    url : str
        The cache's folder, or URL.
    lineage : str
        The id of the first of the runs that go on from each other.
    recovers : bool
        Whether there may be something to take over.
    """

    mode: str
    url: str
    lineage: str
    recovers: bool = False


def checked_mode(given: Any, owner: str) -> str:
    """Return a mode of keeping.

    Raises
    ------
    OptionError
        When it is none.
    """
    if given not in CHECKPOINT_MODES:
        raise OptionError(f"checkpoint of {owner} must be one of {', '.join(map(repr, CHECKPOINT_MODES))}; got {given!r}")
    return str(given)


def prepare(entity: Any) -> None:
    """Make the version of an entity's code while the code is here: it travels with the entity."""
    if entity.kind not in _NOT_KEPT and entity.shipment is None and not entity.stored:
        # Made anew for each run, since a global may have become another one.
        entity.code = version(entity)


def version(entity: Any) -> str:
    """Return the version of an entity's code, and of all users' code that it reaches; empty where it cannot be made."""
    if entity.kind == GATE:
        return "gate"
    from daskflow.codeversion import version_as_is

    try:
        return version_as_is(entity)
    except Exception as error:
        # Whatever it is that keeps it from being read, a run does not fail of it.
        logger.debug("outputs of %s are not kept, since its code has no version: %s", entity.name, error)
        return ""


_indices: dict[tuple[str, str, str], dict[str, list[Kept]]] = {}
_indexing = threading.Lock()
#: So many runs' outputs are known at the same time in a process that executes parts of them.
_MOST_INDICES = 4


def _index(outputs: Outputs, run: str) -> dict[str, list[Kept]]:
    """Return what there is for a run to take over, looked up once in a process: what the run itself adds it need not look for."""
    place = (outputs.url, outputs.lineage, run)
    with _indexing:
        if place not in _indices:
            while len(_indices) >= _MOST_INDICES:
                del _indices[next(iter(_indices))]
            _indices[place] = outputs.index()
        return _indices[place]


class Keeper:
    """Keeps, and takes over, outputs for one unit.

    Parameters
    ----------
    keeping
        How.
    name : str
        The unit's.
    run : str
        The run that it is a part of.
    sizeof
        Estimates how many bytes a value takes.
    """

    def __init__(self, keeping: Keeping, name: str, run: str, sizeof: Callable[[Any], int] = sys.getsizeof) -> None:
        self.keeps_all = keeping.mode == "all"
        self.recovers = keeping.recovers
        self._keeps = keeping.mode != "off"
        self.least = math.inf if not self._keeps else 0.0 if self.keeps_all else LONG
        self._outputs = Outputs(keeping.url, keeping.lineage)
        self._name = name
        self._run = run
        self._sizeof = sizeof
        self._writer: Writer | None = None
        self._known: dict[str, list[Kept]] | None = None
        #: What was found out of nodes that an earlier run has executed: address, and `recovered`, `code`, `inputs` or `unreadable`.
        self._news: list[tuple[str, str]] = []

    # ------------------------------------------------------------ taking over

    def knows(self, address: str) -> bool:
        """Tell whether something is kept of the node at an address."""
        if self._known is None:
            try:
                self._known = _index(self._outputs, self._run)
            except Exception as error:
                self._warn("looked up", error)
                self._known = {}
        return address in self._known

    def find(self, address: str, entity: Any, inputs: Mapping[str, Any]) -> tuple[bool, Any]:
        """Return whether a node need not be executed, and its output then."""
        assert self._known is not None
        mark = self.mark(address, entity, inputs)
        if mark is None:
            return False, None
        why = "inputs" if any(kept.mark.version == mark.version for kept in self._known[address]) else "code"
        for kept in self._known[address]:
            if kept.mark.key == mark.key:
                why = "unreadable"
                try:
                    value = self._outputs.load(kept)
                except Exception as error:
                    self._warn("read", error)
                    continue
                self._news.append((address, "recovered"))
                return True, value
        self._news.append((address, why))
        return False, None

    def take(self) -> list[tuple[str, str]]:
        """Return what was found out since the last call."""
        news, self._news = self._news, []
        return news

    # ------------------------------------------------------------ keeping

    def mark(self, address: str, entity: Any, inputs: Mapping[str, Any]) -> Mark | None:
        """Return what tells a node's output from others; ``None`` where nothing does, and so nothing is kept."""
        if entity.kind in _NOT_KEPT:
            return None
        if entity.code is None:
            # It was met first here, on a worker.
            entity.code = version(entity)
        if not entity.code:
            return None
        try:
            # Its version has its name, by which a module is the same wherever it is imported from.
            return Mark(address, key(entity, entity.code, inputs, name=entity.short_name), entity.code)
        except Exception:
            # Inputs that have no hash.
            return None

    def worthwhile(self, seconds: float, *values: Any) -> bool:
        """Tell whether an output that took so long to make is to be kept, with what its key is made from."""
        return self._keeps and (self.keeps_all or seconds > LONG / 4 + sum(map(self._sizeof, values)) / _RATE)

    def handed_over(self, seconds: float) -> float:
        """Return how long something took, of which parts were handed over, and so had lasted, in spite of what its end took."""
        return max(seconds, 2 * LONG)

    def is_light(self, inputs: Mapping[str, Any]) -> bool:
        """Tell whether inputs are read through for a key at once, though what they are given to may take no longer."""
        return self._keeps and (self.keeps_all or self._sizeof(inputs) <= _LIGHT)

    def keep(self, mark: Mark, value: Any, late: bool = False) -> None:
        """Keep an output; a failure is said once, and the run goes on.

        What comes late, when the run has ended without it, is kept only where the run's place is still there: nobody would remove it.
        """
        try:
            entry = encoded(mark, value)
        except Exception as error:
            logger.debug("the output of %s is not kept, since it does not pickle: %s", mark.address, error)
            return
        try:
            if self._writer is None:
                self._writer = self._outputs.writer(self._name, make=not late)
            self._writer.put(entry)
        except Exception as error:
            if not (late and isinstance(error, FileNotFoundError)):
                self._warn("kept", error)

    def keep_result(self, value: Any, seconds: float) -> None:
        """Keep the result of the run, which took so long, for whoever asks when the cluster has it no more."""
        if self.worthwhile(seconds, value):
            own = Keeper(Keeping("all", self._outputs.url, result_name(self._run)), self._name, self._run)
            own.keep(Mark("", "00", ""), value)
            own.close()

    def close(self) -> None:
        """Nothing more is to be kept."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except OSError as error:
                # Some file systems say only then that there was no room.
                self._warn("kept", error)

    def _warn(self, what: str, error: Exception) -> None:
        place = (self._outputs.lineage, what)
        if place not in _warned:
            _warned[place] = None
            logger.warning("outputs of run %s cannot be %s, so they are made again: %s", self._outputs.lineage, what, error)
            # Runs come and go: the last thousand are enough.
            if len(_warned) > _MOST_WARNED:
                _warned.pop(next(iter(_warned)), None)


#: What was warned of.
_warned: dict[tuple[str, str], None] = {}
_MOST_WARNED = 1000
