"""Matrix factorisation for implicit feedback by alternating least squares.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008: a preference of 1 for
every pair with an event, 0 otherwise, at confidence 1 + alpha * weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from hybridrec.models import TrainingData
from hybridrec.retrieval.dot import DotProductModel, Vectors

DOC = "Latent factors of users and items (implicit feedback ALS)."
BECAUSE = "people with a history like yours chose it"
BECAUSE_OF = "because you chose {title}"
REQUIRED = False


@dataclass(frozen=True)
class Config:
    """factors: length of the vectors. alpha: confidence that a weight of 1 adds. regularization: pull towards 0."""

    factors: int = 64
    alpha: float = 10.0
    regularization: float = 20.0
    iterations: int = 15


class Model(DotProductModel[Config]):
    """User and item vectors; their product is the predicted preference."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Factorise the matrix of confidences."""
        from implicit.cpu.als import AlternatingLeastSquares

        confidence = csr_matrix(data.matrix, copy=True)
        confidence.data = 1 + self.config.alpha * confidence.data
        solver = AlternatingLeastSquares(
            factors=self.config.factors,
            regularization=self.config.regularization,
            iterations=self.config.iterations,
            num_threads=data.threads,
            random_state=data.seed,
        )
        losses: list[float] = []
        solver.calculate_training_loss = True
        solver.fit(confidence, show_progress=False, callback=lambda _i, _s, loss: losses.append(float(loss)))
        known = np.bincount(data.matrix.indices, minlength=data.matrix.shape[1]) > 0
        self.vectors = Vectors(solver.user_factors, solver.item_factors, known)
        return {"loss": losses[-1]}
