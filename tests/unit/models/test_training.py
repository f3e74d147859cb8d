"""Training data of models, and the job that fits one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from hybridrec.base.config import Config
from hybridrec.base.errors import PermanentError
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.training.fits import model_seed, training_data, user_block
from jobs import train_model
from tests.support import small_world


def test_matrix_is_the_splits_interactions(small_run: Run) -> None:
    data = training_data(small_run, "holdout", "als")
    pairs = small_world.interactions(small_run.split("holdout"), small_run.config)
    assert data.matrix.shape == (60, 40) and data.matrix.nnz == len(pairs) and data.matrix.has_sorted_indices
    np.testing.assert_allclose(data.matrix.toarray()[pairs.user_idx, pairs.item_idx], pairs.weight, rtol=1e-6)
    ages = csr_array((data.last_event_day, data.matrix.indices, data.matrix.indptr), shape=data.matrix.shape).toarray()
    expected = (small_run.split("holdout").cut - pairs.last_event_at).dt.total_seconds() / 86_400
    np.testing.assert_allclose(ages[pairs.user_idx, pairs.item_idx], expected, atol=1e-6)
    assert list(data.items.item_idx) == list(range(40))
    assert np.isnan(data.item_age_days[39]) and data.item_age_days[0] > 20


def test_the_catalogues_vectors_are_read_when_asked_for_and_have_length_1(small_run: Run) -> None:
    assert training_data(small_run, "holdout").item_vectors is None
    run = Run(replace(small_run.manifest, vectors=True), small_run.settings)
    given = pa.table({"item_idx": pa.array([3, 0, 7], pa.int32()), "vector": [[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]})
    run.write("model_item_vectors", given)
    read = training_data(run, "holdout").item_vectors
    assert read is not None
    expected = np.zeros((40, 2), np.float32)
    expected[[3, 7]] = [[0.6, 0.8], [0.0, -1.0]]
    np.testing.assert_allclose(read(), expected, rtol=1e-6)
    assert read().dtype == np.float32


def test_user_block_keeps_the_order_asked_for(small_run: Run) -> None:
    whole = training_data(small_run, "holdout").matrix
    users = np.array([41, 59, 3, 29], dtype=np.int32)  # 59 and 29 have no history on this split
    block = user_block(small_run, "holdout", users)
    np.testing.assert_array_equal(block.user_idx, users)
    np.testing.assert_array_equal(block.history.toarray(), whole[users].toarray())
    assert list(np.diff(block.history.indptr)) == [10, 0, 10, 0]
    assert user_block(small_run, "holdout", users[:0]).history.shape == (0, 40)


def test_seeds_differ_by_model_and_split_and_are_stable() -> None:
    seeds = {model_seed(1, model, split) for model in ("als", "two_tower") for split in ("ranker", "holdout")}
    assert len(seeds) == 4 and all(0 <= seed < 2**31 for seed in seeds)
    assert model_seed(20261122, "als", "full") == 1054803864  # a change would make last year's runs unrepeatable


def test_job_keeps_options_and_metrics_with_the_fit(home: object) -> None:
    run = small_world.make_run(config=Config(extension_options={"models": {"als": {"factors": 8}}}))
    train_model.main(train_model.Params("small", "als", "holdout"))
    folder = run.artefact("models/als", "holdout")
    fit = json.loads((folder / "fit.json").read_text())
    assert fit["config"]["factors"] == 8 and fit["metrics"]["loss"] > 0
    assert np.load(folder / "items.npy").shape == (40, 8)
    before = store.read_manifest(run.dataset("models/als", "holdout"))
    train_model.main(train_model.Params("small", "als", "holdout"))
    assert store.read_manifest(run.dataset("models/als", "holdout")).content_hash == before.content_hash


@pytest.mark.parametrize(
    ("model", "split", "message"),
    [("nope", "holdout", "models: there is no 'nope'; choose from als, "), ("als", "nope", "split 'nope': choose from ")],
)
def test_unknown_names_are_refused(small_run: Run, model: str, split: str, message: str) -> None:
    with pytest.raises(PermanentError, match=message):
        train_model.main(train_model.Params("small", model, split))
    assert not (small_run.folder / "models").exists()


def test_unknown_options_are_refused(home: object) -> None:
    run = small_world.make_run(config=Config(extension_options={"models": {"item_knn": {"neighbours": "all"}, "als": {"size": 3}}}))
    with pytest.raises(PermanentError, match=r"\[models.item_knn\]: neighbours is 'all', expected int"):
        train_model.main(train_model.Params("small", "item_knn", "holdout"))
    with pytest.raises(PermanentError, match=r"\[models.als\]: there is no option 'size'; choose from alpha, "):
        train_model.main(train_model.Params("small", "als", "holdout"))
    assert not store.is_committed(run.dataset("models/als", "holdout"))
