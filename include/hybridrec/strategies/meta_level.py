"""A model over models: base scores, and inside the base model's embedding, are what it learns from.

The candidates' factor columns are products of a user's and an item's factors; their plain sum is the base model's own score.
Weighting them again is the generalised matrix factorisation of He et al. 2017, Neural collaborative filtering, learnt
from the label window on top of the blend. The "meta-level" hybrid of Burke 2002, Hybrid recommender systems: survey
and experiments.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Starts, group_sums, spread
from hybridrec.ranking.linear import Inputs, LinearCorrection
from hybridrec.ranking.weight_learner import FitOptions
from hybridrec.strategies.weighted import blend

log = logging.getLogger(__name__)
DOC = "Base scores and the products of base embeddings in a learnt linear model; the plain blend without embeddings."
FACTORS = "factor_"


@dataclass(frozen=True)
class Config(FitOptions):
    """Options, those of the fit."""


class Strategy(LinearCorrection[Config]):
    """See the module."""

    def inputs(self, candidates: CandidateSet) -> Inputs:
        """Return the blend; all z-scores and the factor columns, or nothing without factors."""
        plain = blend(candidates, dict.fromkeys(candidates.retrievers, 1.0))
        factors = {name: values for name, values in candidates.features.items() if name.startswith(FACTORS)}
        if not factors:
            return Inputs(plain, {})
        scores = {name: values for name, values in candidates.features.items() if name.startswith("z_")}
        return Inputs(plain, scores | _to_one_scale(factors, candidates.starts))

    def fit(self, candidates: CandidateSet, gains: Floats, seed: int, threads: int) -> dict[str, float]:
        """Fit; without factor columns there is nothing to be learnt, and the log says so."""
        if not any(name.startswith(FACTORS) for name in candidates.features):
            log.warning("meta_level: no %s columns in the candidates, the list is the plain blend", FACTORS)
        return super().fit(candidates, gains, seed, threads)


def _to_one_scale(columns: dict[str, Floats], starts: Starts) -> dict[str, Floats]:
    """Return the columns less each user's mean, over the user's mean deviation of all of them, so that wide ones stay wide."""
    centred = {name: _centred(values, starts) for name, values in columns.items()}
    squares = np.sum([values**2 for values in centred.values()], axis=0) / len(columns)
    width = spread(np.sqrt(group_sums(squares, starts) / np.diff(starts)), starts)
    return {
        name: np.divide(values, width, out=np.zeros_like(values), where=width > 0).astype(np.float32) for name, values in centred.items()
    }


def _centred(values: Floats, starts: Starts) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    n_known = np.maximum(group_sums(known.astype(np.float64), starts), 1)
    means = group_sums(np.nan_to_num(values).astype(np.float64), starts) / n_known
    return np.where(known, values - spread(means, starts), 0.0)
