"""Inverse propensity scores: each reward counts as often as the policy would have chosen its action more often than the log did.

Without bias where the logged probabilities are right; its spread grows with the largest weight.

Horvitz and Thompson 1952, A generalization of sampling without replacement from a finite universe.
"""

from __future__ import annotations

from hybridrec.estimators import Logged, Terms

DOC = "Mean of the weighted rewards; without bias, wide."


def terms(logged: Logged) -> Terms:
    """Return the mean of weight times reward."""
    weighted = logged.rewards * logged.weights
    value = float(weighted.mean())
    return Terms(value, weighted - value)
