"""Find out how fast popularity fades: by the half-life that ranks the newest choices best from those before them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.order import first_unseen
from hybridrec.retrieval.select import row_numbers
from hybridrec.retrieval.sparse import in_history
from hybridrec.types import Doubles, Floats, Neighbours

HALF_LIVES = (1 / 24, 0.25, 1.0, 3.0, 7.0, 14.0, 28.0, 90.0, 365.0)  # days
HELD_SHARE = 0.1
MIN_USERS, JUDGED_USERS, DEPTH = 100, 2_000, 20
FADED = 1e-30  # a sum below this is as good as none, and float32 still tells a millionth of it from zero
SURE = 1.0  # standard errors of the difference between two half-lives for the same users


def faded_counts(items: NDArray[np.integer], ages: Doubles, half_life_days: float, n_items: int) -> Floats:
    """Return the number of choices of each item, each halved for every half-life of its age; NaN without any, float32 (n_items,).

    Items whose sum is next to nothing stand below the others, by their plain number of choices: otherwise their numbers would order them.
    """
    sums = np.bincount(items, weights=0.5 ** (ages / half_life_days), minlength=n_items)
    counts = np.bincount(items, minlength=n_items)
    sums = np.where(sums < FADED, FADED * counts / (counts.max(initial=0) + 1), sums)
    return np.where(counts > 0, sums, np.nan).astype(np.float32)


def best_half_life(matrix: csr_array, ages: Doubles, usual_days: float) -> float:
    """Return the half-life whose popularity ranks the newest choices best by NDCG, the usual one unless another is surely better.

    matrix: csr (n_users, n_items). ages: days before the cut of each stored pair, aligned with matrix.data. The newest tenth of the pairs
    is held out; at most JUDGED_USERS of its users are judged, spread evenly over all, each without what was in the history before.
    Fewer than MIN_USERS say nothing.
    """
    cut = _newest_tenth(ages)
    held = ages < cut
    if not held.any() or held.all():
        return usual_days
    past, labels = _cells(matrix, ~held), _cells(matrix, held)
    judged = np.flatnonzero(np.diff(labels.indptr))
    if len(judged) < MIN_USERS:
        return usual_days
    judged = judged[np.unique(np.linspace(0, len(judged) - 1, min(len(judged), JUDGED_USERS)).astype(np.intp))]
    labels, seen = labels[judged], past[judged]
    quality = {}
    for days in sorted({*HALF_LIVES, usual_days}):
        scores = faded_counts(past.indices, ages[~held] - cut, days, matrix.shape[1])
        quality[days] = _ndcg(first_unseen(scores, seen, DEPTH), labels)
    best = max(sorted(quality, reverse=True), key=lambda days: float(quality[days].mean()))  # of equal ones the longest
    gain = quality[best] - quality[usual_days]
    return best if gain.mean() > SURE * gain.std() / np.sqrt(len(gain)) else usual_days


def _newest_tenth(ages: Doubles) -> float:
    """Return the age below which about HELD_SHARE of the pairs are; choices of one moment stay together."""
    n_held = int(len(ages) * HELD_SHARE)
    cut = float(np.partition(ages, n_held)[n_held])
    return cut if cut > ages.min() else float(ages[ages > cut].min(initial=np.inf))


def _cells(matrix: csr_array, chosen: NDArray[np.bool_]) -> csr_array:
    """Return the matrix with only the chosen ones of its stored cells."""
    ends = np.concatenate([[0], np.cumsum(chosen)])[matrix.indptr].astype(matrix.indptr.dtype)
    return csr_array((matrix.data[chosen], matrix.indices[chosen], ends), shape=matrix.shape)


def _ndcg(lists: Neighbours, labels: csr_array) -> Doubles:
    """Return the binary NDCG of each list, (n_users,)."""
    rows = np.repeat(np.arange(len(lists.items)), DEPTH).reshape(lists.items.shape)
    hits = in_history(labels, rows, lists.items) & (lists.items >= 0)
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.cumsum(discounts)[np.minimum(np.bincount(row_numbers(labels), minlength=len(hits)), DEPTH) - 1]
    ndcg: Doubles = hits @ discounts / ideal
    return ndcg
