"""The pool: by hand on three users, and by the Spark job against the plain function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.base.errors import BadData
from hybridrec.candidates.nomination import choose_sources, pool_block, pool_ddl
from hybridrec.dataset.catalogue import known_items
from hybridrec.models import popularity
from hybridrec.runs.run import FOLDS, Run
from hybridrec.storage import store
from hybridrec.training.fits import load_fit, user_block
from hybridrec.types import UserBlock
from jobs import generate_candidates, train_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Fixed(popularity.Model):
    """A source with one score an item, NaN for items that it does not know."""

    def __init__(self, *scores: float) -> None:
        super().__init__(popularity.Config())
        self.scores = np.array(scores, dtype=np.float32)


def test_pool_is_the_union_scored_by_everybody() -> None:
    history = csr_array(np.array([[1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=np.float32))
    models = {"a": Fixed(4, 3, 2, 1), "b": Fixed(np.nan, 1, np.nan, 2)}
    users = UserBlock(np.array([7, 8, 9], dtype=np.int32), history, np.ones(history.nnz, np.float32))
    pool = pool_block(models, users, np.ones(4, bool), pool_k=2, pool_size=400).to_pandas()
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
    pd.testing.assert_frame_equal(pool, expected, check_dtype=False)


def test_a_pool_keeps_each_sources_best() -> None:
    """Two sources of opposite taste: of three places each first choice has one, and what both named comes next."""
    users = UserBlock(np.array([7, 8], dtype=np.int32), csr_array((2, 6), dtype=np.float32), np.ones(0, np.float32))
    models = {"a": Fixed(6, 5, 4, 3, np.nan, np.nan), "b": Fixed(np.nan, 5, np.nan, 3, 4, 6)}
    pool = pool_block(models, users, np.ones(6, bool), pool_k=4, pool_size=3).to_pandas()
    assert pool.item_idx.tolist() == [0, 1, 5] * 2
    assert pool.n_sources.tolist() == [1, 2, 1] * 2
    assert pool.rank_b.fillna(0).tolist() == [0, 2, 1] * 2
    whole = pool_block(models, users, np.ones(6, bool), pool_k=4, pool_size=6).to_pandas()
    pd.testing.assert_frame_equal(pool, whole[whole.item_idx.isin([0, 1, 5])].reset_index(drop=True))


def test_what_is_not_in_the_catalogue_leaves_no_gap() -> None:
    users = UserBlock(np.array([7], dtype=np.int32), csr_array((1, 4), dtype=np.float32), np.ones(0, np.float32))
    catalogue = np.array([True, False, True, True])
    pool = pool_block({"a": Fixed(1, 4, 3, 2)}, users, catalogue, pool_k=3, pool_size=400).to_pandas()
    assert pool.item_idx.tolist() == [2, 3]
    assert pool.rank_a.tolist() == [1, 2]


def test_what_a_user_had_and_did_not_like_leaves_no_gap() -> None:
    users = UserBlock(np.array([7, 8], dtype=np.int32), csr_array((2, 4), dtype=np.float32), np.ones(0, np.float32))
    disliked = csr_array(([1.0], ([0], [1])), shape=(2, 4))
    pool = pool_block({"a": Fixed(1, 4, 3, 2)}, users, np.ones(4, bool), pool_k=2, pool_size=400, disliked=disliked).to_pandas()
    assert pool[pool.user_idx == 7].item_idx.tolist() == [2]
    assert pool[pool.user_idx == 7].rank_a.tolist() == [1]
    assert pool[pool.user_idx == 8].item_idx.tolist() == [1, 2]


def test_schema_names_the_columns_of_each_model() -> None:
    assert pool_ddl(["als"]) == "`user_idx` int, `item_idx` int, `n_sources` smallint, `score_als` float, `rank_als` float"


def fit(run: Run, names: tuple[str, ...], folds: tuple[str, ...] = FOLDS) -> None:
    for name in names:
        for fold in folds:
            train_model.main(train_model.Params(run.run_id, name, fold))


def test_a_source_counts_when_it_is_fitted_on_all_folds(small_run: Run) -> None:
    fit(small_run, ("popularity", "recent_popularity"))
    fit(small_run, ("item_knn",), ("rank", "eval"))
    choice = choose_sources(small_run)
    assert choice.used == ("popularity", "recent_popularity")
    assert choice.missing == ("als", "content_attributes", "item_knn", "two_tower")


def test_a_required_source_must_be_there(small_run: Run) -> None:
    fit(small_run, ("recent_popularity",))
    with pytest.raises(BadData, match=r"models of run small: popularity not fitted on all of the folds rank, eval, final; .*train_model"):
        choose_sources(small_run)


@pytest.mark.slow
def test_job_pools_what_the_plain_function_pools(small_run: Run, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    fit(small_run, ("popularity", "als", "item_knn", "content_attributes"))
    for fold in ("eval", "final"):
        generate_candidates.main(generate_candidates.Params("small", fold))
        table = small_run.read("model_candidates", fold)
        labelled = small_run.read("model_labels", "eval")["user_idx"].to_numpy()
        users = np.arange(60, dtype=np.int32) if fold == "final" else np.unique(labelled)
        models = {
            name: load_fit(name, small_run.artefact(f"models/{name}", fold))
            for name in ("als", "content_attributes", "item_knn", "popularity")
        }
        expected = pool_block(
            models, user_block(small_run, fold, users), known_items(small_run, fold), small_run.config.pool_k, small_run.config.pool_size
        ).to_pandas()
        found = table.to_pandas().sort_values(["user_idx", "item_idx"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)
        assert set(found.user_idx) == set(users)
        for file in small_run.files("model_candidates", fold):
            part = pd.read_parquet(file)
            assert part.sort_values(["user_idx", "item_idx"]).index.is_monotonic_increasing
    sources = json.loads((small_run.artefact("candidate_sources", "final") / "sources.json").read_text())
    assert sources == {"used": ["als", "content_attributes", "item_knn", "popularity"], "missing": ["recent_popularity", "two_tower"]}


@pytest.mark.slow
def test_rerun_of_the_job_gives_the_same_bytes(small_run: Run, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    fit(small_run, ("popularity", "als"))
    hashes = []
    for _ in range(2):
        generate_candidates.main(generate_candidates.Params("small", "eval"))
        folder = small_run.dataset("model_candidates", "eval")
        hashes.append(sorted(path.read_bytes() for path in store.committed_files(folder)))
    assert hashes[0] == hashes[1]
