"""The retrieval kernels against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from hybridrec.models import NO_ITEM, Neighbours
from hybridrec.retrieval import select
from hybridrec.retrieval.dot import score_dot, top_k_dot
from hybridrec.retrieval.order import first_unseen
from hybridrec.retrieval.sparse import load_csr, save_csr, score_sparse, top_k_sparse

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


@pytest.fixture(params=[4, 2**22], ids=["tiny blocks", "one block"], autouse=True)
def block_cells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "BLOCK_CELLS", request.param)


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
    assert loaded.shape == (5, 8) and (loaded != matrix).nnz == 0
    assert not loaded.data.flags.writeable
