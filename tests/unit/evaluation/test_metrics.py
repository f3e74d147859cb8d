"""Metrics by pencil, and those of relevance against ir-measures on random lists."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from hybridrec.metrics import metrics
from hybridrec.metrics.metrics import METRICS, Judged, Labels, judge
from hybridrec.types import NO_ITEM
from tests.support import made_candidates

# user 1 is shown 10, 20, 30, 40 and turned to 20, 40 and 99, which no source retrieved; user 2 is shown 10, 20 and
# turned to 50; user 3 turned to 10 and has no candidates; user 4 has candidates and no label
CANDIDATES = made_candidates.candidates_by_hand([1, 1, 1, 1, 2, 2, 4], [10, 20, 30, 40, 10, 20, 10])
SCORES = np.array([4, 3, 2, 1, 2, 1, 1], dtype=np.float32)
LABELS = made_candidates.hand_labels([(1, 20, 1.0), (1, 40, 0.5), (1, 99, 0.5), (2, 50, 1.0), (3, 10, 1.0)])


@pytest.fixture
def judged() -> Judged:
    return judge(CANDIDATES, SCORES, LABELS, depth=4)


def test_lists_are_aligned_with_labelled_users(judged: Judged) -> None:
    assert_array_equal(judged.items, [[10, 20, 30, 40], [10, 20, NO_ITEM, NO_ITEM], [NO_ITEM] * 4])
    assert_array_equal(judged.hits, [[0, 0], [1, 3], [1, 0.5]])
    assert_array_equal(judged.ideal, [[0, 0, 0, 1, 2], [0, 1, 2, 0, 0], [1, 0.5, 0.5, 1, 1]])
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
    """Return 30 users with all of 25 items ranked: judged, scores (30, 25), gains (30, 25)."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(25, dtype=np.float32), (30, 1)), axis=1)
    gains = np.where(rng.random((30, 25)) < 0.2, rng.integers(1, 4, (30, 25)), 0).astype(np.float32)
    gains[:, 7] = 2.0  # everyone has a label
    candidates = made_candidates.candidates_by_hand(np.repeat(np.arange(30), 25).tolist(), list(range(25)) * 30)
    labels = made_candidates.hand_labels([(u, i, gains[u, i]) for u, i in zip(*np.nonzero(gains), strict=True)])
    return judge(candidates, scores.ravel(), labels, depth=20), scores, gains


THEIRS = {"precision": "P", "recall": "R", "map": "AP", "ndcg": "nDCG", "ndcg_binary": "nDCG", "mrr": "RR", "hit_rate": "Success"}


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_agrees_with_ir_measures(name: str, k: int) -> None:
    import ir_measures

    judged, scores, gains = random_lists(seed=k)
    grades = np.sign(gains) if name == "ndcg_binary" else gains
    qrels = {str(u): {str(i): int(grades[u, i]) for i in np.flatnonzero(grades[u])} for u in range(30)}
    run = {str(u): {str(i): float(scores[u, i]) for i in np.argsort(-scores[u])[:20]} for u in range(30)}
    measure = ir_measures.parse_measure(f"{THEIRS[name]}@{k}")
    found = {int(row.query_id): row.value for row in ir_measures.iter_calc([measure], qrels, run)}
    expected = np.array([found[user] for user in range(30)])
    if name == "map":  # theirs divides by all relevant items, ours by those that k positions can hold
        expected *= judged.n_relevant / np.minimum(judged.n_relevant, k)
    assert_allclose(METRICS[name](judged, k), expected, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_ideal_list_scores_one_where_it_can(name: str) -> None:
    labels = made_candidates.hand_labels([(1, 10, 1.0), (1, 20, 0.5)])
    candidates = made_candidates.candidates_by_hand([1, 1, 1], [10, 20, 30])
    judged = judge(candidates, np.array([3, 2, 1], dtype=np.float32), labels, depth=2)
    assert_allclose(METRICS[name](judged, 2), [1.0])


def test_novelty_by_pencil() -> None:
    items = np.array([[0, 1], [2, NO_ITEM], [NO_ITEM, NO_ITEM]], dtype=np.int32)
    known_by = np.array([4.0, 1.0, 0.0])  # of 4 users: all, one, none
    assert_allclose(metrics.novelty(items, known_by, n_users=4, k=2), [(0 + 2) / 2, 3, 0])


def test_diversity_by_pencil() -> None:
    vectors = csr_array(np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8], [0, 0]], dtype=np.float32))
    items = np.array([[0, 1, 4], [0, 1, 2], [0, 3, NO_ITEM], [0, 4, NO_ITEM], [NO_ITEM] * 3], dtype=np.int32)
    # alike but for one without content; one pair of three alike; cosine 0.6; one item with content; none
    assert_allclose(metrics.diversity(items, vectors, k=3), [0, 1 - 1 / 3, 1 - 0.6, 0, 0], atol=1e-6)
    assert_allclose(metrics.diversity(items, vectors, k=2), [0, 0, 1 - 0.6, 0, 0], atol=1e-6)


def test_diversity_is_the_mean_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((30, 6)) * (rng.random((30, 6)) < 0.5)
    dense[:, 0] += 0.1
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    items = np.stack([rng.permutation(30)[:8] for _ in range(20)]).astype(np.int32)
    above = np.triu_indices(8, 1)
    expected = [1 - (dense[row] @ dense[row].T)[above].mean() for row in items]
    assert_allclose(metrics.diversity(items, csr_array(dense), k=8), expected, rtol=1e-5)


@pytest.mark.parametrize("threads", [2, 3, 50])
def test_threads_share_the_users_and_change_nothing(threads: int) -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 40)  # some have more labels than positions
    items = np.concatenate([np.sort(rng.permutation(60)[:size]) for size in sizes]).astype(np.int32)
    gains = rng.integers(1, 4, len(items)).astype(np.float32)
    labels = Labels(np.arange(40, dtype=np.int32), np.concatenate([[0], np.cumsum(sizes)]), items, gains)
    lists = np.stack([rng.permutation(60)[:5] for _ in sizes]).astype(np.int32)
    alone, shared = metrics.judge_items(lists, labels), metrics.judge_items(lists, labels, threads)
    for ours, theirs in zip((*alone.hits, *alone.ideal), (*shared.hits, *shared.ideal), strict=True):
        assert_array_equal(ours, theirs)
    for user in range(40):
        best = np.sort(gains[labels.starts[user] : labels.starts[user + 1]])[::-1][:5]
        assert_array_equal(alone.ideal.gains[alone.ideal.rows == user], best)
        assert_array_equal(alone.ideal.positions[alone.ideal.rows == user], np.arange(len(best)))
    vectors = csr_array(rng.random((60, 4)).astype(np.float32))
    assert_array_equal(metrics.diversity(lists, vectors, 5), metrics.diversity(lists, vectors, 5, threads))
    known = rng.random(60) * 40
    assert_array_equal(metrics.novelty(lists, known, 40, 5), metrics.novelty(lists, known, 40, 5, threads))
    assert_array_equal(metrics.exposure(lists, 60, 5), metrics.exposure(lists, 60, 5, threads))


def test_serendipity_by_pencil(judged: Judged) -> None:
    known_by = np.zeros(100)
    known_by[[10, 20, 40]] = 8, 6, 0  # users; 20 is unexpected by a quarter, 40 entirely
    assert_allclose(metrics.serendipity(judged, known_by, k=2), [0.25 / 2, 0, 0])
    assert_allclose(metrics.serendipity(judged, known_by, k=4), [(0.25 + 1) / 4, 0, 0])


def test_use_of_the_catalogue_by_pencil() -> None:
    items = np.array([[0, 1], [0, NO_ITEM]], dtype=np.int32)
    shown = metrics.exposure(items, n_items=4, k=2)
    assert_array_equal(shown, [2, 1, 0, 0])
    assert metrics.coverage(shown) == 0.5
    assert metrics.gini(shown) == pytest.approx(2 * (3 * 1 + 4 * 2) / (4 * 3) - 5 / 4)
    assert metrics.gini(np.array([5, 5, 5])) == pytest.approx(0)
    assert metrics.gini(np.zeros(3, dtype=np.int64)) == 0
    assert metrics.top_share(shown) == pytest.approx(2 / 3)  # at least one item
    assert metrics.top_share(np.array([9, *[1] * 199])) == pytest.approx(10 / 208)  # two of 200
    assert metrics.top_share(np.zeros(3, dtype=np.int64)) == 0


def test_every_metric_says_its_range_and_source() -> None:
    for metric in (*METRICS.values(), metrics.novelty, metrics.diversity, metrics.serendipity, *metrics.TABLE_METRICS.values()):
        doc = metric.__doc__ or ""
        assert "0 to" in doc or "if a relevant item" in doc or "0 all items equal" in doc, metric
