"""Thompson sampling: an arm is played as often as it is likely to be the best.

    share of an arm ~ Beta(prior_successes + successes, prior_failures + failures)

The probability that an arm's share is the largest is an integral; it is taken at `points` quantiles of the arm, so it is exact to some
thousandth and no random number decides it.

Thompson 1933, On the likelihood that one unknown probability exceeds another; Chapelle and Li 2011, An empirical evaluation of Thompson
sampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybridrec.bandits import Counts
from hybridrec.types import Doubles

DOC = "Thompson sampling: as often as the arm is likely to be the best."


@dataclass(frozen=True)
class Config:
    """Options.

    prior_successes: rewards that an arm is taken to have had before its first draw.
    prior_failures: draws without a reward that it is taken to have had.
    points: quantiles at which the integral is taken.
    """

    prior_successes: float = 1.0
    prior_failures: float = 1.0
    points: int = 256


def probabilities(counts: Counts, config: Config) -> Doubles:
    """Return the probability that each arm is the best, (..., n_arms)."""
    from scipy.special import betainc, betaincinv

    a = counts.successes + config.prior_successes
    b = counts.trials - counts.successes + config.prior_failures
    quantiles = (np.arange(config.points) + 0.5) / config.points
    shares = betaincinv(a[..., None], b[..., None], quantiles)  # (..., n_arms, points)
    below = betainc(a[..., None, :, None], b[..., None, :, None], shares[..., :, None, :])  # (..., n_arms, other arms, points)
    itself = np.eye(a.shape[-1], dtype=bool)[:, :, None]
    best = np.where(itself, 1.0, below).prod(axis=-2).mean(axis=-1)
    return np.asarray(best / best.sum(axis=-1, keepdims=True), dtype=np.float64)
