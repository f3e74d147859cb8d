"""Models whose scores are the product of two sparse matrices: item-item neighbours, content profiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.kernels.arrays import Sparse
from hybridrec.retrieval.select import empty_lists, row_numbers
from hybridrec.types import Floats, Ints, Neighbours

PARTS = ("data", "indices", "indptr", "shape")


def top_k_sparse(left: csr_array, right: csr_array, seen: csr_array, k: int) -> Neighbours:
    """Return the k items of the highest product for each row of `left`, exact; an item that shares nothing is not returned.

    left: csr float32 (n_users, n). right: csr float32 (n, n_items). seen: csr (n_users, n_items), never returned.
    Each row is summed by itself and in the order of left's row, so a list does not depend on who else is in the block.
    """
    from hybridrec.retrieval.kernels import sums

    lists = empty_lists(left.shape[0], k)
    sums.best_sums(arrays_of(left), arrays_of(right), arrays_of(seen), right.shape[1], lists.items, lists.scores)
    return lists


def score_sparse(left: csr_array, right: csr_array, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """Return products of row rows[i] of `left` and column columns[i] of `right`; 0 where they share nothing."""
    from hybridrec.retrieval.kernels import sums

    def fill(starts: NDArray[np.int64], of_row: NDArray[np.int64], scores: Floats) -> None:
        sums.sums_of_pairs(arrays_of(left), arrays_of(right), right.shape[1], starts, of_row, scores)

    return _by_row(fill, left.shape[0], rows, columns)


def score_rows(left: csr_array, right: csr_array, rows: NDArray[np.integer], others: NDArray[np.integer]) -> Floats:
    """Return products of row rows[i] of `left` and row others[i] of `right`, as score_sparse of the transpose; both have sorted indices."""
    from hybridrec.retrieval.kernels import sums

    def fill(starts: NDArray[np.int64], of_row: NDArray[np.int64], scores: Floats) -> None:
        sums.sums_by_item(arrays_of(left), arrays_of(right), right.shape[1], starts, of_row, scores)

    return _by_row(fill, left.shape[0], rows, others)


def _by_row(
    fill: Callable[[NDArray[np.int64], NDArray[np.int64], Floats], None],
    n_rows: int,
    rows: NDArray[np.integer],
    columns: NDArray[np.integer],
) -> Floats:
    """Return scores of pairs from a function that takes them row by row: starts of the rows, columns, and the array for the scores."""
    order = np.argsort(rows, kind="stable")
    by_row = np.empty(len(rows), dtype=np.float32)
    fill(np.searchsorted(rows[order], np.arange(n_rows + 1)), columns[order].astype(np.int64), by_row)
    scores = np.empty_like(by_row)
    scores[order] = by_row
    return scores


def arrays_of(matrix: csr_array) -> Sparse:
    """Return the matrix for kernels, its arrays of one type each, because they are compiled again for every type."""
    return Sparse(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
    )


def one_hot(columns: Ints, n_columns: int) -> csr_array:
    """Return a matrix with a single 1 in each row."""
    ends = np.arange(len(columns) + 1, dtype=np.int32)
    return csr_array((np.ones(len(columns), np.float32), columns, ends), shape=(len(columns), n_columns))


def unit_rows(matrix: csr_array) -> csr_array:
    """Return the rows scaled to length 1; a row of zeros stays."""
    norms = np.sqrt(matrix.power(2).sum(axis=1))
    scale = np.repeat(1 / np.where(norms > 0, norms, 1), np.diff(matrix.indptr))
    return csr_array(((matrix.data * scale).astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def as_csr(matrix: Any) -> csr_array:
    """Return any sparse or dense matrix as csr float32 with sorted indices."""
    csr: csr_array = csr_array(matrix, dtype=np.float32)
    csr.sort_indices()
    return csr


def pattern(matrix: csr_array) -> csr_array:
    """Return the same stored cells, each holding 1."""
    return csr_array((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def scaled(matrix: csr_array, by_row: Floats, by_column: Floats) -> csr_array:
    """Return the matrix with each cell times its row's and its column's factor."""
    values = matrix.data * by_row[row_numbers(matrix)] * by_column[matrix.indices]
    return csr_array((values.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def column_sums(matrix: csr_array) -> Floats:
    """Return the sum of each column, float32."""
    return np.bincount(matrix.indices, weights=matrix.data, minlength=matrix.shape[1]).astype(np.float32)


def row_sums(matrix: csr_array) -> Floats:
    """Return the sum of each row, float32."""
    return np.bincount(row_numbers(matrix), weights=matrix.data, minlength=matrix.shape[0]).astype(np.float32)


def power(values: Floats, exponent: float) -> Floats:
    """Return powers of numbers of 0 or more, where 0 stays 0 also for a negative exponent."""
    return np.where(values > 0, np.maximum(values, np.finfo(np.float32).tiny) ** np.float32(exponent), 0).astype(np.float32)


def empty_csr() -> csr_array:
    """Return the matrix of a model that is not fitted."""
    return without_columns(0)


def without_columns(n_rows: int) -> csr_array:
    """Return a matrix of no columns."""
    return as_csr(np.zeros((n_rows, 0), dtype=np.float32))


def save_csr(matrix: csr_array, folder: Path, name: str) -> None:
    """Write a sparse matrix as .npy files."""
    for part in PARTS:
        np.save(folder / f"{name}.{part}.npy", np.asarray(getattr(matrix, part)), allow_pickle=False)


def load_csr(folder: Path, name: str) -> csr_array:
    """Return a saved sparse matrix; its arrays are mapped."""
    arrays = {part: np.load(folder / f"{name}.{part}.npy", mmap_mode="r", allow_pickle=False) for part in PARTS}
    n_rows, n_columns = (int(size) for size in arrays.pop("shape"))
    return csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(n_rows, n_columns), copy=False)


def in_history(seen: csr_array, rows: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return whether each pair (row of `seen`, item) is stored in it; the arrays may have any, equal shape."""
    n_items = np.int64(seen.shape[1])
    stored = np.repeat(np.arange(seen.shape[0], dtype=np.int64), np.diff(seen.indptr)) * n_items + seen.indices
    if not len(stored):
        return np.zeros(items.shape, dtype=bool)
    asked = rows * n_items + items
    index = np.searchsorted(stored, asked)  # stored is sorted: rows rise, indices rise within a row
    return np.asarray(stored[np.minimum(index, len(stored) - 1)] == asked)
