"""Give new items a chance before they have a history of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hybridrec.candidates.groups import spread, starts_of
from hybridrec.rules import Kind, RuleContext

DOC = "Raises items that are new; the newer, the more."
KIND = Kind.BOOST


@dataclass(frozen=True)
class Config:
    """Options.

    days: age at which the boost has faded out.
    strength: standard deviations of the user's scores that are added at age 0.
    """

    days: float = 30.0
    strength: float = 0.5


def apply(ranked: pd.DataFrame, context: RuleContext, config: Config) -> pd.DataFrame:
    """Return the same rows; the boost is in units of each user's spread, so it means the same for any model's scores."""
    age = context.items["item_age_days"].to_numpy(dtype=np.float64)[ranked["item_idx"].to_numpy()]
    newness = np.clip(1.0 - np.maximum(age, 0.0) / config.days, 0.0, 1.0)
    boost = config.strength * np.nan_to_num(newness)
    return ranked.assign(score=ranked["score"].to_numpy() + boost * _deviation(ranked))


def _deviation(ranked: pd.DataFrame) -> np.ndarray:
    """Return standard deviation of each row's user's scores, 0 for a single row."""
    scores, starts = ranked["score"].to_numpy(dtype=np.float64), starts_of(ranked["user_idx"].to_numpy())
    if len(starts) == 1:
        return np.zeros(0)
    sizes = np.diff(starts)
    centred = scores - spread(np.add.reduceat(scores, starts[:-1]) / sizes, starts)
    return spread(np.sqrt(np.add.reduceat(centred**2, starts[:-1]) / sizes), starts)
