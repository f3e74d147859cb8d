"""Never recommend what the user has had."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridrec.rules import Kind, RuleContext

DOC = "Drops items of the user's history."
KIND = Kind.FILTER


def apply(ranked: pd.DataFrame, context: RuleContext) -> pd.DataFrame:
    """The rows whose pair is not in the history."""
    n_items = np.int64(context.seen.shape[1])
    rows = np.repeat(np.arange(len(context.users), dtype=np.int64), np.diff(context.seen.indptr))
    had = rows * n_items + context.seen.indices  # sorted: rows rise, indices rise within a row
    asked = np.searchsorted(context.users, ranked["user_idx"]) * n_items + ranked["item_idx"].to_numpy()
    place = np.minimum(np.searchsorted(had, asked), max(len(had) - 1, 0))
    is_seen = had[place] == asked if len(had) else np.zeros(len(asked), dtype=bool)
    return ranked.take(np.flatnonzero(~is_seen))
