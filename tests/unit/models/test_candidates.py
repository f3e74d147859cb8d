"""The candidates: by hand on three users, and by the Spark job against the plain function."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_blocks import candidate_block, candidates_ddl, choose_models, columns_of
from hybridrec.models import popularity
from hybridrec.runs.run import SPLITS, Run
from hybridrec.types import UserBlock
from jobs import train_model


class Fixed(popularity.Model):
    """A retriever with one score an item, NaN for items that it does not know."""

    def __init__(self, *scores: float) -> None:
        super().__init__(popularity.Config())
        self.scores = np.array(scores, dtype=np.float32)


def test_candidates_is_the_union_scored_by_everybody() -> None:
    history = csr_array(np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.float32))
    models = {"a": Fixed(4, 3, 2, 1), "b": Fixed(np.nan, 1, np.nan, 2)}
    users = UserBlock(np.array([7, 8, 9], dtype=np.int32), history, np.ones(history.nnz, np.float32))
    candidates = candidate_block(models, users, np.ones(4, bool), pool_k=2, pool_size=400).to_pandas()
    nan = np.nan
    expected = pd.DataFrame(
        [  # user 9 has seen everything
            (7, 1, 2, 3.0, 1.0, 1.0, 2.0),
            (7, 2, 1, 2.0, 2.0, nan, nan),
            (7, 3, 1, 1.0, nan, 2.0, 1.0),
            (8, 0, 1, 4.0, 1.0, nan, nan),
            (8, 1, 2, 3.0, 2.0, 1.0, 2.0),
            (8, 3, 1, 1.0, nan, 2.0, 1.0),
        ],
        columns=["user_idx", "item_idx", "n_sources", "score_a", "rank_a", "score_b", "rank_b"],
    )
    pd.testing.assert_frame_equal(candidates, expected, check_dtype=False)


def test_a_candidate_set_keeps_each_retrievers_best() -> None:
    """Two retrievers of opposite taste: of three places each first choice has one, and what both named comes next."""
    users = UserBlock(np.array([7, 8], dtype=np.int32), csr_array(np.zeros((2, 6), np.float32)), np.ones(0, np.float32))
    models = {"a": Fixed(6, 5, 4, 3, np.nan, np.nan), "b": Fixed(np.nan, 5, np.nan, 3, 4, 6)}
    candidates = candidate_block(models, users, np.ones(6, bool), pool_k=4, pool_size=3).to_pandas()
    assert candidates.item_idx.tolist() == [0, 1, 5] * 2
    assert candidates.n_sources.tolist() == [1, 2, 1] * 2
    assert candidates.rank_b.fillna(0).tolist() == [0, 2, 1] * 2
    whole = candidate_block(models, users, np.ones(6, bool), pool_k=4, pool_size=6).to_pandas()
    pd.testing.assert_frame_equal(candidates, whole[whole.item_idx.isin([0, 1, 5])].reset_index(drop=True))


def test_what_is_not_in_the_catalogue_leaves_no_gap() -> None:
    users = UserBlock(np.array([7], dtype=np.int32), csr_array(np.zeros((1, 4), np.float32)), np.ones(0, np.float32))
    catalogue = np.array([True, False, True, True])
    candidates = candidate_block({"a": Fixed(1, 4, 3, 2)}, users, catalogue, pool_k=3, pool_size=400).to_pandas()
    assert candidates.item_idx.tolist() == [2, 3]
    assert candidates.rank_a.tolist() == [1, 2]


def test_what_a_user_had_and_did_not_like_leaves_no_gap() -> None:
    users = UserBlock(np.array([7, 8], dtype=np.int32), csr_array(np.zeros((2, 4), np.float32)), np.ones(0, np.float32))
    disliked = csr_array(([1.0], ([0], [1])), shape=(2, 4))
    candidates = candidate_block({"a": Fixed(1, 4, 3, 2)}, users, np.ones(4, bool), pool_k=2, pool_size=400, disliked=disliked).to_pandas()
    assert candidates[candidates.user_idx == 7].item_idx.tolist() == [2]
    assert candidates[candidates.user_idx == 7].rank_a.tolist() == [1]
    assert candidates[candidates.user_idx == 8].item_idx.tolist() == [1, 2]


def test_schema_names_the_columns_of_each_model() -> None:
    assert candidates_ddl(["als"]) == "`user_idx` int, `item_idx` int, `n_sources` smallint, `score_als` float, `rank_als` float"


class Near(Fixed):
    """A retriever that is as near to an item as its number, for each chosen one."""

    def nearness(self, chosen: csr_array, rows: np.ndarray, items: np.ndarray) -> np.ndarray:
        return (chosen @ np.arange(chosen.shape[1]))[rows].astype(np.float32) + items


def test_nearness_to_the_last_items_is_a_column_of_models_that_know_it() -> None:
    history = csr_array(np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], dtype=np.float32))
    users = UserBlock(np.array([7, 8], dtype=np.int32), history, np.array([4, 3, 2, 1], np.float32))
    models = {"a": Fixed(5, 4, 3, 2, 1), "near": Near(5, 4, 3, 2, 1)}
    found = candidate_block(models, users, np.ones(5, bool), pool_k=1, pool_size=9).to_pandas()
    assert found.columns[-3:].tolist() == ["last1_near", "last3_near", "last5_near"] and "last1_a" not in found
    assert found[found.user_idx == 7][["last1_near", "last3_near", "last5_near"]].to_numpy().tolist() == [[3 + 4, 2 + 4, 1.5 + 4]]
    without_order = candidate_block(models, users, np.ones(5, bool), pool_k=1, pool_size=9, ordered=False).to_pandas()
    assert not [name for name in without_order if name.startswith("last")]


def test_the_schema_has_last_items_only_with_an_order() -> None:
    assert columns_of("item_knn") == ("score_item_knn", "rank_item_knn", "last1_item_knn", "last3_item_knn", "last5_item_knn")
    assert columns_of("item_knn", ordered=False) == ("score_item_knn", "rank_item_knn")
    assert candidates_ddl(["item_knn"]).count("last") == 3 and "last" not in candidates_ddl(["item_knn"], ordered=False)


def fit(run: Run, names: tuple[str, ...], splits: tuple[str, ...] = SPLITS) -> None:
    for name in names:
        for split in splits:
            train_model.main(train_model.Params(run.run_id, name, split))


def test_a_retriever_counts_when_it_is_fitted_on_all_splits(small_run: Run) -> None:
    fit(small_run, ("popularity", "recent_popularity"))
    fit(small_run, ("item_knn",), ("ranker", "holdout"))
    choice = choose_models(small_run)
    assert choice.used == ("popularity", "recent_popularity")
    assert choice.missing == ("als", "content_attributes", "item_knn", "two_tower")


def test_a_required_retriever_must_be_there(small_run: Run) -> None:
    fit(small_run, ("recent_popularity",))
    with pytest.raises(
        PermanentError, match=r"models of run small: popularity not fitted on all of the splits ranker, holdout, full; .*train_model"
    ):
        choose_models(small_run)


def test_of_a_range_of_users_only_the_wanted_rows_are_held(tmp_path: Path) -> None:
    n_rows, each = 3_000_000, 100
    rows = pa.table({"user_idx": np.arange(n_rows, dtype=np.int32) // each, "item_idx": np.arange(n_rows, dtype=np.int32)})
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=100_000)
    wanted = [3, n_rows // each - 2]
    # in a process of its own: the pool's highest mark is that of everything that a process has read
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path / "a.parquet"), json.dumps(wanted)], capture_output=True, check=True)
    found, highest = json.loads(done.stdout)
    assert found == [user for user in wanted for _ in range(each)]
    assert highest < rows.nbytes / 3


READ = """
import json, sys
import numpy as np, pyarrow as pa
from hybridrec.candidates.candidate_set import _read_users
found = _read_users([sys.argv[1]], np.array(json.loads(sys.argv[2]), np.int32))
print(json.dumps([found["user_idx"].to_pylist(), pa.default_memory_pool().max_memory()]))
"""
