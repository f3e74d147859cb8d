"""Metrics by pencil, and NDCG and MAP against independent implementations."""

from __future__ import annotations

from math import log2

import numpy as np
import pools
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hybridrec.evaluation import metrics
from hybridrec.evaluation.metrics import METRICS, Judged, judge
from hybridrec.models import NO_ITEM

# user 1 is shown 10, 20, 30, 40 and turned to 20, 40 and 99, which no source nominated; user 2 is shown 10, 20 and
# turned to 50; user 3 turned to 10 and has no candidates; user 4 has candidates and no label
POOL = pools.hand_pool([1, 1, 1, 1, 2, 2, 4], [10, 20, 30, 40, 10, 20, 10])
SCORES = np.array([4, 3, 2, 1, 2, 1, 1], dtype=np.float32)
LABELS = pools.hand_labels([(1, 20, 1.0), (1, 40, 0.5), (1, 99, 0.5), (2, 50, 1.0), (3, 10, 1.0)])


@pytest.fixture
def judged() -> Judged:
    return judge(POOL, SCORES, LABELS, depth=4)


def test_lists_are_aligned_with_labelled_users(judged: Judged) -> None:
    assert_array_equal(judged.items, [[10, 20, 30, 40], [10, 20, NO_ITEM, NO_ITEM], [NO_ITEM] * 4])
    assert_array_equal(judged.gains, [[0, 1, 0, 0.5], [0] * 4, [0] * 4])
    assert_array_equal(judged.ideal, [[1, 0.5, 0.5, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    assert_array_equal(judged.n_relevant, [3, 1, 1])


IDEAL = 1 + 0.5 / log2(3) + 0.5 / log2(4)


@pytest.mark.parametrize(
    ("name", "k", "first_user"),
    [
        ("precision", 2, 1 / 2),
        ("precision", 4, 2 / 4),
        ("recall", 2, 1 / 3),
        ("recall", 4, 2 / 3),
        ("map", 4, (1 / 2 + 2 / 4) / 3),
        ("map", 2, (1 / 2) / 2),
        ("ndcg", 4, (1 / log2(3) + 0.5 / log2(5)) / IDEAL),
        ("ndcg_binary", 4, (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3) + 1 / log2(4))),
        ("mrr", 4, 1 / 2),
        ("mrr", 1, 0),
        ("hit_rate", 1, 0),
        ("hit_rate", 2, 1),
    ],
)
def test_by_pencil(judged: Judged, name: str, k: int, first_user: float) -> None:
    assert_allclose(METRICS[name](judged, k), [first_user, 0, 0], rtol=1e-6)


def random_lists(seed: int) -> tuple[Judged, np.ndarray, np.ndarray]:
    """30 users with all of 25 items ranked: judged, scores (30, 25), gains (30, 25)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(30, 25)).astype(np.float32)
    gains = np.where(rng.random((30, 25)) < 0.2, rng.integers(1, 4, (30, 25)), 0).astype(np.float32)
    gains[:, 7] = 2.0  # everyone has a label
    pool = pools.hand_pool(np.repeat(np.arange(30), 25).tolist(), list(range(25)) * 30)
    labels = pools.hand_labels([(u, i, gains[u, i]) for u, i in zip(*np.nonzero(gains), strict=True)])
    return judge(pool, scores.ravel(), labels, depth=20), scores, gains


@pytest.mark.parametrize("k", [1, 5, 20])
def test_ndcg_is_scikit_learns(k: int) -> None:
    from sklearn.metrics import ndcg_score

    judged, scores, gains = random_lists(seed=k)
    assert_allclose(metrics.ndcg(judged, k).mean(), ndcg_score(gains, scores, k=k, ignore_ties=True), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_map_is_the_textbooks_loop(k: int) -> None:
    judged, scores, gains = random_lists(seed=10 + k)
    expected = []
    for of_scores, of_gains in zip(scores, gains, strict=True):
        hits, total = 0, 0.0
        for place, item in enumerate(np.argsort(-of_scores)[:k], start=1):
            if of_gains[item] > 0:
                hits += 1
                total += hits / place
        expected.append(total / min(int((of_gains > 0).sum()), k))
    assert_allclose(metrics.average_precision(judged, k), expected)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_ideal_list_scores_one_where_it_can(name: str) -> None:
    labels = pools.hand_labels([(1, 10, 1.0), (1, 20, 0.5)])
    pool = pools.hand_pool([1, 1, 1], [10, 20, 30])
    judged = judge(pool, np.array([3, 2, 1], dtype=np.float32), labels, depth=2)
    assert_allclose(METRICS[name](judged, 2), [1.0])


def test_novelty_by_pencil() -> None:
    items = np.array([[0, 1], [2, NO_ITEM], [NO_ITEM, NO_ITEM]], dtype=np.int32)
    known_by = np.array([4.0, 1.0, 0.0])  # of 4 users: all, one, nobody
    assert_allclose(metrics.novelty(items, known_by, n_users=4, k=2), [(0 + 2) / 2, 3, 0])


def test_coverage_and_gini_by_pencil() -> None:
    items = np.array([[0, 1], [0, NO_ITEM]], dtype=np.int32)
    shown = metrics.exposure(items, n_items=4, k=2)
    assert_array_equal(shown, [2, 1, 0, 0])
    assert metrics.coverage(shown) == 0.5
    assert metrics.gini(shown) == pytest.approx(2 * (3 * 1 + 4 * 2) / (4 * 3) - 5 / 4)
    assert metrics.gini(np.array([5, 5, 5])) == pytest.approx(0)
    assert metrics.gini(np.zeros(3, dtype=np.int64)) == 0
