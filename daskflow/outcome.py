"""What becomes of an exception: notes that say where, and a record of it that can travel."""

from __future__ import annotations


def annotate(error: BaseException, run_id: str, address: str) -> None:
    """Add a note that says which run and node an exception comes from, once."""
    if not getattr(error, "__daskflow_noted__", False):
        error.add_note(f"in run {run_id}, node {address or '(the run itself)'}")
        try:
            error.__daskflow_noted__ = True  # type: ignore[attr-defined]
        except AttributeError:
            pass
