"""The pool's features, by hand and against the small world."""

from __future__ import annotations

import numpy as np
import pools
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec.base.errors import BadData
from hybridrec.candidates.pool import build_pool, feature_files, load_items, load_pool
from hybridrec.runs.run import Run


def test_columns_and_order(small_run: Run) -> None:
    pool = load_pool(pools.add_candidates(small_run), "eval")
    rows = pools.candidates(small_run, "eval")
    assert_array_equal(pool.row_users, rows.user_idx)
    assert_array_equal(pool.items, rows.item_idx)
    assert pool.sources == pools.SOURCES
    assert_array_equal(pool.features["rank_content"], rows.rank_content)
    assert all(values.dtype == np.float32 and len(values) == len(rows) for values in pool.features.values())
    assert {"z_item_knn", "mean_z", "n_sources", "user_log_n_items", "item_log_n_users", "item_age_days"} <= set(pool.features)


def test_features_are_those_of_the_fold(small_run: Run) -> None:
    pool = load_pool(pools.add_candidates(small_run), "eval")
    counts = small_run.read("model_item_features", "eval").to_pandas().set_index("item_idx").item_n_users
    expected = np.log1p(counts.reindex(pool.items).fillna(0).to_numpy(dtype=np.float32))
    assert_allclose(pool.features["item_log_n_users"], expected)
    lengths = small_run.read("model_user_features", "eval").to_pandas().set_index("user_idx").user_n_items
    assert_array_equal(pool.n_history, lengths.reindex(pool.users).fillna(0))


def test_user_without_history_has_no_recency_and_no_affinity(small_run: Run) -> None:
    pool = load_pool(pools.add_candidates(small_run), "eval", np.array([29], dtype=np.int32))
    assert_array_equal(pool.n_history, [0])
    assert np.isnan(pool.features["user_recency_days"]).all()
    assert_array_equal(pool.features["affinity_category"], np.zeros(len(pool.items)))
    assert_array_equal(pool.features["user_log_n_items"], np.zeros(len(pool.items)))


def test_affinity_is_the_mean_share_of_the_items_categories(small_run: Run) -> None:
    pool = load_pool(pools.add_candidates(small_run), "eval", np.array([0, 40], dtype=np.int32))
    # everything u00 had is Sci-Fi and Drama; an item of the other group shares Drama only
    same_group = (pool.items < 20) == (pool.row_users < 30)
    assert_allclose(pool.features["affinity_category"], np.where(same_group, 1.0, 0.5), rtol=1e-6)


def test_a_block_of_users_gets_the_features_of_the_whole(small_run: Run) -> None:
    run = pools.add_candidates(small_run)
    whole = load_pool(run, "final")
    files = feature_files(run, "final")
    table = run.read("model_candidates", "final").to_pandas().query("20 <= user_idx < 33").sample(frac=1, random_state=1)
    block = build_pool(pa.Table.from_pandas(table, preserve_index=False), files, load_items(files))
    part = whole.rows_of(np.arange(20, 33, dtype=np.int32))
    assert_array_equal(block.items, part.items)
    for name, values in part.features.items():
        assert_array_equal(block.features[name], values, err_msg=name)


def test_mean_z_averages_the_scores_that_exist() -> None:
    nan = np.nan
    pool = pools.hand_pool(
        [1, 1, 1], [4, 5, 6], score_a=[1, 2, nan], score_b=[5, 5, 6], rank_a=[2, 1, nan], rank_b=[nan, nan, 1], n_sources=[1, 1, 1]
    )
    left = pool.without("b")
    assert_array_equal(left.items, [4, 5])  # 6 was nominated by b alone
    assert set(left.features) == {"score_a", "rank_a", "z_a", "mean_z", "n_sources", "fused_rank", "best_rank"}
    assert_allclose(left.features["fused_rank"], [1 / 62, 1 / 61])
    assert_array_equal(left.features["mean_z"], [-1, 1])


def test_item_outside_the_catalogue_is_bad_data(small_run: Run) -> None:
    files = feature_files(small_run, "eval")
    rows = pa.table(
        {"user_idx": pa.array([1], pa.int32()), "item_idx": pa.array([999], pa.int32()), "n_sources": pa.array([1], pa.int16())}
    )
    with pytest.raises(BadData, match=r"item_idx 999 is outside model_items with 40 rows"):
        build_pool(rows, files, load_items(files))
