"""Models whose score is the product of a user's and an item's vector."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.models import Floats, Ints, Neighbours, UserBlock
from hybridrec.retrieval.select import NOT_ELIGIBLE, contenders, empty_lists, leave_out, rank_pairs, row_blocks, spread

PAIRS_AT_ONCE = 65_536
Options = TypeVar("Options")  # a model's Config


class Vectors(NamedTuple):
    """A fitted dot-product model.

    users: float32 (n_users, n_factors). items: float32 (n_items, n_factors). scorable: bool (n_items,), False for an
    item that the model knows nothing of: it has no score and is never returned.
    """

    users: Floats
    items: Floats
    scorable: NDArray[np.bool_]

    def top_k(self, block: UserBlock, k: int) -> Neighbours:
        """The k best unseen items; an empty list for a user without history."""
        known = np.flatnonzero(np.diff(block.history.indptr))
        vectors = self.users[block.user_idx[known]]
        found = top_k_dot(vectors, self.items, block.history[known], k, self.scorable)
        return spread(found, known, len(block.user_idx))

    def score_pairs(self, block: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Scores of pairs; NaN for a user without history and for an item that cannot be scored."""
        scores = score_dot(self.users[block.user_idx], self.items, rows, items)
        known = np.diff(block.history.indptr)[rows] > 0
        return np.where(known & self.scorable[items], scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """One .npy file an array."""
        for name, values in self._asdict().items():
            np.save(folder / f"{name}.npy", values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Vectors:
        """The saved vectors, mapped."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in cls._fields))


def no_vectors() -> Vectors:
    """The vectors of a model that is not fitted."""
    return Vectors(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32), np.zeros(0, np.bool_))


class DotProductModel(Generic[Options]):
    """A base model of two matrices; a subclass only has to fit them, into `self.vectors`."""

    def __init__(self, config: Options) -> None:
        self.config = config
        self.vectors = no_vectors()

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items of the highest product; an empty list for a user without history."""
        return self.vectors.top_k(users, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Products; NaN without history or for an item that the model knows nothing of."""
        return self.vectors.score_pairs(users, rows, items)

    def save(self, folder: Path) -> None:
        """The two matrices, and which items have a score."""
        self.vectors.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """The saved matrices, mapped."""
        model = cls(config)
        model.vectors = Vectors.load(folder)
        return model


def known_items(matrix: csr_array) -> NDArray[np.bool_]:
    """Whether an item has any event, bool (n_items,)."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0


def top_k_dot(users: Floats, items: Floats, seen: csr_array, k: int, scorable: NDArray[np.bool_] | None = None) -> Neighbours:
    """The k items of the highest product for each user, exact.

    users: float32 (n_users, n_factors). items: float32 (n_items, n_factors). seen: csr (n_users, n_items), never returned.
    The matrix product only narrows the choice, because its last bits change with the block's shape; contenders
    are scored pair by pair, so a user's list does not depend on who else is in the block.
    """
    found = empty_lists(len(users), k)
    longest = float(np.linalg.norm(items, axis=1).max(initial=0.0))
    for rows in row_blocks(len(users), len(items)):
        scores = users[rows] @ items.T  # (n_rows, n_items)
        if scorable is not None:
            scores[:, ~scorable] = NOT_ELIGIBLE
        leave_out(scores, seen[rows])
        rounding = users.shape[1] * np.finfo(np.float32).eps * longest * np.linalg.norm(users[rows], axis=1)
        pairs = contenders(scores, k, 2 * rounding)
        exact = score_dot(users[rows], items, pairs.rows, pairs.items)
        block = rank_pairs(pairs, exact, scores.shape[0], k)
        found.items[rows], found.scores[rows] = block.items, block.scores
    return found


def score_dot(users: Floats, items: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """Products of users[rows[i]] and items[columns[i]], each computed by itself."""
    scores = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        np.einsum("ij,ij->i", users[rows[part]], items[columns[part]], out=scores[part])
    return scores
