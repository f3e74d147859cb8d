"""The searches that look only at what is stored, against brute force, on numbers that are exact and full of ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from hybridrec.models.graph_filter import Config, Model
from hybridrec.retrieval import select, terms
from hybridrec.retrieval.dot import Vectors
from hybridrec.retrieval.kernels.arrays import Norms, Reach
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.sparse import as_csr, one_hot, score_rows, score_sparse, top_k_sparse, unit_rows
from hybridrec.retrieval.terms import Terms, equal_rows
from hybridrec.types import NO_ITEM, Neighbours

SIZES = st.tuples(st.integers(1, 12), st.integers(0, 9), st.integers(1, 8))  # items, users, kept
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(params=["tiny blocks", "one block"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms, "FROM_GROUPS", 0)
    if request.param == "tiny blocks":
        monkeypatch.setattr(select, "BLOCK_CELLS", 6)


def some(rng: np.random.Generator, n_rows: int, n_columns: int, share: float = 0.5) -> csr_array:
    """Return whole numbers from 0 to 3: sums of them are exact."""
    return csr_array((rng.integers(1, 4, (n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < share)).astype(np.float32))


def brute_force(nearness: np.ndarray, n_kept: int) -> np.ndarray:
    """Return every row sorted in Python: others above 0, the nearest first, of equals the lower."""
    kept = np.zeros_like(nearness)
    for item, of_item in enumerate(nearness):
        others = [other for other in range(len(of_item)) if other != item and of_item[other] > 0]
        for other in sorted(others, key=lambda other: (-of_item[other], other))[:n_kept]:
            kept[item, other] = of_item[other]
    return kept


@settings(max_examples=80, deadline=None)
@given(SIZES, SEEDS, st.sampled_from([1, 2]))
def test_neighbours_are_those_of_brute_force(sizes: tuple[int, int, int], seed: int, threads: int) -> None:
    n_items, n_users, n_kept = sizes
    rng = np.random.default_rng(seed)
    left, right = some(rng, n_items, n_users), some(rng, n_users, n_items)
    found = nearest(left, right, n_kept, threads)
    np.testing.assert_array_equal(found.toarray(), brute_force((left @ right).toarray(), n_kept))
    assert found.data.dtype == np.float32 and found.has_sorted_indices and np.diff(found.indptr).max(initial=0) <= n_kept


@settings(max_examples=40, deadline=None)
@given(st.integers(130, 400), st.integers(20, 60), st.floats(0.01, 0.2), SEEDS)
def test_neighbours_of_long_and_of_short_rows(n_items: int, n_users: int, share: float, seed: int) -> None:
    """A row of few products is summed in a table, a long row in an array of all items; each matrix has both kinds."""
    rng = np.random.default_rng(seed)
    left, right = some(rng, n_items, n_users, share), some(rng, n_users, n_items, share)
    found = nearest(left, right, 5, 2)
    np.testing.assert_array_equal(found.toarray(), brute_force((left @ right).toarray(), 5))


@settings(max_examples=60, deadline=None)
@given(SIZES, SEEDS)
def test_norms_need_not_treat_both_items_alike(sizes: tuple[int, int, int], seed: int) -> None:
    n_items, n_users, n_kept = sizes
    rng = np.random.default_rng(seed)
    left, right = some(rng, n_items, n_users), some(rng, n_users, n_items)
    own, other = (2.0 ** rng.integers(-1, 3, n_items).astype(np.float32) for _ in range(2))
    found = nearest(left, right, n_kept, 1, Norms(own, other, np.float32(1)))
    divided = (left @ right).toarray() / (own[:, None] * other + np.float32(1))
    np.testing.assert_array_equal(found.toarray(), brute_force(divided.astype(np.float32), n_kept))


@settings(max_examples=60, deadline=None)
@given(SIZES, SEEDS, st.integers(0, 3))
def test_a_visit_counts_for_those_around_it_of_the_same_user(sizes: tuple[int, int, int], seed: int, window: int) -> None:
    n_items, n_visits, n_kept = sizes
    rng = np.random.default_rng(seed)
    left, right = some(rng, n_items, n_visits), some(rng, n_visits, n_items)
    owner = np.sort(rng.integers(0, 3, n_visits))
    weights = rng.choice([0, 0.5, 1, 2], 2 * window + 1).astype(np.float32)
    ahead = np.arange(n_visits) - np.arange(n_visits)[:, None]
    near = np.where((np.abs(ahead) <= window) & (owner == owner[:, None]), weights[np.clip(ahead + window, 0, 2 * window)], 0)
    firsts, ends = (np.searchsorted(owner, owner, side=side).astype(np.int64) for side in ("left", "right"))
    found = nearest(left, right, n_kept, 1, reach=Reach(firsts, ends, weights))
    np.testing.assert_array_equal(found.toarray(), brute_force((left.toarray() @ near @ right.toarray()).astype(np.float32), n_kept))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(1, 40), st.integers(1, 9), st.integers(0, 12), SEEDS)
def test_terms_that_cannot_matter_are_left_out_and_lists_are_the_same_to_the_bit(
    n: int, n_items: int, n_terms: int, k: int, seed: int
) -> None:
    """Common terms, rare ones, equal items; the lengths are those of tf-idf, so sums are rounded."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([0.05, 0.5, 1.0], n_terms)
    values = (rng.integers(1, 4, (n_items, n_terms)) * (rng.random((n_items, n_terms)) < shares) / shares).astype(np.float32)
    vectors = unit_rows(as_csr(values[rng.integers(0, n_items, n_items)]))
    left, seen = unit_rows(some(rng, n, n_terms)), some(rng, n, n_items, 0.2)
    found, expected = Terms.of(vectors).top_k(left, seen, k), top_k_sparse(left, vectors.T.tocsr(), seen, k)
    assert_same(found, expected)
    rows, items = (cells.ravel() for cells in np.mgrid[:n, :n_items])
    np.testing.assert_array_equal(score_rows(left, vectors, rows, items), score_sparse(left, vectors.T.tocsr(), rows, items))


def test_a_large_catalogue_of_common_terms_gives_the_same_lists() -> None:
    """Enough items that the search stops before the common terms; every item has the first one."""
    rng = np.random.default_rng(0)
    codes = np.column_stack([np.zeros(20_000, int), 1 + rng.integers(0, 5, 20_000), 6 + rng.integers(0, 300, 20_000)])
    weights = np.array([[0.1, 0.5, 2.0]]) * rng.choice([0.5, 1.0], (20_000, 3))
    vectors = unit_rows(as_csr(csr_array((weights.ravel(), codes.ravel(), np.arange(0, 60_001, 3)), shape=(20_000, 306))))
    nothing = csr_array((40, 20_000), dtype=np.float32)
    left = unit_rows(as_csr(vectors[:40] + vectors[40:80]))
    assert_same(Terms.of(vectors).top_k(left, nothing, 30), top_k_sparse(left, vectors.T.tocsr(), nothing, 30))  # type: ignore[arg-type]


def test_vectors_with_values_below_0_are_searched_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    vectors, left = (unit_rows(as_csr(rng.normal(size=(n, 6)))) for n in (30, 4))
    seen = some(rng, 4, 30, 0.2)
    assert_same(Terms.of(vectors).top_k(left, seen, 5), top_k_sparse(left, vectors.T.tocsr(), seen, 5))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 25), st.integers(0, 12), SEEDS)
def test_the_graph_filter_adds_neighbours_and_waves(n_users: int, n_items: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, history = Model(Config()), some(rng, n_users, n_items, 0.3)
    history.data[:] = 1
    model.neighbours = some(rng, n_items, n_items, 0.2)
    scorable = np.bincount(model.neighbours.indices, minlength=n_items) + rng.integers(0, 2, n_items) > 0
    model.waves = Vectors(*(rng.integers(-2, 3, (n_items, 3)).astype(np.float32) for _ in range(2)), scorable)  # type: ignore[arg-type, call-arg]
    scores = (history @ model.neighbours).toarray() + history @ model.waves.users @ model.waves.items.T
    found = model._top_k(history, k)
    for user in range(n_users):
        eligible = [item for item in range(n_items) if scorable[item] and not history[[user]].toarray()[0, item]]
        best = sorted(eligible, key=lambda item: (-scores[user, item], item))[:k]
        assert found.items[user].tolist() == best + [NO_ITEM] * (k - len(best))
        np.testing.assert_array_equal(found.scores[user, : len(best)], scores[user, best])


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(1, 4), SEEDS)
def test_equal_rows_are_one_group_in_the_order_of_their_first(n_rows: int, n_terms: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = some(rng, n_rows, n_terms)
    groups = equal_rows(matrix)
    expected: dict[tuple[float, ...], list[int]] = {}
    for number, row in enumerate(matrix.toarray()):
        expected.setdefault(tuple(row), []).append(number)
    found = [groups.members[start:end].tolist() for start, end in zip(groups.starts[:-1], groups.starts[1:], strict=True)]
    assert found == list(expected.values())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), SEEDS)
def test_similar_items_are_those_of_the_whole_search(n_items: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit_rows(some(rng, n_items, 5))[rng.integers(0, n_items, n_items)]
    items = rng.permutation(n_items).astype(np.int32)
    assert_same(Terms.of(vectors).similar(items, k), top_k_sparse(vectors[items], vectors.T.tocsr(), one_hot(items, n_items), k))
