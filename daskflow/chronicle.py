"""What the scheduler writes down of runs: their beginnings, what units tell, and their ends. What goes wrong here concerns no run."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Mapping
from typing import Any

from daskflow import config, submissions
from daskflow.checkpoints import forget_run
from daskflow.errors import DaskflowError
from daskflow.failed import place_of
from daskflow.history import History
from daskflow.historyrows import RunRow
from daskflow.historywriter import Writer
from daskflow.loglines import without_logs
from daskflow.outputs import Outputs, result_name
from daskflow.records import Status

logger = logging.getLogger(__name__)

#: What others may ask of the history, by the names of its methods.
ASKED = frozenset({"runs", "run", "find", "reports", "reports_since", "logs", "submission", "result"})
_PATIENCE = 5.0  # seconds


class Chronicle:
    """The history of the runs of one scheduler.

    Parameters
    ----------
    address : str
        The scheduler's.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._writer: Writer | None = None
        self._closed = False
        #: Of runs that are executing, and keep outputs: where.
        self._kept: dict[str, Outputs] = {}

    def begin(self, run: str, name: str, message: Mapping[str, Any]) -> None:
        """Write down that a run begins, and what is needed to run the same again."""
        writer, options = self._open(), message["options"]
        if writer is None:
            options["keeping"] = _only_read(options["keeping"])
            return
        keeping = options["keeping"]
        if keeping is not None:
            self._kept[run] = Outputs(keeping[1], keeping[2])
        self._safely(run, lambda: writer.begin(self._row(run, name, message), submissions.packed(message)))

    def _row(self, run: str, name: str, message: Mapping[str, Any]) -> RunRow:
        keeping, about = message["options"]["keeping"], message["about"]
        return RunRow(
            id=run,
            name=name,
            entity=about["entity"],
            kind=about["kind"],
            mode=about["mode"],
            source=about["source"],
            started=message["options"]["started"],
            owner=about["owner"],
            labels=about["labels"],
            inputs=about["inputs"],
            target={
                **about["target"],
                "lineage": about["lineage"],
                "scheduler": self._address,
                "embedded": about["embedded"],
                "given": about["given"],
                "outputs": keeping[1] if keeping else None,
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
            self._safely(run, lambda: writer.logs(run, lines))
            if rest is not None:
                writer.report(run, rest)
        return rest

    def flush(self, timeout: float) -> bool:
        """Wait until all is written, at most so many seconds; tell whether it is."""
        return self._writer is None or self._writer.flush(timeout)

    def end(self, run: str, status: Status, failure: Mapping[str, Any] | None, result: bytes | None) -> None:
        """Write down how a run ended."""
        outputs, writer = self._kept.pop(run, None), self._writer
        if writer is None:
            return
        self._safely(run, lambda: writer.end(run, status.value, time.time(), failure, place_of(failure), result))
        # Nobody goes on from a run that has succeeded; but another may be going on from the one that this has gone on from.
        if outputs is not None and status is Status.SUCCEEDED and not self._are_used(outputs):
            writer.then(run, lambda: self._forget(outputs))

    def _forget(self, outputs: Outputs) -> None:
        # Another may have begun since.
        if not self._are_used(outputs):
            outputs.forget()

    def _are_used(self, outputs: Outputs) -> bool:
        return any(one.folder == outputs.folder for one in list(self._kept.values()))

    def asked(self, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """Return, pickled, what the history says; not for the event loop."""
        if method not in ASKED:
            raise ValueError(f"nobody may ask the history for {method!r}")
        if self._writer is not None:
            self._writer.flush(_PATIENCE)
        try:
            return pickle.dumps((True, getattr(History(config.get("history.path")), method)(*args, **kwargs)))
        except DaskflowError as error:
            return pickle.dumps((False, error))

    def close(self) -> None:
        """Write all that there is to write."""
        self._closed = True
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close(_PATIENCE)

    def _open(self) -> Writer | None:
        if self._writer is None and not self._closed:
            try:
                settings = config.history_settings()
                self._writer = None if settings is None else Writer(*settings, on_pruned=_forget)
            except Exception as error:
                logger.error("daskflow keeps no history: %s", error)
                self._closed = True
        return self._writer


def _only_read(keeping: tuple[str, str, str, bool] | None) -> tuple[str, str, str, bool] | None:
    """Return how a run keeps outputs that is in no history, from which alone another could go on from it: not at all."""
    return ("off", *keeping[1:]) if keeping is not None and keeping[3] else None


def _forget(runs: list[str]) -> None:
    """Remove what is kept of runs that nobody can go on from any more."""
    url = config.get("cache.url")
    for run in runs:
        Outputs(url, run).forget()
        Outputs(url, result_name(run)).forget()
        forget_run(url, run)
