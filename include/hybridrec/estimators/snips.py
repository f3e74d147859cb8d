"""Self-normalised inverse propensity scores: the weighted mean of the rewards.

The sum of the weights takes the place of the number of rows, so that an estimate lies between the smallest and the largest reward and
does not move when a constant is added to all of them.

Swaminathan and Joachims 2015, The self-normalized estimator for counterfactual learning.
"""

from __future__ import annotations

from hybridrec.estimators import Logged, Terms

DOC = "Weighted mean of the rewards; a little biased in small samples, narrower."


def terms(logged: Logged) -> Terms:
    """Return the weighted mean; rows move it by their weight times their distance from it."""
    mean_weight = float(logged.weights.mean())
    value = float((logged.rewards * logged.weights / mean_weight).mean())
    return Terms(value, logged.weights * (logged.rewards - value) / mean_weight)
