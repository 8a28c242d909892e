"""Checkpoints: what an attempt of a task keeps for the next one.

A node's checkpoint is one archive of files, which is replaced as a whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from daskflow.errors import OptionError

logger = logging.getLogger(__name__)

_FOLDER = "checkpoints"
_NAME = "checkpoint"


class CheckpointStore(Protocol):
    """Where the archive of one node of one run is; it can be pickled, and touches nothing before it is used."""

    def put(self, path: str) -> None:
        """Keep a copy of the file at a path, in the place of what was kept."""
        ...

    def get(self, path: str) -> bool:
        """Write what is kept to a path; tell whether there was anything."""
        ...

    def clear(self) -> None:
        """Keep nothing any more."""
        ...


class FileCheckpoint:
    """An archive as a file, or wherever fsspec reaches.

    Parameters
    ----------
    path : str
        A path, or a URL that fsspec knows.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def of_node(cls, root: str, run_id: str, address: str) -> FileCheckpoint:
        """Return that of a node of a run, under the directory or URL of a store."""
        name = hashlib.blake2b(f"{run_id}\n{address}".encode(), digest_size=16).hexdigest()
        return cls(f"{_run_folder(root, run_id)}/{name}.zip")

    @classmethod
    def temporary(cls) -> FileCheckpoint:
        """Return one in the directory for temporary files, which whoever uses it has to clear."""
        return cls(os.path.join(tempfile.gettempdir(), f"daskflow-checkpoint-{uuid.uuid4().hex}.zip"))

    def put(self, path: str) -> None:
        if "://" in self.path:
            system, place = _system(self.path)
            system.makedirs(place.rpartition("/")[0], exist_ok=True)
            system.put_file(path, place)
            return
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        beside = f"{self.path}.{uuid.uuid4().hex}.tmp"
        try:
            # Not there before, and its owner's alone.
            with open(path, "rb") as source, os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            os.replace(beside, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)
            raise

    def get(self, path: str) -> bool:
        try:
            if "://" in self.path:
                system, place = _system(self.path)
                system.get_file(place, path)
            else:
                shutil.copyfile(self.path, path)
        except FileNotFoundError:
            return False
        return True

    def clear(self) -> None:
        with suppress(FileNotFoundError):
            if "://" in self.path:
                system, place = _system(self.path)
                system.rm_file(place)
            else:
                os.unlink(self.path)


def forget_run(root: str, run_id: str) -> None:
    """Remove all checkpoints of a run, and of its child runs, from under the directory or URL of a store."""
    folder = _run_folder(root, run_id)
    if "://" not in folder:
        shutil.rmtree(folder, ignore_errors=True)
        return
    system, place = _system(folder)
    with suppress(FileNotFoundError):
        system.rm(place, recursive=True)


def _run_folder(root: str, run_id: str) -> str:
    return f"{root.rstrip('/')}/{_FOLDER}/{run_id.partition('.')[0]}"


def _system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped,unused-ignore]

    found: tuple[Any, str] = url_to_fs(url)
    return found


class Checkpoint:
    """What an attempt does with its node's checkpoint; ``current_context().checkpoint``. Its methods are those of Flyte's.

    Parameters
    ----------
    store
        Where it is.
    check
        Called before anything is kept; raises where the attempt does not count any more.

    Examples
    --------
    >>> store = FileCheckpoint.temporary()
    >>> Checkpoint(store).read() is None
    True
    >>> Checkpoint(store).write(b"half done")
    >>> Checkpoint(store).read()
    b'half done'
    >>> store.clear()
    """

    def __init__(self, store: CheckpointStore, check: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._check = check
        self._restored: tempfile.TemporaryDirectory[str] | None = None

    def prev_exists(self) -> bool:
        """Tell whether an attempt before this one, or this one, has kept anything."""
        with tempfile.TemporaryDirectory() as folder:
            return self._store.get(os.path.join(folder, "archive"))

    def write(self, b: bytes) -> None:
        """Keep bytes, in the place of what was kept."""
        self.save(io.BytesIO(b))

    def save(self, cp: str | os.PathLike[str] | BinaryIO) -> None:
        """Keep a file, a directory, or what a binary reader gives, in the place of what was kept.

        Raises
        ------
        OptionError
            When it is none of these.
        FileNotFoundError
            When there is nothing at that path.
        """
        self._check()
        with tempfile.TemporaryDirectory() as folder:
            archive = os.path.join(folder, "archive")
            with zipfile.ZipFile(archive, "w") as target:
                _add(target, cp)
            self._check()
            self._store.put(archive)

    def restore(self, path: str | os.PathLike[str] | None = None) -> Path | None:
        """Write what was kept into a directory, and return that; ``None`` where nothing was kept.

        Parameters
        ----------
        path
            The directory; by default a temporary one, which is removed after the attempt.

        Raises
        ------
        OptionError
            When `path` is a file.
        """
        if path is None:
            self.close()
            self._restored = tempfile.TemporaryDirectory(prefix="daskflow-restored-")
            path = self._restored.name
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise OptionError(f"a checkpoint is restored to a directory, and {folder} is a file")
        if self._extracted(lambda archive: archive.extractall(folder)):
            return folder
        self.close()
        return None

    def read(self) -> bytes | None:
        """Return what was kept, if it is one file; ``None`` where nothing was.

        Raises
        ------
        OptionError
            When several files were kept.
        """
        found: list[bytes] = []

        def read_one(archive: zipfile.ZipFile) -> None:
            names = [one for one in archive.namelist() if not one.endswith("/")]
            if len(names) > 1:
                raise OptionError(f"the checkpoint has {len(names)} files, and read() is for one: use restore(directory)")
            found.extend(archive.read(one) for one in names)

        self._extracted(read_one)
        return found[0] if found else None

    def _extracted(self, use: Callable[[zipfile.ZipFile], None]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "archive")
            if not self._store.get(path):
                return False
            try:
                with zipfile.ZipFile(path) as archive:
                    use(archive)
            except zipfile.BadZipFile as error:
                logger.warning("a checkpoint is damaged, and counts as not there: %s", error)
                return False
            return True

    def close(self) -> None:
        """Remove what was restored to a temporary directory."""
        if self._restored is not None:
            self._restored.cleanup()
            self._restored = None


def _add(target: zipfile.ZipFile, source: Any) -> None:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_dir():
            target.write(path, path.name)
            return
        for one in sorted(path.rglob("*")):
            target.write(one, one.relative_to(path).as_posix())
    elif callable(getattr(source, "read", None)):
        with target.open(_NAME, "w", force_zip64=True) as file:
            shutil.copyfileobj(source, file, 1 << 20)
    else:
        raise OptionError(f"a checkpoint is saved from a path or a binary reader, not from {source!r}")
