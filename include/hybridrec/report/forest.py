"""Intervals beside each other on one scale, as places in per cent: the page draws them with plain boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridrec.evaluation.comparisons import Comparison
from hybridrec.report.charts import Axis, ticks
from hybridrec.report.facts import Metric


@dataclass(frozen=True)
class ForestRow:
    """One interval. Places are per cent of the track's width. role is a style: strategy, source, popularity, best, gain, loss or even."""

    label: str
    note: str
    role: str
    left: float
    width: float
    point: float
    value: float
    low: float
    high: float
    n_users: int


@dataclass(frozen=True)
class Forest:
    """Rows on one scale. marks are (place, style) of vertical reference lines, ticks are (place, text)."""

    rows: tuple[ForestRow, ...]
    marks: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]


def metric_forest(metrics: Sequence[Metric], published: str) -> Forest:
    """Lists by falling value; popularity and the best single source are marked through all rows."""
    rows = sorted((m for m in metrics if m.kind != "pool"), key=lambda m: (-m.value, m.name))
    axis = _axis([0.0, *(m.high for m in rows)])
    best = next((m.name for m in rows if m.kind == "source"), "")
    roles = {m.name: _role(m, best) for m in rows}
    marks = tuple((axis.at(m.value), roles[m.name]) for m in rows if roles[m.name] in ("popularity", "best"))
    drawn = tuple(
        ForestRow(
            m.name,
            _note(m, best, published),
            roles[m.name],
            axis.at(m.low),
            round(axis.at(m.high) - axis.at(m.low), 1),
            axis.at(m.value),
            m.value,
            m.low,
            m.high,
            m.n_users,
        )
        for m in rows
    )
    return Forest(drawn, marks, _ticks(axis))


def difference_forest(comparisons: Sequence[Comparison], sign: int = 1) -> Forest:
    """Differences around zero; sign -1 turns what is lost without a source into what the source brings."""
    turned = [
        replace(c, difference=sign * c.difference, low=min(sign * c.low, sign * c.high), high=max(sign * c.low, sign * c.high))
        for c in comparisons
    ]
    axis = _axis([0.0, *(c.low for c in turned), *(c.high for c in turned)])
    rows = [
        ForestRow(
            c.name,
            f"against {c.against}" if sign > 0 else "",
            "gain" if c.low > 0 else "loss" if c.high < 0 else "even",
            axis.at(c.low),
            round(axis.at(c.high) - axis.at(c.low), 1),
            axis.at(c.difference),
            c.difference,
            c.low,
            c.high,
            c.n_users,
        )
        for c in turned
    ]
    rows.sort(key=lambda row: (-row.value, row.label, row.note))
    return Forest(tuple(rows), ((axis.at(0.0), "zero"),), _ticks(axis))


def _role(metric: Metric, best: str) -> str:
    if metric.kind == "strategy":
        return "strategy"
    if metric.name == "popularity":
        return "popularity"
    return "best" if metric.name == best else "source"


def _note(metric: Metric, best: str, published: str) -> str:
    words = [metric.kind]
    if metric.name == published:
        words.append("published")
    if metric.kind == "source" and metric.name == best:
        words.append("best single source")
    return ", ".join(words)


def _axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    margin = (high - low or 1.0) * 0.04
    return Axis(low - (margin if low < 0 else 0.0), high + margin, 0.0, 100.0)


def _ticks(axis: Axis) -> tuple[tuple[float, str], ...]:
    return tuple((axis.at(value), f"{value:g}") for value in ticks(axis.low, axis.high))
