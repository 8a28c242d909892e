"""The history's file as the one who writes has it open: batches, signs of life, and what is too old or too many removed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from daskflow import historyschema as schema
from daskflow import historystatements as statements
from daskflow.historylife import BEAT, Life, gone, lost
from daskflow.historyqueue import Statement
from daskflow.historyrows import to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

#: So many runs, and rows of them, are removed in one step.
STEP_RUNS, STEP_ROWS = 50, 5_000
#: Seconds between two looks for runs that have become too old, and for schedulers that are gone.
LOOK = 60.0
_PAGES = 1_000
_OWNED = {"reports": "seq", "logs": "seq", "submissions": "rowid", "results": "rowid"}


class Leftover(NamedTuple):
    """What there may be elsewhere of a run that is gone.

    Attributes
    ----------
    run : str
        Its id.
    cache : str or None
        The folder or URL of the cache that it is in; None where that is not known.
    lineage : str or None
        The run whose outputs can go with it; None where it kept none there, or another run may still go on from them.
    """

    run: str
    cache: str | None
    lineage: str | None


class HistoryFile:
    """A file that is written; for one thread. Whatever fails is raised, and the file is opened anew for the next try.

    Parameters
    ----------
    path : str
        The file.
    life : Life
        The scheduler that writes.
    max_runs : int or None
        So many runs are kept, and those that go on.
    max_age : float or None
        Runs are kept for so many seconds after their end.
    """

    def __init__(self, path: str, life: Life, max_runs: int | None, max_age: float | None) -> None:
        self.path, self._life = path, life
        self._max_runs, self._max_age = max_runs, max_age
        self._connection: Connection | None = None
        self._inode = 0
        self._beaten = self._looked = float("-inf")

    def _open(self) -> Connection:
        if self._connection is None:
            connection = schema.open_to_write(self.path)
            try:
                self._inode = os.stat(self.path).st_ino
                with schema.transaction(connection):
                    _write_down_lost(connection, self._life.id)
                    _beat(connection, self._life._replace(alive=time.time()))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def let_go(self) -> None:
        """Close the file, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def beat_due(self) -> float:
        """Seconds until the next sign of life is due."""
        return max(0.0, self._beaten + BEAT - time.monotonic())

    def write(self, batch: Sequence[Statement]) -> None:
        """Write a batch, all of it or nothing, with a sign of life if one is due."""
        due = self.beat_due == 0
        if due and self._connection is not None and not self._is_same():
            self.let_go()
        connection = self._open()
        if not (batch or due):
            return
        with schema.transaction(connection):
            for sql, parameters in [*batch, *statements.grown(batch)]:
                connection.executemany(sql, parameters)
            if due:
                _beat(connection, self._life._replace(alive=time.time()))
        if due:
            self._beaten = time.monotonic()

    def _is_same(self) -> bool:
        # What is written to a file that somebody has removed, nobody reads.
        try:
            return os.stat(self.path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def leave(self) -> None:
        """Say that the scheduler has ended, and close the file."""
        now = time.time()
        with schema.transaction(self._open()):
            _beat(self._open(), self._life._replace(alive=now, ended=now))
        self.let_go()

    @property
    def look_due(self) -> bool:
        """Whether it is time to look for runs that are too old."""
        return time.monotonic() >= self._looked + LOOK

    def prune(self, on_pruned: Callable[[list[Leftover]], None]) -> bool:
        """Remove a little of what is too old or too many; tell whether there may be more."""
        connection = self._open()
        if self.look_due:
            self._looked = time.monotonic()
            with schema.transaction(connection):
                _write_down_lost(connection, self._life.id)
        sql = "SELECT run FROM pruned UNION SELECT run FROM leftovers LIMIT ?"
        ids = [id for (id,) in connection.execute(sql, (STEP_RUNS,))]
        if not ids:
            with schema.transaction(connection):
                return self._condemn(connection)
        with schema.transaction(connection):
            removed = _remove_rows(connection, ids)
        if removed < STEP_ROWS:
            on_pruned(_leftovers(connection, ids))
            with schema.transaction(connection):
                for table in ("pruned", "leftovers"):
                    connection.executemany(f"DELETE FROM {table} WHERE run = ?", [(id,) for id in ids])  # noqa: S608
            # As a script it is stepped to its end; otherwise it would free a single page.
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES:d})")
        return True

    def _condemn(self, connection: Connection) -> bool:
        """Remove the rows of some runs, so that nobody sees them any more; what they have elsewhere goes later."""
        oldest = self._surplus(connection) or self._aged(connection)
        connection.executemany("INSERT OR IGNORE INTO pruned (run) VALUES (?)", [(id,) for id, *_ in oldest])
        connection.executemany("INSERT OR REPLACE INTO leftovers (run, cache, lineage) VALUES (?, ?, ?)", oldest)
        connection.executemany("DELETE FROM runs WHERE id = ?", [(id,) for id, *_ in oldest])
        return bool(oldest)

    def _surplus(self, connection: Connection) -> list[Any]:
        if self._max_runs is None:
            return []
        (count,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        sql = "SELECT id, cache, lineage FROM runs WHERE ended IS NOT NULL ORDER BY started, number LIMIT ?"
        return connection.execute(sql, (min(max(0, count - self._max_runs), STEP_RUNS),)).fetchall()

    def _aged(self, connection: Connection) -> list[Any]:
        if self._max_age is None:
            return []
        sql = "SELECT id, cache, lineage FROM runs WHERE ended < ? ORDER BY ended LIMIT ?"
        return connection.execute(sql, (time.time() - self._max_age, STEP_RUNS)).fetchall()


def _leftovers(connection: Connection, ids: list[str]) -> list[Leftover]:
    """Return what is to be removed elsewhere of runs that are gone."""
    sql = (
        "SELECT run, cache, CASE WHEN NOT EXISTS (SELECT 1 FROM runs WHERE lineage = leftovers.lineage AND cache IS leftovers.cache) "
        "THEN lineage END FROM leftovers WHERE run = ?"
    )
    found = {id: connection.execute(sql, (id,)).fetchone() for id in ids}
    # One that is not there was removed by an older version.
    return [Leftover(id, None, id) if one is None else Leftover(*one) for id, one in found.items()]


def _remove_rows(connection: Connection, ids: list[str]) -> int:
    removed = 0
    for id in ids:
        for table, number in _OWNED.items():
            sql = f"DELETE FROM {table} WHERE {number} IN (SELECT {number} FROM {table} WHERE run = ? LIMIT ?)"  # noqa: S608
            removed += connection.execute(sql, (id, STEP_ROWS - removed)).rowcount
    return removed


def _beat(connection: Connection, life: Life) -> None:
    places = ", ".join("?" * len(life))
    connection.execute(f"INSERT OR REPLACE INTO schedulers ({', '.join(Life._fields)}) VALUES ({places})", life)  # noqa: S608


def _write_down_lost(connection: Connection, own: str) -> None:
    """Note of runs whose scheduler is gone that they have failed."""
    now = time.time()
    known = {one[0]: Life(*one) for one in connection.execute(f"SELECT {', '.join(Life._fields)} FROM schedulers")}  # noqa: S608
    alive = {own, *(id for id, life in known.items() if not gone(life, now))}
    with closing(connection.execute("SELECT id, scheduler FROM runs WHERE ended IS NULL")) as found:
        left: list[Any] = [one for one in found if one[1] not in alive]
    sql = "UPDATE runs SET status = 'FAILED', ended = max(started, ?), error = ? WHERE id = ?"
    connection.executemany(sql, [(_last_sign(known.get(by)), to_json(lost(known.get(by), id)), id) for id, by in left])
    # Nothing that has not ended is theirs any more.
    connection.executemany("DELETE FROM schedulers WHERE id = ?", [(id,) for id in known.keys() - alive])


def _last_sign(life: Life | None) -> float:
    return 0.0 if life is None else life.alive
