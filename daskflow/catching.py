"""Catching: where a failure ends, and what becomes of a frame in which something has failed. Pure.

An error goes down the stack of frames until one takes it: a map that some of its items may fail, a workflow whose other nodes are
executed all the same, or one that has something to be executed once it has failed. What other units execute of the frames that the
error went through is for nothing; their *domains* say which those are.
"""

from __future__ import annotations

from typing import NamedTuple

from daskflow.errors import RunFailed
from daskflow.failed import Failed, line, map_notes, others
from daskflow.frames import Frame, GraphFrame, MapFrame, known
from daskflow.graph import Node
from daskflow.outcome import add_note


class Catcher(NamedTuple):
    """Where an error ended.

    Attributes
    ----------
    frame : Frame or None
        The frame that took it.
    fell : (Frame, int) or None
        What failed as a whole: a node, or item, of a frame.
    error : BaseException
        The error, or what it became on the way.
    domains : list of tuple
        What failed while other units execute parts of it.
    """

    frame: Frame | None
    fell: tuple[Frame, int] | None
    error: BaseException
    domains: list[tuple[str, ...]]


def catch(frame: Frame, slot: int, error: BaseException) -> Catcher:
    """Take an error of a node, or of the frame itself where `slot` is negative, down the stack."""
    at: Frame | None = frame
    domains: list[tuple[str, ...]] = []
    while at is not None:
        if slot >= 0 and at.catches:
            error_of_map = _settle(at, slot, error)
            if error_of_map is None:
                return Catcher(at, (at, slot), error, domains)
            error = error_of_map
        handler = at.handler
        if isinstance(at, GraphFrame) and handler is not None:
            if at.outstanding:
                domains.append(at.domain_of(slot))
            if at.failing is None:
                at.fail(error, handler)
                return Catcher(at, None, error, domains)
            error = _instead(at, error)
        elif at.outstanding and at.scope.domain:
            domains.append(at.scope.domain)
        slot, at = at.slot, at.parent
    return Catcher(None, None, error, domains)


def is_overflow(bottom: Frame) -> bool:
    """Tell whether more items of a map have failed than may, in a frame that has only some of them: the whole map has failed then."""
    return isinstance(bottom, MapFrame) and bottom.exports and bottom.allowed is not None and bottom.failures > bottom.allowed


def is_spread(frame: Frame) -> bool:
    """Tell whether a map has items in other units as well, some of which may fail, and not all."""
    return isinstance(frame, MapFrame) and (frame.exports or bool(frame.away)) and frame.allowed is not None


def _settle(frame: Frame, slot: int, error: BaseException) -> BaseException | None:
    """Put a failure in the place of a value; return the map's own error where that is one too many."""
    frame.values[slot] = Failed(error)
    frame.done += 1
    if isinstance(frame, MapFrame):
        assert frame.allowed is not None
        frame.failures += 1
        if frame.failures > frame.allowed:
            return _map_error(frame)
    return None


def _instead(frame: GraphFrame, error: BaseException) -> BaseException:
    """Return why a frame has failed, when what is executed for that reason is over, or has failed as well."""
    assert frame.failing is not None
    why = frame.failing.exception()
    if error is not why:
        add_note(why, f"what was to be executed on this failure failed as well: {line(error)}")
    return why


def passed_over(frame: GraphFrame, node: Node) -> bool:
    """Tell whether a node cannot be executed now, since a value that it needs is not here; or not at all, since what it needs failed."""
    values = [frame.values[slot] for slot in node.deps]
    if frame.outstanding and not all(map(known, values)):
        frame.waiting.append(node)
        return True
    failed = [value for value in values if type(value) is Failed]
    if failed and frame.catches:
        frame.values[node.slot] = failed[0].skip()
    return bool(failed)


def raise_failures(frame: GraphFrame) -> None:
    """Raise the first failure among the nodes of a workflow whose other nodes went on, with a note of the others."""
    values = frame.values.items() if isinstance(frame.values, dict) else enumerate(frame.values)
    failures = [value for _, value in sorted(values, key=lambda pair: pair[0]) if type(value) is Failed]
    failed = [one for one in failures if not one.skipped]
    if failed or failures:
        error = (failed or failures)[0].exception()
        if failed[1:]:
            add_note(error, f"{len(failed)} nodes failed; the others' errors: {others(one.exception() for one in failed[1:])}")
        raise error


def tolerate(frame: MapFrame) -> None:
    """Put what stands for failed items among a map's results, if there are few enough.

    Raises
    ------
    BaseException
        The error of the first failed item, if there are too many; its notes tell of the others.
    """
    failed = {index: value for index, value in enumerate(frame.values) if type(value) is Failed}
    assert frame.allowed is not None
    if len(failed) > frame.allowed:
        raise _map_error(frame)
    exceptions = frame.entity.tolerance.return_exceptions  # type: ignore[union-attr]
    for index, one in failed.items():
        frame.values[index] = one.exception() if exceptions else None


def too_few(frame: MapFrame) -> BaseException:
    """Return the error of a map that has fewer items than must succeed."""
    assert frame.entity is not None
    assert frame.allowed is not None
    count = len(frame.values)
    return RunFailed(f"{frame.entity.name} has {count} items, but {count - frame.allowed} must succeed; give more items, or ask for less")


def _map_error(frame: MapFrame) -> BaseException:
    assert frame.entity is not None
    assert frame.allowed is not None
    failed = {index + frame.offset: value.exception() for index, value in enumerate(frame.values) if type(value) is Failed}
    error = next(iter(failed.values()))
    for note in map_notes(frame.entity.name, frame.allowed, {index: line(one) for index, one in failed.items()}):
        add_note(error, note)
    return error
