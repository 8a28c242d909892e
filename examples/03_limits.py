"""Limits: how many tasks may execute at the same moment, said at each of the levels where it can be said.

Every task here takes a nap and returns when it began and ended, on the clock that all processes of a machine share. From that
follows how many napped at the same moment at most. The cluster has room for twelve, so the limits are what holds them back.

- A map's `concurrency` covers its items; other tasks of the run do not count.
- `@workflow(max_parallelism=)` covers a run of that workflow. What `fl.run` is told goes before it.
- A launch plan's `max_parallelism` covers each child run of its own, here two of them side by side: two times two.
- What `fl.run` is told covers the whole run, child runs included: what they say themselves can narrow it, never widen it.

It prints:

```
no word, room for 12:                 at most 12 at once: reached 12
map concurrency=3:                    at most  3 at once: reached  3
@workflow(max_parallelism=4):         at most  4 at once: reached  4
the same, by run(max_parallelism=6):  at most  6 at once: reached  6
launch plan of 2, two child runs:     at most  4 at once: reached  4
the same, by run(max_parallelism=3):  at most  3 at once: reached  3
```
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

from distributed import Client, LocalCluster

import daskflow as fl


@dataclass(frozen=True)
class Nap:
    began: float
    ended: float


@fl.task
def nap(number: int, seconds: float) -> Nap:
    began = time.monotonic()
    time.sleep(seconds)
    return Nap(began, time.monotonic())


@fl.workflow
def naps(numbers: list[int], seconds: float) -> list[Nap]:
    return fl.map_task(functools.partial(nap, seconds=seconds))(number=numbers)


@fl.workflow
def naps_in_a_window(numbers: list[int], seconds: float) -> list[Nap]:
    return fl.map_task(functools.partial(nap, seconds=seconds), concurrency=3)(number=numbers)


@fl.workflow(max_parallelism=4)
def four_at_once(numbers: list[int], seconds: float) -> list[Nap]:
    return naps(numbers=numbers, seconds=seconds)


two_at_once_lp = fl.LaunchPlan.get_or_create(naps, name="two_at_once", max_parallelism=2)


@fl.task
def join(parts: list[list[Nap]]) -> list[Nap]:
    return [one for part in parts for one in part]


@fl.dynamic
def two_children(numbers: list[int], seconds: float) -> list[Nap]:
    half = len(numbers) // 2
    return join(parts=[two_at_once_lp(numbers=part, seconds=seconds) for part in (numbers[:half], numbers[half:])])


def most_at_once(naps: list[Nap]) -> int:
    """Return how many naps had begun and not ended at the same moment, at most."""
    return max(sum(other.began <= one.began < other.ended for other in naps) for one in naps)


def show(title: str, limit: int, entity: Any, *, seconds: float, **options: int) -> None:
    taken = fl.run(entity, numbers=list(range(24)), seconds=seconds, **options).result()
    print(f"{title:<37} at most {limit:>2} at once: reached {most_at_once(taken):>2}")


if __name__ == "__main__":
    # A nap needs a thread and no processor, so there may be more threads than processors here.
    with LocalCluster(n_workers=2, threads_per_worker=6, dashboard_address=None) as cluster, Client(cluster):
        show("no word, room for 12:", 12, naps, seconds=0.3)
        show("map concurrency=3:", 3, naps_in_a_window, seconds=0.1)
        show("@workflow(max_parallelism=4):", 4, four_at_once, seconds=0.1)
        show("the same, by run(max_parallelism=6):", 6, four_at_once, seconds=0.1, max_parallelism=6)
        show("launch plan of 2, two child runs:", 4, two_children, seconds=0.1)
        show("the same, by run(max_parallelism=3):", 3, two_children, seconds=0.1, max_parallelism=3)
