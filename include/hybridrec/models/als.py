"""Matrix factorisation for implicit feedback by alternating least squares.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008: a preference of 1 for
every pair with an event, 0 otherwise, at confidence 1 + alpha * weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from hybridrec.errors import BadData
from hybridrec.models import Floats, Log, OneOf, TrainingData
from hybridrec.retrieval.dot import DotProductModel, Vectors, known_items, score_dot
from hybridrec.retrieval.select import row_numbers

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DOC = "Latent factors of users and items (implicit feedback ALS)."
BECAUSE = "people with a history like yours chose it"
BECAUSE_OF = "because you chose {title}"
REQUIRED = False
SEARCH = {"alpha": Log(1.0, 100.0), "regularization": Log(1.0, 300.0), "factors": OneOf((32, 64, 128, 256))}
ENGINES = ("implicit", "spark")
NEGLIGIBLE = 1e-12  # smaller factors fade on through denormal numbers, which take some fifty times as long to multiply
CHECKPOINT_EVERY = 5  # iterations; the plan of ten already fills the stack of Spark's threads
BLOCKS = 4  # of users and of items in Spark; part of the result, so it is not left to the cluster


@dataclass(frozen=True)
class Config:
    """Options.

    factors: length of the vectors. alpha: confidence that a weight of 1 adds. regularization: pull towards 0. engine:
    `implicit` in this process, or `spark` where the matrix is too large for one; the same data gives nearly the same lists,
    but sums over a cluster come in no fixed order, so only `implicit` repeats its files to the byte.
    """

    factors: int = 64
    alpha: float = 10.0
    regularization: float = 30.0
    iterations: int = 15
    engine: str = "implicit"


class Model(DotProductModel[Config]):
    """User and item vectors; their product is the predicted preference."""

    def __init__(self, config: Config) -> None:
        if config.engine not in ENGINES:
            raise BadData(f"[models.als]: engine is {config.engine!r}; choose from {', '.join(ENGINES)}")
        super().__init__(config)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Factorise the matrix of confidences."""
        factorise = _by_spark if self.config.engine == "spark" else _by_implicit
        users, items = factorise(data, self.config)
        self.vectors = Vectors(users, items, known_items(data.matrix))
        return {"loss": _loss(data.matrix, users, items, self.config)}


def _by_implicit(data: TrainingData, config: Config) -> tuple[Floats, Floats]:
    from implicit.cpu.als import AlternatingLeastSquares

    confidence = csr_matrix(data.matrix, copy=True)
    confidence.data = 1 + config.alpha * confidence.data
    solver = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularization,
        iterations=config.iterations,
        num_threads=data.threads,
        random_state=data.seed,
    )

    def drop_negligible(_iteration: int, _seconds: float, _loss: float | None) -> None:
        for factors in (solver.user_factors, solver.item_factors):
            factors[np.abs(factors) < NEGLIGIBLE] = 0

    solver.fit(confidence, show_progress=False, callback=drop_negligible)
    return solver.user_factors, solver.item_factors


def _by_spark(data: TrainingData, config: Config) -> tuple[Floats, Floats]:
    """The same by Spark ML; only the pairs go there and only the factors come back."""
    import pyarrow as pa
    from pyspark.ml.recommendation import ALS

    from hybridrec.spark import session

    n_users, n_items = data.matrix.shape
    columns = {"user": row_numbers(data.matrix).astype(np.int32), "item": data.matrix.indices, "weight": data.matrix.data}
    pairs = session().createDataFrame(pa.table(columns))  # before the solver, which asks what kind of session there is
    solver = ALS(userCol="user", itemCol="item", ratingCol="weight", implicitPrefs=True, seed=data.seed, numUserBlocks=BLOCKS)
    solver.setCheckpointInterval(CHECKPOINT_EVERY).setRank(config.factors).setMaxIter(config.iterations).setAlpha(
        config.alpha
    ).setNumItemBlocks(BLOCKS)
    # Spark multiplies it by the number of pairs of each user and item; on average both engines pull alike
    solver.setRegParam(config.regularization / np.sqrt(_mean_pairs(data.matrix) * _mean_pairs(data.matrix.T.tocsr())))
    model = solver.fit(pairs)
    return _factors(model.userFactors, n_users, config.factors), _factors(model.itemFactors, n_items, config.factors)


def _mean_pairs(matrix: csr_array) -> float:
    """Stored pairs a row, of the rows that have any."""
    return matrix.nnz / max(1, int(np.count_nonzero(np.diff(matrix.indptr))))


def _factors(frame: DataFrame, n_rows: int, n_factors: int) -> Floats:
    """Rows (id, features) as a matrix (n_rows, n_factors); zeros for who had no pair."""
    found = frame.toArrow().combine_chunks()
    matrix = np.zeros((n_rows, n_factors), dtype=np.float32)
    matrix[found["id"].to_numpy()] = found["features"].combine_chunks().flatten().to_numpy().reshape(-1, n_factors)
    return matrix


def _loss(matrix: csr_array, users: Floats, items: Floats, config: Config) -> float:
    """Mean squared error over all pairs of user and item, each times its confidence."""
    scores = score_dot(users, items, row_numbers(matrix), matrix.indices).astype(np.float64)
    of_events = ((1 + config.alpha * matrix.data) * (1 - scores) ** 2 - scores**2).sum()
    of_all = ((users.T @ users).astype(np.float64) * (items.T @ items)).sum()  # the sum of all squared scores
    return float((of_events + of_all) / (len(users) * len(items)))
