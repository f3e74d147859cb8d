"""Effect of positions on clicks: known propensities are estimated, and labels corrected by them identify the better ranking."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec import strategies
from hybridrec.base.config import Config
from hybridrec.candidates.candidate_set import CandidateSet, load_candidates
from hybridrec.candidates.groups import rank_score, starts_of, zscore
from hybridrec.metrics.labels import load_labels
from hybridrec.metrics.metrics import judge, ndcg, row_gains
from hybridrec.metrics.positions import correct_gains, examination_propensity, examine, training_gains
from hybridrec.ranking.labelled import labels_in
from hybridrec.runs.run import Run
from hybridrec.strategies import learned_weights
from tests.support import made_candidates

PROPENSITY = 1 / np.arange(1, 11) ** 0.8


def test_looks_are_found_though_better_items_stand_higher() -> None:
    rng = np.random.default_rng(1)
    appeal = rng.beta(2, 18, size=400)
    position = np.clip(np.argsort(np.argsort(-appeal + rng.normal(scale=0.1, size=400))) // 40, 0, 9)
    share = np.exp(-0.5 * np.abs(position[:, None] - np.arange(10)))
    impressions = rng.poisson(800 * share)
    clicks = rng.binomial(impressions, appeal[:, None] * PROPENSITY)
    assert_allclose(examination_propensity(impressions, clicks), PROPENSITY, atol=0.03)
    by_rate = clicks.sum(axis=0) / impressions.sum(axis=0)
    assert (by_rate / by_rate[0])[9] < PROPENSITY[9] - 0.05  # the rate of clicks alone blames the position for its items


def test_a_position_with_few_clicks_is_as_the_one_above() -> None:
    impressions = np.array([[1000, 1000, 1000]])
    assert_allclose(examination_propensity(impressions, np.array([[100, 50, 3]])), [1, 0.5, 0.5])
    assert_allclose(examination_propensity(impressions, np.array([[3, 50, 100]])), [0.5, 0.5, 1])


def test_counts_become_a_table() -> None:
    columns = {"position": pa.array([1, 2, 2], pa.int32()), "n_impressions": [1000, 1000, 500], "n_clicks": [200, 100, 50]}
    counts = pa.table({"item_id": ["a", "a", "b"]} | columns)
    found = examine(counts)
    assert found["position"].to_pylist() == [1, 2]
    assert found["n_clicks"].to_pylist() == [200, 150]
    assert_allclose(found["propensity"].to_numpy(), [1, 0.5])
    assert examine(counts.slice(0, 1)).num_rows == 0  # one position tells nothing


def test_gains_are_divided_by_the_look_up_to_a_limit() -> None:
    of_positions = pa.table({"position": [1, 2, 4], "propensity": pa.array([1.0, 0.5, 0.1], pa.float32())})
    gains, positions = np.array([1, 1, 2, 1, 0], dtype=np.float32), np.array([0, 2, 3, 9, 4], dtype=np.int32)
    assert_allclose(correct_gains(gains, positions, of_positions, max_weight=5), [1, 2, 4, 5, 0])
    assert_allclose(correct_gains(gains, positions, of_positions, max_weight=1), gains)


class Shown(NamedTuple):
    """Lists that `old` has made, for users whose taste `true` knows: what they like, and what they click."""

    candidates: CandidateSet
    position: np.ndarray
    likes: np.ndarray
    clicks: np.ndarray

    def gains(self, max_weight: float) -> np.ndarray:
        """Return the clicks as labels; max_weight 1: not corrected."""
        of_positions = pa.table({"position": np.arange(1, 11), "propensity": PROPENSITY.astype(np.float32)})
        return correct_gains(self.clicks.astype(np.float32), self.position, of_positions, max_weight)


@pytest.fixture(scope="module")
def shown() -> Shown:
    rng = np.random.default_rng(2)
    n_users, n_rows = 400, 10
    users = np.repeat(np.arange(n_users, dtype=np.int32), n_rows)
    starts = starts_of(users)
    columns: dict[str, np.ndarray] = {}
    for name in ("old", "true"):
        score = rng.normal(size=len(users)).astype(np.float32)
        columns |= {f"score_{name}": score, f"z_{name}": zscore(score, starts)}
        columns[f"rank_{name}"] = np.rint(n_rows * (1 - rank_score(score, starts)) + 1).astype(np.float32)
    columns["mean_z"] = (columns["z_old"] + columns["z_true"]) / 2
    likes = rng.random(len(users)) < 1 / (1 + np.exp(1.5 - 1.2 * columns["score_true"] - 0.4 * columns["score_old"]))
    position = columns["rank_old"].astype(np.int32)
    items = np.tile(np.arange(n_rows, dtype=np.int32), n_users)
    candidates = CandidateSet(users[starts[:-1]], starts, items, np.zeros(n_users, np.int32), columns)
    return Shown(candidates, position, likes, likes & (rng.random(len(users)) < PROPENSITY[position - 1]))


@pytest.mark.parametrize(("strategy", "options"), [("learned_weights", {"penalty": 0.0}), ("stacking", {"rounds": 40, "mix": 1.0})])
def test_corrected_labels_find_the_true_order(strategy: str, options: dict[str, float], shown: Shown) -> None:
    truth, quality = labels_in(shown.candidates, shown.likes.astype(np.float32)), []
    for max_weight in (1, 10):
        learnt = strategies.create(strategy, Config(extension_options={"strategies": {strategy: options}}))  # type: ignore[dict-item]
        assert isinstance(learnt, strategies.LearntStrategy)
        learnt.fit(shown.candidates, shown.gains(max_weight), seed=1, threads=1)
        quality.append(ndcg(judge(shown.candidates, learnt.score(shown.candidates), truth, 5), 5).mean())
    assert quality[1] > quality[0] + 0.01


@pytest.mark.parametrize(("max_weight", "preferred"), [(1, "old"), (10, "true")])
def test_only_corrected_labels_prefer_the_retriever_that_knows(max_weight: float, preferred: str, shown: Shown) -> None:
    learnt = learned_weights.Strategy(learned_weights.Config(penalty=0.0))
    learnt.fit(shown.candidates, shown.gains(max_weight), seed=1, threads=1)
    assert max(learnt.weights, key=learnt.weights.__getitem__) == preferred


def test_without_impressions_gains_are_the_labels(small_run: Run) -> None:
    candidates, labels = load_candidates(made_candidates.add_candidates(small_run), "ranker"), load_labels(small_run, "ranker")
    assert_array_equal(training_gains(small_run, "ranker", candidates, labels), row_gains(candidates, labels))


def test_with_impressions_they_are_corrected(small_run: Run) -> None:
    candidates, labels = load_candidates(made_candidates.add_candidates(small_run), "ranker"), load_labels(small_run, "ranker")
    table = small_run.read("model_labels", "ranker")
    placed = table.set_column(3, "position", pa.array([1 + n % 2 if n % 3 else None for n in range(table.num_rows)], pa.int32()))
    small_run.write("model_labels", placed, "ranker")
    rows = {"position": [1, 2], "n_impressions": [90, 90], "n_clicks": [60, 30], "propensity": [1.0, 0.5]}
    small_run.write("model_positions", pa.table(rows), "ranker")
    plain = row_gains(candidates, labels)
    ratio = training_gains(small_run, "ranker", candidates, labels)[plain > 0] / plain[plain > 0]
    assert set(ratio.tolist()) == {1.0, 2.0}
    assert 0.2 < (ratio == 2).mean() < 0.5
