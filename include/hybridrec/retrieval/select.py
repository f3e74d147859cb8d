"""Choosing the k best of each row of a block of scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.types import NO_ITEM, Floats, Ints, Neighbours

BLOCK_CELLS = 2**22  # scores held at once: 16 MiB, small enough for the cache to help and for many workers
NOT_ELIGIBLE = np.float32(-np.inf)


class Pairs(NamedTuple):
    """Some cells of a block: row and item, aligned."""

    rows: NDArray[np.intp]
    items: NDArray[np.intp]


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Yield slices over all rows whose blocks hold at most BLOCK_CELLS cells, or one row."""
    step = max(1, BLOCK_CELLS // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def uneven_blocks(cells: NDArray[np.integer]) -> Iterator[slice]:
    """Yield slices over all rows whose blocks hold at most BLOCK_CELLS cells and one row; cells: of each row."""
    block = np.cumsum(cells) // BLOCK_CELLS
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    for start, stop in zip(starts, np.append(starts[1:], len(block)), strict=True):
        yield slice(int(start), int(stop))


def row_numbers(matrix: csr_array) -> NDArray[np.intp]:
    """Return the row of each stored entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def leave_out(scores: Floats, seen: csr_array) -> None:
    """Make the stored cells of `seen` not eligible, in place."""
    scores[row_numbers(seen), seen.indices] = NOT_ELIGIBLE


def contenders(scores: Floats, k: int, slack: Floats | float = 0.0) -> Pairs:
    """Return the eligible cells that are among the k best of their row or lie at most `slack` below the k-th.

    scores: (n_rows, n_items), no NaN. slack: one number or (n_rows,).
    """
    n_items = scores.shape[1]
    eligible = scores > NOT_ELIGIBLE
    if 0 < k < n_items:
        kth = np.partition(scores, n_items - k, axis=1)[:, n_items - k]  # (n_rows,)
        eligible &= scores >= (kth - slack)[:, None]
    return Pairs(*np.nonzero(eligible))


def rank_pairs(pairs: Pairs, scores: Floats, n_rows: int, k: int) -> Neighbours:
    """Return lists of length k from scored cells: score falling, ties by item; shorter lists are padded."""
    order = np.lexsort((pairs.items, -scores, pairs.rows))
    rows = pairs.rows[order]
    position = np.arange(len(rows)) - np.searchsorted(rows, rows)  # 0 is the row's best
    kept = position < k
    lists = empty_lists(n_rows, k)
    lists.items[rows[kept], position[kept]] = pairs.items[order][kept]
    lists.scores[rows[kept], position[kept]] = scores[order][kept]
    return lists


def empty_lists(n_rows: int, k: int) -> Neighbours:
    """Return lists that hold nothing yet."""
    items: Ints = np.full((n_rows, k), NO_ITEM, dtype=np.int32)
    return Neighbours(items, np.full((n_rows, k), NOT_ELIGIBLE, dtype=np.float32))


def spread(lists: Neighbours, rows: NDArray[np.intp], n_rows: int) -> Neighbours:
    """Return lists of some rows put into their place among all rows; the others are empty."""
    whole = empty_lists(n_rows, lists.items.shape[1])
    whole.items[rows], whole.scores[rows] = lists.items, lists.scores
    return whole
