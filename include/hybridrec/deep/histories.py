"""What the users of a fold chose, in the form that a bag of items wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.models import Floats, TrainingData
from hybridrec.retrieval.select import row_numbers

if TYPE_CHECKING:
    from hybridrec.models.two_tower import Config

MIN_ITEMS_TO_HOLD_OUT = 3


class Examples(NamedTuple):
    """Pairs of user and item, aligned, int64."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]


class Bags(NamedTuple):
    """The newest items of some users. items: int64 (n, longest), padded with n_items. content: their mean, float32 (n, dims)."""

    items: NDArray[np.int64]
    content: Floats


class Histories(NamedTuple):
    """What every user chose.

    bags: int64 (n_users, longest), newest first, padded with n_items. matrix: csr, the whole histories.
    content: float32 (n_items, dims). content_sums: float32 (n_users, dims), over the bag.
    """

    bags: NDArray[np.int64]
    matrix: csr_array
    content: Floats
    content_sums: Floats

    def of(self, users: NDArray[np.int64]) -> Bags:
        """The bags of some users."""
        items = self.bags[users]
        return Bags(items, self.content_sums[users] / self._sizes(items))

    def without(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> Bags:
        """The bags of some users, each without one item: an example's target must not be part of its input."""
        bags = self.bags[users]
        target = bags == items[:, None]
        bags[target] = self.matrix.shape[1]
        sums = self.content_sums[users] - target.any(axis=1)[:, None] * self.content[items]
        return Bags(bags, sums / self._sizes(bags))

    def _sizes(self, bags: NDArray[np.int64]) -> Floats:
        sizes: Floats = np.maximum((bags < self.matrix.shape[1]).sum(axis=1), 1).astype(np.float32)
        return sizes[:, None]


def histories(matrix: csr_array, age_days: NDArray[np.float64], content: Floats, longest: int) -> Histories:
    """Bags of at most `longest` items. age_days: of each stored pair's newest event, aligned with matrix.data."""
    n_users, n_items = matrix.shape
    users = row_numbers(matrix)
    order = np.lexsort((matrix.indices, age_days, users))  # newest first, ties by item
    place = np.arange(matrix.nnz) - matrix.indptr[users]
    kept = place < longest
    rows, items = users[kept], matrix.indices[order][kept]
    bags = np.full((n_users, longest), n_items, dtype=np.int64)
    bags[rows, place[kept]] = items
    chosen = csr_array((np.ones(len(rows), np.float32), (rows, items)), shape=matrix.shape)
    return Histories(bags, matrix, content, chosen @ content)


class Split(NamedTuple):
    """Everything but some users' newest choice, to learn from; and that choice, to know when to stop."""

    kept: Histories
    examples: Examples
    held_out: Examples


def hold_out_newest(data: TrainingData, content: Floats, config: Config) -> Split:
    """Hold out the newest pair of at most `validation_users` users that have three or more."""
    matrix, age = data.matrix, data.last_event_day
    users = row_numbers(matrix)
    long_enough = np.flatnonzero(np.diff(matrix.indptr) >= MIN_ITEMS_TO_HOLD_OUT)
    size = min(config.validation_users, len(long_enough))
    chosen = np.sort(np.random.default_rng(data.seed).choice(long_enough, size=size, replace=False))
    newest = np.lexsort((matrix.indices, age, users))[matrix.indptr[chosen]]  # first of each user in the order by age
    kept = np.ones(matrix.nnz, dtype=bool)
    kept[newest] = False
    rest = csr_array((matrix.data[kept], (users[kept], matrix.indices[kept])), shape=matrix.shape)
    examples = Examples(users[kept].astype(np.int64), matrix.indices[kept].astype(np.int64))
    held_out = Examples(users[newest].astype(np.int64), matrix.indices[newest].astype(np.int64))
    return Split(histories(rest, age[kept], content, config.history_items), examples, held_out)
