"""Outputs of nodes, kept so that another run need not make them again.

A unit appends what it keeps to a file of its own, one entry (:mod:`daskflow.entries`) after the other; a node's output counts as
committed once its entry is whole. What a process that was killed has torn is found by its length or its checksum, and is no more than
an output to be made again. Where fsspec reaches and nothing can be appended to, each entry is a file.

Whoever may write here decides what is unpickled; the rules are those of the cache's store, in whose folder the outputs are.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from daskflow import entries, shipping
from daskflow.entries import Damaged
from daskflow.frame import Mark
from daskflow.places import VARIABLE, Files

_FOLDER = "outputs"
_SUFFIX = ".log"
#: As much of an entry as holds most headers.
_HEAD = 1024


class Kept(NamedTuple):
    """An output that is kept.

    Attributes
    ----------
    mark : Mark
        Of what.
    path : str
        The file that it is in.
    offset, nbytes : int
        Where in it, and how long.
    """

    mark: Mark
    path: str
    offset: int
    nbytes: int


class Writer(Protocol):
    """Takes entries of one unit; each is there as soon as it was put."""

    def put(self, entry: bytes) -> None:
        """Append an entry. Where that fails nothing more can be put: what follows a part of an entry could not be found."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


def result_name(run: str) -> str:
    """Return by what the result of a run is kept that is too large for the history."""
    return f"{run}-result"


def encoded(mark: Mark, value: Any) -> bytes:
    """Return the entry of an output.

    Raises
    ------
    Exception
        What pickling the value raises.
    """
    outside = entries.Outside()
    pickled = shipping.dumps(value, outside)
    secret = _secret()
    entry = entries.encoded(mark.key, pickled, outside.buffers, mark._asdict(), signed=secret is not None)
    return b"".join(entries.sealed(entry, secret))


class Outputs:
    """All outputs that are kept for one run and those that go on from it.

    Parameters
    ----------
    url : str
        The cache's folder, or URL.
    lineage : str
        The id of the first of these runs.
    """

    def __init__(self, url: str, lineage: str) -> None:
        self.url = url
        self.lineage = lineage
        self._place: _Folder | _Afar = _Afar(url, lineage) if "://" in url else _Folder(os.path.expanduser(url), lineage)

    def writer(self, name: str) -> Writer:
        """Return what takes the entries of the unit of that name."""
        return self._place.writer(f"{name}-{secrets.token_hex(4)}")

    def index(self) -> dict[str, list[Kept]]:
        """Return what is kept, by address; unchecked, since the values are checked when they are read.

        Raises
        ------
        StoreError
            When the folder is not to be trusted.
        """
        found: dict[str, list[Kept]] = {}
        for path in self._place.files():
            for kept in self._scan(path):
                found.setdefault(kept.mark.address, []).append(kept)
        return found

    def _scan(self, path: str) -> Iterator[Kept]:
        offset, size = 0, self._place.size(path)
        with suppress(Damaged, FileNotFoundError, TypeError):
            while offset < size:
                head, nbytes = self._head(path, offset)
                if offset + nbytes > size:
                    return
                yield Kept(Mark(**head.meta), path, offset, nbytes)
                offset += nbytes

    def _head(self, path: str, offset: int) -> tuple[entries.Head, int]:
        found: Any = entries.head_at(self._place.read(path, offset, _HEAD))
        return entries.head_at(self._place.read(path, offset, found)) if isinstance(found, int) else found  # type: ignore[return-value]

    def load(self, kept: Kept) -> Any:
        """Return the value of an output.

        Raises
        ------
        Damaged
            When the entry is not as it was written, or not signed with the secret.
        OSError
            When it cannot be read.
        """
        data = self._place.read(kept.path, kept.offset, kept.nbytes)
        return entries.opened(data, kept.mark.key, _secret()).value()

    def forget(self) -> None:
        """Remove all of them."""
        self._place.forget()


def _secret() -> bytes | None:
    return os.environ.get(VARIABLE, "").encode() or None


class _Folder:
    """Outputs in files."""

    def __init__(self, root: str, lineage: str) -> None:
        self._trusted = Files(root, _secret())
        self._folder = os.path.join(root, _FOLDER, lineage)

    def writer(self, name: str) -> Writer:
        self._trusted.trust(make=True)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        return _File(os.path.join(self._folder, f"{name}{_SUFFIX}"))

    def files(self) -> list[str]:
        if not self._trusted.trust():
            return []
        try:
            return sorted(one.path for one in os.scandir(self._folder) if one.name.endswith(_SUFFIX) and one.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def read(self, path: str, offset: int, length: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)

    def forget(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class _File:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def put(self, entry: bytes) -> None:
        view = memoryview(entry)
        while view:
            view = view[os.write(self._file, view) :]

    def close(self) -> None:
        os.close(self._file)


class _Afar:
    """Outputs wherever fsspec reaches."""

    def __init__(self, url: str, lineage: str) -> None:
        self._url = f"{url.rstrip('/')}/{_FOLDER}/{lineage}"

    def _system(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped,unused-ignore]

        found: tuple[Any, str] = url_to_fs(self._url)
        return found

    def writer(self, name: str) -> Writer:
        return _Objects(*self._system(), name)

    def files(self) -> list[str]:
        system, root = self._system()
        system.invalidate_cache()
        try:
            return sorted(path for path in system.find(root) if path.endswith(_SUFFIX))
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int:
        return int(self._system()[0].size(path))

    def read(self, path: str, offset: int, length: int) -> bytes:
        return bytes(self._system()[0].cat_file(path, start=offset, end=offset + length))

    def forget(self) -> None:
        system, root = self._system()
        with suppress(FileNotFoundError):
            system.rm(root, recursive=True)


class _Objects:
    def __init__(self, system: Any, root: str, name: str) -> None:
        self._system, self._root, self._name = system, root, name
        self._count = 0

    def put(self, entry: bytes) -> None:
        self._count += 1
        path = f"{self._root}/{self._name}-{self._count}{_SUFFIX}"
        try:
            self._system.pipe_file(path, entry)
        except FileNotFoundError:
            self._system.makedirs(self._root, exist_ok=True)
            self._system.pipe_file(path, entry)

    def close(self) -> None:
        """Each is whole already."""
