"""Expansion: what a run would execute, found without executing any task.

The frames and scopes are those of the executor, so nodes have the same addresses. What a task would give is an :class:`Unknown`,
which remembers the task; where a dynamic, or a map's list, is given one, what is inside is known only when the run gets there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from daskflow.entity import DYNAMIC, MAP, TASK, Entity
from daskflow.frames import MISSING, Frame, GraphFrame, MapFrame
from daskflow.graph import Graph, Node, resolve
from daskflow.launchplan import enter_static, top_level
from daskflow.probe import path_of
from daskflow.scope import Scope
from daskflow.stacks import node_address, root_frame


class Unknown:
    """A value that a task, or another node that is not looked into, would give; so is every part of it.

    Parameters
    ----------
    source : str
        The path of that node.
    """

    __slots__ = ("source",)

    def __init__(self, source: str) -> None:
        self.source = source

    def __getattr__(self, name: str) -> Unknown:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, part: Any) -> Unknown:
        return self

    def __repr__(self) -> str:
        return f"<what {self.source} gives>"


def sources(value: Any) -> Iterable[str]:
    """Yield the nodes whose values are in a value."""
    if type(value) is Unknown:
        yield value.source
    elif isinstance(value, dict):
        for one in value.values():
            yield from sources(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from sources(one)


def _is_known(value: Any) -> bool:
    return not any(True for _ in sources(value))


class PlannedNode(NamedTuple):
    """A node that a run would execute.

    Attributes
    ----------
    path : str
        Its address.
    parent : str
        The node whose body, or map, it is in; empty for those of the run's own body.
    kind : str
        ``task``, ``workflow``, ``dynamic``, ``map`` or ``launch plan``.
    name : str
        The full name of the entity.
    opaque : bool
        Whether what is inside is known only when the run gets there, since tasks make its inputs.
    """

    path: str
    parent: str
    kind: str
    name: str
    opaque: bool


class Expansion:
    """The nodes of a run.

    Parameters
    ----------
    entity
        What is run.
    inputs : dict
        Its inputs, checked.

    Attributes
    ----------
    nodes : dict of str
        By their paths, in the order in which one thread would meet them.
    edges : dict
        From which node to which, where one body hands a node's output to another node.
    flow : dict
        From which node to which, through all bodies, of those that are not looked into: tasks, and what is opaque.
    """

    def __init__(self, entity: Entity[..., Any], inputs: dict[str, Any]) -> None:
        self.nodes: dict[str, PlannedNode] = {}
        self.edges: dict[tuple[str, str], None] = {}
        self.flow: dict[tuple[str, str], None] = {}
        entity, inputs = top_level(entity, inputs)
        self._frame: Frame = root_frame(entity, inputs, Scope.of_run("compile", 0))
        self._path = ""
        try:
            self._run()
        except Exception as error:
            error.add_note(f"node: {self._path or '(the whole run)'}")
            raise

    def _run(self) -> None:
        while True:
            frame = self._frame
            if self._advance(frame):
                continue
            parent = frame.parent
            if parent is None:
                return
            parent.values[frame.slot] = _result(frame)
            self._frame = parent

    def _advance(self, frame: Frame) -> bool:
        """Go through a frame's nodes until one is entered; tell whether one was."""
        advance: Any = self._advance_map if isinstance(frame, MapFrame) else self._advance_graph
        return bool(advance(frame))

    def _advance_graph(self, frame: GraphFrame) -> bool:
        while frame.cursor < len(frame.todo):
            node = frame.todo[frame.cursor]
            frame.cursor += 1
            path = self._path = path_of(frame, node.slot, node.entity)
            if isinstance(frame.graph, Graph):
                first = frame.graph.n_inputs
                self.edges.update(((node_address(frame, slot), path), None) for slot in node.deps if slot >= first)
            if self._node(frame, node.slot, node.entity, _inputs(node, frame.values), path):
                return True
        return False

    def _advance_map(self, frame: MapFrame) -> bool:
        target = frame.entity.target  # type: ignore[union-attr]
        while frame.cursor < frame.end:
            item = frame.cursor
            frame.cursor += 1
            path = self._path = node_address(frame, item)
            inputs = {**{name: items[item] for name, items in frame.lists.items()}, **frame.shared}
            if self._node(frame, item, target, inputs, path):
                return True
        return False

    def _node(self, frame: Frame, slot: int, entity: Any, inputs: dict[str, Any], path: str) -> bool:
        """Take up a node; tell whether it was entered."""
        is_leaf, is_opaque = entity.kind == TASK, _is_opaque(entity, inputs)
        if path:
            self.nodes[path] = PlannedNode(path, frame.scope.address, entity.kind_name, entity.name, is_opaque)
        if not is_leaf and not is_opaque:
            self._frame = _entered(frame, slot, entity, inputs)
            return True
        self.flow.update(((source, path), None) for source in sources(inputs))
        frame.values[slot] = Unknown(path)
        return False


def _is_opaque(entity: Any, inputs: dict[str, Any]) -> bool:
    if entity.kind == DYNAMIC:
        return not _is_known(inputs)
    if entity.kind == MAP:
        return any(type(value) is Unknown for name, value in inputs.items() if name not in entity.bound)
    return False


def _entered(parent: Frame, slot: int, entity: Any, inputs: dict[str, Any]) -> Frame:
    if entity.kind == MAP:
        return MapFrame(entity, parent, slot, *entity.split(inputs))
    graph, arguments = (entity.build(inputs), []) if entity.kind == DYNAMIC else enter_static(entity, inputs)
    return GraphFrame(graph, [*arguments, *([MISSING] * len(graph.nodes))], entity, parent, slot)


def _inputs(node: Node, values: Any) -> dict[str, Any]:
    """Return a node's inputs, those checked that are known."""
    given: dict[str, Any] = {name: values[slot] for name, slot, _ in node.whole}
    given.update((name, resolve(binding, values)) for name, binding in node.nested)
    check = node.entity.interface.check_input
    return {**node.constants, **{name: check(name, value) if _is_known(value) else value for name, value in given.items()}}


def _result(frame: Frame) -> Any:
    if isinstance(frame, MapFrame):
        return frame.values
    assert isinstance(frame, GraphFrame)
    value, entity = resolve(frame.graph.output, frame.values), frame.entity
    return entity.interface.outputs.check(value, entity.name) if entity is not None and _is_known(value) else value
