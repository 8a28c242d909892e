"""What is written into the history, as SQL. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from daskflow.historyqueue import Statement
from daskflow.historyrows import COLUMNS, NOT_KEPT, RunRow, bounded, column, moment, to_json, within

# Of a run that the history does not have, or has no more, nothing is kept.
_KNOWN = "WHERE EXISTS (SELECT 1 FROM runs WHERE id = ?)"


def begin(row: RunRow, submission: bytes | None) -> list[Statement]:
    """Return what keeps a run, and what is needed to run it again."""
    columns = tuple(column(name, getattr(row, name)) for name in COLUMNS)
    places = ", ".join("?" * len(COLUMNS))
    sql = f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({places}) ON CONFLICT (id) DO NOTHING"  # noqa: S608
    return [(sql, [columns]), *_blob("submissions", bounded(row.id), submission)]


def report(run: str, data: bytes) -> list[Statement]:
    """Return what keeps a report."""
    return [(f"INSERT INTO reports (run, data) SELECT ?, ? {_KNOWN}", [(bounded(run), data, bounded(run))])]


def logs(run: str, lines: Iterable[Sequence[Any]]) -> list[Statement]:
    """Return what keeps log lines."""
    sql = f'INSERT INTO logs (run, address, "when", level, text) SELECT ?, ?, ?, ?, ? {_KNOWN}'
    id = bounded(run)
    return [(sql, [(id, bounded(within(run, at)), moment(when), bounded(level), bounded(text), id) for at, when, level, text in lines])]


def end(
    run: str,
    status: str,
    ended: float,
    error: Mapping[str, Any] | None,
    failed: str | None,
    result: bytes | None,
    result_nbytes: int | None,
    counts: Callable[[], Mapping[str, int] | None] | None,
) -> list[Statement]:
    """Return what keeps how a run ended; a length without a result says why there is none."""
    sql = (
        "UPDATE runs SET status = ?, ended = ?, error = ?, failed = ?, result_nbytes = ?, counts = coalesce(?, counts), "
        "nbytes = nbytes + ? WHERE id = ?"
    )
    texts = [None if one is None else to_json(one) for one in (error, None if counts is None else counts())]
    values = (bounded(status), moment(ended), texts[0], failed and bounded(failed), result_nbytes, texts[1])
    size = sum(len(one) for one in texts if one)
    return [(sql, [(*values, size, bounded(run))]), *_blob("results", bounded(run), result)]


def _blob(table: str, run: str, data: bytes | None) -> list[Statement]:
    if data is None:
        return []
    return [(f"INSERT OR IGNORE INTO {table} (run, data) SELECT ?, ? {_KNOWN}", [(run, data, run)])]


def kept_length(data: bytes | None, most: int) -> int | None:
    """Return the length of something, as the row of its run has it."""
    return None if data is None else len(data) if len(data) <= most else NOT_KEPT


def grown(statements: Iterable[Statement]) -> list[Statement]:
    """Return what adds to runs' sizes what statements keep of them beside their own rows."""
    sizes: dict[str, int] = {}
    for sql, parameters in statements:
        if sql.startswith("INSERT"):
            for one in parameters:
                sizes[one[0]] = sizes.get(one[0], 0) + sum(len(part) for part in one if isinstance(part, str | bytes))
    return [("UPDATE runs SET nbytes = nbytes + ? WHERE id = ?", [(size, run) for run, size in sizes.items()])]


def dropped(counts: Mapping[str, tuple[int, int]]) -> list[Statement]:
    """Return what says in runs' rows how many reports and log lines are not there."""
    sql = "UPDATE runs SET dropped_reports = dropped_reports + ?, dropped_logs = dropped_logs + ? WHERE id = ?"
    return [(sql, [(*both, bounded(run)) for run, both in counts.items()])]
