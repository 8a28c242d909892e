"""Starting: imports, and a one-task file from the command line, each as a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from common import Way, Workload, main

ONE_TASK = "import daskflow as fl\n\n\n@fl.task\ndef one(a: int) -> int:\n    return a + 1\n"


def python(*arguments: str) -> Way:
    """Return the way that runs Python and waits for its end."""

    def way(_: object) -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return way


def _file() -> str:
    path = Path(tempfile.mkdtemp(prefix="daskflow-benchmark-")) / "one.py"
    path.write_text(ONE_TASK, encoding="utf-8")
    return str(path)


_MAIN = "import sys; from daskflow.cli import main; sys.argv[0] = 'daskflow'; main()"
DISTRIBUTED = {"import distributed": python("-c", "import distributed")}

WORKLOADS = [
    Workload("import daskflow", python("-c", "import daskflow"), DISTRIBUTED),
    Workload("daskflow run --local, one task", python("-c", _MAIN, "run", "--local", _file(), "one", "--a", "1"), DISTRIBUTED),
    Workload("daskflow --help", python("-c", _MAIN, "--help"), DISTRIBUTED),
]

if __name__ == "__main__":
    main(__doc__, WORKLOADS)
