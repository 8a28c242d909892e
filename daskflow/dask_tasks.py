"""The one module that rests on private parts of Dask's scheduler: tasks that are made, held back, let go and freed by us."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

from dask._task_spec import Task, TaskRef
from dask.utils import typename

from daskflow.payload import Payload
from daskflow.placement import Load, Supply, moves, resource_moves
from daskflow.result import Result
from daskflow.unit import run_unit

if TYPE_CHECKING:
    from distributed.scheduler import Scheduler, TaskState, WorkerState

#: The address of no worker: a task restricted to it is ready and cannot start.
NOWHERE = "daskflow://held-back"
#: A task that waits is not moved where its inputs take longer to arrive, in seconds.
_LONGEST_MOVE = 0.5


def client_name(run: str) -> str:
    """Return the name of the client in whose name a run's tasks are wanted."""
    return f"daskflow-{run}"


class DaskTasks:
    """The tasks of our units in a Dask scheduler.

    Parameters
    ----------
    scheduler
        Dask's scheduler; all calls come from its event loop.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._count = 0
        self._asked: set[tuple[str, str]] = set()
        self._room: dict[tuple[tuple[str, float], ...], int] = {}

    @property
    def total_threads(self) -> int:
        """How many threads the workers have together."""
        return int(self.scheduler.total_nthreads)

    @property
    def total_workers(self) -> int:
        """How many workers there are."""
        return len(self.scheduler.workers)

    def room(self, asked: tuple[tuple[str, float], ...]) -> int:
        """Return how many tasks that ask for these resources the workers can execute at the same moment."""
        if asked not in self._room:
            self._room[asked] = sum(_room(worker, asked) for worker in self.scheduler.workers.values())
        return self._room[asked]

    def recount(self) -> None:
        """Count anew, from now on, how much of their resources the workers have."""
        self._room.clear()

    def resources(self) -> list[str]:
        """Return the resources that workers have, for a run that begins: by then they may have been given others."""
        self.recount()
        return list(self.scheduler.resources)

    @property
    def takes_work(self) -> bool:
        """Whether any worker takes tasks now: one that is paused, or goes, does not."""
        return bool(self.scheduler.running)

    def create(self, payload: Payload, deps: Iterable[str], depth: int) -> str:
        """Make a task whose dependencies exist; return its key, for :meth:`start`.

        Raises
        ------
        KeyError
            When the scheduler does not know a dependency.
        """
        tasks = self.scheduler.tasks
        sources = [tasks[key] for key in deps]
        spec = Task(payload.key, run_unit, payload, *(TaskRef(one.key) for one in sources))
        task = self.scheduler.new_task(payload.key, spec, "released")
        for source in sources:
            task.add_dependency(source)
        self._count += 1
        task.priority = (0, -depth, self._count)
        if payload.terms.resources:
            task.resource_restrictions = dict(payload.terms.resources)
        self.scheduler.client_desires_keys([payload.key], client_name(payload.run))
        spans: Any = self.scheduler.extensions.get("spans")
        if spans is not None:
            # Dask's heartbeats rely on each task's being in a span.
            spans.observe_tasks([task], code=(), span_metadata={})
        return payload.key

    def adopt(self, key: str, owner: str, place: tuple[Any, ...], worker: str, nbytes: int, depth: int) -> bool:
        """Make a task whose result a worker has already, since the unit `owner` made it; tell whether it has it still.

        Raises
        ------
        LookupError
            When the owner's task is gone.
        """
        made = self.payload(owner)
        if made is None:
            raise LookupError(f"the task {owner} is gone")
        spec: Any = self.scheduler.tasks[owner].run_spec
        payload = Payload(key, made.run, made.data, made.names, made.options, made.threads, may_spill=False, place=place)
        payload.failures, payload.ceased = made.failures, made.ceased
        self.create(payload, [one.key for one in spec.args[1:]], depth)
        if worker not in self.scheduler.workers:
            return False
        task = self.scheduler.tasks[key]
        task.type = typename(Result)
        task.group.add_type(task.type)
        self.scheduler.update_data(who_has={key: [worker]}, nbytes={key: nbytes})
        return True

    def disown(self, keys: Iterable[str], worker: str) -> None:
        """Let a worker drop what it has beside what the scheduler knows of."""
        state = self.scheduler.workers.get(worker)
        if state is None:
            return
        unknown = [key for key in keys if (task := self.scheduler.tasks.get(key)) is None or state not in (task.who_has or ())]
        if unknown:
            self.scheduler.worker_send(worker, {"op": "free-keys", "keys": unknown, "stimulus_id": _stimulus("disown")})

    def forgotten(self, key: str) -> None:
        """Drop what Dask would keep of a task that it forgets: its span holds on to the task's group for ever."""
        task = self.scheduler.tasks.get(key)
        spans: Any = self.scheduler.extensions.get("spans")
        if spans is not None and task is not None and (span := spans.spans.get(task.group.span_id)) is not None:
            span.groups.discard(task.group)

    def start(self, keys: Iterable[str]) -> None:
        """Let tasks that were just made start."""
        self._transitions(dict.fromkeys(keys, "waiting"), "start")

    def lift(self, keys: Iterable[str]) -> None:
        """Let tasks that were held back start."""
        ready = {}
        for key in keys:
            task = self.scheduler.tasks.get(key)
            if task is not None and task.state == "no-worker":
                task.worker_restrictions = None
                ready[key] = "processing"
        self._transitions(ready, "lift")

    def rebalance(self, ours: Container[Any]) -> bool:
        """Ask that tasks of ours that wait for a thread move to workers that have one free; tell whether any may have to wait.

        A worker that has begun a task keeps it. It is asked once for each: it has always begun those that it does not give.
        """
        loads = [Load(one.address, one.nthreads, len(one.processing) - len(one.long_running)) for one in self.scheduler.running]
        asked: set[tuple[str, str]] = set()
        for source, target in moves(loads):
            victim, thief = self.scheduler.workers[source], self.scheduler.workers[target]
            known = {key for key, worker in self._asked | asked if worker == source}
            # A worker begins with the least.
            free = (one for one in victim.processing if one.key in ours and one.key not in known and not one.resource_restrictions)
            last = max((one for one in free if self._may_move(one, victim, thief)), key=lambda one: one.priority or (), default=None)
            if last is not None:
                self._ask(last, victim, thief, asked)
        for key, source, target in resource_moves(self._supplies(ours)) if self.scheduler.resources else ():
            victim, thief, task = self.scheduler.workers[source], self.scheduler.workers[target], self.scheduler.tasks[key]
            if self._may_move(task, victim, thief):
                self._ask(task, victim, thief, asked)
        self._asked = asked | {(key, worker) for key, worker in self._asked if self.is_on(key, worker)}
        return bool(asked) or any(one.tasks > one.threads for one in loads)

    def _supplies(self, ours: Container[Any]) -> list[Supply]:
        return [
            Supply(one.address, one.nthreads - len(one.processing) + len(one.long_running), one.resources, self._asking(one, ours))
            for one in self.scheduler.running
            if one.resources
        ]

    def _asking(self, worker: WorkerState, ours: Container[Any]) -> list[tuple[str, dict[str, float]]]:
        """Return the tasks of ours that ask a worker for resources: those first that it has begun, as far as is known."""
        asking = [one for one in worker.processing if one.resource_restrictions and one.key in ours]
        begun = {one for one in asking if one in worker.executing or (one.key, worker.address) in self._asked}
        asking.sort(key=lambda one: (one not in begun, one.priority or ()))
        return [(str(one.key), one.resource_restrictions or {}) for one in asking]

    def _ask(self, task: TaskState, victim: WorkerState, thief: WorkerState, asked: set[tuple[str, str]]) -> None:
        stealing: Any = self.scheduler.extensions.get("stealing")
        if stealing is not None:
            stealing.move_task_request(task, victim, thief)
            asked.add((str(task.key), victim.address))

    def _may_move(self, task: TaskState, victim: WorkerState, thief: WorkerState) -> bool:
        movable = task not in victim.executing and not task.worker_restrictions
        return movable and self.scheduler.get_comm_cost(task, thief) <= _LONGEST_MOVE

    def hold_back(self, key: str) -> None:
        """Keep a task that is not processing from starting when it becomes ready."""
        task = self.scheduler.tasks.get(key)
        if task is not None:
            task.worker_restrictions = {NOWHERE}

    def is_held_back(self, key: str) -> bool:
        """Tell whether the task is held back by us."""
        task = self.scheduler.tasks.get(key)
        return task is not None and task.worker_restrictions == {NOWHERE}

    def free(self, keys: Iterable[str], run: str) -> None:
        """Let go of tasks of a run; Dask forgets those that no living result was made from."""
        client = client_name(run)
        if client in self.scheduler.clients:
            self.scheduler.client_releases_keys(list(keys), client, _stimulus("free"))

    def forget_run(self, run: str) -> None:
        """Let go of all that is left of a run, the client in its name too."""
        client = client_name(run)
        state = self.scheduler.clients.get(client)
        if state is not None:
            self.free([str(task.key) for task in state.wants_what], run)
            del self.scheduler.clients[client]

    def payload(self, key: str) -> Payload | None:
        """Return the payload of a task, if it is one of ours."""
        task = self.scheduler.tasks.get(key)
        args = () if task is None else getattr(task.run_spec, "args", ())
        return args[0] if args and isinstance(args[0], Payload) else None

    def is_on(self, key: str, worker: str) -> bool:
        """Tell whether the task is assigned to the worker of that address."""
        task = self.scheduler.tasks.get(key)
        return task is not None and task.processing_on is not None and task.processing_on.address == worker

    def is_processing(self, key: str) -> bool:
        """Tell whether the task is assigned to any worker."""
        task = self.scheduler.tasks.get(key)
        return task is not None and task.processing_on is not None

    def unplaced(self) -> list[tuple[str, dict[str, float]]]:
        """Return the tasks that ask for what no worker has, with that; not those that are held back, which ask nobody yet."""
        waiting = [task for task in self.scheduler.unrunnable if not task.worker_restrictions]
        return [(str(task.key), task.resource_restrictions) for task in waiting if task.resource_restrictions]

    def waits_for_data(self, key: str) -> bool:
        """Tell whether the task's dependencies must be computed again first."""
        task = self.scheduler.tasks.get(key)
        return task is not None and bool(task.waiting_on)

    def death(self, key: str) -> bool:
        """Tell whether a worker died under the task since the last call; Dask's own count, which has a budget of its own, begins anew."""
        task = self.scheduler.tasks.get(key)
        if task is None or task.suspicious == 0:
            return False
        task.suspicious = 0
        return True

    def nbytes(self, key: str) -> int:
        """Return the size of a task's result in bytes."""
        task: TaskState | None = self.scheduler.tasks.get(key)
        return 0 if task is None else task.get_nbytes()

    def error(self, key: str) -> str:
        """Return what Dask says of a task that it gave up."""
        task = self.scheduler.tasks.get(key)
        return str(task.exception_text) if task is not None and task.exception_text else "no reason given"

    def _transitions(self, recommendations: Any, why: str) -> None:
        if recommendations:
            self.scheduler.transitions(recommendations, _stimulus(why))


def _room(worker: WorkerState, asked: Iterable[tuple[str, float]]) -> int:
    # Three times 0.1 fit into 0.3.
    fitting = [int(worker.resources.get(name, 0) / amount + 1e-9) for name, amount in asked if amount]
    return int(min([worker.nthreads, *fitting]))


def _stimulus(why: str) -> str:
    return f"daskflow-{why}"
