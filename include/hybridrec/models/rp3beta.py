"""Items that a walk of three random steps, from the user over items and other users, ends at.

Paudel, Christoffel, Newell and Bernstein, "Updatable, accurate, diverse, and scalable recommendations for interactive
applications", TiiS 2017: the probabilities of the steps to the power alpha, the end divided by its popularity to the
power beta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.item_item import ItemItemModel
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.sparse import column_sums, pattern, power, row_sums, scaled
from hybridrec.types import Linear, Log, OneOf, TrainingData, UserBlock

DOC = "Items at the end of a random walk from the history over users with common choices."
BECAUSE = "people with choices like yours lead to it"
BECAUSE_OF = "people who chose {title} lead to it"
REQUIRED = False
SEARCH = {
    "alpha": Linear(0.3, 1.5),
    "beta": Linear(0.0, 1.0),
    "neighbours": Log(20, 1000),
    "weighted": OneOf((False, True)),
}


@dataclass(frozen=True)
class Config:
    """Options.

    alpha: exponent of the steps' probabilities.
    beta: strength of the correction for the popularity of the last item of a walk.
    neighbours: kept per item.
    weighted: use the decayed weights for the steps; otherwise every choice counts 1.
    """

    alpha: float = 0.7
    beta: float = 0.3
    neighbours: int = 300
    weighted: bool = False


class Model(ItemItemModel[Config]):
    """One row of ends per item: where two more steps lead."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Walk from every item to its users and on to their items."""
        matrix = data.matrix if self.config.weighted else pattern(data.matrix)
        users, items = row_sums(matrix), column_sums(matrix)
        step = csr_array((matrix.data**self.config.alpha, matrix.indices, matrix.indptr), shape=matrix.shape)
        to_users = scaled(step, np.ones_like(users), power(items, -self.config.alpha)).T.tocsr()  # (n_items, n_users)
        to_items = scaled(step, power(users, -self.config.alpha), power(items, -self.config.beta))
        self.neighbours = nearest(to_users, to_items, self.config.neighbours, data.threads)
        return {"neighbours_per_item": self.neighbours.nnz / len(items)}

    def queries(self, users: UserBlock) -> csr_array:
        """Return the first step; it is the same for all items of a user unless they are weighted."""
        return users.history if self.config.weighted else pattern(users.history)
