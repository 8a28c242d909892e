"""The documentation: its code runs, and what it says of options is complete."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client, LocalCluster

import daskflow as fl
from daskflow import config
from daskflow.taskoptions import TaskOptions
from tests.acceptance.processes import wait_until

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    """Return a page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_readme_prints_what_it_says(tmp_path: Path) -> None:
    """The code of the first page, run as a script, prints the block that follows it."""
    (tmp_path / "squares.py").write_text(blocks("README.md", "python")[0], encoding="utf-8")
    done = subprocess.run([sys.executable, "squares.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"prints\n\n```\n{done.stdout}```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_guide_runs() -> None:
    """The guide's entities are what it says that they are."""
    names: dict[str, Any] = {"__name__": "guide"}
    for block in blocks("docs/guide.md", "python"):
        # What comes after it needs a cluster.
        if block.startswith("run ="):
            break
        exec(block, names)
    assert names["areas"](widths=[1.0, 2.0]) == 6.0
    assert names["areas"].to_delayed(widths=[1.0, 2.0]).compute(scheduler="synchronous") == 6.0
    assert names["pyramid"](n=3) == 6.0
    assert names["areas_of_three"]() == 12.0


def test_the_page_of_types_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks pass a file on."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "types"}
    exec(blocks("docs/types.md", "python")[0], names)
    assert names["lines_written"](number=3) == 1


def test_the_page_of_workflows_runs() -> None:
    """Its entities are what it says that they are."""
    names: dict[str, Any] = {"__name__": "workflows"}
    for block in blocks("docs/workflows.md", "python"):
        exec(block, names)
    assert names["shrink"](a=20) == 10
    assert names["shrink"](a=2) == 6
    assert names["in_order"]() == 3
    assert names["flow"](number=20) == 5
    assert names["inverted"](l=[0, 2]) == [None, 0.5]
    assert asyncio.run(names["all_halvings"](l=[1, 8])) == [0, 3]


def test_the_page_of_tasks_runs() -> None:
    """Its entities are what it says that they are, and its table has every option of tasks."""
    names: dict[str, Any] = {"__name__": "tasks"}
    for block in blocks("docs/tasks.md", "python"):
        exec(block, names)
    assert names["two"](seed=4) == [2.0, 0.5]
    assert names["count"](to=3) == 3
    assert names["words"](text="it's three words") == 3
    text = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+).* \|$", text, re.MULTILINE)
    assert set(TaskOptions.NAMES) <= {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_the_page_of_gates_runs() -> None:
    """Its runs are answered as it says, in process and on a cluster."""
    names: dict[str, Any] = {"__name__": "gates"}
    for block in blocks("docs/gates.md", "python"):
        exec(block, names)
    assert (names["published"], names["again"], names["later"](value=1.0)) == ("published 3.0", "published 5.0", "published 1.0")
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster, set_as_default=False) as client:
        run = fl.run(names["release"], days=2, client=client)
        for kind in ("input", "approval"):
            wait_until(lambda kind=kind: [gate.kind for gate in run.gates] == [kind], f"the gate's turn: {kind}")
            names["decide"](run)
        assert run.result(timeout=60) == "published 5.0"


def test_the_page_of_runs_runs(capfd: pytest.CaptureFixture[str]) -> None:
    """What it does with a run from Python can be done with one that has such nodes."""

    @fl.task
    def leaf(n: int) -> int:
        # Of what is short no more is told than how many nodes it had.
        time.sleep(0.02)
        print("leaf", n)
        return n

    @fl.dynamic
    def level2(n: int) -> int:
        return leaf(n=n)

    @fl.dynamic
    def level1(n: int) -> int:
        level2(n=n)
        return level2(n=n + 1)

    @fl.workflow
    def flow(n: int) -> int:
        return level1(n=n)

    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster, Client(cluster) as client:
        with dask.config.set({"daskflow.history.path": f"{config.get('cache.url')}/own.db"}):
            assert fl.run(flow, n=1, client=client).result(timeout=60) == 2
            names: dict[str, Any] = {}
            (block,) = blocks("docs/runs.md", "python")
            exec(block, names)
            assert names["again"].result(timeout=60) == 4
    said = capfd.readouterr().out
    assert "SUCCEEDED {'n': '1'}" in said
    assert re.search(r"stdout leaf [12]\n", said)


def test_every_key_of_the_configuration_is_documented() -> None:
    """The tables have each key, with its default, and no other."""
    pages = ("guide.md", "caching.md", "types.md", "history.md", "tasks.md", "runs.md")
    text = "\n".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in pages)
    rows = re.findall(r"^\| `daskflow\.([a-z.-]+)` \| `?([^|`]+)`? \|", text, re.MULTILINE)
    words = {
        True: "true",
        None: "null",
        config.default_cache: "~/.cache/daskflow",
        config.default_history: "~/.cache/daskflow/history.db",
        config.default_files: "./daskflow-files",
    }
    assert {name: default.strip() for name, default in rows} == {
        name: words.get(default, str(default)) for name, (default, _) in config.KEYS.items()
    }


def test_links_lead_somewhere() -> None:
    """Each relative link of a page names a file or folder that is there."""
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_feature_names_tests_that_there_are() -> None:
    """Each row of the table of features names a test, and each test named is there."""
    text = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    rows = [row for row in re.findall(r"^\| (.*) \|$", text, re.MULTILINE) if not row.startswith("feature |")]
    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"`(\w+/test_\w+\.py)(?:::(test_\w+))?`", row.rpartition("|")[2])
        assert named, f"no test proves: {row}"
        for file, test in named:
            path = ROOT / "tests" / file
            # What runs workflows with await is tested by a file that comes with it.
            if file == "features/test_eager.py" and not path.exists():
                continue
            source = path.read_text(encoding="utf-8")
            assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"there is no {file}::{test}"
