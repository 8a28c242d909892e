"""Regions: waiting nodes that one unit may execute together without anybody's waiting for more than they need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from daskflow.frames import External
from daskflow.graph import Node

#: Stands for the frame's result among those that use a node.
_RESULT = -1


class Region:
    """Nodes that make one unit.

    Attributes
    ----------
    number : int
        Names it among the regions of one frame.
    nodes : list of Node
        In order.
    needs : set
        The keys of units, and the numbers of other regions, whose results it needs.
    users : frozenset of int
        The slots of the nodes outside that use it.
    exports : tuple of int
        The slots that are used outside.
    """

    __slots__ = ("exports", "needs", "nodes", "number", "users")

    def __init__(self, number: int, nodes: list[Node], needs: set[Any], users: frozenset[int]) -> None:
        self.number = number
        self.nodes = nodes
        self.needs = needs
        self.users = users
        self.exports: tuple[int, ...] = ()


def regions(
    waiting: Sequence[Node], values: Any, output: Iterable[int], outstanding: Iterable[str], *, merge: bool
) -> tuple[list[Region], Region]:
    """Group waiting nodes.

    Parameters
    ----------
    waiting
        The nodes, in order of their slots.
    values
        The values of slots; an :class:`External` where another unit gives it.
    output
        The slots that the frame's result is made of.
    outstanding
        The units that the frame's result must wait for, used or not.
    merge : bool
        Whether nodes may share a region at all.

    Returns
    -------
    list of Region
        All but the last.
    Region
        The one that ends with the frame's result; it may have no nodes.
    """
    grouping = _Grouping(waiting, values, tuple(output), merge)
    for node in waiting:
        grouping.add(node)
    return grouping.end(outstanding)


class _Grouping:
    def __init__(self, waiting: Sequence[Node], values: Any, output: tuple[int, ...], merge: bool) -> None:
        self.values = values
        self.merge = merge
        self.output = frozenset(output)
        self.home: dict[int, Region] = {}
        self.count = 0
        self.users: dict[int, set[int]] = {node.slot: set() for node in waiting}
        for node in waiting:
            for slot in node.deps:
                if slot in self.users:
                    self.users[slot].add(node.slot)
        # A node that nobody uses must have been executed as well before the frame's result is there.
        self.ends = [slot for slot, users in self.users.items() if not users or slot in self.output]
        for slot in self.ends:
            self.users[slot].add(_RESULT)

    def add(self, node: Node) -> None:
        """Find the region of a node whose dependencies have theirs."""
        region = self._joined(node.slot, node.deps, self._outside(node.deps))
        region.nodes.append(node)
        region.users = frozenset(self.users[node.slot])
        self.home[node.slot] = region

    def end(self, outstanding: Iterable[str]) -> tuple[list[Region], Region]:
        """Add the frame's result, as though it were a node."""
        outside = self._outside(self.output) | self._unread(outstanding)
        result = self._joined(_RESULT, self.ends, outside)
        others = {region.number: region for region in self.home.values() if region is not result}
        for region in (*others.values(), result):
            region.nodes.sort(key=lambda node: node.slot)
            region.exports = tuple(self._exports(region))
        return [others[number] for number in sorted(others)], result

    def _exports(self, region: Region) -> Iterator[int]:
        inside = {node.slot for node in region.nodes}
        for slot in sorted(inside):
            used = self.users[slot] - inside
            if slot in self.output or used - {_RESULT}:
                yield slot

    def _outside(self, slots: Iterable[int]) -> set[Any]:
        values = (self.values[slot] for slot in slots if slot not in self.home)
        return {value.key for value in values if type(value) is External}

    def _unread(self, outstanding: Iterable[str]) -> set[str]:
        """Return the units that no waiting node reads: nothing but the result waits for them."""
        read: set[Any] = set()
        for region in {region.number: region for region in self.home.values()}.values():
            read |= region.needs
        return set(outstanding) - read

    def _joined(self, slot: int, deps: Iterable[int], outside: set[Any]) -> Region:
        """Return the region that a new node goes on with: the only one that it needs, if nobody else does, or a new one."""
        before = self._grouped({self.home[dep].number: self.home[dep] for dep in deps if dep in self.home})
        if self.merge and len(before) == 1 and before[0].users == {slot} and outside <= before[0].needs:
            return before[0]
        self.count += 1
        return Region(self.count, [], outside | {region.number for region in before}, frozenset())

    def _grouped(self, before: dict[int, Region]) -> list[Region]:
        """Unite regions that need the same and are used by the same."""
        if not self.merge:
            return list(before.values())
        alike: dict[Any, Region] = {}
        for region in before.values():
            first = alike.setdefault((frozenset(region.needs), region.users), region)
            if first is not region:
                first.nodes.extend(region.nodes)
                for node in region.nodes:
                    self.home[node.slot] = first
        return list(alike.values())
