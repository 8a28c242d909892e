"""The inline executor: the whole engine.

It executes a graph in one thread, depth first, in the order of the calls: resolve a node's inputs, call the user's
function, check the output. A dynamic runs its body, which builds a graph, and that is executed; a launch plan
enters a child run; a map executes its items. The same code runs in plain Python and inside a unit on a cluster;
there, somebody may take away what is not started (:mod:`daskflow.spilling`), and what is left then cannot end here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daskflow import context
from daskflow.entity import DYNAMIC, LAUNCH_PLAN, MAP, TASK, Entity
from daskflow.errors import RunFailed
from daskflow.frames import MISSING, Frame, GraphFrame, MapFrame, known
from daskflow.graph import Node, resolve
from daskflow.outcome import annotate
from daskflow.scope import Scope
from daskflow.stacks import root_frame, stack

if TYPE_CHECKING:
    from daskflow.journal import Journal

#: What an execution gives when what is left of it waits for other units.
STUCK = object()


class Execution:
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
    cancelled : BaseException or None
        Set by others, to stop before the next node.
    check
        Called before each node, if set; once it gives True, the execution ends there, with :data:`STUCK`.
    journal : Journal or None
        Told of each child run that ends.
    """

    def __init__(self, frame: Frame, spill: Callable[[Execution], None] | None = None, *, eager: bool = False) -> None:
        self.frame: Frame | None = frame
        self.current: tuple[Frame, int] = (frame, -1)
        self.lock = threading.Lock() if spill is not None else None
        self.wants_spill = False
        self.cancelled: BaseException | None = None
        self.check: Callable[[Execution], bool] | None = None
        self.journal: Journal | None = None
        self._spill = spill
        self._eager = eager

    def run(self) -> Any:
        """Execute; return the lowest frame's result, or :data:`STUCK`.

        Raises
        ------
        BaseException
            Whatever a node raised, with notes that say which.
        """
        state = context.state
        outer = state.executing
        state.executing = self.address
        if self.lock is not None:
            self.lock.acquire()
        try:
            return self._loop()
        except BaseException as error:
            annotate(error, *self._where(), self.current[0].item(self.current[1]))
            raise
        finally:
            if self.lock is not None:
                self.lock.release()
            state.executing = outer

    def address(self) -> str:
        """Return the address of the node that is executing."""
        run_id, address = self._where()
        return f"{run_id.partition('.')[0]}:{address}"

    def run_id(self) -> str:
        """Return the id of the run that the node that is executing belongs to."""
        return self._where()[0]

    def _where(self) -> tuple[str, str]:
        frame, slot = self.current
        scope = frame.scope
        return scope.run_id, node_address(frame, slot)

    def _loop(self) -> Any:
        result: Any = None
        frame = self.frame
        assert frame is not None
        while True:
            result = self._map_frame(frame) if type(frame) is MapFrame else self._graph_frame(frame)  # type: ignore[arg-type]
            if result is _ENTERED:
                frame = self.frame
                assert frame is not None
                if self._eager and self._spill is not None:
                    self._spill(self)
                continue
            if result is STUCK:
                return STUCK
            if self.journal is not None and type(frame) is GraphFrame and frame.is_child_run:
                self.journal.ended(frame)
            parent = frame.parent
            if parent is None:
                return result
            parent.values[frame.slot] = result
            parent.done += 1
            self.frame = frame = parent

    def _graph_frame(self, frame: GraphFrame) -> Any:
        """Execute the frame's nodes until one enters a frame of its own, or none is left."""
        values = frame.values
        if not frame.started:
            frame.started = time.perf_counter()
        while frame.cursor < len(frame.todo):
            if self.check is not None and self.check(self):
                return STUCK
            node = frame.todo[frame.cursor]
            frame.cursor += 1
            if frame.outstanding and not all(known(values[slot]) for slot in node.deps):
                frame.waiting.append(node)
                continue
            self.current = (frame, node.slot)
            entity = node.entity
            inputs = node.inputs(values)
            if entity.kind == TASK:
                values[node.slot] = self._task(entity, inputs)
                frame.done += 1
                self._pause()
            else:
                self._enter(entity, inputs, frame, node.slot)
                return _ENTERED
        if (self.check is not None and self.check(self)) or frame.outstanding:
            return STUCK
        return self._result(frame)

    def _result(self, frame: GraphFrame) -> Any:
        if frame.exports is not None:
            return tuple(frame.values[slot] for slot in frame.exports)
        self.current = (frame, -1)
        value = resolve(frame.graph.output, frame.values)
        entity = frame.entity
        return value if entity is None else entity.interface.outputs.check(value, entity.name)

    def _map_frame(self, frame: MapFrame) -> Any:
        target: Entity[..., Any] = frame.entity.target  # type: ignore[union-attr]
        lists, values, shared = list(frame.lists.items()), frame.values, frame.shared
        if not frame.started:
            frame.started = time.perf_counter()
        while frame.cursor < frame.end:
            if self.check is not None and self.check(self):
                return STUCK
            item = frame.cursor
            frame.cursor = item + 1
            self.current = (frame, item)
            inputs = {name: items[item] for name, items in lists}
            if shared:
                inputs.update(shared)
            if target.kind == TASK:
                values[item] = self._task(target, inputs)
                frame.done += 1
                self._pause()
            else:
                self._enter(target, inputs, frame, item)
                return _ENTERED
        if (self.check is not None and self.check(self)) or frame.outstanding:
            return STUCK
        return self._collected(frame)

    def _collected(self, frame: MapFrame) -> Any:
        if not frame.exports and frame.entity.interface.outputs.annotation is type(None):  # type: ignore[union-attr]
            return None
        return frame.values

    def _task(self, entity: Any, inputs: dict[str, Any]) -> Any:
        return entity.interface.outputs.check(self._user(entity.fn, inputs), entity.name)

    def _user(self, function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        """Call a user's function, with the frames open to others meanwhile."""
        if self.lock is None:
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
        if self.wants_spill and self._spill is not None:
            self.wants_spill = False
            self._spill(self)

    def _enter(self, entity: Any, inputs: dict[str, Any], parent: Frame, slot: int) -> None:
        """Put the frame of a call on the stack."""
        self._pause()
        if entity.kind == MAP:
            length, lists, shared = entity.split(inputs)
            self.frame = MapFrame(entity, parent, slot, length, lists, shared)
            return
        if entity.kind == DYNAMIC:
            graph = self._user(entity.build, {"inputs": inputs})
            self.frame = GraphFrame(graph, [MISSING] * len(graph.nodes), entity, parent, slot)
            return
        graph, arguments = enter_static(entity, inputs)
        self.frame = GraphFrame(graph, [*arguments, *([MISSING] * len(graph.nodes))], entity, parent, slot)


def has_more(execution: Execution) -> bool:
    """Tell whether an execution could go on; as its check, it ends it before whatever comes next."""
    return any(frame.left for frame in stack(execution.frame))


_ENTERED = object()


def enter_static(entity: Any, inputs: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Return the graph of a workflow or launch plan, and the values of its input slots."""
    if entity.kind == LAUNCH_PLAN:
        inputs = {**inputs, **entity.fixed_inputs} if entity.fixed_inputs else inputs
        entity = entity.workflow
    return entity.graph, [inputs[name] for name in entity.interface.parameters]


def top_level(entity: Any, inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what a run of an entity executes: of a launch plan its workflow, since the run itself is what the plan launches."""
    if entity.kind == LAUNCH_PLAN:
        return entity.workflow, {**inputs, **entity.fixed_inputs}
    return entity, inputs


def node_address(frame: Frame, slot: int) -> str:
    """Return the address of a node, without the run; of the frame itself where `slot` is negative."""
    scope = frame.scope
    if slot < 0:
        return scope.address
    if isinstance(frame, MapFrame):
        return f"{scope.address}{frame.label(slot)}"
    return scope.join(frame.label(slot))


def run_in_process(entity: Entity[..., Any], bound: dict[str, Any]) -> Any:
    """Run an entity here and now: the same engine, with no cluster behind it."""
    inputs = entity.interface.check_inputs(bound)
    entity.prepare()
    entity, inputs = top_level(entity, inputs)
    scope = Scope.of_run("local", None)
    try:
        return Execution(root_frame(entity, inputs, scope)).run()
    except (SystemExit, GeneratorExit) as error:
        raise RunFailed(f"{entity.name} raised {type(error).__name__}: {error}") from error


context.run_in_process = run_in_process

__all__ = ["STUCK", "Execution", "Node", "enter_static", "node_address", "run_in_process"]
