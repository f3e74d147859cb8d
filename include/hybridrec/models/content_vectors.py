"""Items whose vector, made by the shop itself, lies near those of the history.

Covington, Adams and Sargin, "Deep neural networks for YouTube recommendations", RecSys 2016: a user is the mean of the embeddings of
what they used. Here the embeddings come with the catalogue, of its images, its texts or its search; nothing is learnt from events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval import approximate
from hybridrec.retrieval.dot import DotProductModel, Vectors
from hybridrec.retrieval.exact import score_dot, search
from hybridrec.retrieval.recency import newer_items
from hybridrec.retrieval.select import spread
from hybridrec.retrieval.sparse import one_hot
from hybridrec.types import Floats, Ints, Log, Neighbours, TrainingData, UserBlock

DOC = "Items whose vector in the catalogue lies near those of the history."
BECAUSE = "it is close to what you chose"
BECAUSE_OF = "it is close to {title}"
REQUIRED = False
NEEDS = ("vectors",)
SEARCH = {"half_after": Log(0.5, 50.0)}


@dataclass(frozen=True)
class Config:
    """Options.

    half_after: an item of the history counts half after this number of newer ones.
    """

    half_after: float = 2.0


class Model(DotProductModel[Config]):
    """The items' vectors, of length 1. A user is made of them when asked for, so none is kept."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Take the catalogue's vectors."""
        items = np.zeros((data.matrix.shape[1], 1), dtype=np.float32) if data.item_vectors is None else data.item_vectors()
        self.vectors = Vectors(np.zeros((0, items.shape[1]), dtype=np.float32), items, np.asarray(items.any(axis=1)))
        return {"dims": float(items.shape[1]), "items_with_content": float(np.count_nonzero(self.vectors.scorable))}

    def build_index(self, data: TrainingData) -> dict[str, float]:
        """Return an approximate index for a large catalogue, if a sample of the users shows sufficient recall; also the measurement."""
        with_history = np.flatnonzero(np.diff(data.matrix.indptr))
        if len(self.vectors.catalogue.numbers) < approximate.FROM_ITEMS or not len(with_history):
            return {}
        sample = np.sort(np.random.default_rng(data.seed).permutation(with_history)[: approximate.SAMPLED_USERS]).astype(np.int32)
        everybody = np.arange(data.matrix.shape[0], dtype=np.int32)
        block = UserBlock(everybody, data.matrix, data.last_event_day.astype(np.float32)).take(sample)
        self.index, measured = approximate.choose_index(self._profiles(block), self.vectors.catalogue, block.history, data.seed)
        return {f"index_{name}": value for name, value in measured._asdict().items()} | {"index_used": float(self.index is not None)}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items of the highest cosine with the profile; an empty list if no item of the history has a vector."""
        profiles = self._profiles(users)
        known = np.flatnonzero(profiles.any(axis=1))
        seen = users.history[known]
        lists = self.index.search(profiles[known], seen, k) if self.index else search(profiles[known], self.vectors.catalogue, seen, k)
        return spread(lists, known, len(users.user_idx))

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return cosines; NaN without a vector on either side."""
        profiles = self._profiles(users)
        known = np.asarray(profiles.any(axis=1))[rows] & self.vectors.scorable[items]
        return np.where(known, score_dot(profiles, self.vectors.items, rows, items), np.float32(np.nan))

    def similar(self, items: Ints, k: int) -> Neighbours:
        """Return the k other items of the highest cosine with each given item; none for an item without a vector."""
        known = np.flatnonzero(self.vectors.scorable[items])
        themselves = one_hot(items[known], len(self.vectors.items))
        return spread(search(self.vectors.items[items[known]], self.vectors.catalogue, themselves, k), known, len(items))

    def _profiles(self, users: UserBlock) -> Floats:
        """Return weighted means of the history's vectors, float32 (n_users, n_dims), of length 1, or 0."""
        weights = users.history.data * 0.5 ** (newer_items(users) / self.config.half_after)
        history = csr_array((weights.astype(np.float32), users.history.indices, users.history.indptr), shape=users.history.shape)
        sums: Floats = np.asarray(history @ self.vectors.items)  # each row summed by itself
        lengths = np.sqrt(np.einsum("ij,ij->i", sums, sums, dtype=np.float64))[:, None]
        profiles: Floats = (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        return profiles
