"""A failure four levels deep: what it prints is measured."""

from __future__ import annotations

import daskflow as fl


def helper(a: int) -> int:
    if a == 4:
        raise ValueError(f"bad value {a}")
    return a * 10


@fl.task
def step1(a: int) -> int:
    return a + 1


@fl.task
def step2(a: int) -> int:
    return helper(a)


@fl.workflow
def core_wf(a: int) -> int:
    return step2(a=step1(a=a))


core_wf_lp = fl.LaunchPlan.get_or_create(core_wf)


@fl.dynamic
def level2(l: list[int]) -> list[int]:
    return [core_wf_lp(a=a) for a in l]


@fl.dynamic
def level1(l: list[int], chunk: int) -> list[list[int]]:
    return [level2(l=l[at : at + chunk]) for at in range(0, len(l), chunk)]


@fl.workflow
def multi_wf(l: list[int], chunk: int) -> list[list[int]]:
    return level1(l=l, chunk=chunk)


if __name__ == "__main__":
    multi_wf(l=[1, 2, 3, 4], chunk=2)
