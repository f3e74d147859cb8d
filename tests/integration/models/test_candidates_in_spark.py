"""The job that makes candidates gives what the plain function gives, and the same twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from hybridrec.candidates.nomination import pool_block
from hybridrec.dataset.catalogue import known_items
from hybridrec.runs.run import FOLDS, Run
from hybridrec.storage import store
from hybridrec.training.fits import load_fit, user_block
from jobs import generate_candidates, train_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def fit(run: Run, names: tuple[str, ...], folds: tuple[str, ...] = FOLDS) -> None:
    for name in names:
        for fold in folds:
            train_model.main(train_model.Params(run.run_id, name, fold))


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


def test_rerun_of_the_job_gives_the_same_bytes(small_run: Run, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    fit(small_run, ("popularity", "als"))
    hashes = []
    for _ in range(2):
        generate_candidates.main(generate_candidates.Params("small", "eval"))
        folder = small_run.dataset("model_candidates", "eval")
        hashes.append(sorted(path.read_bytes() for path in store.committed_files(folder)))
    assert hashes[0] == hashes[1]
