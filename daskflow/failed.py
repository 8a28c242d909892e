"""Failures as values: what stands in the place of a result that could not be made.

Most failures end the run. Where something is to go on in spite of them (a map that some of its items may fail, a workflow whose other
nodes are to be executed all the same, a body that catches exceptions), a :class:`Failed` takes the place of the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from daskflow.errors import GateTimeout, PlanBusy, RunCancelled, RunFailed, RunSkipped, WorkerCrashed
from daskflow.oneline import MOST_LINE, error_line, one_line
from daskflow.outcome import Failure, add_note, annotate, stand_in, stands_in
from daskflow.shortform import counted
from daskflow.where import Where


class Failed:
    """Stands in the place of a value that could not be made.

    Parameters
    ----------
    error : BaseException, optional
        Why, in the process where it was raised.
    record : Failure, optional
        The same as it travels.
    skipped : bool
        Whether the node was not executed at all, since what it needs failed.
    """

    __slots__ = ("_error", "_record", "skipped")

    def __init__(self, error: BaseException | None = None, record: Failure | None = None, skipped: bool = False) -> None:
        if error is not None and stands_in(error):
            # Raised again in a thread of somebody else's, they would end that.
            error = stand_in(error)
        self._error = error
        self._record = record
        self.skipped = skipped

    def exception(self) -> BaseException:
        """Return the exception itself."""
        if self._error is None:
            assert self._record is not None
            self._error = self._record.exception()
        return self._error

    def record(self) -> Failure:
        """Return what travels."""
        if self._record is None:
            assert self._error is not None
            self._record = Failure.of(self._error)
        return self._record

    def skip(self) -> Failed:
        """Return what stands for a node that needs this one's value."""
        return Failed(self._error, self._record, skipped=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _failed, (tuple(self.record()), self.skipped)

    def __repr__(self) -> str:
        return f"<{'skipped, since what it needs ' if self.skipped else ''}failed: {self.exception()!r}>"


def _failed(record: tuple[Any, ...], skipped: bool) -> Failed:
    return Failed(record=Failure(*record), skipped=skipped)


class AllFailed:
    """The result of a unit that failed: whatever item of it is asked for.

    Examples
    --------
    >>> AllFailed(Failed(ValueError("no")))[3]
    <failed: ValueError('no')>
    """

    def __init__(self, failed: Failed) -> None:
        self.failed = failed

    def __getitem__(self, item: int | slice) -> Any:
        return [self.failed] * (item.stop - item.start) if isinstance(item, slice) else self.failed


def error_of(run: str, failure: Mapping[str, Any]) -> BaseException:
    """Return the exception that tells of a failure, from its record as it travels."""
    if "failure" in failure:
        error = Failure(*failure["failure"]).exception()
        for note in _map_notes(failure):
            add_note(error, note)
        return error
    error = _REASONS[next(reason for reason in _REASONS if reason in failure)](run, failure)
    annotate(error, Where(run, place_of(failure) or ""))
    return error


def line_of(run: str, failure: Mapping[str, Any] | None) -> str:
    """Return why a run failed on one line, from the record of that; empty where there is none."""
    if failure is None:
        return ""
    if "lost" in failure:
        return one_line(f"SchedulerLost: {failure['lost']}", MOST_LINE)
    record = failure_of(run, restored(failure))
    return one_line(f"{record.kind}: {record.message}" if record.message else record.kind, MOST_LINE)


def place_of(failure: Mapping[str, Any] | None) -> str | None:
    """Return the address of what failed, where the record of a failure says that.

    Examples
    --------
    >>> place_of({"crash": "6 workers died", "address": "a/b"}), place_of({"gate": "c", "timeout": 1}), place_of({"fault": "none"})
    ('a/b', 'c', None)
    """
    if failure is None:
        return None
    if "failure" in failure:
        where = Failure(*failure["failure"]).where
        return None if where is None else str(where["address"])
    return next((str(failure[name]) for name in ("address", "gate", "cancelled") if name in failure), None)


def failure_of(run: str, failure: Mapping[str, Any]) -> Failure:
    """Return the record of a failure as it travels, whatever its reason; a user's exception is not unpickled."""
    if "failure" not in failure:
        return Failure.seen(error_of(run, failure))
    record = Failure(*failure["failure"])
    return record._replace(notes=(*record.notes, *_map_notes(failure)))


def _map_notes(failure: Mapping[str, Any]) -> list[str]:
    return map_notes(*restored(failure)["map"]) if "map" in failure else []


_REASONS: dict[str, Callable[[str, Mapping[str, Any]], BaseException]] = {
    "crash": lambda run, one: WorkerCrashed(f"run {run} failed: {one['crash']}; look at the workers' logs, for memory above all"),
    "erred": lambda run, one: RunFailed(f"run {run} failed: Dask could not run unit {one['key']}: {one['erred']}"),
    "gate": lambda run, one: GateTimeout(f"nobody answered the gate {one['gate']} of run {run} within {one['timeout']:g} s"),
    "replaced": lambda run, one: RunCancelled(f"a newer run of launch plan {one['replaced']} took the place of this one, in run {run}"),
    "cancelled": lambda run, one: cancelled(run, one["cancelled"]),
    "busy": lambda _, one: _busy(one),
    "fault": lambda run, one: RunFailed(f"run {run} failed: {one['fault']}"),
}


def cancelled(run: str, place: str) -> RunCancelled:
    """Return the error of what was cancelled at an address of a run."""
    return RunCancelled(f"{place} was cancelled, in run {run}")


def _busy(failure: Mapping[str, Any]) -> BaseException:
    text = f"launch plan {failure['busy']} has {failure['limit']} runs, and may have no more at the same moment"
    return RunSkipped(text) if failure["skipped"] else PlanBusy(text)


#: So many messages of failed items are told, and so many ranges of items for each.
_MOST_TOLD = 10
_MOST_RANGES = 8
_MOST_LINE = 200  # characters


def map_notes(name: str, allowed: int, lines: Mapping[int, str]) -> list[str]:
    """Return the notes that tell of a map more of whose items have failed than may: one message once.

    Examples
    --------
    >>> map_notes("map of f", 2, {0: "ValueError: no", 1: "ValueError: no", 2: "KeyError: 'k'", 5: "ValueError: no"})
    ['map of f: 4 items failed, and at most 2 may', '  [0-1], [5]: ValueError: no', "  [2]: KeyError: 'k'"]
    """
    by_text: dict[str, list[int]] = {}
    for index in sorted(lines):
        by_text.setdefault(lines[index], []).append(index)
    told = [f"  {_ranges(indices)}: {text}" for text, indices in list(by_text.items())[:_MOST_TOLD]]
    left = len(by_text) - len(told)
    more = [f"  …({counted(left, 'message')} more)"] if left else []
    return [f"{name}: {counted(len(lines), 'item')} failed, and at most {allowed} may", *told, *more]


def others(errors: Iterable[BaseException]) -> str:
    """Return what is told of several errors beside another: one message once.

    Examples
    --------
    >>> others([ValueError("no"), ValueError("no"), KeyError("k")])
    "ValueError: no; KeyError: 'k'"
    """
    lines = [*dict.fromkeys(map(line, errors))]
    left = len(lines) - _MOST_TOLD
    return "; ".join([*lines[:_MOST_TOLD], *([f"…({counted(left, 'message')} more)"] if left > 0 else [])])


def restored(failure: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the record of a failure that was JSON meanwhile, which has text for keys.

    Examples
    --------
    >>> restored({"map": ["map of f", 2, {"11": "ValueError: no"}]})
    {'map': ('map of f', 2, {11: 'ValueError: no'})}
    """
    if "map" not in failure:
        return failure
    name, allowed, lines = failure["map"]
    return {**failure, "map": (name, allowed, {int(index): line for index, line in lines.items()})}


def line(error: BaseException) -> str:
    """Return an error in one short line."""
    return error_line(error, _MOST_LINE)


def _ranges(indices: list[int]) -> str:
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    left = sum(high - low + 1 for low, high in ranges[_MOST_RANGES:])
    told = ", ".join(f"[{low}]" if low == high else f"[{low}-{high}]" for low, high in ranges[:_MOST_RANGES])
    return f"{told}, …({counted(left, 'item')} more)" if left else told
