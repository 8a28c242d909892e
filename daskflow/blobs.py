"""``File`` and ``Directory``: files as values, on a local path or at any URL that fsspec reaches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from daskflow import remotes
from daskflow.errors import InputError

if TYPE_CHECKING:
    from typing import Self


class Format(NamedTuple):
    """What kind of file is meant, such as ``"csv"``, in an annotation: ``Annotated[File, Format("csv")]``, or ``File["csv"]`` for short.

    It is kept for whoever reads the annotation; no file is looked into, or refused for its name.
    """

    name: str


class _Blob(os.PathLike[str]):
    """What files and directories have in common."""

    __slots__ = ("_from", "_options", "_uri")

    _uri: str
    _options: dict[str, Any]
    _from: str
    _directory: ClassVar[bool]
    _what: ClassVar[str]
    #: Tells the checks that a path becomes an instance.
    _converts: ClassVar[bool] = True

    def __init__(self, path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> None:
        if isinstance(path, _Blob):
            self._same_kind(path)
            storage_options = storage_options or path._options
            path = str(path)
        text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
        if not isinstance(text, str) or not text:
            raise InputError(f"a {type(self).__name__} is made of a path or a URL, not {path!r}")
        self._uri = remotes.normal(text)
        self._options = dict(storage_options or {})
        self._from = ""

    def _same_kind(self, other: _Blob) -> None:
        if other._directory is not self._directory:
            raise InputError(f"a {type(self).__name__} cannot be made of {other!r}")

    def __class_getitem__(cls, format: str) -> Any:
        if not isinstance(format, str) or not format:
            raise TypeError(f"{cls.__name__}[...] takes a format's name, such as 'csv', not {format!r}")
        return Annotated[cls, Format(format)]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls._accepted, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def _accepted(cls, value: Any) -> Any:
        """Return what a value becomes where this class is declared; what is local must be there."""
        from pydantic_core import PydanticCustomError

        if not isinstance(value, cls):
            if not isinstance(value, (str, os.PathLike)) or isinstance(value, _Blob):
                raise PydanticCustomError("expected", "Expected {what}", {"what": cls.__name__})
            value = cls._made(value)
        if value.is_local and not value.exists():
            raise PydanticCustomError("missing_file", "{why}", {"why": str(value._missing())})
        return value

    @classmethod
    def _made(cls, value: Any) -> Self:
        from pydantic_core import PydanticCustomError

        try:
            return cls(value)
        except InputError as error:
            raise PydanticCustomError("refused", "{why}", {"why": str(error)}) from None

    @classmethod
    def _new_place(cls, name: str) -> str:
        """Return a place that nothing else has: what is made is a result, and the next one must not overwrite it."""
        import secrets

        from daskflow import config

        _check_name(name)
        return remotes.join(remotes.join(remotes.normal(config.get("files.url")), secrets.token_hex(8)), name)

    # ------------------------------------------------------------ where it is

    @property
    def uri(self) -> str:
        """The absolute path, or the URL."""
        return self._uri

    @property
    def is_local(self) -> bool:
        """Whether it is on a path of this machine."""
        return remotes.is_local(self._uri)

    @property
    def remote_source(self) -> str | None:
        """The URL; ``None`` for a local path."""
        return None if self.is_local else self._uri

    @property
    def name(self) -> str:
        """The last part of the path or URL."""
        return remotes.base_name(self._uri)

    @property
    def path(self) -> str:
        """The local path. What is remote is downloaded for it."""
        return os.fspath(self)

    def __fspath__(self) -> str:
        if not self.is_local:
            return self.download()
        if self._from not in ("", remotes.host()) and not os.path.exists(self._uri):
            raise self._missing()
        return self._uri

    def __str__(self) -> str:
        return self._uri

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._uri!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Blob) and other._directory is self._directory and other._uri == self._uri

    def __hash__(self) -> int:
        return hash((self._directory, self._uri))

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (type(self), self._uri, self._options, self._from or remotes.host())

    def __cache_token__(self) -> str:
        """Return text that stands for the content, for keys of the cache."""
        self._check_there()
        return f"{self._what}:{self._place().token()}"

    # ------------------------------------------------------------ what is there

    def exists(self) -> bool:
        """Tell whether it is there."""
        if self.is_local:
            return os.path.isdir(self._uri) if self._directory else os.path.isfile(self._uri)
        return self._place().is_there(self._directory)

    def size(self) -> int:
        """Return how many bytes it has, a directory with all below it.

        Raises
        ------
        FileMissing
            When it is not there.
        """
        self._check_there()
        return os.path.getsize(self._uri) if self.is_local and not self._directory else self._place().size()

    def download(self) -> str:
        """Return the local path; what is remote is fetched when it is first asked for in a process, and removed when that ends.

        Raises
        ------
        FileMissing
            When it is not there.
        """
        if not self.is_local:
            return remotes.downloaded(self._uri, self._options, self._directory)
        self._check_there()
        return self._uri

    def _place(self) -> remotes.Place:
        return remotes.Place(self._uri, self._options)

    def _missing(self) -> Exception:
        return remotes.missing(self._what, self._uri, self._from)

    def _check_there(self) -> None:
        if not self.exists():
            raise self._missing()


class File(_Blob):
    """A file as a value: on a local path, or at any URL that fsspec reaches.

    It is a path itself, so ``open(file)`` and ``pandas.read_csv(file)`` work; a remote one is downloaded for that, once in a process. What
    travels to other processes is the path or URL alone, and two are equal when those are. In a cache's key it is the content that counts.

    Parameters
    ----------
    path : str or path
        A local path, made absolute, or a URL.
    storage_options : dict, optional
        What fsspec needs to reach the URL.

    Raises
    ------
    InputError
        When `path` is none.

    Examples
    --------
    >>> File("/data/table.csv").name
    'table.csv'
    >>> with File("memory://docs/note.txt").open("w") as stream:
    ...     _ = stream.write("some words")
    >>> File("memory://docs/note.txt").read_text()
    'some words'
    """

    __slots__ = ()
    _directory = False
    _what = "file"

    @classmethod
    def new(cls, name: str) -> Self:
        """Return a file that is still to be written, at a place of its own under the configuration's ``daskflow.files.url``.

        Parameters
        ----------
        name : str
            Its name, which may have folders in front.
        """
        made = cls(cls._new_place(name))
        if made.is_local:
            os.makedirs(os.path.dirname(made._uri), exist_ok=True)
        return made

    def open(self, mode: str = "r", **options: Any) -> IO[Any]:
        """Open it where it is: what is remote is streamed, not downloaded.

        Parameters
        ----------
        mode : str
            As of the built-in ``open``.
        **options
            Go to the built-in ``open``, or to fsspec's.

        Raises
        ------
        FileMissing
            When it is to be read and not there.
        """
        if "r" in mode:
            self._check_there()
        if self.is_local:
            return open(self._uri, mode, **options)
        if "r" not in mode or "+" in mode:
            remotes.forget(self._uri)
        place = self._place()
        stream: IO[Any] = place.fs.open(place.path, mode, **options)
        return stream

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the content as text."""
        with self.open("r", encoding=encoding) as stream:
            return str(stream.read())

    def read_bytes(self) -> bytes:
        """Return the content."""
        with self.open("rb") as stream:
            return bytes(stream.read())

    def write_text(self, text: str, encoding: str = "utf-8") -> Self:
        """Write text, in place of what was there; return the file."""
        with self.open("w", encoding=encoding) as stream:
            stream.write(text)
        return self

    def write_bytes(self, content: bytes) -> Self:
        """Write bytes, in place of what was there; return the file."""
        with self.open("wb") as stream:
            stream.write(content)
        return self


class Directory(_Blob):
    """A directory as a value: on a local path, or at any URL that fsspec reaches. What holds for :class:`File` holds for it.

    Iterating over it gives what is in it.

    Parameters
    ----------
    path : str or path
        A local path, made absolute, or a URL.
    storage_options : dict, optional
        What fsspec needs to reach the URL.

    Examples
    --------
    >>> folder = Directory("memory://docs/pages")
    >>> _ = folder.new_file("one.txt").write_text("1"), folder.new_file("more/two.txt").write_text("2")
    >>> [one.name for one in folder]
    ['more', 'one.txt']
    >>> [name for _, name in folder.crawl()]
    ['more/two.txt', 'one.txt']
    """

    __slots__ = ()
    _directory = True
    _what = "directory"

    @classmethod
    def new(cls, name: str) -> Self:
        """Return a directory at a place of its own under the configuration's ``daskflow.files.url``; a local one is made."""
        made = cls(cls._new_place(name))
        if made.is_local:
            os.makedirs(made._uri)
        return made

    def listdir(self) -> list[File | Directory]:
        """Return what is in it, sorted by name.

        Raises
        ------
        FileMissing
            When it is not there.
        """
        self._check_there()
        kinds: dict[bool, type[File | Directory]] = {False: File, True: Directory}
        return [kinds[one.is_directory](remotes.join(self._uri, one.name), self._options) for one in self._place().entries()]

    def __iter__(self) -> Iterator[File | Directory]:
        return iter(self.listdir())

    def crawl(self) -> Iterator[tuple[str, str]]:
        """Yield the directory's place, and the path inside it, of each file below it, sorted."""
        self._check_there()
        for name in self._place().files():
            yield self._uri, name

    def new_file(self, name: str) -> File:
        """Return a file in it that is still to be written; the folders for a local one are made."""
        _check_name(name)
        made = File(remotes.join(self._uri, name), self._options)
        if made.is_local:
            os.makedirs(os.path.dirname(made._uri), exist_ok=True)
        return made


def _arrived(kind: type[_Blob], uri: str, options: Mapping[str, Any], host: str) -> _Blob:
    blob = kind(uri, options)
    blob._from = host
    return blob


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name or name.startswith("/") or ".." in name.split("/"):
        raise InputError(f"a new file's or directory's name is a relative path without '..', not {name!r}")


#: The names that they have in Flyte's SDK.
FlyteFile = File
FlyteDirectory = Directory
