"""The history's file: who may have it, its tables, and how older versions of it are brought up to date."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from daskflow.errors import HistoryError

if TYPE_CHECKING:
    from sqlite3 import Connection

#: Seconds that one waits for others that have the file locked.
BUSY = 5.0
#: Tells our files from those of other programs: "dflw".
APPLICATION = 0x64666C77

_FIRST = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        entity TEXT NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL,
        mode TEXT NOT NULL,
        source TEXT,
        started REAL NOT NULL,
        ended REAL,
        owner TEXT NOT NULL,
        labels TEXT NOT NULL,
        inputs TEXT NOT NULL,
        target TEXT NOT NULL,
        error TEXT,
        failed TEXT,
        counts TEXT NOT NULL,
        scheduler TEXT NOT NULL,
        submission_nbytes INTEGER,
        result_nbytes INTEGER,
        nbytes INTEGER NOT NULL,
        dropped_reports INTEGER NOT NULL,
        dropped_logs INTEGER NOT NULL
    )
    """,
    "CREATE INDEX runs_started ON runs (started)",
    "CREATE INDEX runs_ended ON runs (ended)",
    # What is large has tables of its own, so that whoever lists runs does not read past it.
    "CREATE TABLE submissions (run TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE results (run TEXT PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE reports (seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX reports_run ON reports (run)",
    """
    CREATE TABLE logs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL,
        address TEXT NOT NULL,
        "when" REAL NOT NULL,
        level TEXT NOT NULL,
        text TEXT NOT NULL
    )
    """,
    "CREATE INDEX logs_run ON logs (run)",
    """
    CREATE TABLE schedulers (
        id TEXT PRIMARY KEY,
        host TEXT NOT NULL,
        machine TEXT NOT NULL,
        pid INTEGER NOT NULL,
        birth TEXT NOT NULL,
        started REAL NOT NULL,
        alive REAL NOT NULL,
        ended REAL
    )
    """,
    # Runs that are gone, and of which reports and the like are still to be removed.
    "CREATE TABLE pruned (run TEXT PRIMARY KEY)",
)

_SECOND = (
    "ALTER TABLE runs ADD COLUMN cache TEXT",
    "ALTER TABLE runs ADD COLUMN lineage TEXT",
    # Where a run keeps outputs was among what tells how its entity is found again.
    """
    UPDATE runs SET cache = json_extract(target, '$.outputs'), lineage = json_extract(target, '$.lineage')
    WHERE CASE WHEN json_valid(target) THEN json_type(target, '$.outputs') = 'text' END
    """,
    "CREATE INDEX runs_lineage ON runs (lineage) WHERE lineage IS NOT NULL",
    # What is kept elsewhere of runs that are gone, and is still to be removed. Older writers know of one column of `pruned`.
    "CREATE TABLE leftovers (run TEXT PRIMARY KEY, cache TEXT, lineage TEXT)",
)

#: For each version what makes it of the one before. What was released is never changed; a step must leave to older writers what they write.
MIGRATIONS: list[tuple[str, ...]] = [_FIRST, _SECOND]


def check_folder(path: str, make: bool = False) -> bool:
    """Check that nobody but its owner can write to the folder of a file; tell whether there is one.

    Raises
    ------
    HistoryError
        When others can, or when it cannot be made.
    """
    folder = os.path.dirname(os.path.abspath(path))
    try:
        if make:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        status = os.stat(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HistoryError(
            f"the folder of the history {path} cannot be used: {error}; set daskflow.history.path to a file in a folder of your own"
        ) from error
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise HistoryError(
            f"the folder {folder} belongs to somebody else, or others can write to it, and what the history in it says is run again; "
            "make it yours, with mode 0700, or set daskflow.history.path to a file in a folder of your own"
        )
    return True


def is_there(path: str) -> bool:
    """Tell whether there is a file.

    Raises
    ------
    HistoryError
        When there is something else.
    """
    try:
        mode = os.stat(path, follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise HistoryError(f"the history {path} cannot be used: {error}") from error
    if not stat.S_ISREG(mode):
        raise HistoryError(f"the history {path} is no file, but a folder, a symbolic link or the like; set daskflow.history.path to a file")
    return True


def make_file(path: str) -> None:
    """Make an empty file for its owner alone, unless it is there. A file is never opened but by SQLite, which would lose its locks."""
    if not is_there(path):
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    if os.stat(path).st_mode & 0o077:
        os.chmod(path, 0o600)


def connect(path: str) -> Connection:
    """Open a file that is there, outside of any transaction."""
    return _connect(path, "mode=rw")


def connect_to_read(path: str) -> Connection:
    """Open a file that is there; also where nothing can be written, such as a copy on a medium that is only read."""
    # Beside a file that somebody writes there is another; where there is none, and none can be made, nobody does.
    can_write = os.access(os.path.dirname(path), os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    is_still = not can_write and not os.path.exists(f"{path}-wal")
    return _connect(path, "mode=ro&immutable=1" if is_still else "mode=rw")


def _connect(path: str, how: str) -> Connection:
    import sqlite3
    from urllib.parse import quote

    return sqlite3.connect(f"file:{quote(os.path.abspath(path))}?{how}", uri=True, timeout=BUSY, isolation_level=None)


def described(error: Exception) -> str:
    """Return what the medium has said, and what is to be done about it."""
    return str(error) if isinstance(error, HistoryError) else f"{type(error).__name__}: {error}; {_way_out(error)}"


def _way_out(error: Exception) -> str:
    import sqlite3

    text = str(error)
    if type(error) is sqlite3.DatabaseError:
        return "move that file away, or set daskflow.history.path to another"
    if "locked" in text:
        return "another program has it locked"
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return "make the file and its folder writable, or set daskflow.history.path to a file in a folder that is"
    return "make room on its disk, or set daskflow.history.path to a file on another"


def version_of(connection: Connection, path: str) -> int:
    """Return the version of a file's tables; 0 where it is empty.

    Raises
    ------
    HistoryError
        When it is newer than we know, or another program's.
    """
    # In this order: somebody may be making the tables at this moment, and they are there together with what says whose they are.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and application != APPLICATION:
        raise HistoryError(f"{path} is a database of another program; set daskflow.history.path to another file")
    if version > len(MIGRATIONS):
        raise HistoryError(
            f"the history {path} is of version {version}, which a newer daskflow has written, and this one reads up to {len(MIGRATIONS)}; "
            "use that daskflow, or set daskflow.history.path to another file"
        )
    return int(version)


def migrate(connection: Connection, path: str) -> None:
    """Bring a file's tables up to date, all steps or none."""
    if version_of(connection, path) == len(MIGRATIONS):
        return
    with transaction(connection):
        # Somebody else may have done it meanwhile.
        for number, step in enumerate(MIGRATIONS[version_of(connection, path) :], version_of(connection, path) + 1):
            run_all(connection, step)
            connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute(f"PRAGMA application_id = {APPLICATION:d}")


def run_all(connection: Connection, statements: Sequence[str]) -> None:
    """Execute statements, one after the other."""
    for statement in statements:
        connection.execute(statement)


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Do all of it, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_to_write(path: str) -> Connection:
    """Make a file, unless it is there, with its folder, and open it, up to date and in WAL mode.

    Raises
    ------
    HistoryError
        When it may not be used.
    sqlite3.Error, OSError
        When the medium fails.
    """
    check_folder(path, make=True)
    make_file(path)
    connection = connect(path)
    try:
        if version_of(connection, path) == 0:
            # Only before there is any table can it be said that a file may shrink.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {16 << 20:d}")
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection
