"""Hedge over the retrievers: equal at first, carried from night to night, never far behind the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from benchmarks.loop.bandits import hedge_bound, hedge_regret
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.strategies import CarryingStrategy
from hybridrec.strategies.adaptive_weights import Config, Losses, Strategy, hedge
from hybridrec.strategies.weighted import blend
from tests.support import made_candidates


@pytest.fixture(scope="module")
def candidates() -> CandidateSet:
    return made_candidates.random_candidates(n_users=40, n_rows=30)


def liked_by(candidates: CandidateSet, retriever: str) -> Floats:
    """Return gains of what a retriever ranks first."""
    return (np.nan_to_num(candidates.features[f"rank_{retriever}"], nan=99) <= 2).astype(np.float32)


def test_the_first_night_is_an_equal_blend(candidates: CandidateSet) -> None:
    strategy = Strategy(Config())
    assert isinstance(strategy, CarryingStrategy)
    strategy.carry(None)
    strategy.fit(candidates, liked_by(candidates, "als"), seed=1, threads=1)
    assert_array_equal(strategy.score(candidates), blend(candidates, dict.fromkeys(candidates.retrievers, 1 / len(candidates.retrievers))))


def test_weights_go_on_from_the_nights_before(candidates: CandidateSet, tmp_path: Path) -> None:
    folder, largest = None, []
    for night in range(8):
        strategy = Strategy(Config())
        strategy.carry(folder)
        metrics = strategy.fit(candidates, liked_by(candidates, "als"), seed=1, threads=1)
        assert metrics["nights"] == night
        assert metrics["loss_als"] == 0
        largest.append(metrics["largest_weight"])
        folder = tmp_path / str(night)
        folder.mkdir()
        strategy.save(folder)
    assert (np.diff(largest) > 0).all()
    assert largest[-1] > 0.9
    expected = blend(candidates, dict(strategy._before.weights(candidates.retrievers)))
    assert_array_equal(Strategy.load(tmp_path / "7", Config()).score(candidates), expected)


def test_it_changes_its_mind(candidates: CandidateSet, tmp_path: Path) -> None:
    losses = Losses()
    for _ in range(10):
        losses = losses.after({"als": 0.0, "knn": 1.0})
    for _ in range(30):
        losses = losses.after({"als": 1.0, "knn": 0.0})
    assert losses.weights(["als", "knn"])["knn"] > 0.9


def test_a_new_retriever_starts_in_the_middle() -> None:
    losses = Losses().after({"good": 0.0, "bad": 1.0}).after({"good": 0.0, "bad": 1.0})
    weights = losses.weights(["bad", "good", "new"])
    assert weights["bad"] < weights["new"] < weights["good"]
    assert sum(weights.values()) == pytest.approx(1)
    missing = losses.after({"good": 0.2, "bad": 0.4, "new": 0.0}).after({"good": 0.2, "new": 0.4})
    assert missing.sums["bad"] == pytest.approx(2 + 0.4 + 0.3)
    assert missing.sums["new"] == pytest.approx(1 + 0.4), "a new one has lost as much as the mean so far"


def test_a_night_without_labels_loses_nothing(candidates: CandidateSet) -> None:
    before = Losses().after({"als": 0.5})
    assert before.after({}) == before


def test_the_regret_is_below_the_bound() -> None:
    assert hedge_regret(100, 6, repetitions=100, seed=2) < hedge_bound(100, 6)


def test_weights_are_those_of_the_formula() -> None:
    weights = hedge(np.array([0.0, 1.0, 3.0]), 9)
    odds = np.exp(-np.sqrt(8 * np.log(3) / 9) * np.array([0.0, 1.0, 3.0]))
    assert_allclose(weights, odds / odds.sum())
    assert_allclose(hedge(np.zeros((2, 3)), 0), 1 / 3)
