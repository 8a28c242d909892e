"""A cluster on paper: the real ledger, admission, pace and policy, with a simulated clock, loop, network and threads.

A simulated unit stands for a stack of ranges of nodes, as a real one for a stack of maps. It is executed by arithmetic, so that a hundred
million nodes cost no more than the units that they are cut into. The scheduler's event loop is one server: it reads what has come, lets
the ledger decide, and what it sends leaves when its turn ends.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

from daskflow.admission import Pool
from daskflow.ledger import Ledger
from daskflow.pace import Pace
from daskflow.policy import Policy
from daskflow.records import Create, Ended, Free, Spec, Status
from daskflow.spilling import mean_time

RUN = "run"


@dataclass(frozen=True)
class Costs:
    """Seconds that things take; ``loop_costs.py`` measures those marked with a star.

    Attributes
    ----------
    message : float
        * To read or write a message on the scheduler's loop, the pickling of a task included.
    told : float
        * To write the same small message to one more worker.
    add, end : float
        * Of the ledger, for a unit that it hears of, and for one that ends.
    create, finish, free : float
        * Of Dask, to make a task and let it start, to note its result, and to forget it.
    dep : float
        To note an input of a task.
    pick : float
        * To weigh one input for one worker, when Dask chooses where a task with inputs goes.
    latency : float
        Of the network, with the wait for a batch.
    worker : float
        * Of a worker's process for a unit; one after the other.
    node : float
        * Of the executor for a node.
    cut_unit, cut_node : float
        * Of a unit that hands over work, for each piece and each node in it.
    join_dep, join_node : float
        Of a unit that puts results together, for each unit; * and each node.
    """

    message: float = 190e-6
    told: float = 200e-6
    add: float = 28e-6
    end: float = 20e-6
    create: float = 105e-6
    finish: float = 90e-6
    free: float = 22e-6
    dep: float = 3e-6
    pick: float = 100e-9
    latency: float = 1.5e-3
    worker: float = 1.4e-3
    node: float = 1.4e-6
    cut_unit: float = 25e-6
    cut_node: float = 0.11e-6
    join_dep: float = 20e-6
    join_node: float = 5e-9

    @property
    def unit(self) -> float:
        """What a unit without inputs takes of the loop in all."""
        return 2 * self.message + self.add + self.end + self.create + self.finish + self.free


@dataclass(frozen=True)
class Program:
    """Levels of maps in maps.

    Attributes
    ----------
    fans : tuple of int
        How many nodes a map of each level has; those of the last level are the nodes that work.
    seconds : float
        The mean time of such a node.
    scatter : float
        The standard deviation of that time, as a part of it.
    uneven : float
        The same for the mean time of a unit's nodes, besides: some parts of a program are slower than others.
    limit, child_limit : int or None
        The limit of the run, and of each node of the first level.
    """

    fans: tuple[int, ...]
    seconds: float
    scatter: float = 0.0
    uneven: float = 0.0
    limit: int | None = None
    child_limit: int | None = None

    @property
    def nodes(self) -> int:
        """How many nodes work."""
        return math.prod(self.fans)

    def size(self, level: int) -> int:
        """Return how many working nodes are in one node of a level."""
        return math.prod(self.fans[level + 1 :])

    def pool(self, level: int, first: int) -> Pool | None:
        """Return the limit on a node of a level, by the number that the node has in that level."""
        top = Pool(RUN, self.limit) if self.limit else None
        if level == 0 or self.child_limit is None:
            return top
        child = first // math.prod(self.fans[1 : level + 1])
        return Pool(f"{RUN}.{child}", self.child_limit, top)


@dataclass(frozen=True)
class Setup:
    """A cluster, and the constants of spilling there; None is as daskflow has it.

    Attributes
    ----------
    per_thread : float or None
        How many units are let in for each thread, in the place of what the pace says.
    asked : bool
        What daskflow does not do: the scheduler asks as many units for work as threads are idle, the latest first, and tells nobody else.
    """

    threads: int
    per_worker: int = 16
    budget: float | None = None
    chunk: float | None = None
    most: int | None = None
    spread: int | None = None
    per_thread: float | None = None
    asked: bool = False
    costs: Costs = field(default_factory=Costs)

    @property
    def workers(self) -> int:
        """How many worker processes there are."""
        return max(1, math.ceil(self.threads / self.per_worker))

    @property
    def policy(self) -> Policy:
        """The policy of spilling, as units make it."""
        own = Policy.on(self.threads, _BUDGET, _CHUNK)
        return Policy(self.budget or own.budget, self.chunk or own.chunk, self.most or own.most, self.spread or own.spread)


_BUDGET, _CHUNK = 0.02, 0.05  # as is configured where nothing is
_TICK = 0.0025  # as the watchdog's
_LONG = 0.125


def _slots(pool: Pool | None) -> float:
    return math.inf if pool is None else min(one.limit for one in pool.chain())


class Span:
    """A range of the nodes of one map: what a frame is. Nodes are numbered through all maps of a level."""

    __slots__ = ("begin", "cursor", "done", "end", "level", "out", "pool", "started")

    def __init__(self, level: int, begin: int, end: int, pool: Pool | None, started: float = 0.0) -> None:
        self.level = level
        self.begin = self.cursor = begin
        self.end = end
        self.pool = pool
        self.done = 0
        self.started = started
        self.out: list[str] = []


class Work:
    """A unit: a range to execute, or results to put together."""

    __slots__ = ("asked", "at", "deps", "executed", "joined", "key", "leaf_left", "look_at", "place", "pool", "slow", "spans", "version")

    def __init__(self, key: str, span: Span | None, pool: Pool | None, deps: tuple[str, ...] = (), joined: int = 0) -> None:
        self.key = key
        self.spans = [span] if span is not None else []
        self.pool = pool
        self.deps = deps
        self.joined = joined
        self.at = 0.0
        self.leaf_left = 0.0
        self.executed = 0
        self.look_at = 0.0
        self.asked = False
        self.place: Worker | None = None
        self.slow = 1.0
        self.version = 0


class Executor:
    """Moves the spans of a unit on with time, depth first."""

    def __init__(self, program: Program, costs: Costs) -> None:
        self.program = program
        self.last = len(program.fans) - 1
        self.size = [program.size(level) for level in range(self.last + 1)]
        self.seconds = [(program.seconds + costs.node) * size for size in self.size]

    def advance(self, work: Work, now: float) -> None:
        """Execute until that moment, or to where the unit cannot go on; at an infinite one, to there."""
        left, work.at = now - work.at, now
        while left >= work.leaf_left:
            left -= work.leaf_left
            self._end_leaf(work)
            span = work.spans[-1]
            if span.cursor < span.end:
                left = self._go_on(work, span, left, now)
            elif span.out or len(work.spans) == 1:
                return
            else:
                work.spans.pop()
                work.spans[-1].done += 1
        work.leaf_left -= left

    def _end_leaf(self, work: Work) -> None:
        if work.leaf_left:
            work.leaf_left = 0.0
            work.spans[-1].done += 1
            work.executed += 1

    def _go_on(self, work: Work, span: Span, left: float, now: float) -> float:
        each = self.seconds[span.level] * work.slow
        whole = span.end - span.cursor
        if left < whole * each:
            whole = int(left / each)
        if whole:
            span.cursor += whole
            span.done += whole
            work.executed += whole * self.size[span.level]
            return max(0.0, left - whole * each)
        self._begin(work, span, now - left)
        return left

    def _begin(self, work: Work, span: Span, now: float) -> None:
        node, span.cursor = span.cursor, span.cursor + 1
        if span.level == self.last:
            work.leaf_left = self.seconds[span.level] * work.slow
            return
        level, fan = span.level + 1, self.program.fans[span.level + 1]
        pool = self.program.pool(level, node * fan) if span.level == 0 else span.pool
        work.spans.append(Span(level, node * fan, (node + 1) * fan, pool, now))

    def left(self, work: Work) -> float:
        """Return the seconds until the unit ends, or cannot go on."""
        seconds = work.leaf_left
        for span in reversed(work.spans):
            seconds += (span.end - span.cursor) * self.seconds[span.level] * work.slow
            if span.out:
                break
        return seconds


class Worker:
    """A worker process: its threads, and what it has been sent."""

    __slots__ = ("free", "load", "number", "ready_at", "waiting")

    def __init__(self, number: int, threads: int) -> None:
        self.number = number
        self.free = threads
        self.load = -threads
        self.ready_at = 0.0
        self.waiting: deque[Work] = deque()


class Tasks:
    """What Dask keeps of tasks: one is forgotten when nobody wants it and nothing that is kept was made from it."""

    def __init__(self) -> None:
        self._deps: dict[str, tuple[str, ...]] = {}
        self._uses: Counter[str] = Counter()
        self._wanted: set[str] = set()

    def __len__(self) -> int:
        return len(self._deps)

    def add(self, key: str, deps: tuple[str, ...]) -> None:
        """Make a task."""
        self._deps[key] = deps
        self._wanted.add(key)
        self._uses.update(deps)

    def free(self, key: str) -> list[str]:
        """Let go of a task; return those that are forgotten."""
        self._wanted.discard(key)
        forgotten, left = [], [key]
        while left:
            one = left.pop()
            if one in self._wanted or self._uses[one] or one not in self._deps:
                continue
            del self._uses[one]
            deps = self._deps.pop(one)
            self._uses.subtract(deps)
            left.extend(deps)
            forgotten.append(one)
        return forgotten


@dataclass
class Figures:
    """What came out; times are in seconds, on the simulated clock but for `ledger_cpu`."""

    makespan: float = 0.0
    utilisation: float = 0.0
    units: int = 0
    messages: int = 0
    loop_busy: float = 0.0
    longest_turn: float = 0.0
    most_inbox: int = 0
    most_queued: int = 0
    most_units: int = 0
    filled_at: float = math.nan
    drained_for: float = 0.0
    broadcasts: int = 0
    worked: float = 0.0
    ledger_cpu: float = 0.0

    @property
    def load(self) -> float:
        """How much of the time the loop was busy."""
        return self.loop_busy / self.makespan


class Simulation:
    """One run of a program on a cluster.

    Parameters
    ----------
    program, setup
        What is run, and where.
    seed
        Of chance: when the watchdogs' ticks fall, and how long nodes take.
    """

    def __init__(self, program: Program, setup: Setup, seed: int = 0) -> None:
        self.program, self.setup, self.costs, self.policy = program, setup, setup.costs, setup.policy
        self.executor = Executor(program, setup.costs)
        self.random = Random(seed)
        self.now = 0.0
        self.figures = Figures()
        self.ledger = Ledger()
        self.pace = Pace(clock=lambda: self.now)
        self.tasks = Tasks()
        self.busy = 0
        self.executed: list[tuple[int, int]] = []
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()
        self._works: dict[str, Work] = {}
        self._inbox: list[tuple[Any, ...]] = []
        self._turning = False
        self._hungry, self._heard = True, True
        self._to_ask: list[Work] = []
        self._asked: set[str] = set()
        self._full: set[str] = set()
        self._heard_full: set[str] = set()
        self._parked: set[Work] = set()
        self._blocked: dict[str, set[Work]] = {}
        self._in_pools: dict[str, list[Pool]] = {}
        self._executing: Counter[str] = Counter()
        self._last_full = 0.0
        self._workers = [Worker(number, threads) for number, threads in enumerate(self._threads())]
        self._loads = [(worker.load, worker.number) for worker in self._workers]
        self.ended = False

    def _threads(self) -> Iterable[int]:
        left = self.setup.threads
        while left > 0:
            yield min(left, self.setup.per_worker)
            left -= self.setup.per_worker

    def run(self) -> Figures:
        """Run it to its end, and check it."""
        root = self._work(Span(0, 0, self.program.fans[0], self.program.pool(0, 0)), None)
        self._at(0.0, self._arrive, ("submit", root))
        while self._events:
            self.now, _, action, arguments = heappop(self._events)
            action(*arguments)
        self._check()
        self._sum_up()
        return self.figures

    def _check(self) -> None:
        assert self.ended
        reached = 0
        for first, number in sorted(self.executed):
            assert first == reached, f"node {reached} was executed not once"
            reached += number
        assert reached == self.program.nodes
        assert not self.ledger.units
        assert self.ledger.admission.is_empty()
        assert not self._works
        assert not len(self.tasks)
        assert self.busy == 0
        assert not any(self._executing.values())

    def _sum_up(self) -> None:
        made = self.figures
        made.utilisation = made.worked / (self.setup.threads * made.makespan)
        made.drained_for = made.makespan - self._last_full

    # ------------------------------------------------------------ events and units

    def _at(self, moment: float, action: Callable[..., None], *arguments: Any) -> None:
        heappush(self._events, (moment, next(self._numbers), action, arguments))

    def _work(self, span: Span | None, pool: Pool | None, deps: tuple[str, ...] = (), joined: int = 0) -> Work:
        work = Work(f"unit-{next(self._numbers)}", span, pool, deps, joined)
        self._works[work.key] = work
        self.figures.units += 1
        return work

    def _spec(self, work: Work, level: int) -> Spec:
        return Spec(work.key, b"", work.deps, work.pool, level)

    # ------------------------------------------------------------ the scheduler's loop

    def _arrive(self, message: tuple[Any, ...]) -> None:
        self._inbox.append(message)
        self.figures.messages += 1
        self.figures.most_inbox = max(self.figures.most_inbox, len(self._inbox))
        if not self._turning:
            self._turning = True
            self._at(self.now, self._turn)

    def _turn(self) -> None:
        """Read all that has come, let the ledger decide, and carry out what it says."""
        messages, self._inbox, over = self._inbox, [], self.ended
        cost = sum(self._read(*message) for message in messages)
        sent: list[Work] = []
        cost += self._flush(sent)
        cost += self._ask(self.now + cost) if self.setup.asked else self._broadcast(self.now + cost)
        self.figures.loop_busy += cost
        self.figures.longest_turn = max(self.figures.longest_turn, cost)
        self.figures.most_queued = max(self.figures.most_queued, self.ledger.admission.n_waiting)
        self.figures.most_units = max(self.figures.most_units, len(self.ledger.units))
        if not over:
            self.figures.makespan = self.now + cost
        self._at(self.now + cost, self._turned, sent)

    def _turned(self, sent: list[Work]) -> None:
        for work in sent:
            self._at(self.now + self.costs.latency, self._deliver, work)
        self._turning = bool(self._inbox)
        if self._turning:
            self._at(self.now, self._turn)

    def _timed(self, action: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        result = action(*arguments)
        self.figures.ledger_cpu += time.process_time() - began
        return result

    def _read(self, kind: str, work: Work, specs: list[Spec] = [], last: Any = None) -> float:  # noqa: B006
        """Hand a message to the ledger; return what that costs."""
        costs = self.costs
        self._asked.discard(work.key)
        if kind == "submit":
            self._fit()
            self._timed(self.ledger.submit, RUN, self._spec(work, 0), "client")
        elif kind == "spill":
            assert self._timed(self.ledger.spill, work.key, specs, last)
        elif kind == "tail":
            assert self._timed(self.ledger.tail, work.key, specs, last)
        elif kind == "done":
            self._done(work)
            return costs.message + costs.finish + costs.end
        return costs.message + len(specs) * costs.add + sum(len(spec.deps) for spec in specs) * costs.dep

    def _done(self, work: Work) -> None:
        assert work.place is not None
        self._load(work.place, -1)
        if self.pace.ended(work.key):
            self._fit()
        self._timed(self.ledger.done, work.key)

    def _fit(self) -> None:
        fixed = self.setup.per_thread
        threads = self.setup.threads
        self.ledger.admission.capacity = self.pace.capacity(threads) if fixed is None else math.ceil(fixed * threads)

    def _flush(self, sent: list[Work]) -> float:
        cost = 0.0
        while instructions := self._timed(self.ledger.take):
            for one in instructions:
                if isinstance(one, Create):
                    cost += self._create(one, sent)
                elif isinstance(one, Free):
                    cost += self.costs.free
                    for key in self.tasks.free(one.key):
                        self._timed(self.ledger.forgotten, key)
                elif isinstance(one, Ended):
                    self._end()
        return cost

    def _create(self, one: Create, sent: list[Work]) -> float:
        work, inputs = self._works[one.key], len(one.deps)
        self.tasks.add(one.key, tuple(task for _, task in one.deps))
        self.pace.began(one.key)
        work.place = self._choose()
        self._load(work.place, 1)
        sent.append(work)
        if work.spans:
            self._to_ask.append(work)
        choice = inputs * min(inputs, self.setup.workers) * self.costs.pick
        return self.costs.create + self.costs.message + inputs * self.costs.dep + choice

    def _end(self) -> None:
        record = self.ledger.runs[RUN]
        assert record.status is Status.SUCCEEDED
        self.ended = True
        self._timed(self.ledger.retire, RUN)

    def _broadcast(self, moment: float) -> float:
        """Tell workers whether threads are idle, and which limits are full, where those are told; return what it costs."""
        admission = self.ledger.admission
        hungry = admission.n_running < self.setup.threads
        changed = {pool: full for pool, full in admission.take_changed().items() if full is not (pool in self._full)}
        if hungry is self._hungry and not changed:
            return 0.0
        self._hungry = hungry
        self._full.update(pool for pool, full in changed.items() if full)
        self._full.difference_update(pool for pool, full in changed.items() if not full)
        cost = self.setup.workers * self.costs.told
        self.figures.broadcasts += 1
        self._at(moment + cost + self.costs.latency, self._hear, hungry, changed)
        return cost

    def _ask(self, moment: float) -> float:
        """Ask for work, if threads are idle and nothing waits; return what it costs."""
        admission = self.ledger.admission
        wanted = 0 if admission.n_waiting else self.setup.threads - admission.n_running - len(self._asked)
        cost = 0.0
        while wanted > 0 and self._to_ask:
            work = self._to_ask.pop()
            if work.key in self.ledger.units and work.key in self._works:
                wanted -= 1
                cost += self.costs.told
                self._asked.add(work.key)
                self._at(moment + cost + self.costs.latency, self._hear_ask, work)
        return cost

    def _choose(self) -> Worker:
        while True:
            load, number = heappop(self._loads)
            worker = self._workers[number]
            if worker.load == load:
                return worker

    def _load(self, worker: Worker, change: int) -> None:
        worker.load += change
        heappush(self._loads, (worker.load, worker.number))

    # ------------------------------------------------------------ workers

    def _hear(self, hungry: bool, changed: dict[str, bool]) -> None:
        self._heard = hungry
        self._heard_full.update(pool for pool, full in changed.items() if full)
        self._heard_full.difference_update(pool for pool, full in changed.items() if not full)
        again = {work for pool, full in changed.items() if not full for work in self._blocked.pop(pool, ())}
        if hungry:
            again |= self._parked
            self._parked = set()
        for work in sorted(again, key=lambda one: one.key):
            if work.key in self._in_pools:
                self._look_later(work, max(work.look_at, self.now + self.random.random() * _TICK))

    def _deliver(self, work: Work) -> None:
        worker = work.place
        assert worker is not None
        worker.ready_at = max(worker.ready_at, self.now) + self.costs.worker
        self._at(worker.ready_at, self._ready, work, worker)

    def _ready(self, work: Work, worker: Worker) -> None:
        if worker.free:
            self._begin(work, worker)
        else:
            worker.waiting.append(work)

    def _begin(self, work: Work, worker: Worker) -> None:
        worker.free -= 1
        self._occupy(work)
        work.at = self.now
        if not work.spans:
            self._at(self.now + len(work.deps) * self.costs.join_dep + work.joined * self.costs.join_node, self._finish, work, work.version)
            return
        span = work.spans[0]
        span.started = self.now
        nodes = (span.end - span.cursor) * self.executor.size[span.level]
        work.slow = max(0.1, self.random.gauss(1.0, math.hypot(self.program.scatter / math.sqrt(nodes), self.program.uneven)))
        self._finish_later(work, self.now)
        self._look_first(work)

    def _look_first(self, work: Work) -> None:
        node = self.executor.seconds[-1] * work.slow
        tick = self.random.random() * _TICK
        early = tick + math.ceil(_LONG * self.policy.budget / _TICK) * _TICK
        work.look_at = self.now + self.policy.budget
        first = self.now + early if node > early and self._heard else work.look_at + tick
        if self.setup.asked:
            work.look_at = first
        if work.asked or not self.setup.asked:
            self._look_later(work, first)

    def _hear_ask(self, work: Work) -> None:
        work.asked = True
        if work.key in self._in_pools:
            self._look_later(work, max(self.now, work.look_at))

    def _look_later(self, work: Work, moment: float) -> None:
        if self.executor.left(work) > moment - work.at:
            self._at(moment, self._look, work)

    def _finish_later(self, work: Work, not_before: float) -> None:
        work.version += 1
        self._at(max(not_before, work.at + self.executor.left(work)), self._finish, work, work.version)

    def _occupy(self, work: Work) -> None:
        self.busy += 1
        if self.busy >= 0.99 * self._room() and math.isnan(self.figures.filled_at):
            self.figures.filled_at = self.now
        self._in_pools[work.key] = []
        if work.pool is not None:
            self._count(work, work.pool)

    def _room(self) -> int:
        return min(self.setup.threads, self.program.limit or self.setup.threads, self.program.nodes)

    def _count(self, work: Work, pool: Pool) -> None:
        """Count an executing unit in its limits: what the ledger let in must fit them."""
        mine = self._in_pools[work.key]
        for one in pool.chain():
            if one not in mine:
                mine.append(one)
                self._executing[one.id] += 1
                assert self._executing[one.id] <= one.limit, f"limit {one.id} is exceeded"

    # ------------------------------------------------------------ handing over

    def _look(self, work: Work) -> None:
        """The watchdog looks at a unit, as ``Running.look`` does."""
        if work.key not in self._in_pools or work.version < 0:
            return
        if not self._heard:
            self._parked.add(work)
            return
        self.executor.advance(work, self.now)
        specs, cost = self._take(work)
        work.look_at = self.now + 11 * cost
        if specs:
            holds = [span.pool for span in work.spans if span.out and span.pool is not None]
            for pool in holds:
                self._count(work, pool)
            self._at(self.now + cost + self.costs.latency, self._arrive, ("spill", work, specs, holds))
            self._finish_later(work, self.now + cost)
        elif self.setup.asked:
            self._at(self.now + self.costs.latency, self._arrive, ("pass", work))
        if not self.setup.asked and self._may_change(work):
            self._look_later(work, max(work.look_at, self.now + _TICK))

    def _may_change(self, work: Work) -> bool:
        """Tell whether the next look may find something: where nodes are entered, or nothing was known. Where a limit is full, wait."""
        top = work.spans[-1]
        full = [one.id for span in work.spans if span.pool for one in span.pool.chain() if one.id in self._heard_full]
        for pool in full:
            self._blocked.setdefault(pool, set()).add(work)
        if full and not any(map(self._parallel, work.spans)):
            return False
        return top.level < self.executor.last or len(work.spans) > 1 or not top.done

    def _parallel(self, span: Span) -> bool:
        return span.pool is None or all(one.limit > 1 and one.id not in self._heard_full for one in span.pool.chain())

    def _take(self, work: Work) -> tuple[list[Spec], float]:
        specs: list[Spec] = []
        cost = 0.0
        for span in reversed(work.spans):
            pending = span.end - span.cursor
            mean: float | None = mean_time(span, self.now)  # type: ignore[arg-type]
            if self._parallel(span) and self.policy.worthwhile(pending, mean, self.now - span.started):
                cut, took = self._cut(span, mean)
                specs += cut
                cost += took
        return specs, cost

    def _cut(self, span: Span, mean: float | None) -> tuple[list[Spec], float]:
        pending = span.end - span.cursor
        specs = []
        for piece in self.policy.pieces(pending, mean, _slots(span.pool)):
            part = Span(span.level, span.cursor + piece.start, span.cursor + piece.stop, span.pool)
            work = self._work(part, span.pool)
            span.out.append(work.key)
            specs.append(self._spec(work, span.level + 1))
        span.end = span.cursor
        return specs, len(specs) * self.costs.cut_unit + pending * self.costs.cut_node

    def _finish(self, work: Work, version: int) -> None:
        if version != work.version:
            return
        first = 0
        if work.spans:
            self.executor.advance(work, math.inf)
            first = work.spans[0].begin * self.executor.size[work.spans[0].level]
            self.executed.append((first, work.executed))
            self.figures.worked += work.executed * self.program.seconds * work.slow
        specs, output, cost = self._tail(work)
        work.version = -1
        self._parked.discard(work)
        self._at(self.now + cost, self._leave, work, specs, output)

    def _leave(self, work: Work, specs: list[Spec], output: str) -> None:
        """A thread is free, and what it has to say is on its way."""
        if specs:
            self._at(self.now + self.costs.latency, self._arrive, ("tail", work, specs, output))
        self._at(self.now + self.costs.latency, self._arrive, ("done", work))
        if self.busy >= 0.9 * self._room():
            self._last_full = self.now
        self.busy -= 1
        for pool in self._in_pools.pop(work.key):
            self._executing[pool.id] -= 1
        del self._works[work.key]
        worker = work.place
        assert worker is not None
        worker.free += 1
        if worker.waiting:
            self._begin(worker.waiting.popleft(), worker)

    def _tail(self, work: Work) -> tuple[list[Spec], str, float]:
        """Make units of what is left, as ``spilling.tail`` does: one for the end of each span that waits for others."""
        specs: list[Spec] = []
        cost = 0.0
        last = ""
        for span in reversed(work.spans):
            if last and span.end > span.cursor:
                cut, took = self._cut(span, mean_time(span, self.now))  # type: ignore[arg-type]
                specs += cut
                cost += took
            if last and span.out:
                span.out.append(last)
            if span.out:
                join = self._work(None, None, tuple(span.out), span.end - span.begin)
                specs.append(self._spec(join, span.level))
                cost += self.costs.cut_unit
                last = join.key
        return specs, last, cost
