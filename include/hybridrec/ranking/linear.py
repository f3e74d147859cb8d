"""A blend with a learnt linear correction: one fit for several strategies, each with its own choice of columns.

score = base + sum of weight * column
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.ranking.listwise import Mask
from hybridrec.ranking.weight_learner import Learner, LearntWeights, Options
from hybridrec.types import Doubles


class Inputs(NamedTuple):
    """A linear strategy's view of a candidate set.

    base: float32 (n_rows,), the blend that is corrected; rows with NaN are neither learnt from nor scored.
    columns: float32 (n_rows,) by name, about as wide as a z-score; NaN says nothing.
    """

    base: Floats
    columns: dict[str, Floats]


class LinearScorer(NamedTuple):
    """Base plus weighted columns; see listwise.Scorer."""

    base: Floats  # (n_rows,), no NaN
    columns: Floats  # (n_rows, n_weights), no NaN

    @property
    def n_weights(self) -> int:
        """One weight a column."""
        return int(self.columns.shape[1])

    def score(self, weights: Doubles) -> Doubles:
        """Return scores, (n_rows,)."""
        return np.asarray(self.base + self.columns @ weights.astype(np.float32), dtype=np.float64)

    def pull_back(self, weights: Doubles, of_scores: Doubles) -> Doubles:
        """Return the gradient in the weights, (n_weights,)."""
        return np.asarray(of_scores.astype(np.float32) @ self.columns, dtype=np.float64)

    def take(self, rows: Mask) -> LinearScorer:
        """Return some of the rows."""
        return LinearScorer(self.base[rows], self.columns[rows])


class LinearCorrection(LearntWeights[Options]):
    """A subclass says what it sees of a candidate set; a column that one candidate set lacks says nothing there."""

    @abstractmethod
    def inputs(self, candidates: CandidateSet) -> Inputs:
        """Return the base and columns of a candidate set; a user's values depend on this user's rows only."""

    def learner(self, candidates: CandidateSet) -> Learner:
        """Return all columns, for the rows that have a base."""
        base, columns = self.inputs(candidates)
        names, rows = tuple(sorted(columns)), ~np.isnan(base)
        stacked = np.empty((int(rows.sum()), len(names)), dtype=np.float32)
        for index, name in enumerate(names):
            stacked[:, index] = np.nan_to_num(columns[name][rows])
        return Learner(names, LinearScorer(base[rows], stacked), rows)

    def score(self, candidates: CandidateSet) -> Floats:
        """Return the corrected base, float32 (n_rows,); NaN without one."""
        base, columns = self.inputs(candidates)
        total = base.astype(np.float64)
        for name, weight in self.weights.items():  # one column after the other: a matrix product may round blocks differently
            if name in columns:
                total += weight * np.nan_to_num(columns[name])
        return total.astype(np.float32)
