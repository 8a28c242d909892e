"""Programs that several tests run, in process and on clusters: those of nested parallelism, and some that watch themselves."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import dataclass

import daskflow as fl


@fl.task
def step1(a: int) -> int:
    return a + 1


@fl.task
def step2(a: int) -> int:
    return a + 2


@fl.workflow
def core_wf(a: int) -> int:
    return step2(a=step1(a=a))


core_wf_lp = fl.LaunchPlan.get_or_create(core_wf)


@fl.dynamic
def level2(l: list[int]) -> list[int]:
    return [core_wf_lp(a=a) for a in l]


@fl.task
def reduce(l: list[list[int]]) -> list[int]:
    return [item for part in l for item in part]


@fl.dynamic
def level1(l: list[int], chunk: int) -> list[int]:
    return reduce(l=[level2(l=l[i : i + chunk]) for i in range(0, len(l), chunk)])


@fl.workflow
def multi_wf(l: list[int], chunk: int) -> list[int]:
    return level1(l=l, chunk=chunk)


@fl.workflow
def mapped2(l: list[int]) -> list[int]:
    return fl.map_task(step2)(a=l)


@fl.dynamic
def mixed1(l: list[int], chunk: int) -> list[int]:
    return reduce(l=[mapped2(l=l[i : i + chunk]) for i in range(0, len(l), chunk)])


@fl.workflow
def mixed_wf(l: list[int], chunk: int) -> list[int]:
    return mixed1(l=l, chunk=chunk)


@fl.task
def increment(num: int) -> int:
    return num + 1


@fl.workflow
def child(num: int) -> int:
    return increment(num=num)


child_lp = fl.LaunchPlan.get_or_create(child)


@fl.dynamic
def spawn(n: int) -> list[int]:
    return [child_lp(num=i).with_overrides(cache=True, cache_version="1.0.0") for i in [1, 2, 3, 4, 5]]


# ---------------------------------------------------------------- depth


@fl.task
def add(a: int, b: int) -> int:
    return a + b


@fl.dynamic
def descend(depth: int) -> int:
    return add(a=1, b=descend(depth=depth - 1)) if depth else add(a=0, b=0)


@fl.dynamic
def fan_out(n: int) -> list[int]:
    return [core_wf_lp(a=a) for a in range(n)]


# ---------------------------------------------------------------- who runs when


@dataclass
class Span:
    """When a task ran, on the clock that all processes of a machine share, and in which process."""

    start: float
    end: float
    pid: int


def overlap(spans: list[Span]) -> int:
    """Return how many of them ran at the same moment at most."""
    events = sorted([(one.start, 1) for one in spans] + [(one.end, -1) for one in spans])
    most = now = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


def _nap(seconds: float) -> Span:
    start = time.monotonic()
    time.sleep(seconds)
    return Span(start, time.monotonic(), os.getpid())


@fl.task
def nap(seconds: float) -> Span:
    return _nap(seconds)


@fl.task
def indexed_nap(index: int, seconds: float) -> Span:
    return _nap(seconds)


@fl.task
def join_spans(parts: list[list[Span]]) -> list[Span]:
    return [span for part in parts for span in part]


@fl.workflow
def naps(n: list[int], seconds: float) -> list[Span]:
    return fl.map_task(functools.partial(indexed_nap, seconds=seconds))(index=n)


@fl.workflow(max_parallelism=2)
def two_at_once(n: list[int], seconds: float) -> list[Span]:
    return naps(n=n, seconds=seconds)


@fl.dynamic
def two_at_once_twice(n: list[int], seconds: float) -> list[list[Span]]:
    return [two_at_once(n=n, seconds=seconds), two_at_once(n=n, seconds=seconds)]


@fl.workflow
def window_of_three(n: list[int], seconds: float) -> list[Span]:
    return fl.map_task(functools.partial(indexed_nap, seconds=seconds), concurrency=3)(index=n)


@fl.dynamic
def loop_of_naps(n: int, seconds: float) -> list[Span]:
    return [indexed_nap(index=i, seconds=seconds) for i in range(n)]


two_at_once_lp = fl.LaunchPlan.get_or_create(two_at_once, name="tests.two_at_once")
three_at_once_lp = fl.LaunchPlan.get_or_create(naps, name="tests.three_at_once", max_parallelism=3)


@fl.dynamic
def children_of_two(children: int, each: int, seconds: float) -> list[list[Span]]:
    return [two_at_once_lp(n=list(range(each)), seconds=seconds) for _ in range(children)]


@fl.dynamic
def nested_naps(depth: int, width: int, seconds: float) -> list[Span]:
    inner = [nested_naps(depth=depth - 1, width=width, seconds=seconds)] if depth else []
    return join_spans(parts=[*inner, naps(n=list(range(width)), seconds=seconds)])


# ---------------------------------------------------------------- failures


class Broken(Exception):
    """What a task of these programs raises."""


@fl.task
def break_at_three(a: int) -> int:
    if a == 3:
        raise Broken(f"no luck with {a}")
    return a


@fl.workflow
def break_in_map(l: list[int]) -> list[int]:
    return fl.map_task(break_at_three)(a=l)


break_lp = fl.LaunchPlan.get_or_create(break_in_map, name="tests.break")


@fl.dynamic
def break_below(l: list[int]) -> list[list[int]]:
    return [break_lp(l=[0, 1]), break_lp(l=l)]


@fl.dynamic
def break_fourth(n: int) -> list[int]:
    return [break_at_three(a=i) for i in range(n)]
