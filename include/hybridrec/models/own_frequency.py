"""Rank the items of the user's own history by how often and how lately they were chosen.

Hu, He, Gao and Zhang, "Modeling personalized item frequency information for next-basket recommendation", SIGIR 2020, measure it as the
baseline that most networks for repeats do not reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.recency import fade
from hybridrec.retrieval.sparse import one_hot, score_sparse, top_k_sparse
from hybridrec.types import Floats, Ints, Neighbours, TrainingData, UserBlock

DOC = "Items of the user's own history, by how often and how lately."
BECAUSE = "you have chosen it before"
REQUIRED = False
NEEDS_REPEATS = True


@dataclass(frozen=True)
class Config:
    """Options.

    half_life_days: age of a pair's newest event at which its weight counts half.
    """

    half_life_days: float = 90.0


class Model:
    """Nothing is learnt: the history says it all."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Count the pairs."""
        return {"pairs": float(data.matrix.nnz)}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k items of the history with the largest faded weight, apart from what the user has had."""
        own, as_it_is = self._own(users)
        return top_k_sparse(own, as_it_is, users.left_out, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return the faded weight of each pair; 0 outside of the history, NaN without any history."""
        own, as_it_is = self._own(users)
        known = np.diff(users.history.indptr)[rows] > 0
        return np.where(known, score_sparse(own, as_it_is, rows, items), np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """Write nothing: fit.json has the options."""

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """Return the model."""
        return cls(config)

    def _own(self, users: UserBlock) -> tuple[csr_array, csr_array]:
        """Return the faded weights, and the matrix that leaves them as they are."""
        n_items = users.history.shape[1]
        return fade(users.history, users.days, self.config.half_life_days), one_hot(np.arange(n_items, dtype=np.int32), n_items)
