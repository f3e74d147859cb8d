"""Models whose score is the product of a user's and an item's vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.select import NOT_ELIGIBLE, Pairs, empty_lists, rank_pairs, spread
from hybridrec.types import Floats, Ints, Neighbours, TrainingData, UserBlock

if TYPE_CHECKING:
    from hybridrec.retrieval.approximate import ClusterIndex
    from hybridrec.retrieval.kernels import Kept, Seen

USERS_AT_ONCE, ITEMS_AT_ONCE = 512, 1024  # a tile of scores is 2 MiB, which stays in the cache
SAMPLED_OF_LIST, MIN_SAMPLE, MAX_SAMPLE = 4, 512, 4096  # items that say where to start: so many of a list are among them
KEPT_OF_BLOCK = 0.75  # users whose search has ended leave the block once they are a quarter: to copy the others costs as well
NO_PLACE = np.iinfo(np.int32).max
CATALOGUE_PARTS, LONGEST_FIRST = ("numbers", "vectors", "lengths"), "longest_first"
Options = TypeVar("Options")  # a model's Config
S = TypeVar("S")
T = TypeVar("T")


class Catalogue(NamedTuple):
    """The items that have a score, in the order of a search: the longest vector first, unless an index says otherwise.

    numbers: int32 (n,), which item a row is. vectors: float32 (n, n_factors). lengths: float64 (n,).
    places: int32 (n_items,), the row of an item, NO_PLACE for one without a score.
    """

    numbers: Ints
    vectors: Floats
    lengths: NDArray[np.float64]
    places: Ints

    @classmethod
    def of(cls, items: Floats, scorable: NDArray[np.bool_]) -> Catalogue:
        """Sort the items; of equally long ones the lower item first."""
        lengths = np.sqrt(np.einsum("ij,ij->i", items, items, dtype=np.float64))
        eligible = np.flatnonzero(scorable)
        numbers = eligible[np.argsort(-lengths[eligible], kind="stable")].astype(np.int32)
        return cls.in_order(numbers, np.ascontiguousarray(items[numbers]), lengths[numbers], len(items))

    @classmethod
    def in_order(cls, numbers: Ints, vectors: Floats, lengths: NDArray[np.float64], n_items: int) -> Catalogue:
        """A catalogue of items that are sorted already."""
        places = np.full(n_items, NO_PLACE, np.int32)
        places[numbers] = np.arange(len(numbers), dtype=np.int32)
        return cls(numbers, vectors, lengths, places)

    def save(self, folder: Path, name: str) -> None:
        """One .npy file an array, so that workers map the sorted items instead of sorting them."""
        for part in CATALOGUE_PARTS:
            np.save(folder / f"{name}_{part}.npy", getattr(self, part), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str, n_items: int) -> Catalogue:
        """The saved catalogue, mapped."""
        numbers, vectors, lengths = (_mapped(folder / f"{name}_{part}.npy") for part in CATALOGUE_PARTS)
        return cls.in_order(numbers, vectors, lengths, n_items)


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
        """What a search goes through; sorted once."""
        return Catalogue.of(self.items, self.scorable)

    def top_k(self, block: UserBlock, k: int, index: ClusterIndex | None = None) -> Neighbours:
        """The k best unseen items, exactly or by an index; an empty list for a user without history."""
        known = np.flatnonzero(np.diff(block.history.indptr))
        vectors, seen = self.users[block.user_idx[known]], block.history[known]
        found = index.search(vectors, seen, k) if index else search(vectors, self.catalogue, seen, k)
        return spread(found, known, len(block.user_idx))

    def score_pairs(self, block: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Scores of pairs; NaN for a user without history and for an item that cannot be scored."""
        scores = score_dot(self.users[block.user_idx], self.items, rows, items)
        known = np.diff(block.history.indptr)[rows] > 0
        return np.where(known & self.scorable[items], scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """One .npy file an array."""
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Vectors:
        """The saved vectors, mapped; the sorted ones too, if they are there."""
        vectors = cls(*(_mapped(folder / f"{field.name}.npy") for field in fields(cls)))
        if (folder / f"{LONGEST_FIRST}_numbers.npy").exists():  # then nothing is left to do for cached_property
            vectors.__dict__["catalogue"] = Catalogue.load(folder, LONGEST_FIRST, len(vectors.items))
        return vectors


def _mapped(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def no_vectors() -> Vectors:
    """The vectors of a model that is not fitted."""
    return Vectors(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32), np.zeros(0, np.bool_))


class DotProductModel(Generic[Options]):
    """A base model of two matrices; a subclass only has to fit them, into `self.vectors`."""

    def __init__(self, config: Options) -> None:
        self.config = config
        self.vectors = no_vectors()
        self.index: ClusterIndex | None = None

    def build_index(self, data: TrainingData) -> dict[str, float]:
        """An approximate index for a large catalogue, if a sample of the users shows that it is good enough; what it showed."""
        from hybridrec.retrieval import approximate

        known = np.flatnonzero(np.diff(data.matrix.indptr))
        if len(self.vectors.catalogue.numbers) < approximate.FROM_ITEMS or not len(known):
            return {}
        sample = np.sort(np.random.default_rng(data.seed).permutation(known)[: approximate.SAMPLED_USERS])
        found = approximate.choose_index(self.vectors.users[sample], self.vectors.catalogue, data.matrix[sample], data.seed)
        self.index, measured = found
        return {f"index_{name}": value for name, value in measured._asdict().items()} | {"index_used": float(self.index is not None)}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items of the highest product; an empty list for a user without history."""
        return self.vectors.top_k(users, k, self.index)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Products; NaN without history or for an item that the model knows nothing of."""
        return self.vectors.score_pairs(users, rows, items)

    def save(self, folder: Path) -> None:
        """The two matrices, which items have a score, the sorted items, and the index if there is one."""
        self.vectors.save(folder)
        self.vectors.catalogue.save(folder, LONGEST_FIRST)
        if self.index:
            self.index.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """The saved matrices and index, mapped."""
        from hybridrec.retrieval.approximate import ClusterIndex

        model = cls(config)
        model.vectors = Vectors.load(folder)
        model.index = ClusterIndex.load(folder, model.vectors.catalogue)
        return model


def known_items(matrix: csr_array) -> NDArray[np.bool_]:
    """Whether an item has any event, bool (n_items,)."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0


def top_k_dot(
    users: Floats, items: Floats, seen: csr_array, k: int, scorable: NDArray[np.bool_] | None = None, threads: int = 1
) -> Neighbours:
    """The k items of the highest product for each user, exact; see `search`. items: float32 (n_items, n_factors)."""
    return search(users, Catalogue.of(items, np.ones(len(items), np.bool_) if scorable is None else scorable), seen, k, threads)


def search(users: Floats, catalogue: Catalogue, seen: csr_array, k: int, threads: int = 1) -> Neighbours:
    """The k items of the highest product for each user, exact.

    users: float32 (n_users, n_factors). seen: csr (n_users, n_items), never returned.
    threads: share the users; each holds at most some 40 MB for k = 300, whatever the catalogue.

    No product exceeds the product of the lengths, so a user's search ends where the items that are left are too short
    for the list (Teflioudi et al., "LEMP: fast retrieval of large entries in a matrix product", SIGMOD 2015): where few items
    are popular it looks at a fraction of the catalogue, where all are equally long at the whole of it. The matrix product only narrows
    the choice, because its last bits change with the block's shape; contenders are scored pair by pair, so a user's list does
    not depend on who else is in the block.
    """
    found = empty_lists(len(users), k)
    if not (len(users) and len(catalogue.numbers) and k):
        return found
    places = seen_places(seen, catalogue)
    tiles = Tiles(catalogue, k)

    def fill(start: int) -> None:
        rows = slice(start, min(start + USERS_AT_ONCE, len(users)))
        block = Block.of(np.ascontiguousarray(users[rows]), places[rows], tiles)
        _look_at_the_long(block, tiles)
        block.rank(Neighbours(found.items[rows], found.scores[rows]))

    in_threads(fill, range(0, len(users), USERS_AT_ONCE), threads)
    return found


def in_threads(step: Callable[[S], T], parts: Iterable[S], threads: int) -> list[T]:
    """The results of a step for each part, in their order; with one thread in the caller's own. `step` releases the GIL."""
    return list(as_they_end(step, parts, threads))


def as_they_end(step: Callable[[S], T], parts: Iterable[S], threads: int) -> Iterator[T]:
    """As in_threads, each result as soon as it and all before it are there."""
    if threads == 1:
        yield from map(step, parts)
        return
    with ThreadPoolExecutor(threads) as workers:
        yield from workers.map(step, parts)


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


def seen_places(seen: csr_array, catalogue: Catalogue) -> csr_array:
    """The seen items' rows in the catalogue, rising; NO_PLACE, behind all others, for those without a score."""
    places = csr_array((seen.data, catalogue.places[seen.indices], seen.indptr), shape=seen.shape)
    places.sort_indices()
    return places


class Tiles:
    """What all blocks of a search share: the catalogue, and a sample of it that says where a user's threshold may start."""

    def __init__(self, catalogue: Catalogue, k: int) -> None:
        from hybridrec.retrieval import kernels

        self.catalogue, self.k = catalogue, k
        n_items = len(catalogue.numbers)
        self.longest = float(catalogue.lengths.max())
        self.step = max(1, n_items // min(max(SAMPLED_OF_LIST * n_items // k, MIN_SAMPLE), MAX_SAMPLE))
        self.sample = np.ascontiguousarray(catalogue.vectors[:: self.step])
        expected = k * len(self.sample) / n_items
        self.rank = math.ceil(expected + 4 * math.sqrt(expected) + 4)  # four standard deviations of the number of listed items in it
        self.room = max(4 * k, min(2 * self.rank * self.step, 16 * k)) + kernels.CHUNK


class Block(NamedTuple):
    """A block of users in search: of each tile that a user looks at, it keeps what lies above the user's threshold.

    A sample of the items says where the threshold starts: at a score that surely more than k items exceed. Where that
    guess was wrong, or too many scores are equal, the user's scores are looked through as a whole.
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
        """Users at the start of their search."""
        from hybridrec.retrieval import kernels

        n_users, inexact = len(users), users.shape[1] * np.finfo(np.float32).eps
        reach = np.linalg.norm(users.astype(np.float64), axis=1)
        kept = kernels.Kept(
            scores=np.empty((n_users, tiles.room), np.float32),
            items=np.empty((n_users, tiles.room), np.int32),
            sizes=np.zeros(n_users, np.int64),
            thresholds=np.full(n_users, kernels.LOWEST),
            slack=(2 * inexact * tiles.longest * reach).astype(np.float32),
        )
        starts, columns = seen.indptr.astype(np.int64), seen.indices.astype(np.int32, copy=False)
        for start in range(0, n_users, USERS_AT_ONCE) if tiles.rank < len(tiles.sample) // 2 else ():
            rows = np.arange(start, min(start + USERS_AT_ONCE, n_users))
            sample = users[rows] @ tiles.sample.T
            kernels.leave_out(sample, rows, 0, tiles.step, kernels.Seen(starts[:-1].copy(), starts[1:], columns))
            kernels.scores_of_rank(sample, tiles.rank, kept.thresholds[rows[0] : rows[-1] + 1])
        kept.thresholds[:] = np.maximum(kept.thresholds - kept.slack, kernels.LOWEST)
        return cls(users, seen, tiles, reach * (1 + 2 * inexact), kept, kernels.Seen(starts[:-1].copy(), starts[1:], columns))

    def look_at(self, rows: NDArray[np.intp], vectors: Floats, first: int, end: int) -> None:
        """Some users, vectors[i] being that of rows[i], look at the places first to end of the catalogue, which only ever rise."""
        from hybridrec.retrieval import kernels

        width = end - first
        scores = np.empty((len(rows), width + -width % kernels.CHUNK), np.float32)
        np.matmul(vectors, self.tiles.catalogue.vectors[first:end].T, out=scores[:, :width])
        scores[:, width:] = NOT_ELIGIBLE
        kernels.leave_out(scores[:, :width], rows, first, 1, self.ahead)
        kernels.collect(scores, rows, first, self.tiles.k, self.kept)

    def raise_thresholds(self, rows: NDArray[np.intp]) -> None:
        """Raise thresholds to what is known of the k-th best."""
        from hybridrec.retrieval import kernels

        kernels.raise_thresholds(rows, self.tiles.k, self.kept)

    def rank(self, found: Neighbours) -> None:
        """The lists from what was kept."""
        for row in self.rank_sure(found):
            whole = self._look_through(self.users[row], self.seen[[row]].indices)
            found.items[row], found.scores[row] = whole.items[0], whole.scores[0]

    def rank_sure(self, found: Neighbours) -> NDArray[np.intp]:
        """The lists from what was kept; returns the users whose lists may lack one of what they have looked at, and are left empty."""
        from hybridrec.retrieval import kernels

        catalogue = self.tiles.catalogue
        kernels.rank_kept(self.users, catalogue.vectors, catalogue.numbers, self.tiles.k, self.kept, found.items, found.scores)
        return np.flatnonzero(self.kept.sizes == kernels.UNSURE)

    def _look_through(self, user: Floats, seen: Ints) -> Neighbours:
        catalogue = self.tiles.catalogue
        eligible = np.ones(len(catalogue.numbers), np.bool_)
        eligible[seen[seen != NO_PLACE]] = False
        places = np.flatnonzero(eligible)
        rows = np.zeros(len(places), dtype=np.intp)
        scores = score_dot(user[None], catalogue.vectors, rows, places)
        return rank_pairs(Pairs(rows, catalogue.numbers[places].astype(np.intp)), scores, 1, self.tiles.k)


def score_dot(users: Floats, items: Floats, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Floats:
    """Products of users[rows[i]] and items[columns[i]], each computed by itself."""
    from hybridrec.retrieval import kernels

    scores = np.empty(len(rows), dtype=np.float32)
    kernels.dots_of_pairs(users, items, rows.astype(np.int64, copy=False), columns.astype(np.int64, copy=False), scores)
    return scores
