"""The candidates' features, by hand and against the small world."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import build_candidates, feature_files, load_candidates, load_items
from hybridrec.runs.run import Run
from tests.support import made_candidates


def test_columns_and_order(small_run: Run) -> None:
    candidates = load_candidates(made_candidates.add_candidates(small_run), "holdout")
    rows = made_candidates.candidates(small_run, "holdout")
    assert_array_equal(candidates.row_users, rows.user_idx)
    assert_array_equal(candidates.items, rows.item_idx)
    assert candidates.retrievers == made_candidates.RETRIEVERS
    assert_array_equal(candidates.features["rank_content"], rows.rank_content)
    assert all(values.dtype == np.float32 and len(values) == len(rows) for values in candidates.features.values())
    assert {"z_item_knn", "mean_z", "n_sources", "user_log_n_items", "item_log_n_users", "item_age_days"} <= set(candidates.features)


def test_features_are_those_of_the_split(small_run: Run) -> None:
    candidates = load_candidates(made_candidates.add_candidates(small_run), "holdout")
    counts = small_run.read("model_item_features", "holdout").to_pandas().set_index("item_idx").item_n_users
    expected = np.log1p(counts.reindex(candidates.items).fillna(0).to_numpy(dtype=np.float32))
    assert_allclose(candidates.features["item_log_n_users"], expected)
    lengths = small_run.read("model_user_features", "holdout").to_pandas().set_index("user_idx").user_n_items
    assert_array_equal(candidates.n_history, lengths.reindex(candidates.users).fillna(0))


def test_user_without_history_has_no_recency_and_no_affinity(small_run: Run) -> None:
    candidates = load_candidates(made_candidates.add_candidates(small_run), "holdout", np.array([29], dtype=np.int32))
    assert_array_equal(candidates.n_history, [0])
    assert np.isnan(candidates.features["user_recency_days"]).all()
    assert_array_equal(candidates.features["affinity_category"], np.zeros(len(candidates.items)))
    assert_array_equal(candidates.features["user_log_n_items"], np.zeros(len(candidates.items)))


def test_affinity_is_the_mean_share_of_the_items_categories(small_run: Run) -> None:
    candidates = load_candidates(made_candidates.add_candidates(small_run), "holdout", np.array([0, 40], dtype=np.int32))
    # everything u00 had is Sci-Fi and Drama; an item of the other group shares Drama only
    same_group = (candidates.items < 20) == (candidates.row_users < 30)
    assert_allclose(candidates.features["affinity_category"], np.where(same_group, 1.0, 0.5), rtol=1e-6)


def test_a_block_of_users_gets_the_features_of_the_whole(small_run: Run) -> None:
    run = made_candidates.add_candidates(small_run)
    whole = load_candidates(run, "full")
    files = feature_files(run, "full")
    table = run.read("model_candidates", "full").to_pandas().query("20 <= user_idx < 33").sample(frac=1, random_state=1)
    block = build_candidates(pa.Table.from_pandas(table, preserve_index=False), files, load_items(files))
    part = whole.rows_of(np.arange(20, 33, dtype=np.int32))
    assert_array_equal(block.items, part.items)
    for name, values in part.features.items():
        assert_array_equal(block.features[name], values, err_msg=name)


def test_mean_z_averages_the_scores_that_exist() -> None:
    nan = np.nan
    candidates = made_candidates.candidates_by_hand(
        [1, 1, 1], [4, 5, 6], score_a=[1, 2, nan], score_b=[5, 5, 6], rank_a=[2, 1, nan], rank_b=[nan, nan, 1], n_sources=[1, 1, 1]
    )
    left = candidates.without("b")
    assert_array_equal(left.items, [4, 5])  # 6 was retrieved by b alone
    assert set(left.features) == {"score_a", "rank_a", "z_a", "mean_z", "n_sources", "fused_rank", "best_rank"}
    assert_allclose(left.features["fused_rank"], [1 / 62, 1 / 61])
    assert_array_equal(left.features["mean_z"], [-1, 1])


def test_item_outside_the_catalogue_is_bad_data(small_run: Run) -> None:
    files = feature_files(small_run, "holdout")
    rows = pa.table(
        {"user_idx": pa.array([1], pa.int32()), "item_idx": pa.array([999], pa.int32()), "n_sources": pa.array([1], pa.int16())}
    )
    with pytest.raises(PermanentError, match=r"item_idx 999 is outside model_items with 40 rows"):
        build_candidates(rows, files, load_items(files))
