"""Generate, rank, re-rank: the retrievers generate, their blend keeps each user's best, a finer score orders those.

The finer score sees every model's score, the pair scorers' too, made comparable again among the remaining rows: the best candidates differ
by other features than good and bad ones. Its weights are learnt on these rows.

Burke 2002, Hybrid recommender systems: survey and experiments; Wang, Lin and Metzler 2011, A cascade ranking model for
efficient ranked retrieval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Rows, best_first, minmax, starts_of, zscore
from hybridrec.ranking.linear import Inputs, LinearCorrection
from hybridrec.ranking.weight_learner import FitOptions
from hybridrec.strategies.weighted import blend

DOC = "The blend of the retrievers keeps each user's best candidates, a learnt finer score orders those; the rest follows."
FINER = ("score_", "item_", "affinity_")  # columns that the second stage sees


@dataclass(frozen=True)
class Config(FitOptions):
    """Options.

    keep: rows per user that the first stage passes on.

    The other options are those of FitOptions.
    """

    keep: int = 100


class Strategy(LinearCorrection[Config]):
    """See the module."""

    def inputs(self, candidates: CandidateSet) -> Inputs:
        """Return all scores and the items' features among the kept rows; NaN for the others."""
        first = _first_stage(candidates)
        listed, _ = best_first(first, candidates.items, candidates.starts, self.config.keep)
        rows = np.sort(listed)
        names = [name for name in candidates.features if name.startswith(FINER)]
        columns = {name: _among(rows, candidates.features[name], candidates) for name in names}
        return Inputs(_among(rows, first, candidates), columns)

    def score(self, candidates: CandidateSet) -> Floats:
        """Return 1 to 2 for the kept rows, by the finer score; below 1 for the rest, by the first stage; float32 (n_rows,)."""
        fine = super().score(candidates)
        rest = np.where(np.isnan(fine), _first_stage(candidates), np.nan)
        return np.where(np.isnan(fine), 0.5 * minmax(rest, candidates.starts), 1 + minmax(fine, candidates.starts)).astype(np.float32)


def _first_stage(candidates: CandidateSet) -> Floats:
    return blend(candidates, dict.fromkeys(candidates.retrievers, 1.0))


def _among(rows: Rows, values: Floats, candidates: CandidateSet) -> Floats:
    """Return standard scores among some rows of each user, NaN for the others; float32 (n_rows,)."""
    scores = np.full(len(values), np.nan, dtype=np.float32)
    scores[rows] = zscore(values[rows], starts_of(candidates.row_users[rows]))
    return scores
