"""Name the arrays that the compiled loops of retrieval read and fill. Needs no numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hybridrec.types import Doubles, Floats, Ints, Longs

__all__ = ["Bounds", "Doubles", "Groups", "Kept", "Longs", "Norms", "Reach", "Rows", "Seen", "Sparse", "Sums"]


class Sparse(NamedTuple):
    """A csr matrix: the cells of row r are starts[r]:starts[r + 1] of columns and values."""

    starts: Longs
    columns: Ints
    values: Floats


class Sums(NamedTuple):
    """Sums of the row at work; only items reached in it have one.

    total: of each item. state: says by a number of the row's own whether an item has a sum, by one more that it is left out.
    reached: the items that have one, as many as the loop has counted.
    """

    total: Floats
    state: Longs
    reached: Ints


class Seen(NamedTuple):
    """items[heads[user]:ends[user]] are seen by a user of the block and lie in the tiles to come, ascending."""

    heads: Longs
    ends: Longs
    items: Ints


class Kept(NamedTuple):
    """Items that a block of users has kept so far, in the order of the items.

    scores, items: (n_users, room), the first sizes[user] of them are filled. thresholds: what a score must reach.
    slack: how far below the k-th best a score may be and still be among the k best when it is computed by itself.
    """

    scores: Floats
    items: Ints
    sizes: Longs
    thresholds: Floats
    slack: Floats


class Norms(NamedTuple):
    """Divisor of a product: own[i] * other[j] + shrinkage, a shrunk cosine that need not treat both items alike.

    own, other: float32 (n_items,), of the item of the history and of the one to be recommended.
    """

    own: Floats
    other: Floats
    shrinkage: np.float32

    @classmethod
    def none(cls, n_items: int) -> Norms:
        """Leave the product as it is."""
        zeros: Floats = np.zeros(n_items, np.float32)
        return cls(zeros, zeros, np.float32(1))


class Reach(NamedTuple):
    """Which rows of the right matrix a cell in column c of the left one counts for: those around c within firsts[c]:ends[c].

    weights: float32, of odd length, for row c itself in the middle; a weight of 0 counts as out of reach.
    """

    firsts: Longs
    ends: Longs
    weights: Floats

    @classmethod
    def itself(cls, n_columns: int) -> Reach:
        """Return the row of the same number, as in a plain product."""
        numbers = np.arange(n_columns, dtype=np.int64)
        return cls(numbers, numbers + 1, np.ones(1, np.float32))


class Rows(NamedTuple):
    """The neighbours of a block of items, one row after the other. sizes: of each row."""

    sizes: Longs
    columns: Ints
    values: Floats


class Bounds(NamedTuple):
    """largest: the largest value of each term, float32 (n_terms,). longest: the length of the longest vector."""

    largest: Floats
    longest: float


class Groups(NamedTuple):
    """Items with equal vectors: members[starts[g]:starts[g + 1]], rising; groups are in the order of their first members."""

    starts: Longs
    members: Ints
