"""Configuration and versions."""

from __future__ import annotations

import os
from typing import Any

import dask
import pytest

from daskflow import config
from daskflow.errors import OptionError
from daskflow.versions import mismatch, versions


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("spill-after", "20ms", 0.02), ("spill-after", 0, 0.0), ("spill-after", "1 s", 1.0), ("chunk", 0.5, 0.5),
        ("max-parallelism", 3, 3),
        ("reference-bytes", "1 kB", 1000), ("unit-output-bytes", 5, 5), ("max-parallelism", 0, 0), ("max-parallelism", None, 25),
    ],
)  # fmt: skip
def test_values(key: str, value: Any, expected: Any) -> None:
    """Times and sizes are given in seconds and bytes or as Dask writes them; limits as everywhere."""
    with dask.config.set({f"daskflow.{key}": value}):
        assert config.get(key) == expected


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any configuration each key has its default."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with dask.config.set({"daskflow": None}):
        values = [config.get(key) for key in config.KEYS]
    url, files = values.pop(6), values.pop()
    assert values == [0.02, 0.05, 1 << 20, 16 << 20, 25, True, 64 << 20, 10 << 30, None]
    assert url == os.path.expanduser("~/.cache/daskflow")
    assert files == os.path.join(os.getcwd(), "daskflow-files")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("spill-after", "soon", "daskflow.spill-after must be a time such as '20ms'.*got 'soon'"),
        ("spill-after", -1, "got -1"),
        ("spill-after", True, "got True"),
        ("chunk", None, "got None"),
        ("max-parallelism", "many", "max-parallelism of Dask's configuration .* got 'many'"),
        ("reference-bytes", "much", "daskflow.reference-bytes must be a size such as '16MiB'.*got 'much'"),
        ("unit-output-bytes", 0, "got 0"),
        ("spil-after", 1, "Dask's configuration has no key daskflow.spil-after; it has spill-after, chunk, reference-bytes"),
    ],
)
def test_what_is_refused(key: str, value: Any, text: str) -> None:
    """A key that is unknown, or has a value that it cannot have, is refused by name."""
    with dask.config.set({f"daskflow.{key}": value}), pytest.raises(OptionError, match=text):
        config.get(key if key in config.KEYS else "chunk")


def test_versions_that_differ_are_named() -> None:
    """Each version that differs is named with both values; what is the same is not."""
    assert mismatch(versions()) == ""
    assert mismatch(None) == "daskflow is not installed there"
    assert mismatch({**versions(), "python": "2.7"}) == f"python is 2.7 there and {versions()['python']} here"
