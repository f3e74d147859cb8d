"""Linear and spectral models against their formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.models import ease, graph_filter, pure_svd
from hybridrec.retrieval.spectrum import main_directions
from hybridrec.types import HasFactors, TrainingData, UserBlock


def random_data(n_users: int, n_items: int) -> TrainingData:
    """Return choices in two groups of users and items, with noise; the last item has no event."""
    rng = np.random.default_rng(3)
    groups = np.arange(n_users)[:, None] % 2 == np.arange(n_items) % 2
    dense = (rng.random((n_users, n_items)) < np.where(groups, 0.5, 0.1)).astype(np.float32)
    dense[:, -1] = 0
    matrix = csr_array(dense)
    nothing = pd.DataFrame()
    return TrainingData(matrix, np.ones(matrix.nnz), nothing, np.zeros(n_items, np.float32), nothing, seed=1, threads=1)


def everybody(data: TrainingData) -> UserBlock:
    return UserBlock(np.arange(data.matrix.shape[0], dtype=np.int32), data.matrix, data.last_event_day.astype(np.float32))


def all_pairs(data: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    n_users, n_items = data.matrix.shape
    return np.repeat(np.arange(n_users, dtype=np.int32), n_items), np.tile(np.arange(n_items, dtype=np.int32), n_users)


def test_two_items_are_two_ridge_regressions() -> None:
    matrix = csr_array(np.array([[1, 1], [1, 0], [1, 0], [0, 1]], dtype=np.float32))
    # together once, three and two times in all; penalty 2
    np.testing.assert_allclose(ease.ridge_weights(matrix, 2.0), [[0, 1 / 5], [1 / 4, 0]], rtol=1e-6)


@pytest.mark.parametrize(("n_users", "n_items"), [(50, 20), (20, 50)])
def test_weights_are_the_closed_form_whichever_side_is_solved(n_users: int, n_items: int) -> None:
    matrix = random_data(n_users, n_items).matrix
    dense = matrix.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 3 * np.eye(n_items))
    expected = -inverse / np.diagonal(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(ease.ridge_weights(matrix, 3.0), expected, atol=1e-5)


@pytest.mark.parametrize(("n_users", "n_items"), [(50, 20), (20, 50)])
@pytest.mark.parametrize("pull", [0.5, 2.0])
def test_content_draws_the_weights_as_in_the_paper(n_users: int, n_items: int, pull: float) -> None:
    """With its dense formulas: reg_X + reg_E is the penalty, reg_E is pull times that."""
    matrix, penalty = random_data(n_users, n_items).matrix, 3.0
    content = np.random.default_rng(2).standard_normal((n_items, 4)).astype(np.float32)
    of_content = np.linalg.inv(content.astype(np.float64) @ content.T + 2 * np.eye(n_items))
    prior = -of_content / np.diagonal(of_content)
    np.fill_diagonal(prior, 0)
    found = ease.Prior.of(content, 2.0)
    np.testing.assert_allclose(found.left @ found.right.T - np.diag(found.own), prior, atol=1e-5)
    dense, drawn = matrix.toarray().astype(np.float64), pull * penalty
    inverse = np.linalg.inv(dense.T @ dense + penalty * np.eye(n_items))
    expected = drawn * inverse @ prior - inverse * ((1 + drawn * np.diagonal(inverse @ prior)) / np.diagonal(inverse))
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(ease.ridge_weights(matrix, penalty, found, pull), expected, atol=1e-5)


def test_without_content_or_pull_the_weights_are_those_of_the_choices_alone() -> None:
    data = random_data(40, 12)
    nothing = {"title": None, "description": None, "brand": None, "price": np.nan}
    undated = pd.Series([pd.NaT] * 12, dtype="datetime64[us, UTC]")
    bare = replace(data, items=pd.DataFrame({"categories": [[] for _ in range(12)], **nothing, "released_at": undated}))
    described = replace(bare, items=bare.items.assign(categories=pd.Series([["a"] if item % 2 else ["b"] for item in range(12)])))
    weights = {}
    for name, of, pull in (("plain", data, 0.0), ("bare", bare, 1.0), ("unasked", described, 0.0), ("drawn", described, 1.0)):
        model = ease.Model(ease.Config(content_pull=pull))
        model.fit(of)
        weights[name] = model.weights
    assert weights["plain"].tobytes() == weights["bare"].tobytes() == weights["unasked"].tobytes()
    gained = (weights["drawn"] - weights["plain"])[1:11:2]  # of odd items, which have a category of their own
    assert gained[:, 1:11:2].sum() > 0.1 > np.abs(gained[:, 0:11:2]).sum()


@pytest.mark.parametrize(("n_users", "n_items"), [(40, 12), (12, 40)])
def test_weights_lie_by_rows(n_users: int, n_items: int) -> None:
    """By columns every block of users would copy the whole matrix to be multiplied with it."""
    matrix = csr_array((np.random.default_rng(1).random((n_users, n_items)) < 0.3).astype(np.float32))
    assert ease.ridge_weights(matrix, 3.0).flags.c_contiguous


def test_inverse_by_halves() -> None:
    size = 2 * ease.SMALL_BLOCK + 3
    vectors = np.random.default_rng(0).standard_normal((size, size))
    gram = (vectors @ vectors.T / size + np.eye(size)).astype(np.float32)
    expected = np.linalg.inv(gram.astype(np.float64))
    ease.invert(gram)
    np.testing.assert_allclose(gram, expected, atol=1e-5)


def test_the_penalty_grows_with_the_histories() -> None:
    data = random_data(40, 12)
    lengths = np.diff(data.matrix.indptr)
    found = ease.Model(ease.Config(regularization=2.0)).fit(data)
    assert found["penalty"] == pytest.approx(2 * lengths[lengths > 0].mean())


def test_a_catalogue_too_large_is_refused_with_its_price() -> None:
    data = random_data(40, 20)
    with pytest.raises(
        PermanentError,
        match=r"models.ease: 19 items with events need .* GB to fit; the limit is 18 .*max_items.*HYBRIDREC_SKIP=models.ease",
    ):
        ease.Model(ease.Config(max_items=18)).fit(data)
    with pytest.raises(PermanentError, match=r"regularization is 0\.0; expected a number above 0"):
        ease.Model(ease.Config(regularization=0.0)).fit(data)


def test_of_a_larger_catalogue_those_with_events_count(tmp_path: Path) -> None:
    data = random_data(40, 20)  # one item is without events
    whole, part = ease.Model(ease.Config()), ease.Model(ease.Config(max_items=19))
    whole.fit(data)
    part.fit(data)
    assert part.weights.shape == (19, 19)
    part.save(tmp_path)
    part = ease.Model.load(tmp_path, ease.Config(max_items=19))
    np.testing.assert_array_equal(part.top_k(everybody(data), 20).items, whole.top_k(everybody(data), 20).items)
    np.testing.assert_array_equal(
        part.similar(np.arange(19, dtype=np.int32), 5).items, whole.similar(np.arange(19, dtype=np.int32), 5).items
    )
    np.testing.assert_allclose(
        part.score_pairs(everybody(data), *all_pairs(data)), whole.score_pairs(everybody(data), *all_pairs(data)), atol=1e-5
    )
    assert (part.similar(np.array([19], np.int32), 5).items == -1).all(), "nothing is known of it"


def test_of_more_than_it_can_hold_the_most_chosen_may_count() -> None:
    data = random_data(40, 20)
    n_users = np.bincount(data.matrix.indices, minlength=20)
    model = ease.Model(ease.Config(max_items=6, most_chosen=True))
    model.fit(data)
    assert len(model.items) == 6 and n_users[model.items].min() >= np.delete(n_users, model.items).max()
    found = model.top_k(everybody(data), 20).items
    assert set(found[found >= 0]) <= set(model.items)
    scores = model.score_pairs(everybody(data), *all_pairs(data)).reshape(40, 20)
    assert np.isnan(np.delete(scores, model.items, axis=1)).all(), "it says nothing of the others"
    assert np.isfinite(scores[:, model.items]).any(axis=0).all()


def test_directions_are_those_of_the_svd() -> None:
    matrix = random_data(60, 40).matrix
    found = main_directions(matrix, 2, seed=0)
    _, strengths, vectors = np.linalg.svd(matrix.toarray().astype(np.float64))
    np.testing.assert_allclose(found.strengths, strengths[:2], rtol=1e-5)
    np.testing.assert_allclose(np.abs(found.items.T @ vectors[:2].T), np.eye(2), atol=1e-3)


def test_plain_pure_svd_is_the_projection_of_the_history() -> None:
    data = random_data(60, 40)
    model = pure_svd.Model(pure_svd.Config(factors=2, user_damping=0.0, item_damping=0.0))
    model.fit(data)
    _, _, vectors = np.linalg.svd(data.matrix.toarray().astype(np.float64))
    expected = data.matrix.toarray() @ vectors[:2].T @ vectors[:2]
    rows, items = all_pairs(data)
    scores = model.score_pairs(everybody(data), rows, items).reshape(60, 40)
    np.testing.assert_allclose(scores[:, :-1], expected[:, :-1], atol=2e-3)
    assert np.isnan(scores[:, -1]).all(), "an item without events"


def test_pair_factors_add_up_to_the_score() -> None:
    data = random_data(60, 40)
    model = pure_svd.Model(pure_svd.Config(factors=5))
    model.fit(data)
    assert isinstance(model, HasFactors)
    rows, items = all_pairs(data)
    factors = model.pair_factors(everybody(data), rows, items)
    assert factors.shape == (len(rows), 8) and np.isnan(factors[:, 5:]).all(), "five factors, three that are missing"
    np.testing.assert_allclose(factors[:, :5].sum(axis=1), model.score_pairs(everybody(data), rows, items), rtol=1e-4, atol=1e-5)


def test_graph_filter_is_the_papers_with_its_exponents() -> None:
    data = random_data(60, 40)
    config = graph_filter.Config(low_pass=0.3, factors=4, user_damping=0.5, item_damping=0.5)
    dense = data.matrix.toarray().astype(np.float64)
    users, items = dense.sum(axis=1, keepdims=True), np.maximum(dense.sum(axis=0), 1e-9)
    graph = dense / np.sqrt(users * items)  # its largest singular value is 1
    _, _, vectors = np.linalg.svd(graph)
    low_pass = (vectors[:4].T / np.sqrt(items)[:, None]) @ (vectors[:4] * np.sqrt(items))
    near = graph.T @ graph
    np.fill_diagonal(near, 0)  # an item of the history is never asked for
    expected = np.where(dense > 0, np.nan, dense @ (near + 0.3 * low_pass))
    model = graph_filter.Model(config)
    model.fit(data)
    scores = model.score_pairs(everybody(data), *all_pairs(data)).reshape(60, 40)
    unseen = ~np.isnan(expected[:, :-1])
    np.testing.assert_allclose(scores[:, :-1][unseen], expected[:, :-1][unseen], atol=5e-3)


@pytest.mark.parametrize("flatness", [1.0, 1.5, 2.0])
def test_graph_filter_bends_the_line_in_the_middle(flatness: float) -> None:
    """As ChebyCF's curve on the strongest directions, and as its tangent on all others."""
    data = random_data(60, 40)
    model = graph_filter.Model(graph_filter.Config(low_pass=0.3, factors=6, flatness=flatness, user_damping=0.5, item_damping=0.3))
    dense = data.matrix.toarray().astype(np.float64)
    users, items = dense.sum(axis=1, keepdims=True), np.maximum(dense.sum(axis=0), 1e-9)
    graph = dense / users**0.5 / items**0.3
    _, strengths, vectors = np.linalg.svd(graph)
    frequencies, vectors = (strengths[:6] / strengths[0]) ** 2, vectors[:6]
    above = frequencies > 0.5
    curve = np.where(above, 0.5 + 0.5 * np.abs(2 * frequencies - 1) ** flatness, 0.5 - 0.5 * np.abs(1 - 2 * frequencies) ** flatness)
    assert curve[0] == pytest.approx(1)
    near = flatness * (graph.T @ graph) / strengths[0] ** 2
    waves = (vectors.T * (0.3 + curve - flatness * frequencies)) @ vectors * items**0.3 / items[:, None] ** 0.3
    np.fill_diagonal(near, 0)
    expected = dense @ (near + waves)
    model.fit(data)
    scores = model.score_pairs(everybody(data), *all_pairs(data)).reshape(60, 40)
    unseen = (dense == 0) & (np.arange(40) < 39)
    np.testing.assert_allclose(scores[unseen], expected[unseen], atol=5e-3)


def test_graph_filter_keeps_its_nearest_only() -> None:
    data = random_data(60, 40)
    model = graph_filter.Model(replace(graph_filter.Config(), neighbours=3))
    assert model.fit(data)["neighbours_per_item"] == pytest.approx(3 * 39 / 40)
