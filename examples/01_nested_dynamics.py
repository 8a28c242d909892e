"""Nested dynamics over a launch plan.

A list is cut into chunks by one dynamic, each chunk is looped over by another, and each item is a run of its own::

    shout_all -> by_chunk -> each_word -> greet_plan -> greet -> shout
                                       -> greet_plan -> greet -> shout
                          -> each_word -> ...

Prints::

    in process: HELLO ADA! HELLO BEN! HELLO CYD! HELLO DAN! HELLO EVE!
    on Dask:    HELLO ADA! HELLO BEN! HELLO CYD! HELLO DAN! HELLO EVE!
"""

from __future__ import annotations

import daskflow as fl


@fl.task
def greet(name: str) -> str:
    return f"hello {name}!"


@fl.task
def shout(text: str) -> str:
    return text.upper()


@fl.workflow
def greet_loudly(name: str) -> str:
    return shout(text=greet(name=name))


greet_plan = fl.LaunchPlan.get_or_create(greet_loudly)


@fl.dynamic
def each_word(names: list[str]) -> list[str]:
    return [greet_plan(name=name) for name in names]


@fl.task
def join(parts: list[list[str]]) -> str:
    return " ".join(word for part in parts for word in part)


@fl.dynamic
def by_chunk(names: list[str], chunk: int) -> str:
    return join(parts=[each_word(names=names[i : i + chunk]) for i in range(0, len(names), chunk)])


@fl.workflow
def shout_all(names: list[str], chunk: int = 2) -> str:
    return by_chunk(names=names, chunk=chunk)


if __name__ == "__main__":
    names = ["ada", "ben", "cyd", "dan", "eve"]
    print("in process:", shout_all(names=names))
    print("on Dask:   ", fl.run(shout_all, names=names).result())
