"""Going on from a run, repeating it, and cancelling it, from wherever its history is at hand."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from daskflow import driver, files, submissions
from daskflow.connecting import connect
from daskflow.entity import Entity
from daskflow.errors import InputError
from daskflow.historyrows import NOT_KEPT, RunRow
from daskflow.records import Status
from daskflow.submissions import Source, Submission

if TYPE_CHECKING:
    from distributed import Client

    from daskflow.archive import Archive
    from daskflow.handle import Run

logger = logging.getLogger(__name__)

#: Begins a run with what is said of it; set by who can.
begin: Callable[[Any, Mapping[str, Any], Mapping[str, Any], Source], Run] | None = None


def recover(archive: Archive, row: RunRow, client: Any, entity: Any, checkpoint: str | None) -> Run:
    """Go on from a run; see :meth:`daskflow.runview.RunView.recover`."""
    if row.status == Status.SUCCEEDED:
        again = f"run {row.entity} again" if row.cached else f"to run it again: daskflow rerun {row.id}"
        raise InputError(f"run {row.id} has succeeded, so there is nothing to recover; {again}")
    if row.live:
        raise InputError(f"run {row.id} is {row.status}; cancel it before it is recovered: daskflow cancel {row.id}")
    source = Source(row.id, row.target.get("lineage") or row.id, recovers=True, outputs=row.target.get("outputs"))
    changed: Mapping[str, Any] = {} if checkpoint is None else {"checkpoint": checkpoint}
    return _begin(archive, row, client, entity, {}, changed, source)


def rerun(archive: Archive, row: RunRow, client: Any, entity: Any, inputs: Mapping[str, Any]) -> Run:
    """Repeat a run; see :meth:`daskflow.runview.RunView.rerun`."""
    return _begin(archive, row, client, entity, inputs, {}, Source(row.id, row.id, recovers=False))


def submitted(archive: Archive, row: RunRow, entity: Any = None) -> Submission:
    """Return what a run executed, as it is now, where it can be found.

    Raises
    ------
    InputError
        When what is needed is not kept.
    """
    data = archive.ask("submission", row.id)
    if data is None:
        why = (
            "it was larger than 256 MiB"
            if row.submission_nbytes == NOT_KEPT
            else "all its results were in the cache"
            if row.cached
            else "the history does not have it"
        )
        raise InputError(f"what run {row.id} of {row.name} executed is not kept ({why}); run {row.entity} with its inputs again")
    now = entity if entity is not None else current(row.target)
    stored = submissions.unpacked(data, by_name=now is not None)
    if now is None:
        logger.warning(
            "%s is not found in %s any more; the code of run %s is used", row.entity, row.target.get("file") or "a module", row.id
        )
        now = stored.entity
    inputs = {name: value for name, value in stored.inputs.items() if name in now.interface.parameters}
    left_out = sorted(row.inputs.keys() - inputs.keys())
    if left_out:
        logger.warning("%s has no input %s any more; what run %s was given for that is left out", row.entity, ", ".join(left_out), row.id)
    return stored._replace(entity=now, inputs=inputs)


def current(target: Mapping[str, str]) -> Entity[..., Any] | None:
    """Return the entity as it is now, in this process or else in its file; ``None`` where it cannot be found.

    What a user's file raises when it is imported comes through as it is.
    """
    for module in map(sys.modules.get, ("__main__", target["module"])):
        if module is not None and (module.__name__ != "__main__" or _is_script(module, target)):
            found = _among(module, target)
            if found is not None:
                return found
    try:
        return _among(files.again(target["module"], target["file"]), target)
    except InputError:
        return None


def _is_script(main: ModuleType, target: Mapping[str, str]) -> bool:
    """Tell whether the script that is run here is where something was; what is typed at a prompt has no file."""
    file = getattr(main, "__file__", None)
    return os.path.realpath(file) == os.path.realpath(target["file"]) if file and target["file"] else not file and not target["file"]


def _among(module: ModuleType, target: Mapping[str, str]) -> Entity[..., Any] | None:
    kind, name = target["kind"], _name_in(target["module"], target["name"])
    for value in list(vars(module).values()):
        # One that came in a shipment is of another process.
        if isinstance(value, Entity) and (value.shipment, value.kind_name, _name_in(module.__name__, value.name)) == (None, kind, name):
            return value
    return None


def _name_in(module: str, name: str) -> str:
    """Return the name of what is defined in a module without that of the module, which is another one where a script is imported."""
    name = name.removeprefix("map of ")
    return next((name.removeprefix(one) for one in ("__main__.", f"{module}.") if name.startswith(one)), name)


def _begin(
    archive: Archive, row: RunRow, client: Any, entity: Any, inputs: Mapping[str, Any], given: Mapping[str, Any], source: Source
) -> Run:
    again = submitted(archive, row, entity)
    given = {**again.given, **given, "client": client or archive.client}
    importlib.import_module("daskflow.session")
    assert begin is not None
    return begin(again.entity, {**again.inputs, **inputs}, given, source)


def cancel(client: Client | None, row: RunRow, path: str | None) -> bool:
    """Cancel a run, or one of its nodes; tell whether something was executing there."""
    if not row.live:
        raise InputError(f"run {row.id} has ended: it is {row.status}")
    with _connected(client, row) as connected:
        return bool(driver.blocking(connected, driver.cancel(connected, row.id, path)))


@contextmanager
def _connected(client: Client | None, row: RunRow) -> Iterator[Client]:
    """Give a client of a run's scheduler."""
    if client is not None:
        yield client
        return
    own = connect(row.target["scheduler"])
    try:
        yield own
    finally:
        own.close()
