"""Measure how recent the items of a history are by their order alone: it works if days are too coarse or have no meaning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.select import row_numbers
from hybridrec.types import UserBlock


def newer_items(users: UserBlock) -> NDArray[np.int64]:
    """Count the newer items of the same history for each stored pair of `users.history`; equal days count as equal."""
    order, rows, starts = _newest_first(users)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))
    newer = np.empty(len(rows), dtype=np.int64)
    newer[order] = first - users.history.indptr[rows]
    return newer


def newer_visits(users: UserBlock) -> NDArray[np.int64]:
    """Count the newer days of the same history for each stored pair of `users.history`."""
    order, rows, starts = _newest_first(users)
    visit = np.cumsum(starts)
    newer = np.empty(len(rows), dtype=np.int64)
    newer[order] = visit - visit[users.history.indptr[rows]]
    return newer


def last_items(users: UserBlock, n: int) -> csr_array:
    """Return the items of each history that fewer than n others are newer than, csr float32 (n_users, n_items), rows sum to 1.

    So the whole newest visit is there, however many items it has: within it nothing is the last one.
    """
    history = users.history
    kept = newer_items(users) < n
    sizes = np.bincount(row_numbers(history)[kept], minlength=history.shape[0])
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(history.indptr.dtype)
    shares = np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32)
    return csr_array((shares, history.indices[kept], ends), shape=history.shape)


def fade(matrix: csr_array, days: NDArray[np.floating], half_life_days: float) -> csr_array:
    """Return a matrix with each cell halved for every half-life of its age; days: ages aligned with matrix.data."""
    values = (matrix.data * 0.5 ** (days / half_life_days)).astype(np.float32)
    return csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)


class _Sorted(NamedTuple):
    """The stored pairs by row, newest first: where they stand, their row, and whether one starts a run of equal days."""

    order: NDArray[np.intp]
    rows: NDArray[np.intp]
    starts: NDArray[np.bool_]


def _newest_first(users: UserBlock) -> _Sorted:
    rows = row_numbers(users.history)
    order = np.lexsort((users.days, rows))
    days = users.days[order]
    starts = np.r_[True, (rows[1:] != rows[:-1]) | (days[1:] != days[:-1])][: len(rows)]
    return _Sorted(order, rows, starts)
