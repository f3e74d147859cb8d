"""What models learn from, and the job that fits one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import small_world
from scipy.sparse import csr_array

from hybridrec.base.config import Config
from hybridrec.base.errors import BadData
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.training.fits import model_seed, training_data, user_block
from jobs import train_model


def test_matrix_is_the_folds_interactions(small_run: Run) -> None:
    data = training_data(small_run, "eval", "als")
    pairs = small_world.interactions(small_run.fold("eval"), small_run.config)
    assert data.matrix.shape == (60, 40) and data.matrix.nnz == len(pairs) and data.matrix.has_sorted_indices
    np.testing.assert_allclose(data.matrix.toarray()[pairs.user_idx, pairs.item_idx], pairs.weight, rtol=1e-6)
    ages = csr_array((data.last_event_day, data.matrix.indices, data.matrix.indptr), shape=data.matrix.shape).toarray()
    expected = (small_run.fold("eval").cut - pairs.last_event_at).dt.total_seconds() / 86_400
    np.testing.assert_allclose(ages[pairs.user_idx, pairs.item_idx], expected, atol=1e-6)
    assert list(data.items.item_idx) == list(range(40))
    assert np.isnan(data.item_age_days[39]) and data.item_age_days[0] > 20


def test_user_block_keeps_the_order_asked_for(small_run: Run) -> None:
    whole = training_data(small_run, "eval").matrix
    users = np.array([41, 59, 3, 29], dtype=np.int32)  # 59 and 29 have no history on this fold
    block = user_block(small_run, "eval", users)
    np.testing.assert_array_equal(block.user_idx, users)
    np.testing.assert_array_equal(block.history.toarray(), whole[users].toarray())
    assert list(np.diff(block.history.indptr)) == [10, 0, 10, 0]
    assert user_block(small_run, "eval", users[:0]).history.shape == (0, 40)


def test_seeds_differ_by_model_and_fold_and_are_stable() -> None:
    seeds = {model_seed(1, model, fold) for model in ("als", "two_tower") for fold in ("rank", "eval")}
    assert len(seeds) == 4 and all(0 <= seed < 2**31 for seed in seeds)
    assert model_seed(20261122, "als", "final") == 1054803864  # a change would make last year's runs unrepeatable


def test_job_keeps_options_and_metrics_with_the_fit(home: object) -> None:
    run = small_world.make_run(config=Config(members={"models": {"als": {"factors": 8}}}))
    train_model.main(train_model.Params("small", "als", "eval"))
    folder = run.artefact("models/als", "eval")
    fit = json.loads((folder / "fit.json").read_text())
    assert fit["config"]["factors"] == 8 and fit["metrics"]["loss"] > 0
    assert np.load(folder / "items.npy").shape == (40, 8)
    before = store.read_manifest(run.dataset("models/als", "eval"))
    train_model.main(train_model.Params("small", "als", "eval"))
    assert store.read_manifest(run.dataset("models/als", "eval")).content_hash == before.content_hash


@pytest.mark.parametrize(
    ("model", "fold", "message"),
    [("nope", "eval", "models: there is no 'nope'; choose from als, "), ("als", "nope", "fold 'nope': choose from ")],
)
def test_unknown_names_are_refused(small_run: Run, model: str, fold: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        train_model.main(train_model.Params("small", model, fold))
    assert not (small_run.folder / "models").exists()


def test_unknown_options_are_refused(home: object) -> None:
    run = small_world.make_run(config=Config(members={"models": {"item_knn": {"neighbours": "all"}, "als": {"size": 3}}}))
    with pytest.raises(BadData, match=r"\[models.item_knn\]: neighbours is 'all', expected int"):
        train_model.main(train_model.Params("small", "item_knn", "eval"))
    with pytest.raises(BadData, match=r"\[models.als\]: there is no option 'size'; choose from alpha, "):
        train_model.main(train_model.Params("small", "als", "eval"))
    assert not store.is_committed(run.dataset("models/als", "eval"))
