"""Signs of life: whether the process that a scheduler ran in is still there.

On one machine that can be looked up: by the process' id together with when it began, since ids are used again. Of other machines, and of
containers with ids of their own, only what was written last tells.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

#: Seconds between two signs of life, and after which one from elsewhere that gives none is gone.
BEAT, SILENCE = 5.0, 30.0


class Life(NamedTuple):
    """A scheduler, as the history has it.

    Attributes
    ----------
    id : str
        Its id.
    host : str
        The name of the machine.
    machine : str
        What its process ids are ids in; empty where the system does not say.
    pid : int
        Its process.
    birth : str
        When that process began, in whatever way the system counts.
    started, alive : float
        When it began, and when it gave a sign of life last, in seconds since the epoch.
    ended : float or None
        When it ended, if it did so in an orderly way.
    """

    id: str
    host: str
    machine: str
    pid: int
    birth: str
    started: float
    alive: float
    ended: float | None


def own(id: str, now: float) -> Life:
    """Return the life of a scheduler in this process, which begins now."""
    return Life(id, _host(), _machine(), os.getpid(), birth_of(os.getpid()) or "", now, now, None)


def gone(life: Life, now: float) -> bool:
    """Tell whether a scheduler is there no more."""
    if life.ended is not None:
        return True
    if (life.host, life.machine) == (_host(), _machine()):
        return birth_of(life.pid) != life.birth
    return now - life.alive > SILENCE


def lost(life: Life | None, run: str) -> dict[str, str]:
    """Return the record of the failure of a run whose scheduler is gone."""
    whose = "its scheduler" if life is None else f"its scheduler, process {life.pid} on {life.host},"
    return {"lost": f"{whose} went away while it was going on; `daskflow recover {run}` goes on from what is kept of it"}


def birth_of(pid: int) -> str | None:
    """Return when a process began, as a text; None where there is no such process, or it is a zombie.

    Examples
    --------
    >>> birth_of(os.getpid()) == birth_of(os.getpid()) is not None
    True
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may have anything in it.
            state, *rest = file.read().rpartition(b")")[2].split()
    except ProcessLookupError:
        return None
    except OSError:
        return None if os.path.exists("/proc/self/stat") else _birth_elsewhere(pid)
    return None if state in b"ZX" else rest[18].decode()


def _birth_elsewhere(pid: int) -> str | None:
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        process: Any = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _host() -> str:
    return os.uname().nodename


def _machine() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""
