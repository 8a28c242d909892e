"""Files and directories as values: where they are, how they come, what travels, and what stands for them in keys."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cloudpickle
import dask
import fsspec
import pandas as pd
import pydantic
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import daskflow as fl
from daskflow.blobs import Format, _arrived
from daskflow.cachekey import key, token
from daskflow.caching import HashMethod
from daskflow.errors import FileMissing, InputError, OutputError
from daskflow.types import Checker, Mismatch


class _OwnFileSystem(MemoryFileSystem):
    @classmethod
    def _strip_protocol(cls, path: str) -> Any:
        return super()._strip_protocol(path.replace(f"{cls.protocol}://", "memory://"))


class TaggedFileSystem(_OwnFileSystem):
    """Tells a tag of the content, as object stores do."""

    protocol = "tagged"
    store: typing.ClassVar[dict[str, Any]] = {}

    def info(self, path: str, **kwargs: Any) -> Any:
        found = super().info(path, **kwargs)
        if found["type"] == "file":
            found = {**found, "created": None, "ETag": str(hash(self.store[self._strip_protocol(path)].getvalue()))}
        return found


class SilentFileSystem(_OwnFileSystem):
    """Tells nothing of its files beside their sizes."""

    protocol = "silent"
    store: typing.ClassVar[dict[str, Any]] = {}

    def modified(self, path: str) -> Any:
        raise NotImplementedError


fsspec.register_implementation("tagged", TaggedFileSystem, clobber=True)
fsspec.register_implementation("silent", SilentFileSystem, clobber=True)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has a working directory and remote stores of its own."""
    monkeypatch.chdir(tmp_path)
    yield
    for kind in (MemoryFileSystem, TaggedFileSystem, SilentFileSystem):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]


@fl.task
def total(table: fl.File) -> int:
    return int(pd.read_csv(table)["a"].sum())


@fl.task
def length(file: fl.File) -> int:
    return file.size()


@fl.task
def names(folder: fl.Directory) -> list[str]:
    return [one.name for one in folder]


def csv(place: str) -> fl.File:
    return fl.File(place).write_text("a,b\n1,x\n2,y\n")


# ---------------------------------------------------------------- where they are


@pytest.mark.parametrize("place", ["data.csv", "./data.csv", Path("data.csv"), "file://{}/data.csv", "local://{}/data.csv"])
def test_local_paths(place: Any, tmp_path: Path) -> None:
    """However a local path is written, the file is at its absolute path."""
    file = fl.File(place.format(tmp_path) if isinstance(place, str) else place)
    assert file.uri == str(file) == file.path == os.fspath(file) == str(tmp_path / "data.csv")
    assert file.is_local
    assert file.remote_source is None
    assert file.name == "data.csv"
    assert repr(file) == f"File({file.uri!r})"


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A path may begin at the user's home, and have escaped characters where it is a URL."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fl.File("~/a.txt").uri == str(tmp_path / "a.txt")
    assert fl.File("file:///a%20b.txt").uri == "/a b.txt"


def test_urls() -> None:
    """A URL stays as it is, and so does its file until somebody asks for a path."""
    file = fl.File("s3://bucket/key.csv", storage_options={"anon": True})
    assert (file.uri, file.remote_source, file.name, file.is_local) == ("s3://bucket/key.csv", "s3://bucket/key.csv", "key.csv", False)
    assert fl.File("zip://in/a.csv::memory://a.zip").name == "a.csv"


@pytest.mark.parametrize("wrong", [3, None, "", b"a", fl.Directory("x")])
def test_no_paths(wrong: Any) -> None:
    """What is no path makes no file."""
    with pytest.raises(InputError, match=r"a File (is made of a path or a URL, not|cannot be made of)"):
        fl.File(wrong)


def test_equality() -> None:
    """Two are equal when their places are; a file is no directory."""
    assert fl.File("a") == fl.File(os.path.abspath("a"))
    assert len({fl.File("a"), fl.File("./a"), fl.File("b")}) == 2
    assert fl.File("a") != fl.Directory("a")
    assert fl.File(fl.File("memory://a")) == fl.File("memory://a")
    assert fl.FlyteFile is fl.File
    assert fl.FlyteDirectory is fl.Directory


# ---------------------------------------------------------------- how they are read and written


@pytest.mark.parametrize("place", ["data.csv", "memory://in/data.csv"])
def test_reading_and_writing(place: str) -> None:
    """A file is read and written where it is, in text and in bytes, and is a path to all that take one."""
    file = fl.File(place)
    assert not file.exists()
    with file.open("w") as stream:
        stream.write("a\n1\n")
    assert file.exists()
    assert file.size() == 4
    assert file.read_text() == "a\n1\n"
    assert file.write_bytes(b"a\n2\n").read_bytes() == b"a\n2\n"
    with file.open("a") as stream:
        stream.write("3\n")
    with file.open("rb") as stream:
        assert stream.read() == b"a\n2\n3\n"
    with open(file) as stream:
        assert stream.read() == "a\n2\n3\n"
    assert Path(file).read_text() == file.read_text()
    assert total(table=file) == 5


def test_one_download() -> None:
    """A remote file is fetched once in a process, also where threads ask for it at the same moment, under its own name."""
    file = csv("memory://in/data.csv")
    barrier, paths = threading.Barrier(4), []

    def fetch() -> None:
        barrier.wait()
        paths.append(fl.File("memory://in/data.csv").download())

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert os.path.basename(paths[0]) == "data.csv"
    MemoryFileSystem.store.clear()
    assert file.path == paths[0]
    with open(file) as stream:
        assert stream.read() == "a,b\n1,x\n2,y\n"


def test_written_is_fetched_anew() -> None:
    """A copy of what was since written to is not used."""
    file = fl.File("memory://in/note.txt").write_text("old")
    assert Path(file).read_text() == "old"
    file.write_text("new")
    assert Path(file).read_text() == "new"


def test_streams_are_not_downloads() -> None:
    """Opening a remote file by its own method makes no copy."""
    file = csv("memory://in/data.csv")
    with file.open() as stream:
        assert stream.readline() == "a,b\n"
    MemoryFileSystem.store.clear()
    with pytest.raises(FileMissing, match="there is no file at memory://in/data.csv"):
        file.download()


def test_copies_go_when_the_process_ends() -> None:
    """What was downloaded is removed when the process ends, and not by a process that was forked from it."""
    code = (
        "import os, daskflow as fl\n"
        "path = fl.File('memory://a.txt').write_text('a').download()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    fl.File('memory://a.txt').download()\n"
        "    raise SystemExit\n"
        "os.waitpid(child, 0)\n"
        "print(path, os.path.exists(path))\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    path, there = done.stdout.split()
    assert there == "True"
    assert not os.path.exists(path)
    assert not os.path.exists(os.path.dirname(os.path.dirname(path)))


def test_missing_files() -> None:
    """What is not there is said to be missing, with the host where it is a path."""
    for use in (fl.File.size, fl.File.read_text, fl.File.download, fl.File.open):
        with pytest.raises(FileMissing, match=rf"there is no file at {os.getcwd()}/no.csv on host {os.uname().nodename}$"):
            use(fl.File("no.csv"))
        with pytest.raises(FileMissing, match="there is no file at memory://no.csv$"):
            use(fl.File("memory://no.csv"))
    with pytest.raises(FileNotFoundError):
        fl.Directory("nowhere").listdir()
    with pytest.raises(InputError, match="nowhere://a cannot be reached: Protocol not known"):
        fl.File("nowhere://a").read_text()


@pytest.mark.parametrize("root", ["folder", "memory://folder"])
def test_directories(root: str) -> None:
    """A directory gives what is in it, as files and directories, sorted; and its files at any depth."""
    folder = fl.Directory(root)
    assert not folder.exists()
    folder.new_file("b.txt").write_text("b")
    folder.new_file("inner/deep/c.txt").write_text("cc")
    folder.new_file("a.txt").write_text("a")
    assert folder.exists()
    assert [(type(one), one.name) for one in folder] == [(fl.File, "a.txt"), (fl.File, "b.txt"), (fl.Directory, "inner")]
    assert folder.listdir()[0] == fl.File(f"{folder.uri}/a.txt")
    inner = folder.listdir()[2]
    assert isinstance(inner, fl.Directory)
    assert [one.name for one in inner] == ["deep"]
    assert list(folder.crawl()) == [(folder.uri, "a.txt"), (folder.uri, "b.txt"), (folder.uri, "inner/deep/c.txt")]
    assert folder.size() == 4
    assert sorted(os.listdir(folder)) == ["a.txt", "b.txt", "inner"]
    assert Path(folder.download(), "inner", "deep", "c.txt").read_text() == "cc"
    assert names(folder=root) == ["a.txt", "b.txt", "inner"]


def test_new_files() -> None:
    """New files are at places of their own, where the configuration says, and their names stay inside."""
    one, other = fl.File.new("out.txt"), fl.File.new("out.txt")
    assert one != other
    assert one.uri.startswith(os.path.join(os.getcwd(), "daskflow-files", ""))
    with open(one, "w") as stream:
        stream.write("1")
    assert fl.File.new("deep/out.txt").write_text("2").name == "out.txt"
    assert os.path.isdir(fl.Directory.new("results"))
    with dask.config.set({"daskflow.files.url": "memory://made"}):
        assert fl.File.new("out.txt").write_text("3").uri.startswith("memory://made/")
        assert fl.Directory.new("results").new_file("a").write_text("4").read_text() == "4"
    for wrong in ("/etc/x", "../x", "a/../../x", "", 3):
        with pytest.raises(InputError, match=r"relative path without '\.\.'"):
            fl.File.new(wrong)  # type: ignore[arg-type]


# ---------------------------------------------------------------- as inputs and outputs


@pytest.mark.parametrize("make", [str, Path, fl.File])
def test_paths_become_files(make: Any) -> None:
    """A path or text is accepted where a file is declared, at any depth, and becomes one."""
    csv("data.csv")

    @fl.task
    def kinds(one: fl.File, many: list[fl.File], perhaps: fl.File | None = None) -> list[str]:
        return [type(each).__name__ for each in (one, *many, perhaps)]

    assert kinds(one=make("data.csv"), many=[make("data.csv")]) == ["File", "File", "NoneType"]
    assert kinds(one=make("data.csv"), many=[], perhaps=make("data.csv")) == ["File", "File"]
    assert total(table=make("data.csv")) == 3


def test_missing_inputs() -> None:
    """A local file that is not there is an error of the call, with entity, input and path; a remote one is not looked for."""

    @fl.workflow
    def flow(table: fl.File) -> int:
        return total(table=table)

    for call in (total, flow):
        with pytest.raises(InputError, match=rf"input 'table' of .*{call.short_name}: there is no file at {os.getcwd()}/no.csv"):
            call(table="no.csv")  # type: ignore[arg-type]
    os.mkdir("folder")
    with pytest.raises(InputError, match="there is no file at .*folder"):
        total(table="folder")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="input 'folder' of .*names: there is no directory at .*no"):
        names(folder="no")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="input 'table' of .*total: expected File, got 3"):
        total(table=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected File, got Directory"):
        total(table=fl.Directory("folder"))  # type: ignore[arg-type]
    with pytest.raises(FileMissing, match="there is no file at memory://no.csv"):
        total(table="memory://no.csv")  # type: ignore[arg-type]


def test_outputs_are_there() -> None:
    """A file that a task gives must be there; it goes on to other tasks by its place."""

    @fl.task
    def write(text: str) -> fl.File:
        return fl.File.new("note.txt").write_text(text)

    @fl.task
    def forget() -> fl.File:
        return fl.File.new("note.txt")

    @fl.task
    def read(note: fl.File) -> str:
        return note.read_text()

    @fl.workflow
    def flow(text: str) -> tuple[str, fl.File]:
        note = write(text=text)
        return read(note=note), note

    text, note = flow(text="hello")
    assert (text, note.read_text()) == ("hello", "hello")
    with pytest.raises(OutputError, match=r"forget declares -> File: there is no file at"):
        forget()


def test_defaults() -> None:
    """A file that is a default is looked for when a call needs it, and not where it is declared."""

    @fl.task
    def size(file: fl.File = "later.txt") -> int:  # type: ignore[assignment]
        return file.size()

    with pytest.raises(InputError, match="there is no file at .*later.txt"):
        size()
    Path("later.txt").write_text("abc")
    assert size() == 3


def test_files_in_values() -> None:
    """A field of a dataclass is not rewritten, so it must hold a file already; a model makes one of a path itself."""

    @dataclass
    class Job:
        table: fl.File

    class Model(pydantic.BaseModel):
        table: fl.File

    csv("data.csv")
    job = Job(fl.File("data.csv"))
    assert Checker(Job).check(job) is job
    with pytest.raises(Mismatch, match="at .table: expected File, got 'data.csv'"):
        Checker(Job).check(Job("data.csv"))  # type: ignore[arg-type]
    assert Model(table="data.csv").table == fl.File("data.csv")  # type: ignore[arg-type]
    assert Model(table="data.csv").model_dump_json() == f'{{"table":"{os.getcwd()}/data.csv"}}'  # type: ignore[arg-type]


def test_formats() -> None:
    """A format is kept beside the type, and changes nothing of the check."""
    csv("data.csv")

    @fl.task
    def read(table: fl.File["csv"], pictures: fl.Directory["png"]) -> int:  # type: ignore[name-defined]  # noqa: F821, UP037
        return int(pd.read_csv(table)["a"].sum())

    assert read.interface.parameters["table"].annotation == Annotated[fl.File, Format("csv")]
    assert typing.get_args(read.interface.parameters["pictures"].annotation)[1].name == "png"
    assert read(table="data.csv", pictures=".") == 3
    with pytest.raises(TypeError, match="takes a format's name"):
        fl.File[3]  # type: ignore[misc]


# ---------------------------------------------------------------- what travels


def test_places_travel() -> None:
    """Where a file is travels, with how it is reached, and no copy of it."""
    file = csv("memory://in/data.csv")
    copy = file.path
    for pickled in (pickle.dumps(file), cloudpickle.dumps({"a": [file]})):
        assert copy.encode() not in pickled
    remote = pickle.loads(pickle.dumps(fl.File("s3://a/b", storage_options={"anon": True})))
    assert remote == fl.File("s3://a/b")
    assert remote._options == {"anon": True}
    assert pickle.loads(pickle.dumps(fl.Directory("x"))) == fl.Directory("x")


def test_from_another_host(tmp_path: Path) -> None:
    """A local file of another host that this one does not have is said to be missing, with both hosts; one that it has is as good."""
    file: Any = _arrived(fl.File, str(tmp_path / "data.csv"), {}, "elsewhere")
    text = rf"there is no file at {tmp_path}/data.csv on host {os.uname().nodename}; it comes from host elsewhere, and must be on a disk"
    with pytest.raises(FileMissing, match=text):
        open(file)
    with pytest.raises(FileMissing, match=text):
        pickle.loads(pickle.dumps(file)).read_text()
    csv(str(tmp_path / "data.csv"))
    assert total(table=file) == 3


# ---------------------------------------------------------------- keys


def test_keys_are_of_the_content() -> None:
    """In a key a local file's content counts, and not its path."""
    first, second = csv("one.csv"), csv("two.csv")
    assert token(first) == token(second)
    assert key(length, "1", {"file": first}) == key(length, "1", {"file": second})
    second.write_text("a\n1\n")
    assert token(first) != token(second)
    assert token([first]) != token([second])
    empty = fl.File("empty").write_text("")
    assert token(empty) != token(first)
    with pytest.raises(InputError, match=r"input 'file' of .*length cannot be part of a cache's key: .*there is no file at .*no.csv"):
        key(length, "1", {"file": fl.File("no.csv")})


def test_keys_of_directories() -> None:
    """In a key a directory's files count, with their paths inside it."""
    one, other = fl.Directory("one"), fl.Directory("other")
    for folder in (one, other):
        folder.new_file("a/x").write_text("1")
        folder.new_file("b").write_text("2")
    assert token(one) == token(other)
    other.new_file("b").write_text("3")
    assert token(one) != token(other)
    other.new_file("b").write_text("2")
    os.rename("other/b", "other/c")
    assert token(one) != token(other)


@pytest.mark.parametrize("protocol", ["memory", "tagged"])
def test_keys_of_remote_files(protocol: str) -> None:
    """In a key a remote file stands by what its store says of it: the same until it is written to."""
    file = fl.File(f"{protocol}://in/a.txt").write_text("one")
    folder = fl.Directory(f"{protocol}://in")
    before = token(file), token(folder)
    assert (token(fl.File(f"{protocol}://in/a.txt")), token(folder)) == before
    file.write_text("two")
    assert token(file) != before[0]
    assert token(folder) != before[1]


def test_keys_that_cannot_be_made() -> None:
    """A store that says nothing of its files is no base for a key; the error has the ways out."""
    file = fl.File("silent://a.txt").write_text("one")
    with pytest.raises(InputError, match=r"SilentFileSystem\) that tells neither a checksum nor a time of change .*HashMethod"):
        key(length, "1", {"file": file})


def test_cached_tasks() -> None:
    """A cached task is executed anew when its file's content is another, and only then."""
    calls = []

    @fl.task(cache=True, cache_version="1")
    def read(file: fl.File) -> str:
        calls.append(file.uri)
        return file.read_text()

    Path("a.txt").write_text("one")
    Path("b.txt").write_text("one")
    assert [read(file=name) for name in ("a.txt", "b.txt", "a.txt")] == ["one"] * 3  # type: ignore[arg-type]
    assert len(calls) == 1
    Path("a.txt").write_text("two")
    assert read(file="a.txt") == "two"  # type: ignore[arg-type]
    assert len(calls) == 2


def test_hash_methods() -> None:
    """An annotation may say what stands for a file in a key, in place of its content."""
    calls = []

    @fl.task(cache=True, cache_version="1")
    def read(file: Annotated[fl.File, HashMethod(lambda file: file.name)]) -> int:
        calls.append(file)
        return file.size()

    Path("a.txt").write_text("one")
    assert read(file="a.txt") == 3  # type: ignore[arg-type]
    Path("a.txt").write_text("longer")
    assert read(file="a.txt") == 3  # type: ignore[arg-type]
    assert len(calls) == 1
