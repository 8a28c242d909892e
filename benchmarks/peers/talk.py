"""What the peers' scripts share: each runs in its peer's own environment, and does the workloads that ``peers.py`` asks for.

A request is a line on standard input, ``["nested", 200]``, and each answer a line of JSON on standard output. All else
that a peer prints goes to standard error. Nothing but the standard library is imported here, since nothing else is there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, TextIO

CHUNK = 32
THREADS = 8

Way = Callable[[int], Any]


def plus1(a: int) -> int:
    return a + 1


def plus2(a: int) -> int:
    return a + 2


def flat(parts: list[list[int]]) -> list[int]:
    return [item for part in parts for item in part]


def chunks(items: list[int]) -> list[list[int]]:
    return [items[i : i + CHUNK] for i in range(0, len(items), CHUNK)]


def private_output() -> TextIO:
    """Return standard output as a file of our own, and let what the peer prints go to standard error instead."""
    sys.stdout.flush()
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


def answer(way: Way, n: int) -> dict[str, Any]:
    """Do one piece of work; return how long it took and what it gave, or how it failed."""
    began = time.perf_counter()
    try:
        result = way(n)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"seconds": time.perf_counter() - began, "result": result}


def serve(packages: list[str], ways: dict[str, Way], before: Callable[[], None] = lambda: None) -> None:
    """Say which versions are there, then do what is asked; `before` is called before each piece of work, and not timed."""
    out = private_output()
    print(json.dumps({name: version(name) for name in packages}), file=out, flush=True)
    for line in sys.stdin:
        name, n = json.loads(line)
        before()
        print(json.dumps(answer(ways[name], n)), file=out, flush=True)
