"""A run as one page of HTML: no script, nothing from elsewhere. Pure: plain data in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from daskflow.runtree import MARKS, duration
from daskflow.shortform import clean

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 72em; padding: 0 1em; color: #222; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin-top: 2em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; } dt { color: #666; } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: #f6f6f4; padding: .8em; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin-left: 1.2em; } summary { cursor: pointer; } .leaf { margin-left: 2.3em; }
.phase { color: #666; font-size: .9em; } .FAILED, .TIMED_OUT { color: #b00020; } .SUCCEEDED, .RECOVERED { color: #1b6e3c; }
.error { color: #b00020; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { background: #1c1c1c; color: #ddd; } pre { background: #2a2a2a; } }
"""


def page(run: Mapping[str, Any], tree: Mapping[str, Any], failure: str | None, logs: Sequence[str], notes: Sequence[str]) -> str:
    """Return the page.

    Parameters
    ----------
    run : dict
        As :func:`~daskflow.runreport.run_plain` gives it.
    tree : dict
        Its node, with those below it.
    failure : str or None
        Why it failed.
    logs : sequence of str
        What its tasks have printed and logged.
    notes : sequence of str
        What is to be said of the page itself.
    """
    title = f"{run['name']}: {run['status']}"
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head><body>",
        f'<h1><span class="{_safe(run["status"])}">{_safe(title)}</span></h1>',
        _headline(run),
        *([f"<h2>Failure</h2><pre>{_safe(failure)}</pre>"] if failure else []),
        "<h2>Nodes</h2>",
        *_tree(tree),
        "<h2>Logs</h2>",
        f"<pre>{_safe(chr(10).join(logs)) or 'none'}</pre>",
        *(f"<p>{_safe(one)}</p>" for one in notes),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _safe(text: Any) -> str:
    r"""Return text as it stands in a page.

    Examples
    --------
    >>> _safe("<script>\x1b\x00 & \ud800")
    '&lt;script&gt;\\x1b\\x00 &amp; \\ud800'
    """
    return escape(clean(str(text)))


def _headline(run: Mapping[str, Any]) -> str:
    pairs = [
        ("run", run["id"]),
        ("entity", f"{run['kind']} {run['entity']}"),
        ("started", datetime.fromtimestamp(run["started"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")),
        ("duration", duration(run["seconds"])),
        ("by", f"{run['owner']}, {run['mode']}"),
        ("source", run["source"]),
        ("nodes", ", ".join(f"{count} {phase}" for phase, count in run["counts"].items())),
        *((f"label {key}", value) for key, value in run["labels"].items()),
        *((f"input {name}", value) for name, value in run["inputs"].items()),
    ]
    return "<dl>" + "".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in pairs if value) + "</dl>"


def _tree(root: Mapping[str, Any]) -> Iterator[str]:
    # A stack of its own, since runs may be nested more deeply than Python's calls.
    waiting: list[Mapping[str, Any] | str] = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif not one["calls"]:
            yield f'<div class="leaf">{_node(one)}</div>'
        else:
            is_open = " open" if one is root or _has_failed(one) else ""
            yield f"<details{is_open}><summary>{_node(one)}</summary>"
            waiting += ["</details>", *reversed(one["calls"])]


def _has_failed(node: Mapping[str, Any]) -> bool:
    return node["phase"] in ("FAILED", "TIMED_OUT")


def _node(node: Mapping[str, Any]) -> str:
    phase = node["phase"]
    mark = next(mark for one, mark in MARKS.items() if one.value == phase)
    details = [duration(node["seconds"]), f"on {node['worker']}" if node["worker"] else "", node["cache"], node["child_run"]]
    details += [f"attempt {len(node['attempts']) + 1}"] if node["attempts"] else []
    details += [f"{node['inside']} inside"] if node["inside"] else []
    details += [f"of {node['untold']} that failed no more is told"] if node["untold"] else []
    said = _safe(", ".join(one for one in details if one))
    text = f'<span class="{phase}">{mark}</span> {_safe(node["label"])} <span class="phase">{phase} {said}</span>'
    return f'{text} <span class="error">{_safe(node["error"])}</span>' if node["error"] else text
