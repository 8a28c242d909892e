"""The history's writer: a thread that writes in batches what it is given, and whose troubles are its own."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from daskflow import historyschema as schema
from daskflow import historystatements as statements
from daskflow.errors import HistoryError, OptionError
from daskflow.historyfile import HistoryFile, Leftover
from daskflow.historylife import own
from daskflow.historyqueue import Item, Queue, Statement
from daskflow.historyrows import NOT_KEPT, RunRow

logger = logging.getLogger(__name__)

#: Longer results, and longer submissions, are not kept.
MOST_RESULT, MOST_SUBMISSION = 1 << 20, 256 << 20
#: Seconds between two tries when writing fails: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
#: What a log line takes beside its text, roughly.
_LINE = 200


class Writer:
    """Writes the history of one scheduler, in a thread of its own.

    What is given is written within a fraction of a second; no method but :meth:`flush` and :meth:`close` waits for that, and none raises
    what the disk does: it is logged, counted and tried again. Records must not be changed once they are given.

    Parameters
    ----------
    path : str
        The file; it and its folder are made, for their owner alone.
    max_runs : int or None
        So many runs are kept; the oldest that have ended go first.
    max_age : float or None
        Seconds for which runs are kept after their end.
    on_pruned : callable, optional
        Is told, in the thread, of runs that are kept no more, and what may be left of them elsewhere; of a run perhaps more than once.

    Attributes
    ----------
    scheduler : str
        The id that its runs have for that of their scheduler.

    Raises
    ------
    HistoryError
        When the folder is one that others can write to, or the file is of a newer version or of another program.
    OptionError
        When a limit cannot be one.

    Examples
    --------
    >>> import tempfile
    >>> from daskflow.history import History
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = Writer(f"{folder}/history.db", max_runs=100)
    ...     writer.begin(RunRow(id="r0123456789", name="fits", entity="flows.fits", started=1.7e9), b"what to run")
    ...     writer.logs("r0123456789", [("fit[0]", 1.7e9, "INFO", "fitted")])
    ...     assert writer.flush(10)
    ...     print(History(writer.path).logs("r0123456789")[0].text)
    ...     assert writer.close(10)
    fitted
    """

    def __init__(
        self,
        path: str,
        max_runs: int | None = 10_000,
        max_age: float | None = None,
        on_pruned: Callable[[list[Leftover]], None] | None = None,
    ) -> None:
        _check_limits(max_runs, max_age)
        self.path = os.path.abspath(os.path.expanduser(path))
        schema.check_folder(self.path, make=True)
        _check_file(self.path)
        self.scheduler = f"s{uuid.uuid4().hex[:10]}"
        self._failures = 0
        #: Whether the last try to write has failed: what is given is not in the file soon.
        self.fails = False
        self._rests_until = 0.0
        self._on_pruned = on_pruned
        self._queue = Queue()
        self._abandoned = threading.Event()
        self._file = HistoryFile(self.path, own(self.scheduler, time.time()), max_runs, max_age)
        self._thread = threading.Thread(target=self._work, name="daskflow-history", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<writer of the history in {self.path}>"

    @property
    def failures(self) -> int:
        """How many times writing has failed."""
        return self._failures

    def begin(self, row: RunRow, submission: bytes | None = None) -> None:
        """Keep a run, and what is needed to run it again, unless that is longer than 256 MiB."""
        length = statements.kept_length(submission, MOST_SUBMISSION)
        if length is not None and length != NOT_KEPT:
            begun = self._begun(row, length)
            if self._queue.offer(Item(row.id, partial(statements.begin, begun, submission), submitted=length)):
                return
            length = NOT_KEPT
        self._queue.put(Item(row.id, partial(statements.begin, self._begun(row, length), None)))

    def _begun(self, row: RunRow, length: int | None) -> RunRow:
        return replace(row, scheduler=self.scheduler, submission_nbytes=length)

    def report(self, run: str, data: bytes) -> None:
        """Keep what a unit has told."""
        if not self._queue.offer(Item(run, partial(statements.report, run, data), told=len(data))):
            self._queue.drop(run, reports=1)

    def logs(self, run: str, lines: Iterable[Sequence[Any]]) -> None:
        """Keep log lines, each of an address, a time in seconds since the epoch, a level and a text."""
        kept = list(lines)
        size = sum(len(line[3]) + _LINE for line in kept)
        if kept and not self._queue.offer(Item(run, partial(statements.logs, run, kept), told=size)):
            self.drop_logs(run, len(kept))

    def drop_logs(self, run: str, count: int) -> None:
        """Keep only how many log lines there were that are not kept."""
        self._queue.drop(run, logs=count)

    def end(
        self,
        run: str,
        status: str,
        ended: float,
        error: Mapping[str, Any] | None = None,
        failed: str | None = None,
        result: bytes | None = None,
        counts: Callable[[], Mapping[str, int] | None] | None = None,
    ) -> None:
        """Keep how a run ended, and its result, unless that is longer than 1 MiB; `counts` is called in the thread."""
        length = statements.kept_length(result, MOST_RESULT)
        words = (run, status, ended, error, failed)
        if length is not None and length != NOT_KEPT:
            if self._queue.offer(Item(run, partial(statements.end, *words, result, length, counts), told=length)):
                return
            length = NOT_KEPT
        self._queue.put(Item(run, partial(statements.end, *words, None, length, counts)))

    def then(self, run: str, action: Callable[[], object]) -> None:
        """Have something done in the thread, when what was given before is written."""
        self._queue.put(Item(run, list, after=action))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was given is written, at most so many seconds; tell whether it is."""
        return self._queue.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Write all, and end the thread; tell whether that was possible within so many seconds. What is given later is not kept."""
        self._queue.close()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            return not self._abandoned.is_set()
        if not self._abandoned.is_set():
            logger.error("the history %s could not be written to the end within %s s; the last of it is not kept", self.path, timeout)
        self._abandoned.set()
        return False

    def _work(self) -> None:
        more = False
        while not self._abandoned.is_set():
            batch = self._queue.take(0 if more else self._file.beat_due)
            batched = [*_encoded(batch.items), *statements.dropped(batch.dropped)]
            if self._persist(partial(self._write, batched)):
                _follow(batch.items)
            self._queue.done(batch)
            more = not self._queue.closing and self._prune(more or bool(batch.items) or self._file.look_due)
            if self._queue.closing and self._queue.empty:
                break
        self._persist(self._file.leave)
        with suppress(Exception):
            self._file.let_go()

    def _write(self, batch: list[Statement]) -> bool:
        self._file.write(batch)
        return True

    def _prune(self, due: bool) -> bool:
        if not due or time.monotonic() < self._rests_until:
            return False
        more = self._persist(partial(self._file.prune, self._tell), tries=1)
        if more is None:
            # What is too old can stay for a while, and is not worth a word each time.
            self._rests_until = time.monotonic() + _LONGEST_PAUSE
        return bool(more)

    def _tell(self, leftovers: list[Leftover]) -> None:
        try:
            if self._on_pruned is not None:
                self._on_pruned(leftovers)
        except Exception:
            logger.exception(
                "runs %s are not kept any more, and what is to be done then has failed", ", ".join(one.run for one in leftovers)
            )

    def _persist(self, action: Callable[[], Any], tries: float = float("inf")) -> Any:
        """Do something with the file, again and again where it fails."""
        failed, pause = 0, _FIRST_PAUSE
        while failed < tries and not self._abandoned.is_set():
            try:
                done = action()
            except Exception as error:
                failed += 1
                self._note(error, failed)
                if not _may_pass(error):
                    return None
                self._queue.pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self.fails = False
                if failed:
                    logger.info("the history %s is written again, after %d failures", self.path, failed)
                return done
        return None

    def _note(self, error: Exception, failed: int) -> None:
        self._failures += 1
        self.fails = True
        with suppress(Exception):
            self._file.let_go()
        if not _may_pass(error):
            logger.error("daskflow: a fault of ours: something is not kept in the history %s", self.path, exc_info=error)
        elif failed == 1:
            logger.error(
                "the history %s cannot be written, and is tried again until it can: %s; runs go on, and reports and log lines "
                "that do not find room are dropped meanwhile",
                self.path,
                schema.described(error),
            )


def _may_pass(error: Exception) -> bool:
    """Tell whether it is the medium that has failed, and not what was to be written."""
    import sqlite3

    # Their subclasses say that a statement, or a value in it, is wrong.
    return type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError) or isinstance(error, OSError | HistoryError)


def _follow(items: list[Item]) -> None:
    """Do what is to be done when items are written."""
    for item in items:
        if item.after is not None:
            try:
                item.after()
            except Exception:
                logger.exception("what was to be done when run %s had ended has failed", item.run)


def _encoded(items: list[Item]) -> list[Statement]:
    """Return the statements of items, but for those that are not what they should be."""
    found: list[Statement] = []
    for item in items:
        try:
            found += item.encode()
        except Exception:
            logger.exception("something of run %s is not kept in the history, since it is not what it should be", item.run)
    return found


def _check_limits(max_runs: int | None, max_age: float | None) -> None:
    if max_runs is not None and (isinstance(max_runs, bool) or not isinstance(max_runs, int) or max_runs < 1):
        raise OptionError(f"max_runs of the history must be an integer from 1 on, or None; got {max_runs!r}")
    if max_age is not None and not max_age >= 0:
        raise OptionError(f"max_age of the history must be seconds from 0 on, or None; got {max_age!r}")


def _check_file(path: str) -> None:
    """Refuse a file that is not ours, as far as can be told now; what is only busy is for later."""
    import sqlite3
    from contextlib import closing

    if not schema.is_there(path):
        return
    try:
        with closing(schema.connect(path)) as connection:
            schema.version_of(connection, path)
    except sqlite3.OperationalError:
        return
    except sqlite3.DatabaseError as error:
        raise HistoryError(f"the history {path} cannot be used: {error}; move it away, or set daskflow.history.path to another") from error
