"""Where files are, and how they come here: local paths, and URLs that fsspec reaches. fsspec is imported when a URL is first used."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from daskflow.errors import FileMissing, InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(://|::)")
_LOCAL = re.compile(r"(?:file|local)://(?:localhost)?(?=[/~.])|(?:file|local):(?=/)", re.IGNORECASE)

#: Where stores say what their content is, by name in fsspec's ``info``.
_DIGESTS = ("ETag", "etag", "md5", "md5Hash", "content_md5", "Content-MD5", "Digest", "crc32c", "checksum", "sha256", "hash")
_TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "modified")

Options = Mapping[str, Any]


def normal(path: str) -> str:
    """Return an absolute local path, or a URL as it is.

    Examples
    --------
    >>> normal("file:///data/a.csv"), normal("s3://bucket/a.csv"), normal("/data/../a.csv")
    ('/data/a.csv', 's3://bucket/a.csv', '/a.csv')
    """
    local = _LOCAL.match(path)
    if local is not None:
        path = unquote(path[local.end() :])
    elif _URL.match(path):
        return path
    return os.path.abspath(os.path.expanduser(path))


def is_local(uri: str) -> bool:
    """Tell whether what :func:`normal` gave is a path of this machine."""
    return uri.startswith(os.sep)


def join(uri: str, name: str) -> str:
    """Return the place of a name inside a directory.

    Examples
    --------
    >>> join("/data", "a/b"), join("zip://in::s3://bucket/a.zip", "b"), join("simplecache::s3://bucket", "b")
    ('/data/a/b', 'zip://in/b::s3://bucket/a.zip', 'simplecache::s3://bucket/b')
    """
    steps = uri.split("::")
    index = next((index for index, step in enumerate(steps) if "://" in step), len(steps) - 1)
    steps[index] = f"{steps[index]}{'' if steps[index].endswith('/') else '/'}{name}"
    return "::".join(steps)


def base_name(uri: str) -> str:
    """Return the last part of a path or URL."""
    first = next((step for step in uri.split("::") if "://" in step), uri)
    return first.rstrip("/").rpartition("/")[2]


@cache
def host() -> str:
    """Return this machine's name."""
    return os.uname().nodename


def missing(what: str, uri: str, source: str = "") -> FileMissing:
    """Return the error of something that is not there; `source` is the host that it comes from."""
    if not is_local(uri):
        return FileMissing(f"there is no {what} at {uri}")
    moved = f"; it comes from host {source}, and must be on a disk that both have, or at a URL" if source not in ("", host()) else ""
    return FileMissing(f"there is no {what} at {uri} on host {host()}{moved}")


class Entry(NamedTuple):
    """What is in a directory: its name there, and whether it is a directory itself."""

    name: str
    is_directory: bool


class Place:
    """A file or directory somewhere.

    Parameters
    ----------
    uri : str
        As :func:`normal` gives it.
    options : dict
        How fsspec reaches it.
    """

    def __init__(self, uri: str, options: Options) -> None:
        self.uri = uri
        self.options = options
        self.fs, self.path = _reached(uri, options)

    def is_there(self, directory: bool) -> bool:
        """Tell whether there is a file, or a directory."""
        return bool(self.fs.isdir(self.path) if directory else self.fs.isfile(self.path))

    def size(self) -> int:
        """Return the bytes of a file, or of all files in a directory."""
        if self.fs.isdir(self.path):
            return sum(int(one["size"] or 0) for one in self.fs.find(self.path, detail=True).values())
        return int(self.fs.size(self.path))

    def entries(self) -> list[Entry]:
        """Return what is in a directory."""
        found = [Entry(self._within(one["name"]), one["type"] == "directory") for one in self.fs.ls(self.path, detail=True)]
        return sorted(one for one in found if one.name)

    def files(self) -> Iterator[str]:
        """Yield the paths, inside the directory, of all files below it."""
        yield from sorted(map(self._within, self.fs.find(self.path)))

    def _within(self, name: str) -> str:
        root = str(self.fs._strip_protocol(self.path)).rstrip("/")
        return name.rstrip("/").removeprefix(root).lstrip("/")

    def token(self) -> str:
        """Return text that stands for the content: for local files of the content alone, for others of what their store says of it."""
        if not self.fs.isdir(self.path):
            return self._token(self.path)
        return ";".join(f"{len(name)}:{name}={self._token(os.path.join(self.path, name))}" for name in self.files())

    def _token(self, path: str) -> str:
        return _digest(path) if is_local(self.uri) else f"{self.uri}:{_said(self.fs, path, self.uri)}"


def _reached(uri: str, options: Options) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped,unused-ignore]

    try:
        fs, path = url_to_fs(uri, **options)
    except (ValueError, ImportError) as error:
        raise InputError(f"{uri} cannot be reached: {error}") from error
    return fs, path


def _digest(path: str) -> str:
    import xxhash

    digest = xxhash.xxh3_128()
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return str(digest.hexdigest())


def _said(fs: Any, path: str, uri: str) -> str:
    """Return what a store says of a file that is other once the content is."""
    fs.invalidate_cache(path)
    info = fs.info(path)
    digests = {name: str(info[name]) for name in _DIGESTS if info.get(name)}
    if digests:
        return f"{info.get('size')}{digests}"
    if _has_key_of_its_own(fs):
        return str(fs.ukey(path))
    changed = _changed(fs, path, info)
    if changed is None:
        raise InputError(
            f"{uri} is on a file system ({type(fs).__name__}) that tells neither a checksum nor a time of change of its files; "
            "annotate the input with HashMethod, or list it in cache_ignore_input_vars"
        )
    return f"{info.get('size')}@{changed}"


def _has_key_of_its_own(fs: Any) -> bool:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped,unused-ignore]

    # Over HTTP the key is made of the URL alone.
    return type(fs).ukey is not AbstractFileSystem.ukey and not type(fs).__module__.startswith("fsspec.implementations.http")


def _changed(fs: Any, path: str, info: Mapping[str, Any]) -> Any:
    try:
        return fs.modified(path)
    except (NotImplementedError, KeyError, AttributeError):
        return next((info[name] for name in _TIMES if info.get(name)), None)


class _Downloads:
    """What this process has fetched; removed when it ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._paths: dict[str, str] = {}
        self._folder: Any = None

    def path(self, place: Place, directory: bool) -> str:
        with self._lock:
            lock = self._locks.setdefault(place.uri, threading.Lock())
        # One thread fetches; the others wait for it, and those that want something else do not.
        with lock:
            if place.uri not in self._paths:
                self._paths[place.uri] = self._fetched(place, directory)
            return self._paths[place.uri]

    def forget(self, uri: str) -> None:
        with self._lock:
            self._paths.pop(uri, None)

    def _fetched(self, place: Place, directory: bool) -> str:
        target = os.path.join(self._fresh(), base_name(place.uri) or "content")
        try:
            if directory:
                place.fs.get(place.path.rstrip("/") + "/", target + "/", recursive=True)
                os.makedirs(target, exist_ok=True)
            else:
                place.fs.get_file(place.path, target)
        except FileNotFoundError:
            raise missing("directory" if directory else "file", place.uri) from None
        except Exception as error:
            error.add_note(f"while {place.uri} was downloaded to {target}")
            raise
        return target

    def _fresh(self) -> str:
        import tempfile

        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="daskflow-files-", ignore_cleanup_errors=True)
        return str(tempfile.mkdtemp(dir=self._folder.name))


_downloads = _Downloads()


def downloaded(uri: str, options: Options, directory: bool) -> str:
    """Return where the local copy of a remote file or directory is; it is fetched once in a process.

    Raises
    ------
    FileMissing
        When it is not there.
    """
    return _own().path(Place(uri, options), directory)


def forget(uri: str) -> None:
    """Fetch a file anew when it is next asked for, since it is written to."""
    _own().forget(uri)


def _own() -> _Downloads:
    global _downloads
    if _downloads.pid != os.getpid():
        # A forked process must not remove at its end what is its parent's.
        if _downloads._folder is not None:
            _downloads._folder._finalizer.detach()
        _downloads = _Downloads()
    return _downloads
