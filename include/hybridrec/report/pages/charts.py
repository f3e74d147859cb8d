"""Small pictures as inline SVG. They take their colours from the page, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from hybridrec.report.list_facts import Exposure, Histogram

WIDTH, HEIGHT, WIDE = 360, 240, 720
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 34


@dataclass(frozen=True)
class Axis:
    """A value axis, drawn over a span of pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)


def lorenz_chart(exposures: Sequence[Exposure]) -> Markup:
    """Return the share of entries over the share of the catalogue; the diagonal is an even spread."""
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, 1, HEIGHT - BOTTOM, TOP)
    lines = [_grid(x, y, "share of the catalogue, least shown first", "share of positions")]
    lines.append(f'<line class="even" x1="{x.at(0)}" y1="{y.at(0)}" x2="{x.at(1)}" y2="{y.at(1)}"/>')
    for number, exposure in enumerate(exposures):
        points = " ".join(f"{x.at(a)},{y.at(b)}" for a, b in exposure.curve)
        lines.append(f'<polyline class="curve c{number}" points="{points}"/>')
    return _svg(lines, "Lorenz curves of exposure")


def histogram_chart(histogram: Histogram) -> Markup:
    """Return counts of all scores, and of every list's best score in front, both as a share of their own total."""
    shares = [_shares(histogram.counts), _shares(histogram.best_counts)]
    top = max(max(values) for values in shares) * 1.05 or 1.0
    x = Axis(histogram.edges[0], histogram.edges[-1], LEFT, WIDTH - RIGHT)
    y = Axis(0, top, HEIGHT - BOTTOM, TOP)
    lines = [_grid(x, y, "score", "share")]
    for number, values in enumerate(shares):
        for low, high, value in zip(histogram.edges, histogram.edges[1:], values, strict=False):
            if value:
                width = max(x.at(high) - x.at(low) - 1, 0.5)
                height = round(y.at(0) - y.at(value), 1)
                lines.append(f'<rect class="bar c{number}" x="{x.at(low)}" y="{y.at(value)}" width="{width:.1f}" height="{height}"/>')
    return _svg(lines, f"Distribution of the scores of {histogram.name}")


@dataclass(frozen=True)
class Line:
    """A line of a chart; style is a class of the page. points: (value, low, high) at each position, or None."""

    name: str
    style: str
    points: tuple[tuple[float, float, float] | None, ...]


def line_chart(ticks: Sequence[str], lines: Sequence[Line], label: str) -> Markup:
    """Return lines over named positions, each with its interval as a bar at every position."""
    top = max((point[2] for line in lines for point in line.points if point), default=1.0) * 1.05 or 1.0
    x, y = Axis(-0.5, len(ticks) - 0.5, LEFT, WIDE - RIGHT), Axis(0, top, HEIGHT - BOTTOM, TOP)
    parts = [_horizontal(x, y, label)]
    parts += [f'<text x="{x.at(n)}" y="{y.start + 14}" text-anchor="middle">{escape(tick)}</text>' for n, tick in enumerate(ticks)]
    for number, line in enumerate(lines):
        aside = 3.0 * (number - (len(lines) - 1) / 2)  # pixels: bars of lines that are near each other stay apart
        known = [(x.at(n) + aside, *point) for n, point in enumerate(line.points) if point]
        points = " ".join(f"{at:.1f},{y.at(value)}" for at, value, _, _ in known)
        parts.append(f'<polyline class="line {line.style}" points="{points}"/>')
        for at, value, low, high in known:
            parts.append(f'<line class="line {line.style}" x1="{at:.1f}" x2="{at:.1f}" y1="{y.at(low)}" y2="{y.at(high)}"/>')
            parts.append(f'<circle class="point {line.style}" cx="{at:.1f}" cy="{y.at(value)}" r="3"/>')
    return _svg(parts, f"{label} at {len(ticks)} points in time", WIDE)


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _grid(x: Axis, y: Axis, x_label: str, y_label: str) -> str:
    parts = [_horizontal(x, y, y_label)]
    for value in ticks(x.low, x.high):
        parts.append(f'<text x="{x.at(value)}" y="{y.start + 14}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text class="axis" x="{(x.start + x.end) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _horizontal(x: Axis, y: Axis, y_label: str) -> str:
    """Return lines across at round values, with the values and what they are."""
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y.at(value)}" y2="{y.at(value)}"/>')
        parts.append(f'<text x="{x.start - 6}" y="{y.at(value) + 3.5}" text-anchor="end">{value:g}</text>')
    parts.append(
        f'<text class="axis" x="10" y="{(y.start + y.end) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 10 {(y.start + y.end) / 2})">{escape(y_label)}</text>'
    )
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers within a range, for an axis."""
    span = high - low or 1.0
    step = 10.0 ** math.floor(math.log10(span / 3))
    step *= next(factor for factor in (5, 2, 1) if span / (step * factor) >= 3 or factor == 1)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{n * step:.6g}") for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _svg(lines: Sequence[str], label: str, width: int = WIDTH) -> Markup:
    body = "".join(lines)
    # every text in the body is a number or was escaped above
    return Markup(f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{escape(label)}">{body}</svg>')  # noqa: S704
