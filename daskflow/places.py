"""Places: what entries are kept in, files or whatever fsspec reaches, as mappings of keys to encoded entries."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from daskflow import entries
from daskflow.entries import SMALL, Damaged, Encoded, Head

_T = TypeVar("_T")

#: The environment variable with the secret that entries are signed with.
VARIABLE = "DASKFLOW_CACHE_SECRET"
KEY = re.compile(r"[0-9a-f]{2,200}")

_FOLDER = f"v{entries.VERSION}"
_SUFFIX = ".entry"
_TEMPORARY = ".tmp"
# As much of an entry as holds most headers.
_HEAD = 4096
# When an entry was used last is noted at most so often, and temporary files of this age are nobody's any more.
_HOUR = 3600.0
# Seconds that an entry from afar is taken from memory without asking whether it is still the same.
_TRUSTED = 60.0
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


class StoreError(RuntimeError):
    """A store cannot be asked, or cannot keep a value."""


def located(url: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Return a directory or URL in full, and the path where it is a directory."""
    url = os.fspath(url)
    for scheme in ("file://", "local://"):
        url = url.removeprefix(scheme)
    if "://" in url:
        return url.rstrip("/"), None
    path = os.path.abspath(os.path.expanduser(url))
    return path, path


def _key_of(name: str) -> str | None:
    key = name.removesuffix(_SUFFIX)
    return key if key != name and KEY.fullmatch(key) else None


class Kept(NamedTuple):
    key: str
    nbytes: int
    used: float


class Bottom(MutableMapping[str, Encoded]):
    """Where entries are: a mapping of keys to entries, which are checked when they are read. Other errors are the medium's own."""

    def ahead(self, keys: Sequence[str]) -> Callable[[str], Encoded]:
        """Read these keys soon, with what is returned."""
        return self.__getitem__

    def touch(self, key: str, stamp: Any) -> bool:
        """Note that a key was used; tell whether the entry is still the one that was read."""
        raise NotImplementedError

    def head(self, key: str) -> tuple[Head, int]:
        """Return an entry's header and length, unchecked."""
        raise NotImplementedError

    def check(self, key: str) -> None:
        """Check a whole entry."""
        self[key]

    def created(self, one: Kept) -> float:
        """Return when an entry was made, as far as can be told."""
        return one.used

    def kept(self) -> Iterator[Kept]:
        """Give what there is."""
        raise NotImplementedError

    def tidy(self, now: float) -> None:
        """Remove what writers left behind."""

    def __iter__(self) -> Iterator[str]:
        return (one.key for one in self.kept())

    def __len__(self) -> int:
        return sum(1 for _ in self.kept())


class Files(Bottom):
    """Entries as files."""

    def __init__(self, root: str, secret: bytes | None) -> None:
        self._root, self._secret = root, secret
        self._base = os.path.join(root, _FOLDER)
        self._mode = 0o700
        self._trusted = False

    def _path(self, key: str) -> str:
        return f"{self._base}/{key[:2]}/{key}{_SUFFIX}"

    def __getitem__(self, key: str) -> Encoded:
        return self._reading(key, self._read)

    def __setitem__(self, key: str, entry: Encoded) -> None:
        self.trust(make=True)
        path = self._path(key)
        temporary = f"{path}.{os.getpid()}.{os.urandom(8).hex()}{_TEMPORARY}"
        try:
            file = self._create(temporary)
        except FileNotFoundError:
            self._trusted = False
            self.trust(make=True)
            self._make_folder(os.path.dirname(path))
            file = self._create(temporary)
        try:
            try:
                _write(file, entries.sealed(entry, self._secret), entry.nbytes)
            finally:
                os.close(file)
            # Not synchronised: what a crash of the machine tears is found by its checksum, and is only a value to make again.
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def __delitem__(self, key: str) -> None:
        if not self.trust():
            raise KeyError(key)
        try:
            os.unlink(self._path(key))
        except FileNotFoundError:
            raise KeyError(key) from None

    def touch(self, key: str, stamp: Any) -> bool:
        path = self._path(key)
        try:
            status = os.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return False
        _note_use(path, status)
        return bool(stamp == _stamp(status))

    def head(self, key: str) -> tuple[Head, int]:
        return self._reading(key, self._head)

    def check(self, key: str) -> None:
        self._reading(key, self._check)

    def created(self, one: Kept) -> float:
        try:
            return self.head(one.key)[0].created
        except (KeyError, Damaged):
            return one.used

    def kept(self) -> Iterator[Kept]:
        for file in self._files():
            key = _key_of(file.name)
            if key is not None and file.path == self._path(key):
                with suppress(FileNotFoundError):
                    status = file.stat(follow_symlinks=False)
                    yield Kept(key, status.st_size, status.st_mtime)

    def tidy(self, now: float) -> None:
        for file in self._files():
            if file.name.endswith(_TEMPORARY):
                with suppress(FileNotFoundError):
                    if file.stat(follow_symlinks=False).st_mtime < now - _HOUR:
                        os.unlink(file.path)

    def _files(self) -> Iterator[os.DirEntry[str]]:
        if self.trust():
            for folder in _scan(self._base):
                if folder.is_dir(follow_symlinks=False):
                    yield from _scan(folder.path)

    def trust(self, make: bool = False) -> bool:
        """Check once that nobody else can write to the folder; tell whether there is one."""
        if self._trusted:
            return True
        if make:
            os.makedirs(self._root, mode=0o700, exist_ok=True)
        try:
            status = os.stat(self._root)
        except FileNotFoundError:
            return False
        if self._secret is None and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            raise StoreError(
                f"the folder {self._root} belongs to somebody else, or others can write to it, and what is read from it is unpickled; "
                f"use a folder of your own with mode 0700, or set a secret in the environment variable {VARIABLE} for all who share it"
            )
        self._mode = stat.S_IMODE(status.st_mode)
        self._trusted = True
        return True

    def _make_folder(self, path: str) -> None:
        # They are as open as the root, whatever the umask: a shared store is of use to nobody if one cannot write beside the other.
        for folder in (self._base, path):
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)
                os.chmod(folder, self._mode)

    def _create(self, path: str) -> int:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if self._mode & 0o077:
            os.fchmod(file, self._mode & 0o666)
        return file

    def _reading(self, key: str, use: Callable[[int, str, os.stat_result], _T]) -> _T:
        if not self._trusted and not self.trust():
            raise KeyError(key)
        try:
            # Not to wait for a writer, were it a pipe.
            file = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise KeyError(key) from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise Damaged("it is no file, but a symbolic link or a socket") from None
            raise
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise Damaged("it is no file")
            return use(file, key, status)
        finally:
            os.close(file)

    def _read(self, file: int, key: str, status: os.stat_result) -> Encoded:
        _note_use(file, status)
        if status.st_size <= SMALL:
            return entries.opened(os.read(file, status.st_size + 1), key, self._secret)._replace(stamp=_stamp(status))
        return entries.read(_readinto(file), status.st_size, key, self._secret)

    def _check(self, file: int, key: str, status: os.stat_result) -> None:
        entries.check(_readinto(file), status.st_size, key, self._secret)

    def _head(self, file: int, key: str, status: os.stat_result) -> tuple[Head, int]:
        head, nbytes = _head(lambda length: os.pread(file, min(length, status.st_size), 0), key)
        if nbytes != status.st_size:
            raise Damaged(f"it has {status.st_size} bytes where there should be {nbytes}")
        return head, nbytes


class Remote(Bottom):
    """Entries wherever fsspec reaches; a put is one request, which most such places take whole or not at all."""

    def __init__(self, url: str, secret: bytes | None) -> None:
        self._url, self._secret = url, secret
        self._lock = threading.Lock()
        self._found: tuple[Any, str] | None = None

    @property
    def _place(self) -> tuple[Any, str]:
        if self._found is None:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped,unused-ignore]

            with self._lock:
                system, root = url_to_fs(self._url)
                self._found = system, f"{root.rstrip('/')}/{_FOLDER}"
        return self._found

    def _at(self, key: str) -> tuple[Any, str]:
        system, base = self._place
        return system, f"{base}/{key[:2]}/{key}{_SUFFIX}"

    def __getitem__(self, key: str) -> Encoded:
        system, path = self._at(key)
        return self._opened(key, _there(key, lambda: system.cat_file(path)))

    def __setitem__(self, key: str, entry: Encoded) -> None:
        system, path = self._at(key)
        data = b"".join(entries.sealed(entry, self._secret))
        try:
            system.pipe_file(path, data)
        except FileNotFoundError:
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            system.pipe_file(path, data)

    def touch(self, key: str, stamp: Any) -> bool:
        return bool(time.monotonic() < stamp + _TRUSTED)

    def __delitem__(self, key: str) -> None:
        system, path = self._at(key)
        _there(key, lambda: system.rm_file(path))

    def ahead(self, keys: Sequence[str]) -> Callable[[str], Encoded]:
        if not keys:
            return self.__getitem__
        system, _ = self._place
        found = system.cat([self._at(key)[1] for key in keys], on_error="return")
        data = {_key_of(path.rpartition("/")[2]): one for path, one in found.items()}

        def read(key: str) -> Encoded:
            if key not in data:
                # Memory had it when it was asked what to read, and has let go of it since.
                return self[key]
            one = data[key]
            if isinstance(one, FileNotFoundError):
                raise KeyError(key)
            if isinstance(one, BaseException):
                raise one
            return self._opened(key, one)

        return read

    def head(self, key: str) -> tuple[Head, int]:
        system, path = self._at(key)
        return _there(key, lambda: _head(lambda length: system.cat_file(path, start=0, end=length), key))

    def kept(self) -> Iterator[Kept]:
        system, base = self._place
        system.invalidate_cache()
        try:
            # To find gives nothing, and no error, where a place cannot be reached.
            system.ls(base, detail=False)
        except FileNotFoundError:
            return
        for path, about in system.find(base, detail=True).items():
            key = _key_of(path.rpartition("/")[2])
            if key is not None:
                yield Kept(key, int(about.get("size") or 0), _time_of(about))

    def _opened(self, key: str, data: bytes) -> Encoded:
        if len(data) <= SMALL:
            return entries.opened(data, key, self._secret)._replace(stamp=time.monotonic())
        # Read as a file is: what is large goes to memory of its own, which the value can write to.
        return entries.read(io.BytesIO(data).readinto, len(data), key, self._secret)


def _there(key: str, ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except FileNotFoundError:
        raise KeyError(key) from None


def _head(start: Callable[[int], bytes], key: str) -> tuple[Head, int]:
    found = entries.head_of(start(_HEAD), key)
    if isinstance(found, int):
        found = entries.head_of(start(found), key)
    if isinstance(found, int):
        raise Damaged("it is too short")
    return found


def _readinto(file: int) -> Callable[[memoryview], int]:
    return lambda into: os.readv(file, [into])


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _note_use(file: int | str, status: os.stat_result) -> None:
    if time.time() - status.st_mtime > _HOUR:
        # Of an entry that is another user's, the time cannot be set.
        with suppress(OSError):
            os.utime(file)


def _write(file: int, chunks: Iterable[entries.Bytes], nbytes: int) -> None:
    for chunk in [b"".join(chunks)] if nbytes <= SMALL else chunks:
        view = memoryview(chunk)
        while view:
            view = view[os.write(file, view) :]


def _scan(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except FileNotFoundError:
        return []


def _time_of(about: dict[str, Any]) -> float:
    """Return when a file was made, as its file system has it; now, where it does not say."""
    for name in _TIMES:
        value: Any = about.get(name)
        if isinstance(value, str):
            with suppress(ValueError):
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return float(value.timestamp())
        if isinstance(value, int | float):
            return float(value)
    return time.time()
