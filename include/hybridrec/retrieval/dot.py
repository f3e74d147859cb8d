"""Models whose score is the product of a user's and an item's vector."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.models import Floats, Ints, Neighbours, UserBlock
from hybridrec.retrieval.select import NOT_ELIGIBLE, Pairs, empty_lists, rank_pairs, spread

USERS_AT_ONCE, ITEMS_AT_ONCE = 512, 1024  # a tile of scores is 2 MiB, which stays in the cache
SAMPLED_OF_LIST, MIN_SAMPLE, MAX_SAMPLE = 4, 512, 8192  # items that say where to start: so many of a list are among them
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


def top_k_dot(
    users: Floats, items: Floats, seen: csr_array, k: int, scorable: NDArray[np.bool_] | None = None, threads: int = 1
) -> Neighbours:
    """The k items of the highest product for each user, exact.

    users: float32 (n_users, n_factors). items: float32 (n_items, n_factors). seen: csr (n_users, n_items), never returned.
    threads: share the users; each holds at most some 40 MB for k = 300, whatever the catalogue. The matrix product only narrows the choice,
    because its last bits change with the block's shape; contenders are scored pair by pair, so a user's list does not
    depend on who else is in the block.
    """
    found = empty_lists(len(users), k)
    if not (len(users) and len(items) and k):
        return found
    seen = seen if seen.has_sorted_indices else seen.sorted_indices()
    search = _Search(items, np.ones(len(items), dtype=np.bool_) if scorable is None else scorable, k)

    def fill(start: int) -> None:
        rows = slice(start, min(start + USERS_AT_ONCE, len(users)))
        search.fill(np.ascontiguousarray(users[rows]), seen[rows], Neighbours(found.items[rows], found.scores[rows]))

    starts = range(0, len(users), USERS_AT_ONCE)
    if threads == 1:
        for start in starts:
            fill(start)
    else:
        with ThreadPoolExecutor(threads) as workers:
            list(workers.map(fill, starts))
    return found


class _Search:
    """Goes through the items tile by tile and keeps, for each user, what lies above a threshold.

    A sample of the items says where the threshold may start: at a score that surely more than k items exceed. Where
    that guess was wrong, or too many scores are equal, the user's scores are looked through as a whole.
    """

    def __init__(self, items: Floats, scorable: NDArray[np.bool_], k: int) -> None:
        from hybridrec.retrieval import kernels

        self.items, self.scorable, self.k = items, scorable, k
        n_items = len(items)
        self.longest = float(np.sqrt(np.einsum("ij,ij->i", items, items).max()))
        self.step = max(1, n_items // min(max(SAMPLED_OF_LIST * n_items // k, MIN_SAMPLE), MAX_SAMPLE))
        self.sample = np.ascontiguousarray(items[:: self.step])
        expected = k * len(self.sample) / n_items
        self.rank = math.ceil(expected + 4 * math.sqrt(expected) + 4)  # four standard deviations of the number of listed items in it
        self.room = max(4 * k, min(2 * self.rank * self.step, 16 * k)) + kernels.CHUNK

    def fill(self, users: Floats, seen: csr_array, found: Neighbours) -> None:
        """Lists of a block of users."""
        from hybridrec.retrieval import kernels

        n_users, n_items = len(users), len(self.items)
        rounding = users.shape[1] * np.finfo(np.float32).eps * self.longest * np.linalg.norm(users, axis=1)
        kept = kernels.Kept(
            scores=np.empty((n_users, self.room), np.float32),
            items=np.empty((n_users, self.room), np.int32),
            sizes=np.zeros(n_users, np.int64),
            thresholds=np.full(n_users, kernels.LOWEST),
            slack=(2 * rounding).astype(np.float32),
        )
        starts, columns = seen.indptr.astype(np.int64), seen.indices.astype(np.int32, copy=False)
        if self.rank < len(self.sample) // 2:
            sample = users @ self.sample.T
            kernels.leave_out(sample, 0, self.step, kernels.Seen(starts[:-1].copy(), starts[1:], columns))
            sample[:, ~self.scorable[:: self.step]] = NOT_ELIGIBLE
            kernels.scores_of_rank(sample, self.rank, kept.thresholds)
            kept.thresholds[:] = np.maximum(kept.thresholds - kept.slack, kernels.LOWEST)
        ahead = kernels.Seen(starts[:-1].copy(), starts[1:], columns)
        tile = np.empty((n_users, ITEMS_AT_ONCE), np.float32)
        for first in range(0, n_items, ITEMS_AT_ONCE):
            width = min(ITEMS_AT_ONCE, n_items - first)
            np.matmul(users, self.items[first : first + width].T, out=tile[:, :width])
            tile[:, width:] = NOT_ELIGIBLE
            kernels.leave_out(tile, first, 1, ahead)
            kernels.collect(tile, first, self.scorable, self.k, kept)
        kernels.rank_kept(users, self.items, self.k, kept, found.items, found.scores)
        for row in np.flatnonzero(kept.sizes == kernels.UNSURE):
            whole = self._look_through(users[row], columns[starts[row] : starts[row + 1]])
            found.items[row], found.scores[row] = whole.items[0], whole.scores[0]

    def _look_through(self, user: Floats, seen: Ints) -> Neighbours:
        eligible = self.scorable.copy()
        eligible[seen] = False
        items = np.flatnonzero(eligible)
        rows = np.zeros(len(items), dtype=np.intp)
        return rank_pairs(Pairs(rows, items), score_dot(user[None], self.items, rows, items), 1, self.k)


def score_dot(users: Floats, items: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """Products of users[rows[i]] and items[columns[i]], each computed by itself."""
    from hybridrec.retrieval import kernels

    scores = np.empty(len(rows), dtype=np.float32)
    kernels.dots_of_pairs(users, items, rows.astype(np.int64, copy=False), columns.astype(np.int64, copy=False), scores)
    return scores
