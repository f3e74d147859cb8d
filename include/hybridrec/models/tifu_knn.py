"""Rank the choices of the user and of the most alike users by how often and how lately they were made.

TIFU-kNN: Hu, He, Gao and Zhang, "Modeling personalized item frequency information for next-basket recommendation", SIGIR 2020. Frequencies
fade by days instead of by groups of baskets, and users are compared by the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array, hstack, vstack

from hybridrec.retrieval.recency import fade
from hybridrec.retrieval.sparse import (
    as_csr,
    empty_csr,
    load_csr,
    one_hot,
    power,
    row_sums,
    save_csr,
    scaled,
    score_sparse,
    top_k_sparse,
    unit_rows,
)
from hybridrec.types import Floats, Ints, Neighbours, TrainingData, UserBlock

DOC = "Items of the user's own history and of the most alike users' ones, by how often and how lately (TIFU-kNN)."
BECAUSE = "you or people who choose as you do choose it again and again"
REQUIRED = False
NEEDS_REPEATS = True


@dataclass(frozen=True)
class Config:
    """Options.

    half_life_days: age of a pair's newest event at which its weight counts half.
    neighbours: alike users whose frequencies are averaged.
    own_share: weight of the user's own frequencies; the neighbours have the rest.
    """

    half_life_days: float = 90.0
    neighbours: int = 300
    own_share: float = 0.3


class Model:
    """All users' frequencies; the neighbours are found when a user is asked for.

    frequencies: csr (n_users + n_items, n_items), each user's shares of its items, then each item's own row, so that one product adds the
    user's own frequencies to the neighbours'. by_item: csr (n_items, n_users), a frequency row times it is its likeness to all users'.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.frequencies = empty_csr()
        self.by_item = empty_csr()

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Fade the weights, and scale them for the mean and for the cosine."""
        weights = fade(data.matrix, data.last_event_day, self.config.half_life_days)
        n_items = weights.shape[1]
        every_item = one_hot(np.arange(n_items, dtype=np.int32), n_items)
        self.frequencies = as_csr(vstack([_shares(weights), every_item], format="csr"))
        self.by_item = as_csr(unit_rows(weights).T)
        return {"users": float(np.count_nonzero(np.diff(weights.indptr)))}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k items chosen most often and lately by the user and the neighbours, apart from what the user has had."""
        return top_k_sparse(self._sums(users), self.frequencies, users.left_out, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return the mixed frequency; 0 if neither the user nor a neighbour chose the item, NaN without history."""
        scores = score_sparse(self._sums(users), self.frequencies, rows, items)
        return np.where(np.diff(users.history.indptr)[rows] > 0, scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """Write the frequencies by user and the likeness by item."""
        save_csr(self.frequencies, folder, "frequencies")
        save_csr(self.by_item, folder, "by_item")

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """Return the saved matrices, mapped."""
        model = cls(config)
        model.frequencies, model.by_item = load_csr(folder, "frequencies"), load_csr(folder, "by_item")
        return model

    def _sums(self, users: UserBlock) -> csr_array:
        """Return what each row of the frequencies adds to a user's scores, csr (n, n_users + n_items)."""
        own = fade(users.history, users.days, self.config.half_life_days)
        n_users = self.by_item.shape[1]
        nearest = top_k_sparse(unit_rows(own), self.by_item, one_hot(users.user_idx, n_users), min(self.config.neighbours, n_users))
        row, position = np.nonzero(nearest.items >= 0)
        likeness = csr_array((nearest.scores[row, position], (row, nearest.items[row, position])), shape=(len(nearest.items), n_users))
        parts = [_shares(as_csr(likeness)) * np.float32(1 - self.config.own_share), _shares(own) * np.float32(self.config.own_share)]
        return as_csr(hstack(parts, format="csr"))


def _shares(rows: csr_array) -> csr_array:
    """Return rows that sum to 1; one of zeros stays."""
    return scaled(rows, power(row_sums(rows), -1.0), np.ones(rows.shape[1], np.float32))
