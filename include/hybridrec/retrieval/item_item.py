"""Models whose score is a sum over the history: how near is the item to each item chosen.

The nearness of items is a sparse matrix of which each row keeps the nearest items only, so a model of this kind is as
large as its number of neighbours, whatever the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np
from scipy.sparse import csr_array, vstack

from hybridrec.models import Floats, Ints, Neighbours, UserBlock
from hybridrec.retrieval.select import NOT_ELIGIBLE, contenders, leave_out, rank_pairs, row_numbers
from hybridrec.retrieval.sparse import as_csr, empty_csr, load_csr, one_hot, pattern, power, save_csr, score_sparse, top_k_sparse

Options = TypeVar("Options")  # a model's Config


class ItemItemModel(Generic[Options]):
    """A base model of one item-item matrix; a subclass fits it into `self.neighbours` and may weigh the history.

    neighbours: csr float32 (n_items, n_items); row i holds what having chosen i adds to the scores of others.
    """

    def __init__(self, config: Options) -> None:
        self.config = config
        self.neighbours = empty_csr()

    def queries(self, users: UserBlock) -> csr_array:
        """How much each item of the history counts, csr float32 (n, n_items)."""
        return pattern(users.history)

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items nearest to the history."""
        return top_k_sparse(self.queries(users), self.neighbours, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Sums of nearness; 0 where nothing is shared, NaN without history or for an item without neighbours."""
        scores = score_sparse(self.queries(users), self.neighbours, rows, items)
        reachable = np.bincount(self.neighbours.indices, minlength=self.neighbours.shape[1]) > 0
        known = np.diff(users.history.indptr)[rows] > 0
        return np.where(known & reachable[items], scores, np.float32(np.nan))

    def similar(self, items: Ints, k: int) -> Neighbours:
        """The k nearest other items of each given item, best first."""
        themselves = one_hot(items, self.neighbours.shape[0])
        return top_k_sparse(themselves, self.neighbours, themselves, k)

    def save(self, folder: Path) -> None:
        """The sparse matrix of neighbours."""
        save_csr(self.neighbours, folder, "neighbours")

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """The saved neighbours, mapped."""
        model = cls(config)
        model.neighbours = load_csr(folder, "neighbours")
        return model


def nearest(nearness: Callable[[slice], csr_array], blocks: Iterable[slice], n_kept: int) -> csr_array:
    """The n_kept nearest other items of every item, csr float32 (n_items, n_items); only nearness above 0 counts.

    nearness: the whole rows of a block of items, csr float32 (n_rows, n_items); no more than a block of them is held at once.
    """
    return as_csr(vstack([_nearest_of(nearness(rows), rows, n_kept) for rows in blocks], format="csr"))


def user_weights(matrix: csr_array, damping: float) -> Floats:
    """What a choice of each user counts: less the longer the history; 1 at the mean length, float32 (n_users,)."""
    lengths = np.diff(matrix.indptr).astype(np.float32)
    return power(lengths / lengths[lengths > 0].mean(), -damping)


@dataclass(frozen=True)
class Asymmetric:
    """A shrunk cosine that need not treat both items alike.

    own, other: norms of the item of the history and of the one to be recommended. shrinkage: added to their product.
    """

    own: Floats
    other: Floats
    shrinkage: float

    def of(self, product: csr_array, rows: slice) -> csr_array:
        """The cosines of a block of items with all, from their products."""
        norms = self.own[rows][row_numbers(product)] * self.other[product.indices] + np.float32(self.shrinkage)
        return csr_array((product.data / norms, product.indices, product.indptr), shape=product.shape)


def _nearest_of(block: csr_array, rows: slice, n_kept: int) -> csr_array:
    n_rows, n_items = block.shape
    scores = np.full(block.shape, NOT_ELIGIBLE, dtype=np.float32)
    scores[row_numbers(block), block.indices] = block.data
    leave_out(scores, one_hot(np.arange(rows.start, rows.stop, dtype=np.int32), n_items))
    scores[scores <= 0] = NOT_ELIGIBLE
    pairs = contenders(scores, n_kept)
    best = rank_pairs(pairs, scores[pairs], n_rows, min(n_kept, n_items))
    found = best.items >= 0
    return as_csr(csr_array((best.scores[found], (np.nonzero(found)[0], best.items[found])), shape=block.shape))
