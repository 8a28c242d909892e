"""The command line, as ``python -m daskflow``."""

from __future__ import annotations

from daskflow.cli import daskflow

if __name__ == "__main__":
    daskflow(prog_name="daskflow")
