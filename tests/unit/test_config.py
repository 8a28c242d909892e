"""Configuration and versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
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
        ("history.max-runs", "7", 7), ("history.max-runs", None, None), ("history.max-age", "30 days", 30 * 86400),
        ("history.enabled", "no", False),
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
        values = {key: config.get(key) for key in config.KEYS}
    assert values.pop("cache.url") == os.path.expanduser("~/.cache/daskflow")
    assert values.pop("history.path") == os.path.expanduser("~/.cache/daskflow/history.db")
    assert values.pop("files.url") == os.path.join(os.getcwd(), "daskflow-files")
    assert values == {
        "spill-after": 0.02,
        "chunk": 0.05,
        "reference-bytes": 1 << 20,
        "unit-output-bytes": 16 << 20,
        "max-parallelism": 25,
        "no-worker-warning": 10,
        "logs.enabled": True,
        "logs.level": "INFO",
        "logs.node-bytes": 64 << 10,
        "logs.run-bytes": 64 << 20,
        "checkpoint": "auto",
        "cache.enabled": True,
        "cache.memory-bytes": 64 << 20,
        "cache.max-bytes": 10 << 30,
        "cache.max-age": None,
        "history.enabled": True,
        "history.max-runs": 10_000,
        "history.max-age": None,
        "secrets.directory": "/etc/secrets",
    }


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
        ("cache.max-bytes", "1e999 B", "daskflow.cache.max-bytes must be a size"),
        ("history.max-runs", 0, "daskflow.history.max-runs must be an integer from 1 on.*got 0"),
        ("history.max-age", "long", "daskflow.history.max-age must be a time"),
        ("history.path", "s3://bucket/history.db", "must be a file on a disk of this machine; got 's3"),
        ("spil-after", 1, "Dask's configuration has no key daskflow.spil-after; it has spill-after, chunk, reference-bytes"),
    ],
)
def test_what_is_refused(key: str, value: Any, text: str) -> None:
    """A key that is unknown, or has a value that it cannot have, is refused by name."""
    with dask.config.set({f"daskflow.{key}": value}), pytest.raises(OptionError, match=text):
        config.get(key if key in config.KEYS else "chunk")


@pytest.mark.parametrize("section", [3, "no", ["chunk"]])
def test_what_is_no_section(section: Any) -> None:
    """Where a value was given for all keys together, that is said."""
    with dask.config.set({"daskflow": section}), pytest.raises(OptionError, match="daskflow in Dask's configuration must be a mapping"):
        config.get("chunk")


def test_the_history_is_beside_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the cache's folder; of a cache afar in the default one's, of one in memory in a folder that goes with the process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    def path(url: str) -> str:
        with dask.config.set({"daskflow.cache.url": url}):
            settings = config.history_settings()
            assert settings is not None
            return settings.path

    assert path(str(tmp_path / "cache")) == path(f"file://{tmp_path}/cache") == str(tmp_path / "cache" / "history.db")
    assert path("s3://bucket/cache") == str(tmp_path / "home" / "daskflow" / "history.db")
    assert path("memory://cache") == path("memory://other")
    shown = "from daskflow import config; print(config.get('history.path'))"
    environment = {**os.environ, "DASK_DASKFLOW__CACHE__URL": "memory://cache"}
    gone = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True, env=environment).stdout.strip()
    assert gone.endswith("history.db")
    assert not os.path.exists(os.path.dirname(gone))
    with dask.config.set({"daskflow.history.enabled": False}):
        assert config.history_settings() is None


def test_versions_that_differ_are_named() -> None:
    """Each version that differs is named with both values; what is the same is not."""
    assert mismatch(versions()) == ""
    assert mismatch(None) == "daskflow is not installed there"
    assert mismatch({**versions(), "python": "2.7"}) == f"python is 2.7 there and {versions()['python']} here"
