"""The spread of positions over items, on counts whose answer a pencil finds."""

from __future__ import annotations

import numpy as np
import pytest

from hybridrec.report.gathering.exposure import exposure


def test_even_spread_has_no_gini_and_a_straight_curve() -> None:
    found = exposure("even", np.array([3, 3, 3, 3]))
    assert found.gini == 0
    assert found.curve == ((0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (1.0, 1.0))


def test_one_item_with_everything() -> None:
    found = exposure("one", np.array([0, 0, 0, 12]))
    assert (found.n_items, found.n_shown, found.gini) == (4, 1, 0.75)
    assert found.top_1_percent == found.top_10_percent == 1
    assert found.curve[-2:] == ((0.75, 0.0), (1.0, 1.0))


def test_top_shares_of_a_larger_catalogue() -> None:
    found = exposure("skew", np.array([10] * 10 + [1] * 90))  # 190 positions
    assert found.top_1_percent == pytest.approx(10 / 190, abs=1e-4)
    assert found.top_10_percent == pytest.approx(100 / 190, abs=1e-4)
    assert len(found.curve) <= 61


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_nothing_shown_is_no_error(counts: list[int]) -> None:
    found = exposure("none", np.array(counts, dtype=np.int64))
    assert (found.n_shown, found.gini) == (0, 0.0)
