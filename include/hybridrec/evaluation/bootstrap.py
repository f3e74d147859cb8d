"""Intervals by resampling users: percentile bootstrap, 95 %.

All columns are resampled with the same users, so the difference of two columns is paired: differences between users cancel out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hybridrec.types import Doubles

CELLS = 4_000_000  # drawn users held at a time, 32 MB


class Interval(NamedTuple):
    """A mean with the 95 % interval about it."""

    mean: float
    low: float
    high: float


def resampled_means(values: Doubles, samples: int, seed: int) -> Doubles:
    """Return means of each column over `samples` draws of n users with replacement, float64 (samples, n_columns).

    values: float64 (n_users, n_columns), at least one user.
    """
    n = len(values)
    generator = np.random.default_rng(seed)
    means = np.empty((samples, values.shape[1]))
    step = max(1, CELLS // n)
    for first in range(0, samples, step):
        size = min(step, samples - first)
        drawn = generator.integers(0, n, size=(size, n)) + np.arange(size)[:, None] * n
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)  # how often each user was drawn
        means[first : first + size] = counts @ values / n
    return means


def interval(mean: float, resampled: Doubles) -> Interval:
    """Return the interval that holds the middle 95 % of the resampled means."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(float(mean), float(low), float(high))


def paired_difference(ours: Doubles, theirs: Doubles, samples: int, seed: int) -> Interval:
    """Return mean over users of ours minus theirs, float64 (n_users,) each, with its paired interval."""
    difference = (ours - theirs)[:, None]
    return interval(float(difference.mean()), resampled_means(difference, samples, seed)[:, 0])
