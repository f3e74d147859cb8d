"""Matrix factorisation for implicit feedback by alternating least squares.

Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008: a preference of 1 for
every pair with an event, 0 otherwise, at confidence 1 + alpha * weight. The pull towards 0 grows with the number of a
user's or item's pairs, as in Rendle, Krichene, Zhang and Koren, "Revisiting the performance of iALS on item
recommendation benchmarks", RecSys 2022, there in proportion, here with the square root: one setting then fits sparse and
dense data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix

from hybridrec.base.errors import PermanentError
from hybridrec.retrieval.dot import DotProductModel, Vectors, items_with_events
from hybridrec.retrieval.exact import score_dot
from hybridrec.retrieval.select import row_numbers
from hybridrec.types import Floats, Log, OneOf, TrainingData

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

DOC = "Latent factors of users and items (implicit feedback ALS)."
BECAUSE = "people with a history like yours chose it"
BECAUSE_OF = "because you chose {title}"
REQUIRED = False
SEARCH = {"alpha": Log(1.0, 100.0), "regularization": Log(0.5, 50.0), "factors": OneOf((32, 64, 128, 256))}
ENGINES = ("implicit", "spark")
INITIAL = 0.01  # the largest factor to begin with
NEGLIGIBLE = 1e-8  # smaller factors fade on through denormal numbers, which take some fifty times as long to multiply
STEPS_PER_DOUBLING = 2  # rows whose numbers of pairs differ by less than half this much share one regularisation
CHECKPOINT_EVERY = 5  # iterations; the plan of ten already fills the stack of Spark's threads
BLOCKS = 4  # of users and of items in Spark; part of the result, so it is not left to the cluster


@dataclass(frozen=True)
class Config:
    """Options.

    factors: length of the vectors.
    alpha: confidence that a weight of 1 adds.
    regularization: pull towards 0 of a user or item with one pair; it grows with the root of the number of pairs.
    iterations: alternations between users and items.
    engine: `implicit` fits in this process, `spark` on the cluster if the matrix is too large for one process. Both give nearly the
    same lists, but a cluster adds up sums in no fixed order, so only `implicit` repeats its files to the byte.
    """

    factors: int = 128
    alpha: float = 5.0
    regularization: float = 4.0
    iterations: int = 15
    engine: str = "implicit"


class Model(DotProductModel[Config]):
    """User and item vectors; their product is the predicted preference."""

    def __init__(self, config: Config) -> None:
        if config.engine not in ENGINES:
            raise PermanentError(f"[models.als]: engine is {config.engine!r}; choose from {', '.join(ENGINES)}")
        super().__init__(config)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Factorise the matrix of confidences."""
        factorise = _by_spark if self.config.engine == "spark" else _by_implicit
        users, items = factorise(data, self.config)
        self.vectors = Vectors(users, items, items_with_events(data.matrix))
        return {"loss": _loss(data.matrix, users, items, self.config)}


class Group(NamedTuple):
    """Users or items with about the same number of pairs. confidence: csr (n_rows, n_others)."""

    rows: NDArray[np.intp]
    confidence: csr_matrix
    regularization: float


def _by_implicit(data: TrainingData, config: Config) -> tuple[Floats, Floats]:
    """Return least squares of the users and of the items in turn; the library's solver knows one regularisation a call."""
    from implicit.cpu.als import AlternatingLeastSquares

    solve = AlternatingLeastSquares(factors=config.factors).solver
    confidence = csr_matrix(data.matrix, copy=True)
    confidence.data = 1 + config.alpha * confidence.data
    of_users, of_items = (_groups(rows, config.regularization) for rows in (confidence, confidence.T.tocsr()))
    rng = np.random.default_rng(data.seed)
    users, items = (_initial(groups, (n, config.factors), rng) for groups, n in zip((of_users, of_items), data.matrix.shape, strict=True))
    for _ in range(config.iterations):
        for own, other, groups in ((users, items, of_users), (items, users, of_items)):
            for rows, confidences, regularization in groups:
                solved = own[rows]
                solve(confidences, solved, other, regularization, num_threads=data.threads)
                solved[np.abs(solved) < NEGLIGIBLE] = 0
                own[rows] = solved
    return users, items


def _groups(confidence: csr_matrix, regularization: float) -> list[Group]:
    """Return the rows with pairs by the number of these, on a scale of logarithms."""
    n_pairs = np.diff(confidence.indptr)
    step = np.round(STEPS_PER_DOUBLING * np.log2(np.maximum(n_pairs, 1)))
    members = [np.flatnonzero((n_pairs > 0) & (step == value)) for value in np.unique(step)]
    return [Group(rows, confidence[rows], regularization * float(np.sqrt(n_pairs[rows].mean()))) for rows in members if len(rows)]


def _initial(groups: list[Group], shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return small random factors; zeros without a pair."""
    factors = np.zeros(shape, dtype=np.float32)
    for group in groups:
        factors[group.rows] = INITIAL * rng.random((len(group.rows), shape[1]), dtype=np.float32)
    return factors


def _by_spark(data: TrainingData, config: Config) -> tuple[Floats, Floats]:
    """Return the same by Spark ML; only the pairs go there and only the factors come back."""
    import pyarrow as pa
    from pyspark.ml.recommendation import ALS

    from hybridrec.execution.spark import session

    n_users, n_items = data.matrix.shape
    rows, items = row_numbers(data.matrix).astype(np.int32), data.matrix.indices
    columns = {"user": rows, "item": items, "weight": data.matrix.data}
    pairs = session().createDataFrame(pa.table(columns))  # before the solver, which asks what kind of session there is
    solver = ALS(userCol="user", itemCol="item", ratingCol="weight", implicitPrefs=True, seed=data.seed)
    solver.setRank(config.factors).setMaxIter(config.iterations).setAlpha(config.alpha)
    solver.setNumBlocks(BLOCKS).setCheckpointInterval(CHECKPOINT_EVERY)
    # Spark multiplies it by the number of pairs, not by its root; for the pair in the middle both engines pull alike
    solver.setRegParam(config.regularization / (_pairs_beside(rows) * _pairs_beside(items)) ** 0.25)
    model = solver.fit(pairs)
    return _factors(model.userFactors, n_users, config.factors), _factors(model.itemFactors, n_items, config.factors)


def _pairs_beside(rows: NDArray[np.integer]) -> float:
    """Return the number of pairs in the row of a pair, mean over the pairs."""
    n_pairs = np.bincount(rows)
    return float((n_pairs**2).sum() / n_pairs.sum())


def _factors(frame: DataFrame, n_rows: int, n_factors: int) -> Floats:
    """Return rows (id, features) as a matrix (n_rows, n_factors); zeros for who had no pair."""
    factors = frame.toArrow().combine_chunks()
    matrix = np.zeros((n_rows, n_factors), dtype=np.float32)
    matrix[factors["id"].to_numpy()] = factors["features"].combine_chunks().flatten().to_numpy().reshape(-1, n_factors)
    return matrix


def _loss(matrix: csr_array, users: Floats, items: Floats, config: Config) -> float:
    """Return mean squared error over all pairs of user and item, each times its confidence."""
    scores = score_dot(users, items, row_numbers(matrix), matrix.indices).astype(np.float64)
    of_events = ((1 + config.alpha * matrix.data) * (1 - scores) ** 2 - scores**2).sum()
    of_all = ((users.T @ users).astype(np.float64) * (items.T @ items)).sum()  # the sum of all squared scores
    return float((of_events + of_all) / (len(users) * len(items)))
