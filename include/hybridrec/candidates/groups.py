"""Arithmetic within groups of consecutive rows, without a Python loop over groups.

A grouping is `starts`, int64 (n_groups + 1,): rows starts[g]:starts[g + 1] are group g; no group is empty.
Values are float32 or float64 (n_rows,); NaN means missing and takes no part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Values = NDArray[np.float32] | NDArray[np.float64]
Starts = NDArray[np.int64]
Rows = NDArray[np.int64]
GROUPS_AT_ONCE = 512


def starts_of(keys: NDArray[np.int32]) -> Starts:
    """Return the grouping of sorted keys: one group for each distinct key."""
    if not len(keys):
        return np.zeros(1, dtype=np.int64)
    changes = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], changes, [len(keys)]]).astype(np.int64)


def spread(per_group: NDArray[np.float64], starts: Starts) -> NDArray[np.float64]:
    """Repeat each group's value for each of its rows."""
    return np.repeat(per_group, np.diff(starts))


def group_sums(values: NDArray[np.float64], starts: Starts) -> NDArray[np.float64]:
    """Return the sum of each group's values."""
    return _reduce(np.add, values, starts)


def zscore(values: Values, starts: Starts) -> Floats:
    """Return the distance from the group's mean in standard deviations; 0 if all of a group's values are equal."""
    filled = np.nan_to_num(values.astype(np.float64))
    present = ~np.isnan(values)
    n = np.maximum(_reduce(np.add, present.astype(np.float64), starts), 1.0)
    centred = np.where(present, values - spread(_reduce(np.add, filled, starts) / n, starts), 0.0)
    deviation = spread(np.sqrt(_reduce(np.add, centred**2, starts) / n), starts)
    # below this share of the largest value a deviation is rounding error, not a difference
    size = spread(_reduce(np.maximum, np.abs(filled), starts), starts)
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-6 * size)
    return np.where(present, scaled, np.nan).astype(np.float32)


def minmax(values: Values, starts: Starts) -> Floats:
    """Place between the group's lowest (0) and highest (1) value; 0.5 if all are equal."""
    present = ~np.isnan(values)
    low = spread(_reduce(np.minimum, np.where(present, values, np.inf), starts), starts)
    high = spread(_reduce(np.maximum, np.where(present, values, -np.inf), starts), starts)
    width = np.where(present, high - low, 1.0)
    placed = np.divide(values - np.where(present, low, 0.0), width, out=np.full(len(values), 0.5), where=width > 0)
    return np.where(present, placed, np.nan).astype(np.float32)


def rank_score(values: Values, starts: Starts) -> Floats:
    """Return 1 for the group's best value, falling evenly towards 0; equal values share their mean."""
    by_value = np.lexsort((np.nan_to_num(-values, nan=np.inf), spread(np.arange(len(starts) - 1.0), starts)))
    ordered = values[by_value]
    position = np.arange(len(values)) - np.repeat(starts[:-1], np.diff(starts))
    new = np.ones(len(values), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    new[starts[:-1][starts[:-1] < len(values)]] = True
    ties = np.append(np.flatnonzero(new), len(values)).astype(np.int64)
    mean_position = spread(_reduce(np.add, position.astype(np.float64), ties) / np.diff(ties), ties)
    n = spread(np.maximum(_reduce(np.add, (~np.isnan(values)).astype(np.float64), starts), 1.0), starts)
    scores = np.empty(len(values))
    scores[by_value] = mean_position
    return np.where(np.isnan(values), np.nan, 1.0 - scores / n).astype(np.float32)


NORMALISERS: dict[str, Callable[[Values, Starts], Floats]] = {"zscore": zscore, "minmax": minmax, "rank": rank_score}


def best_first(scores: Values, items: NDArray[np.int32], starts: Starts, depth: int | None = None) -> tuple[Rows, NDArray[np.int32]]:
    """Return rows in the order of their lists, and each one's rank in its group, 1 is best; rows with NaN are left out.

    Equal scores are ordered by item, so a list does not depend on the order of the rows. depth: leave out what lies behind it.
    """
    groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    kept = ~np.isnan(scores) if depth is None else _among_best(scores, starts, depth)
    rows = np.flatnonzero(kept)
    rows = rows[np.lexsort((items[rows], -scores[rows], groups[rows]))]
    listed = groups[rows]
    first = np.searchsorted(listed, listed, side="left")
    ranks = (np.arange(len(rows)) - first + 1).astype(np.int32)
    if depth is not None:
        rows, ranks = rows[ranks <= depth], ranks[ranks <= depth]
    return rows.astype(np.int64), ranks


def _among_best(scores: Values, starts: Starts, depth: int) -> NDArray[np.bool_]:
    """Return whether a row is among the `depth` best of its group, ties at the end included; NaN is not."""
    kept = ~np.isnan(scores)
    sizes = np.diff(starts)
    for first in range(0, len(sizes), GROUPS_AT_ONCE):  # whole rows need not be sorted to find the depth-th
        part = slice(first, first + GROUPS_AT_ONCE)
        width = int(sizes[part].max())
        if width <= depth:
            continue
        rows = slice(starts[first], starts[min(first + GROUPS_AT_ONCE, len(sizes))])
        filled = np.arange(width) < sizes[part][:, None]
        padded = np.full(filled.shape, -np.inf, dtype=scores.dtype)
        padded[filled] = np.where(kept[rows], scores[rows], -np.inf)
        last = np.partition(padded, width - depth, axis=1)[:, width - depth]
        kept[rows] &= scores[rows] >= np.repeat(last, sizes[part])
    return kept


def _reduce(operation: np.ufunc, values: NDArray[np.float64], starts: Starts) -> NDArray[np.float64]:
    if len(starts) == 1:
        return np.zeros(0)
    return np.asarray(operation.reduceat(values, starts[:-1]), dtype=np.float64)
