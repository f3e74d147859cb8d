"""The list of the nets that see collaborative and content features at once: the feature-combination and attention-fusion nets.

Burke 2002, Hybrid recommender systems: survey and experiments. The nets are models of their own, `models/feature_net.py`
and `models/attention_fusion.py`; a night without them gets the plain blend, and the log says so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.strategies.weighted import blend

log = logging.getLogger(__name__)
DOC = "Mean of the feature-combination and attention-fusion nets; the plain blend where a night has neither."


@dataclass(frozen=True)
class Config:
    """Options.

    nets: the models whose scores make the list, separated by commas.
    """

    nets: str = "feature_net,attention_fusion"


class Strategy:
    """See the module; a pair without a score of any net keeps that of the blend."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._warned = False

    def score(self, candidates: CandidateSet) -> Floats:
        """Return the mean of the nets' z-scores, float32 (n_rows,)."""
        plain = blend(candidates, dict.fromkeys(candidates.retrievers, 1.0))
        nets = [f"z_{name.strip()}" for name in self.config.nets.split(",")]
        scores = [candidates.features[name] for name in nets if name in candidates.features]
        if not scores:
            self._warn()
            return plain
        known = np.sum([~np.isnan(score) for score in scores], axis=0)
        total = np.sum([np.nan_to_num(score) for score in scores], axis=0)
        return np.where(known > 0, total / np.maximum(known, 1), plain).astype(np.float32)

    def _warn(self) -> None:
        if not self._warned:
            log.warning("feature_combination: no model of %s in the candidates, the list is the plain blend", self.config.nets)
        self._warned = True
