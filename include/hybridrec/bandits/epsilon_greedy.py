"""Epsilon-greedy: the arm with the best share of rewards so far, and now and then any other.

Arms with equal shares take turns. The prior lets an arm without draws look as good as `prior_share`, so that it is tried.

Watkins 1989, Learning from delayed rewards; Sutton and Barto 1998, Reinforcement learning: an introduction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.bandits import Counts
from hybridrec.types import Doubles

DOC = "Epsilon-greedy: the best arm so far, and by a fixed share any arm."


@dataclass(frozen=True)
class Config:
    """Options.

    epsilon: share of the draws that go to all arms alike.
    prior_share: share of rewards of an arm without draws.
    prior_draws: draws that this share counts as.
    """

    epsilon: float = 0.1
    prior_share: float = 0.5
    prior_draws: float = 2.0


def probabilities(counts: Counts, config: Config) -> Doubles:
    """Return 1 - epsilon for the best arm, shared by equals, and epsilon for all alike, (..., n_arms)."""
    shares = (counts.successes + config.prior_share * config.prior_draws) / (counts.trials + config.prior_draws)
    best = shares >= shares.max(axis=-1, keepdims=True)
    greedy = best / best.sum(axis=-1, keepdims=True)
    return np.asarray(config.epsilon / shares.shape[-1] + (1 - config.epsilon) * greedy, dtype=np.float64)
