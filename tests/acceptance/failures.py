"""Ways to fail: one line of output is the whole of what each test looks at."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import daskflow as fl


class Unpicklable(Exception):
    """An exception that holds what does not pickle."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


@fl.task
def exits(a: int) -> int:
    sys.exit(a)


@fl.task
def interrupted(a: int) -> int:
    raise KeyboardInterrupt


@fl.task
def unpicklable(a: int) -> int:
    raise Unpicklable(f"odd {a}")


@fl.task
def gives_unpicklable(a: int) -> object:
    return threading.Lock()


@fl.task(timeout=0.2)
def lasts(a: int) -> int:
    time.sleep(1)
    return a


@fl.task
def dies(a: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return a


@fl.task(retries=2)
def tries(a: int) -> int:
    raise fl.RecoverableException(f"attempt {fl.current_context().attempt}")


@fl.task
def hostile(text: str, api_token: str) -> str:
    error = ValueError(text)
    error.add_note("a note of the user's")
    raise error


@fl.task
def groups(a: int) -> int:
    try:
        raise KeyError(a)
    except KeyError as error:
        raise ExceptionGroup("two", [ValueError("\x1b[31m"), TypeError("odd")]) from error


@fl.dynamic
def below(kind: str, a: int) -> int:
    return by_name[kind](a=a)


@fl.task
def odd(a: int, wide: list[int]) -> int:
    if a == 3:
        raise KeyError(f"item {a}")
    return a


@fl.workflow
def dies_late(a: int) -> int:
    return dies(a=odd(a=a, wide=[]))


dies_plan = fl.LaunchPlan.get_or_create(dies_late, name="failures.dies_late")


@fl.dynamic
def around(a: int) -> list[int]:
    return [odd(a=a, wide=[]), dies_plan(a=a), odd(a=a, wide=[])]


by_name = {one.short_name: one for one in (exits, interrupted, unpicklable, lasts, dies, tries, groups)}


@fl.dynamic
def deep(n: int) -> int:
    return deep(n=n - 1) if n else exits(a=1)


@fl.workflow
def mapped(l: list[int], wide: list[int]) -> list[int]:
    return fl.map_task(odd, bound_inputs={"wide": wide})(a=l)
