"""The store between processes: each look-up gives a whole value, whoever writes and whoever dies."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daskflow.store import Store
from tests.acceptance.processes import wait_until

KEY = "ab" * 20

COMMON = """
import os, random, sys, threading
import numpy as np
from daskflow.places import StoreError
from daskflow.store import Store
folder, seed = sys.argv[1], int(sys.argv[2])
keys = [f"{number:08x}" for number in range(6)]
"""

# Each value says in its own data what it is; some are read at once, and some in pieces.
CROWD = (
    COMMON
    + """
store = Store(folder, memory_bytes=100_000, max_bytes=40 << 20)
found, wrong = [], []

def work(seed):
    chance = random.Random(seed)
    try:
        for _ in range(80):
            key = chance.choice(keys)
            if chance.random() < 0.4:
                number = chance.randrange(1000)
                store.put(key, np.full(chance.choice([3, 5000, 200_000]), number), {"key": key, "number": number})
            elif (got := store.get(key)) is not None:
                assert got.meta["key"] == key
                assert (got.value == got.meta["number"]).all()
                found.append(key)
    except BaseException as error:
        wrong.append(repr(error))

threads = [threading.Thread(target=work, args=(seed * 100 + number,)) for number in range(6)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong, wrong
assert found
"""
)

ENDLESS = (
    COMMON
    + """
store = Store(folder)
print("ready", flush=True)
number = 0
while True:
    number += 1
    store.put("ab" * 20, np.full(4_000_000, number), {"number": number})
"""
)

FULL = (
    COMMON
    + """
import resource
store = Store(folder)
store.put("ab" * 20, "before", {})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for size in (100_000, 3_000_000):
    try:
        store.put("ab" * 20, np.zeros(size, dtype=np.uint8), {})
    except StoreError as error:
        print(type(error).__name__, error)
    else:
        raise AssertionError("it was written")
store.put("cd" * 20, "small", {})
"""
)


def start(program: str, folder: Path, seed: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder / "cache"), str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left_over(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names if name.endswith(".tmp")]


def test_processes_and_threads(tmp_path: Path) -> None:
    """Two processes of many threads that put and get the same keys are each given whole values, and report no damage."""
    crowd = [start(CROWD, tmp_path, seed) for seed in (1, 2)]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    assert [(one.communicate(timeout=120)[1], one.returncode) for one in crowd] == [("", 0), ("", 0)]
    assert all(wrong is None for _, wrong in Store(str(tmp_path / "cache")).verify())
    assert left_over(tmp_path) == []


def test_killed_while_putting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whenever a writer is killed, there is a whole entry or none, and what it left behind goes in time."""
    store = Store(str(tmp_path / "cache"))
    halves = 0
    for turn in range(12):
        writer = start(ENDLESS, tmp_path)
        assert writer.stdout is not None
        writer.stdout.readline()
        wait_until(lambda: store.head(KEY), "the first put")
        time.sleep(turn * 0.003)
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        halves += bool(left_over(tmp_path))
        got = store.get(KEY)
        assert got is not None
        assert got.value.shape == (4_000_000,)
        assert (got.value == got.meta["number"]).all()
        assert dict(store.verify()) == {KEY: None}
        store.evict(time.time() + 7200)
        assert left_over(tmp_path) == []
    assert halves
    assert not caplog.records


def test_disk_full(tmp_path: Path) -> None:
    """Where the system lets no more be written, a put is refused, and leaves what was there and nothing else."""
    full = start(FULL, tmp_path)
    output, errors = full.communicate(timeout=60)
    assert (full.returncode, errors) == (0, "")
    assert output.count("StoreError the store") == output.count("File too large") == 2
    store = Store(str(tmp_path / "cache"))
    before = store.get(KEY)
    assert before is not None
    assert before.value == "before"
    assert store.get("cd" * 20) is not None
    assert left_over(tmp_path) == []


def test_a_store_travels(tmp_path: Path) -> None:
    """A store that is sent to another process is over the same place there, with that process' own secret."""
    program = (
        "import pickle, sys; store = pickle.load(sys.stdin.buffer); store.put('ab' * 20, 'there', {}); "
        "again = pickle.loads(pickle.dumps(store)); assert again is store"
    )
    store = Store(str(tmp_path / "cache"), max_age=1000)
    subprocess.run([sys.executable, "-c", program], input=pickle.dumps(store), check=True, timeout=60)
    got = store.get(KEY)
    assert got is not None
    assert got.value == "there"


def test_importing_daskflow_is_quick() -> None:
    """What the store needs, other than what daskflow needs anyway, is not imported before it is used."""
    program = (
        "import sys, daskflow.store; print([name for name in ('xxhash', 'fsspec', 'zict', 'dask', 'distributed') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
