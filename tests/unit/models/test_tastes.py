"""Features of brands, prices, ranks within a category and impressions, by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from hybridrec.candidates import shown, tastes
from hybridrec.retrieval.recency import last_items
from hybridrec.types import UserBlock

STARTS = np.array([0, 3, 4])  # two users with three candidates and one
ROW_ITEMS = np.array([0, 1, 2, 2], dtype=np.int32)


def chosen(*pairs: tuple[int, int, float]) -> tastes.Chosen:
    rows, items, weights = zip(*pairs, strict=True)
    return tastes.Chosen(np.array(rows), np.array(items, dtype=np.int32), np.array(weights))


def test_affinity_is_the_share_of_choices_with_the_label() -> None:
    brands = tastes.label_matrix([["a"], ["b"], [], ["a"]])
    found = tastes.affinity(chosen((0, 3, 3.0), (0, 1, 1.0)), brands, STARTS, ROW_ITEMS)
    assert_allclose(found, [0.75, 0.25, 0, 0])


def test_a_price_is_held_against_the_usual_one() -> None:
    prices = tastes.log_prices(np.array([1.0, 4.0, np.nan, 16.0]))
    assert prices is not None
    found = tastes.price_columns(chosen((0, 0, 1.0), (0, 3, 1.0), (0, 2, 9.0), (1, 2, 1.0)), prices, STARTS, ROW_ITEMS)
    assert_allclose(found["user_log_price"], [np.log(4)] * 3 + [np.nan])
    assert_allclose(found["price_gap"], [-np.log(4), 0, np.nan, np.nan], atol=1e-6)


@pytest.mark.parametrize("prices", [[np.nan, np.nan], [5.0, 5.0], [0.0, 5.0]])
def test_prices_that_tell_nothing_apart_are_no_column(prices: list[float]) -> None:
    assert tastes.log_prices(np.array(prices)) is None


def test_the_rank_within_a_category_is_the_best_of_several_and_ties_share_theirs() -> None:
    labels = tastes.label_matrix([["a"], ["a", "b"], ["b"], ["b"], []])
    ranks = tastes.label_ranks(labels, np.array([9, 5, 2, 2, 99], dtype=np.float32))
    assert ranks is not None
    assert_allclose(np.expm1(ranks), [0, 0, 1.5, 1.5, np.nan], atol=1e-6)
    assert tastes.label_ranks(tastes.label_matrix([[], None]), np.ones(2, np.float32)) is None


def test_the_taken_rate_is_drawn_to_the_mean() -> None:
    of_items = pa.table({"item_idx": [0, 1], "n_shown": [980, 20], "n_taken": [80, 20]})
    assert_allclose(shown.taken_rate(of_items, 3), [(80 + 2) / 1000, (20 + 2) / 40, 0.1], rtol=1e-6)


def test_pairs_that_were_shown_say_how_often() -> None:
    rows = pa.table({"user_idx": [5, 7], "item_idx": [1, 2], "n_shown": [3, 4], "n_passed": [2, 0]})
    found = shown.pair_columns(rows, np.array([5, 7], np.int32), STARTS, ROW_ITEMS)
    assert_allclose(np.expm1(found["pair_log_n_shown"]), [0, 3, 0, 4], rtol=1e-6)
    assert_allclose(np.expm1(found["pair_log_n_passed"]), [0, 2, 0, 0], rtol=1e-6)
    none = shown.pair_columns(rows.slice(0, 0), np.array([5, 7], np.int32), STARTS, ROW_ITEMS)
    assert_array_equal(none["pair_log_n_shown"], np.zeros(4))


def test_the_last_items_are_whole_visits() -> None:
    history = csr_array(np.array([[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    users = UserBlock(np.arange(3, dtype=np.int32), history, np.array([9, 2, 2, 5, 1], dtype=np.float32))
    assert_allclose(last_items(users, 1).toarray(), np.array([[0, 0.5, 0.5, 0], [0, 0, 0, 0], [0, 1, 0, 0]]))
    assert_allclose(last_items(users, 3).toarray()[0], [0, 1 / 3, 1 / 3, 1 / 3])
    assert_allclose(last_items(users, 5).toarray()[0], [0.25] * 4)
