"""The inline executor: the whole engine.

It executes a graph in one thread, depth first, in the order of the calls: resolve a node's inputs, call the user's
function, check the output. A dynamic runs its body, which builds a graph, and that is executed; a launch plan
enters a child run; a map executes its items. The same code runs in plain Python and inside a unit on a cluster;
there, somebody may take away what is not started (:mod:`daskflow.spilling`), and what is left then cannot end here.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection
from time import perf_counter
from typing import TYPE_CHECKING, Any

from daskflow import context, planslots
from daskflow.caching import CacheOptions
from daskflow.cachingsteps import DONE, CachingSteps, NotCached
from daskflow.catching import passed_over, raise_failures, tolerate, too_few
from daskflow.eagerframe import EagerFrame, drop
from daskflow.eagersteps import STUCK, EagerSteps
from daskflow.entity import BRANCH, DYNAMIC, EAGER, GATE, LAUNCH_PLAN, MAP, TASK, Entity
from daskflow.failingsteps import FailingSteps, Fall
from daskflow.frames import DROPPED, MISSING, Frame, GraphFrame, MapFrame, drops_values
from daskflow.graph import resolve
from daskflow.keepingsteps import KeepingSteps
from daskflow.launchplan import enter_static
from daskflow.leases import Lease
from daskflow.nodecache import NodeCache
from daskflow.stacks import stack
from daskflow.taskcontext import Surroundings, leave
from daskflow.terms import NOTHING, Terms
from daskflow.termsteps import ComeBack, TermSteps
from daskflow.whereabouts import Whereabouts

if TYPE_CHECKING:
    from daskflow.journal import Journal
    from daskflow.keeping import Keeper


class Execution(Whereabouts, CachingSteps, FailingSteps, KeepingSteps, TermSteps, EagerSteps):
    """Executes frames until the lowest one is done.

    Parameters
    ----------
    frame
        The top of the stack to begin with.
    spill
        Called between nodes once :attr:`wants_spill` is set. Without it, nobody may take anything, and no lock is needed.
    eager
        Whether it is called for each frame that is entered, before anything of the frame is executed.

    Attributes
    ----------
    lock
        Held except while a user's function runs: who can take it sees frames in a consistent state.
    drops : bool
        Whether values that are needed no more are let go of before the body is over.
    cancelled : BaseException or None
        Set by others, to stop before the next node.
    check
        Called before each node, if set; once it gives True, the execution ends there, with :data:`STUCK`.
    ceases
        Called with an address at which something fails since it was cancelled, or since what it is a part of has failed elsewhere.
    journal : Journal or None
        Told of each node and child run that ends, of what fails, and of what the cache did.
    cache : NodeCache or None
        Where results of cached nodes are looked up and stored.
    keeper : Keeper or None
        Keeps outputs for another run, and has those of an earlier one.
    terms : Terms
        On which the node was let in that the lowest frame holds.
    declared : collection of str
        The resources that workers of the cluster have.
    answer : bytes or None
        What the gate was answered that it waited at.
    hand_over
        Called with a node that is to start on other terms, and these. Without it the thread waits.
    leave
        Called with a gate that another unit has seen to, where a lost value is made again, and its terms.
    only_cached : bool
        Whether :class:`NotCached` is raised where a user's function would have to be called.
    lets_go
        Tells whether calls of an eager that were just made are to be left to others, since some are executed elsewhere already: its body
        can go on with those only when this execution is over.
    fell
        Called with the domains, and the error, of what has failed while other units execute parts of it.
    item_failed
        Called with the frame, slot and error of an item that has failed, of a map of which other units execute parts.
    surroundings : Surroundings
        What the contexts of all its tasks have in common.
    mocks : Probe or None
        Where tests look on: asked what is to be executed as a node, and told what became of it (:mod:`daskflow.probe`).
    """

    def __init__(self, frame: Frame, spill: Callable[[Execution], None] | None = None, *, eager: bool = False) -> None:
        self.frame: Frame | None = frame
        self.current: tuple[Frame, int] = (frame, -1)
        self.lock = threading.Lock() if spill is not None else None
        self.wants_spill, self.drops = False, True
        self.cancelled: BaseException | None = None
        self.check: Callable[[Execution], bool] | None = None
        self.journal: Journal | None = None
        self.cache: NodeCache | None = None
        self.keeper: Keeper | None = None
        self.terms = NOTHING
        self.answer: bytes | None = None
        self.declared: Collection[str] = ()
        self.lets_go: Callable[[Frame], bool] | None = None
        self.hand_over: Callable[[Execution, Frame, int, Terms], None] | None = None
        self.leave: Callable[[Frame, int, Terms], object] | None = None
        self.only_cached = False
        self.fell: Callable[[list[tuple[str, ...]], BaseException], None] | None = None
        self.item_failed: Callable[[Any, int, BaseException], None] | None = None
        self.mocks: Any = None
        self.surroundings = Surroundings()
        self._held: dict[str, Lease] = {}
        self._limited = False
        self.cancels: dict[str, None] = {}
        self.ceased: dict[str, None] = {}
        self.ceases: Callable[[str], None] | None = None
        self._fallen: list[Fall] = []
        self._spill = spill
        self._eager = eager
        self._notes: list[Any] | None = None
        #: When the last node ended, or a frame was entered; and how long a node must have lasted since for its output to be kept.
        self._since, self._least = 0.0, math.inf

    def run(self) -> Any:
        """Execute; return the lowest frame's result, or :data:`STUCK`.

        Raises
        ------
        BaseException
            Whatever a node raised, with notes that say which.
        """
        state = context.state
        outer = state.executing, state.place
        state.executing, state.place = self.address, self.place
        if self.lock is not None:
            self.lock.acquire()
        self._begin()
        try:
            return self._to_the_end()
        finally:
            self.brought = None
            if self.lock is not None:
                self.lock.release()
            state.executing, state.place = outer
            drop(stack(self.frame))
            for lease in self._held.values():
                lease.release()
            planslots.end_all(self)

    def _loop(self) -> Any:
        result: Any = None
        frame = self.frame
        assert frame is not None
        while True:
            result = self._advance(frame)
            if result is _ENTERED:
                frame = self.frame
                assert frame is not None
                if self._eager and self._spill is not None:
                    self._spill(self)
                continue
            if result is STUCK:
                return STUCK
            if self._limited or self.keeper is not None or (isinstance(frame, GraphFrame) and frame.key is not None):
                self._settle(frame, result)
            if self.mocks is not None:
                self.mocks.ended(frame, result)
            if self.journal is not None:
                self._since = self.journal.left(frame)
            parent = frame.parent
            if parent is None:
                return result
            parent.values[frame.slot] = result
            parent.done += 1
            self.frame = frame = parent

    def _settle(self, frame: Frame, result: Any) -> None:
        """Let go of what was held for a frame, and keep its result, if there is anything of either."""
        if self._limited and frame.entity is not None:
            planslots.end(frame.entity.name, self)
        # Where a lost value is made again there is no cache.
        if isinstance(frame, GraphFrame) and frame.key is not None and self.cache is not None:
            self._store(frame, -1, frame.entity, frame.key, result)
        if isinstance(frame, GraphFrame) and self.keeper is not None:
            self._keep_result(self.keeper, frame, result)

    def _advance(self, frame: Frame) -> Any:
        """Execute a frame until it enters another one, has its result, or cannot go on."""
        if type(frame) is GraphFrame:
            return self._graph_frame(frame)
        return self._map_frame(frame) if isinstance(frame, MapFrame) else self._eager_frame(frame)  # type: ignore[arg-type]

    def _graph_frame(self, frame: GraphFrame) -> Any:
        """Execute the frame's nodes until one enters a frame of its own, or none is left."""
        stopped = self._nodes(frame)
        if stopped is not None:
            return stopped
        if (self.check is not None and self.check(self)) or frame.outstanding:
            return STUCK
        return self._result(frame)

    def _nodes(self, frame: GraphFrame) -> Any:
        """Execute the frame's nodes; return what stopped that, or ``None`` where none is left."""
        values, body, recovers = frame.values, frame.entity, self.keeper is not None and self.keeper.recovers
        catches, drops, gone = body is not None and body.keep_going, self.drops and drops_values(frame), DROPPED
        self._start(frame)
        while frame.cursor < len(frame.todo):
            if self.check is not None and self.check(self):
                return STUCK
            node = frame.todo[frame.cursor]
            frame.cursor += 1
            if drops and node.drops and not frame.waiting:
                for slot in node.drops:
                    values[slot] = gone
            if (frame.outstanding or catches) and passed_over(frame, node):
                continue
            self.current = (frame, node.slot)
            if self.cancels:
                self._refuse(frame, node.slot)
            inputs, called, mocks = node.inputs(values), (node.entity, node.cache), self.mocks
            entity, cache = called if mocks is None else mocks.before(self, frame, node.slot, *called)
            key = self._known(frame, node.slot, entity, cache, inputs, node.hashes) if recovers or cache is not None else None
            if key is DONE:
                continue
            if entity.kind != TASK:
                self._enter(entity, inputs, frame, node.slot, cache, key, node.options or entity.options)
                return _ENTERED
            self._task(frame, node.slot, entity, inputs, key, node.options or entity.options)
        return None

    def _result(self, frame: GraphFrame) -> Any:
        if frame.exports is not None:
            return tuple(frame.values[slot] for slot in frame.exports)
        self.current = (frame, -1)
        if frame.failing is not None:
            raise frame.failing.exception()
        entity = frame.entity
        if entity is not None and entity.keep_going:
            raise_failures(frame)
        value = resolve(frame.graph.output, frame.values)
        return value if entity is None else entity.interface.outputs.check(value, entity.name)

    def _map_frame(self, frame: MapFrame) -> Any:
        of_items: Entity[..., Any] = frame.entity.target  # type: ignore[union-attr]
        lists, shared, recovers = list(frame.lists.items()), frame.shared, self.keeper is not None and self.keeper.recovers
        self._start(frame)
        while frame.cursor < frame.end:
            if self.check is not None and self.check(self):
                return STUCK
            item = frame.cursor
            frame.cursor = item + 1
            self.current = (frame, item)
            if self.cancels:
                self._refuse(frame, item)
            inputs = {name: items[item] for name, items in lists}
            if shared:
                inputs.update(shared)
            target, cache = of_items, frame.cache
            if self.mocks is not None:
                target, cache = self.mocks.before(self, frame, item, target, cache)
            key = self._known(frame, item, target, cache, inputs, None) if recovers or cache is not None else None
            if key is DONE:
                continue
            if target.kind != TASK:
                self._enter(target, inputs, frame, item, cache, key, frame.options or target.options)
                return _ENTERED
            self._task(frame, item, target, inputs, key, frame.options or target.options)
        if (self.check is not None and self.check(self)) or frame.outstanding:
            return STUCK
        return self._collected(frame)

    def _collected(self, frame: MapFrame) -> Any:
        if frame.allowed is not None and not frame.exports:
            self.current = (frame, -1)
            tolerate(frame)
        if not frame.exports and frame.entity.interface.outputs.annotation is type(None):  # type: ignore[union-attr]
            return None
        return frame.values

    def _task(self, frame: Frame, slot: int, entity: Any, inputs: dict[str, Any], key: str | None, options: Any) -> None:
        if options.plain:
            value = entity.body(**inputs) if self.lock is None and not self.only_cached else self._user(entity.body, inputs)
            if context.state.task is not None:
                leave()
        else:
            value = self._surrounded(frame, slot, entity, entity.body, inputs, options)
            if value is STUCK:
                return
        value = frame.values[slot] = entity.interface.outputs.check(value, entity.name)
        if key is not None:
            self._store(frame, slot, entity, key, value)
        frame.done += 1
        if (notes := self._notes) is not None:
            # What Journal.note does, without a call, and with one look at the clock: there is one for each node.
            notes.append(slot)
            notes.append(now := perf_counter())
            # It has ended: what follows it may have been handed over, and have failed, before this is over.
            if now - self._since >= self._least and self.keeper is not None:
                self._keep(self.keeper, frame, slot, entity, inputs, value, now - self._since)
                now = perf_counter()
            self._since = now
        if self.wants_spill or self._fallen or self.cancelled is not None:
            self._pause()

    def _known(self, frame: Frame, slot: int, entity: Any, cache: CacheOptions | None, inputs: dict[str, Any], hashes: Any) -> str | None:
        """Take a node's result from an earlier run, or the cache: :data:`DONE` where it was there, else the cache's key, if any."""
        if self.keeper is not None and self.keeper.recovers and self._taken_over(self.keeper, frame, slot, entity, inputs):
            return DONE
        return None if cache is None else self._look_up(frame, slot, entity, cache, inputs, hashes)

    def _plain(self, body: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        """Call a user's function."""
        value = self._user(body, inputs)
        # What was asked of the context was of this node.
        if context.state.task is not None:
            leave()
        return value

    def _surrounded(self, frame: Frame, slot: int, entity: Any, body: Callable[..., Any], inputs: dict[str, Any], options: Any) -> Any:
        """Call a user's function with what its options say around it; :data:`STUCK` where another unit does, or this one later."""
        if self._is_elsewhere(frame, slot, entity, options):
            return STUCK
        call = {"body": body, "inputs": inputs, "place": self.place(entity, options), "first": self._mine(frame).attempt}
        try:
            return self._user(self._attempts, call)
        except ComeBack as later:
            self._again(frame, slot, later)
            return STUCK

    def _user(self, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        """Call a function with the frames open to others meanwhile; a user's is not to be called where only what is cached counts."""
        if self.lock is None:
            if self.only_cached:
                raise NotCached
            return function(**inputs)
        self.lock.release()
        try:
            return function(**inputs)
        finally:
            self.lock.acquire()

    def _pause(self) -> None:
        """Between two nodes: the place to stop, and to hand over work."""
        if self.cancelled is not None:
            raise self.cancelled
        if self._fallen:
            self._fall()
        if self.wants_spill and self._spill is not None:
            self.wants_spill = False
            self._spill(self)

    def _enter(
        self, entity: Any, inputs: dict[str, Any], parent: Frame, slot: int, cache: CacheOptions | None, key: str | None, options: Any
    ) -> None:
        """Put the frame of a call on the stack."""
        self._pause()
        if entity.kind == GATE:
            self._gate(parent, slot, entity, inputs)
        elif entity.kind == MAP:
            self._enter_map(entity, inputs, parent, slot, cache, options)
        else:
            entered = self._entered(entity, inputs, parent, slot, options)
            if entered is not None:
                self.frame, entered.key, entered.given = entered, key, inputs

    def _enter_map(self, entity: Any, inputs: dict[str, Any], parent: Frame, slot: int, cache: CacheOptions | None, options: Any) -> None:
        length, lists, shared = entity.split(inputs)
        items = self.frame = MapFrame(entity, parent, slot, length, lists, shared)
        items.cache, items.options, items.allowed, items.given = cache, options, entity.tolerance.allowed(length), inputs
        if items.allowed is not None and items.allowed < 0:
            raise too_few(items)

    def _entered(self, entity: Any, inputs: dict[str, Any], parent: Frame, slot: int, options: Any) -> GraphFrame | None:
        """Return the frame of a body; ``None`` where another unit enters it, or this one later."""
        if entity.kind == EAGER:
            return EagerFrame(entity, parent, slot, inputs)
        if entity.kind == BRANCH:
            graph, arguments = entity.choose(inputs)
        elif entity.kind == DYNAMIC:
            graph, arguments = self._built(entity, inputs, parent, slot, options), []
        elif entity.kind == LAUNCH_PLAN and not self._begins(entity, parent, slot):
            return None
        else:
            graph, arguments = enter_static(entity, inputs)
        if graph is STUCK:
            return None
        return GraphFrame(graph, [*arguments, *([MISSING] * len(graph.nodes))], entity, parent, slot)

    def _built(self, entity: Any, inputs: dict[str, Any], parent: Frame, slot: int, options: Any) -> Any:
        given = {"inputs": inputs}
        return self._plain(entity.build, given) if options.plain else self._surrounded(parent, slot, entity, entity.build, given, options)


_ENTERED = object()
