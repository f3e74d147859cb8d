"""The listwise loss: by hand, and its gradients against differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hybridrec.ranking.linear import LinearScorer
from hybridrec.ranking.listwise import Scorer, Targets, fit_weights, targets_of, user_losses
from hybridrec.ranking.weight_learner import best_choice
from hybridrec.strategies.learned_weights import SoftmaxScorer
from tests.support import made_candidates


def test_loss_by_hand() -> None:
    targets = Targets(np.array([0, 2, 5]), np.array([1.0, 0, 0, 0, 2]))
    losses, slopes = user_losses(np.array([3.0, 3, 0, 0, 0]), targets)
    assert_allclose(losses, [np.log(2), 2 * np.log(3)])
    assert_allclose(slopes, [-0.5, 0.5, 2 / 3, 2 / 3, 2 / 3 - 2])


def test_a_user_counts_once_and_a_gain_keeps_its_size() -> None:
    targets = targets_of(np.array([1, 1, 0, 3], dtype=np.float32), np.array([0, 2, 3, 4]))
    assert_allclose(targets.values, np.array([0.5, 0.5, 0, 3]) * 3 / 4)


@pytest.mark.parametrize("kind", [LinearScorer, SoftmaxScorer])
def test_gradients_are_those_of_differences(kind: type[LinearScorer] | type[SoftmaxScorer]) -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(20, 3)), (rng.random((20, 3)) < 0.8).astype(float)
    scorer: Scorer = LinearScorer(first[:, 0], second) if kind is LinearScorer else SoftmaxScorer(first * second, second)  # type: ignore[arg-type]
    weights, direction = rng.normal(size=3), rng.normal(size=20)
    steps = [1e-3 * unit for unit in np.eye(3)]
    slopes = [(scorer.score(weights + step) - scorer.score(weights - step)) @ direction / 2e-3 for step in steps]
    assert_allclose(scorer.pull_back(weights, direction), slopes, atol=2e-3)


def test_a_strong_penalty_leaves_no_weight() -> None:
    candidates = made_candidates.random_candidates(20, 10)
    scorer = LinearScorer(candidates.features["mean_z"], np.nan_to_num(candidates.features["z_als"])[:, None])
    targets = targets_of((candidates.features["z_als"] > 1).astype(np.float32), candidates.starts)
    fitted = [abs(fit_weights(scorer, targets, penalty, np.zeros(1))[0]) for penalty in (0.001, 0.1, 1000.0)]
    assert fitted[0] > fitted[1] > fitted[2]
    assert fitted[2] < 0.01


def test_the_blend_stays_unless_it_is_surely_beaten() -> None:
    blend = [0.1, 0.2, 0.3, 0.4]
    assert best_choice(np.array([blend, [0.2, 0.1, 0.4, 0.5]])) == 0  # ahead by 0.05, standard error 0.05
    assert best_choice(np.array([blend, [0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.5, 0.6]])) == 2
