"""Negatives for sampled losses: half of them from all items alike, half by the root of the popularity.

Popular items are what a set of candidates is made of, so a model must learn to tell them apart; uniform ones keep
the long tail in its place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.select import row_numbers
from hybridrec.types import Floats

UNIFORM_SHARE = 0.5


class Negatives(NamedTuple):
    """Drawing of negatives.

    upto: cumulated probabilities, float64 (n_items,). log_q: log of the probabilities, float32 (n_items,); an item
    without events is never drawn, and its value is that of the rarest other. chosen: pairs of the data as
    user * n_items + item, rising.
    """

    upto: NDArray[np.float64]
    log_q: Floats
    chosen: NDArray[np.int64]

    def draw(self, n_rows: int, n_columns: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return items, int64 (n_rows, n_columns)."""
        drawn: NDArray[np.int64] = np.searchsorted(self.upto, rng.random((n_rows, n_columns)), side="right")
        return np.minimum(drawn, len(self.upto) - 1)

    def were_chosen(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether users (n,) chose items (n, m), bool (n, m): such a pair is no negative."""
        pairs = users[:, None] * len(self.upto) + items
        indices = np.minimum(np.searchsorted(self.chosen, pairs), len(self.chosen) - 1)
        is_chosen: NDArray[np.bool_] = self.chosen[indices] == pairs
        return is_chosen


def negatives(matrix: csr_array) -> Negatives:
    """Return negatives for the pairs stored in the matrix; at least one."""
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    uniform, popular = (counts > 0) / np.count_nonzero(counts), np.sqrt(counts) / np.sqrt(counts).sum()
    q = UNIFORM_SHARE * uniform + (1 - UNIFORM_SHARE) * popular
    chosen = row_numbers(matrix) * np.int64(matrix.shape[1]) + matrix.indices
    log_q = np.log(np.where(counts > 0, q, q[counts > 0].min())).astype(np.float32)
    return Negatives(np.cumsum(q) / q.sum(), log_q, chosen)
