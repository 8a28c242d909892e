"""What keeping values costs: a large array beside its plain bytes in a file, and small values.

python benchmarks/store.py [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable

import common
import numpy as np

from daskflow.store import Store

LARGE = 1 << 30
SMALL = {"names": ["a", "b", "c"], "count": 3}
ROUNDS = 2000


def timed(work: Callable[[], object]) -> float:
    """Return how long a piece of work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def write(path: str, array: np.ndarray) -> None:
    """Write an array's bytes, and nothing else."""
    with open(path, "wb") as file:
        file.write(array.data)


def read(path: str) -> bytes:
    """Read a file's bytes."""
    with open(path, "rb") as file:
        return file.read()


def large(folder: str, repeats: int) -> list[common.Row]:
    """Time a large array in turn with its plain bytes; each put writes a file that is not there yet."""
    array = np.random.default_rng(0).integers(0, 256, LARGE, dtype=np.uint8)
    store, signing = Store(f"{folder}/plain"), Store(f"{folder}/signed", secret=b"a secret")
    path = f"{folder}/bytes"
    times: dict[str, list[float]] = {}
    for counted in range(repeats + 1):
        ways: dict[str, Callable[[], object]] = {
            "write": lambda: write(path, array),
            "put": lambda: store.put("ab", array, {}),
            "read": lambda: read(path),
            "get": lambda: store.get("ab"),
            "put signed": lambda: signing.put("ab", array, {}),
            "get signed": lambda: signing.get("ab"),
        }
        for name, way in ways.items():
            taken = timed(way)
            if counted:
                times.setdefault(name, []).append(taken)
        entry = store.get("ab")
        assert entry is not None
        assert np.array_equal(entry.value, array)
        store.clear()
        signing.clear()
        os.unlink(path)
        # Else what one wrote is still on its way to the disk when the next is timed.
        os.sync()
    median = {name: statistics.median(taken) for name, taken in times.items()}
    pairs = (("put", "write"), ("get", "read"), ("put signed", "write"), ("get signed", "read"))
    return [
        common.Row(median[plain] / median[ours], f"{ours} 1 GiB array", median[ours], f"plain {plain}", median[plain])
        for ours, plain in pairs
    ]


def small(folder: str, repeats: int) -> list[common.Row]:
    """Time small values, each of a key of its own, beside the same system calls alone."""
    from_memory, from_files = Store(f"{folder}/small"), Store(f"{folder}/small", memory_bytes=0)
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        keys = [os.urandom(16).hex() for _ in range(ROUNDS)]
        ways: dict[str, Callable[[str], object]] = {
            "plain write": lambda key: plain_write(f"{folder}/{key}"),
            "plain read": lambda key: read(f"{folder}/{key}"),
            "put": lambda key: from_memory.put(key, SMALL, {}),
            "get from a file": from_files.get,
            "get from memory": from_memory.get,
        }
        for name, way in ways.items():
            times.setdefault(name, []).append(timed(lambda way=way, keys=keys: [way(key) for key in keys]) / ROUNDS)
    median = {name: statistics.median(taken) for name, taken in times.items()}
    pairs = (("put", "plain write"), ("get from a file", "plain read"), ("get from memory", "plain read"))
    return [common.Row(median[plain] / median[ours], f"{ours}, small value", median[ours], plain, median[plain]) for ours, plain in pairs]


def plain_write(path: str) -> None:
    """Write a small file under another name first."""
    with open(path + "~", "wb", buffering=0) as file:
        file.write(bytes(300))
    os.replace(path + "~", path)


def main() -> None:
    """Print the figures."""
    given = common.arguments(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        rows = large(folder, given.repeats) + small(folder, given.repeats)
    print(common.table(rows))
    if given.json:
        common.write(given.json, given, rows)


if __name__ == "__main__":
    main()
