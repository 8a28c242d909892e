"""Scaling on paper: programs of up to a hundred million nodes on up to 10 000 threads, simulated around the real ledger and policy.

::

    python benchmarks/simulation.py [--quick] [--json FILE]

Every simulated run asserts that each node was executed once, that no limit was exceeded, and that the ledger is empty at its end.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from simulated import RUN, Costs, Figures, Program, Setup, Simulation

from daskflow.admission import Pool
from daskflow.ledger import Ledger
from daskflow.records import Create, Free, Spec, Value

Row = dict[str, Any]

#: Without what long lists of inputs and results cost: what is left is units.
LISTS_FREE = Costs(cut_node=0.0, join_node=0.0)


@dataclass
class Report:
    """Tables, printed as they come."""

    quick: bool
    tables: dict[str, list[Row]]

    def add(self, title: str, rows: Iterable[Row]) -> None:
        """Print a table, row by row."""
        kept = self.tables[title] = []
        print(f"\n### {title}\n")
        for row in rows:
            if not kept:
                print(f"| {' | '.join(row)} |\n|{'---:|' * len(row)}")
            print(f"| {' | '.join(map(shown, row.values()))} |", flush=True)
            kept.append(row)


def shown(value: Any) -> str:
    """Return a figure as text."""
    if not isinstance(value, float):
        return f"{value:,}".replace(",", " ") if isinstance(value, int) else str(value)
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}".replace(",", " ")


# ---------------------------------------------------------------- simulated programs


def simulate(name: str, program: Program, setup: Setup) -> Row:
    """Run a program; return the row that tells of it."""
    gc.collect()
    began = time.perf_counter()
    made = Simulation(program, setup).run()
    return {"what": name, **told(program, setup, made), "ledger, real us/unit": made.ledger_cpu / made.units * 1e6} | {
        "simulated in s": time.perf_counter() - began
    }


def told(program: Program, setup: Setup, made: Figures) -> Row:
    """Return what is told of a run."""
    slots = min(setup.threads, program.limit or setup.threads)
    return {
        "ideal s": program.nodes * program.seconds / slots,
        "takes s": made.makespan,
        "threads busy": made.utilisation * setup.threads / slots,
        "loop busy": made.load,
        "units": made.units,
        "units/s": made.units / made.makespan,
        "messages/s": made.messages / made.makespan,
        "filled at s": "never" if math.isnan(made.filled_at) else made.filled_at,
        "tail s": made.drained_for,
        "longest turn s": made.longest_turn,
        "most unread": made.most_inbox,
        "most queued": made.most_queued,
        "most units": made.most_units,
        "broadcasts": made.broadcasts,
    }


def checks(quick: bool) -> Iterator[Row]:
    """Simulate what ``docs/benchmarks.md`` has measured on two workers of four threads."""
    setup = Setup(8, per_worker=4)
    for nodes, seconds, measured in ((64, 0.1, 0.851), (16, 1.0, 2.04)):
        made = Simulation(Program((nodes,), seconds), setup).run()
        yield {"what": f"{nodes} naps of {seconds} s", "measured s": measured, "simulated s": made.makespan}


def programs(quick: bool) -> Iterator[Row]:
    """Simulate the flat, the nested and the limited program."""
    part = 10 if quick else 1
    setup = Setup(10_000 // part)
    for seconds, nodes in ((0.001, 100_000_000), (0.01, 10_000_000), (0.1, 1_000_000)):
        program = Program((nodes // part,), seconds, scatter=0.3)
        yield simulate(f"flat, {program.nodes:.0e} of {seconds} s", program, setup)
        if seconds == 0.001:
            yield simulate("the same, lists free", program, replace(setup, costs=LISTS_FREE))
    for fans, seconds in (((1000 // part, 1000 // part, 100), 0.001), ((100, 100, 100), 0.01)):
        yield simulate(f"nested, {' x '.join(map(str, fans))} of {seconds} s", Program(fans, seconds, 0.3), setup)
    limit, runs = 5000 // part, 10_000 // part
    for each, seconds in ((100, 0.01), (100, 0.1)):
        program = Program((runs, each), seconds, 0.3, limit=limit, child_limit=25)
        yield simulate(f"{runs} child runs of {each} x {seconds} s, 25 each, {limit} in all", program, setup)


def sweep(quick: bool) -> Iterator[Row]:
    """Simulate flat maps that would take ten seconds, over the time of a node and the number of threads."""
    nodes = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    sizes = (
        {8: nodes[::2], 1000: nodes[3:]} if quick else {8: nodes, 64: nodes, 256: nodes, 1000: nodes, 3000: nodes[::2], 10_000: nodes[-1:]}
    )
    for threads, durations in sizes.items():
        for seconds in durations:
            program = Program((round(10 * threads / seconds),), seconds, scatter=0.3)
            setup = Setup(threads, costs=LISTS_FREE)
            row = told(program, setup, Simulation(program, setup).run())
            kept = ("takes s", "threads busy", "loop busy", "units", "units/s", "messages/s", "filled at s", "tail s", "most queued")
            yield {"threads": threads, "node s": f"{seconds:g}", **{name: row[name] for name in kept}}


def short(quick: bool) -> Iterator[Row]:
    """Simulate flat maps of 1 ms nodes that are over soon, with constants that grow with the threads and with those of few threads."""
    for threads in (64, 256) if quick else (64, 256, 1000):
        for seconds in (0.1, 0.5, 2.0):
            program, setup = Program((round(threads * seconds * 1000),), 0.001, scatter=0.3), Setup(threads, costs=LISTS_FREE)
            fixed = replace(setup, chunk=0.05, budget=0.02)
            grown, few = (told(program, one, Simulation(program, one).run()) for one in (setup, fixed))
            yield {"threads": threads, "ideal s": seconds, "takes s": grown["takes s"], "units": grown["units"]} | {
                "with 50 and 20 ms takes s": few["takes s"], "with 50 and 20 ms units": few["units"],
            }  # fmt: skip


def variants(threads: int) -> dict[str, dict[str, Any]]:
    """Return constants to try, beside those that daskflow has on so many threads."""
    chunk = Setup(threads).policy.chunk
    return {
        "as it is": {},
        "chunk 0.05 s, budget 0.02 s": {"chunk": 0.05, "budget": 0.02},
        "budget 0.02 s": {"budget": 0.02},
        f"chunk {chunk / 2:g} s": {"chunk": chunk / 2},
        f"chunk {2 * chunk:g} s": {"chunk": 2 * chunk},
        "most = threads": {"most": threads},
        "most 64": {"most": 64},
        "spread 64": {"spread": 64},
        "1 unit let in for a thread": {"per_thread": 1.0},
        "1.25 units let in": {"per_thread": 1.25},
        "2 units let in": {"per_thread": 2.0},
        "asked": {"asked": True},
    }


def constants(quick: bool) -> Iterator[Row]:
    """Simulate programs with other constants, some parts slower than others."""
    flat = Program((10_000_000,), 0.001, scatter=0.3, uneven=0.15)
    nested = Program((100, 100, 100), 0.01, scatter=0.3, uneven=0.15)
    wide = replace(flat, fans=(300_000_000,))
    # With a chunk of 50 ms the last is a million units.
    cases = [(1000, flat, []), (1000, nested, []), (10_000, wide, ["chunk 0.05 s, budget 0.02 s"])]
    for threads, program, left_out in cases[:1] if quick else cases:
        base = Setup(threads, costs=LISTS_FREE)
        for name in [one for one in variants(threads) if one not in left_out]:
            row = told(program, base, Simulation(program, replace(base, **variants(threads)[name])).run())
            kept = ("ideal s", "takes s", "threads busy", "loop busy", "units", "filled at s", "tail s", "longest turn s")
            what = f"{'nested' if len(program.fans) > 1 else 'flat'}, {program.seconds:g} s"
            yield {"threads": threads, "program": what, "constants": name} | {key: row[key] for key in kept}


# ---------------------------------------------------------------- the ledger alone, for real


def drive(ledger: Ledger) -> list[str]:
    """Carry out instructions without Dask; return what was made."""
    made = []
    while instructions := ledger.take():
        made += [one.key for one in instructions if isinstance(one, Create)]
        for one in instructions:
            if isinstance(one, Free):
                ledger.forgotten(one.key)
    return made


def spec(key: str, deps: tuple[str, ...] = (), pool: Pool | None = None, depth: int = 1) -> Spec:
    """Return a unit."""
    return Spec(key, b"", deps, pool, depth)


def begun(capacity: int | None = None) -> Ledger:
    """Return a ledger with a run whose first unit is running."""
    ledger = Ledger()
    ledger.admission.capacity = capacity
    ledger.submit(RUN, spec("root", depth=0), "client")
    drive(ledger)
    return ledger


def ended(ledger: Ledger, keys: Iterable[str]) -> None:
    """Let units end one by one, and those that start then."""
    left = list(keys)
    for key in left:
        ledger.done(key)
        left += drive(ledger)


def wide(n: int) -> Ledger:
    """One unit hands over many, and ends with one that reads all; as many as threads at a time."""
    ledger = begun(max(2, n // 4))
    keys = tuple(f"unit-{number}" for number in range(n))
    ledger.spill("root", map(spec, keys))
    ledger.tail("root", [spec("last", keys)], "last")
    ledger.done("root")
    ended(ledger, drive(ledger))
    return ledger


def pools(n: int) -> Ledger:
    """Many units, ten to a limit of 2, under one limit of a quarter of them."""
    ledger = begun()
    top = Pool(RUN, max(2, n // 4))
    ledger.spill("root", [spec(f"unit-{number}", (), Pool(f"child-{number // 10}", 2, top)) for number in range(n)])
    ended(ledger, [*drive(ledger), "root"])
    return ledger


def tails(n: int) -> Ledger:
    """A loop: each unit hands over one and ends with the next, which waits for that one."""
    ledger = begun()
    current = "root"
    for number in range(n):
        piece, rest = f"piece-{number}", f"rest-{number}"
        ledger.tail(current, [spec(piece), spec(rest, (piece,))], rest)
        ledger.done(current)
        drive(ledger)
        ledger.done(piece)
        drive(ledger)
        current = rest
    ledger.done(current)
    drive(ledger)
    return ledger


def waiting(n: int) -> Ledger:
    """Many units wait for one, which ends with the next a hundred times."""
    ledger = begun()
    ledger.spill("root", [spec("wanted"), *(spec(f"unit-{number}", ("wanted",)) for number in range(n))])
    drive(ledger)
    current = "wanted"
    for number in range(100):
        ledger.tail(current, [spec(f"next-{number}")], f"next-{number}")
        ledger.done(current)
        drive(ledger)
        current = f"next-{number}"
    ended(ledger, [current, "root"])
    return ledger


def again(n: int) -> Ledger:
    """A unit hands over the same units twice, as after a death when it begins anew."""
    ledger = begun(2)
    specs = [spec(f"unit-{number}") for number in range(n)]
    ledger.spill("root", specs)
    ledger.spill("root", specs)
    ended(ledger, ["root", *drive(ledger)])
    return ledger


def values(n: int) -> Ledger:
    """A unit hands over units that read large values of its own."""
    ledger = begun(2)
    ledger.spill("root", [], values=[Value(f"value-{number}", None) for number in range(n)])
    ended(ledger, ["root", *drive(ledger)])
    return ledger


def one_by_one(n: int) -> Ledger:
    """A unit hands over one unit at a time, under a limit that it holds."""
    ledger = begun(2)
    pool = Pool(RUN, 5)
    for number in range(n):
        ledger.spill("root", [spec(f"unit-{number}", (), pool)], [pool])
    ended(ledger, ["root", *drive(ledger)])
    return ledger


def cancelled(n: int) -> Ledger:
    """A run of many units is cancelled."""
    ledger = begun(n // 4)
    ledger.spill("root", [spec(f"unit-{number}") for number in range(n)])
    drive(ledger)
    ledger.cancel(RUN)
    drive(ledger)
    return ledger


SHAPES: dict[str, Callable[[int], Ledger]] = {
    "one spill, one join": wide,
    "limits in limits": pools,
    "a loop of tails": tails,
    "all wait for a unit that tails 100 times": waiting,
    "the same spill twice": again,
    "large values of one unit": values,
    "spills of one unit each": one_by_one,
    "cancelled": cancelled,
}


def ledger_alone(quick: bool) -> Iterator[Row]:
    """Time the ledger over shapes of growing size."""
    sizes = (250, 1000, 4000) if quick else (1000, 4000, 16_000)
    for name, shape in SHAPES.items():
        took = {n: real(shape, n) for n in sizes}
        growth = math.log(took[sizes[-1]] / took[sizes[-2]]) / math.log(sizes[-1] / sizes[-2])
        yield {"shape": name, **{f"us/unit at {n}": 1e6 * seconds / n for n, seconds in took.items()}, "grows as n to the": growth}


def real(shape: Callable[[int], Ledger], n: int) -> float:
    """Return the CPU seconds that a shape takes."""
    gc.collect()
    began = time.process_time()
    shape(n).retire(RUN)
    return time.process_time() - began


def memory(quick: bool) -> Iterator[Row]:
    """Measure what the ledger and its admission keep for a unit."""
    n = 5000 if quick else 40_000
    for name, capacity, deps in (("queued", 1, ()), ("running", None, ()), ("waiting for one other", 1, ("other",))):
        ledger = begun(capacity)
        ledger.spill("root", [spec("other")])
        drive(ledger)
        tracemalloc.start()
        ledger.spill("root", [spec(f"step1-{number:032x}", deps) for number in range(n)])
        drive(ledger)
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        yield {"a unit that is": name, "bytes": kept // n, "MiB for 100 000": kept / n * 1e5 / 2**20}


def loop_rates() -> Iterator[Row]:
    """Say what the costs mean: the shortest units that the loop can keep threads busy with."""
    unit = Costs().unit
    for threads in (8, 64, 256, 1000, 3000, 10_000):
        yield {"threads": threads, "loop, ms/unit": unit * 1e3, "loop, units/s": 1 / unit, "shortest unit s": threads * unit}


def main() -> None:
    """Simulate, and print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of it all")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    # A collector that goes through a million units of all that is simulated again and again is no cost of the ledger's.
    gc.disable()
    report = Report(given.quick, {})
    report.add("What the loop can do", loop_rates())
    report.add("Simulated and measured", checks(given.quick))
    report.add("Programs", programs(given.quick))
    report.add("Threads and the time of a node", sweep(given.quick))
    report.add("Short programs", short(given.quick))
    report.add("Other constants", constants(given.quick))
    report.add("The ledger alone, measured", ledger_alone(given.quick))
    report.add("The ledger's memory, measured", memory(given.quick))
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump({"costs": asdict(Costs()), "tables": report.tables}, file, indent=1)


if __name__ == "__main__":
    main()
