"""Keep one category from taking the whole list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridrec.rules import Kind, RuleContext

DOC = "Limits the share of a list that one main category may take."
KIND = Kind.CAP


@dataclass(frozen=True)
class Config:
    """Options.

    max_share: largest share of the k positions for one category; at least one position stays.
    """

    max_share: float = 0.5


def apply(ranked: pd.DataFrame, context: RuleContext, config: Config) -> pd.DataFrame:
    """Return each user's best items of every main category, as many as the cap lets through; no category, no cap."""
    most = max(int(config.max_share * context.k), 1)
    category = _main_categories(context.items)[ranked["item_idx"].to_numpy()]
    position = ranked.groupby([ranked["user_idx"].to_numpy(), category]).cumcount().to_numpy()
    return ranked.take(np.flatnonzero((position < most) | (category < 0)))


def _main_categories(items: pd.DataFrame) -> np.ndarray:
    """Return the number of each item's first category, -1 for an item without any."""
    codes, _ = pd.factorize(np.array([next(iter(categories), None) for categories in items["categories"]], dtype=object))
    return codes
