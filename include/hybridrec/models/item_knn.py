"""Items that are chosen by the same users as the items of the history.

Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001, with a
shrunk cosine that need not treat both items alike: Aiolli, "Efficient top-N recommendation for very large scale binary
rated datasets", RecSys 2013.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scipy.sparse import coo_matrix, csr_array, csr_matrix

from hybridrec.errors import BadData
from hybridrec.models import Linear, Log, OneOf, TrainingData, UserBlock
from hybridrec.retrieval.item_item import ItemItemModel, nearest, shrunk_cosines
from hybridrec.retrieval.sparse import as_csr, pattern, power, row_sums

DOC = "Items chosen by the same users as those of the history (item-item neighbours)."
BECAUSE = "people who chose what you chose also chose it"
BECAUSE_OF = "people who chose {title} also chose it"
REQUIRED = False
WEIGHTINGS = ("cosine", "tfidf", "bm25")
SEARCH = {
    "weighting": OneOf(WEIGHTINGS),
    "weighted": OneOf((False, True)),
    "neighbours": Log(20, 1000),
    "shrinkage": Log(0.1, 30.0),
    "rarity": Linear(0.1, 0.6),
}


@dataclass(frozen=True)
class Config:
    """Options.

    weighting: of the matrix before the cosine. weighted: use the decayed weights, or else every choice counts 1.
    neighbours: kept per item. shrinkage: added to the product of norms, so that few common users count little.
    rarity: exponent of the number of users of the item to be recommended: 0.5 is the cosine, less favours popular items.
    """

    weighting: str = "cosine"
    weighted: bool = False
    neighbours: int = 300
    shrinkage: float = 1.0
    rarity: float = 0.3


class Model(ItemItemModel[Config]):
    """One row of neighbours per item; a user's score is the history times these rows."""

    def __init__(self, config: Config) -> None:
        if config.weighting not in WEIGHTINGS:
            raise BadData(f"[models.item_knn]: weighting is {config.weighting!r}; choose from {', '.join(WEIGHTINGS)}")
        super().__init__(config)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Find each item's nearest items."""
        matrix = data.matrix if self.config.weighted else pattern(data.matrix)
        by_item = _weighted(matrix, self.config.weighting)  # (n_items, n_users)
        by_user = by_item.T.tocsr()
        squares = row_sums(by_item.power(2))
        own, other = power(squares, 0.5), power(squares, self.config.rarity)

        def nearness(rows: slice) -> csr_array:
            return shrunk_cosines(by_item[rows] @ by_user, own[rows], other, self.config.shrinkage)

        self.neighbours = nearest(nearness, len(own), self.config.neighbours)
        return {"neighbours_per_item": self.neighbours.nnz / len(own)}

    def queries(self, users: UserBlock) -> csr_array:
        """The history, by weight if the fit was."""
        return users.history if self.config.weighted else pattern(users.history)


def _weighted(matrix: csr_array, weighting: str) -> csr_array:
    """The matrix turned to items x users, its values weighted."""
    from implicit.nearest_neighbours import bm25_weight, tfidf_weight

    weigh: dict[str, Callable[[coo_matrix], coo_matrix]] = {"cosine": lambda m: m, "tfidf": tfidf_weight, "bm25": bm25_weight}
    return as_csr(weigh[weighting](csr_matrix(matrix).T.tocoo()))
