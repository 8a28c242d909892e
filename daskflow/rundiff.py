"""What two runs differ in: inputs, code, results, and what became of their nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from daskflow import submissions
from daskflow.annotations import shorten
from daskflow.cachekey import token
from daskflow.result import decoded
from daskflow.runreport import SCHEMA, walk

if TYPE_CHECKING:
    from daskflow.runview import RunView

#: So many nodes of each run are compared.
MOST_NODES = 100_000
_MOST_TIMES = 10
_MOST_VALUE = 200
#: Seconds that are no difference.
_NOTHING = 0.001


def compare(first: RunView, second: RunView) -> dict[str, Any]:
    """Return what two runs differ in, as JSON has it; each pair is of the first and the second.

    Values that cannot be unpickled here are compared by their short texts.
    """
    ones = [_Side(first), _Side(second)]
    return {
        "schema": SCHEMA,
        "runs": [first.id, second.id],
        "summary": _changed(*({"status": one.view.status, "entity": _entity(one.view), "seconds": one.view.seconds} for one in ones)),
        "inputs": _values(ones[0].inputs, ones[1].inputs),
        "code": _changed(ones[0].code, ones[1].code),
        "code_known": all(one.code for one in ones),
        "result": _values(ones[0].result, ones[1].result).get("result"),
        **_nodes(first, second),
    }


def _entity(view: RunView) -> str:
    """Return what was run, with the name of its file for a script's: run or imported, it is the same."""
    name, file = view.row.entity, view.row.target.get("file") or "__main__"
    return f"{os.path.splitext(os.path.basename(file))[0]}.{name.removeprefix('__main__.')}" if name.startswith("__main__.") else name


class _Side:
    """What one of the runs was made of, as far as that is kept."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        data = view.kept("submission")
        self.code = _or(lambda: submissions.code_versions(data), {}) if data is not None else {}
        values = _or(lambda: submissions.unpacked(data).inputs, {}) if data is not None else {}
        self.inputs: dict[str, _Value] = {name: _Value(text, values, name) for name, text in view.row.inputs.items()}
        self.result: dict[str, _Value] = {}
        given = view.kept("result")
        if given is not None:
            found = _or(lambda: {"result": decoded(given, by_name=True)[0]}, {})
            text = shorten(found["result"], _MOST_VALUE) if found else "a value that is not read here"
            self.result["result"] = _Value(text, found, "result")


def _or(make: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return make()
    except Exception:
        # Users' classes may be gone, or raise whatever they like.
        return otherwise


class _Value:
    """A value, if it could be read, and a short text of it."""

    def __init__(self, text: str, values: Mapping[str, Any], name: str) -> None:
        self.text = text
        self._known = name in values
        self._value = values.get(name)

    def same(self, other: _Value) -> bool:
        if self.text != other.text or not (self._known and other._known):
            return self.text == other.text
        return bool(_or(lambda: token(self._value) == token(other._value), False) or _or(lambda: self._equal(other), False))

    def _equal(self, other: _Value) -> bool:
        return self._value == other._value


def _values(first: Mapping[str, _Value], second: Mapping[str, _Value]) -> dict[str, list[str | None]]:
    changed: dict[str, list[str | None]] = {}
    for name in {**first, **second}:
        one, other = first.get(name), second.get(name)
        if one is None or other is None or not one.same(other):
            changed[name] = [None if value is None else value.text for value in (one, other)]
    return changed


def _changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: [first.get(name), second.get(name)] for name in {**first, **second} if first.get(name) != second.get(name)}


def _nodes(first: RunView, second: RunView) -> dict[str, Any]:
    ones, others = (_table(view) for view in (first, second))
    both = [address for address in ones if address in others]
    times = [(address, *pair) for address in both if (pair := _seconds(ones[address][1], others[address][1])) is not None]
    return {
        "phases": {address: [ones[address][0], others[address][0]] for address in both if ones[address][0] != others[address][0]},
        "times": [list(one) for one in sorted(times, key=lambda one: -abs(one[1] - one[2]))[:_MOST_TIMES]],
        "only": [[address for address in ones if address not in others], [address for address in others if address not in ones]],
        "whole": max(len(ones), len(others)) < MOST_NODES,
    }


def _seconds(one: float | None, other: float | None) -> tuple[float, float] | None:
    return None if one is None or other is None or abs(one - other) <= _NOTHING else (one, other)


def _table(view: RunView) -> dict[str, tuple[str, float | None]]:
    return {node.address: (node.phase.value, node.seconds) for node in walk(view.state, most=MOST_NODES)}


def told(plain: Mapping[str, Any], most: int = 20) -> list[str]:
    r"""Return what two runs differ in as lines: at most so many of a kind.

    Examples
    --------
    >>> same = {"summary": {}, "inputs": {"a": ["1", "2"]}, "code": {}, "code_known": True, "result": None, "phases": {}, "times": []}
    >>> print("\n".join(told({"runs": ["r1", "r2"], "only": [[], ["step[3]"]], "whole": True, **same})))
    r1 and r2
    inputs
      a: 1 | 2
    only in r2
      step[3]
    """
    first, second = plain["runs"]
    sections = [
        ("run", _pairs(plain["summary"])),
        ("inputs", _pairs(plain["inputs"])),
        ("code", [_code(name, *pair) for name, pair in plain["code"].items()] if plain["code_known"] else ["is not known of both"]),
        ("result", _pairs({"result": plain["result"]} if plain["result"] else {})),
        ("phases", _pairs(plain["phases"])),
        ("times", [f"{address}: {_text(one)} | {_text(other)}" for address, one, other in plain["times"]]),
        *((f"only in {run}", list(only)) for run, only in zip((first, second), plain["only"], strict=True)),
    ]
    lines = [f"{first} and {second}"]
    for title, found in sections:
        if found:
            lines += [title, *(f"  {one}" for one in found[:most])]
            lines += [f"  …({len(found) - most} more; see --json)"] if len(found) > most else []
    if not plain["whole"]:
        lines.append(f"of each run only the first {MOST_NODES} nodes were compared")
    return lines if lines[1:] else [f"{first} and {second} differ in nothing that is known"]


def _pairs(changed: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {_text(one)} | {_text(other)}" for name, (one, other) in changed.items()]


def _text(value: Any) -> str:
    from daskflow.oneline import one_line
    from daskflow.runtree import duration

    return "-" if value is None else duration(value) if isinstance(value, float) else one_line(str(value), _MOST_VALUE)


def _code(name: str, one: str | None, other: str | None) -> str:
    if one is not None and other is not None:
        return f"{name} has changed"
    return f"{name} is only in {'the second' if one is None else 'the first'}"
