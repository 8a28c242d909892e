"""Cached entities, which leave a file for each execution: how often something was executed is counted outside the process."""

from __future__ import annotations

import functools
import os
import time
import uuid
from pathlib import Path

import daskflow as fl


def leave(folder: str, name: object) -> None:
    """Leave a mark of an execution."""
    Path(folder, f"{name}-{os.getpid()}-{uuid.uuid4().hex}").touch()


def marks(folder: Path) -> list[str]:
    """Take all marks away; return what they are of."""
    found = list(folder.iterdir())
    for one in found:
        one.unlink()
    return sorted(one.name.partition("-")[0] for one in found)


@fl.task
def plus(folder: str, num: int) -> int:
    leave(folder, num)
    return num + 1


@fl.workflow
def child_wf(folder: str, num: int) -> int:
    return plus(folder=folder, num=num)


child_lp = fl.LaunchPlan.get_or_create(child_wf)
rewriting_lp = fl.LaunchPlan.create("tests.cached.rewriting", child_wf, overwrite_cache=True)


@fl.dynamic
def spawn(folder: str, n: int) -> list[int]:
    return [child_lp(folder=folder, num=i).with_overrides(cache=True, cache_version="1.0.0") for i in range(1, n + 1)]  # type: ignore[attr-defined]


@fl.dynamic
def respawn(folder: str, n: int) -> list[int]:
    return [rewriting_lp(folder=folder, num=i).with_overrides(cache=True, cache_version="1.0.0") for i in range(1, n + 1)]  # type: ignore[attr-defined]


@fl.task(cache=True, cache_version="1", cache_ignore_input_vars=("folder",))
def double(folder: str, num: int) -> int:
    leave(folder, num)
    return 2 * num


@fl.workflow
def doubles(folder: str, nums: list[int]) -> list[int]:
    return double_all(folder=folder, nums=nums)


@fl.dynamic
def double_all(folder: str, nums: list[int]) -> list[int]:
    return fl.map_task(functools.partial(double, folder=folder))(num=nums)


@fl.dynamic(cache=True, cache_version="1", cache_ignore_input_vars=("folder",))
def tree(folder: str, depth: int) -> int:
    leave(folder, f"tree{depth}")
    if depth == 0:
        return 1
    return double(folder=folder, num=tree(folder=folder, depth=depth - 1))


@fl.workflow(cache=True, cache_version="1")
def chain(folder: str, num: int) -> int:
    return plus(folder=folder, num=plus(folder=folder, num=num))


@fl.workflow
def twice_chain(folder: str, num: int) -> int:
    return chain(folder=folder, num=chain(folder=folder, num=num))


@fl.task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("folder",))
def slowly(folder: str, num: int) -> int:
    leave(folder, num)
    time.sleep(0.2)
    return num


@fl.dynamic
def slowly_all(folder: str, nums: list[int]) -> list[int]:
    return [slowly(folder=folder, num=num) for num in nums]


@fl.dynamic
def slowly_mapped(folder: str, nums: list[int]) -> list[int]:
    return fl.map_task(functools.partial(slowly, folder=folder))(num=nums)


@fl.dynamic(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("folder",))
def slow_tree(folder: str, num: int) -> list[int]:
    leave(folder, f"tree{num}")
    return [slowly(folder=folder, num=10 * num + one) for one in range(3)]


@fl.dynamic
def slow_trees(folder: str, nums: list[int]) -> list[list[int]]:
    return [slow_tree(folder=folder, num=num) for num in nums]


@fl.task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("folder",))
def dies_once(folder: str, num: int) -> int:
    leave(folder, num)
    if not Path(folder, "..", "died").exists():
        Path(folder, "..", "died").touch()
        os.kill(os.getpid(), 9)
    return num


@fl.dynamic
def die(folder: str, n: int) -> list[int]:
    return [dies_once(folder=folder, num=7) for _ in range(n)]
