"""The tree of a run as text. Pure: what is known of a run in, lines out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from daskflow.nodeviews import NodeView, Phase
from daskflow.oneline import one_line
from daskflow.runbody import Body
from daskflow.runpages import pick

if TYPE_CHECKING:
    from daskflow.runstate import RunState

MARKS: Mapping[Phase, str] = {
    Phase.QUEUED: "…",
    Phase.RUNNING: "●",
    Phase.SUCCEEDED: "✓",
    Phase.FAILED: "✗",
    Phase.ABORTED: "⊘",
    Phase.SKIPPED: "-",
    Phase.TIMED_OUT: "✗",
    Phase.RECOVERED: "↺",
}

#: So many calls of one entity in a body, or items of a map, are a row each; more are one row together.
_FEW = 8
#: Of calls that are one row, so many in each phase that is worth seeing have one of their own, and so many that took longest.
_WORST, _SLOWEST = 5, 3
_WORTH = (Phase.FAILED, Phase.TIMED_OUT, Phase.RUNNING)
#: Columns beside the names take about so much room; names have so much at least.
_BESIDE, _LEAST = 40, 16
#: Characters of the note that a text was cut.
_MORE = 24
#: A line that is further in is drawn no further in.
_DEEPEST = 60


class Row(NamedTuple):
    """One line of a tree.

    Attributes
    ----------
    lead : str
        The lines that lead to it.
    mark : str
        Its phase as one character.
    label, phase, duration, notes : str
        The columns.
    """

    lead: str
    mark: str
    label: str
    phase: str = ""
    duration: str = ""
    notes: str = ""


class _Item(NamedTuple):
    """What becomes one row, and those below it."""

    label: str
    view: NodeView | None = None
    group: tuple[Body, Sequence[int]] | None = None
    note: str = ""


def draw(run: RunState, view: NodeView, depth: int | None, width: int) -> str:
    """Return a node of a run, and what it calls, as text; see :meth:`~daskflow.runstate.RunState.tree`."""
    rows = list(_rows(run, view, depth))
    return "\n".join(_aligned(rows, width))


def _rows(run: RunState, view: NodeView, depth: int | None) -> Iterator[Row]:
    # A stack of its own, since runs may be nested more deeply than Python's calls.
    waiting = [(_Item((view.address and view.label) or run.name, view), "", "", 0)]
    while waiting:
        item, lead, below, level = waiting.pop()
        yield _row(run, item, lead)
        inner = [] if depth is not None and level >= depth else _inner(run, item)
        for position, one in enumerate(reversed(inner)):
            last = position == 0
            waiting.append((one, _cut(f"{below}{'└─ ' if last else '├─ '}"), _cut(f"{below}{'   ' if last else '│  '}"), level + 1))


def _cut(lead: str) -> str:
    """Return the lines that lead to a row, of which there are as many as it is levels down, no longer than they may be."""
    return lead if len(lead) <= _DEEPEST else f"…{lead[-_DEEPEST:].lstrip('…')}"


def _row(run: RunState, item: _Item, lead: str) -> Row:
    if item.view is not None:
        view = item.view
        return Row(lead, MARKS[view.phase], item.label, view.phase.value, duration(view.seconds), ", ".join(_notes(view)))
    if item.group is None:
        return Row(lead, " ", item.label, notes=item.note)
    body, indices = item.group
    counts = _counted(run, body, indices)
    phase = _summary(counts, run.goes_on(body))
    starts = [body.starts[index] for index in indices if body.starts[index]]
    seconds = max(0.0, max(body.ends[index] for index in indices) - min(starts)) if phase.ended and starts else None
    return Row(lead, MARKS[phase], item.label, phase.value, duration(seconds), _told(counts))


def _counted(run: RunState, body: Body, indices: Sequence[int]) -> dict[Phase, int]:
    phases = run.phases(body)
    numbers = Counter(map(phases.__getitem__, indices))
    return {phase: numbers[number] for number, phase in enumerate(Phase) if numbers[number]}


def _summary(counts: Mapping[Phase, int], goes_on: bool) -> Phase:
    """Return the phase of calls together: the first of these that any is in; between two of them they are executing as well."""
    order = (Phase.FAILED, Phase.TIMED_OUT, Phase.RUNNING, Phase.ABORTED, Phase.QUEUED, Phase.SUCCEEDED, Phase.RECOVERED, Phase.SKIPPED)
    phase = next((phase for phase in order if counts.get(phase)), Phase.QUEUED)
    some_ended = counts.get(Phase.SUCCEEDED) or counts.get(Phase.RECOVERED)
    return Phase.RUNNING if phase is Phase.QUEUED and some_ended and goes_on else phase


def _told(counts: Mapping[Phase, int]) -> str:
    return ", ".join(f"{count} {phase.value}" for phase, count in counts.items())


def _notes(view: NodeView) -> Iterator[str]:
    if view.cache in ("HIT", "HIT_SERIALIZED"):
        yield "cached"
    if view.attempts:
        yield f"attempt {len(view.attempts) + 1}"
    if view.phase is Phase.RUNNING and view.worker:
        yield f"on {one_line(view.worker, 60)}"
    if view.inside and not view.counts:
        yield f"{view.inside} inside"
    if sum(view.counts.values()) > _FEW:
        yield _told(view.counts)
    if view.left_out:
        yield view.left_out
    if view.error:
        yield one_line(view.error, 200)


def _inner(run: RunState, item: _Item) -> list[_Item]:
    """Return the items below one."""
    if item.group is not None:
        return _opened(run, *item.group)
    body = run.body(item.view.address) if item.view is not None else None
    if body is None:
        return []
    if body.is_map:
        return _opened(run, body, body.nodes())
    return _calls(run, body)


def _calls(run: RunState, body: Body) -> list[_Item]:
    """Return the calls of a body, those of one entity together where there are many."""
    by_entity: dict[tuple[str, str], list[int]] = {}
    for index in body.nodes():
        by_entity.setdefault(body.called(index), []).append(index)
    items: list[_Item] = []
    for index in body.nodes():
        same = by_entity[body.called(index)]
        if len(same) <= _FEW:
            items.append(_single(run, body, index))
        elif index == same[0]:
            items.append(_Item(f"{_common_name(body, same)}[*] x {len(same)}", group=(body, same)))
    return items


def _common_name(body: Body, indices: Sequence[int]) -> str:
    """Return the name that calls of one entity have in addresses, or that of the entity where they have names of their own."""
    names = {body.label(index).partition("[")[0] for index in indices}
    return names.pop() if len(names) == 1 else body.called(indices[0])[0].rpartition(".")[2]


def _single(run: RunState, body: Body, index: int) -> _Item:
    return _Item(body.label(index), run.view(body, index))


def _opened(run: RunState, body: Body, indices: Sequence[int]) -> list[_Item]:
    """Return those of many that are worth seeing, and how many others there are."""
    if len(indices) <= _FEW:
        return [_single(run, body, index) for index in indices]
    shown = _worth_seeing(run, body, indices)
    items = [_single(run, body, index) for index in shown]
    left = _counted(run, body, indices)
    for item in items:
        assert item.view is not None
        left[item.view.phase] -= 1
    others = {phase: count for phase, count in left.items() if count}
    if others:
        items.append(_Item(f"… {sum(others.values())} more", note=_told(others)))
    return items


def _worth_seeing(run: RunState, body: Body, indices: Sequence[int]) -> list[int]:
    phases = run.phases(body)
    of_phase = {phase: [index for index in indices if phases[index] == number] for number, phase in enumerate(Phase)}
    shown = [index for phase in _WORTH for index in of_phase[phase][:_WORST]]
    shown += pick(body, phases, of_phase[Phase.SUCCEEDED], "slow", 0, _SLOWEST)
    return sorted(shown)


def duration(seconds: float | None) -> str:
    """Return a duration as people read it; empty where there is none.

    Examples
    --------
    >>> [duration(one) for one in (None, 0.0000042, 0.0123, 1.25, 75.0, 7384.0, 200_000.0)]
    ['', '4 us', '12 ms', '1.2 s', '1 min 15 s', '2 h 03 min', '2 d 07 h']
    """
    if seconds is None:
        return ""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    _, size, unit, part, small = next(scale for scale in _SCALES if seconds < scale[0])
    whole, rest = divmod(int(seconds), size)
    return f"{whole} {unit} {rest // part:02d} {small}"


#: Up to how many seconds a duration is told in which two units, and how many seconds those are.
_SCALES: tuple[tuple[float, int, str, int, str], ...] = (
    (3600, 60, "min", 1, "s"), (86400, 3600, "h", 60, "min"), (math.inf, 86400, "d", 3600, "h")
)  # fmt: skip


def _aligned(rows: list[Row], width: int) -> Iterator[str]:
    most = max(_LEAST, width - _BESIDE)
    heads = [f"{row.lead}{row.mark} {_fitting(row.label, most - len(row.lead) - 2)}" for row in rows]
    head = max(map(len, heads))
    phase, time = max(len(row.phase) for row in rows), max(len(row.duration) for row in rows)
    room = width - head - phase - time - 6
    for text, row in zip(heads, rows, strict=True):
        yield f"{text:<{head}}  {row.phase:<{phase}}  {row.duration:>{time}}  {_fitting(row.notes, room)}".rstrip()


def _fitting(text: str, room: int) -> str:
    """Return a text on one line, as far as there is room for it and for the note that it was cut."""
    shown = one_line(text, max(_LEAST, room))
    return shown if len(shown) <= room else one_line(text, max(_LEAST, room - _MORE))
