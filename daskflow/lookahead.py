"""Looking ahead: the keys of the nodes that come next, so that they are looked up in one go. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from daskflow.entity import MAP
from daskflow.errors import InputError
from daskflow.frames import Frame, GraphFrame, MapFrame, known

#: How many items of a map, and nodes of a body, are looked at.
_FIRST = 16
_ITEMS = 256
_NODES = 64


class Cache(Protocol):
    """What is needed of a cache."""

    def key(self, entity: Any, options: Any, inputs: Any, hashes: Any = None) -> str:
        """Return the key of a call."""
        ...

    def look_ahead(self, keys: list[str]) -> None:
        """Look many keys up at once."""
        ...


def ahead(cache: Cache, frame: Frame, slot: int) -> str | None:
    """Return the key of a node, or item, that is about to be executed, if it is known from looking ahead; look ahead otherwise.

    Parameters
    ----------
    cache
        The cache.
    frame
        The frame, whose cursor is just behind the node.
    slot
        The node's slot.
    """
    if frame.keys and slot in frame.keys:
        return frame.keys.pop(slot)
    frame.keys = dict(_items(cache, frame) if isinstance(frame, MapFrame) else _nodes(cache, frame))
    if len(frame.keys) < 2:
        # There is nothing to gain for one alone.
        return frame.keys.pop(slot, None)
    cache.look_ahead(list(frame.keys.values()))
    return frame.keys.pop(slot, None)


def _items(cache: Cache, frame: MapFrame) -> Iterator[tuple[int, str]]:
    target = frame.entity.target  # type: ignore[union-attr]
    # Few at first: to look at many takes a while, in which the first item would be taken for a long one.
    many = min(_ITEMS, max(_FIRST, frame.done))
    for item in range(frame.cursor - 1, min(frame.end, frame.cursor - 1 + many)):
        inputs = {name: items[item] for name, items in frame.lists.items()}
        try:
            yield item, cache.key(target, frame.cache, {**inputs, **frame.shared})
        except InputError:
            # It is told when it is the item's turn.
            continue


def _nodes(cache: Cache, frame: Any) -> Iterator[tuple[int, str]]:
    assert isinstance(frame, GraphFrame)
    for node in frame.todo[frame.cursor - 1 : frame.cursor - 1 + _NODES]:
        if node.cache is None or node.entity.kind == MAP or not all(known(frame.values[slot]) for slot in node.deps):
            continue
        try:
            yield node.slot, cache.key(node.entity, node.cache, node.inputs(frame.values), node.hashes)
        except InputError:
            continue
