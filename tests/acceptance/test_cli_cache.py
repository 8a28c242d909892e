"""``daskflow cache``: what processes of their own have cached."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.test_cli import command, here

FLOW = """
import daskflow as fl

@fl.task(cache=True, cache_version="1")
def double(a: int) -> int:
    print("executed")
    return 2 * a

@fl.task(cache=True)
def triple(a: int) -> int:
    return 3 * a
"""


def cache(*arguments: str) -> str:
    """Return what a command prints; it must succeed."""
    done = here("cache", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_what_is_cached_can_be_seen_and_removed(tmp_path: Path) -> None:
    """Entries are listed by entity, shown with their value, checked, and removed one by one or all."""
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)
    for entity, a in (("double", "1"), ("double", "2"), ("triple", "1")):
        assert command("run", str(flow), entity, "--a", a, "--local").returncode == 0
    assert "3 entries" in cache("info")
    assert json.loads(cache("info", "--json"))["entries"] == 3
    rows = json.loads(cache("ls", "--json"))
    assert sorted(one["entity"] for one in rows) == ["flow.double", "flow.double", "flow.triple"]
    (triple,) = [one for one in rows if one["entity"] == "flow.triple"]
    assert len(cache("ls", "flow.double").splitlines()) == 2
    assert cache("show", triple["key"][:8]).splitlines()[-1] == "3"
    assert json.loads(cache("show", triple["key"], "--json"))["value"] == "3"
    assert cache("verify") == "3 entries, 0 damaged\n"
    assert cache("rm", "flow.triple") == "1 entries removed\n"
    assert cache("clear", "--yes") == "2 entries removed\n"
    assert command("cache", "rm", "nothing").returncode == 1
    assert here("cache", "show", "0000").exit_code == 2


def test_a_run_with_and_without_the_cache(tmp_path: Path) -> None:
    """A run says whether results are looked up, made anew, or neither looked up nor stored."""
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)
    printed = [
        command("run", str(flow), "double", "--a", "1", "--local", *words).stdout
        for words in (["--no-cache"], [], [], ["--overwrite-cache"], ["--no-cache"], [])
    ]
    assert printed == ["executed\n2\n", "executed\n2\n", "2\n", "executed\n2\n", "executed\n2\n", "2\n"]


def test_a_damaged_entry_is_named(tmp_path: Path) -> None:
    """An entry that was changed behind the cache's back is named, and the command's status says so."""
    flow = tmp_path / "flow.py"
    flow.write_text(FLOW)
    command("run", str(flow), "double", "--a", "1", "--local")
    where = Path(json.loads(cache("info", "--json"))["url"])
    (entry,) = where.rglob("*.entry")
    data = bytearray(entry.read_bytes())
    data[-3] ^= 1
    entry.write_bytes(data)
    done = here("cache", "verify")
    assert done.exit_code == 1
    assert done.stdout.endswith("1 entries, 1 damaged\n")
    assert command("run", str(flow), "double", "--a", "1", "--local").stdout == "executed\n2\n"
    assert cache("verify") == "1 entries, 0 damaged\n"
