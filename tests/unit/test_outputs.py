"""Outputs of nodes that are kept: what was put is found, and what was torn or tampered with is not."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from daskflow.entries import Damaged
from daskflow.fixtures import memory_store
from daskflow.frame import Mark
from daskflow.outputs import Outputs, encoded
from daskflow.places import VARIABLE, StoreError


def mark(address: str, version: str = "v") -> Mark:
    return Mark(address, secrets.token_hex(20), version)


@pytest.fixture(params=["folder", "memory"])
def outputs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outputs]:
    if request.param == "folder":
        yield Outputs(str(tmp_path / "cache"), "r1")
        return
    with memory_store() as url:
        yield Outputs(url, "r1")


def test_what_was_put_is_found_by_address(outputs: Outputs) -> None:
    """Values of several writers come back as they were, those of one address side by side; of another run there are none."""
    one, other = mark("a[0]"), mark("a[0]", "w")
    large = mark("b/c")
    first, second = outputs.writer("u1"), outputs.writer("u2")
    first.put(encoded(one, {"x": 1}))
    first.put(encoded(large, np.arange(100_000)))
    second.put(encoded(other, None))
    first.close()
    second.close()
    found = outputs.index()
    assert {address: sorted(kept.mark for kept in those) for address, those in found.items()} == {
        "a[0]": sorted([one, other]),
        "b/c": [large],
    }
    values = {kept.mark.key: outputs.load(kept) for those in found.values() for kept in those}
    assert values[one.key] == {"x": 1}
    assert values[other.key] is None
    assert (values[large.key] == np.arange(100_000)).all()
    assert Outputs(outputs.url, "r2").index() == {}
    outputs.forget()
    assert outputs.index() == {}


def test_nothing_is_left_of_what_goes_while_somebody_adds_to_it(tmp_path: Path) -> None:
    """Who must not make the place of a run's outputs leaves nothing there that nobody would remove, however the two fall together."""
    entry = encoded(mark("a"), 1)
    for i in range(150):
        outputs = Outputs(str(tmp_path / "cache"), f"r{i}")
        with closing(outputs.writer("u")) as first:
            first.put(entry)

        def add(outputs: Outputs = outputs) -> None:
            with suppress(FileNotFoundError), closing(outputs.writer("late", make=False)) as writer:
                writer.put(entry)

        adding = [threading.Thread(target=add) for _ in range(3)]
        for one in adding:
            one.start()
        outputs.forget()
        for one in adding:
            one.join()
        assert outputs.index() == {}


def written(folder: Path, count: int) -> tuple[Outputs, Path]:
    outputs = Outputs(str(folder), "r1")
    writer = outputs.writer("u")
    for i in range(count):
        writer.put(encoded(mark(f"n[{i}]"), i))
    writer.close()
    (path,) = (folder / "outputs" / "r1").iterdir()
    return outputs, path


def test_a_torn_file_gives_the_whole_entries_before(tmp_path: Path) -> None:
    """However a file was cut off, the entries before the cut are found, and nothing else."""
    outputs, path = written(tmp_path / "cache", 3)
    data = path.read_bytes()
    ends = sorted(kept[0].offset + kept[0].nbytes for kept in outputs.index().values())
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert len(outputs.index()) == sum(end <= length for end in ends)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    """An entry whose bytes have changed is not believed; its neighbours are."""
    outputs, path = written(tmp_path / "cache", 2)
    first, second = (outputs.index()[f"n[{i}]"][0] for i in range(2))
    data = bytearray(path.read_bytes())
    data[first.offset + first.nbytes - 20] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Damaged, match="checksum"):
        outputs.load(first)
    assert outputs.load(second) == 1


def test_who_else_may_write_is_not_trusted(tmp_path: Path) -> None:
    """A folder that others can write to is neither written nor read."""
    outputs, _ = written(tmp_path / "cache", 1)
    os.chmod(tmp_path / "cache", 0o777)
    again = Outputs(outputs.url, "r1")
    with pytest.raises(StoreError, match="others can write to it"):
        again.index()
    with pytest.raises(StoreError, match="others can write to it"):
        again.writer("u")


def test_signatures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a secret, what was not signed with it is not believed."""
    outputs, _ = written(tmp_path / "cache", 1)
    monkeypatch.setenv(VARIABLE, "a secret")
    with pytest.raises(Damaged, match="not signed"):
        outputs.load(outputs.index()["n[0]"][0])
    outputs.forget()
    outputs, _ = written(tmp_path / "cache", 1)
    kept = outputs.index()["n[0]"][0]
    assert outputs.load(kept) == 0
    monkeypatch.setenv(VARIABLE, "another one")
    with pytest.raises(Damaged, match="signature"):
        outputs.load(kept)


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    """Outputs may hold anything, so nobody else can read them."""
    _, path = written(tmp_path / "cache", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_url_of_a_folder_is_that_folder(tmp_path: Path) -> None:
    """It has the same outputs by its path, and the same rules of who is trusted."""
    written(tmp_path / "cache", 1)
    outputs = Outputs(f"file://{tmp_path}/cache/", "r1")
    assert outputs.load(outputs.index()["n[0]"][0]) == 0
    os.chmod(tmp_path / "cache", 0o777)
    with pytest.raises(StoreError, match="others can write to it"):
        Outputs(outputs.url, "r1").index()


def test_headers_of_any_length_are_read(outputs: Outputs) -> None:
    """An address may be longer than what is read of an entry at first."""
    one = mark("a/" + "b" * 5000)
    writer = outputs.writer("u")
    writer.put(encoded(one, 1))
    writer.put(encoded(mark("c"), 2))
    writer.close()
    assert {address: outputs.load(kept) for address, (kept,) in outputs.index().items()} == {one.address: 1, "c": 2}


def test_large_values_can_be_written_to(outputs: Outputs) -> None:
    """An array that comes back is its receiver's own."""
    writer = outputs.writer("u")
    writer.put(encoded(mark("a"), np.zeros(1_000_000)))
    writer.close()
    value = outputs.load(outputs.index()["a"][0])
    value[0] = 1
    assert (value.sum(), outputs.load(outputs.index()["a"][0]).sum()) == (1, 0)


_FULL = """
import resource, signal, sys
from daskflow.frame import Mark
from daskflow.keeping import Keeper, Keeping
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
keeper = Keeper(Keeping("all", sys.argv[1], "r1"), "u", "r1")
keeper.keep(Mark("before", "aa", "v"), 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
keeper.keep(Mark("large", "bb", "v"), bytes(4000))
keeper.keep(Mark("too", "cc", "v"), bytes(4000))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
keeper.keep(Mark("after", "dd", "v"), 2)
keeper.close()
"""


def test_a_full_disk_loses_only_what_did_not_fit(tmp_path: Path) -> None:
    """What was kept before the disk was full is there, and so is what came after; it is said once that something was not kept."""
    ended = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path / "cache")], capture_output=True, text=True, check=True)
    outputs = Outputs(str(tmp_path / "cache"), "r1")
    assert {address: outputs.load(kept) for address, (kept,) in outputs.index().items()} == {"before": 1, "after": 2}
    assert ended.stderr.count("outputs of run r1 cannot be kept") == 1
    # However much does not fit, a unit has one file.
    assert len(list((tmp_path / "cache" / "outputs" / "r1").iterdir())) == 1
