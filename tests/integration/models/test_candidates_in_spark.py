"""The job that makes candidates gives what the plain function gives, and the same twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from hybridrec.candidates.candidate_blocks import candidate_block
from hybridrec.dataset.catalogue import candidate_items
from hybridrec.runs.run import SPLITS, Run
from hybridrec.storage import store
from hybridrec.training.fits import load_fit, user_block
from jobs import generate_candidates, train_model

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def fit(run: Run, names: tuple[str, ...], splits: tuple[str, ...] = SPLITS) -> None:
    for name in names:
        for split in splits:
            train_model.main(train_model.Params(run.run_id, name, split))


def test_job_candidates_what_the_plain_function_pools(small_run: Run, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    fit(small_run, ("popularity", "als", "item_knn", "content_attributes"))
    for split in ("holdout", "full"):
        generate_candidates.main(generate_candidates.Params("small", split))
        table = small_run.read("model_candidates", split)
        labelled = small_run.read("model_labels", "holdout")["user_idx"].to_numpy()
        users = np.arange(60, dtype=np.int32) if split == "full" else np.unique(labelled)
        models = {
            name: load_fit(name, small_run.artefact(f"models/{name}", split))
            for name in ("als", "content_attributes", "item_knn", "popularity")
        }
        expected = candidate_block(
            models,
            user_block(small_run, split, users),
            candidate_items(small_run, split),
            small_run.config.pool_k,
            small_run.config.pool_size,
        ).to_pandas()
        found = table.to_pandas().sort_values(["user_idx", "item_idx"]).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)
        assert set(found.user_idx) == set(users)
        for file in small_run.files("model_candidates", split):
            part = pd.read_parquet(file)
            assert part.sort_values(["user_idx", "item_idx"]).index.is_monotonic_increasing
    sources = json.loads((small_run.artefact("candidate_sources", "full") / "sources.json").read_text())
    assert sources == {"used": ["als", "content_attributes", "item_knn", "popularity"], "missing": ["recent_popularity", "two_tower"]}


def test_rerun_of_the_job_gives_the_same_bytes(small_run: Run, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    fit(small_run, ("popularity", "als"))
    hashes = []
    for _ in range(2):
        generate_candidates.main(generate_candidates.Params("small", "holdout"))
        folder = small_run.dataset("model_candidates", "holdout")
        hashes.append(sorted(path.read_bytes() for path in store.committed_files(folder)))
    assert hashes[0] == hashes[1]
