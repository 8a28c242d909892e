"""What the scheduler writes down of runs: their beginnings, what units tell, and their ends. What goes wrong here concerns no run."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from daskflow import config, submissions
from daskflow.checkpoints import forget_run
from daskflow.errors import DaskflowError
from daskflow.failed import place_of
from daskflow.history import History
from daskflow.historyfile import Leftover
from daskflow.historyrows import RunRow
from daskflow.historywriter import Writer
from daskflow.loglines import without_logs
from daskflow.outputs import Outputs, result_name
from daskflow.records import Status

logger = logging.getLogger(__name__)

#: What others may ask of the history, by the names of its methods.
ASKED = frozenset({"runs", "run", "find", "reports", "reports_since", "logs", "submission", "result"})
_PATIENCE = 5.0  # seconds
#: The text of a line; and what a line counts besides.
_TEXT, _LINE = 3, 32
#: So many threads read the file for others.
_READERS = 4


class _Begun(NamedTuple):
    """What must be known of a run when it ends."""

    entity: str
    kind: str
    outputs: tuple[str, str] | None


class Chronicle:
    """The history of the runs of one scheduler.

    Parameters
    ----------
    address : str
        The scheduler's.
    settings : HistorySettings, optional
        How it is kept; by default as is configured when the first run begins.
    """

    def __init__(self, address: str, settings: config.HistorySettings | None = None) -> None:
        self._address = address
        self._settings = settings
        self._writer: Writer | None = None
        self._closed = False
        # Not the event loop's own threads: whoever asks may have all of those, where the client is in this process, too.
        self._readers = ThreadPoolExecutor(_READERS, "daskflow-history-reader")
        #: Runs that are executing; and how many bytes of log lines may still come of them.
        self._begun: dict[str, _Begun] = {}
        self._room: dict[str, int] = {}

    def begin(self, run: str, name: str, message: Mapping[str, Any]) -> None:
        """Write down that a run begins, and what is needed to run the same again."""
        writer, about, options = self._open(), message["about"], message["options"]
        if writer is None:
            # What nobody can go on from, nobody would remove either.
            options["keeping"] = _only_taking_over(options["keeping"])
            return
        keeping = options["keeping"]
        self._room[run] = options["logs.run_bytes"]
        self._begun[run] = _Begun(about["entity"], about["kind"], None if keeping is None else (keeping[1], keeping[2]))
        self._safely(run, lambda: writer.begin(self._row(run, name, about, options), submissions.packed(message)))

    def folded(
        self, run: str, name: str, about: Mapping[str, Any], options: Mapping[str, Any], report: bytes | None, result: bytes | None
    ) -> None:
        """Write down a run whose every result was in the cache, so that nothing of it was executed."""
        writer = self._open()
        if writer is not None:
            self._safely(
                run, lambda: self._write_folded(writer, self._row(run, name, about, options, cached=True), options["ended"], report, result)
            )

    def _write_folded(self, writer: Writer, row: RunRow, ended: float, report: bytes | None, result: bytes | None) -> None:
        reports = [report] if report is not None else []
        writer.begin(row)
        for one in reports:
            writer.report(row.id, one)
        counts = partial(_counts, row.id, _Begun(row.entity, row.kind, None), reports, Status.SUCCEEDED, None)
        writer.end(row.id, "SUCCEEDED", ended, result=result, counts=counts)

    def _row(self, run: str, name: str, about: Mapping[str, Any], options: Mapping[str, Any], cached: bool = False) -> RunRow:
        keeping = options["keeping"]
        return RunRow(
            id=run,
            name=name,
            entity=about["entity"],
            kind=about["kind"],
            mode=about["mode"],
            source=about["source"],
            started=options["started"],
            owner=about["owner"],
            labels=about["labels"],
            inputs=about["inputs"],
            cache=options["checkpoints"],
            lineage=keeping[2] if keeping else None,
            target={
                **about["target"],
                "lineage": about["lineage"],
                "scheduler": self._address,
                "embedded": about["embedded"],
                "given": about["given"],
                "outputs": keeping[1] if keeping else None,
                "cached": cached,
            },
        )

    def _safely(self, run: str, action: Callable[[], object]) -> None:
        """Do something of which a run must not fail."""
        try:
            action()
        except Exception:
            logger.exception("something of run %s is not in the history", run)

    def report(self, run: str, report: bytes) -> bytes | None:
        """Write down what a unit tells; return it without the lines that tasks wrote, which are kept nowhere else."""
        rest, lines = without_logs(report)
        writer = self._writer
        if writer is not None:
            self._safely(run, lambda: self._keep_lines(writer, run, lines))
            if rest is not None:
                writer.report(run, rest)
        return rest

    def _keep_lines(self, writer: Writer, run: str, lines: Sequence[Any]) -> None:
        room, kept = self._room.get(run, 0), 0
        for line in lines:
            room -= len(line[_TEXT]) + _LINE
            if room < 0:
                break
            kept += 1
        if run in self._room:
            self._room[run] = room
        writer.logs(run, lines[:kept])
        if kept < len(lines):
            writer.drop_logs(run, len(lines) - kept)

    def flush(self, timeout: float) -> bool:
        """Wait until all is written, at most so many seconds; tell whether it is."""
        return self._writer is None or self._writer.flush(timeout)

    def end(self, run: str, status: Status, failure: Mapping[str, Any] | None, result: bytes | None, reports: Sequence[bytes] = ()) -> None:
        """Write down how a run ended, with how many nodes it had by what its units told."""
        begun, writer = self._begun.pop(run, None), self._writer
        self._room.pop(run, None)
        if writer is None or begun is None:
            return
        place = place_of(failure)
        # Folding takes its time where there are many nodes, so that is done in the thread that writes.
        counts = partial(_counts, run, begun, list(reports), status, place)
        self._safely(run, lambda: writer.end(run, status.value, time.time(), failure, place, result, counts))
        if begun.outputs is not None and status is not Status.SUCCEEDED:
            # What still executes of it keeps what it gives: a thread cannot be ended, so that is there for whoever goes on.
            writer.then(run, partial(_make, begun.outputs))
        # Nobody goes on from a run that has succeeded; but another may be going on from the one that this has gone on from.
        elif begun.outputs is not None and not self._are_used(begun.outputs):
            writer.then(run, partial(self._forget, begun.outputs))

    def _forget(self, outputs: tuple[str, str]) -> None:
        # Another may have begun since.
        if not self._are_used(outputs):
            Outputs(*outputs).forget()

    def _are_used(self, outputs: tuple[str, str]) -> bool:
        return any(one.outputs == outputs for one in list(self._begun.values()))

    async def answer(self, asked: bytes) -> bytes:
        """Return, pickled, what the history says."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._asked, *pickle.loads(asked))

    def _asked(self, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        if method not in ASKED:
            raise ValueError(f"nobody may ask the history for {method!r}")
        writer = self._writer
        if writer is not None and not writer.fails:
            writer.flush(_PATIENCE)
        try:
            history = History(config.get("history.path") if writer is None else writer.path)
            return pickle.dumps((True, getattr(history, method)(*args, **kwargs)))
        except DaskflowError as error:
            return pickle.dumps((False, error))

    def close(self) -> None:
        """Write all that there is to write."""
        self._closed = True
        self._readers.shutdown(wait=False, cancel_futures=True)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(_PATIENCE)

    def _open(self) -> Writer | None:
        if self._writer is None and not self._closed:
            try:
                settings = self._settings or config.history_settings()
                self._writer = None if settings is None else Writer(*settings, on_pruned=forget)
            except Exception as error:
                logger.error("daskflow keeps no history: %s", error)
                self._closed = True
        return self._writer


def _make(outputs: tuple[str, str]) -> None:
    try:
        Outputs(*outputs).make()
    except (OSError, DaskflowError) as error:
        # Whoever would have kept something there has said so already.
        logger.debug("nothing more is kept at %s: %s", outputs[0], error)


def _only_taking_over(keeping: tuple[str, str, str, bool] | None) -> tuple[str, str, str, bool] | None:
    """Return how a run keeps nothing, and takes over what it is to go on from."""
    return None if keeping is None or not keeping[3] else ("off", *keeping[1:])


def _counts(run: str, begun: _Begun, reports: Sequence[bytes], status: Status, place: str | None) -> dict[str, int] | None:
    """Return how many nodes of a run that has ended are in which phase; None where what was told cannot be read."""
    from daskflow.runstate import RunState

    try:
        state = RunState(run, "", begun.entity, begun.kind, status, failure_address=place or None, reports=reports)
        return {phase.value: count for phase, count in state.totals().items()}
    except Exception:
        logger.exception("the nodes of run %s are not counted", run)
        return None


#: Where something could not be removed, which is said once.
_warned: set[str] = set()


def forget(leftovers: Sequence[Leftover]) -> None:
    """Remove what is kept of runs that nobody can go on from any more."""
    for one in leftovers:
        url = one.cache or config.get("cache.url")
        try:
            if one.lineage is not None:
                Outputs(url, one.lineage).forget()
            Outputs(url, result_name(one.run)).forget()
            forget_run(url, one.run)
        except Exception as error:
            if url not in _warned:
                _warned.add(url)
                logger.warning("what was kept at %s of runs that are in the history no more cannot be removed: %s", url, error)
