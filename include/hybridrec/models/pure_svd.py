"""The history projected on the main directions of the matrix of choices.

Cremonesi, Koren and Turrin, "Performance of recommender algorithms on top-n recommendation tasks", RecSys 2010; the matrix
is scaled by powers of the users' and items' sizes first, as in Nikolakopoulos, Kalantzis, Gallopoulos and Garofalakis,
"EigenRec: generalizing PureSVD for effective and efficient top-N recommendations", KAIS 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.retrieval.dot import DotProductModel, Vectors
from hybridrec.retrieval.sparse import column_sums, pattern, power, row_sums, scaled
from hybridrec.retrieval.spectrum import main_directions
from hybridrec.types import Floats, Ints, Linear, Log, OneOf, TrainingData, UserBlock

DOC = "The history as seen along the main directions of all histories (truncated SVD)."
BECAUSE = "it fits the overall pattern of your choices"
REQUIRED = False
SEARCH = {
    "factors": Log(16, 256),
    "user_damping": Linear(0.0, 0.5),
    "item_damping": Linear(0.0, 0.5),
    "weighted": OneOf((False, True)),
}


@dataclass(frozen=True)
class Config:
    """Options.

    factors: directions that are kept.
    user_damping: a row is divided by its sum to this power, so that busy users do not fill the first directions; 0 is PureSVD as
    published.
    item_damping: a column is divided by its sum to this power, so that popular items do not fill the first directions; 0 is PureSVD as
    published.
    weighted: use the decayed weights; otherwise every choice counts 1.
    """

    factors: int = 64
    user_damping: float = 0.25
    item_damping: float = 0.25
    weighted: bool = False


class Model(DotProductModel[Config]):
    """Item vectors are the directions; a user's is the sum of those of the history."""

    N_FACTORS = 8

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Find the directions and project all users."""
        matrix = data.matrix if self.config.weighted else pattern(data.matrix)
        users, items = row_sums(matrix), column_sums(matrix)
        damped = scaled(matrix, power(users, -self.config.user_damping), power(items, -self.config.item_damping))
        directions = main_directions(damped, self.config.factors, data.seed)
        loadings = damped @ directions.items  # (n_users, n_factors)
        undamped = directions.items * power(items, self.config.item_damping)[:, None]
        self.vectors = Vectors(loadings, undamped, items > 0)
        return {"explained": float(np.square(directions.strengths).sum() / np.square(damped.data, dtype=np.float64).sum())}

    def pair_factors(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return products of the strongest factors; NaN without a score or such a factor."""
        products = np.full((len(rows), self.N_FACTORS), np.nan, dtype=np.float32)
        known = (np.diff(users.history.indptr)[rows] > 0) & self.vectors.scorable[items]
        of_users, of_items = self.vectors.users[:, : self.N_FACTORS], self.vectors.items[:, : self.N_FACTORS]
        products[known, : of_items.shape[1]] = of_users[users.user_idx[rows[known]]] * of_items[items[known]]
        return products
