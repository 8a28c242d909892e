"""The same work by other workflow systems: each in an environment of its own, timed in turn with daskflow.

::

    python benchmarks/peers.py [--only NAME ...] [--repeats 3] [--limit 120] [--json FILE] [--venvs DIR]

An environment is made at first use, under ``build/peers``, and kept. The peers' scripts are in ``benchmarks/peers``. Each stays up
for all its workloads, so that nobody's start is timed: a round is daskflow, then the peer; the first round is not counted. What
is slow is timed less often: once a workload has taken a minute in all, its last round has begun. A peer that cannot be installed,
fails, or takes longer than the limit, is skipped with a line that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask
import distributed
from chain import LENGTH, chain
from common import machine, seconds
from distributed import Client, LocalCluster
from nested import CHUNK, nested, step1
from wide_map import tiny_map

import daskflow as fl

HERE = Path(__file__).resolve().parent
NODES = 1000
WORKERS, THREADS = 2, 4
ENOUGH = 60  # seconds for a workload, after which no other round begins
TO_SETTLE = 1  # second: a peer's server may still be writing when its result is there, which is not daskflow's to wait for
TO_INSTALL = 900
TO_START = 180
TO_STOP = 30

CLUSTER = f"cluster of {WORKERS} x {THREADS} threads"
IN_PROCESS = "in process"


class Skipped(Exception):
    """Why a peer, or one workload of it, is not measured."""


@dataclass(frozen=True)
class Peer:
    """A system to compare with.

    Attributes
    ----------
    requirements
        What is installed; the first is named, with its version, in the table.
    runs_on
        What the peer's script runs its tasks on.
    sizes
        The workloads that it does, and of what size.
    in_process
        Whether daskflow runs in process too; else it runs on its cluster.
    """

    requirements: tuple[str, ...]
    runs_on: str
    sizes: dict[str, int]
    in_process: bool = False


FULL = {"nested": 1000, "map": 1000, "chain": LENGTH}
PER_NODE = ("fan", "hits")
DASK = f"distributed=={distributed.__version__}"  # the same for both, so that the difference is not Dask's
PEERS = {
    "prefect": Peer(("prefect>=3,<4", "prefect-dask", DASK), CLUSTER, {"nested": 60, "map": 200, "chain": LENGTH}),
    "redun": Peer(("redun",), "8 threads", {**FULL, "hits": NODES}),
    "parsl": Peer(("parsl",), "8 threads", FULL),
    "ray": Peer(("ray",), "processes for 8 cores", {**FULL, "nested": 200}),
    "flytekit": Peer(("flytekit>=1,<2",), IN_PROCESS, {**FULL, "fan": NODES, "hits": NODES}, in_process=True),
    "flyte": Peer(("flyte>=2,<3",), IN_PROCESS, {**FULL, "fan": NODES}, in_process=True),
}
TITLES = {
    "nested": "nested dynamics, {} items",
    "map": "map of {} tiny tasks",
    "chain": "chain of {} tiny tasks",
    "fan": "a node of a workflow of {} tiny tasks",
    "hits": "a cached result, of {} in a dynamic",
}
HEAD = "| ratio | workload | daskflow | peer | takes | rounds | daskflow runs | peer runs |\n|---:|---|---:|---|---:|---:|---|---|"


@dataclass
class Row:
    """One comparison; a ratio above 1 says how many times longer the peer takes."""

    ratio: float
    peer: str
    workload: str
    daskflow_s: float
    peer_s: float
    rounds: int
    daskflow_on: str
    peer_on: str
    versions: dict[str, str]


def say(text: str) -> None:
    """Say what is not part of the table."""
    print(text, file=sys.stderr, flush=True)


@fl.workflow
def fan(a: int) -> list[int]:
    return [step1(a=a) for _ in range(NODES)]


@fl.task(cache=True, cache_version="1")
def cached(a: int) -> int:
    return a + 1


@fl.dynamic
def hits(n: int) -> list[int]:
    return [cached(a=a) for a in range(n)]


def entity(workload: str, n: int) -> tuple[Any, dict[str, Any]]:
    """Return what daskflow runs, and its inputs."""
    items = list(range(n))
    known: dict[str, tuple[Any, dict[str, Any]]] = {
        "nested": (nested, {"items": items, "chunk": CHUNK}),
        "map": (tiny_map, {"items": items}),
        "chain": (chain, {"a": 0}),
        "fan": (fan, {"a": 0}),
        "hits": (hits, {"n": n}),
    }
    return known[workload]


def by_daskflow(client: Client | None, workload: str, n: int) -> tuple[float, Any]:
    """Return how long daskflow takes, and its result."""
    began = time.perf_counter()
    what, inputs = entity(workload, n)
    result = what(**inputs) if client is None else fl.run(what, **inputs, client=client).result()
    return time.perf_counter() - began, result


def last_line(text: str) -> str:
    """Return the line that says most of what went wrong: pip's errors come before its advice, Python's come last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it says nothing"]
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1])[:300]


def do(command: list[str]) -> None:
    """Run a command that makes an environment."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TO_INSTALL, check=False)
    except subprocess.TimeoutExpired:
        raise Skipped(f"installing it takes more than {TO_INSTALL} s") from None
    if done.returncode:
        raise Skipped(f"its environment cannot be made: {last_line(done.stderr)}")


def environment(peer: Peer, folder: Path) -> Path:
    """Return the Python of a peer's environment, which is made unless its stamp names the same requirements."""
    python, stamp, wanted = folder / "bin" / "python", folder / "requirements.txt", "\n".join(peer.requirements) + "\n"
    if not python.exists() or not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        say(f"making {folder} ...")
        do([sys.executable, "-m", "venv", str(folder)])
        do([str(python), "-m", "pip", "install", "--quiet", "--upgrade", "--disable-pip-version-check", *peer.requirements])
        stamp.write_text(wanted, encoding="utf-8")
    return python


class Session:
    """A peer's script, up and waiting for work."""

    def __init__(self, python: Path, name: str, folder: str) -> None:
        self.log = Path(folder) / "log.txt"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        with self.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [python, HERE / "peers" / f"by_{name}.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env=clean,
                start_new_session=True,  # so that what the peer starts can be ended with it
            )

    def end(self) -> None:
        """End the peer and what it started, if that is still there."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def read(self, limit: float) -> dict[str, Any]:
        """Return the next answer."""
        timer = threading.Timer(limit, self.end)
        timer.start()
        text = self.process.stdout.readline() if self.process.stdout else ""
        late = not timer.is_alive()
        timer.cancel()
        if not text:
            self.process.wait()
            raise Skipped(f"it takes more than {limit:g} s" if late else f"it ended: {last_line(self.log.read_text(errors='replace'))}")
        return dict(json.loads(text))

    def ask(self, workload: str, n: int, limit: float) -> tuple[float, Any]:
        """Return how long the peer takes, and its result."""
        assert self.process.stdin
        try:
            print(json.dumps([workload, n]), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise Skipped(f"it ended: {last_line(self.log.read_text(errors='replace'))}") from None
        answer = self.read(limit)
        if "error" in answer:
            raise Skipped(last_line(answer["error"]))
        return answer["seconds"], answer["result"]

    def close(self) -> None:
        """Let the peer end by itself, and see to it that it does."""
        try:
            self.process.communicate(timeout=TO_STOP)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            pass
        finally:
            self.end()
            self.process.wait()


@contextmanager
def session(python: Path, name: str) -> Iterator[Session]:
    """A peer's script while it is up, in a folder that is removed with all it leaves there."""
    with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
        up = Session(python, name, folder)
        try:
            yield up
        finally:
            up.close()


def rounds(ours: Callable[[], tuple[float, Any]], theirs: Callable[[], tuple[float, Any]], repeats: int) -> list[tuple[float, float]]:
    """Time both in turn; return the times of the rounds that count."""
    times: list[tuple[float, float]] = []
    began = time.monotonic()
    while len(times) <= repeats and (len(times) < 2 or time.monotonic() - began < ENOUGH):
        time.sleep(TO_SETTLE)
        (mine, wanted), (taken, result) = ours(), theirs()
        if result != wanted:
            raise Skipped("it does not give the same result")
        times.append((mine, taken))
    return times[1:]


def compare(up: Session, name: str, workload: str, client: Client | None, given: argparse.Namespace) -> Row:
    """Measure one workload."""
    peer = PEERS[name]
    n = peer.sizes[workload]
    times = rounds(lambda: by_daskflow(client, workload, n), lambda: up.ask(workload, n, given.limit), given.repeats)
    each = n if workload in PER_NODE else 1
    ours, theirs = (statistics.median(column) / each for column in zip(*times, strict=True))
    where = IN_PROCESS if client is None else CLUSTER
    return Row(theirs / ours, name, TITLES[workload].format(n), ours, theirs, len(times), where, peer.runs_on, {})


def line(one: Row) -> str:
    """Return a row as a line of the table, which is in Markdown."""
    ours = [f"{one.ratio:.0f}" if one.ratio >= 100 else f"{one.ratio:.3g}", one.workload, seconds(one.daskflow_s)]
    theirs = [f"{one.peer} {one.versions[one.peer]}", seconds(one.peer_s), str(one.rounds)]
    return f"| {' | '.join([*ours, *theirs, one.daskflow_on, one.peer_on])} |"


def measure(name: str, client: Client | None, given: argparse.Namespace) -> Iterator[Row]:
    """Measure all workloads of a peer; say of each that is skipped why, and go on if the peer is still there."""
    python = environment(PEERS[name], given.venvs.resolve() / name)
    with session(python, name) as up:
        versions = up.read(TO_START)
        for workload in PEERS[name].sizes:
            try:
                row = compare(up, name, workload, client, given)
            except Skipped as why:
                say(f"skipped: {name}, {workload}: {why}")
                if up.process.poll() is not None:
                    raise Skipped("so the rest is not measured") from why
            else:
                row.versions = versions
                yield row


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=PEERS, default=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--repeats", type=int, default=3, help="rounds that count")
    parser.add_argument("--limit", type=float, default=120, help="seconds that a workload may take, once")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--venvs", metavar="DIR", type=Path, default=HERE.parent / "build" / "peers", help="the peers' environments")
    return parser.parse_args()


@contextmanager
def cluster() -> Iterator[Client]:
    """The cluster that daskflow runs on."""
    with LocalCluster(n_workers=WORKERS, threads_per_worker=THREADS, dashboard_address=":0") as here, Client(here) as client:
        yield client


def run(given: argparse.Namespace) -> list[Row]:
    """Measure one peer after another; print each row as it comes."""
    rows: list[Row] = []
    for name in given.only:
        try:
            with nullcontext() if PEERS[name].in_process else cluster() as client:
                for row in measure(name, client, given):
                    print(line(row), flush=True)
                    rows.append(row)
        except Skipped as why:
            say(f"skipped: {name}: {why}")
    return rows


def main() -> None:
    """Run it."""
    given = arguments()
    say(str(machine()))
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="cache-") as folder, dask.config.set({"daskflow.cache.url": folder}):
        rows = run(given)
    if given.json:
        figures = {**machine(), "rows": [asdict(row) for row in rows]}
        Path(given.json).write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
