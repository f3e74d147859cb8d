"""Models whose score is the cosine of an item's sparse vector and the profile of a user."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.recency import newer_items
from hybridrec.retrieval.sparse import as_csr, unit_rows
from hybridrec.retrieval.terms import Terms, no_terms
from hybridrec.types import Floats, Ints, Neighbours, UserBlock


class Fades(Protocol):
    """A profile's view of a model's options."""

    @property
    def half_after(self) -> float:
        """An item of the history weighs half with so many newer ones: tastes move on."""


Options = TypeVar("Options", bound=Fades)  # a model's Config


class ProfileModel(Generic[Options]):
    """A profile is the weighted mean of the vectors of a history's items; a subclass only has to make the vectors."""

    def __init__(self, config: Options) -> None:
        self.config = config
        self.terms = no_terms()  # of length 1, or 0 for an item that is not described

    def describe(self, vectors: csr_array) -> dict[str, float]:
        """Take these vectors as the items'; returns how many terms and described items there are."""
        self.terms = Terms.of(vectors)
        return {"terms": float(vectors.shape[1]), "items_with_content": float(np.count_nonzero(np.diff(vectors.indptr)))}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items of the highest cosine with the profile; an item that shares nothing is not returned."""
        return self.terms.top_k(self._profiles(users), users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return cosines; NaN without a described item in the history or for an item that is not described."""
        return self._cosines(self._profiles(users), rows, items)

    def nearness(self, chosen: csr_array, rows: Ints, items: Ints) -> Floats:
        """Return cosines with the mean of the chosen items; NaN without a described one or for an item that is not described."""
        return self._cosines(self._mean(chosen), rows, items)

    def save(self, folder: Path) -> None:
        """Write the items' terms."""
        self.terms.save(folder, "terms")

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """Return the saved terms, mapped."""
        model = cls(config)
        model.terms = Terms.load(folder, "terms")
        return model

    def _profiles(self, users: UserBlock) -> csr_array:
        recency = 0.5 ** (newer_items(users) / self.config.half_after)
        weights = csr_array((users.history.data * recency, users.history.indices, users.history.indptr), shape=users.history.shape)
        return self._mean(as_csr(weights))

    def _mean(self, rows: csr_array) -> csr_array:
        """Return the rows' weighted mean vectors, csr float32 (n, n_terms) of length 1, summed in the order of the items."""
        groups = csr_array((rows.data, self.terms.group_of[rows.indices], rows.indptr), shape=(rows.shape[0], self.terms.distinct.shape[0]))
        return unit_rows(as_csr(groups @ self.terms.distinct))

    def _cosines(self, profiles: csr_array, rows: Ints, items: Ints) -> Floats:
        scores = self.terms.score_pairs(profiles, rows, items)
        known = (np.diff(profiles.indptr)[rows] > 0) & (np.diff(self.terms.distinct.indptr)[self.terms.group_of[items]] > 0)
        return np.where(known, scores, np.float32(np.nan))
