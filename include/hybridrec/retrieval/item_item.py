"""Models whose score is a sum over the history: how near is the item to each item chosen.

The nearness of items is a sparse matrix of which each row keeps the nearest items only, so a model of this kind is as
large as its number of neighbours, whatever the catalogue.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.sparse import empty_csr, load_csr, one_hot, pattern, power, save_csr, score_sparse, top_k_sparse
from hybridrec.types import Floats, Ints, Neighbours, UserBlock

Options = TypeVar("Options")  # a model's Config


class ItemItemModel(Generic[Options]):
    """A base model of one item-item matrix; a subclass fits it into `self.neighbours` and may weigh the history.

    neighbours: csr float32 (n_items, n_items); row i holds what having chosen i adds to the scores of others.
    """

    def __init__(self, config: Options) -> None:
        self.config = config
        self.neighbours = empty_csr()

    @cached_property
    def reachable(self) -> NDArray[np.bool_]:
        """Whether an item is a neighbour of any other, bool (n_items,); asked once, since it reads all neighbours."""
        return np.bincount(self.neighbours.indices, minlength=self.neighbours.shape[1]) > 0

    def queries(self, users: UserBlock) -> csr_array:
        """Return the weight of each item of the history, csr float32 (n, n_items)."""
        return pattern(users.history)

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items nearest to the history."""
        return top_k_sparse(self.queries(users), self.neighbours, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return sums of nearness; 0 where nothing is shared, NaN without history or for an item without neighbours."""
        scores = score_sparse(self.queries(users), self.neighbours, rows, items)
        known = np.diff(users.history.indptr)[rows] > 0
        return np.where(known & self.reachable[items], scores, np.float32(np.nan))

    def nearness(self, chosen: csr_array, rows: Ints, items: Ints) -> Floats:
        """Return mean nearness to the chosen items; 0 where nothing is shared, NaN without any or for an item without neighbours."""
        scores = score_sparse(chosen, self.neighbours, rows, items)
        known = np.diff(chosen.indptr)[rows] > 0
        return np.where(known & self.reachable[items], scores, np.float32(np.nan))

    def similar(self, items: Ints, k: int) -> Neighbours:
        """Return the k nearest other items of each given item, best first."""
        themselves = one_hot(items, self.neighbours.shape[0])
        return top_k_sparse(themselves, self.neighbours, themselves, k)

    def save(self, folder: Path) -> None:
        """Write the sparse matrix of neighbours."""
        save_csr(self.neighbours, folder, "neighbours")

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """Return the saved neighbours, mapped."""
        model = cls(config)
        model.neighbours = load_csr(folder, "neighbours")
        return model


def user_weights(matrix: csr_array, damping: float) -> Floats:
    """Return the weight of a choice of each user: less the longer the history; 1 at the mean length, float32 (n_users,)."""
    lengths = np.diff(matrix.indptr).astype(np.float32)
    return power(lengths / lengths[lengths > 0].mean(), -damping)
