"""Rank items by their recent users, each fading with the age of the choice.

Exponential decay as in Ding and Li, "Time weight collaborative filtering", CIKM 2005, without the neighbours. News live for hours
and films for weeks, so a run holds out the newest choices of its ranker split and takes the half-life that ranks them best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.base.config import Options
from hybridrec.models import popularity
from hybridrec.splitting.fading import best_half_life, faded_counts
from hybridrec.types import TrainingData

DOC = "Number of users who chose the item lately."
BECAUSE = "people choose it a lot these days"
REQUIRED = False


@dataclass(frozen=True)
class Config:
    """Options.

    half_life_days: age before the cut at which a choice counts half; 0: what ranks the newest choices best.
    usual_days: the half-life unless another one is better by more than chance.
    """

    half_life_days: float = 0.0
    usual_days: float = 14.0


def decide(data: TrainingData, config: Config) -> Options:
    """Return the half-life; nothing if it is set by hand, or times of events mean nothing."""
    if config.half_life_days or data.split != "time":
        return {}
    return {"half_life_days": best_half_life(data.matrix, data.last_event_day, config.usual_days)}


class Model(popularity.Model):
    """Items by decayed number of users; an item without events has no score."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.options = config

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Sum the decayed choices of each item."""
        half_life = self.options.half_life_days or self.options.usual_days
        self.scores = faded_counts(data.matrix.indices, data.last_event_day, half_life, data.matrix.shape[1])
        return {"items_with_events": float(np.count_nonzero(~np.isnan(self.scores))), "half_life_days": half_life}
