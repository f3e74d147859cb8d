"""Never recommend what the user has had."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.rules import Kind, RuleContext

DOC = "Drops items of the user's history, liked or not."
KIND = Kind.FILTER


def apply(ranked: pd.DataFrame, context: RuleContext) -> pd.DataFrame:
    """The rows whose pair is neither in the history nor disliked."""
    rows = np.searchsorted(context.users, ranked["user_idx"].to_numpy())
    items = ranked["item_idx"].to_numpy()
    had = in_history(context.seen, rows, items)
    if context.disliked is not None:
        had |= in_history(context.disliked, rows, items)
    return ranked.take(np.flatnonzero(~had))


def in_history(seen: csr_array, rows: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each pair (row of `seen`, item) is stored in it; the arrays may have any, equal shape."""
    n_items = np.int64(seen.shape[1])
    stored = np.repeat(np.arange(seen.shape[0], dtype=np.int64), np.diff(seen.indptr)) * n_items + seen.indices
    if not len(stored):
        return np.zeros(items.shape, dtype=bool)
    asked = rows * n_items + items
    place = np.searchsorted(stored, asked)  # stored is sorted: rows rise, indices rise within a row
    return np.asarray(stored[np.minimum(place, len(stored) - 1)] == asked)
