"""Items that the users with the most similar histories chose.

Herlocker, Konstan, Borchers and Riedl, "An algorithmic framework for performing collaborative filtering", SIGIR 1999; here
with the cosine of histories in which a choice counts less the more people share it, as a word does in TF-IDF.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.sparse import (
    as_csr,
    column_sums,
    empty_csr,
    load_csr,
    one_hot,
    pattern,
    power,
    row_sums,
    save_csr,
    scaled,
    score_sparse,
    top_k_sparse,
)
from hybridrec.types import Floats, Ints, Linear, Log, Neighbours, OneOf, TrainingData, UserBlock

DOC = "Items chosen by the users whose histories are most alike (user-user neighbours)."
BECAUSE = "people whose choices are most like yours chose it"
REQUIRED = False
SEARCH = {
    "neighbours": Log(20, 1000),
    "rarity": Linear(0.0, 0.6),
    "shrinkage": Log(0.01, 10.0),
    "focus": Linear(0.5, 4.0),
    "weighted": OneOf((False, True)),
}


@dataclass(frozen=True)
class Config:
    """Options.

    neighbours: similar users whose choices are counted.
    rarity: a choice is divided by the item's number of users to this power, in both histories and as a vote.
    shrinkage: added to the other user's squared norm, so that one common choice with a short history counts little.
    focus: exponent of a neighbour's similarity; more trusts the nearest ones more.
    weighted: use the decayed weights; otherwise every choice counts 1.
    """

    neighbours: int = 200
    rarity: float = 0.25
    shrinkage: float = 0.5
    focus: float = 2.0
    weighted: bool = False


class Model:
    """All users' choices; the neighbours are found when a user is asked for.

    votes: csr (n_users, n_items), what each user says for each item. by_item: csr (n_items, n_users), a history times it is its
    likeness to all users'.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.votes = empty_csr()
        self.by_item = empty_csr()

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Scale the choices so that a plain product is the likeness of two users, but for the asking one's own norm."""
        chosen = self._values(data.matrix)
        everybody = np.ones(chosen.shape[0], np.float32)
        rarity = power(column_sums(pattern(chosen)), -self.config.rarity)
        self.votes = scaled(chosen, everybody, rarity)
        norms = power(row_sums(self.votes.power(2)) + np.float32(self.config.shrinkage), -0.5)
        self.by_item = as_csr(scaled(self.votes, norms, rarity).T)
        return {"users": float(np.count_nonzero(np.diff(chosen.indptr)))}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items that the nearest users chose most."""
        return top_k_sparse(self._neighbours(users), self.votes, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return sums of likeness; 0 if no neighbour chose the item, NaN without history or for an item without events."""
        scores = score_sparse(self._neighbours(users), self.votes, rows, items)
        reachable = np.diff(self.by_item.indptr) > 0
        known = np.diff(users.history.indptr)[rows] > 0
        return np.where(known & reachable[items], scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """Write the votes by user and the likeness by item."""
        save_csr(self.votes, folder, "votes")
        save_csr(self.by_item, folder, "by_item")

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """Return the saved matrices, mapped."""
        model = cls(config)
        model.votes, model.by_item = load_csr(folder, "votes"), load_csr(folder, "by_item")
        return model

    def _values(self, matrix: csr_array) -> csr_array:
        return matrix if self.config.weighted else pattern(matrix)

    def _neighbours(self, users: UserBlock) -> csr_array:
        """Return the nearest other users, nearest first 1 and the others in proportion, csr (n, n_users of the fit)."""
        n_users = self.by_item.shape[1]
        themselves = one_hot(users.user_idx, n_users)
        nearest = top_k_sparse(self._values(users.history), self.by_item, themselves, min(self.config.neighbours, n_users))
        there = nearest.items >= 0
        likeness = (nearest.scores[there] / nearest.scores[np.nonzero(there)[0], 0]) ** np.float32(self.config.focus)
        return as_csr(csr_array((likeness, (np.nonzero(there)[0], nearest.items[there])), shape=(len(there), n_users)))
