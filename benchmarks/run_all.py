"""Run all benchmarks in turn, and write their table and figures.

::

    python benchmarks/run_all.py [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import arrays
import cached
import chain
import in_process
import naps
import nested
import recursion
import startup
import wide_map
from common import Row, arguments, machine, run, table, write

MODULES = (in_process, nested, wide_map, chain, recursion, naps, cached, arrays, startup)


def main() -> None:
    """Run it."""
    given = arguments(__doc__)
    print(machine())
    print(table([]))
    rows: list[Row] = []
    for module in MODULES:
        rows += run(given, module.WORKLOADS)
    if given.json:
        write(given.json, given, rows)


if __name__ == "__main__":
    main()
