"""A model's expectation for the policy, corrected by the weighted errors that the model makes on the logged actions.

It is right if either the probabilities or the model is; with right probabilities a better model narrows the interval.

Dudik, Langford and Li 2011, Doubly robust policy evaluation and learning.
"""

from __future__ import annotations

from hybridrec.base.errors import PermanentError
from hybridrec.estimators import Logged, Terms

DOC = "A model's expectation plus its weighted errors; narrowest where the model is good."


def terms(logged: Logged) -> Terms:
    """Return the mean of the corrected expectations; PermanentError without a model's predictions."""
    if logged.predicted is None or logged.expected is None:
        raise PermanentError("doubly_robust: the rows have no predictions of a model; choose ips or snips")
    corrected = logged.expected + logged.weights * (logged.rewards - logged.predicted)
    value = float(corrected.mean())
    return Terms(value, corrected - value)
