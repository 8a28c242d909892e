"""Lines that tasks have printed or logged, as they are told and shown. Pure."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime
from typing import NamedTuple

from daskflow.reports import read, write

# Control characters but for the tab; what turns the direction of text, or ends a line, somewhere; and what has no encoding.
_UNSEEN = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class LogLine(NamedTuple):
    r"""A line that a task has printed or logged.

    Attributes
    ----------
    address : str
        The node's address, with the run's id.
    when : float
        When it was written, in seconds since the epoch.
    level : str
        ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``, of :mod:`logging`; or ``stdout``, ``stderr``.
    text : str
        What was written, as it was; records of loggers as ``NAME: message``.

    Examples
    --------
    >>> str(LogLine("r0123456789:step1", 0.25, "stdout", "a\x00b\tc"))[5:]
    ':00.250 stdout r0123456789:step1  a\\x00b\tc'
    """

    address: str
    when: float
    level: str
    text: str

    def __str__(self) -> str:
        time = datetime.fromtimestamp(self.when, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3]
        return f"{time} {self.level} {self.address}  {visible(self.text)}"


def visible(text: str) -> str:
    r"""Return a text with characters that cannot be seen, or that do something to what shows them, as they are written in Python.

    Examples
    --------
    >>> visible("\x1b[31mred\x1b[0m and \ud800") == r"\x1b[31mred\x1b[0m and \ud800"
    True
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def without_logs(report: bytes) -> tuple[bytes | None, list[tuple[str, float, str, str]]]:
    """Return a report without its lines, ``None`` where there is nothing else in it, and the lines."""
    if b"logs" not in report:
        return report, []
    parts = pickle.loads(report)
    found = parts.pop("logs", [])
    return (write(parts) if found else report), found


def lines(report: bytes) -> list[LogLine]:
    """Return the lines that a unit's report tells of, in their order."""
    return [LogLine(*line) for line in read(report).logs]
