"""A model of what Dask's scheduler does with our tasks: it runs them, loses workers, and computes again what a living result needs."""

from __future__ import annotations

from random import Random
from typing import Any

from daskflow.admission import Pool
from daskflow.ledger import Ledger
from daskflow.records import Create, Ended, Free, Instruction, Lift, Spec, Stop

Expression = int | tuple["Expression", ...]


def total(expression: Any) -> int:
    """Return what an expression's evaluation must give."""
    return expression if isinstance(expression, int) else sum(map(total, expression))


class Task:
    """A task: its state, as in Dask, and the worker that runs it or has its data."""

    def __init__(self, create: Create) -> None:
        self.key, self.work, self.deps, self.run = create.key, create.payload, create.deps, create.run
        self.state = "waiting"
        self.worker: int | None = None
        self.value: int | None = None
        self.wanted = True
        self.held_back = False
        self.may_spill = True
        #: What it is to tail to, where it has spilled and goes on.
        self.rest: tuple[Any, ...] | None = None


class Cluster:
    """A ledger and the model of the Dask that it instructs, with some workers.

    A unit's work is an expression, or the names of units, to add up. It does as real units do: adds up alone, or spills
    some parts and tails to a unit that adds up the rest.
    """

    def __init__(self, random: Random, workers: int = 3, capacity: int = 4) -> None:
        self.random = random
        self.ledger = Ledger(most_deaths=10**9)
        self.ledger.admission.capacity = capacity
        self.tasks: dict[str, Task] = {}
        self.works: dict[str, Any] = {}
        self.workers = workers
        self.ended: list[str] = []
        self.executed: list[str] = []
        #: What units have said, as methods of the ledger and their arguments.
        self.said: list[tuple[str, tuple[Any, ...]]] = []
        self.count = 0

    def spec(self, work: Any, deps: tuple[str, ...] = (), pool: Pool | None = None) -> Spec:
        """Return a new unit's specification."""
        self.count += 1
        key = f"u{self.count}"
        self.works[key] = work
        return Spec(key, key.encode(), deps, pool, self.random.randrange(3))

    def flush(self) -> None:
        """Carry out the ledger's instructions, as long as there are any."""
        while instructions := self.ledger.take():
            for one in instructions:
                if isinstance(one, Create):
                    assert one.key not in self.tasks
                    assert all(source in self.tasks for _, source in one.deps), "a unit was created before what it depends on"
                    self.tasks[one.key] = Task(one)
                    self.created(one)
                    self._make_ready(self.tasks[one.key])
                elif isinstance(one, Lift):
                    self._lift(one.key)
                elif isinstance(one, Free):
                    self._release(one.key)
                elif isinstance(one, Ended):
                    self.ended.append(one.run)
                elif not isinstance(one, Stop):
                    self.other(one)
            self.ledger.admission.validate()

    def created(self, one: Create) -> None:
        """Look at a unit that Dask is told of."""

    def other(self, one: Instruction) -> None:
        """Carry out an instruction that plain units never cause."""
        raise AssertionError(f"{one} is unexpected")

    # ------------------------------------------------------------ Dask's part

    def _lift(self, key: str) -> None:
        task = self.tasks.get(key)
        if task is not None and task.state == "no-worker":
            task.held_back = False
            self._make_ready(task)

    def _missing(self, task: Task) -> list[Task]:
        return [self.tasks[source] for _, source in task.deps if self.tasks[source].value is None]

    def _make_ready(self, task: Task) -> None:
        """Take a task as far as it goes without being run."""
        if missing := self._missing(task):
            if not task.held_back and self.ledger.unready(task.key, died=False):
                task.held_back = True
            task.state = "waiting"
            for source in missing:
                if source.state == "released":
                    self._make_ready(source)
        elif task.held_back:
            task.state = "no-worker"
            self.ledger.ready(task.key)
        else:
            task.state = "processing"
            task.worker = self.random.randrange(self.workers)

    def _needed(self, task: Task) -> bool:
        return task.wanted or any(
            other.state in ("waiting", "no-worker", "processing") and task.key in [source for _, source in other.deps]
            for other in self.tasks.values()
        )

    def _lose(self, task: Task, died: bool) -> None:
        task.state, task.value, task.worker, task.rest = "released", None, None, None
        if self.ledger.unready(task.key, died=died):
            task.held_back = True
        for other in list(self.tasks.values()):
            if other.state in ("processing", "no-worker") and task.key in [source for _, source in other.deps]:
                self._lose(other, died=False)
        if task.state == "released" and self._needed(task):
            self._make_ready(task)

    def _release(self, key: str) -> None:
        task = self.tasks.get(key)
        if task is not None:
            task.wanted = False
            self._sweep()

    def _sweep(self) -> None:
        """Drop the data of what nobody needs, and forget what nothing was made from it."""
        for task in reversed(list(self.tasks.values())):
            if self._needed(task):
                continue
            if task.state != "released":
                task.state, task.value, task.worker = "released", None, None
                if self.ledger.unready(task.key, died=False):
                    task.held_back = True
            if not any(task.key in [source for _, source in other.deps] for other in self.tasks.values()):
                del self.tasks[task.key]
                self.ledger.forgotten(task.key)
                self._sweep()
                return

    # ------------------------------------------------------------ what happens

    def processing(self) -> list[Task]:
        """Return the tasks that run."""
        return [task for task in self.tasks.values() if task.state == "processing"]

    def step(self) -> bool:
        """Let one running unit end, in one of the ways that units end; tell whether there was one."""
        self.flush()
        running = self.processing()
        if not running:
            return False
        task = self.random.choice(running)
        if task.rest is not None:
            self._tail(task, *task.rest)
            self.flush()
            return True
        values = {name: self.tasks[source].value for name, source in task.deps}
        work = [values.get(part, part) if isinstance(part, str) else part for part in self._parts(task)]
        if task.may_spill and self.random.random() < 0.6 and any(isinstance(part, tuple) for part in work):
            self._spill(task, work)
        else:
            self._finish(task, sum(map(total, work)))
        self.flush()
        return True

    def _parts(self, task: Task) -> Any:
        work = self.works[task.key]
        return (work,) if isinstance(work, int) else work

    def _finish(self, task: Task, value: int) -> None:
        self.executed.append(task.key)
        task.state, task.value, task.may_spill = "memory", value, False
        self.ledger.done(task.key)
        for other in self.tasks.values():
            if other.state == "waiting" and task.key in [source for _, source in other.deps] and not self._missing(other):
                self._make_ready(other)
        self._sweep()

    def _spill(self, task: Task, work: list[Any]) -> None:
        pool = self.ledger.units[task.key].pool
        kept, spilled = [], []
        for part in work:
            # A unit that is run again cuts its work in another way than the first time.
            (spilled if isinstance(part, tuple) and self.random.random() < 0.7 else kept).append(part)
        specs = self._parts_of(task, spilled, pool)
        self.say("spill", task.key, specs, [pool] if pool is not None and self.random.random() < 0.5 else [])
        if self.random.random() < 0.2:
            self._lose(task, died=True)
            return
        task.rest = (kept, specs, pool)
        # Anything may happen before it has executed what it kept.
        if self.random.random() < 0.5:
            self._tail(task, *task.rest)

    def _tail(self, task: Task, kept: list[Any], specs: list[Spec], pool: Pool | None) -> None:
        deps, task.rest = tuple(spec.key for spec in specs), None
        output = self._rest_of(task, (*kept, *deps), deps, pool)
        self.say("tail", task.key, [output], output.key)
        if self.random.random() < 0.2:
            self._lose(task, died=True)
            return
        task.state, task.value = "memory", 0
        self.ledger.done(task.key)
        self._sweep()

    def say(self, method: str, *args: Any) -> None:
        """Have a unit say something."""
        self.said.append((method, args))
        getattr(self.ledger, method)(*args)

    def _parts_of(self, task: Task, works: list[Any], pool: Pool | None) -> list[Spec]:
        return [self.spec(work, pool=self._inner(pool)) for work in works]

    def _rest_of(self, task: Task, work: Any, deps: tuple[str, ...], pool: Pool | None) -> Spec:
        return self.spec(work, deps, pool)

    def _inner(self, pool: Pool | None) -> Pool | None:
        if self.random.random() < 0.5:
            return pool
        self.count += 1
        return Pool(f"p{self.count}", self.random.randint(1, 3), pool)

    def kill(self) -> None:
        """Kill a worker: what it runs and what it has is lost."""
        worker = self.random.randrange(self.workers)
        lost = [task for task in self.tasks.values() if task.worker == worker]
        for task in lost:
            if task.worker == worker and task.key in self.tasks:
                self._lose(task, died=task.state == "processing")
        self._sweep()
        self.flush()
