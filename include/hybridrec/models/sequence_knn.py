"""What people choose after the items of the history, the newest items first.

Item neighbours as in Deshpande and Karypis, "Item-based top-N recommendation algorithms", TOIS 2004, but directed: a later
choice of the same user counts for an earlier item by how soon it followed, and the history by how recent its items are.
Garg, Gupta, Malhotra, Vig and Shroff, "Sequence and time aware neighborhood for session-based recommendations", SIGIR 2019,
weigh sessions so. Choices of equal age have no order and count both ways; where nothing is known of time, plain
co-occurrence is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.models import Floats, Linear, Log, TrainingData, UserBlock
from hybridrec.retrieval.item_item import ItemItemModel, nearest, shrunk_cosines
from hybridrec.retrieval.recency import newer_items
from hybridrec.retrieval.select import row_numbers
from hybridrec.retrieval.sparse import as_csr, column_sums, pattern, power

DOC = "Items that people choose after those of the history, soon after the newest ones first (sequential neighbours)."
BECAUSE = "people who chose what you chose went on to it"
BECAUSE_OF = "people who chose {title} went on to it"
REQUIRED = False
SEARCH = {
    "fading": Linear(0.0, 1.5),
    "backward": Linear(0.0, 1.0),
    "recency": Linear(0.0, 1.5),
    "shrinkage": Log(0.1, 30.0),
    "rarity": Linear(0.1, 0.6),
}


@dataclass(frozen=True)
class Config:
    """Options.

    window: choices that follow within so many count. fading: one that follows d choices later counts 1 / d**fading.
    backward: what a choice counts for the later of two items, compared with the earlier one. recency: an item of the history
    with n newer ones counts 1 / (1 + n)**recency. neighbours: kept per item. shrinkage: added to the product of norms.
    rarity: exponent of the number of users of the item to be recommended: 0.5 is the cosine, less favours popular items.
    """

    window: int = 50
    fading: float = 0.5
    backward: float = 0.5
    recency: float = 1.0
    neighbours: int = 300
    shrinkage: float = 1.0
    rarity: float = 0.3


class Model(ItemItemModel[Config]):
    """One row of followers per item; a user's score is the history, by recency, times these rows."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Find the items that follow each item."""
        by_place = items_by_place(data)
        by_item = by_place.T.tocsr()
        owner = row_numbers(data.matrix)
        reach = self._reach()
        n_users = column_sums(pattern(data.matrix))
        own, other = power(n_users, 0.5), power(n_users, self.config.rarity)

        def nearness(rows: slice) -> csr_array:
            followers = spread_over_places(by_item[rows], owner, reach) @ by_place
            return shrunk_cosines(followers, own[rows], other, self.config.shrinkage)

        self.neighbours = nearest(nearness, len(own), self.config.neighbours)
        return {"neighbours_per_item": self.neighbours.nnz / len(own)}

    def queries(self, users: UserBlock) -> csr_array:
        """The items of the history by recency."""
        weights = ((1.0 + newer_items(users)) ** -self.config.recency).astype(np.float32)
        return csr_array((weights, users.history.indices, users.history.indptr), shape=users.history.shape)

    def _reach(self) -> Floats:
        """What a choice counts that lies -window, ..., 0, ..., window places ahead."""
        ahead = np.arange(-self.config.window, self.config.window + 1)
        counts = np.maximum(np.abs(ahead), 1) ** -self.config.fading
        return np.where(ahead < 0, self.config.backward * counts, counts).astype(np.float32)


def items_by_place(data: TrainingData) -> csr_array:
    """Everybody's sequence, one user after the other, oldest first: csr (n_pairs, n_items).

    Pairs of equal age share one place and leave the others empty, so places are as far apart as choices are.
    """
    everybody = np.arange(data.matrix.shape[0], dtype=np.int32)
    newer = newer_items(UserBlock(everybody, data.matrix, data.last_event_day.astype(np.float32)))
    places = data.matrix.indptr[row_numbers(data.matrix) + 1] - 1 - newer
    ones = np.ones(len(places), dtype=np.float32)
    return as_csr(csr_array((ones, (places, data.matrix.indices)), shape=(data.matrix.nnz, data.matrix.shape[1])))


def spread_over_places(block: csr_array, owner: NDArray[np.intp], reach: Floats) -> csr_array:
    """Each stored place times `reach`, laid over the places around it that belong to the same user.

    block: csr (n_rows, n_places). owner: of each place, rising. reach: odd length, its middle stays in place.
    """
    n_places = block.shape[1]
    places = block.indices[:, None] + np.arange(len(reach)) - len(reach) // 2  # (nnz, len(reach))
    inside = (places >= 0) & (places < n_places) & (reach > 0)
    inside &= owner[np.clip(places, 0, n_places - 1)] == owner[block.indices][:, None]
    values = (block.data[:, None] * reach)[inside]
    ends = np.concatenate([[0], np.cumsum(inside.sum(axis=1))])[block.indptr]
    return csr_array((values, places[inside], ends), shape=block.shape)
