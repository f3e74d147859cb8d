"""Items that are chosen by the same users as the items of the history.

Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001, with a
shrunk cosine that need not treat both items alike: Aiolli, "Efficient top-N recommendation for very large scale binary
rated datasets", RecSys 2013. A choice counts less the more its user has, as in Deshpande and Karypis, TOIS 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.item_item import ItemItemModel, user_weights
from hybridrec.retrieval.kernels.arrays import Norms
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.sparse import column_sums, pattern, power, scaled
from hybridrec.types import Linear, Log, OneOf, TrainingData, UserBlock

DOC = "Items chosen by the same users as those of the history (item-item neighbours)."
BECAUSE = "people who chose what you chose also chose it"
BECAUSE_OF = "people who chose {title} also chose it"
REQUIRED = False
SEARCH = {
    "neighbours": Log(20, 1000),
    "shrinkage": Log(0.1, 30.0),
    "user_damping": Linear(0.0, 1.0),
    "rarity": Linear(0.1, 0.6),
    "weighted": OneOf((False, True)),
}


@dataclass(frozen=True)
class Config:
    """Options.

    neighbours: kept per item.
    shrinkage: users that are added to the product of norms, so that few common users count little.
    user_damping: a choice is divided by the length of its user's history to this power.
    rarity: exponent of the number of users of the recommended item; 0.5 is the cosine, less favours popular items.
    weighted: use the decayed weights; otherwise every choice counts 1.
    """

    neighbours: int = 300
    shrinkage: float = 1.0
    user_damping: float = 0.25
    rarity: float = 0.3
    weighted: bool = False


class Model(ItemItemModel[Config]):
    """One row of neighbours per item; a user's score is the history times these rows."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Find each item's nearest items."""
        every_item = np.ones(data.matrix.shape[1], np.float32)
        by_user = scaled(self._values(data.matrix), user_weights(data.matrix, self.config.user_damping), every_item)
        by_item = by_user.T.tocsr()
        squares = column_sums(by_user.power(2))
        norms = Norms(power(squares, 0.5), power(squares, self.config.rarity), np.float32(self.config.shrinkage))
        self.neighbours = nearest(by_item, by_user, self.config.neighbours, data.threads, norms)
        return {"neighbours_per_item": self.neighbours.nnz / len(squares)}

    def queries(self, users: UserBlock) -> csr_array:
        """Return the history, by weight if the fit was."""
        return self._values(users.history)

    def _values(self, matrix: csr_array) -> csr_array:
        return matrix if self.config.weighted else pattern(matrix)
