"""Items as a few weighted terms, and the search for those that are most alike.

In a large catalogue nearly every item shares some term with every other: a category, a common word. The search goes through
the terms that say most for each item that has them, and leaves the common ones out as soon as they cannot change the list. And
many items say the same: they are one in the search, and are told apart only in the lists.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.kernels.arrays import Bounds, Groups
from hybridrec.retrieval.select import empty_lists, row_numbers
from hybridrec.retrieval.sparse import arrays_of, empty_csr, load_csr, one_hot, save_csr, score_rows, top_k_sparse
from hybridrec.types import Floats, Ints, Neighbours

GROUPS = ("starts", "members")
FROM_GROUPS = 50_000  # of fewer it costs as much to find out which terms can be left out as to add them up


class Terms:
    """Terms of the items.

    distinct: csr float32 (n_groups, n_terms), a vector of each group, sorted indices. by_term: its transpose.
    """

    def __init__(self, groups: Groups, distinct: csr_array, by_term: csr_array) -> None:
        self.groups, self.distinct, self.by_term = groups, distinct, by_term

    @classmethod
    def of(cls, vectors: csr_array) -> Terms:
        """Return vectors: csr float32 (n_items, n_terms), sorted indices."""
        groups = equal_rows(vectors)
        distinct = vectors[groups.members[groups.starts[:-1]]]
        return cls(groups, distinct, distinct.T.tocsr())

    @cached_property
    def group_of(self) -> Ints:
        """The group of each item, int32 (n_items,)."""
        groups: Ints = np.empty(len(self.groups.members), np.int32)
        groups[self.groups.members] = np.repeat(np.arange(self.distinct.shape[0], dtype=np.int32), np.diff(self.groups.starts))
        return groups

    @cached_property
    def bounds(self) -> Bounds | None:
        """Largest contribution of a term; None if a value is below 0, because then no term can be left out."""
        if self.distinct.data.min(initial=0) < 0:
            return None
        largest: Floats = np.zeros(self.by_term.shape[0], np.float32)
        np.maximum.at(largest, self.distinct.indices, self.distinct.data)
        squares = np.bincount(row_numbers(self.distinct), np.square(self.distinct.data, dtype=np.float64), minlength=1)
        return Bounds(largest, float(np.sqrt(squares.max())))

    def top_k(self, left: csr_array, seen: csr_array, k: int) -> Neighbours:
        """Return top_k_sparse of left and the transposed vectors, to the bit. left: csr float32 (n, n_terms), sorted indices."""
        return self._members(self._best_groups(left, k + np.diff(seen.indptr)), seen, k)  # whom one has seen may be the first of a group

    def similar(self, items: Ints, k: int) -> Neighbours:
        """Return the k most alike other items of each given item."""
        numbers, indices = np.unique(self.group_of[items], return_inverse=True)  # who says the same has the same neighbours
        best = self._best_groups(self.distinct[numbers], np.full(len(numbers), k + 1))
        return self._members(Neighbours(best.items[indices], best.scores[indices]), one_hot(items, len(self.group_of)), k)

    def score_pairs(self, left: csr_array, rows: Ints, items: Ints) -> Floats:
        """Return products of rows of `left` and of items' vectors."""
        return score_rows(left, self.distinct, rows, self.group_of[items])

    def save(self, folder: Path, name: str) -> None:
        """Write the groups and their vectors as .npy files."""
        save_csr(self.distinct, folder, name)
        save_csr(self.by_term, folder, f"{name}_by_term")
        for part in GROUPS:
            np.save(folder / f"{name}_{part}.npy", getattr(self.groups, part), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> Terms:
        """Map the saved files."""
        groups = Groups(*(np.load(folder / f"{name}_{part}.npy", mmap_mode="r", allow_pickle=False) for part in GROUPS))
        return cls(groups, load_csr(folder, name), load_csr(folder, f"{name}_by_term"))

    def _best_groups(self, left: csr_array, wanted: NDArray[np.integer]) -> Neighbours:
        """Return the wanted[i] best groups of row i."""
        from hybridrec.retrieval.kernels import sums

        widest = int(wanted.max(initial=0))
        if self.distinct.shape[0] < FROM_GROUPS or self.bounds is None or left.data.min(initial=0) < 0:
            return top_k_sparse(left, self.by_term, _nothing((left.shape[0], self.distinct.shape[0])), widest)
        best = empty_lists(left.shape[0], widest)
        rows, by_term, distinct = arrays_of(left), arrays_of(self.by_term), arrays_of(self.distinct)
        sums.best_by_terms(rows, by_term, distinct, self.bounds, wanted.astype(np.int64), best.items, best.scores)
        return best

    def _members(self, best: Neighbours, seen: csr_array, k: int) -> Neighbours:
        """Return the lists of items from those of groups."""
        from hybridrec.retrieval.kernels import sums

        lists = empty_lists(len(best.items), k)
        sums.members_of(self.groups, best.items, best.scores, arrays_of(seen), lists.items, lists.scores)
        return lists


def _nothing(shape: tuple[int, int]) -> csr_array:
    return csr_array((np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(shape[0] + 1, np.int32)), shape=shape)


def no_terms() -> Terms:
    """Return the terms of a model that is not fitted."""
    return Terms(Groups(np.zeros(1, np.int64), np.zeros(0, np.int32)), empty_csr(), empty_csr())


def equal_rows(matrix: csr_array) -> Groups:
    """Return rows that store the same cells; a collision of the hash may only leave equal rows in two groups."""
    keys = _hashes(matrix)
    order = np.argsort(keys, kind="stable")  # rising within equal keys
    new = np.ones(len(order), np.bool_)
    new[1:] = (keys[order[1:]] != keys[order[:-1]]) | ~_are_equal(matrix, order[1:], order[:-1])
    firsts = order[new]
    numbers = np.empty(len(firsts), np.int64)
    numbers[np.argsort(firsts)] = np.arange(len(firsts))  # in the order of their first members
    group = numbers[np.cumsum(new) - 1]
    members = order[np.argsort(group, kind="stable")].astype(np.int32)
    return Groups(np.concatenate([[0], np.cumsum(np.bincount(group, minlength=len(firsts)))]).astype(np.int64), members)


def _hashes(matrix: csr_array) -> NDArray[np.uint64]:
    """Return a number of each row that is the same for equal rows."""
    of_terms = np.random.default_rng(0).integers(1, 2**63, matrix.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    cells = (matrix.data.view(np.uint32).astype(np.uint64) + np.uint64(1)) * of_terms[matrix.indices]
    upto = np.concatenate([np.zeros(1, np.uint64), np.cumsum(cells, dtype=np.uint64)])  # beyond 2**64 it starts again
    hashes: NDArray[np.uint64] = upto[matrix.indptr[1:]] - upto[matrix.indptr[:-1]]
    return hashes


def _are_equal(matrix: csr_array, rows: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return whether row rows[i] and row others[i] store the same cells."""
    sizes = np.diff(matrix.indptr)
    is_equal: NDArray[np.bool_] = sizes[rows] == sizes[others]
    pairs = np.flatnonzero(is_equal)
    pair = np.repeat(pairs, sizes[rows[pairs]])
    within = np.arange(len(pair)) - np.searchsorted(pair, pair)
    cells, of_others = matrix.indptr[rows[pair]] + within, matrix.indptr[others[pair]] + within
    differ = (matrix.indices[cells] != matrix.indices[of_others]) | (matrix.data[cells] != matrix.data[of_others])
    is_equal[pair[differ]] = False
    return is_equal
