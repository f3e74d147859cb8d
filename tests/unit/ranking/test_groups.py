"""Arithmetic within groups against a loop over the groups."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec.candidates.groups import NORMALISERS, best_first, minmax, rank_score, starts_of, zscore

NAN = np.nan
STARTS = np.array([0, 3, 5, 6])
VALUES = np.array([1, 2, 3, 7, 7, NAN], dtype=np.float32)


def test_starts_of_sorted_keys() -> None:
    assert_array_equal(starts_of(np.array([4, 4, 6, 9, 9, 9], dtype=np.int32)), [0, 2, 3, 6])
    assert_array_equal(starts_of(np.array([], dtype=np.int32)), [0])


def test_zscore_by_hand() -> None:
    side = np.sqrt(1.5)
    assert_allclose(zscore(VALUES, STARTS), [-side, 0, side, 0, 0, NAN], rtol=1e-6)


def test_minmax_by_hand() -> None:
    assert_allclose(minmax(VALUES, STARTS), [0, 0.5, 1, 0.5, 0.5, NAN])


def test_rank_score_by_hand() -> None:
    assert_allclose(rank_score(VALUES, STARTS), [1 / 3, 2 / 3, 1, 0.75, 0.75, NAN], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(NORMALISERS))
def test_a_group_does_not_see_the_others(name: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=200).astype(np.float32).round(1)
    values[rng.random(200) < 0.2] = NAN
    starts = np.array([0, 1, 40, 41, 120, 200])
    together = NORMALISERS[name](values, starts)
    for first, last in pairwise(starts):
        alone = NORMALISERS[name](values[first:last], np.array([0, last - first]))
        assert_allclose(together[first:last], alone, atol=1e-6)


def test_zscore_calls_rounding_error_equal() -> None:
    nearly = np.array([1.0, 1.0 + 1e-7, 1.0], dtype=np.float32)
    assert_array_equal(zscore(nearly, np.array([0, 3])), [0, 0, 0])


def test_normalisers_take_no_rows() -> None:
    for normalise in NORMALISERS.values():
        assert len(normalise(np.zeros(0, dtype=np.float32), np.zeros(1, dtype=np.int64))) == 0


def test_best_first_breaks_ties_by_item_and_leaves_nan_out() -> None:
    items = np.array([9, 5, 7, 1, 2, 3], dtype=np.int32)
    scores = np.array([1, 1, 2, NAN, 4, 4], dtype=np.float32)
    rows, ranks = best_first(scores, items, STARTS)
    assert_array_equal(rows, [2, 1, 0, 4, 5])
    assert_array_equal(ranks, [1, 2, 3, 1, 1])
