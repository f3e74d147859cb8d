"""Choices smoothed over the graph of users and items: near neighbours plus the slow waves of the whole graph.

Shen, Wu, Zhang, Shan, Zhang, Letaief and Li, "How powerful is graph convolution for recommendation?", CIKM 2021 (GF-CF): a
linear filter, which is the normalised co-occurrence of items, plus an ideal low-pass filter, which is the projection on the
graph's strongest directions. Nothing is learnt, so a fit takes seconds. The paper normalises users and items by the square
root of their degree; milder powers serve data with few choices a user better.

Kim, Sung, Han and Lee, "Graph spectral filtering with Chebyshev interpolation for recommendation", SIGIR 2025 (ChebyCF): in place of the
line a curve that is flat in the middle, so that middle frequencies count more. The paper interpolates the curve by a polynomial of the
graph. Here it is exact on the strongest directions, which are known anyway, and its tangent at 0 on all others, so lists take no longer.
With a flatness of 1 it is GF-CF's line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.dot import Vectors, no_vectors
from hybridrec.retrieval.exact import score_dot, search
from hybridrec.retrieval.item_item import ItemItemModel
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.select import empty_lists, spread
from hybridrec.retrieval.sparse import arrays_of, column_sums, pattern, power, row_sums, scaled, score_sparse
from hybridrec.retrieval.spectrum import main_directions
from hybridrec.types import Floats, Ints, Linear, Log, Neighbours, OneOf, TrainingData, UserBlock

DOC = "Choices smoothed over the graph of users and items (linear and low-pass graph filter)."
BECAUSE = "it lies close to your choices in the graph of who chose what"
BECAUSE_OF = "it lies close to {title} in the graph of who chose what"
REQUIRED = False
SEARCH = {
    "low_pass": Log(0.05, 3.0),
    "factors": Log(32, 512),
    "user_damping": Linear(0.0, 0.6),
    "item_damping": Linear(0.2, 0.6),
    "flatness": OneOf((1.0, 1.5)),
}


@dataclass(frozen=True)
class Config:
    """Options.

    low_pass: weight of the low-frequency part beside the neighbours.
    factors: number of low frequencies.
    user_damping: exponent of the users' degrees by which the graph is normalised; 0.5 in the paper.
    item_damping: exponent of the items' degrees by which the graph is normalised; 0.5 in the paper.
    flatness: of the curve from frequencies to weights in its middle; 1 is a line, as in GF-CF, 1.5 to 2 in ChebyCF.
    neighbours: kept per item.
    """

    low_pass: float = 0.5
    factors: int = 128
    user_damping: float = 0.25
    item_damping: float = 0.4
    flatness: float = 1.0
    neighbours: int = 1000


class Model(ItemItemModel[Config]):
    """Neighbours as in every item-item model, and two dense matrices for the slow waves, so nothing is items x items.

    waves: `users` holds what a choice of an item adds to a user's vector, `items` what an item's score is read off with,
    both float32 (n_items, n_factors).
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.waves = no_vectors()

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Build both filters."""
        matrix = pattern(data.matrix)
        users, items = row_sums(matrix), column_sums(matrix)
        graph = scaled(matrix, power(users, -self.config.user_damping), power(items, -self.config.item_damping))
        waves = main_directions(graph, self.config.factors, data.seed)
        graph.data /= waves.strengths[0]  # then the linear filter's largest eigenvalue is 1, as is that of the low-pass filter
        self.neighbours = nearest(graph.T.tocsr(), graph, self.config.neighbours, data.threads)
        self.neighbours.data *= np.float32(self.config.flatness)  # as steep as the curve is at 0
        damping = power(items, self.config.item_damping)[:, None]
        inwards = waves.items * power(items, -self.config.item_damping)[:, None]
        self.waves = Vectors(inwards, self._gains(waves.strengths) * waves.items * damping, items > 0)
        return {"neighbours_per_item": self.neighbours.nnz / len(items)}

    def _gains(self, strengths: Floats) -> Floats:
        """Return the weights of the waves, float32 (n_factors,): the low-pass part, and what the curve has beyond the linear filter."""
        frequencies = np.square(strengths / strengths[0], dtype=np.float64)
        flat = self.config.flatness
        from_middle = 1 - 2 * frequencies
        curve = 0.5 - 0.5 * np.sign(from_middle) * np.abs(from_middle) ** flat
        gains: Floats = (self.config.low_pass + curve - flat * frequencies).astype(np.float32)
        return gains

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items of the highest smoothed value; an empty list without history."""
        known = np.flatnonzero(np.diff(users.history.indptr))
        return spread(self._top_k(self.queries(users)[known], k), known, len(users.user_idx))

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return smoothed values; NaN without history or for an item without events."""
        chosen = self.queries(users)
        scores = score_sparse(chosen, self.neighbours, rows, items) + score_dot(chosen @ self.waves.users, self.waves.items, rows, items)
        known = np.diff(chosen.indptr)[rows] > 0
        return np.where(known & self.waves.scorable[items], scores, np.float32(np.nan))

    def save(self, folder: Path) -> None:
        """Write the neighbours and the low frequencies."""
        super().save(folder)
        self.waves.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Config) -> Self:
        """Return the saved arrays, mapped."""
        model = super().load(folder, config)
        model.waves = Vectors.load(folder)
        return model

    def _top_k(self, chosen: csr_array, k: int) -> Neighbours:
        """Return neighbours of the history, and the best by the low frequencies alone: all other items are below the latter."""
        from hybridrec.retrieval.kernels import sums

        vectors = chosen @ self.waves.users  # (n_rows, n_factors)
        others = search(vectors, self.waves.catalogue, chosen, k)
        best = empty_lists(chosen.shape[0], k)
        history, neighbours = arrays_of(chosen), arrays_of(self.neighbours)
        sums.best_sums_and_dots(history, neighbours, history, vectors, self.waves.items, others.items, best.items, best.scores)
        return best
