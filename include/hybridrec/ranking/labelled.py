"""The part of a pool that a learner learns from: users who turned to one of their candidates."""

from __future__ import annotations

import numpy as np

from hybridrec.candidates.groups import Floats, group_sums, starts_of
from hybridrec.candidates.pool import Ints, Pool
from hybridrec.metrics.metrics import Labels


def labelled_users(pool: Pool, gains: Floats) -> Ints:
    """Users with a gain above 0 among their rows, sorted; int32."""
    return pool.users[group_sums((gains > 0).astype(np.float64), pool.starts) > 0]


def sample_users(pool: Pool, gains: Floats, users: Ints, max_rows: int, seed: int) -> tuple[Pool, Floats]:
    """The pool and gains of so many of the users, drawn by seed, that their rows stay below max_rows; of at least one."""
    drawn = np.random.default_rng(seed).permutation(users)
    sizes = np.diff(pool.starts)[np.searchsorted(pool.users, drawn)]
    chosen = drawn[: max(1, int((np.cumsum(sizes) <= max_rows).sum()))]
    return pool.rows_of(chosen), gains[np.isin(pool.row_users, chosen)]


def labels_in(pool: Pool, gains: Floats) -> Labels:
    """The labels that are rows of the pool, the reverse of row_gains."""
    hits = np.flatnonzero(gains > 0)
    starts = starts_of(pool.row_users[hits])
    return Labels(pool.row_users[hits][starts[:-1]], starts, pool.items[hits], gains[hits])
