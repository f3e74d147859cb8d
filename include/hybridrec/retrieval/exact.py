"""The exact search for the items of the highest product with a user's vector."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.threads import in_threads
from hybridrec.retrieval.kernels.arrays import Kept, Seen
from hybridrec.retrieval.select import NOT_ELIGIBLE, Pairs, empty_lists, rank_pairs
from hybridrec.types import Floats, Ints, Neighbours

USERS_AT_ONCE, ITEMS_AT_ONCE = 512, 1024  # a tile of scores is 2 MiB, which stays in the cache
SAMPLED_OF_LIST, MIN_SAMPLE, MAX_SAMPLE = 4, 512, 4096  # items that say where to start: so many of a list are among them
KEPT_OF_BLOCK = 0.75  # users whose search has ended leave the block once they are a quarter: to copy the others costs as well
NO_ROW = np.iinfo(np.int32).max
CATALOGUE_PARTS = ("numbers", "vectors", "lengths")


class Catalogue(NamedTuple):
    """The items that have a score, in the order of a search: the longest vector first, unless an index says otherwise.

    numbers: int32 (n,), which item a row is. vectors: float32 (n, n_factors). lengths: float64 (n,).
    rows: int32 (n_items,), the row of an item, NO_ROW for one without a score.
    """

    numbers: Ints
    vectors: Floats
    lengths: NDArray[np.float64]
    rows: Ints

    @classmethod
    def of(cls, items: Floats, scorable: NDArray[np.bool_]) -> Catalogue:
        """Sort the items; the lower item first among equally long ones."""
        lengths = np.sqrt(np.einsum("ij,ij->i", items, items, dtype=np.float64))
        eligible = np.flatnonzero(scorable)
        numbers = eligible[np.argsort(-lengths[eligible], kind="stable")].astype(np.int32)
        return cls.in_order(numbers, np.ascontiguousarray(items[numbers]), lengths[numbers], len(items))

    @classmethod
    def in_order(cls, numbers: Ints, vectors: Floats, lengths: NDArray[np.float64], n_items: int) -> Catalogue:
        """Return a catalogue of items that are sorted already."""
        indices = np.full(n_items, NO_ROW, np.int32)
        indices[numbers] = np.arange(len(numbers), dtype=np.int32)
        return cls(numbers, vectors, lengths, indices)

    def save(self, folder: Path, name: str) -> None:
        """Write one .npy file per array, so that workers map the sorted items instead of sorting them."""
        for part in CATALOGUE_PARTS:
            np.save(folder / f"{name}_{part}.npy", getattr(self, part), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str, n_items: int) -> Catalogue:
        """Return the saved catalogue, mapped."""
        numbers, vectors, lengths = (mapped(folder / f"{name}_{part}.npy") for part in CATALOGUE_PARTS)
        return cls.in_order(numbers, vectors, lengths, n_items)


def mapped(path: Path) -> NDArray[Any]:
    """Return a saved array, mapped."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def top_k_dot(
    users: Floats, items: Floats, seen: csr_array, k: int, scorable: NDArray[np.bool_] | None = None, threads: int = 1
) -> Neighbours:
    """Return the k items of the highest product for each user, exact; see `search`. items: float32 (n_items, n_factors)."""
    return search(users, Catalogue.of(items, np.ones(len(items), np.bool_) if scorable is None else scorable), seen, k, threads)


def search(users: Floats, catalogue: Catalogue, seen: csr_array, k: int, threads: int = 1) -> Neighbours:
    """Return the k items of the highest product for each user, exact.

    users: float32 (n_users, n_factors). seen: csr (n_users, n_items), never returned.
    threads: share the users; each holds at most some 40 MB for k = 300, whatever the catalogue.

    No product exceeds the product of the lengths, so a user's search ends at items that are too short for the list (Teflioudi et al.,
    "LEMP: fast retrieval of large entries in a matrix product", SIGMOD 2015): if few items are popular it looks at a fraction of the
    catalogue, if all are equally long at all of it. The matrix product only narrows the choice, because its last bits change with the
    block's shape; contenders are scored pair by pair, so a user's list does not depend on who else is in the block.
    """
    lists = empty_lists(len(users), k)
    if not (len(users) and len(catalogue.numbers) and k):
        return lists
    seen_at = seen_rows(seen, catalogue)
    tiles = Tiles(catalogue, k)

    def fill(start: int) -> None:
        rows = slice(start, min(start + USERS_AT_ONCE, len(users)))
        block = Block.of(np.ascontiguousarray(users[rows]), seen_at[rows], tiles)
        _look_at_the_long(block, tiles)
        block.rank(Neighbours(lists.items[rows], lists.scores[rows]))

    in_threads(fill, range(0, len(users), USERS_AT_ONCE), threads)
    return lists


def _look_at_the_long(block: Block, tiles: Tiles) -> None:
    """Tile by tile, the longest items first; users leave as soon as the items are too short for them."""
    lengths, n_items = tiles.catalogue.lengths, len(tiles.catalogue.numbers)
    rows, searching = np.arange(len(block.users)), block.users
    for number, first in enumerate(range(0, n_items, ITEMS_AT_ONCE)):
        going_on = lengths[first] * block.reach[rows] >= block.kept.thresholds[rows]
        if np.count_nonzero(going_on) <= KEPT_OF_BLOCK * len(rows):
            rows = rows[going_on]
            searching = block.users[rows]
            if not len(rows):
                break
        block.look_at(rows, searching, first, min(first + ITEMS_AT_ONCE, n_items))
        if number & (number + 1) == 0 and 2 * first < n_items:  # ever more rarely: each time a few more of the best are known
            block.raise_thresholds(rows)


def seen_rows(seen: csr_array, catalogue: Catalogue) -> csr_array:
    """Return the seen items' rows in the catalogue, rising; NO_ROW, behind all others, for those without a score."""
    seen_at = csr_array((seen.data, catalogue.rows[seen.indices], seen.indptr), shape=seen.shape)
    seen_at.sort_indices()
    return seen_at


class Tiles:
    """Shared input of all blocks of a search: the catalogue, and a sample of it that gives a user's first threshold."""

    def __init__(self, catalogue: Catalogue, k: int) -> None:

        from hybridrec.retrieval.kernels import dense

        self.catalogue, self.k = catalogue, k
        n_items = len(catalogue.numbers)
        self.longest = float(catalogue.lengths.max())
        self.step = max(1, n_items // min(max(SAMPLED_OF_LIST * n_items // k, MIN_SAMPLE), MAX_SAMPLE))
        self.sample = np.ascontiguousarray(catalogue.vectors[:: self.step])
        expected = k * len(self.sample) / n_items
        self.rank = math.ceil(expected + 4 * math.sqrt(expected) + 4)  # four standard deviations of the number of listed items in it
        self.room = max(4 * k, min(2 * self.rank * self.step, 16 * k)) + dense.CHUNK


class Block(NamedTuple):
    """A block of users in search: of each tile that a user looks at, it keeps what lies above the user's threshold.

    A sample of the items says where the threshold starts: at a score that surely more than k items exceed. If that guess was wrong, or too
    many scores are equal, all of the user's scores are searched.
    seen: csr of places in the catalogue. ahead: those in the tiles to come. reach: float64 (n_users,), the users' lengths
    with what rounding may add to a product.
    """

    users: Floats
    seen: csr_array
    tiles: Tiles
    reach: NDArray[np.float64]
    kept: Kept
    ahead: Seen

    @classmethod
    def of(cls, users: Floats, seen: csr_array, tiles: Tiles) -> Block:
        """Return users at the start of their search."""
        from hybridrec.retrieval.kernels import dense

        n_users, inexact = len(users), users.shape[1] * np.finfo(np.float32).eps
        reach = np.linalg.norm(users.astype(np.float64), axis=1)
        kept = Kept(
            scores=np.empty((n_users, tiles.room), np.float32),
            items=np.empty((n_users, tiles.room), np.int32),
            sizes=np.zeros(n_users, np.int64),
            thresholds=np.full(n_users, dense.LOWEST),
            slack=(2 * inexact * tiles.longest * reach).astype(np.float32),
        )
        starts, columns = seen.indptr.astype(np.int64), seen.indices.astype(np.int32, copy=False)
        for start in range(0, n_users, USERS_AT_ONCE) if tiles.rank < len(tiles.sample) // 2 else ():
            rows = np.arange(start, min(start + USERS_AT_ONCE, n_users))
            sample = users[rows] @ tiles.sample.T
            dense.leave_out(sample, rows, 0, tiles.step, Seen(starts[:-1].copy(), starts[1:], columns))
            dense.scores_of_rank(sample, tiles.rank, kept.thresholds[rows[0] : rows[-1] + 1])
        kept.thresholds[:] = np.maximum(kept.thresholds - kept.slack, dense.LOWEST)
        return cls(users, seen, tiles, reach * (1 + 2 * inexact), kept, Seen(starts[:-1].copy(), starts[1:], columns))

    def look_at(self, rows: NDArray[np.intp], vectors: Floats, first: int, end: int) -> None:
        """Compare some users, vectors[i] being that of rows[i], with the items at the rising positions first to end."""
        from hybridrec.retrieval.kernels import dense

        width = end - first
        scores = np.empty((len(rows), width + -width % dense.CHUNK), np.float32)
        np.matmul(vectors, self.tiles.catalogue.vectors[first:end].T, out=scores[:, :width])
        scores[:, width:] = NOT_ELIGIBLE
        dense.leave_out(scores[:, :width], rows, first, 1, self.ahead)
        dense.collect(scores, rows, first, self.tiles.k, self.kept)

    def raise_thresholds(self, rows: NDArray[np.intp]) -> None:
        """Raise thresholds to what is known of the k-th best."""
        from hybridrec.retrieval.kernels import dense

        dense.raise_thresholds(rows, self.tiles.k, self.kept)

    def rank(self, lists: Neighbours) -> None:
        """Rank the kept items."""
        for row in self.rank_sure(lists):
            whole = self._look_through(self.users[row], self.seen[[row]].indices)
            lists.items[row], lists.scores[row] = whole.items[0], whole.scores[0]

    def rank_sure(self, lists: Neighbours) -> NDArray[np.intp]:
        """Rank the kept items; returns the users whose lists may lack an item, and are left empty."""
        from hybridrec.retrieval.kernels import dense

        catalogue = self.tiles.catalogue
        dense.rank_kept(self.users, catalogue.vectors, catalogue.numbers, self.tiles.k, self.kept, lists.items, lists.scores)
        return np.flatnonzero(self.kept.sizes == dense.UNSURE)

    def _look_through(self, user: Floats, seen: Ints) -> Neighbours:
        catalogue = self.tiles.catalogue
        eligible = np.ones(len(catalogue.numbers), np.bool_)
        eligible[seen[seen != NO_ROW]] = False
        indices = np.flatnonzero(eligible)
        rows = np.zeros(len(indices), dtype=np.intp)
        scores = score_dot(user[None], catalogue.vectors, rows, indices)
        return rank_pairs(Pairs(rows, catalogue.numbers[indices].astype(np.intp)), scores, 1, self.tiles.k)


def score_dot(users: Floats, items: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """Return products of users[rows[i]] and items[columns[i]], each computed by itself."""
    from hybridrec.retrieval.kernels import dense

    scores = np.empty(len(rows), dtype=np.float32)
    dense.dots_of_pairs(users, items, rows.astype(np.int64, copy=False), columns.astype(np.int64, copy=False), scores)
    return scores
