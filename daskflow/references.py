"""References: large values stay where they were made, and what is handed over is told where they are. Pure.

What a unit hands over travels through the scheduler, so it must be small. A large value in it is replaced by an
:class:`~daskflow.frames.External`: of the unit that gave the value, if it came from one; otherwise the execution's own value
becomes something that other units can read, under a key of its own. How it is made again, should it be lost, is told by its *place*:
the same unit's work is executed once more, until the value is there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from daskflow.execute import Execution
from daskflow.frames import MISSING, Away, External, Frame, GraphFrame, MapFrame, Part, known
from daskflow.graph import Node
from daskflow.spilling import Unit, on_terms, unit_key
from daskflow.stacks import stack

#: Bytes that values of these types take, about.
_FIXED = {int: 32, float: 24, bool: 28, type(None): 16, External: 0, type(MISSING): 0}
_ENOUGH = 32  # values of one type, after which their mean is taken for the next one's size

#: The digest of a frame's scope, what is there, and where in the frame.
Place = tuple[Any, ...]
SLOT, SLOTS, CONSTANT, SHARED, ITEMS = "slot", "slots", "constant", "shared", "items"


class Scale:
    """Estimates how many bytes values take, and looks at no more of them than it must.

    Parameters
    ----------
    sizeof
        Estimates the size of one value of any type, in bytes.

    Examples
    --------
    >>> scale = Scale(lambda value: 100)
    >>> scale.one(b"12345"), scale.one(object()), scale.all([1, 2])
    (5, 100, 64)
    """

    def __init__(self, sizeof: Callable[[Any], int]) -> None:
        self._sizeof = sizeof

    def one(self, value: Any) -> int:
        """Return the size of a value."""
        kind = type(value)
        fixed = _FIXED.get(kind)
        if fixed is not None:
            return fixed
        if kind in (str, bytes, bytearray):
            return len(value)
        nbytes = getattr(value, "nbytes", None)
        return nbytes if type(nbytes) is int else self._any(value)

    def _any(self, value: Any) -> int:
        try:
            size = self._sizeof(value)
            held = vars(value) if hasattr(value, "__dict__") else {}
            return size + sum(self._sizeof(one) for one in held.values())
        except Exception:
            # A size is a guess that makes things fast: a value that cannot be measured travels like a small one.
            return 0

    def all(self, values: Collection[Any]) -> int:
        """Return the size of many values."""
        total = 0
        for kind, count in Counter(map(type, values)).items():
            fixed = _FIXED.get(kind)
            total += count * fixed if fixed is not None else self._of_kind(kind, count, values)
        return total

    def _of_kind(self, kind: type, count: int, values: Collection[Any]) -> int:
        own: Iterator[Any] = (value for value in values if type(value) is kind)
        if kind in (str, bytes):
            return sum(len(value) for value in own)
        sample = [self.one(value) for value in itertools.islice(own, _ENOUGH)]
        return sum(sample) * count // len(sample)


class Kept(NamedTuple):
    """Values of an execution that others are to read.

    Attributes
    ----------
    key : str
        Their name.
    place : tuple
        What they are, for :func:`computed`.
    values : tuple
        The values.
    """

    key: str
    place: Place
    values: tuple[Any, ...]


class References:
    """The large values of one execution.

    Parameters
    ----------
    owner : str
        The unit that it executes.
    most : int
        Values of fewer bytes travel with what needs them.
    scale
        Measures values.
    """

    def __init__(self, owner: str, most: int, scale: Scale) -> None:
        self.owner = owner
        self.most = most
        self.scale = scale
        #: By ``id()``; the value is held as well, so that nothing else can have its id.
        self._known: dict[int, tuple[Any, External]] = {}
        self._keys: set[str] = set()
        self._brought = 0

    def __bool__(self) -> bool:
        return bool(self._known or self._keys)

    def arrived(self, results: Mapping[str, tuple[Any, ...]]) -> None:
        """Note what the results of other units brought."""
        for key, values in results.items():
            size = self.scale.all(values)
            self._brought += size
            if size < self.most:
                continue
            for item, value in enumerate(values):
                if type(value) not in _FIXED and self.scale.one(value) >= self.most:
                    self._known[id(value)] = (value, External(key, item))

    def made(self, frames: Sequence[Frame]) -> int:
        """Return the size, in bytes, of the values in the frames beyond what was brought to the execution."""
        return self._made([frame.values.values() if isinstance(frame.values, dict) else frame.values for frame in frames])

    def waiting(self, frames: Sequence[Frame]) -> int:
        """Return the size of those among them that wait for more than the next node: what that one needs must be here anyway."""
        return self._made([_waiting(frame) if isinstance(frame, GraphFrame) else frame.values for frame in frames])

    def _made(self, slots: Iterable[Collection[Any]]) -> int:
        total, seen = -self._brought, set[int]()
        for values in slots:
            if not self._known:
                total += self.scale.all(values)
                continue
            large = {id(value): self.scale.one(value) for value in values if id(value) in self._known}
            total += self.scale.all([value for value in values if id(value) not in large])
            total += sum(size for one, size in large.items() if one not in seen)
            seen.update(large)
        return total

    def lower(self, units: Iterable[Unit]) -> tuple[list[Unit], list[Kept]]:
        """Put references in the place of large values in units that were cut from the execution's frames.

        Returns
        -------
        list of Unit
            The units, which depend on what has the values.
        list of Kept
            The execution's own values among those that have not been kept before.
        """
        lowering = _Lowering(self)
        return [lowering.unit(unit) for unit in units], lowering.kept

    def known(self, value: Any) -> External | None:
        """Return the reference to a value, if it has one."""
        found = self._known.get(id(value))
        return None if found is None else found[1]

    def keep(self, place: Place, values: tuple[Any, ...]) -> Kept | None:
        """Return values as something to keep, if they are not kept already."""
        key = self.key(place)
        if len(values) == 1:
            self._known[id(values[0])] = (values[0], External(key, 0))
        if key in self._keys:
            return None
        self._keys.add(key)
        return Kept(key, place, values)

    def key(self, place: Place) -> str:
        """Return the name of the values at a place."""
        return unit_key(self.owner, "value", *place)


class _Lowering:
    def __init__(self, references: References) -> None:
        self.references = references
        self.kept: list[Kept] = []
        self.needs: set[str] = set()

    def unit(self, unit: Unit) -> Unit:
        self.needs = set()
        frames = tuple(self._graph(one) if isinstance(one, GraphFrame) else self._map(one) for one in unit.frames)  # type: ignore[arg-type]
        return unit._replace(frames=frames, deps=tuple(sorted({*unit.deps, *self.needs}))) if self.needs else unit

    def _graph(self, frame: GraphFrame) -> GraphFrame:
        digest = frame.scope.digest
        places = {slot: (digest, SLOT, frame.place(slot)) for slot in frame.values}
        changed = {slot: ref for slot, value in frame.values.items() if (ref := self._refer(value, places[slot])) is not None}
        free = itertools.count(min([-1, *frame.values]) - 1, -1)
        todo = [self._node(node, frame, changed, free) for node in frame.todo]
        if not changed:
            return frame
        return frame.with_values({**frame.values, **changed}, todo)

    def _node(self, node: Node, frame: GraphFrame, values: dict[int, Any], free: Iterator[int]) -> Node:
        """Give a node its large constants from slots of their own, which no node has."""
        refs = {}
        for name, value in node.constants.items():
            ref = self._refer(value, (frame.scope.digest, CONSTANT, frame.place(node.slot), name))
            if ref is not None:
                refs[name] = ref
        if not refs:
            return node
        rest = {name: value for name, value in node.constants.items() if name not in refs}
        whole = list(node.whole)
        for name, ref in refs.items():
            slot = next(free)
            values[slot] = ref
            whole.append((name, slot, True))
        return node.reduced(rest, tuple(whole))

    def _map(self, frame: MapFrame) -> MapFrame:
        digest = frame.scope.digest
        shared = {name: self._refer(value, (digest, SHARED, name)) or value for name, value in frame.shared.items()}
        lists = {name: self._items(frame, name, items) for name, items in frame.lists.items()}
        values, away = self._slots(frame)
        same = [
            not away,
            *(shared[name] is frame.shared[name] for name in shared),
            *(lists[name] is frame.lists[name] for name in lists),
        ]
        if all(same):
            return frame
        copy = MapFrame(frame.entity, None, frame.slot, 0, lists, shared, frame.offset, frame.exports)  # type: ignore[arg-type]
        copy.values, copy.cursor, copy.end, copy.cache = values, frame.cursor, frame.end, frame.cache
        copy.options, copy.allowed, copy.failures = frame.options, frame.allowed, frame.failures
        copy.scope, copy.outstanding, copy.away = frame.scope, frame.outstanding, [*frame.away, *away]
        return copy

    def _items(self, frame: MapFrame, name: str, items: Any) -> Any:
        if not isinstance(items, list) or self.references.scale.all(items) < self.references.most:
            return items
        known = [self.references.known(item) for item in items]
        if all(known):
            return [self._needed(ref) for ref in known if ref is not None]
        place = (frame.scope.digest, ITEMS, name, frame.offset, frame.offset + len(items))
        return self._keep(place, (items,))

    def _slots(self, frame: MapFrame) -> tuple[list[Any], list[Away]]:
        """Return a map's results; runs of those that are here become references, if they are large together."""
        if self.references.scale.all(frame.values) < self.references.most:
            return frame.values, []
        values, away = list(frame.values), []
        for start, stop in _runs([index for index, value in enumerate(values) if value is not MISSING]):
            place = (frame.scope.digest, SLOTS, start + frame.offset, stop + frame.offset)
            away.append(Away(start, stop, self._keep(place, tuple(values[start:stop])).key, 0))
            values[start:stop] = [MISSING] * (stop - start)
        return values, away

    def _refer(self, value: Any, place: Place) -> External | None:
        """Return the reference that a value is to be replaced with, if it is."""
        if self.references.scale.one(value) < self.references.most:
            return None
        ref = self.references.known(value)
        return self._needed(ref) if ref is not None else self._keep(place, (value,))

    def _keep(self, place: Place, values: tuple[Any, ...]) -> External:
        kept = self.references.keep(place, values)
        if kept is not None:
            self.kept.append(kept)
        return self._needed(External(self.references.key(place), 0))

    def _needed(self, ref: External) -> External:
        self.needs.add(ref.key)
        return ref


def _waiting(frame: GraphFrame) -> list[Any]:
    later = {slot for node in (*frame.todo[frame.cursor + 1 :], *frame.waiting) for slot in node.deps}
    later.update(frame.graph.output_slots if frame.exports is None else frame.exports)
    next_one = frame.todo[frame.cursor].deps if frame.left else ()
    return [frame.values[slot] for slot in later.difference(next_one)]


def _runs(indices: Sequence[int]) -> Iterable[tuple[int, int]]:
    start = before = indices[0]
    for index in indices[1:]:
        if index != before + 1:
            yield start, before + 1
            start = index
        before = index
    yield start, before + 1


def inputs(root: Unit, most: int, scale: Scale) -> tuple[Unit, list[Unit]]:
    """Give each large input of a run to a unit of its own, on which the run's first unit depends."""
    (frame,) = root.frames
    assert isinstance(frame, GraphFrame)
    (node,) = frame.todo
    units: list[Unit] = []
    whole: list[tuple[str, int, bool]] = []
    values: dict[int, Any] = {node.slot: MISSING}
    for name, value in node.constants.items():
        if scale.one(value) >= most:
            carrier = GraphFrame(Part({}), {0: value}, None, None, 0, [], exports=(0,))
            carrier.scope = frame.scope
            units.append(Unit(unit_key(root.key, "input", name), (carrier,), (), None, root.depth))
            whole.append((name, -1 - len(units), True))
            values[whole[-1][1]] = External(units[-1].key, 0)
    if not units:
        return root, []
    constants = {name: value for name, value in node.constants.items() if name not in {given for given, _, _ in whole}}
    first = GraphFrame(frame.graph, values, None, None, 0, [node.reduced(constants, tuple(whole))])
    first.scope = frame.scope
    return root._replace(frames=(first,), deps=tuple(unit.key for unit in units)), units


# ---------------------------------------------------------------- making them again


def computed(frames: Sequence[Frame], place: Place, mocks: Any = None, ceased: Iterable[str] = ()) -> tuple[Any, ...]:
    """Execute frames until the values at a place are there, and return them; what failed at some addresses does so again.

    Raises
    ------
    LookupError
        When they never are.
    """
    found = _found(frames, place)

    def look(execution: Execution) -> bool:
        nonlocal found
        found = _found(stack(execution.frame), place)
        return found is not None

    if found is None:
        execution = Execution(frames[-1])
        execution.check, execution.mocks, execution.drops = look, mocks, False
        execution.leave = partial(on_terms, "")
        for one in ceased:
            execution.cancel(one)
        execution.run()
    if found is None:
        raise LookupError(f"a value that was lost could not be made again: {place[1:]}")
    return found


def _found(frames: Sequence[Frame], place: Place) -> tuple[Any, ...] | None:
    digest, what, *where = place
    for frame in frames:
        if frame.scope.digest != digest:
            continue
        try:
            values = _MAP_PLACES[what](frame, *where) if isinstance(frame, MapFrame) else _GRAPH_PLACES[what](frame, *where)
        except LookupError:
            continue
        if all(map(known, values)):
            return tuple(values)
    return None


def _constant(frame: Any, place: int, name: str) -> tuple[Any, ...]:
    slot = frame.slot_at(place)
    nodes = [node for node in (*frame.todo, *frame.waiting) if node.slot == slot]
    return (nodes[0].constants[name],)


_GRAPH_PLACES: dict[str, Callable[..., Sequence[Any]]] = {
    SLOT: lambda frame, place: (frame.values[frame.slot_at(place)],),
    CONSTANT: _constant,
}
#: Of a map's frame; its items count from the first of the whole map.
_MAP_PLACES: dict[str, Callable[..., Sequence[Any]]] = {
    SLOT: lambda frame, item: (frame.values[item - frame.offset],),
    SLOTS: lambda frame, start, stop: frame.values[start - frame.offset : stop - frame.offset],
    SHARED: lambda frame, name: (frame.shared[name],),
    ITEMS: lambda frame, name, start, stop: ([frame.lists[name][item - frame.offset] for item in range(start, stop)],),
}
