"""Never recommend what the user has had."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridrec.retrieval.sparse import in_history
from hybridrec.rules import Kind, RuleContext

DOC = "Drops items that the user has had, liked or not."
KIND = Kind.FILTER


def apply(ranked: pd.DataFrame, context: RuleContext) -> pd.DataFrame:
    """Return the rows whose pair the user has neither had nor disliked."""
    rows = np.searchsorted(context.users, ranked["user_idx"].to_numpy())
    items = ranked["item_idx"].to_numpy()
    had = in_history(context.seen if context.had is None else context.had, rows, items)
    if context.disliked is not None:
        had |= in_history(context.disliked, rows, items)
    return ranked.take(np.flatnonzero(~had))
