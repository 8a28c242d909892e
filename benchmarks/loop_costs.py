"""What a unit costs the scheduler's event loop and a worker, on a small real cluster: ``simulation.py`` has its defaults from here.

::

    python benchmarks/loop_costs.py [--repeats 3] [--workers 2] [--threads 1]

Each item of a map is made a unit, so the run is one message that names many units, and one unit that reads many results. The parts are
timed on the loop's thread; what is left of the thread's time is that of messages. How Dask chooses a worker for a task with many
inputs is timed on states made by hand, since no small cluster has so many workers.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import dask
from common import arguments, machine, seconds
from distributed import Client, LocalCluster
from distributed.core import Status
from distributed.scheduler import SchedulerState, TaskState, WorkerState, decide_worker
from nested import step1
from wide_map import tiny_map

import daskflow as fl
from daskflow import shipping, wire
from daskflow.dask_tasks import DaskTasks
from daskflow.frames import Away, MapFrame
from daskflow.ledger import Ledger
from daskflow.policy import Policy
from daskflow.scope import Scope
from daskflow.spilling import take
from daskflow.stacks import arrive

FEW, MANY = 500, 3500

#: What is timed, by the name of the part that it belongs to; inner parts are taken out of outer ones.
PARTS: dict[str, tuple[tuple[type, str], ...]] = {
    "ledger": tuple((Ledger, name) for name in ("take", "submit", "spill", "tail", "done", "forgotten")),
    "create": ((DaskTasks, "create"),),
    "start": ((DaskTasks, "start"),),
    "free": ((DaskTasks, "free"),),
}
#: The same for what the scheduler does with messages from workers.
HANDLERS = {"task-finished": "finish"}


class Parts:
    """Times of parts, each without the parts inside it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts for a part."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                self.seconds[part] += took - self._inner.pop()  # type: ignore[assignment]
                self._inner[-1] += took

        return wrapper

    @contextmanager
    def watching(self, handlers: dict[str, Any]) -> Iterator[None]:
        """Time the parts meanwhile."""
        with ExitStack() as stack:
            stack.enter_context(patch.dict(handlers, {name: self.timed(HANDLERS[name], handlers[name]) for name in HANDLERS}))
            for part, methods in PARTS.items():
                for owner, name in methods:
                    stack.enter_context(patch.object(owner, name, self.timed(part, getattr(owner, name))))
            yield


def one_run(cluster: LocalCluster, client: Client, n: int) -> dict[str, float]:
    """Run a map with a unit for each item; return the seconds of each part."""
    parts = Parts()
    before, work = client.run_on_scheduler(time.thread_time), sum(client.run(time.process_time).values())
    with parts.watching(cluster.scheduler.stream_handlers):
        fl.run(tiny_map, items=list(range(n)), client=client, max_parallelism=0).result()
        time.sleep(0.2)
    whole = client.run_on_scheduler(time.thread_time) - before
    worked = sum(client.run(time.process_time).values()) - work
    return {**parts.seconds, "messages": whole - sum(parts.seconds.values()), "loop": whole, "workers": worked}


def by_unit(cluster: LocalCluster, client: Client, repeats: int) -> dict[str, float]:
    """Return what one more unit costs in each part, in seconds."""
    fl.run(tiny_map, items=list(range(FEW)), client=client).result()
    few, many = ([one_run(cluster, client, n) for _ in range(repeats)] for n in (FEW, MANY))
    medians = [{name: statistics.median(one[name] for one in runs) for name in runs[0]} for runs in (few, many)]
    return {name: (medians[1][name] - medians[0][name]) / (MANY - FEW) for name in medians[0]}


async def _tell(rounds: int, dask_scheduler: Any) -> float:
    began = time.thread_time()
    for _ in range(rounds):
        for worker in dask_scheduler.workers:
            dask_scheduler.worker_send(worker, {"op": "free-keys", "keys": [], "stimulus_id": "told"})
        await asyncio.sleep(0.02)
    return time.thread_time() - began


def telling(workers: int, rounds: int = 100) -> float:
    """Return what it takes of the loop to send a small message to one worker more, each time that all are told."""
    took = []
    for number in (1, workers):
        with LocalCluster(n_workers=number, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
            took.append(client.run_on_scheduler(_tell, rounds))
    return (took[1] - took[0]) / rounds / (workers - 1)


def cutting(items: int, pieces: int) -> tuple[float, int]:
    """Return the seconds that it takes to cut a map into units and write those down, and the bytes of one."""
    entity = fl.map_task(step1)
    names = shipping.Shipment.of(entity).names
    frame = MapFrame(entity, None, 0, items, {"a": list(range(items))}, {})
    frame.scope = Scope.of_run("run", 0)
    frame.started, frame.done = 0.0, 1
    began = time.thread_time()
    units = take("owner", [frame], Policy(chunk=items / pieces * 0.01, most=pieces, spread=pieces), 0.01, keep=False)
    written = [wire.spec(unit, names) for unit in units]
    return time.thread_time() - began, len(written[-1][1])


def _worker(number: int) -> WorkerState:
    address = f"tcp://worker:{number}"
    worker = WorkerState(
        address=address,
        status=Status.running,
        pid=0,
        name=number,
        nthreads=16,
        memory_limit=0,
        local_directory="",
        nanny="",
        server_id=address,
    )
    worker._occupancy_cache = 0.1
    return worker


def choosing(inputs: int, workers: int) -> float:
    """Return the seconds that Dask takes to choose a worker for a task with so many inputs."""
    states = [_worker(n) for n in range(workers)]
    group: Any = SimpleNamespace(add=lambda _: None)
    task = TaskState("task", None, "waiting", group, False)
    for n in range(inputs):
        source = TaskState(f"source-{n}", None, "memory", group, False)
        source.nbytes, source.who_has = 100, {states[n % workers]}
        states[n % workers]._has_what[source] = None
        task.dependencies.add(source)
    state = SimpleNamespace(bandwidth=1e8)
    state.get_comm_cost = functools.partial(SchedulerState.get_comm_cost, state)
    began = time.thread_time()
    decide_worker(task, set(states), None, functools.partial(SchedulerState.worker_objective, state, task))
    return time.thread_time() - began


def joining(items: int, pieces: int) -> float:
    """Return the seconds that it takes to put the results of units into a map."""
    frame = MapFrame(fl.map_task(step1), None, 0, items, {}, {})
    size = items // pieces
    frame.away = [Away(n * size, (n + 1) * size, f"unit-{n}", 0) for n in range(pieces)]
    results = {f"unit-{n}": tuple(range(size)) for n in range(pieces)}
    began = time.thread_time()
    arrive([frame], results)
    return time.thread_time() - began


def main() -> None:
    """Measure, and print a table."""
    given = arguments(__doc__)
    print(machine())
    with (
        dask.config.set({"daskflow.spill-after": 0}),
        LocalCluster(n_workers=given.workers, threads_per_worker=given.threads, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        costs = by_unit(cluster, client, given.repeats)
    print("\n| a unit, on the scheduler's loop and in workers | costs |\n|---|---:|")
    for name, cost in costs.items():
        print(f"| {name} | {seconds(cost)} |")
    print(f"\nTo tell one worker more: {seconds(telling(6))}")
    print("\n| cutting a map: items | pieces | takes | bytes of a unit |\n|---:|---:|---:|---:|")
    for items, pieces in ((10_000, 1000), (100_000, 1000), (1_000_000, 1000), (100_000, 10_000)):
        took, size = cutting(items, pieces)
        print(f"| {items} | {pieces} | {seconds(took)} | {size} |")
    print("\n| putting results into a map: items | pieces | takes |\n|---:|---:|---:|")
    for items, pieces in ((100_000, 1000), (1_000_000, 1000)):
        print(f"| {items} | {pieces} | {seconds(joining(items, pieces))} |")
    print("\n| Dask chooses a worker: inputs | workers | takes |\n|---:|---:|---:|")
    for inputs, workers in ((1000, 8), (1000, 100), (10_000, 100), (10_000, 625), (40_000, 625)):
        print(f"| {inputs} | {workers} | {seconds(choosing(inputs, workers))} |")


if __name__ == "__main__":
    main()
