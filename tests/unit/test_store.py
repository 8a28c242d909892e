"""The store: it gives back what was put, or nothing, and unpickles nothing that it has not checked."""

from __future__ import annotations

import errno
import gc
import json
import logging
import os
import pickle
import random
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow import entries, store
from daskflow.entries import SMALL
from daskflow.places import StoreError
from daskflow.store import Entry, PickleFailed, Store, open_store

KEY = "ab" * 20
OTHER = "cd" * 20
SECRET = b"a secret"
HOUR = 3600.0

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
metas = st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans()))

unpickled: list[str] = []


class Recorded:
    """Says when it is unpickled."""

    def __reduce__(self) -> Any:
        return record, ("unpickled",)


def record(what: str) -> None:
    unpickled.append(what)


@pytest.fixture(autouse=True)
def _unpickled() -> Iterator[None]:
    unpickled.clear()
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=["files", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Store]:
    """Make stores over one place, in files or behind fsspec."""
    url = str(tmp_path / "cache") if request.param == "files" else "memory://cache"
    return lambda **options: Store(url, **options)


def path_of(folder: Path, key: str = KEY) -> Path:
    return folder / "cache" / "v1" / key[:2] / f"{key}.entry"


def files_of(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def value_of(store: Store, key: str = KEY) -> Any:
    entry = store.get(key)
    assert entry is not None
    return entry.value


@given(values, metas, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_is_put_is_given_back(
    tmp_path_factory: pytest.TempPathFactory, value: Any, meta: dict[str, Any], signed: bool, warm: bool
) -> None:
    """Any value and what it is put with come back equal, from memory and from the file."""
    url = str(tmp_path_factory.mktemp("round") / "cache")
    one = Store(url, secret=SECRET if signed else None, memory_bytes=SMALL if warm else 0)
    one.put(KEY, value, meta)
    for other in (one, Store(url, secret=SECRET if signed else None)):
        assert other.get(KEY) == Entry(value, meta)
        assert other.get_many([KEY, OTHER]) == {KEY: Entry(value, meta)}


@pytest.mark.parametrize("secret", [None, SECRET])
@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 5000, SMALL - 1, SMALL, 3 * SMALL + 7])
def test_arrays_come_back(make: Callable[..., Store], length: int, secret: bytes | None) -> None:
    """Arrays of any size come back with their types, can be written to, and are nobody else's; read-only ones stay so."""
    fixed = np.arange(length)
    fixed.flags.writeable = False
    value = {"a": np.arange(length, dtype=np.float64), "f": np.asfortranarray(np.ones((2, length))), "fixed": fixed, "b": b"x" * length}
    one = make(secret=secret)
    one.put(KEY, value, {})
    value["a"][:] = -1
    for other in (one, make(secret=secret)):
        for _ in range(2):
            got = value_of(other)
            assert np.array_equal(got["a"], np.arange(length, dtype=np.float64))
            assert np.array_equal(got["f"], value["f"])
            assert got["f"].flags.f_contiguous
            assert np.array_equal(got["fixed"], fixed)
            assert not got["fixed"].flags.writeable
            assert got["b"] == value["b"]
            got["a"][:] = 7
    assert [wrong for _, wrong in one.verify()] == [None]


def test_large_buffers_are_not_pickled(make: Callable[..., Store]) -> None:
    """A large array is neither copied nor pickled when an entry is made of it, and lies at a multiple of 64."""
    array = np.arange(SMALL, dtype=np.uint8)
    outside = entries.Outside()
    pickled = pickle.dumps({"a": array}, protocol=5, buffer_callback=outside)
    assert len(pickled) < 1000
    assert np.shares_memory(np.frombuffer(outside.buffers[0], dtype=np.uint8), array)
    made = entries.encoded(KEY, pickled, outside.buffers, {}, signed=False)
    whole = b"".join(entries.sealed(made, None))
    assert whole.index(array.tobytes()) % 64 == 0
    assert len(whole) == made.nbytes


@pytest.mark.parametrize("key", ["", "a", "AB" * 8, "xy" * 8, "../../etc", "ab/cd", "abc\n", "ab" * 200, "\uff41\uff42", b"abab", None, 1])
def test_other_keys_are_refused(make: Callable[..., Store], tmp_path: Path, key: Any) -> None:
    """What is not lower-case hexadecimal is refused before the disk is touched."""
    one = make()
    for call in (one.get, one.head, one.remove, lambda key: one.put(key, 1, {}), lambda key: one.get_many([KEY, key])):
        with pytest.raises(ValueError, match="hexadecimal"):
            call(key)
    assert not list(tmp_path.iterdir())


def test_absent(make: Callable[..., Store], tmp_path: Path) -> None:
    """A store that is not there yet is empty, and looking does not make it."""
    one = make()
    assert one.get(KEY) is None
    assert one.get_many([KEY]) == {}
    assert one.get_many([]) == {}
    assert one.head(KEY) is None
    assert not one.remove(KEY)
    assert list(one.keys()) == list(one.verify()) == []
    assert one.clear() == one.evict() == 0
    assert one.info()["entries"] == one.info()["bytes"] == 0
    assert not list(tmp_path.iterdir())


def test_house_keeping(make: Callable[..., Store]) -> None:
    """Keys, heads, sizes, removing and clearing say what is there, without unpickling anything."""
    one = make()
    one.put(KEY, Recorded(), {"took": 1.5})
    one.put(OTHER, [0] * 3000, {"long": "x" * 10_000})
    assert sorted(one.keys()) == [KEY, OTHER]
    head = make().head(KEY)
    assert head is not None
    assert head["took"] == 1.5
    other = make().head(OTHER)
    assert other is not None
    assert other["long"] == "x" * 10_000
    info = one.info()
    assert info["entries"] == 2
    assert info["bytes"] == head["nbytes"] + other["nbytes"]
    assert abs(info["oldest"] - head["created"]) < 60
    assert dict(one.verify()) == {KEY: None, OTHER: None}
    assert not unpickled
    assert one.remove(KEY)
    assert not one.remove(KEY)
    assert one.get(KEY) is None
    assert one.clear() == 1
    assert list(one.keys()) == []


def test_memory_does_not_outlive_files(tmp_path: Path) -> None:
    """What another process removed is not given from memory."""
    one, other = Store(str(tmp_path / "cache")), Store(str(tmp_path / "cache"))
    one.put(KEY, 1, {})
    assert value_of(one) == 1
    other.clear()
    assert one.get(KEY) is None
    assert len(one._memory) == 0


def test_memory_does_not_hide_what_others_store(tmp_path: Path) -> None:
    """What another process stored in the place of an entry is given, however often that happens, and whatever is in memory."""
    one, other = Store(str(tmp_path / "cache")), Store(str(tmp_path / "cache"))
    for number in range(20):
        (one, other)[number % 3 == 0].put(KEY, number, {})
        assert value_of(one) == value_of(other) == number
        assert KEY in one._memory


def test_memory_gives_new_objects(make: Callable[..., Store]) -> None:
    """A value and what it was put with can be changed without harm to what others are given."""
    one = make()
    one.put(KEY, [1], {"a": [1]})
    for _ in range(3):
        got = one.get(KEY)
        assert got == Entry([1], {"a": [1]})
        got.value.append(2)
        got.meta["a"].append(2)


def test_memory_has_a_limit(make: Callable[..., Store]) -> None:
    """Memory keeps what was used last up to its limit, and nothing larger than a mebibyte."""
    one = make(memory_bytes=100_000)
    for number in range(50):
        one.put(f"{number:08x}", "x" * 9000, {})
        one.get(f"{number:08x}")
        one.get("00000000")
    assert 80_000 < one._memory.total_weight <= 100_000
    assert "00000000" in one._memory
    roomy = make()
    roomy.put(KEY, b"x" * SMALL, {})
    assert value_of(roomy) == b"x" * SMALL
    assert len(roomy._memory) == 0


# Damage


def written(folder: Path, value: Any, secret: bytes | None = None) -> bytes:
    Store(str(folder / "cache"), secret=secret).put(KEY, value, {"a": 1})
    return path_of(folder).read_bytes()


def damaged(folder: Path, caplog: pytest.LogCaptureFixture, data: bytes, secret: bytes | None = None) -> str:
    """Look up a damaged entry: it is not there, not unpickled, reported once, and gone; return the report."""
    path = path_of(folder)
    for look in (lambda one: one.get(KEY), lambda one: one.get_many([KEY]).get(KEY)):
        path.write_bytes(data)
        caplog.clear()
        one = Store(str(folder / "cache"), secret=secret)
        ((key, wrong),) = one.verify()
        assert key == KEY
        assert wrong is not None
        assert look(one) is None
        assert not unpickled
        assert not path.exists()
        (said,) = caplog.records
        assert (said.name, said.levelno) == ("daskflow.store", logging.WARNING)
        assert wrong in said.getMessage()
    return wrong


@pytest.mark.parametrize("secret", [None, SECRET])
def test_each_flipped_byte(tmp_path: Path, caplog: pytest.LogCaptureFixture, secret: bytes | None) -> None:
    """An entry with any one byte changed is not there, and nothing of it is unpickled."""
    whole = written(tmp_path, Recorded(), secret)
    assert Store(str(tmp_path / "cache"), secret=secret).get(KEY) == Entry(None, {"a": 1})
    assert unpickled.pop() == "unpickled"
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << (position % 8)
        damaged(tmp_path, caplog, bytes(changed), secret)


@pytest.mark.parametrize("secret", [None, SECRET])
def test_each_truncation(tmp_path: Path, caplog: pytest.LogCaptureFixture, secret: bytes | None) -> None:
    """An entry cut off anywhere, or with more behind it, is not there."""
    whole = written(tmp_path, Recorded(), secret)
    for length in range(len(whole)):
        damaged(tmp_path, caplog, whole[:length], secret)
    damaged(tmp_path, caplog, whole + b"\0", secret)
    damaged(tmp_path, caplog, whole * 2, secret)


@pytest.mark.parametrize("secret", [None, SECRET])
def test_large_entries_are_checked_too(tmp_path: Path, caplog: pytest.LogCaptureFixture, secret: bytes | None) -> None:
    """A large entry, which is read in pieces, is as safe as a small one."""
    whole = written(tmp_path, [Recorded(), np.arange(SMALL, dtype=np.uint8), np.arange(2 * SMALL, dtype=np.uint8)], secret)
    chance = random.Random(0)
    edges = [*range(0, 400, 7), *range(len(whole) - 48, len(whole)), *(chance.randrange(len(whole)) for _ in range(30))]
    for position in edges:
        changed = bytearray(whole)
        changed[position] ^= 0x10
        damaged(tmp_path, caplog, bytes(changed), secret)
        damaged(tmp_path, caplog, whole[:position], secret)
    damaged(tmp_path, caplog, whole + b"\0", secret)


@pytest.mark.parametrize("big", [False, True])
def test_signatures(tmp_path: Path, caplog: pytest.LogCaptureFixture, big: bool) -> None:
    """Where there is a secret, what is not signed with it is never unpickled; where there is none, a signed entry is read."""
    value = [Recorded(), np.zeros(2 * SMALL if big else 1)]
    unsigned = written(tmp_path, value)
    assert "not signed" in damaged(tmp_path, caplog, unsigned, SECRET)
    signed = written(tmp_path, value, SECRET)
    assert "signature" in damaged(tmp_path, caplog, signed, b"another secret")
    # What says that it is signed, with a checksum that holds, and is not.
    claims = entries.opened(signed, KEY, SECRET) if not big else None
    if claims is not None:
        forged = b"".join(entries.sealed(claims, None)) + bytes(32)
        assert "signature" in damaged(tmp_path, caplog, forged, SECRET)
    path_of(tmp_path).write_bytes(signed)
    assert Store(str(tmp_path / "cache")).get(KEY) is not None
    assert unpickled == ["unpickled"]


def test_signatures_behind_fsspec(caplog: pytest.LogCaptureFixture) -> None:
    """An unsigned entry behind a URL is not unpickled where there is a secret."""
    Store("memory://cache").put(KEY, Recorded(), {})
    one = Store("memory://cache", secret=SECRET)
    assert one.get_many([KEY]) == {}
    assert len(caplog.records) == 1
    assert list(one.keys()) == []
    assert not unpickled


@pytest.mark.parametrize("secret", [None, SECRET])
def test_renamed_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture, secret: bytes | None) -> None:
    """An entry under another's key is not there."""
    written(tmp_path, Recorded(), secret)
    moved = path_of(tmp_path, OTHER)
    moved.parent.mkdir()
    path_of(tmp_path).rename(moved)
    one = Store(str(tmp_path / "cache"), secret=secret)
    assert one.get(OTHER) is None
    assert one.head(OTHER) is None
    assert "another key" in caplog.text
    assert not moved.exists()
    assert not unpickled


def test_other_formats(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Entries of another version, pickles and other files are not there."""
    whole = written(tmp_path, Recorded())
    newer = entries._PREFIX.pack(entries._MAGIC, 2, struct.unpack_from("<I", whole, 12)[0]) + whole[16:]
    assert "version 2" in damaged(tmp_path, caplog, newer)
    assert "no entry" in damaged(tmp_path, caplog, pickle.dumps([Recorded(), "x" * 100]))
    assert "no entry" in damaged(tmp_path, caplog, pickle.dumps([Recorded(), "x" * 2 * SMALL]))
    assert "too short" in damaged(tmp_path, caplog, b"")


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"pickle": -1},
        {"pickle": 1.0},
        {"pickle": 10**30},
        {"buffers": [10**18]},
        {"buffers": 3},
        {"buffers": ["a"]},
        {"signed": 1},
        {"created": "now"},
        {"meta": []},
        {"key": None},
        {"more": 1},
    ],
)
def test_headers_are_checked(tmp_path: Path, caplog: pytest.LogCaptureFixture, header: Any) -> None:
    """A header that says what cannot be is damage, though its checksum holds, and no memory is taken for it."""
    written(tmp_path, Recorded())
    good = {"key": KEY, "created": 0, "signed": False, "meta": {}, "pickle": 10, "buffers": []}
    text = json.dumps({**good, **header} if header else header).encode()
    whole = b"".join(entries.sealed(entries.Encoded(text, b"0123456789", (), 0), None))
    damaged(tmp_path, caplog, whole)


def test_damage_that_cannot_be_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What lies in an entry's place and is no file counts as not there, and does not stop anybody."""
    written(tmp_path, 1)
    path_of(tmp_path).unlink()
    path_of(tmp_path).mkdir()
    one = Store(str(tmp_path / "cache"))
    assert one.get(KEY) is None
    with pytest.raises(StoreError, match="written"):
        one.put(KEY, 1, {})
    path_of(tmp_path).rmdir()
    os.mkfifo(path_of(tmp_path))
    assert one.get(KEY) is None
    assert not path_of(tmp_path).exists()


def test_symlinks_are_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A symbolic link in the place of an entry is removed, and where it leads is left alone."""
    whole = written(tmp_path, Recorded())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(whole)
    path_of(tmp_path).unlink()
    path_of(tmp_path).symlink_to(elsewhere)
    one = Store(str(tmp_path / "cache"))
    assert one.get(KEY) is None
    assert "symbolic link" in caplog.text
    assert not path_of(tmp_path).is_symlink()
    path_of(tmp_path).symlink_to(elsewhere)
    one.put(KEY, 1, {})
    assert not path_of(tmp_path).is_symlink()
    assert elsewhere.read_bytes() == whole
    assert not unpickled


def test_what_cannot_be_loaded_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A value whose class is not here counts as not there, is reported, and stays for those who have it."""
    Store(str(tmp_path / "cache")).put(KEY, Missing(), {})
    Missing.here = False
    try:
        assert Store(str(tmp_path / "cache")).get(KEY) is None
    finally:
        Missing.here = True
    assert "cannot be loaded here: ModuleNotFoundError" in caplog.text
    assert path_of(tmp_path).exists()


class Missing:
    """Can be unpickled only while it is here."""

    here = True

    def __reduce__(self) -> Any:
        return missing, ()


def missing() -> Missing:
    if not Missing.here:
        raise ModuleNotFoundError("no module named missing")
    return Missing()


# Folders


def test_folders_are_private(tmp_path: Path) -> None:
    """A folder that is made is its owner's alone, and so are the files."""
    one = Store(str(tmp_path / "deep" / "cache"))
    one.put(KEY, 1, {})
    root = tmp_path / "deep" / "cache"
    assert {oct(path.stat().st_mode & 0o777) for path in (root, root / "v1", root / "v1" / "ab")} == {oct(0o700)}
    assert (root / "v1" / "ab" / f"{KEY}.entry").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_folders_of_others_are_refused(tmp_path: Path, mode: int) -> None:
    """A folder that others can write to is refused by every operation, unless there is a secret."""
    root = tmp_path / "cache"
    root.mkdir()
    root.chmod(mode)
    one = Store(str(root))
    for call in (lambda: one.get(KEY), lambda: one.put(KEY, 1, {}), lambda: list(one.keys()), one.clear, lambda: one.remove(KEY), one.info):
        with pytest.raises(StoreError, match="DASKFLOW_CACHE_SECRET"):
            call()
    assert not list(root.iterdir())
    signed = Store(str(root), secret=SECRET)
    signed.put(KEY, 1, {})
    assert value_of(signed) == 1
    assert (root / "v1" / "ab").stat().st_mode & 0o7777 == mode
    assert path_of(tmp_path).stat().st_mode & 0o777 == mode & 0o666


def test_folders_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that belongs to somebody else is refused, unless there is a secret."""
    written(tmp_path, 1)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StoreError, match="somebody else"):
        Store(str(tmp_path / "cache")).get(KEY)
    assert Store(str(tmp_path / "cache"), secret=SECRET).get(OTHER) is None


def test_a_folder_that_goes_away(tmp_path: Path) -> None:
    """A store whose folder is removed under it makes it anew."""
    one = Store(str(tmp_path / "cache"))
    one.put(KEY, 1, {})
    for file in sorted((tmp_path / "cache").rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    (tmp_path / "cache").rmdir()
    assert one.get(KEY) is None
    one.put(KEY, 2, {})
    assert value_of(one) == 2
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    """Where there can be no folder, the store says so in its own error."""
    (tmp_path / "cache").write_text("")
    one = Store(str(tmp_path / "cache"))
    with pytest.raises(StoreError, match="cannot be read"):
        one.get(KEY)
    with pytest.raises(StoreError, match="cannot be written"):
        one.put(KEY, 1, {})


# What goes wrong with writing


def test_values_that_do_not_pickle(make: Callable[..., Store], tmp_path: Path) -> None:
    """A value that does not pickle is refused, and what was there stays."""
    one = make()
    one.put(KEY, 1, {})
    with pytest.raises(PickleFailed, match="does not pickle: TypeError"):
        one.put(KEY, threading.Lock(), {})
    assert value_of(one) == 1


def test_values_larger_than_the_store(make: Callable[..., Store]) -> None:
    """A value that is more than may be kept is refused, and does not drive out the others."""
    one = make(max_bytes=10_000)
    one.put(KEY, 1, {})
    with pytest.raises(StoreError, match="10000"):
        one.put(OTHER, b"x" * 10_000, {})
    assert list(one.keys()) == [KEY]


def test_meta_that_is_not_json(make: Callable[..., Store]) -> None:
    """What JSON cannot say is a caller's mistake, and nothing is written."""
    for meta in ({"a": object()}, {"a": float("nan")}):
        with pytest.raises((TypeError, ValueError)):
            make().put(KEY, 1, meta)
    assert list(make().keys()) == []


@pytest.mark.parametrize("size", [10, 3 * SMALL])
@pytest.mark.parametrize("name", ["write", "replace", "close"])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, name: str) -> None:
    """A write that fails leaves no file behind, loses nothing that was there, and the next may succeed."""
    one = Store(str(tmp_path / "cache"))
    one.put(KEY, "before", {})
    calls: list[Any] = []
    real: Any = getattr(os, name)

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) > (1 if name == "write" and size > SMALL else 0):
            if name == "close":
                real(*arguments)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing)
        with pytest.raises(StoreError, match="No space left"):
            one.put(KEY, np.ones(size, dtype=np.uint8), {})
    assert files_of(tmp_path) == [f"{KEY}.entry"]
    assert value_of(one) == "before"
    assert value_of(Store(str(tmp_path / "cache"))) == "before"
    one.put(KEY, "after", {})
    assert value_of(Store(str(tmp_path / "cache"))) == "after"


def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that writes and reads less than it is given at a time changes nothing."""
    real_write, real_read = os.write, os.readv
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: real_write(file, data[: max(1, len(data) // 2)]))
        patched.setattr(os, "readv", lambda file, views: real_read(file, [view[: max(1, len(view) // 2)] for view in views]))
        one = Store(str(tmp_path / "cache"))
        for size in (10, 2 * SMALL):
            one.put(KEY, np.ones(size, dtype=np.uint8), {})
            assert np.array_equal(value_of(Store(str(tmp_path / "cache"))), np.ones(size))


def test_interrupted_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever interrupts a put finds no file left behind."""

    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Store(str(tmp_path / "cache")).put(KEY, 1, {})
    assert files_of(tmp_path) == []


# Behind fsspec


class Failing(MemoryFileSystem):
    """Cannot be reached."""

    protocol = "failing"
    cachable = False

    def _open(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("nobody there")

    def ls(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("nobody there")

    def cat_file(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("nobody there")

    def rm_file(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("nobody there")

    def pipe_file(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("nobody there")


def test_file_systems_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that cannot be reached is an error of the store's for each question, never an empty store."""
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url: (Failing(), "/cache"))
    one = Store("failing://cache")
    asked: list[Callable[[], Any]] = [
        lambda: one.get(KEY),
        lambda: one.get_many([KEY, OTHER]),
        lambda: one.put(KEY, 1, {}),
        lambda: one.remove(KEY),
        lambda: one.head(KEY),
        lambda: list(one.keys()),
        lambda: list(one.verify()),
        one.info,
        one.clear,
        one.evict,
    ]
    for ask in asked:
        with pytest.raises(StoreError, match="failing://cache cannot be .*: ConnectionError: nobody there"):
            ask()


def test_unknown_file_systems() -> None:
    """A URL that fsspec does not know is an error of the store's at its first use."""
    with pytest.raises(StoreError, match="nosuch"):
        Store("nosuch://cache").get(KEY)


def test_many_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many keys are asked for together, and those in memory not at all."""
    one = Store("memory://cache", memory_bytes=0)
    keys = [f"{number:08x}" for number in range(20)]
    for key in keys[:10]:
        one.put(key, key, {})
    asked: list[Any] = []
    real = MemoryFileSystem.cat

    def cat(self: Any, paths: Any, **options: Any) -> Any:
        asked.append(paths)
        return real(self, paths, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat", cat)
    other = Store("memory://cache")
    expected = {key: Entry(key, {}) for key in keys[:10]}
    assert other.get_many(keys) == expected
    assert [len(paths) for paths in asked] == [20]
    assert other.get_many(keys[:10]) == expected
    assert len(asked) == 1


def test_many_with_little_memory() -> None:
    """A key that memory lets go of while many are looked up is found all the same."""
    one = Store("memory://cache", memory_bytes=5000)
    keys = [f"{number:08x}" for number in range(20)]
    for key in keys:
        one.put(key, b"x" * 1000, {})
        one.get(key)
    assert 0 < len(one._memory) < 20
    assert set(one.get_many(keys)) == set(keys)
    assert set(one.get_many(keys[::-1])) == set(keys)


# Eviction


def used(folder: Path, key: str, when: float) -> None:
    os.utime(path_of(folder, key), (when, when))


def test_eviction_by_size(tmp_path: Path) -> None:
    """What was not used for longest goes first, until nine tenths of the size are left; nothing goes before it is exceeded."""
    one = Store(str(tmp_path / "cache"), max_bytes=1 << 40)
    keys = [f"{number:08x}" for number in range(20)]
    for number, key in enumerate(keys):
        one.put(key, b"x" * 900, {})
        used(tmp_path, key, 1e9 + number)
    size = one.info()["bytes"] // 20
    assert Store(str(tmp_path / "cache"), max_bytes=20 * size + 20).evict() == 0
    assert Store(str(tmp_path / "cache"), max_bytes=10 * size + 10).evict() == 11
    assert sorted(one.keys()) == keys[11:]
    assert one.get(keys[0]) is None
    assert value_of(one, keys[19]) == b"x" * 900


def test_a_hit_is_a_use(tmp_path: Path) -> None:
    """A hit, from the file or from memory, makes an entry the last used, but notes it at most once an hour."""
    one = Store(str(tmp_path / "cache"))
    one.put(KEY, 1, {})
    for either in (one, Store(str(tmp_path / "cache"))):
        used(tmp_path, KEY, 1e9)
        either.get(KEY)
        noted = path_of(tmp_path).stat().st_mtime
        assert noted > 1e9 + HOUR
        recent = noted - HOUR / 2
        used(tmp_path, KEY, recent)
        either.get(KEY)
        assert path_of(tmp_path).stat().st_mtime == pytest.approx(recent)


def test_eviction_by_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry is too old by when it was made, however often it was used, and is then not there even before it is removed."""
    clock = 1e9
    monkeypatch.setattr("time.time", lambda: clock)
    one = Store(str(tmp_path / "cache"), max_age=100)
    one.put(KEY, 1, {})
    clock += 90
    one.put(OTHER, 2, {})
    assert value_of(one) == 1
    assert one.evict() == 0
    clock += 20
    Store(str(tmp_path / "cache")).put(KEY, 3, {})
    assert value_of(one) == 3
    one.put(KEY, 1, {})
    clock += 60
    one.put(OTHER, 2, {})
    clock += 60
    assert one.get(KEY) is None
    assert Store(str(tmp_path / "cache"), max_age=100).get(KEY) is None
    assert value_of(one, OTHER) == 2
    assert one.evict() == 1
    assert list(one.keys()) == [OTHER]
    assert one.evict(clock + 1e6) == 1


def test_put_evicts(make: Callable[..., Store]) -> None:
    """A store that is only put into stays about its size."""
    one = make(max_bytes=100_000)
    for number in range(100):
        one.put(f"{number:08x}", b"x" * 4000, {})
        assert one.info()["bytes"] <= 110_000
    assert one.info()["bytes"] > 80_000
    assert value_of(one, f"{99:08x}") == b"x" * 4000


def test_put_succeeds_though_eviction_fails(make: Callable[..., Store], monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A put that wrote its value succeeded, whatever tidying up afterwards came to."""
    one = make(max_bytes=10_000)

    def failing() -> Iterator[Any]:
        raise OSError("nobody there")

    monkeypatch.setattr(one._bottom, "kept", failing)
    one.put(KEY, b"x" * 4000, {})
    assert value_of(one) == b"x" * 4000
    assert "nobody there" in caplog.text


def test_temporary_files_go(tmp_path: Path) -> None:
    """What a writer that was killed left behind goes after an hour, and is no entry before."""
    one = Store(str(tmp_path / "cache"))
    one.put(KEY, 1, {})
    left = path_of(tmp_path).with_name(f"{KEY}.entry.123.abc.tmp")
    left.write_bytes(b"half")
    one.evict()
    assert left.exists()
    assert list(one.keys()) == [KEY]
    os.utime(left, (1e9, 1e9))
    one.evict()
    assert not left.exists()
    assert value_of(one) == 1


# Threads, copies, opening


def test_threads(make: Callable[..., Store]) -> None:
    """Many threads that put, get and remove the same keys, with a small memory, are each given a whole value or none."""
    one = make(memory_bytes=20_000)
    keys = [f"{number:08x}" for number in range(8)]
    wrong: list[Any] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(150):
                key = chance.choice(keys)
                what = chance.random()
                if what < 0.4:
                    one.put(key, np.full(chance.choice([10, 3000]), chance.randrange(100)), {"key": key})
                elif what < 0.45:
                    one.remove(key)
                elif (got := one.get(key)) is not None:
                    assert got.meta == {"key": key}
                    assert len(set(got.value.tolist())) == 1
                    got.value[:] = -1 - np.arange(len(got.value))
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store travels by its arguments without its secret, and arrives as the one store that the process there has for them."""
    monkeypatch.delenv("DASKFLOW_CACHE_SECRET", raising=False)
    monkeypatch.chdir(tmp_path)
    one = Store("cache", max_age=5)
    copy = pickle.loads(pickle.dumps(one))
    assert (copy.url, copy.max_age, copy.max_bytes, copy.memory_bytes) == (str(tmp_path / "cache"), 5, one.max_bytes, one.memory_bytes)
    assert pickle.loads(pickle.dumps(copy)) is copy
    with pytest.raises(StoreError, match="travels only"):
        pickle.dumps(Store("cache", secret=SECRET))
    monkeypatch.setenv("DASKFLOW_CACHE_SECRET", SECRET.decode())
    data = pickle.dumps(open_store("cache"))
    assert SECRET not in data
    assert pickle.loads(data) is open_store("cache")
    monkeypatch.delenv("DASKFLOW_CACHE_SECRET")
    with pytest.raises(StoreError, match="is signed"):
        pickle.loads(data)


def test_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same arguments are the same store, with the secret that the environment has then."""
    monkeypatch.delenv("DASKFLOW_CACHE_SECRET", raising=False)
    url = str(tmp_path / "cache")
    one = open_store(url)
    assert open_store(url) is open_store(f"file://{url}") is open_store(url, store.MEMORY_BYTES, store.MAX_BYTES, None) is one
    assert open_store(url, 1) is not one
    one.put(KEY, 1, {})
    monkeypatch.setenv("DASKFLOW_CACHE_SECRET", "")
    assert open_store(url) is one
    monkeypatch.setenv("DASKFLOW_CACHE_SECRET", "text")
    signed = open_store(url)
    assert signed is not one
    assert signed.get(KEY) is None
    with pytest.raises(ValueError, match="empty"):
        Store(url, secret=b"")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("~/x").url == str(tmp_path / "x")
    assert repr(Store("memory://a/b/")) == "<store memory://a/b>"


def test_files_are_closed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No look-up, good or bad, leaves a file open."""
    one = Store(str(tmp_path / "cache"), memory_bytes=0)
    one.put(KEY, np.ones(2 * SMALL, dtype=np.uint8), {})
    gc.collect()
    before = psutil.Process().num_fds()
    for _ in range(3):
        one.get(KEY)
        one.head(KEY)
        list(one.verify())
    path_of(tmp_path).write_bytes(b"nonsense")
    one.get(KEY)
    # What others left to the garbage collector may be closed meanwhile.
    assert psutil.Process().num_fds() <= before
