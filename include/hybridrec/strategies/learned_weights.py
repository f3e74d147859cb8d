"""Weights of the retrievers learnt from the label window: a softmax over retrievers, so none is negative and they sum to one.

    score = sum of w_s * z_s over the retrievers that score the pair / sum of their w_s        w = softmax(theta)

theta minimises the listwise softmax loss and is pulled towards 0, which is equal weights; see ranking/listwise.py.
Cao, Qin, Liu, Tsai and Li 2007, Learning to rank: from pairwise approach to listwise approach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.ranking.listwise import Mask
from hybridrec.ranking.weight_learner import BLEND, FitOptions, Learner, LearntWeights
from hybridrec.strategies.weighted import blend, normalised, require_normaliser
from hybridrec.types import Doubles

DOC = "Weighted sum of the retrievers' normalised scores with softmax weights learnt from the label window."


@dataclass(frozen=True)
class Config(FitOptions):
    """Options.

    normaliser: `zscore`, `minmax` or `rank`.

    The other options are those of FitOptions.
    """

    normaliser: str = "zscore"


class SoftmaxScorer(NamedTuple):
    """The weighted mean as a function of theta; see listwise.Scorer."""

    scores: Floats  # (n_rows, n_sources), 0 without one
    present: Floats  # (n_rows, n_sources), 1 or 0

    @property
    def n_weights(self) -> int:
        """One theta a retriever."""
        return int(self.scores.shape[1])

    def score(self, weights: Doubles) -> Doubles:
        """Return weighted means, (n_rows,); 0 for a row without any score."""
        return self._means(_softmax(weights))[0]

    def pull_back(self, weights: Doubles, of_scores: Doubles) -> Doubles:
        """Return the gradient in theta, (n_sources,)."""
        shares = _softmax(weights)
        means, totals = self._means(shares)
        slopes = of_scores / totals
        of_shares = slopes.astype(np.float32) @ self.scores - (slopes * means).astype(np.float32) @ self.present
        return np.asarray(shares * (of_shares - shares @ of_shares), dtype=np.float64)

    def take(self, rows: Mask) -> SoftmaxScorer:
        """Return some of the rows."""
        return SoftmaxScorer(self.scores[rows], self.present[rows])

    def _means(self, shares: Doubles) -> tuple[Doubles, Doubles]:
        """Return weighted means and the weights that are there, (n_rows,) each."""
        totals = np.maximum(self.present @ shares.astype(np.float32), 1e-6)
        return np.asarray(self.scores @ shares.astype(np.float32) / totals, dtype=np.float64), totals.astype(np.float64)


class Strategy(LearntWeights[Config]):
    """See the module; a retriever that the fit has not seen takes no part."""

    def __init__(self, config: Config, weights: Mapping[str, float] | None = None, penalty: float = BLEND) -> None:
        require_normaliser("learned_weights", config.normaliser)
        super().__init__(config, weights, penalty)

    def learner(self, candidates: CandidateSet) -> Learner:
        """Return one theta a retriever."""
        scores = [normalised(candidates, retriever, self.config.normaliser) for retriever in candidates.retrievers]
        stacked = np.stack(scores, axis=1) if scores else np.zeros((len(candidates.items), 0), dtype=np.float32)
        scorer = SoftmaxScorer(np.nan_to_num(stacked), (~np.isnan(stacked)).astype(np.float32))
        return Learner(candidates.retrievers, scorer, np.ones(len(candidates.items), dtype=bool))

    def score(self, candidates: CandidateSet) -> Floats:
        """Return weighted mean of the normalised scores that exist, float32 (n_rows,)."""
        known = [retriever for retriever in sorted(self.weights) if retriever in candidates.retrievers]
        shares = _softmax(np.array([self.weights[retriever] for retriever in known]))
        return blend(candidates, dict(zip(known, shares.tolist(), strict=True)), self.config.normaliser)


def _softmax(theta: Doubles) -> Doubles:
    odds = np.exp(theta - theta.max(initial=-np.inf))
    return np.asarray(odds / max(float(odds.sum()), 1e-12), dtype=np.float64)
