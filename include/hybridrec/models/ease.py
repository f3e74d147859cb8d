"""A linear model from the whole history to every item, solved in closed form.

Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019 (EASE): item weights that predict each item from the
others with the least squared error, under a ridge penalty. They are dense, so this model is for catalogues of up to some
15,000 items; more are refused, and the night goes on without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from hybridrec.errors import BadData
from hybridrec.models import Floats, Ints, Log, Neighbours, OneOf, TrainingData, UserBlock
from hybridrec.retrieval.select import NOT_ELIGIBLE, contenders, empty_lists, leave_out, rank_pairs, row_blocks, spread
from hybridrec.retrieval.sparse import one_hot, pattern

DOC = "All items weighed against the whole history at once (EASE, closed form)."
BECAUSE = "your choices taken together point to it"
BECAUSE_OF = "choosing {title} points to it"
REQUIRED = False
SMALL_BLOCK = 128
SEARCH = {"regularization": Log(0.5, 50.0), "weighted": OneOf((False, True))}


@dataclass(frozen=True)
class Config:
    """Options.

    regularization: the ridge penalty in units of a history's mean length (of its mean square, if weighted), so that one
    default serves data sets of any density. weighted: the decayed weights, or else every choice counts 1.
    max_items: the largest catalogue; a fit takes 4 * items**2 bytes, and time that grows with the cube.
    """

    regularization: float = 7.5
    weighted: bool = False
    max_items: int = 15_000


class Model:
    """weights: float32 (n_items, n_items), row i is what having chosen i adds to the scores; its diagonal is 0.

    known: bool (n_items,), False for an item without events, which is never returned.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.weights: Floats = np.zeros((0, 0), dtype=np.float32)
        self.known = np.zeros(0, dtype=np.bool_)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Solve for the weights."""
        matrix = self._values(data.matrix)
        self._refuse_what_it_cannot_solve(matrix.shape[1])
        self.known = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
        n_users = np.count_nonzero(np.diff(matrix.indptr))
        penalty = self.config.regularization * float(np.square(matrix.data, dtype=np.float64).sum() / n_users)
        self.weights = ridge_weights(matrix, penalty)
        return {"penalty": penalty}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """The k unseen items of the highest score; an empty list without history."""
        known = np.flatnonzero(np.diff(users.history.indptr))
        return spread(self._top_k(self._values(users.history)[known], k), known, len(users.user_idx))

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Sums of weights; NaN without history or for an item without events."""
        chosen = self._values(users.history)
        scores = np.full(len(rows), np.nan, dtype=np.float32)
        askable = (np.diff(chosen.indptr)[rows] > 0) & self.known[items]
        for block in row_blocks(*chosen.shape):
            asked = np.flatnonzero(askable & (rows >= block.start) & (rows < block.stop))
            scores[asked] = (chosen[block] @ self.weights)[rows[asked] - block.start, items[asked]]
        return scores

    def similar(self, items: Ints, k: int) -> Neighbours:
        """The k other items that each given item speaks for most."""
        return self._top_k(one_hot(items, len(self.weights)), k)

    def save(self, folder: Path) -> None:
        """The weights and which items have events."""
        np.save(folder / "weights.npy", self.weights, allow_pickle=False)
        np.save(folder / "known.npy", self.known, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """The saved weights, mapped."""
        model = cls(config)
        model.weights = np.load(folder / "weights.npy", mmap_mode="r", allow_pickle=False)
        model.known = np.load(folder / "known.npy", allow_pickle=False)
        return model

    def _values(self, matrix: csr_array) -> csr_array:
        return matrix if self.config.weighted else pattern(matrix)

    def _top_k(self, chosen: csr_array, k: int) -> Neighbours:
        found = empty_lists(chosen.shape[0], k)
        for rows in row_blocks(*chosen.shape):
            scores = chosen[rows] @ self.weights  # (n_rows, n_items), each row summed by itself, so exact whatever the block
            scores[:, ~self.known] = NOT_ELIGIBLE
            leave_out(scores, chosen[rows])
            pairs = contenders(scores, k)
            block = rank_pairs(pairs, scores[pairs], len(scores), k)
            found.items[rows], found.scores[rows] = block.items, block.scores
        return found

    def _refuse_what_it_cannot_solve(self, n_items: int) -> None:
        if self.config.regularization <= 0:
            raise BadData(f"[models.ease]: regularization is {self.config.regularization}; expected a number above 0")
        if n_items > self.config.max_items:
            gigabytes = 4 * n_items**2 / 1e9
            raise BadData(
                f"models.ease: {n_items:,} items need a dense matrix of {gigabytes:.1f} GB to fit; the limit is {self.config.max_items:,} "
                "items. Set [models.ease] max_items higher on a machine that holds it, or skip the model: HYBRIDREC_SKIP=models.ease"
            )


def ridge_weights(matrix: csr_array, penalty: float) -> Floats:
    """The weights that predict each column from the other ones, float32 (n_items, n_items), diagonal 0."""
    n_users, n_items = matrix.shape
    inverse = _from_users(matrix, penalty) if n_users < n_items else _from_items(matrix, penalty)
    inverse /= -np.diagonal(inverse).copy()  # column j by its own diagonal cell; a factor of the whole inverse cancels
    np.fill_diagonal(inverse, 0)
    return inverse


def _from_items(matrix: csr_array, penalty: float) -> Floats:
    """(X'X + penalty)^-1, items x items."""
    return _inverse_of(matrix.T @ matrix, penalty)


def _from_users(matrix: csr_array, penalty: float) -> Floats:
    """The same times the penalty by way of the users, which is quicker where they are fewer: 1 - X' (XX' + penalty)^-1 X."""
    between_users = _inverse_of(matrix @ matrix.T, penalty)
    explained: Floats = matrix.T @ (matrix.T @ between_users).T  # both inverses are symmetric
    np.negative(explained, out=explained)
    explained[np.diag_indices(len(explained))] += 1
    return explained


def _inverse_of(gram: csr_array, penalty: float) -> Floats:
    # by rows: scipy's sparse @ dense copies a whole matrix that is stored by columns, for each block of users
    dense = np.asarray(gram.toarray(order="C"), dtype=np.float32)
    dense[np.diag_indices(len(dense))] += np.float32(penalty)
    invert(dense)
    return dense


def invert(matrix: Floats) -> None:
    """Invert a symmetric positive definite matrix in place.

    By halves, with the complement of the first for the second: nearly all the time goes into products of large blocks, which
    is what a processor is quickest at; LAPACK's own inverse takes three times as long.
    """
    if len(matrix) <= SMALL_BLOCK:
        matrix[:] = np.linalg.inv(matrix)
        return
    half = len(matrix) // 2
    first, between, second = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
    invert(first)
    reach = first @ between
    second -= between.T @ reach
    invert(second)
    between[:] = reach @ -second
    first -= between @ reach.T
    matrix[half:, :half] = between.T
