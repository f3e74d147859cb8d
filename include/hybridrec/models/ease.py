"""A linear model from the whole history to every item, solved in closed form.

Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019 (EASE): item weights that predict each item from the
others with the least squared error, under a ridge penalty. They are dense, so this model is for up to some 15,000 items with
events; more are refused, and the night goes on without it. There `graph_filter` serves: neighbours and a low rank in place of
the inverse. Decision 50 says what that costs.

Moon, Park and Lee, "LLM-enhanced linear autoencoders for recommendation", CIKM 2025 (L3AE): the penalty may draw the weights towards those
that the items' attributes and texts alone would have, also in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.dataset.projection import content_vectors
from hybridrec.retrieval.select import NOT_ELIGIBLE, contenders, empty_lists, leave_out, rank_pairs, row_blocks, spread
from hybridrec.retrieval.sparse import one_hot, pattern
from hybridrec.types import NO_ITEM, Floats, Ints, Log, Neighbours, OneOf, TrainingData, UserBlock

DOC = "All items weighed against the whole history at once (EASE, closed form)."
BECAUSE = "your choices taken together point to it"
BECAUSE_OF = "choosing {title} points to it"
REQUIRED = False
SMALL_BLOCK = 128
SEARCH = {"regularization": Log(0.5, 50.0), "weighted": OneOf((False, True))}


@dataclass(frozen=True)
class Config:
    """Options.

    regularization: ridge penalty in units of a history's mean length (its mean square if weighted), so that one default suits data sets
    of any density.
    weighted: use the decayed weights; otherwise every choice counts 1.
    content_pull: the penalty draws the weights towards so many times what the items' content alone says of them, instead of 0.
    content_penalty: ridge penalty of those; the more, the less the content says of each other item.
    content_dims: numbers that an item's content is projected to before.
    max_items: largest catalogue; in a larger one only items with events count. A fit takes 4 * items**2 bytes, and time that grows with
    the cube.
    most_chosen: with more than max_items items with events, use those that most users chose and give the others no score; otherwise
    refuse such a catalogue.
    """

    regularization: float = 7.5
    weighted: bool = False
    content_pull: float = 0.0
    content_penalty: float = 10.0
    content_dims: int = 64
    max_items: int = 15_000
    most_chosen: bool = False


class Model:
    """weights: float32 (n, n), row i is what having chosen items[i] adds to the scores; its diagonal is 0.

    items: int32 (n,), rising; all of a catalogue that can be held, else those with events.
    known: bool (n_items,), False for an item without events, which is never returned.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.weights: Floats = np.zeros((0, 0), dtype=np.float32)
        self.items: Ints = np.zeros(0, dtype=np.int32)
        self.known = np.zeros(0, dtype=np.bool_)

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Solve for the weights."""
        matrix = self._values(data.matrix)
        n_users_of_item = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self.items = self._choose_items(n_users_of_item)
        self._refuse_what_it_cannot_solve()
        self.known = n_users_of_item > 0
        self.known[np.setdiff1d(np.arange(len(self.known)), self.items)] = False
        n_users = np.count_nonzero(np.diff(matrix.indptr))
        penalty = self.config.regularization * float(np.square(matrix.data, dtype=np.float64).sum() / n_users)
        self.weights = ridge_weights(self._of_items(matrix), penalty, self._prior(data), self.config.content_pull)
        return {"penalty": penalty}

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k unseen items of the highest score; an empty list without history."""
        return self._top_k(self._values(users.history), k)

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return sums of weights; NaN without history or for an item without events."""
        chosen = self._of_items(self._values(users.history))
        scores = np.full(len(rows), np.nan, dtype=np.float32)
        askable = (np.diff(chosen.indptr)[rows] > 0) & self.known[items]
        for block in row_blocks(*chosen.shape):
            asked = np.flatnonzero(askable & (rows >= block.start) & (rows < block.stop))
            columns = np.searchsorted(self.items, items[asked])
            scores[asked] = (chosen[block] @ self.weights)[rows[asked] - block.start, columns]
        return scores

    def similar(self, items: Ints, k: int) -> Neighbours:
        """Return the k other items that each given item speaks for most."""
        return self._top_k(one_hot(items, len(self.known)), k)

    def save(self, folder: Path) -> None:
        """Write the weights, their items, and the items with events."""
        np.save(folder / "weights.npy", self.weights, allow_pickle=False)
        np.save(folder / "items.npy", self.items, allow_pickle=False)
        np.save(folder / "known.npy", self.known, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, config: Config) -> Model:
        """Return the saved weights, mapped."""
        model = cls(config)
        model.weights = np.load(folder / "weights.npy", mmap_mode="r", allow_pickle=False)
        model.items, model.known = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("items", "known"))
        return model

    def _prior(self, data: TrainingData) -> Prior | None:
        """Return what the content says of the items that are solved for; None without content, or if it is not asked."""
        if self.config.content_pull == 0:
            return None
        content = content_vectors(data, self.config.content_dims)[self.items]
        return Prior.of(content, self.config.content_penalty) if content.any() else None

    def _values(self, matrix: csr_array) -> csr_array:
        return matrix if self.config.weighted else pattern(matrix)

    def _choose_items(self, n_users: NDArray[np.integer]) -> Ints:
        """Return the items that are solved for, rising. n_users: of each item of the catalogue."""
        if len(n_users) <= self.config.max_items:
            return np.arange(len(n_users), dtype=np.int32)
        with_events = np.flatnonzero(n_users)
        if self.config.most_chosen:
            most_first = np.argsort(-n_users[with_events], kind="stable")
            with_events = np.sort(with_events[most_first[: self.config.max_items]])
        return with_events.astype(np.int32)

    def _of_items(self, matrix: csr_array) -> csr_array:
        """Return the columns of the items that have weights."""
        return matrix if len(self.items) == matrix.shape[1] else matrix[:, self.items]

    def _top_k(self, histories: csr_array, k: int) -> Neighbours:
        chosen = self._of_items(histories)
        known = np.flatnonzero(np.diff(chosen.indptr))
        return spread(self._top_k_known(chosen[known], k), known, len(histories.indptr) - 1)

    def _top_k_known(self, chosen: csr_array, k: int) -> Neighbours:
        best = empty_lists(chosen.shape[0], k)
        for rows in row_blocks(*chosen.shape):
            scores = chosen[rows] @ self.weights  # (n_rows, n), each row summed by itself, so exact whatever the block
            scores[:, ~self.known[self.items]] = NOT_ELIGIBLE
            leave_out(scores, chosen[rows])
            pairs = contenders(scores, k)
            block = rank_pairs(pairs, scores[pairs], len(scores), k)
            best.items[rows], best.scores[rows] = block.items, block.scores
        there = best.items != NO_ITEM
        best.items[there] = self.items[best.items[there]]
        return best

    def _refuse_what_it_cannot_solve(self) -> None:
        if self.config.regularization <= 0:
            raise PermanentError(f"[models.ease]: regularization is {self.config.regularization}; expected a number above 0")
        n_items = len(self.items)
        if n_items > self.config.max_items:
            gigabytes = 4 * n_items**2 / 1e9
            raise PermanentError(
                f"models.ease: {n_items:,} items with events need a dense matrix of {gigabytes:.1f} GB to fit; the limit is "
                f"{self.config.max_items:,} items. models.graph_filter serves such a catalogue. Set [models.ease] most_chosen = true for "
                "the most chosen items alone, or max_items higher on a machine that holds it, or skip the model: HYBRIDREC_SKIP=models.ease"
            )


class Prior(NamedTuple):
    """Weights that the items' content alone would have: left @ right.T, with 0 on the diagonal.

    left, right: float32 (n_items, n_dims). own: float32 (n_items,), the diagonal of that product.
    """

    left: Floats
    right: Floats
    own: Floats

    @classmethod
    def of(cls, content: Floats, penalty: float) -> Prior:
        """Return the same ridge regression with numbers of the content in place of users.

        content: float32 (n_items, n_dims). The inverse of the content's gram matrix is one of a few dimensions (Woodbury), so nothing
        here is items x items.
        """
        exact = content.astype(np.float64)
        small = np.linalg.inv(exact.T @ exact + penalty * np.eye(content.shape[1]))
        right = exact @ small
        own = np.einsum("ij,ij->i", exact, right)
        right /= (1 - own)[:, None]
        return cls(content, right.astype(np.float32), (own / (1 - own)).astype(np.float32))


def ridge_weights(matrix: csr_array, penalty: float, prior: Prior | None = None, pull: float = 0.0) -> Floats:
    """Return the weights that predict each column from the other ones, float32 (n_items, n_items), diagonal 0.

    pull: how far the penalty draws the weights towards pull * the prior instead of 0.
    """
    n_users, n_items = matrix.shape
    by_users = n_users < n_items
    inverse = _from_users(matrix, penalty) if by_users else _from_items(matrix, penalty)
    if prior is None or pull == 0:
        inverse /= -np.diagonal(inverse).copy()  # column j by its own diagonal cell; a factor of the whole inverse cancels
    else:
        inverse *= 1 if by_users else np.float32(penalty)
        _draw(inverse, prior, np.float32(pull))
    np.fill_diagonal(inverse, 0)
    return inverse


def _draw(inverse: Floats, prior: Prior, pull: np.float32) -> None:
    """Turn the inverse, times the penalty, into weights that are drawn to the prior; in place, since it is as large as memory allows."""
    diagonal = np.diagonal(inverse).copy()
    reach = inverse @ prior.left
    drawn = np.einsum("ij,ij->i", reach, prior.right) - diagonal * prior.own  # of the inverse times the prior, the diagonal
    by_column = pull * prior.own + (1 + pull * drawn) / diagonal
    for rows in row_blocks(*inverse.shape):
        inverse[rows] *= -by_column
        inverse[rows] += pull * (reach[rows] @ prior.right.T)


def _from_items(matrix: csr_array, penalty: float) -> Floats:
    """Return (X'X + penalty)^-1, items x items."""
    return _inverse_of(matrix.T @ matrix, penalty)


def _from_users(matrix: csr_array, penalty: float) -> Floats:
    """Return the same times the penalty by way of the users, which is quicker where they are fewer: 1 - X' (XX' + penalty)^-1 X."""
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
