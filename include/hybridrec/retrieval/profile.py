"""Models whose score is the cosine of an item's sparse vector and the profile of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from scipy.sparse import csr_array

from hybridrec.models import Floats, Ints, Neighbours, UserBlock
from hybridrec.retrieval.recency import newer_items
from hybridrec.retrieval.sparse import as_csr, empty_csr, load_csr, save_csr, score_sparse, top_k_sparse, unit_rows


class Fades(Protocol):
    """What a profile has to know of a model's options."""

    @property
    def half_after(self) -> float:
        """An item of the history weighs half with so many newer ones: tastes move on."""


Options = TypeVar("Options", bound=Fades)  # a model's Config


class ProfileModel(Generic[Options]):
    """A profile is the weighted mean of the vectors of a history's items; a subclass only has to make the vectors."""

    def __init__(self, config: Options) -> None:
        self.config = config
        self.vectors = empty_csr()  # (n_items, n_terms), rows of length 1, or 0 for an item that is not described
        self.by_term = empty_csr()

    def describe(self, vectors: csr_array) -> dict[str, float]:
        """Take these vectors as the items'; returns how many terms and described items there are."""
        self.vectors, self.by_term = vectors, vectors.T.tocsr()
        return {"terms": float(vectors.shape[1]), "items_with_content": float(np.count_nonzero(np.diff(vectors.indptr)))}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items of the highest cosine with the profile; an item that shares nothing is not returned."""
        return top_k_sparse(self._profiles(users), self.by_term, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Cosines; NaN without a described item in the history or for an item that is not described."""
        profiles = self._profiles(users)
        scores = score_sparse(profiles, self.by_term, rows, items)
        known = (np.diff(profiles.indptr)[rows] > 0) & (np.diff(self.vectors.indptr)[items] > 0)
        return np.where(known, scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """The sparse matrix of item vectors and its transpose."""
        save_csr(self.vectors, folder, "vectors")
        save_csr(self.by_term, folder, "by_term")

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """The saved vectors, mapped."""
        model = cls(config)
        model.vectors, model.by_term = load_csr(folder, "vectors"), load_csr(folder, "by_term")
        return model

    def _profiles(self, users: UserBlock) -> csr_array:
        recency = 0.5 ** (newer_items(users) / self.config.half_after)
        weights = csr_array((users.history.data * recency, users.history.indices, users.history.indptr), shape=users.history.shape)
        return unit_rows(as_csr(as_csr(weights) @ self.vectors))  # (n_users, n_terms)
