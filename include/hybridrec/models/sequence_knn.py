"""Find the items that people choose after those of the history, the newest ones first.

Item neighbours as in Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, but directed: a later
choice of the same user counts for an earlier item by how soon it followed, and the history by how recent its items are.
Garg, Gupta, Malhotra, Vig and Shroff, "Sequence and time aware neighborhood for session-based recommendations", SIGIR 2019,
weigh sessions so. Choices of equal age are one visit: they have no order and count both ways. Without times each user has one visit, and
plain co-occurrence is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.item_item import ItemItemModel, user_weights
from hybridrec.retrieval.kernels.arrays import Norms, Reach
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.recency import newer_visits
from hybridrec.retrieval.select import row_numbers
from hybridrec.retrieval.sparse import as_csr, column_sums, power, scaled
from hybridrec.types import Floats, Linear, Log, TrainingData, UserBlock

DOC = "Items that people choose after those of the history, soon after the newest ones first (sequential neighbours)."
BECAUSE = "people who chose what you chose went on to it"
BECAUSE_OF = "people who chose {title} went on to it"
REQUIRED = False
SEARCH = {
    "fading": Linear(0.0, 1.5),
    "backward": Linear(0.0, 1.0),
    "recency": Linear(0.0, 1.5),
    "shrinkage": Log(0.1, 30.0),
    "user_damping": Linear(0.0, 1.0),
    "rarity": Linear(0.1, 0.6),
}


@dataclass(frozen=True)
class Config:
    """Options.

    window: visits after an item within which another one counts as following.
    fading: an item that follows d visits later counts 1 / d**fading.
    backward: weight of a pair for its later item, relative to the earlier one.
    recency: an item of the history with n later visits counts 1 / (1 + n)**recency.
    neighbours: kept per item.
    shrinkage: users that are added to the product of norms, so that few common users count little.
    user_damping: a choice is divided by the length of its user's history to this power.
    rarity: exponent of the number of users of the recommended item; 0.5 is the cosine, less favours popular items.
    """

    window: int = 50
    fading: float = 0.25
    backward: float = 0.5
    recency: float = 0.75
    neighbours: int = 300
    shrinkage: float = 1.0
    user_damping: float = 0.25
    rarity: float = 0.3


class Model(ItemItemModel[Config]):
    """One row of followers per item; a user's score is the history, by recency, times these rows."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Find the items that follow each item."""
        by_visit, owner = visits(data)
        by_item, n_users = by_visit.T.tocsr(), column_sums(by_visit)
        damped = scaled(by_visit, user_weights(data.matrix, self.config.user_damping)[owner], np.ones_like(n_users))
        norms = Norms(power(n_users, 0.5), power(n_users, self.config.rarity), np.float32(self.config.shrinkage))
        firsts, ends = (np.searchsorted(owner, owner, side=side).astype(np.int64) for side in ("left", "right"))
        reach = Reach(firsts, ends, self._weights_ahead())
        self.neighbours = nearest(by_item, damped, self.config.neighbours, data.threads, norms, reach)
        return {"neighbours_per_item": self.neighbours.nnz / len(n_users)}

    def queries(self, users: UserBlock) -> csr_array:
        """Return the items of the history by recency."""
        weights = ((1.0 + newer_visits(users)) ** -self.config.recency).astype(np.float32)
        return csr_array((weights, users.history.indices, users.history.indptr), shape=users.history.shape)

    def _weights_ahead(self) -> Floats:
        """Return the weights of choices -window, ..., 0, ..., window visits ahead."""
        ahead = np.arange(-self.config.window, self.config.window + 1)
        counts = np.maximum(np.abs(ahead), 1) ** -self.config.fading
        return np.where(ahead < 0, self.config.backward * counts, counts).astype(np.float32)


class Visits(NamedTuple):
    """Everybody's visits, one user after the other, oldest first; choices of equal age are one visit.

    items: csr (n_visits, n_items), what was chosen. owner: of each visit, rising.
    """

    items: csr_array
    owner: NDArray[np.intp]


def visits(data: TrainingData) -> Visits:
    """Return all visits of the training data."""
    users = row_numbers(data.matrix)
    everybody = np.arange(data.matrix.shape[0], dtype=np.int32)
    newer = newer_visits(UserBlock(everybody, data.matrix, data.last_event_day.astype(np.float32)))
    n_visits = np.zeros(len(everybody), dtype=np.int64)
    np.maximum.at(n_visits, users, newer + 1)
    visit = np.cumsum(n_visits)[users] - 1 - newer
    ones = np.ones(len(visit), dtype=np.float32)
    items = csr_array((ones, (visit, data.matrix.indices)), shape=(int(n_visits.sum()), data.matrix.shape[1]))
    return Visits(as_csr(items), np.repeat(everybody, n_visits))
