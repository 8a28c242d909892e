"""The frame of an eager: its calls come while it is executed, and are known by what they call, since their order may differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daskflow.entity import Entity
from daskflow.frames import MISSING, Frame, GraphFrame, Mark, Part, known
from daskflow.graph import Node
from daskflow.scope import Scope


class EagerFrame(GraphFrame):
    """The frame of an eager's calls.

    Attributes
    ----------
    inputs : dict
        The eager's own inputs.
    index : dict
        By what a call is known by, its slot.
    body
        The coroutine and its event loop, while they are here; they do not travel.
    told : set of int
        The slots whose values the body has been given.
    """

    __slots__ = ("body", "counts", "index", "inputs", "told")

    def __init__(self, entity: Entity[..., Any], parent: Frame | None, slot: int, inputs: dict[str, Any]) -> None:
        super().__init__(Part({}, places={}), {}, entity, parent, slot, [])
        self.inputs = self.given = inputs
        self.index: dict[int, int] = {}
        self.counts: dict[str, int] = {}
        self.body: Any = None
        self.told: set[int] = set()

    @property
    def catches(self) -> bool:
        return True

    def slot_of(self, place: int, name: str) -> tuple[int, bool]:
        """Return the slot of a call, and whether it is a new one."""
        slot = self.index.get(place)
        if slot is not None:
            return slot, False
        slot = self.index[place] = len(self.index)
        number = self.counts[name] = self.counts.get(name, -1) + 1
        graph: Any = self.graph
        graph.add(slot, f"{name}[{number}]", place)
        return slot, True

    def call(self, node: Node) -> None:
        """Add a call that the body has made."""
        self.values[node.slot] = MISSING
        self.todo = [*self.todo, node]

    def news(self) -> list[int]:
        """Return the slots of values that are here and that the body has not been given."""
        return [slot for slot, value in self.values.items() if slot not in self.told and slot >= 0 and known(value)]

    def part(self, nodes: Sequence[Node], exports: tuple[int, ...] | None, inner: int | None = None) -> GraphFrame:
        if exports is not None:
            return super().part(nodes, exports, inner)
        assert self.entity is not None
        rest = EagerFrame(self.entity, None, self.slot, self.inputs)
        rest.graph, rest.index, rest.counts = self.graph, self.index, self.counts
        rest.values, rest.todo = dict(self.values), list(nodes)
        rest.scope, rest.key, rest.mark = self.traced(), self.key, self.mark
        return rest

    def with_values(self, values: dict[int, Any], todo: Sequence[Node]) -> GraphFrame:
        rest = self.part(todo, None)
        rest.values, rest.outstanding = values, self.outstanding
        return rest

    def __reduce__(self) -> tuple[Any, ...]:
        rest = (self.scope, tuple(self.outstanding), self.key, self.mark)
        return _eager_frame, (
            self.graph, self.values, self.entity, self.slot, tuple(self.todo[self.cursor :]), self.inputs, self.index, self.counts, *rest,
        )  # fmt: skip


def _eager_frame(
    graph: Part,
    values: dict[int, Any],
    entity: Any,
    slot: int,
    todo: Sequence[Node],
    inputs: dict[str, Any],
    index: dict[int, int],
    counts: dict[str, int],
    scope: Scope,
    outstanding: Sequence[str],
    key: str | None,
    mark: Mark | None,
) -> EagerFrame:
    frame = EagerFrame(entity, None, slot, inputs)
    frame.graph, frame.values, frame.todo, frame.index, frame.counts = graph, values, todo, index, counts
    frame.scope, frame.key, frame.mark = scope, key, mark
    frame.outstanding = dict.fromkeys(outstanding)
    return frame


def drop(frames: Sequence[Frame]) -> None:
    """Drop the bodies of frames that nobody goes on with."""
    for frame in frames:
        if isinstance(frame, EagerFrame) and frame.body is not None:
            body, frame.body = frame.body, None
            body.close()
