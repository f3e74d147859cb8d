"""Rank items by their number of users over all time: the baseline and a late fallback tier.

See Cremonesi, Koren and Turrin, "Performance of recommender algorithms on top-n recommendation tasks", RecSys 2010.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridrec.retrieval.order import first_unseen
from hybridrec.types import Floats, Ints, Neighbours, TrainingData, UserBlock

DOC = "Number of users who chose the item, over all time."
BECAUSE = "many people chose it"
REQUIRED = True


@dataclass(frozen=True)
class Config:
    """Popularity has no options."""


class Model:
    """Items by number of users; the whole catalogue is ranked, items without events come last."""

    def __init__(self, config: object) -> None:
        self.config = config
        self.scores: Floats = np.zeros(0, dtype=np.float32)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Count the users of each item."""
        n_items = data.matrix.shape[1]
        self.scores = np.bincount(data.matrix.indices, minlength=n_items).astype(np.float32)
        return {"items_with_events": float(np.count_nonzero(self.scores))}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k most popular unseen items, also for users without history."""
        return first_unseen(self.scores, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return the items' scores, the same for every user."""
        return self.scores[items]

    def save(self, folder: Path) -> None:
        """Write one array."""
        np.save(folder / "scores.npy", self.scores, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, config: object) -> Model:
        """Return the saved scores, mapped."""
        model = cls(config)
        model.scores = np.load(folder / "scores.npy", mmap_mode="r", allow_pickle=False)
        return model
