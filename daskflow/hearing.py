"""What the scheduler hears of workers: the messages of units, into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from daskflow.records import FailedItem, Value
from daskflow.wire import read_pool, read_spec

if TYPE_CHECKING:
    from daskflow.coordinator import Coordinator
    from daskflow.register import Entry


class Hearing:
    """What the coordinator does with what workers say.

    Parameters
    ----------
    coordinator
        Whose ledger, tasks and register are concerned.
    """

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        handlers: dict[str, Callable[..., None]] = {
            "daskflow-hello": self._on_hello,
            "daskflow-spill": self._on_spill,
            "daskflow-tail": self._on_tail,
            "daskflow-fail": self._on_fail,
            "daskflow-fall": self._on_fall,
            "daskflow-item-failed": self._on_item_failed,
            "daskflow-report": self._on_report,
            "daskflow-result": self._on_result,
            **coordinator.cancelling.stream_handlers,
        }
        self.stream_handlers: dict[str, Callable[..., None]] = {op: partial(self.hear, handler) for op, handler in handlers.items()}

    def hear(self, handler: Callable[..., object], **message: Any) -> None:
        """Hear what a worker says; a fault of ours would have Dask take the worker for broken, and remove it."""
        try:
            handler(**message)
        except Exception as error:
            self._of.fault(message.get("key", ""), error)
            self._of.flush_soon()

    def _on_hello(self, worker: str, **_: Any) -> None:
        self._of.announcer.add(worker)

    def _on_spill(
        self, worker: str, key: str, units: list[Any], values: list[Any], holds: list[Any], resume: bytes | None, report: bytes | None,
        place: str,
    ) -> None:  # fmt: skip
        kept = [Value(name, (worker, tuple(place), nbytes)) for name, place, nbytes in values]
        if self._of.tasks.is_on(key, worker):
            self._note(key, report, place)
            self._of.guarded(key, lambda: self._spill(key, units, holds, kept, resume))
        self._disown_soon(worker, kept)

    def _spill(self, key: str, units: list[Any], holds: list[Any], values: list[Value], resume: bytes | None) -> None:
        accepted = self._of.ledger.spill(key, map(read_spec, units), filter(None, map(read_pool, holds)), values)
        payload = self._of.tasks.payload(key)
        if accepted and payload is not None and resume is not None:
            payload.data = resume

    def _on_tail(self, worker: str, key: str, units: list[Any], values: list[Any], output: str, report: bytes | None) -> None:
        kept = [Value(name, (worker, tuple(place), nbytes)) for name, place, nbytes in values]
        if self._of.tasks.is_on(key, worker):
            self._note(key, report)
            self._of.guarded(key, lambda: self._of.ledger.tail(key, map(read_spec, units), output, kept))
        self._disown_soon(worker, kept)

    def _disown_soon(self, worker: str, values: list[Value]) -> None:
        """Once instructions are carried out, let the worker drop those values that were not taken up."""
        if values:
            keys = [value.key for value in values]
            self._of.flush_soon()
            asyncio.get_running_loop().call_soon(self._of.tasks.disown, keys, worker)

    def _on_fail(
        self, worker: str, key: str, failure: list[Any], report: bytes | None = None, run: str | None = None, whole: bool = False
    ) -> None:
        if self._of.tasks.is_on(key, worker):
            entry, unit = self._note(key, report), self._of.ledger.units.get(key)
            # There is none where the run has ended a moment ago: Dask is still to be told.
            if entry is not None and unit is not None and entry.story.ended is None and not unit.domain:
                entry.story.failed = run
            self._of.guarded(key, lambda: self._of.ledger.fail(key, {"failure": failure}, whole))

    def _on_fall(self, worker: str, key: str, domains: list[list[str]], failure: list[Any]) -> None:
        if self._of.tasks.is_on(key, worker):
            for domain in domains:
                self._of.guarded(key, lambda domain=domain: self._of.ledger.fall(key, domain, {"failure": failure}))  # type: ignore[misc]

    def _on_item_failed(self, worker: str, key: str, item: Any, failure: list[Any]) -> None:
        if self._of.tasks.is_on(key, worker):
            one = FailedItem(*item)
            one = one._replace(domain=tuple(one.domain))
            self._of.guarded(key, lambda: self._of.ledger.item_failed(key, one, {"failure": failure}))

    def _on_report(self, worker: str, key: str, report: bytes | None, place: str = "") -> None:
        if self._of.tasks.is_on(key, worker):
            self._note(key, report, place)

    def _on_result(self, worker: str, key: str, data: bytes) -> None:
        if (entry := self._entry(key)) and self._of.tasks.is_on(key, worker):
            entry.value = (key, data)

    def _entry(self, key: str) -> Entry | None:
        unit = self._of.ledger.units.get(key)
        return self._of.register.runs.get(unit.run.id) if unit is not None else None

    def _note(self, key: str, report: bytes | None, place: str = "") -> Entry | None:
        unit = self._of.ledger.units.get(key)
        if unit is None:
            return None
        unit.place = place
        return self._of.tell(unit.run.id, report)
