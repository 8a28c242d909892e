"""A cluster in one thread: real executions, real spilling and the real ledger, with chance in the place of Dask and of time.

Units run one after the other in any order. Whenever a node ends, and while a task runs, chance may hand over what has not been
started, by any policy; and a unit may die at any moment, and be run again from the beginning or from where it had handed over.
Some values are taken for large and stay where they were made; and a unit may be ended since it holds too much. Nodes may be
cancelled at any moment, by their addresses.
"""

from __future__ import annotations

import asyncio
import functools
import io
import itertools
import pickle
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import daskflow as fl
from daskflow.caching import Cache, CacheOptions, CacheSettings
from daskflow.children import Family
from daskflow.eagersteps import STUCK
from daskflow.entity import Entity
from daskflow.errors import RunCancelled
from daskflow.execute import Execution
from daskflow.failed import AllFailed, Failed, error_of
from daskflow.frames import MISSING, External, GraphFrame
from daskflow.journal import Journal
from daskflow.ledger import Ledger
from daskflow.nodecache import NodeCache
from daskflow.nodelog import SHORT
from daskflow.outcome import Failure
from daskflow.policy import Policy
from daskflow.records import Adopt, Cancel, Create, FailedItem, Fell, Free, Lift, Spec, Status, Stop, Value
from daskflow.references import Kept, References, Scale, computed
from daskflow.references import inputs as inputs_of
from daskflow.scope import Scope, is_in
from daskflow.spilling import Unit, on_terms, root_unit, tail, take
from daskflow.stacks import arrive, has_more, link, root_frame, stack, unit_address, unit_result


class Died(BaseException):
    """A worker died."""


class Stopped(BaseException):
    """Nobody needs what the unit was executing."""


# ---------------------------------------------------------------- programs


@fl.task
def plus(a: int, b: int) -> int:
    tick(("plus", a, b))
    return a + b


@fl.task
def total(numbers: list[int]) -> int:
    tick(("total", *numbers))
    return sum(numbers)


class Pair(NamedTuple):
    """Two outputs."""

    low: int
    high: int


@fl.task
def pair(a: int) -> Pair:
    tick(("pair", a))
    return Pair(a - 1, a + 1)


@fl.task
def note(a: int) -> None:
    tick(("note", a))


@fl.workflow
def double_plus(a: int) -> int:
    return plus(a=plus(a=a, b=a), b=1)


plan = fl.LaunchPlan.get_or_create(double_plus, name="tests.model.plan")


class Broken(Exception):
    """What some tasks of the model raise."""


@fl.task
def fragile(a: int) -> int:
    tick(("fragile", a))
    if a % 3 == 1:
        raise Broken(a)
    return a


@fl.task
def total_some(numbers: list[int | None]) -> int:
    tick(("some", *numbers))
    return sum(number for number in numbers if number is not None)


@fl.task
def after_failure(expression: Any) -> None:
    tick(("after failure", expression))


@fl.workflow(on_failure=after_failure)
def guarded(expression: Any) -> int:
    return plus(a=expand(expression=expression), b=expand(expression=expression))


@fl.workflow(failure_policy=fl.WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def going(first: Any, second: Any) -> int:
    one, two = expand(expression=first), expand(expression=second)
    note(a=one)
    return plus(a=plus(a=one, b=1), b=plus(a=two, b=-1))


@fl.eager
async def eagerly(expressions: list[Any]) -> int:
    async def twice(expression: Any) -> int:
        made = await expand(expression=expression)
        return await plus(a=made, b=await plus(a=made, b=0))

    amounts = await asyncio.gather(*(twice(one) for one in expressions))
    amount = 0
    for one in amounts:
        amount = await plus(a=amount, b=one)
    return amount


@fl.dynamic
def expand(expression: Any) -> int:
    return build(expression)  # type: ignore[no-any-return]


def build(expression: Any) -> Any:
    """Record the calls of an expression."""
    if isinstance(expression, int):
        return expression
    kind, *parts = expression
    if kind in RAW:
        return RAW[kind](parts)
    made = [build(part) for part in parts]
    return BUILDERS[kind](made)


def _share(made: list[Any]) -> Any:
    return total(numbers=[*(plus(a=made[0], b=one) for one in made), 1])


def _both(made: list[Any]) -> Any:
    two = pair(a=total(numbers=made))
    return plus(a=two.high, b=plus(a=two.low, b=two.high))


def _drop(made: list[Any]) -> Any:
    for one in made:
        note(a=one)
    return made[0]


#: What is made of parts that are expressions yet.
RAW: dict[str, Any] = {
    "expand": lambda parts: expand(expression=tuple(parts)),
    "tries": lambda parts: total_some(numbers=fl.map_task(expand, min_successes=0)(expression=parts)),
    "half": lambda parts: total_some(numbers=fl.map_task(expand, min_success_ratio=0.5)(expression=parts)),
    "eagerly": lambda parts: eagerly.node(expressions=parts),
    "guard": lambda parts: guarded(expression=parts[0]),
    "going": lambda parts: going(first=parts[0], second=parts[-1]),
}

BUILDERS: dict[str, Any] = {
    "fragile": lambda made: total(numbers=[fragile(a=one) for one in made]),
    "some": lambda made: total_some(numbers=fl.map_task(fragile, min_successes=0)(a=made)),
    "total": lambda made: total(numbers=made),
    "plus": lambda made: functools.reduce(lambda left, right: plus(a=left, b=right), made, 0),
    "plan": lambda made: total(numbers=[plan(a=one) for one in made]),
    "flow": lambda made: double_plus(a=made[0]),
    "map": lambda made: total(numbers=fl.map_task(functools.partial(plus, b=made[0]))(a=made)),
    "maps": lambda made: total(numbers=fl.map_task(plan)(a=[*made, 1, 2])),
    "deep": lambda made: total(numbers=fl.map_task(expand)(expression=[*made, ("plus", 1, 2)])),
    "share": _share,
    "both": _both,
    "drop": _drop,
}


def worth(expression: Any) -> int:
    """Return what plain Python gives."""
    if isinstance(expression, int):
        return expression
    kind, *parts = expression
    if kind == "expand":
        return worth(tuple(parts))
    if kind in ("tries", "half"):
        return _worth_of_some(
            [attempt(lambda part=part: worth(part)) for part in parts], len(parts) if kind == "tries" else len(parts) // 2
        )
    if kind == "eagerly":
        return 2 * sum(map(worth, parts))
    if kind == "guard":
        return 2 * worth(parts[0])
    if kind == "going":
        return worth(parts[0]) + worth(parts[-1])
    made = [worth(part) for part in parts]
    return {
        "fragile": lambda: sum(map(_fragile, made)),
        "some": lambda: _worth_of_some([attempt(lambda one=one: _fragile(one)) for one in made], len(made)),
        "total": lambda: sum(made),
        "plus": lambda: sum(made),
        "plan": lambda: sum(2 * one + 1 for one in made),
        "flow": lambda: 2 * made[0] + 1,
        "map": lambda: sum(made) + made[0] * len(made),
        "maps": lambda: sum(2 * one + 1 for one in [*made, 1, 2]),
        "deep": lambda: sum(made) + 3,
        "share": lambda: sum(made[0] + one for one in made) + 1,
        "both": lambda: 3 * sum(made) + 1,
        "drop": lambda: made[0],
    }[kind]()


def _fragile(a: int) -> int:
    if a % 3 == 1:
        raise Broken(a)
    return a


def attempt(work: Any) -> Any:
    """Return what something gives, or that it is broken."""
    try:
        return work()
    except Broken:
        return Broken


def _worth_of_some(results: list[Any], allowed: int) -> int:
    if sum(one is Broken for one in results) > allowed:
        raise Broken
    return sum(one for one in results if one is not Broken)


# ---------------------------------------------------------------- the cluster

_model: Model | None = None


def tick(what: Any) -> None:
    """Called by each task: it has been executed; and something may happen while it runs."""
    if _model is not None:
        _model.while_running(what)


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, known: list[Any]) -> None:
        super().__init__(file)
        self.known = known

    def persistent_id(self, value: Any) -> int | None:
        """Name entities by their place in a list."""
        if not isinstance(value, Entity):
            return None
        self.known.append(value)
        return len(self.known) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, known: list[Any]) -> None:
        super().__init__(file)
        self.known = known

    def persistent_load(self, number: Any) -> Any:
        """Find an entity."""
        return self.known[number]


class Entries:
    """A store that keeps pickles in memory."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def get_many(self, keys: Any) -> dict[str, Any]:
        """Return what is there."""
        return {key: Entry(pickle.loads(self.data[key])) for key in keys if key in self.data}

    def put(self, key: str, value: Any, meta: Any) -> None:
        """Store a value."""
        self.data[key] = pickle.dumps(value)


class Entry(NamedTuple):
    """What is found."""

    value: Any


_SETTINGS = CacheSettings("memory", 1, 1, None)


@contextmanager
def caching(entities: Iterable[Any], serialize: bool) -> Iterator[None]:
    """Have calls of some entities cached."""
    double_plus._graph = None
    for one in entities:
        one.cache = CacheOptions(Cache(version="1", serialize=serialize))
    try:
        yield
    finally:
        double_plus._graph = None
        for one in entities:
            one.cache = None


class ChanceScale(Scale):
    """Takes some numbers, and most lists of them, for large: those of one unit are large to any other."""

    def __init__(self, large: int) -> None:
        super().__init__(lambda value: 0)
        self.large = large

    def one(self, value: Any) -> int:
        """Measure a value."""
        if isinstance(value, list):
            return self.all(value)
        return int(isinstance(value, int) and self.large > 0 and value % self.large == 0)

    def all(self, values: Any) -> int:
        """Measure values."""
        return sum(map(self.one, values))


class Model:
    """The cluster.

    Parameters
    ----------
    random
        Chance.
    spills, deaths : float
        How likely either is whenever it could happen.
    eager : bool
        Whether every node is to be a unit of its own.
    large : int
        Multiples of it are taken for large values; 0 for none.
    stops : float
        How likely a unit is ended whenever it could be.
    cancels : sequence of str
        Addresses that are cancelled, each once, at a moment of chance: when so many tasks have been executed, at most `last`.
    short : float or None
        Seconds: what is inside a shorter body is only counted in reports; ``None`` for all, or nothing, each time that a unit is executed.
    """

    def __init__(
        self,
        random: Random,
        spills: float = 0.4,
        deaths: float = 0.0,
        eager: bool = False,
        large: int = 0,
        stops: float = 0.0,
        cancels: Sequence[str] = (),
        last: int = 0,
        short: float | None = SHORT,
    ) -> None:
        self.random = random
        self.short = short
        self.scale = ChanceScale(large)
        self.stops = stops
        self.kept: list[Kept] = []
        self.spills = spills
        self.deaths = deaths
        self.eager = eager
        self.ledger = Ledger(most_deaths=10**9)
        self.entities: list[Any] = []
        self.payloads: dict[str, bytes] = {}
        self.creates: dict[str, Create] = {}
        self.values: dict[str, bytes] = {}
        self.ready: list[str] = []
        self.executed: list[Any] = []
        self.units: list[Unit] = []
        self.now = time.perf_counter()
        self.key = ""
        self.execution: Execution | None = None
        self.store: Entries | None = None
        self.journal = Journal()
        self.reports: list[bytes] = []
        #: The addresses of nodes, and of what they are in, that were executed.
        self.addresses: dict[str, None] = {}
        self.cancels = [(random.randint(0, last), place) for place in cancels]
        self.cancelled: list[str] = []
        self.found: dict[str, bool] = {}
        self.told: dict[str, list[str]] = {}

    def children(self) -> dict[str, tuple[str, str, int | None, str]]:
        """Return parent, address, limit and status of each child run, by id, as far as units told while the run was executed."""
        family = Family(self.reports, Status.RUNNING)
        records = [family.record(calls, place) for calls in family.calls.values() for place in calls.rows]
        return {one.id: (one.parent, one.address, one.max_parallelism, one.status) for one in records}

    def _report(self, frames: list[Any]) -> None:
        report = self.journal.report(frames)
        if report is not None:
            self.reports.append(report)

    def run(self, entity: Any, inputs: dict[str, Any], limit: int | None = 0) -> Any:
        """Run an entity to its end; return its result."""
        global _model
        scope = Scope.of_run("run", limit)
        root, large = inputs_of(root_unit(root_frame(entity, inputs, scope)), 1, self.scale)
        self.ledger.submit("run", self._spec(root), "driver", [self._spec(one) for one in large])
        _model = self
        try:
            self._cancel()
            while self._step():
                self._cancel()
        finally:
            _model = None
        record = self.ledger.runs["run"]
        assert record.status.ended
        result = error_of("run", record.failure) if record.failure else pickle.loads(self.values[record.result])[0]
        self.ledger.retire("run")
        assert not self.ledger.units
        assert not self.ledger.leases
        assert self.ledger.admission.is_empty()
        if isinstance(result, Exception):
            raise result
        return result

    def _cancel(self) -> None:
        """Cancel what is to be at this moment."""
        for at, place in list(self.cancels):
            if at > len(self.executed):
                continue
            self.cancels.remove((at, place))
            run = self.ledger.runs["run"]
            if not run.status.ended:
                self.found[place] = self.ledger.cancel_at("run", place)
                self.cancelled.append(place)
                self._carry_out()

    def _carry_out(self) -> None:
        for one in self.ledger.take():
            if isinstance(one, Create):
                self.creates[one.key] = one
                self.payloads[one.key] = one.payload
                self.told[one.key] = list(one.cancelled)
            if isinstance(one, Create | Lift):
                self.ready.append(one.key)
            if isinstance(one, Adopt):
                self._adopt(one)
            if isinstance(one, Cancel):
                self.told[one.key].append(one.place)
            if isinstance(one, Free):
                self._forget(one.key)
            if self.execution is not None and self.key == getattr(one, "key", ""):
                self._tell(self.execution, one)
        self.ledger.admission.validate()

    def _tell(self, execution: Execution, one: Any) -> None:
        """Tell the unit that is executing."""
        if isinstance(one, Cancel):
            execution.cancel(one.place)
        elif isinstance(one, Fell):
            execution.interrupt(one.domain, error_of("run", one.failure))
        elif isinstance(one, Stop):
            execution.cancelled = Stopped()

    def _step(self) -> bool:
        self._carry_out()
        if not self.ready:
            return False
        self.ready.sort(key=lambda _: self.random.random())
        self._execute(self.ready.pop())
        return True

    def _adopt(self, one: Adopt) -> None:
        kept: Kept = one.place
        self.values[one.key] = pickle.dumps(kept.values)
        self.kept.append(kept)

    def _lowered(self, units: list[Unit]) -> tuple[list[Spec], list[Value]]:
        lowered, kept = self.references.lower(units)
        assert self.execution is not None
        if self.execution.cancelled is None and not self.execution._fallen:
            # What a unit makes that has been told to end is for nothing.
            for one in kept:
                assert self._computed_again(one.place) == one.values
        return [self._spec(one) for one in lowered], [Value(one.key, one) for one in kept]

    def _computed_again(self, place: Any) -> tuple[Any, ...]:
        """Make a value as it would be made if it were lost."""
        global _model
        _model, model = None, _model
        try:
            assert self.execution is not None
            return computed(self._frames(self.key)[0], place, ceased=self.execution.ceased)
        finally:
            _model = model

    def _frames(self, key: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        frames = self._load(self.payloads[key])
        link(frames)
        results = {name: pickle.loads(self.values[source]) for name, source in self.creates[key].deps}
        failures = {name: AllFailed(Failed(error_of("run", failure))) for name, failure in self.creates[key].failures}
        arrive(frames, {**results, **failures})
        return frames, results

    def _forget(self, key: str) -> None:
        # No result is ever lost here, so nothing is kept for the sake of being computed again.
        self.ready = [one for one in self.ready if one != key]
        self.values.pop(key, None)
        self.ledger.forgotten(key)

    def _policy(self) -> Policy:
        if self.eager:
            return Policy(budget=0)
        choose = self.random.choice
        return Policy(budget=choose([0.001, 1.0, 5.0]), chunk=choose([0.001, 2.0, 10.0]), most=choose([1, 2, 64]))

    def _execute(self, key: str) -> None:
        try:
            self._executed(key)
        finally:
            self.execution = None

    def _executed(self, key: str) -> None:
        frames, results = self._frames(key)
        self.key = key
        self.references = References(key, 1, self.scale)
        self.references.arrived(results)
        self.execution = Execution(frames[-1], self._entered if self.eager else self._between, eager=self.eager)
        self.execution.wants_spill = not self.eager
        short = self.random.choice([0.0, 1e9]) if self.short is None else self.short
        self.execution.journal = self.journal = Journal(worker=key, short=short)
        if self.store is not None:
            self.execution.cache = NodeCache(lambda: _SETTINGS, lambda _: self.store)  # type: ignore[arg-type,return-value]
            self.execution.terms, self.execution.hand_over = self.creates[key].terms, self._hand_over
        self.execution.item_failed = self._item_failed
        self.execution.fell, self.execution.lets_go = self._fell, lambda _: self.random.random() < 0.5
        for place in self.told[key]:
            self.execution.cancel(place)
        try:
            value = self.execution.run()
        except Died:
            if self.ledger.unready(key, died=True):
                self.ledger.ready(key)
            else:
                assert self.cancelled
            return
        except Stopped:
            return
        except (Broken, RunCancelled) as error:
            self._report(stack(self.execution.frame))
            self.ledger.fail(key, {"failure": list(Failure.of(error))}, self.execution.overflowed)
            self.ledger.done(key)
            return
        if value is STUCK:
            stopped = self.execution.check is not None
            self._report(stack(self.execution.frame))
            units, output = tail(key, stack(self.execution.frame), self._policy(), self.now, stopped=stopped)
            self._check_edges(units[:-1])
            specs, values = self._lowered(units)
            self.ledger.tail(key, specs, output, values)
        else:
            self._report([])
            self.values[key] = pickle.dumps(unit_result(frames[0], value))
        self.ledger.done(key)

    def _fell(self, domains: list[tuple[str, ...]], error: BaseException) -> None:
        for domain in domains:
            self.ledger.fall(self.key, domain, {"failure": list(Failure.of(error))})

    def _item_failed(self, frame: Any, slot: int, error: BaseException) -> None:
        scope, failure = frame.scope, {"failure": list(Failure.of(error))}
        item = FailedItem(scope.digest.hex(), "map", frame.place(slot), frame.allowed, scope.domain, str(error))
        self.ledger.item_failed(self.key, item, failure)

    def _hand_over(self, execution: Execution, frame: Any, slot: int, terms: Any) -> None:
        specs, values = self._lowered([on_terms(self.key, frame, slot, terms)])
        self._report(stack(execution.frame))
        self.ledger.spill(self.key, specs, [], values)

    def _between(self, execution: Execution) -> None:
        execution.wants_spill = True
        self._maybe(keep=True)

    def while_running(self, what: Any) -> None:
        """Let time pass, and something happen, while a task runs."""
        assert self.execution is not None
        address = self.execution.address().partition(":")[2]
        assert not [place for place in self.cancelled if is_in(address, place)], address
        self.addresses[address] = None
        self.addresses.update((frame.scope.address, None) for frame in stack(self.execution.frame) if frame.scope.address)
        # Frames note when they were entered on the real clock, which must not be ahead.
        self.now = max(self.now, time.perf_counter()) + self.random.choice([0.001, 1.0])
        if not self.eager:
            self._maybe(keep=False)
        if self.random.random() < 0.2:
            self._report(stack(self.execution.frame))
        if self.random.random() < self.stops:
            self.execution.check = has_more
        if self.random.random() < self.deaths:
            # Nothing of the execution may take it for a failure of a task.
            self.execution.cancelled = Died()
            raise self.execution.cancelled
        self.executed.append(what)
        self._cancel()

    def _entered(self, execution: Execution) -> None:
        frames = stack(self.execution.frame)
        if len(frames) > 1:
            self._spill(frames[-1:], keep=False)

    def _maybe(self, keep: bool) -> None:
        if self.random.random() < self.spills:
            self._spill(stack(self.execution.frame), keep)

    def _spill(self, frames: list[Any], keep: bool) -> None:
        assert self.execution is not None
        units = take(self.key, frames, self._policy(), self.now, keep=keep)
        if not units:
            return
        self._report(stack(self.execution.frame))
        pools = [frame.scope.pool for frame in frames if frame.outstanding and frame.scope.pool is not None]
        specs, values = self._lowered(units)
        accepted = self.ledger.spill(self.key, specs, pools, values)
        frame, slot = self.execution.current
        under_way = slot >= 0 and frame is frames[-1] and frame.values[slot] is MISSING
        if accepted and not self.eager and not self.references and self.random.random() < 0.8:
            lower = [one.resumed(False, upper.slot) for one, upper in itertools.pairwise(frames)]
            self.payloads[self.key] = self._dump((*lower, frames[-1].resumed(under_way)))

    # ------------------------------------------------------------ travelling

    def _spec(self, unit: Unit) -> Spec:
        self.units.append(unit)
        return Spec(unit.key, self._dump(unit.frames), unit.deps, unit.pool, unit.depth, unit.terms, unit.domain, unit_address(unit.frames))

    def _dump(self, frames: tuple[Any, ...]) -> bytes:
        file = io.BytesIO()
        _Pickler(file, self.entities).dump(frames)
        return file.getvalue()

    def _load(self, data: bytes) -> tuple[Any, ...]:
        frames: tuple[Any, ...] = _Unpickler(io.BytesIO(data), self.entities).load()
        return frames

    def _check_edges(self, units: list[Unit]) -> None:
        """Assert that each node of a unit that waits needs all that the unit waits for, itself or through nodes beside it."""
        for unit in units:
            bottom = unit.frames[0]
            if len(unit.frames) > 1 or not isinstance(bottom, GraphFrame) or bottom.exports is None:
                continue
            needed: dict[int, set[str]] = {}
            for node in bottom.todo:
                values = [(slot, bottom.values[slot]) for slot in node.deps]
                needed[node.slot] = {value.key for _, value in values if type(value) is External}
                needed[node.slot].update(*(needed.get(slot, ()) for slot, _ in values))
            assert all(keys == set(unit.deps) for keys in needed.values())
