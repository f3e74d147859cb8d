"""Trees are scored to the last bit as LightGBM scores them."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from hybridrec.ranking.forest import forest_of
from hybridrec.ranking.ranker import LightGbmTrees, trees_of


def train(matrix: np.ndarray, rounds: int = 60, categories: tuple[int, ...] = (), **options: Any) -> lightgbm.Booster:
    rng = np.random.default_rng(1)
    target = np.nan_to_num(matrix[:, 0]) * 2 - np.nan_to_num(matrix[:, 1]) ** 2 + rng.normal(size=len(matrix))
    settings = {"objective": "regression", "num_leaves": 15, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(matrix, label=target, categorical_feature=list(categories), free_raw_data=False)
    return lightgbm.train(settings | options, data, rounds)


def rows(n_rows: int, missing: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n_rows, 6)).astype(np.float32)
    matrix[:, 2] = rng.integers(-1, 2, n_rows)  # values that are thresholds' neighbours, zero among them
    matrix[rng.random(matrix.shape) < missing] = np.nan
    return matrix


@pytest.mark.parametrize(("in_training", "in_scoring"), [(0.0, 0.0), (0.2, 0.2), (0.0, 0.2), (0.2, 0.0)])
@pytest.mark.parametrize("leaves", [2, 15, 64])
def test_scores_are_lightgbms(in_training: float, in_scoring: float, leaves: int) -> None:
    trees = train(rows(2_000, in_training), num_leaves=leaves)
    asked = np.concatenate([rows(3_000, in_scoring, 1), rows(2_000, in_training)])
    asked[:3] = [[np.nan] * 6, [np.inf] * 6, [-np.inf] * 6]
    for rounds in (1, 7, 60):
        forest = forest_of(trees, rounds)
        assert forest is not None and len(forest.leaves) == rounds
        np.testing.assert_array_equal(forest.predict(asked), trees.predict(asked, num_iteration=rounds))


def test_a_value_on_a_threshold_goes_left() -> None:
    matrix = np.repeat(np.array([[0.1], [0.2], [0.3], [0.4]], dtype=np.float32), 200, axis=0)
    trees = train(np.hstack([matrix, matrix]), rounds=5)
    forest = forest_of(trees, 5)
    assert forest is not None
    asked = np.repeat(np.unique(np.concatenate([forest.nodes.thresholds, matrix[:, 0]]))[:, None], 2, axis=1)
    np.testing.assert_array_equal(forest.predict(asked), trees.predict(asked))


def test_trees_of_another_kind_are_left_to_lightgbm() -> None:
    matrix = rows(2_000, 0.1)
    matrix[:, 2] = np.abs(np.nan_to_num(matrix[:, 2]))
    for trees in (train(matrix, num_leaves=100), train(matrix, zero_as_missing=True), train(matrix, categories=(2,))):
        assert forest_of(trees, 60) is None
        np.testing.assert_array_equal(trees_of(trees, 60).predict(matrix), trees.predict(matrix))


def test_a_tree_of_one_leaf_and_no_rows() -> None:
    matrix = np.zeros((100, 3), dtype=np.float32)
    trees = train(matrix, rounds=3)
    forest = forest_of(trees, 3)
    assert forest is not None
    np.testing.assert_array_equal(forest.predict(matrix), trees.predict(matrix))
    assert forest.predict(matrix[:0]).shape == (0,)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_moves_lead_from_the_mean_to_the_score(missing: float) -> None:
    trees = train(rows(2_000, missing))
    forest, asked = forest_of(trees, 40), rows(500, missing, 1)
    assert forest is not None
    mean = sum(tree["tree_structure"]["internal_value"] for tree in trees.dump_model(num_iteration=40)["tree_info"])
    moves = forest.moves(asked)
    assert moves.shape == asked.shape
    np.testing.assert_allclose(moves.sum(axis=1) + mean, forest.predict(asked), atol=1e-6)


def test_the_column_that_moves_most_is_mostly_shapleys() -> None:
    trees, asked = train(rows(2_000, 0.0)), rows(1_000, 0.0, 1)
    by_shapley = np.abs(LightGbmTrees(trees, 60).moves(asked))
    by_path = np.abs(trees_of(trees, 60).moves(asked))
    assert (by_shapley.argmax(axis=1) == by_path.argmax(axis=1)).mean() > 0.9
