"""The signatures that type checkers see."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = ["right.py", "wrong.py"]


@pytest.mark.parametrize("file", FILES)
def test_mypy(file: str, tmp_path: Path) -> None:
    """Mypy accepts right calls, and refuses each wrong one as its line says."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", _config(tmp_path), "--cache-dir", str(tmp_path), str(HERE / file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _config(folder: Path) -> str:
    config = folder / "mypy.ini"
    config.write_text(
        f"[mypy]\nmypy_path = {ROOT}\n"
        "[mypy-distributed.*,dask.*,tblib.*,cloudpickle.*,tornado.*]\nignore_missing_imports = True\nfollow_imports = skip\n"
        "[mypy-daskflow.*]\nignore_errors = True\n"
    )
    return str(config)


@pytest.mark.parametrize("file", FILES)
def test_pyright(file: str, tmp_path: Path) -> None:
    """Pyright accepts right calls, and refuses each wrong one as its line says."""
    shutil.copy(HERE / file, tmp_path)
    config = tmp_path / "pyrightconfig.json"
    options = {"include": [file], "extraPaths": [str(ROOT)], "reportUnnecessaryTypeIgnoreComment": "error"}
    config.write_text(json.dumps({**options, "enableTypeIgnoreComments": False}))
    command = [sys.executable, "-m", "pyright", "--project", str(config), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
