"""Features of impressions without a choice, only if events hold impressions.

item_taken_rate     share of the users who were shown the item and took it, drawn to the mean as if PRIOR more users had been shown it
pair_log_n_shown    log(1 + impressions of the pair)
pair_log_n_passed   log(1 + those that no choice of the pair followed)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.groups import Floats, Starts

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.types import Ints

PAIRS, ITEMS = "model_shown", "model_item_shown"
COLUMNS = ("n_shown", "n_passed")
PRIOR = 20.0  # users: with fewer the mean says more than the item's own


def taken_rate(of_items: pa.Table, n_items: int) -> Floats:
    """Return item_taken_rate of all items, float32 (n_items,); the mean for one that was never shown."""
    shown, taken = (np.zeros(n_items) for _ in range(2))
    where = of_items["item_idx"].to_numpy()
    shown[where], taken[where] = of_items["n_shown"].to_numpy(), of_items["n_taken"].to_numpy()
    mean = taken.sum() / max(shown.sum(), 1.0)
    rates: Floats = ((taken + PRIOR * mean) / (shown + PRIOR)).astype(np.float32)
    return rates


def pair_columns(shown: pa.Table, users: Ints, starts: Starts, row_items: Ints) -> dict[str, Floats]:
    """Return the features of candidates, float32 (n_rows,) by name. shown: model_shown of the users, in any order."""
    n_items = np.int64(max(int(row_items.max(initial=0)), int(shown["item_idx"].to_numpy().max(initial=0))) + 1)
    keys = np.searchsorted(users, shown["user_idx"].to_numpy()) * n_items + shown["item_idx"].to_numpy()
    asked = np.repeat(np.arange(len(users)), np.diff(starts)) * n_items + row_items
    return {f"pair_log_{name}": np.log1p(_looked_up(keys, shown[name].to_numpy(), asked)).astype(np.float32) for name in COLUMNS}


def _looked_up(keys: NDArray[np.int64], values: NDArray[np.integer], asked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the value of each key that is asked for, 0 without one."""
    if not len(keys):
        return np.zeros(len(asked))
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys, asked, sorter=order), len(keys) - 1)]
    return np.where(keys[at] == asked, values[at], 0).astype(np.float64)
