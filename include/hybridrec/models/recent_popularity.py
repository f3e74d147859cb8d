"""Rank items by their recent users, each fading with the age of the choice.

Exponential decay as in Ding and Li, "Time weight collaborative filtering", CIKM 2005, without the neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.models import popularity
from hybridrec.types import Log, TrainingData

DOC = "Number of users who chose the item lately."
BECAUSE = "people choose it a lot these days"
REQUIRED = False
SEARCH = {"half_life_days": Log(1.0, 365.0)}


@dataclass(frozen=True)
class Config:
    """Options.

    half_life_days: age before the cut at which a choice counts half.
    """

    half_life_days: float = 14.0


class Model(popularity.Model):
    """Items by decayed number of users; an item without events has no score."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.half_life_days = config.half_life_days

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Sum the decayed choices of each item."""
        n_items = data.matrix.shape[1]
        recency = 0.5 ** (data.last_event_day / self.half_life_days)
        sums = np.bincount(data.matrix.indices, weights=recency, minlength=n_items)
        chosen = np.bincount(data.matrix.indices, minlength=n_items) > 0
        self.scores = np.where(chosen, sums, np.nan).astype(np.float32)
        return {"items_with_events": float(np.count_nonzero(chosen))}
