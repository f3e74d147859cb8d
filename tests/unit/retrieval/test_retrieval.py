"""The retrieval kernels against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from hybridrec.retrieval import exact, select
from hybridrec.retrieval.exact import score_dot, top_k_dot
from hybridrec.retrieval.kernels import dense
from hybridrec.retrieval.order import first_unseen
from hybridrec.retrieval.sparse import load_csr, save_csr, score_sparse, top_k_sparse
from hybridrec.types import NO_ITEM, Neighbours

SIZES = st.tuples(st.integers(0, 7), st.integers(1, 9), st.integers(1, 5), st.integers(0, 12))  # users, items, factors, k
SEEDS = st.integers(0, 2**32 - 1)


def brute_force(scores: np.ndarray, seen: np.ndarray, k: int) -> Neighbours:
    """Sort every row in Python; NaN and seen cells are not eligible."""
    items = np.full((len(scores), k), NO_ITEM, dtype=np.int32)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for row, of_row in enumerate(scores):
        eligible = [item for item in range(len(of_row)) if not seen[row, item] and not np.isnan(of_row[item])]
        best = sorted(eligible, key=lambda item: (-of_row[item], item))[:k]
        items[row, : len(best)], values[row, : len(best)] = best, of_row[best]
    return Neighbours(items, values)


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert found.items.dtype == np.int32 and found.scores.dtype == np.float32


def random_csr(rng: np.random.Generator, n_rows: int, n_columns: int, share: float) -> csr_array:
    values = rng.integers(1, 4, (n_rows, n_columns)) * (rng.random((n_rows, n_columns)) < share)
    return csr_array(values.astype(np.float32))


@pytest.fixture(params=["tiny blocks", "one block"], autouse=True)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "tiny blocks":
        monkeypatch.setattr(select, "BLOCK_CELLS", 4)
        for name, size in (("USERS_AT_ONCE", 2), ("ITEMS_AT_ONCE", 64), ("MIN_SAMPLE", 16)):
            monkeypatch.setattr(exact, name, size)


@settings(max_examples=60, deadline=None)
@given(SIZES, SEEDS)
def test_top_k_dot_is_brute_force(sizes: tuple[int, int, int, int], seed: int) -> None:
    n_users, n_items, n_factors, k = sizes
    rng = np.random.default_rng(seed)
    users = rng.integers(-2, 3, (n_users, n_factors)).astype(np.float32)  # small integers: exact, and full of ties
    items = rng.integers(-2, 3, (n_items, n_factors)).astype(np.float32)
    seen, scorable = random_csr(rng, n_users, n_items, 0.4), rng.random(n_items) < 0.8
    scores = np.where(scorable, users @ items.T, np.nan)
    assert_same(top_k_dot(users, items, seen, k, scorable), brute_force(scores, seen.toarray() > 0, k))


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_list_does_not_depend_on_the_block(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = (rng.standard_normal((size, 37)).astype(np.float32) for size in (9, 50))
    items[25:] = items[:25]  # equal vectors: ties that rounding must not break
    seen = random_csr(rng, 9, 50, 0.2)
    whole = top_k_dot(users, items, seen, 8)
    for row in range(9):
        alone = top_k_dot(users[row : row + 1], items, seen[row : row + 1], 8)
        np.testing.assert_array_equal(alone.items[0], whole.items[row])
        np.testing.assert_array_equal(alone.scores[0], whole.scores[row])
    rows, places = np.nonzero(whole.items != NO_ITEM)
    np.testing.assert_array_equal(score_dot(users, items, rows, whole.items[rows, places]), whole.scores[rows, places])


def whole_lists(users: np.ndarray, items: np.ndarray, seen: csr_array, k: int) -> Neighbours:
    """Return every pair scored by itself and every row sorted."""
    n_users, n_items = len(users), len(items)
    rows, columns = np.repeat(np.arange(n_users), n_items), np.tile(np.arange(n_items), n_users)
    scores = score_dot(users, items, rows, columns).reshape(n_users, n_items)
    scores[seen.toarray() > 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(scores, order, axis=1)
    return Neighbours(np.where(found > -np.inf, order, NO_ITEM).astype(np.int32), found)


@pytest.mark.parametrize("n_items", [700, 4_000, 4_097])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_catalogue_is_searched_as_a_whole(n_items: int, threads: int) -> None:
    rng = np.random.default_rng(n_items)
    users, items = rng.normal(size=(90, 24)).astype(np.float32), rng.normal(size=(n_items, 24)).astype(np.float32)
    seen = random_csr(rng, 90, n_items, 0.05)
    assert_same(top_k_dot(users, items, seen, 20, threads=threads), whole_lists(users, items, seen, 20))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_search_ends_where_the_vectors_are_too_short(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    lengths = rng.pareto(1.0, 9_000).astype(np.float32)[:, None]
    users, items = rng.normal(size=(90, 12)).astype(np.float32), rng.normal(size=(9_000, 12)).astype(np.float32) * lengths
    users[0], users[1], items[500:600] = 0, 1e-30, 0
    seen, scorable = random_csr(rng, 90, 9_000, 0.1), rng.random(9_000) < 0.9
    looked_at: list[int] = []
    collect = dense.collect
    monkeypatch.setattr(dense, "collect", lambda tile, *rest: looked_at.append(tile.size) or collect(tile, *rest))  # type: ignore[func-returns-value]
    found = top_k_dot(users, items, seen, 30, scorable, threads)
    assert_same(found, whole_lists(users, items, csr_array((seen.toarray() > 0) | ~scorable), 30))
    assert sum(looked_at) < 0.5 * 90 * 9_000


def test_a_sample_that_misleads_costs_time_and_nothing_else() -> None:
    """The sampled items score above all others, some are seen and some cannot be scored; and one user likes all alike."""
    rng = np.random.default_rng(0)
    n_items, k = 6_000, 30
    users, items = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(n_items, 4)).astype(np.float32)
    users[0] = 0
    items[:: n_items // 512] = 10 * users[1] + rng.normal(size=items[:: n_items // 512].shape).astype(np.float32)
    seen = random_csr(rng, 8, n_items, 0.3)
    assert_same(top_k_dot(users, items, seen, k), whole_lists(users, items, seen, k))
    scorable = np.arange(n_items) % (n_items // 512) != 0
    expected = whole_lists(users, items, csr_array((seen.toarray() > 0) | ~scorable), k)
    assert_same(top_k_dot(users, items, seen, k, scorable), expected)
    assert (top_k_dot(users, items, csr_array(np.zeros(seen.shape, np.float32)), k).items[0] == np.arange(k)).all(), "ties by item"


@pytest.mark.parametrize("n_best", [60, 80, 90, 100, 110, 120, 130, 140])
def test_scores_that_differ_by_rounding_alone_are_told_apart_one_by_one(n_best: int) -> None:
    """The best vectors hold the same numbers in another order, so scores differ in the last bits, and the sample ends among them."""
    rng = np.random.default_rng(n_best)
    users, items = np.ones((3, 37), np.float32), rng.normal(size=(4_000, 37)).astype(np.float32)
    numbers = rng.normal(size=37).astype(np.float32) + 2
    items[rng.permutation(4_000)[:n_best]] = np.stack([rng.permutation(numbers) for _ in range(n_best)])
    seen = csr_array((3, 4_000), dtype=np.float32)
    assert_same(top_k_dot(users, items, seen, 20), whole_lists(users, items, seen, 20))  # type: ignore[arg-type]


def test_users_without_enough_items_get_what_there_is() -> None:
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=(4, 4)).astype(np.float32), rng.normal(size=(3_000, 4)).astype(np.float32)
    seen = csr_array((np.arange(3_000) >= 5).astype(np.float32)[None].repeat(4, axis=0))
    found = top_k_dot(users, items, seen, 20)
    assert_same(found, whole_lists(users, items, seen, 20))
    assert ((found.items >= 0).sum(axis=1) == 5).all()


@settings(max_examples=60, deadline=None)
@given(SIZES, SEEDS)
def test_top_k_sparse_is_brute_force(sizes: tuple[int, int, int, int], seed: int) -> None:
    n_users, n_items, n_terms, k = sizes
    rng = np.random.default_rng(seed)
    left, right = random_csr(rng, n_users, n_terms, 0.5), random_csr(rng, n_terms, n_items, 0.4)
    seen = random_csr(rng, n_users, n_items, 0.4)
    products = (left @ right).toarray()
    assert_same(top_k_sparse(left, right, seen, k), brute_force(np.where(products > 0, products, np.nan), seen.toarray() > 0, k))
    rows, columns = rng.integers(0, max(n_users, 1), 2 * n_users), rng.integers(0, n_items, 2 * n_users)
    np.testing.assert_array_equal(score_sparse(left, right, rows, columns), products[rows, columns])


@settings(max_examples=60, deadline=None)
@given(SIZES, SEEDS)
def test_first_unseen_is_brute_force(sizes: tuple[int, int, int, int], seed: int) -> None:
    n_users, n_items, _, k = sizes
    rng = np.random.default_rng(seed)
    scores = np.where(rng.random(n_items) < 0.8, rng.integers(0, 3, n_items), np.nan).astype(np.float32)
    seen = random_csr(rng, n_users, n_items, 0.5)
    assert_same(first_unseen(scores, seen, k), brute_force(np.tile(scores, (n_users, 1)), seen.toarray() > 0, k))


def test_saved_matrix_is_mapped_and_equal(tmp_path: Path) -> None:
    matrix = random_csr(np.random.default_rng(3), 5, 8, 0.5)
    save_csr(matrix, tmp_path, "m")
    loaded = load_csr(tmp_path, "m")
    assert loaded.shape == (5, 8) and (loaded != matrix).nnz == 0  # type: ignore[attr-defined]
    assert not loaded.data.flags.writeable
