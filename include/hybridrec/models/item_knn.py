"""Items that are chosen by the same users as the items of the history.

Sarwar, Karypis, Konstan and Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001; the
top-n form of Deshpande and Karypis, TOIS 2004, with a shrunk cosine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix, csr_array, csr_matrix, vstack

from hybridrec.errors import BadData
from hybridrec.models import Floats, Ints, Neighbours, TrainingData, UserBlock
from hybridrec.retrieval.select import contenders, leave_out, rank_pairs, row_blocks, row_numbers
from hybridrec.retrieval.sparse import as_csr, empty_csr, load_csr, one_hot, save_csr, score_sparse, top_k_sparse

DOC = "Items chosen by the same users as those of the history (item-item neighbours)."
BECAUSE = "people who chose what you chose also chose it"
BECAUSE_OF = "people who chose {title} also chose it"
REQUIRED = False
WEIGHTINGS = ("cosine", "tfidf", "bm25")


@dataclass(frozen=True)
class Config:
    """neighbours: kept per item. shrinkage: added to the product of norms, so that few common users count little."""

    weighting: str = "bm25"
    neighbours: int = 200
    shrinkage: float = 5.0


class Model:
    """One row of neighbours per item; a user's score is the history times these rows."""

    def __init__(self, config: Config) -> None:
        if config.weighting not in WEIGHTINGS:
            raise BadData(f"[models.item_knn]: weighting is {config.weighting!r}; choose from {', '.join(WEIGHTINGS)}")
        self.config = config
        self.neighbours = empty_csr()

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Find each item's nearest items."""
        columns = _weighted(data.matrix, self.config.weighting)
        self.neighbours = _nearest(columns, self.config.neighbours, self.config.shrinkage)
        return {"neighbours_per_item": self.neighbours.nnz / self.neighbours.shape[0]}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items nearest to the history."""
        return top_k_sparse(users.history, self.neighbours, users.history, k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Sums of similarity; 0 where nothing is shared, NaN without history or for an item without neighbours."""
        scores = score_sparse(users.history, self.neighbours, rows, items)
        reachable = np.bincount(self.neighbours.indices, minlength=self.neighbours.shape[1]) > 0
        known = np.diff(users.history.indptr)[rows] > 0
        return np.where(known & reachable[items], scores, np.float32(np.nan))

    def similar(self, items: Ints, k: int) -> Neighbours:
        """The k nearest items of each given item, best first."""
        themselves = one_hot(items, self.neighbours.shape[0])
        return top_k_sparse(themselves, self.neighbours, themselves, k)

    def save(self, folder: Path) -> None:
        """The sparse matrix of neighbours."""
        save_csr(self.neighbours, folder, "neighbours")

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """The saved neighbours, mapped."""
        model = cls(config)
        model.neighbours = load_csr(folder, "neighbours")
        return model


def _weighted(matrix: csr_array, weighting: str) -> csr_array:
    """The matrix turned to items x users, its values weighted."""
    from implicit.nearest_neighbours import bm25_weight, tfidf_weight

    weigh: dict[str, Callable[[coo_matrix], coo_matrix]] = {"cosine": lambda m: m, "tfidf": tfidf_weight, "bm25": bm25_weight}
    return as_csr(weigh[weighting](csr_matrix(matrix).T.tocoo()))


def _nearest(by_item: csr_array, n_neighbours: int, shrinkage: float) -> csr_array:
    """Shrunk cosines of items with their nearest other items, csr (n_items, n_items), blocks of items at a time."""
    norms = np.sqrt(by_item.power(2).sum(axis=1)).astype(np.float32)  # (n_items,)
    by_user = by_item.T.tocsr()
    blocks = [_nearest_of(by_item[rows] @ by_user, rows, norms, n_neighbours, shrinkage) for rows in row_blocks(len(norms), len(norms))]
    return as_csr(vstack(blocks, format="csr"))


def _nearest_of(product: csr_array, rows: slice, norms: Floats, n_neighbours: int, shrinkage: float) -> csr_array:
    n_rows, n_items = product.shape
    row = row_numbers(product)
    scores = np.full(product.shape, -np.inf, dtype=np.float32)
    scores[row, product.indices] = product.data / (norms[rows][row] * norms[product.indices] + np.float32(shrinkage))
    leave_out(scores, one_hot(np.arange(rows.start, rows.stop, dtype=np.int32), n_items))
    scores[scores <= 0] = -np.inf
    pairs = contenders(scores, n_neighbours)
    best = rank_pairs(pairs, scores[pairs], n_rows, min(n_neighbours, n_items))
    found = best.items >= 0
    nearest = csr_array((best.scores[found], (np.nonzero(found)[0], best.items[found])), shape=product.shape)
    return as_csr(nearest)
