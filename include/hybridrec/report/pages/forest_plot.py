"""Intervals beside each other on one scale, as positions in per cent: the page draws them with plain boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hybridrec.evaluation.ablation import Ablation
from hybridrec.evaluation.comparisons import POPULARITY, Comparison
from hybridrec.report.facts import Metric
from hybridrec.report.pages.charts import Axis, ticks

KINDS = {
    "policy": "The lists as chosen for each segment",
    "strategy": "Strategies",
    "source": "Retrievers' own lists",
    "scorer": "Pair scorers, over all candidates",
}


@dataclass(frozen=True)
class ForestRow:
    """One interval. Positions are per cent of the track's width; rows of a group follow each other.

    role is a style: policy, strategy, source, scorer, popularity, best, gain, loss or even.
    """

    group: str
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
    """Rows on one scale. marks are (position, style) of vertical reference lines, ticks are (position, text)."""

    rows: tuple[ForestRow, ...]
    marks: tuple[tuple[float, str], ...]
    ticks: tuple[tuple[float, str], ...]


def metric_forest(metrics: Sequence[Metric], published: str) -> Forest:
    """Return lists by kind, in each by falling value; popularity and the best single retriever are marked through all rows."""
    lists = [m for m in metrics if m.kind in KINDS]
    rows = sorted(lists, key=lambda m: (list(KINDS).index(m.kind), -m.value, m.name))
    axis = _axis([0.0, *(m.high for m in rows)])
    best = next((m.name for m in rows if m.kind == "source"), "")
    roles = {m.name: _role(m, best) for m in rows}
    marks = tuple((axis.at(m.value), roles[m.name]) for m in rows if roles[m.name] in ("popularity", "best"))
    drawn = tuple(_drawn(axis, KINDS[m.kind], m.name, _note(m, best, published), roles[m.name], m) for m in rows)
    return Forest(drawn, marks, _ticks(axis))


def difference_forest(comparisons: Sequence[Comparison]) -> Forest:
    """Return differences around zero, by what they are against, popularity last, in each by falling difference."""
    rows = sorted(comparisons, key=lambda c: (c.question != "best_source", c.against == POPULARITY, c.against, -c.difference, c.name))
    axis = _axis([0.0, *(c.low for c in rows), *(c.high for c in rows)])
    drawn = tuple(_drawn(axis, _question(c), c.name, "", verdict(c.low, c.high), c) for c in rows)
    return Forest(drawn, ((axis.at(0.0), "zero"),), _ticks(axis))


def ablation_forest(ablations: Sequence[Ablation]) -> Forest:
    """Draw the contribution of each model, the largest first."""
    rows = sorted(ablations, key=lambda a: (-a.marginal_ndcg, a.source))
    axis = _axis([0.0, *(a.low for a in rows), *(a.high for a in rows)])
    drawn = tuple(_drawn(axis, "", a.source, "", verdict(a.low, a.high), a) for a in rows)
    return Forest(drawn, ((axis.at(0.0), "zero"),), _ticks(axis))


def verdict(low: float, high: float) -> str:
    """Return gain or loss where the whole interval says so, else even."""
    return "gain" if low > 0 else "loss" if high < 0 else "even"


def _drawn(axis: Axis, group: str, label: str, note: str, role: str, of: Metric | Comparison | Ablation) -> ForestRow:
    value = of.value if isinstance(of, Metric) else of.difference if isinstance(of, Comparison) else of.marginal_ndcg
    left = axis.at(of.low)
    return ForestRow(group, label, note, role, left, round(axis.at(of.high) - left, 1), axis.at(value), value, of.low, of.high, of.n_users)


def _question(comparison: Comparison) -> str:
    best = comparison.question == "best_source" or (comparison.question == "served" and comparison.against != POPULARITY)
    return ("against the best single retriever, " if best else "against ") + comparison.against


def _role(metric: Metric, best: str) -> str:
    if metric.kind != "source":
        return metric.kind
    if metric.name == POPULARITY:
        return "popularity"
    return "best" if metric.name == best else "source"


def _note(metric: Metric, best: str, published: str) -> str:
    words = ["published"] if metric.name == published else []
    words += ["best single retriever"] if metric.kind == "source" and metric.name == best else []
    return ", ".join(words)


def _axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    margin = (high - low or 1.0) * 0.04
    return Axis(low - (margin if low < 0 else 0.0), high + margin, 0.0, 100.0)


def _ticks(axis: Axis) -> tuple[tuple[float, str], ...]:
    return tuple((axis.at(value), f"{value:g}") for value in ticks(axis.low, axis.high))
