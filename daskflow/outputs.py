"""Outputs of nodes, kept so that another run need not make them again.

A unit appends what it keeps to a file of its own, one entry (:mod:`daskflow.entries`) after the other; a node's output counts as
committed once its entry is whole. What a process that was killed has torn is found by its length or its checksum, and is no more than
an output to be made again. Where fsspec reaches and nothing can be appended to, each entry is a file.

Whoever may write here decides what is unpickled; the rules are those of the cache's store, in whose folder the outputs are.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO, NamedTuple, Protocol

from daskflow import entries, shipping
from daskflow.entries import SMALL, Damaged
from daskflow.frame import Mark
from daskflow.places import VARIABLE, Files, located

_FOLDER = "outputs"
_SUFFIX = ".log"
#: As much of an entry as holds most headers.
_HEAD = 1024
#: The heads of so many entries from afar are asked for at once.
_MANY = 1000
_TRIES = 10

#: Reads some bytes of a file, from an offset on.
_Read = Callable[[int, int], bytes]


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
        """Append an entry, all of it or nothing."""
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
        self.url, path = located(url)
        self.lineage = lineage
        self._place: _Folder | _Afar = _Afar(self.url, lineage) if path is None else _Folder(path, lineage)

    @property
    def folder(self) -> str:
        """Where they are."""
        return f"{self.url}/{_FOLDER}/{self.lineage}"

    def writer(self, name: str, make: bool = True) -> Writer:
        """Return what takes the entries of the unit of that name.

        Raises
        ------
        FileNotFoundError
            When their place is not there and is not to be made.
        """
        return self._place.writer(f"{name}-{secrets.token_hex(4)}", make)

    def make(self) -> None:
        """Make their place, so that even those may add to it that must not make it."""
        self._place.make()

    def index(self) -> dict[str, list[Kept]]:
        """Return what is kept, by address; unchecked, since the values are checked when they are read.

        Raises
        ------
        StoreError
            When the folder is not to be trusted.
        """
        found: dict[str, list[Kept]] = {}
        for path, size, read in self._place.files():
            for kept in _scanned(path, size, read):
                found.setdefault(kept.mark.address, []).append(kept)
        return found

    def load(self, kept: Kept) -> Any:
        """Return the value of an output.

        Raises
        ------
        Damaged
            When the entry is not as it was written, or not signed with the secret.
        OSError
            When it cannot be read.
        """
        with self._place.open(kept) as file:
            if kept.nbytes <= SMALL:
                return entries.opened(file.read(kept.nbytes), kept.mark.key, _secret()).value()
            # Into memory that is the value's own afterwards.
            return entries.read(file.readinto, kept.nbytes, kept.mark.key, _secret()).value()  # type: ignore[attr-defined]

    def forget(self) -> None:
        """Remove all of them."""
        self._place.forget()


def _secret() -> bytes | None:
    return os.environ.get(VARIABLE, "").encode() or None


def _scanned(path: str, size: int, read: _Read) -> Iterator[Kept]:
    """Give the entries of a file up to the first that is not whole, as far as its head says."""
    offset = 0
    with suppress(Damaged, FileNotFoundError, TypeError):
        while offset < size:
            head, nbytes = _head(partial(read, offset))
            mark = Mark(**head.meta)
            if offset + nbytes > size or not all(isinstance(one, str) for one in mark):
                return
            yield Kept(mark, path, offset, nbytes)
            offset += nbytes


def _head(read: Callable[[int], bytes]) -> tuple[entries.Head, int]:
    found = entries.head_at(read(_HEAD))
    if isinstance(found, int):
        found = entries.head_at(read(found))
    if isinstance(found, int):
        raise Damaged("it is too short")
    return found


class _Folder:
    """Outputs in files."""

    def __init__(self, root: str, lineage: str) -> None:
        self._trusted = Files(root, _secret())
        self._folder = os.path.join(root, _FOLDER, lineage)

    def make(self) -> None:
        self._trusted.trust(make=True)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)

    def writer(self, name: str, make: bool) -> Writer:
        if make:
            self.make()
        elif not self._trusted.trust():
            raise FileNotFoundError(self._folder)
        return _File(os.path.join(self._folder, f"{name}{_SUFFIX}"))

    def files(self) -> Iterator[tuple[str, int, _Read]]:
        for path in self._paths():
            # One that is gone by now was of no use any more.
            with suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:
                yield path, os.fstat(file.fileno()).st_size, partial(_read_at, file.fileno())

    def _paths(self) -> list[str]:
        if not self._trusted.trust():
            return []
        try:
            return sorted(one.path for one in os.scandir(self._folder) if one.name.endswith(_SUFFIX) and one.is_file(follow_symlinks=False))
        except FileNotFoundError:
            return []

    @contextmanager
    def open(self, kept: Kept) -> Iterator[BinaryIO]:
        with open(kept.path, "rb") as file:
            file.seek(kept.offset)
            yield file

    def forget(self) -> None:
        for _ in range(_TRIES):
            shutil.rmtree(self._folder, ignore_errors=True)
            # A file that was made while others were removed keeps the folder; once that is gone, none can be made.
            if not os.path.lexists(self._folder):
                return


def _read_at(file: int, offset: int, length: int) -> bytes:
    return os.pread(file, length, offset)


class _File:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0

    def put(self, entry: bytes) -> None:
        view = memoryview(entry)
        # What follows a part of an entry could not be found.
        os.ftruncate(self._file, self._size)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(entry)

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

    def make(self) -> None:
        system, root = self._system()
        system.makedirs(root, exist_ok=True)

    def writer(self, name: str, make: bool) -> Writer:
        system, root = self._system()
        if not make and not system.exists(root):
            raise FileNotFoundError(root)
        return _Objects(system, root, name)

    def files(self) -> Iterator[tuple[str, int, _Read]]:
        system, root = self._system()
        system.invalidate_cache()
        try:
            found = [(path, int(about["size"])) for path, about in system.find(root, detail=True).items() if path.endswith(_SUFFIX)]
        except FileNotFoundError:
            return
        for start in range(0, len(found), _MANY):
            some = found[start : start + _MANY]
            heads = system.cat_ranges([path for path, _ in some], 0, [min(_HEAD, size) for _, size in some], on_error="return")
            for (path, size), head in zip(some, heads, strict=True):
                if isinstance(head, bytes):
                    yield path, size, partial(self._read, path, head)

    def _read(self, path: str, head: bytes, offset: int, length: int) -> bytes:
        return head[offset : offset + length] if offset + length <= _HEAD else self._cat(path, offset, length)

    def _cat(self, path: str, offset: int, length: int) -> bytes:
        return bytes(self._system()[0].cat_file(path, start=offset, end=offset + length))

    @contextmanager
    def open(self, kept: Kept) -> Iterator[BinaryIO]:
        yield io.BytesIO(self._cat(kept.path, kept.offset, kept.nbytes))

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
