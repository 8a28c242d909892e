"""The workloads by Ray: remote functions, which wait for those that they call."""

from __future__ import annotations

import os
import secrets
from typing import Any

import ray
from talk import THREADS, chunks, flat, plus1, plus2, serve

step1 = ray.remote(plus1)
step2 = ray.remote(plus2)


@ray.remote
def core(a: int) -> Any:
    return ray.get(step2.remote(step1.remote(a)))


@ray.remote
def level2(items: list[int]) -> Any:
    return ray.get([core.remote(a) for a in items])


@ray.remote
def level1(items: list[int]) -> list[int]:
    return flat(ray.get([level2.remote(chunk) for chunk in chunks(items)]))


def chain(n: int) -> Any:
    value: Any = 0
    for _ in range(n):
        value = step1.remote(value)
    return ray.get(value)


def main() -> None:
    # A token of this run's own, since Ray would write one into the home folder.
    os.environ.update(RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")
    ray.init(num_cpus=THREADS, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    ways = {
        "nested": lambda n: ray.get(level1.remote(list(range(n)))),
        "map": lambda n: ray.get([step1.remote(a) for a in range(n)]),
        "chain": chain,
    }
    serve(["ray"], ways)


if __name__ == "__main__":
    main()
