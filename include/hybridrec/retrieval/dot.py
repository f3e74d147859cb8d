"""Models whose score is the product of a user's and an item's vector."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval import approximate
from hybridrec.retrieval.approximate import ClusterIndex
from hybridrec.retrieval.exact import Catalogue, mapped, score_dot, search
from hybridrec.retrieval.select import spread
from hybridrec.types import Floats, Ints, Neighbours, TrainingData, UserBlock

LONGEST_FIRST = "longest_first"
Options = TypeVar("Options")  # a model's Config


@dataclass(frozen=True, eq=False)
class Vectors:
    """A fitted dot-product model.

    users: float32 (n_users, n_factors). items: float32 (n_items, n_factors). scorable: bool (n_items,), False for an
    item that the model knows nothing of: it has no score and is never returned.
    """

    users: Floats
    items: Floats
    scorable: NDArray[np.bool_]

    @cached_property
    def catalogue(self) -> Catalogue:
        """Input of a search; sorted once."""
        return Catalogue.of(self.items, self.scorable)

    def top_k(self, block: UserBlock, k: int, index: ClusterIndex | None = None) -> Neighbours:
        """Return the k best unseen items, exactly or by an index; an empty list for a user without history."""
        known = np.flatnonzero(np.diff(block.history.indptr))
        vectors, seen = self.users[block.user_idx[known]], block.history[known]
        lists = index.search(vectors, seen, k) if index else search(vectors, self.catalogue, seen, k)
        return spread(lists, known, len(block.user_idx))

    def score_pairs(self, block: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return scores of pairs; NaN for a user without history and for an item that cannot be scored."""
        scores = score_dot(self.users[block.user_idx], self.items, rows, items)
        known = np.diff(block.history.indptr)[rows] > 0
        return np.where(known & self.scorable[items], scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """Write one .npy file per array."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Vectors:
        """Return the saved vectors, mapped; the sorted ones too, if they are there."""
        vectors = cls(*(mapped(folder / f"{field.name}.npy") for field in fields(cls)))
        if (folder / f"{LONGEST_FIRST}_numbers.npy").exists():  # then nothing is left to do for cached_property
            vectors.__dict__["catalogue"] = Catalogue.load(folder, LONGEST_FIRST, len(vectors.items))
        return vectors


def no_vectors() -> Vectors:
    """Return the vectors of a model that is not fitted."""
    return Vectors(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32), np.zeros(0, np.bool_))


class DotProductModel(Generic[Options]):
    """A base model of two matrices; a subclass only has to fit them, into `self.vectors`."""

    def __init__(self, config: Options) -> None:
        self.config = config
        self.vectors = no_vectors()
        self.index: ClusterIndex | None = None

    def build_index(self, data: TrainingData) -> dict[str, float]:
        """Return an approximate index for a large catalogue, if a sample of the users shows sufficient recall; also the measurement."""
        known = np.flatnonzero(np.diff(data.matrix.indptr))
        if len(self.vectors.catalogue.numbers) < approximate.FROM_ITEMS or not len(known):
            return {}
        sample = np.sort(np.random.default_rng(data.seed).permutation(known)[: approximate.SAMPLED_USERS])
        chosen_index = approximate.choose_index(self.vectors.users[sample], self.vectors.catalogue, data.matrix[sample], data.seed)
        self.index, measured = chosen_index
        return {f"index_{name}": value for name, value in measured._asdict().items()} | {"index_used": float(self.index is not None)}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items of the highest product; an empty list for a user without history."""
        return self.vectors.top_k(users, k, self.index)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return products; NaN without history or for an item that the model knows nothing of."""
        return self.vectors.score_pairs(users, rows, items)

    def save(self, folder: Path) -> None:
        """Write the two matrices, the items with a score, the sorted items, and the index if there is one."""
        self.vectors.save(folder)
        self.vectors.catalogue.save(folder, LONGEST_FIRST)
        if self.index:
            self.index.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """Return the saved matrices and index, mapped."""
        model = cls(config)
        model.vectors = Vectors.load(folder)
        model.index = ClusterIndex.load(folder, model.vectors.catalogue)
        return model


def items_with_events(matrix: csr_array) -> NDArray[np.bool_]:
    """Return whether an item has any event, bool (n_items,)."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
