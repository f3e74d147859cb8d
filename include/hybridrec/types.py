"""Define what models and their callers agree on: array types, what a model learns from, whom it serves, its protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.config import SplitMethod

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
NO_ITEM = -1  # pads lists that are shorter than k; its score is -inf


class Log(NamedTuple):
    """A number to be searched on a logarithmic scale, both ends included; whole numbers stay whole."""

    low: float
    high: float


class Linear(NamedTuple):
    """A number to be searched on a linear scale, both ends included; whole numbers stay whole."""

    low: float
    high: float


class OneOf(NamedTuple):
    """Some values to be tried."""

    values: tuple[bool | int | float | str, ...]


SearchSpace = Mapping[str, Log | Linear | OneOf]


class Neighbours(NamedTuple):
    """The best items of some users.

    items: int32 (n_users, k), NO_ITEM where a list ends early. scores: float32 (n_users, k), falling, ties by item.
    """

    items: Ints
    scores: Floats


@dataclass(frozen=True)
class TrainingData:
    """Training data of a model: the events before the split's cut, and the catalogue.

    matrix: decayed weights, csr float32 (n_users, n_items), sorted indices.
    last_event_day: day of each stored pair's newest event, float64, days before the cut, aligned with matrix.data.
    items: model_items, row number = item_idx. item_age_days: float32 (n_items,), NaN without events.
    users: model_users, row number = user_idx. split: what last_event_day means: with `last_per_user` only its order
    within a user does, with `random_per_user` nothing does and all are equal.
    """

    matrix: csr_array
    last_event_day: NDArray[np.float64]
    items: pd.DataFrame
    item_age_days: Floats
    users: pd.DataFrame
    seed: int
    threads: int
    split: SplitMethod = "time"


@dataclass(frozen=True)
class UserBlock:
    """Some users to recommend for.

    user_idx: int32 (n,). history: csr float32 (n, n_items), their rows of the split's matrix.
    days: float32, days from each stored pair's newest event to the cut, aligned with history.data (TrainingData.last_event_day).
    had: csr (n, n_items), what no list may hold; None: all of the history.
    """

    user_idx: Ints
    history: csr_array
    days: Floats
    had: csr_array | None = None

    @property
    def left_out(self) -> csr_array:
        """Items that a model which finds repeats never returns; all others leave out the whole history."""
        return self.history if self.had is None else self.had

    def take(self, rows: NDArray[np.integer]) -> UserBlock:
        """Return some of the users, in the order given."""
        numbered = csr_array((np.arange(1, self.history.nnz + 1), self.history.indices, self.history.indptr), shape=self.history.shape)
        had = None if self.had is None else self.had[rows]
        return UserBlock(self.user_idx[rows], self.history[rows], self.days[numbered[rows].data - 1], had)


class PairScorer(Protocol):
    """Fits on interactions and content; scores given pairs."""

    def __init__(self, config: Any) -> None: ...

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Learn; returns metrics worth keeping (loss, epochs); no times, since equal fits must be equal files."""

    def score_pairs(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return scores of pairs (users.user_idx[rows[i]], items[i]), higher is better; NaN without one.

        A pair's score does not depend on the other pairs, rounding apart.
        """

    def save(self, folder: Path) -> None:
        """Write arrays, safetensors or LightGBM text; nothing whose loading could run code."""

    @classmethod
    def load(cls, folder: Path, config: Any) -> PairScorer:
        """Return the saved model; arrays are mapped, not read."""


@runtime_checkable
class Retriever(PairScorer, Protocol):
    """A pair scorer that also finds the best of all items."""

    def top_k(self, users: UserBlock, k: int) -> Neighbours:
        """Return the k best items of each user that the history does not hold, by the scores of score_pairs.

        One with NEEDS_REPEATS in its file returns items of the history too, apart from what the user has had (UserBlock.left_out).

        A user without history gets an all-padding row from a personalised model. k may exceed the catalogue.
        """


@runtime_checkable
class KnowsSimilarItems(Protocol):
    """A model that can also say which items are alike."""

    def similar(self, items: Ints, k: int) -> Neighbours:
        """Return the k most alike other items of each given item, best first."""


@runtime_checkable
class BuildsIndex(Protocol):
    """A model that can search a large catalogue approximately."""

    def build_index(self, data: TrainingData) -> dict[str, float]:
        """Build an index after the fit if it is faster and accurate enough; returns the measurements, empty for a small catalogue."""


@runtime_checkable
class HasFactors(Protocol):
    """A model with an embedding whose parts are worth knowing one by one."""

    N_FACTORS: int

    def pair_factors(self, users: UserBlock, rows: Ints, items: Ints) -> Floats:
        """Return products of the user's and the item's first N_FACTORS factors, float32 (n_pairs, N_FACTORS), NaN without one."""
