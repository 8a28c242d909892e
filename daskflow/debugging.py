"""Running to one node of a run, in this process, with what is kept of the run taken over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from daskflow import config, context
from daskflow.attempts import one_attempt
from daskflow.caching import CacheOptions
from daskflow.eagersteps import STUCK
from daskflow.entity import LAUNCH_PLAN, MAP, TASK, Entity
from daskflow.errors import InputError
from daskflow.execute import Execution
from daskflow.frames import Frame, GraphFrame, MapFrame
from daskflow.keeping import Keeper, Keeping
from daskflow.launchplan import top_level
from daskflow.nodecache import NodeCache
from daskflow.scope import Scope, above_all, is_in
from daskflow.stacks import called, node_address, root_frame
from daskflow.taskcontext import Surroundings
from daskflow.taskoptions import PLAIN

#: So many nodes are named where the wanted one is not among them.
_MOST_SEEN = 10


class Reached:
    """A node that is about to be executed.

    Attributes
    ----------
    address : str
        Where it is in its run.
    entity : Entity
        What it calls.
    inputs : dict
        The values that it is called with, by name.
    """

    def __init__(self, execution: Execution, frame: Frame, slot: int) -> None:
        execution.current = (frame, slot)
        self._execution = execution
        self.address = node_address(frame, slot)
        self.entity: Entity[..., Any] = called(frame, slot)
        given = {**_inputs(frame, slot)}
        self.inputs: dict[str, Any] = given
        self._options = _options(frame, slot) or self.entity.options or PLAIN

    def call(self, through: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda body: body) -> Any:
        """Call the task here, in this thread: once, without a timeout; with its environment, secrets and context.

        Parameters
        ----------
        through
            Gives what is called instead of the task's function, such as a debugger that calls it.

        Raises
        ------
        InputError
            When it is no task.
        BaseException
            What the task raises.
        """
        entity: Any = self.entity
        if entity.kind != TASK:
            raise InputError(f"{self.address} calls the {entity.kind_name} {entity.name}; give the address of a task that it calls")
        place = self._execution.place(entity, self._options)
        state, execution = context.state, self._execution
        outer = state.executing, state.place
        state.executing, state.place = execution.address, execution.place
        try:
            return one_attempt(through(entity.body), self.inputs, replace(place, options=replace(self._options, timeout=None)))
        finally:
            state.executing, state.place = outer


def _inputs(frame: Frame, slot: int) -> dict[str, Any]:
    if isinstance(frame, MapFrame):
        return frame.inputs(slot)
    inputs: dict[str, Any] = frame.todo[frame.cursor - 1].inputs(frame.values)  # type: ignore[attr-defined]
    return inputs


def _options(frame: Frame, slot: int) -> Any:
    return frame.options if isinstance(frame, MapFrame) else frame.todo[frame.cursor - 1].options  # type: ignore[attr-defined]


class _Outer(Keeper):
    """Takes over outputs, but not of what the node is in."""

    within: frozenset[str] = frozenset()

    def knows(self, address: str) -> bool:
        """Tell whether something is kept of the node at an address."""
        return address not in self.within and super().knows(address)


class _Path(Execution):
    """Executes up to a node.

    Parameters
    ----------
    frame
        The frame to begin with.
    address
        The node's.
    """

    def __init__(self, frame: Frame, address: str) -> None:
        super().__init__(frame)
        self.check = self._is_next
        self.reached: Reached | None = None
        self.within = frozenset(["", *above_all(address)])
        self._wanted = address
        #: The nodes that are where the wanted one is not.
        self.seen: list[str] = []
        #: The frames that were met, and whether something was left out of them.
        self._narrowed: dict[Frame, bool] = {}

    def _is_next(self, _: Execution) -> bool:
        frame: Any = self.frame
        if frame not in self._narrowed:
            self._narrow(frame)
        left = range(frame.cursor, frame.end) if isinstance(frame, MapFrame) else [node.slot for node in frame.todo[frame.cursor :][:1]]
        if not left:
            # What the others would have given is not there.
            return self._narrowed[frame]
        if not self._is_wanted(frame, left[0]):
            return False
        frame.cursor += 1
        self.reached = Reached(self, frame, left[0])
        return True

    def _narrow(self, frame: Any) -> None:
        """Leave out of a frame what is not needed to come to the node; what cannot be known yet stays."""
        self._narrowed[frame] = False
        if isinstance(frame, MapFrame):
            index = self._wanted.removeprefix(f"{frame.scope.address}[").partition("]")[0]
            if frame.scope.address in self.within and index.isdecimal():
                frame.cursor, frame.end, self._narrowed[frame] = int(index), min(int(index) + 1, frame.end), True
        elif type(frame) is GraphFrame:
            self._narrow_graph(frame)

    def _narrow_graph(self, frame: GraphFrame) -> None:
        handled = frame.entity is not None and frame.entity.handler is not None
        if frame.holds_run or handled or frame.scope.address not in self.within:
            return
        needed = {node.slot for node in frame.todo if is_in(self._wanted, node_address(frame, node.slot))}
        if not needed:
            self.seen = [node_address(frame, node.slot) for node in frame.todo]
        for node in reversed(frame.todo):
            needed.update(node.deps if node.slot in needed else ())
        frame.todo, self._narrowed[frame] = [node for node in frame.todo if node.slot in needed], True

    def _is_wanted(self, frame: Frame, slot: int) -> bool:
        address = node_address(frame, slot)
        if not isinstance(frame, GraphFrame) or not frame.holds_run:
            return address == self._wanted
        # What a run begins with has the run's address; and its own name for one, where nothing in it can have that.
        return not self._wanted or (address == self._wanted and frame.todo[frame.cursor].entity.kind in (TASK, MAP))

    def _look_up(self, frame: Frame, slot: int, entity: Any, options: CacheOptions, inputs: dict[str, Any], hashes: Any) -> str | None:
        if node_address(frame, slot) in self.within:
            return None
        return super()._look_up(frame, slot, entity, options, inputs, hashes)


def reach(entity: Entity[..., Any], inputs: dict[str, Any], address: str, run: str, keeping: Keeping | None) -> Reached:
    """Execute an entity in this process until a node is about to be executed.

    What the node does not need, such as other items of its map, is not executed. Nor is what is kept of an earlier run, but for what the
    node is in; the cache is used as always.

    Parameters
    ----------
    entity
        What the run executes.
    inputs : dict
        With which inputs.
    address : str
        The node's address in the run; empty for what the run calls itself.
    run : str
        The run's id.
    keeping : Keeping or None
        Where its outputs are kept, if they are.

    Raises
    ------
    InputError
        When the run ends without having come to that address.
    BaseException
        What a node raises that is executed before it.

    Examples
    --------
    >>> from daskflow import task, workflow
    >>> @task
    ... def double(a: int) -> int:
    ...     return 2 * a
    >>> @workflow
    ... def twice(a: int) -> int:
    ...     return double(a=double(a=a))
    >>> at = reach(twice, {"a": 3}, "double[1]", "r0123456789", None)
    >>> at.inputs, at.call()
    ({'a': 6}, 12)
    """
    inputs = entity.interface.check_inputs(inputs)
    entity.prepare()
    name = entity.name
    plan: Any = entity if entity.kind == LAUNCH_PLAN else None
    entity, inputs = top_level(entity, inputs)
    path = _Path(root_frame(entity, inputs, Scope.of_run(run, None)), address)
    path.surroundings = Surroundings(started=datetime.now(UTC))
    path.cache = NodeCache(config.cache_settings)
    if keeping is not None:
        keeper = path.keeper = _Outer(keeping._replace(mode="off", recovers=True), "debug", run)
        keeper.within = path.within
    if plan is not None:
        path.begin_plan(plan)
    ended = path.run()
    if ended is STUCK and path.reached is not None:
        return path.reached
    said = f"{name} was executed, with the inputs of run {run}, without coming to {address}; is that an address in it?"
    more = f" and {len(path.seen) - _MOST_SEEN} more" if len(path.seen) > _MOST_SEEN else ""
    raise InputError(f"{said} There are {', '.join(path.seen[:_MOST_SEEN])}{more}" if path.seen else said)


__all__ = ["Reached", "reach"]
