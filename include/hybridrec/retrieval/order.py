"""Rank items once for all users, without each user's seen items."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.select import empty_lists, row_blocks, row_numbers
from hybridrec.types import Floats, Neighbours


def first_unseen(scores: Floats, seen: csr_array, k: int) -> Neighbours:
    """Return the k best items that each row of `seen` does not hold.

    scores: float32 (n_items,), NaN for items that are never returned.
    """
    order = np.lexsort((np.arange(len(scores)), -scores))  # NaN sorts last
    order = order[: np.count_nonzero(~np.isnan(scores))]
    longest = int(np.diff(seen.indptr).max(initial=0))
    order = order[: k + longest]  # no user needs to search further
    position = np.full(len(scores), len(order))
    position[order] = np.arange(len(order))
    lists = empty_lists(seen.shape[0], k)
    for rows in row_blocks(seen.shape[0], len(order)):
        free = _unseen(position, seen[rows], len(order))
        nth = free.cumsum(axis=1)
        chosen, column = np.nonzero(free & (nth <= k))
        slot = nth[chosen, column] - 1
        lists.items[rows.start + chosen, slot] = order[column]
        lists.scores[rows.start + chosen, slot] = scores[order[column]]
    return lists


def _unseen(position: np.ndarray, seen: csr_array, depth: int) -> np.ndarray:
    free = np.ones((seen.shape[0], depth + 1), dtype=bool)  # the last column takes what lies beyond the depth
    free[row_numbers(seen), position[seen.indices]] = False
    return free[:, :depth]
