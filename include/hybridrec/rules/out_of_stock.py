"""Never recommend unavailable items."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hybridrec.rules import Kind, RuleContext

DOC = "Drops items that the catalogue marks as not available."
KIND = Kind.FILTER


def apply(ranked: pd.DataFrame, context: RuleContext) -> pd.DataFrame:
    """Return the rows whose item is available."""
    available = context.items["is_available"].to_numpy(dtype=bool)
    return ranked.take(np.flatnonzero(available[ranked["item_idx"].to_numpy()]))
