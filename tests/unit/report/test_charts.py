"""Axes, ticks and positions of intervals."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hybridrec.evaluation.ablation import Ablation
from hybridrec.evaluation.comparisons import Comparison
from hybridrec.report.facts import Metric
from hybridrec.report.list_facts import Exposure, Histogram
from hybridrec.report.pages.charts import Axis, Line, histogram_chart, line_chart, lorenz_chart, ticks
from hybridrec.report.pages.forest_plot import ablation_forest, difference_forest, metric_forest


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-0.06, 0.25, [0.0, 0.1, 0.2]), (0, 7, [0, 2, 4, 6]), (120, 980, [200, 400, 600, 800])],
)
def test_ticks_are_round_and_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_an_axis_without_extent_does_not_divide_by_zero() -> None:
    assert Axis(2, 2, 0, 100).at(2) == 0


def test_metric_forest_marks_popularity_and_the_best_retriever() -> None:
    rows = [Metric("source", name, "all", "ndcg@10", value, value, value, 5) for name, value in (("als", 0.3), ("popularity", 0.1))]
    rows += [Metric("scorer", "fm", "all", "ndcg@10", 0.4, 0.4, 0.4, 5), Metric("pool", "pool", "all", "ndcg@10", 1, 1, 1, 5)]
    found = metric_forest([*rows, Metric("strategy", "stacking", "all", "ndcg@10", 0.5, 0.4, 0.6, 5)], "stacking")
    expected = [("stacking", "strategy"), ("als", "best"), ("popularity", "popularity"), ("fm", "scorer")]
    assert [(row.label, row.role) for row in found.rows] == expected
    assert [row.group.split()[0] for row in found.rows] == ["Strategies", "Retrievers'", "Retrievers'", "Pair"]
    assert [style for _, style in found.marks] == ["best", "popularity"]
    assert [row.note for row in found.rows] == ["published", "best single retriever", "", ""]
    assert found.rows[0].left < found.rows[0].point < found.rows[0].left + found.rows[0].width <= 100


def test_models_are_ordered_by_what_they_bring() -> None:
    rows = [
        Ablation("night", name, "stacking", "ndcg@10", v, v - 0.02, v + 0.02, 9, 0, 0.0, None, None)
        for name, v in (("als", 0.01), ("fm", 0.04))
    ]
    found = ablation_forest(rows).rows
    assert [(row.label, row.value, row.role) for row in found] == [("fm", 0.04, "gain"), ("als", 0.01, "even")]


def test_comparisons_are_grouped_by_what_they_are_against() -> None:
    pairs = [("strategy", "weighted", "popularity", 0.1), ("strategy", "als", "stacking", -0.1), ("best_source", "weighted", "als", 0.05)]
    rows = [Comparison(question, name, against, "all", "ndcg@10", d, d - 0.01, d + 0.01, 9) for question, name, against, d in pairs]
    found = difference_forest(rows).rows
    assert [row.group for row in found] == ["against the best single retriever, als", "against stacking", "against popularity"]
    assert [row.role for row in found] == ["gain", "loss", "gain"]
    served = [Comparison("served", "tonight", against, "served", "ndcg@10", 0.1, 0.05, 0.15, 9) for against in ("als", "popularity")]
    assert [row.group for row in difference_forest(served).rows] == ["against the best single retriever, als", "against popularity"]


def test_a_line_has_a_gap_where_it_was_not_judged() -> None:
    chart = line_chart(["a", "b", "<c>"], [Line("als", "best", ((0.2, 0.1, 0.3), None, (0.4, 0.3, 0.5)))], "ndcg@10")
    assert ElementTree.fromstring(chart).get("viewBox") == "0 0 720 240"
    assert chart.count("<circle") == 2


def test_charts_are_well_formed_and_escape_names() -> None:
    exposures = [Exposure("a", 2, 1, 1, 0.5, 1, 1, ((0, 0), (0.5, 0), (1, 1)))]
    for chart in (lorenz_chart(exposures), histogram_chart(Histogram("<x>", (0.0, 1.0, 2.0), (3, 0), (0, 0)))):
        assert ElementTree.fromstring(chart).tag == "svg"
