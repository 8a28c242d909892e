"""Draw ratios as a chart: how many times longer each other way takes, on a logarithmic scale.

::

    python benchmarks/plot.py FIGURES.json CHART.svg
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LABELS, HEIGHT, TOP = 960, 520, 22, 40
LOW, HIGH = 0.5, 3000.0


def place(ratio: float) -> float:
    """Return where a ratio is on the scale, in pixels."""
    share = math.log(min(max(ratio, LOW), HIGH) / LOW) / math.log(HIGH / LOW)
    return LABELS + share * (WIDTH - LABELS - 60)


def scale(bottom: int) -> Iterator[str]:
    """Yield the lines of the scale."""
    for ratio in (1, 10, 100, 1000):
        x = place(ratio)
        yield f'<line x1="{x:.0f}" y1="{TOP - 8}" x2="{x:.0f}" y2="{bottom}" stroke="{"#888" if ratio == 1 else "#ddd"}"/>'
        yield f'<text x="{x:.0f}" y="{TOP - 14}" text-anchor="middle">{ratio}x</text>'


def bar(row: dict[str, Any], y: int) -> Iterator[str]:
    """Yield one row."""
    start, end = sorted((place(1), place(row["ratio"])))
    colour = "#2a7f62" if row["ratio"] >= 1 else "#b5523b"
    name = f"{row['workload']} | {row['against'].partition(',')[0]}"
    yield f'<text x="{LABELS - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect x="{start:.1f}" y="{y + 4}" width="{max(1.5, end - start):.1f}" height="{HEIGHT - 8}" fill="{colour}"/>'
    yield f'<text x="{end + 6:.1f}" y="{y + 15}">{row["ratio"]:.3g}</text>'


def chart(rows: list[dict[str, Any]]) -> str:
    """Return the chart as SVG."""
    bottom = TOP + HEIGHT * len(rows)
    bars = [part for index, row in enumerate(rows) for part in bar(row, TOP + HEIGHT * index)]
    body = "\n".join([*scale(bottom), *bars])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 10}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    """Draw."""
    source, target = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    with open(target, "w", encoding="utf-8") as file:
        file.write(chart(rows))


if __name__ == "__main__":
    main()
