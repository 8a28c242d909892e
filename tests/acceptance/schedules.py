"""What the tests of `daskflow schedule` run."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta

import daskflow as fl
from daskflow.schedules import CronSchedule, FixedRate


@fl.task
def write(path: str, text: str) -> None:
    with open(path, "a") as file:
        file.write(text + "\n")


@fl.task
def stamp(when: datetime) -> str:
    return f"{when.isoformat()} {os.getpid()}"


@fl.workflow
def note(path: str, when: datetime) -> None:
    write(path=path, text=stamp(when=when))


@fl.task
def fail(path: str) -> None:
    write.fn(path, "failed")
    raise ValueError("no luck")


@fl.workflow
def failing(path: str) -> None:
    fail(path=path)


@fl.task
def linger(path: str) -> str:
    write.fn(path, "begun")
    time.sleep(2)
    return "ended"


@fl.workflow
def lingering(path: str) -> None:
    write(path=path, text=linger(path=path))


@fl.workflow
def unscheduled() -> None:
    return None


def _mark(name: str) -> dict[str, str]:
    return {"path": os.path.join(os.environ.get("SCHEDULES_MARKS", "."), name)}


# Years apart: what is run here is run because the state says that it was missed.
yearly = CronSchedule("yearly", kickoff_time_input_arg="when", timezone="Europe/Berlin")
noted = fl.LaunchPlan.get_or_create(note, "noted", fixed_inputs=_mark("noted"), schedule=yearly)
failed = fl.LaunchPlan.get_or_create(failing, "failed", fixed_inputs=_mark("failed"), schedule=FixedRate(timedelta(days=400)))
long = fl.LaunchPlan.get_or_create(lingering, "long", fixed_inputs=_mark("long"), schedule=FixedRate(timedelta(days=400)))
plain = fl.LaunchPlan.get_or_create(unscheduled, "plain")
