"""daskflow beside raw Dask: the same work, on the same cluster, in turn, in one process.

Prints, for each workload, the median time of daskflow and of each way of writing it with Dask alone, and their ratio
(above 1: daskflow is so many times faster). Run it with::

    python benchmarks/against_dask.py [--repeats 3] [--workers 2] [--threads 4] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import dask
import distributed
from distributed import Client, LocalCluster, worker_client

import daskflow as fl

ITEMS, CHUNK = 1000, 32
TINY = 10_000
LONG, NAP = 64, 0.1

# ---------------------------------------------------------------- the nested example


def _step1(a: int) -> int:
    return a + 1


def _step2(a: int) -> int:
    return a + 2


def _flatten(parts: list[list[int]]) -> list[int]:
    return [item for part in parts for item in part]


@fl.task
def step1(a: int) -> int:
    return _step1(a)


@fl.task
def step2(a: int) -> int:
    return _step2(a)


@fl.task
def flatten(parts: list[list[int]]) -> list[int]:
    return _flatten(parts)


@fl.workflow
def core(a: int) -> int:
    return step2(a=step1(a=a))


core_lp = fl.LaunchPlan.get_or_create(core)


@fl.dynamic
def level2(items: list[int]) -> list[int]:
    return [core_lp(a=a) for a in items]


@fl.dynamic
def level1(items: list[int], chunk: int) -> list[int]:
    return flatten(parts=[level2(items=items[i : i + chunk]) for i in range(0, len(items), chunk)])


@fl.workflow
def nested(items: list[int], chunk: int) -> list[int]:
    return level1(items=items, chunk=chunk)


def nested_daskflow(client: Client) -> Any:
    """Return the result of the nested example by daskflow."""
    return fl.run(nested, items=list(range(ITEMS)), chunk=CHUNK, client=client).result()


def nested_static(client: Client) -> Any:
    """Return it by a static graph: one task for each node."""
    one, two, join = dask.delayed(_step1), dask.delayed(_step2), dask.delayed(_flatten)
    parts = [join([[two(one(a))] for a in range(i, min(i + CHUNK, ITEMS))]) for i in range(0, ITEMS, CHUNK)]
    return client.compute(join(parts)).result()


def _level2_client(items: list[int]) -> list[int]:
    with worker_client() as client:
        firsts = client.map(_step1, items, pure=False)
        return list(client.gather(client.map(_step2, firsts, pure=False)))


def _level1_client(items: list[int], chunk: int) -> list[int]:
    with worker_client() as client:
        parts = client.map(_level2_client, [items[i : i + chunk] for i in range(0, len(items), chunk)], pure=False)
        return _flatten(client.gather(parts))


def nested_worker_client(client: Client) -> Any:
    """Return it by tasks that submit tasks and wait for them."""
    return client.submit(_level1_client, list(range(ITEMS)), CHUNK, pure=False).result()


# ---------------------------------------------------------------- a wide map of tiny tasks


@fl.workflow
def tiny_map(items: list[int]) -> list[int]:
    return fl.map_task(step1)(a=items)


def map_daskflow(client: Client) -> Any:
    """Return the result of mapping a task that does nothing over many items."""
    return fl.run(tiny_map, items=list(range(TINY)), client=client).result()


def map_client(client: Client) -> Any:
    """Return it by ``Client.map``."""
    return client.gather(client.map(_step1, range(TINY), pure=False))


# ---------------------------------------------------------------- long tasks


def _nap(a: int) -> int:
    time.sleep(NAP)
    return a


@fl.task
def nap(a: int) -> int:
    return _nap(a)


@fl.workflow
def nap_map(items: list[int]) -> list[int]:
    return fl.map_task(nap)(a=items)


def long_daskflow(client: Client) -> Any:
    """Return the result of mapping a task that takes a tenth of a second."""
    return fl.run(nap_map, items=list(range(LONG)), client=client, max_parallelism=0).result()


def long_client(client: Client) -> Any:
    """Return it by ``Client.map``."""
    return client.gather(client.map(_nap, range(LONG), pure=False))


Way = Callable[[Client], Any]

WORKLOADS: dict[str, tuple[Way, dict[str, Way]]] = {
    f"nested dynamics, {ITEMS} items in chunks of {CHUNK}": (
        nested_daskflow,
        {"static dask.delayed graph": nested_static, "tasks with worker_client": nested_worker_client},
    ),
    f"map of {TINY} tiny tasks": (map_daskflow, {"Client.map": map_client}),
    f"map of {LONG} tasks of {NAP * 1000:.0f} ms": (long_daskflow, {"Client.map": long_client}),
}


def measure(client: Client, ours: Way, others: dict[str, Way], repeats: int) -> dict[str, list[float]]:
    """Time each way in turn, in seconds, after one round that is not counted; all must give the same."""
    times: dict[str, list[float]] = {name: [] for name in ("daskflow", *others)}
    for counted in range(repeats + 1):
        results = []
        for name, way in {"daskflow": ours, **others}.items():
            began = time.perf_counter()
            results.append(way(client))
            if counted:
                times[name].append(time.perf_counter() - began)
        if any(one != results[0] for one in results):
            raise AssertionError("the ways do not give the same result")
    return times


def report(workload: str, times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Print the medians and ratios of a workload, and return them."""
    own = statistics.median(times.pop("daskflow"))
    rows = []
    for name, taken in times.items():
        other = statistics.median(taken)
        rows.append({"workload": workload, "against": name, "daskflow_s": own, "other_s": other, "ratio": other / own})
        print(f"| {workload} | {own:.3f} s | {name} | {other:.3f} s | {other / own:.2f} |", flush=True)
    return rows


def main() -> None:
    """Run all workloads."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--json", help="a file to write the figures to")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with (
        LocalCluster(n_workers=given.workers, threads_per_worker=given.threads, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        print(f"Python {platform.python_version()}, dask {dask.__version__}, distributed {distributed.__version__}, ", end="")
        print(f"daskflow {fl.__version__}; {given.workers} workers x {given.threads} threads, {platform.machine()}\n")
        print("| workload | daskflow | against | takes | ratio |\n|---|---|---|---|---|")
        for workload, (ours, others) in WORKLOADS.items():
            rows += report(workload, measure(client, ours, others, given.repeats))
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump({"argv": sys.argv[1:], "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
