"""The history: an embedded database of runs, which the scheduler writes and anybody reads, also meanwhile and afterwards."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daskflow import historyschema as schema
from daskflow.errors import HistoryError, OptionError, UnknownRun
from daskflow.historylife import Life, gone, lost
from daskflow.historyrows import COLUMNS, STATUSES, LogLine, RunRow, bounded, decoded, from_json, within

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["History", "LogLine", "RunRow"]

_LAST = re.compile(r"@last(?:-(\d{1,9}))?")
_CANDIDATES = 5
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM runs"  # noqa: S608
_NEWEST = "ORDER BY started DESC, number DESC"
_BEGINS = "substr(id, 1, ?) = ?"


class History:
    """The runs that a file has; for any thread and process, also while it is written.

    Each call opens the file and closes it again. Where there is no file there are no runs. A run that goes on though its scheduler is
    gone has failed, as this tells it, with an error ``{"lost": ...}``.

    Parameters
    ----------
    path : str
        The file; ``daskflow.config.get("history.path")`` says where it is.

    Raises
    ------
    HistoryError
        From each method: when the file cannot be read, is of a newer version, or is in a folder that others can write to.

    Examples
    --------
    >>> import tempfile
    >>> from daskflow.historywriter import Writer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     writer = Writer(f"{folder}/history.db")
    ...     writer.begin(RunRow(id="r0123456789", name="fits", entity="flows.fits", started=1.7e9))
    ...     writer.end("r0123456789", "SUCCEEDED", 1.7e9 + 2)
    ...     assert writer.close(10)
    ...     [(run.id, run.status) for run in History(f"{folder}/history.db").runs(name="fit*")]
    [('r0123456789', 'SUCCEEDED')]
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))

    def __repr__(self) -> str:
        return f"<history in {self.path}>"

    def runs(
        self,
        status: str | Iterable[str] | None = None,
        name: str | None = None,
        entity: str | None = None,
        labels: Mapping[str, str] | None = None,
        since: float | datetime | None = None,
        until: float | datetime | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[RunRow]:
        """Return runs, the newest first.

        Parameters
        ----------
        status
            Of these statuses, or of this one.
        name, entity
            With a name, or a full name of what was run, that fits the pattern, as the shell's: ``fit*``.
        labels
            That have all of these labels.
        since, until
            That started at or after, and before, a time: seconds since the epoch, or a datetime.
        limit, offset
            At most so many, after the first so many.

        Raises
        ------
        OptionError
            When there is no such status, a number is negative, or something is not what it should be.
        """
        _check_labels(labels)
        asked: list[tuple[str, Any]] = [
            ("shown(ended, scheduler, status) IN ({})", _statuses(status)),
            ("fits(name, ?)", _pattern(name, "name")),
            ("fits(entity, ?)", _pattern(entity, "entity")),
            ("labelled(labels)", True if labels else None),
            ("started >= ?", _seconds(since, "since")),
            ("started < ?", _seconds(until, "until")),
        ]
        where, parameters = _where(asked)
        sql = f"{_SELECT} {where} {_NEWEST} LIMIT ? OFFSET ?"
        return self._runs(sql, [*parameters, _number(limit, "limit", -1), _number(offset, "offset", 0)], labels)

    def run(self, id: str) -> RunRow | None:
        """Return a run; None where the history does not have it."""
        found = self._runs(f"{_SELECT} WHERE id = ?", [bounded(id)])
        return found[0] if found else None

    def find(self, which: str) -> RunRow:
        """Return the run that is meant: by its id, by the beginning of it, or as ``@last``, ``@last-1`` and so on.

        Raises
        ------
        OptionError
            When it is no text.
        UnknownRun
            When it is none, or one of several.
        """
        if not isinstance(which, str):
            raise OptionError(f"a run is meant by its id, the beginning of one, or as @last, in a text; got {which!r}")
        last = _LAST.fullmatch(which)
        if last is not None:
            return self._last(which, int(last[1] or 0))
        begins = bounded(which)
        # One that is meant by its whole id comes first.
        sql = f"{_SELECT} WHERE {_BEGINS} ORDER BY id = ? DESC, started DESC, number DESC LIMIT ?"
        found = self._runs(sql, [len(begins), begins, begins, _CANDIDATES + 1]) if begins else []
        if found and (len(found) == 1 or found[0].id == begins):
            return found[0]
        raise UnknownRun(self._not_one(begins, found))

    def reports(self, run: str) -> list[bytes]:
        """Return what the units of a run have told, in the order in which it was written."""
        return [data for _, data in self.reports_since(run, 0)]

    def reports_since(self, run: str, seq: int) -> list[tuple[int, bytes]]:
        """Return the reports of a run that were written after the one of this number, each with its number."""
        return self._rows("SELECT seq, data FROM reports WHERE run = ? AND seq > ? ORDER BY seq", [bounded(run), seq])

    def logs(self, run: str, address: str | None = None, after: int = 0, limit: int | None = None) -> list[LogLine]:
        """Return lines that a run's nodes printed or logged, in the order in which they were written.

        Parameters
        ----------
        run
            The run's id.
        address
            Only of this node and what is below it: ``level1`` is above ``level1/step`` and ``level1[2]``, not above ``level10``.
        after
            Only lines with higher numbers: those that came since.
        limit
            At most so many.
        """
        sql, parameters = 'SELECT seq, address, "when", level, text FROM logs WHERE run = ? AND seq > ?', [bounded(run), after]
        path = bounded(within(run, address or ""))
        if path:
            sql += " AND (address = ? OR substr(address, 1, ?) IN (?, ?))"
            parameters += [path, len(path) + 1, f"{path}/", f"{path}["]
        return [LogLine(*one) for one in self._rows(f"{sql} ORDER BY seq LIMIT ?", [*parameters, _number(limit, "limit", -1)])]

    def submission(self, run: str) -> bytes | None:
        """Return what is needed to run a run again; None where it is not kept."""
        return self._blob("submissions", run)

    def result(self, run: str) -> bytes | None:
        """Return the result of a run; None where it is not kept."""
        return self._blob("results", run)

    def _blob(self, table: str, run: str) -> bytes | None:
        found = self._rows(f"SELECT data FROM {table} WHERE run = ?", [bounded(run)])  # noqa: S608
        return found[0][0] if found else None

    def _last(self, which: str, back: int) -> RunRow:
        found = self.runs(limit=1, offset=back)
        if not found:
            raise UnknownRun(f"there is no run {which}: the history {self.path} has {self._count()}")
        return found[0]

    def _not_one(self, which: str, found: list[RunRow]) -> str:
        if found:
            more = ", ..." if len(found) > _CANDIDATES else ""
            named = ", ".join(f"{run.id} ({_short(run.name)}, {run.status})" for run in found[:_CANDIDATES])
            count = self._count(f"WHERE {_BEGINS}", [len(which), which])
            return f"{which!r} is the beginning of the ids of {count} runs: {named}{more}; give more of it"
        newest = self.runs(limit=_CANDIDATES)
        known = f"the newest are {', '.join(run.id for run in newest)}" if newest else "it has no runs"
        return f"no run in the history {self.path} has an id that begins with {_short(which)!r}; {known}"

    def _count(self, where: str = "", parameters: Sequence[Any] = ()) -> int:
        found = self._rows(f"SELECT count(*) FROM runs {where}", [*parameters])  # noqa: S608
        return int(found[0][0]) if found else 0

    def _rows(self, sql: str, parameters: list[Any]) -> list[Any]:
        with self._reading() as connection:
            return [] if connection is None else connection.execute(sql, parameters).fetchall()

    def _runs(self, sql: str, parameters: list[Any], labels: Mapping[str, str] | None = None) -> list[RunRow]:
        with self._reading() as connection:
            if connection is None:
                return []
            # Both look at the same moment.
            connection.execute("BEGIN")
            alive, known = _lives(connection)
            for name, function in _functions(alive, labels or {}).items():
                connection.create_function(name, -1, function)
            rows = [decoded(one) for one in connection.execute(sql, parameters)]
        return [row if row.ended is not None or row.scheduler in alive else _as_lost(row, known.get(row.scheduler)) for row in rows]

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
        import sqlite3

        if not (schema.check_folder(self.path) and schema.is_there(self.path)):
            yield None
            return
        try:
            connection = schema.connect_to_read(self.path)
            try:
                yield connection if self._is_readable(connection) else None
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise HistoryError(f"the history {self.path} cannot be read: {schema.described(error)}") from error

    def _is_readable(self, connection: Connection) -> bool:
        if schema.version_of(connection, self.path) == 0:
            return False
        schema.migrate(connection, self.path)
        connection.execute("PRAGMA query_only = 1")
        return True


def _lives(connection: Connection) -> tuple[set[str], dict[str, Life]]:
    """Return the schedulers of runs that go on: those that are alive, and all."""
    sql = f"SELECT {', '.join(Life._fields)} FROM schedulers WHERE id IN (SELECT scheduler FROM runs WHERE ended IS NULL)"  # noqa: S608
    known = {one[0]: Life(*one) for one in connection.execute(sql)}
    now = time.time()
    return {id for id, life in known.items() if not gone(life, now)}, known


def _functions(alive: set[str], labels: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """Return what SQL asks for by name."""
    import fnmatch

    wanted = {bounded(key): bounded(value) for key, value in labels.items()}.items()
    return {
        "shown": lambda ended, scheduler, status: status if ended is not None or scheduler in alive else "FAILED",
        "fits": fnmatch.fnmatchcase,
        "labelled": lambda text: wanted <= from_json(text).items(),
    }


def _as_lost(row: RunRow, life: Life | None) -> RunRow:
    ended = row.started if life is None else max(row.started, life.alive)
    return replace(row, status="FAILED", ended=ended, error=lost(life, row.id))


def _where(asked: list[tuple[str, Any]]) -> tuple[str, list[Any]]:
    """Return the clause for what was asked, and its parameters; several of one are a list."""
    clauses, parameters = [], []
    for clause, value in asked:
        if value is None:
            continue
        clauses.append(clause.format(", ".join("?" * len(value))) if isinstance(value, list) else clause)
        if value is not True:
            parameters += value if isinstance(value, list) else [value]
    return (f"WHERE {' AND '.join(clauses)}" if clauses else ""), parameters


def _statuses(status: str | Iterable[str] | None) -> list[str] | None:
    if status is None:
        return None
    statuses = [str(one) for one in ([status] if isinstance(status, str) else status)]
    for one in statuses:
        if one not in STATUSES:
            raise OptionError(f"runs have no status {one!r}; there are {', '.join(STATUSES)}")
    return statuses


def _pattern(pattern: Any, name: str) -> str | None:
    if pattern is not None and not isinstance(pattern, str):
        raise OptionError(f"{name} must be a pattern in a text, such as 'fit*'; got {pattern!r}")
    return None if pattern is None else bounded(pattern)


def _check_labels(labels: Any) -> None:
    if labels is not None and not (isinstance(labels, Mapping) and all(isinstance(one, str) for pair in labels.items() for one in pair)):
        raise OptionError(f"labels must be a dict of text by name; got {labels!r}")


def _seconds(time: Any, name: str) -> float | None:
    seconds = time.timestamp() if isinstance(time, datetime) else time
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or math.isnan(seconds)):
        raise OptionError(f"{name} must be a datetime, or seconds since the epoch; got {time!r}")
    return None if seconds is None else float(seconds)


def _number(value: int | None, name: str, unless: int) -> int:
    if value is None:
        return unless
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise OptionError(f"{name} must be an integer from 0 on; got {value!r}")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]}…({len(text) - 40} characters more)"
