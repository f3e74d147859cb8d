"""Axes, ticks and places of intervals."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hybridrec.report.charts import Axis, histogram_chart, lorenz_chart, ticks
from hybridrec.report.facts import Comparison, Exposure, Histogram, Metric
from hybridrec.report.forest import difference_forest, metric_forest


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-0.06, 0.25, [0.0, 0.1, 0.2]), (0, 7, [0, 2, 4, 6]), (120, 980, [200, 400, 600, 800])],
)
def test_ticks_are_round_and_within_the_range(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_an_axis_without_extent_does_not_divide_by_zero() -> None:
    assert Axis(2, 2, 0, 100).at(2) == 0


def test_metric_forest_marks_popularity_and_the_best_source() -> None:
    rows = [Metric("source", name, "all", "ndcg@10", value, value, value, 5) for name, value in (("als", 0.3), ("popularity", 0.1))]
    found = metric_forest([*rows, Metric("strategy", "stacking", "all", "ndcg@10", 0.5, 0.4, 0.6, 5)], "stacking")
    assert [(row.label, row.role) for row in found.rows] == [("stacking", "strategy"), ("als", "best"), ("popularity", "popularity")]
    assert [style for _, style in found.marks] == ["best", "popularity"]
    assert found.rows[0].note == "strategy, published"
    assert found.rows[0].left < found.rows[0].point < found.rows[0].left + found.rows[0].width <= 100


def test_what_is_lost_without_a_source_is_what_it_brings() -> None:
    lost = Comparison("ablation", "als", "stacking", "all", "ndcg@10", -0.04, -0.06, -0.02, 9)
    row = difference_forest([lost], sign=-1).rows[0]
    assert (row.value, row.low, row.high, row.role) == (0.04, 0.02, 0.06, "gain")
    assert difference_forest([lost]).rows[0].role == "loss"


def test_charts_are_well_formed_and_escape_names() -> None:
    exposures = [Exposure("a", 2, 1, 0.5, 1, 1, ((0, 0), (0.5, 0), (1, 1)))]
    for chart in (lorenz_chart(exposures), histogram_chart(Histogram("<x>", (0.0, 1.0, 2.0), (3, 0), (0, 0)))):
        assert ElementTree.fromstring(chart).tag == "svg"
