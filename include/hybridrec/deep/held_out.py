"""The cut that says when to stop: one pair of some users is held out of training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.select import row_numbers
from hybridrec.types import TrainingData

MIN_ITEMS_TO_HOLD_OUT = 3


class Examples(NamedTuple):
    """Pairs of user and item, aligned, int64."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]

    def take(self, indices: NDArray[np.integer]) -> Examples:
        """Return some of the pairs."""
        return Examples(self.users[indices], self.items[indices])


class Cut(NamedTuple):
    """Everything but the held-out pairs, to learn from; and these.

    matrix: csr (n_users, n_items). days: of each stored pair, as TrainingData.last_event_day. examples: the matrix's
    pairs in its order.
    """

    matrix: csr_array
    days: NDArray[np.float64]
    examples: Examples
    held_out: Examples


def hold_out(data: TrainingData, n_users: int) -> Cut:
    """Hold out a pair of at most `n_users` users with three or more: the newest, or any where nothing is known of time."""
    matrix, rng = data.matrix, np.random.default_rng(data.seed)
    users = row_numbers(matrix)
    long_enough = np.flatnonzero(np.diff(matrix.indptr) >= MIN_ITEMS_TO_HOLD_OUT)
    chosen = np.sort(rng.choice(long_enough, size=min(n_users, len(long_enough)), replace=False))
    age = rng.random(matrix.nnz) if data.split == "random_per_user" else data.last_event_day
    newest = np.lexsort((matrix.indices, age, users))[matrix.indptr[chosen]]  # first of each user in the order by age
    kept = np.ones(matrix.nnz, dtype=bool)
    kept[newest] = False
    pairs = Examples(users.astype(np.int64), matrix.indices.astype(np.int64))
    learnt = pairs.take(np.flatnonzero(kept))
    rest = csr_array((matrix.data[kept], learnt), shape=matrix.shape)
    return Cut(rest, data.last_event_day[kept], learnt, pairs.take(newest))
