"""Estimators of the reward that another policy would have had, from logs with known probabilities: one file each, found by file name.

An extension has `DOC` (one line) and

    def terms(logged: Logged) -> Terms

Everything else is the same for all: the interval, the effective sample, and the refusal if too few rows speak for the policy. Then the
mean weight may look harmless and the estimate may still be anything: of 10,000 rows of the Open Bandit Dataset 2 did the work.

    estimate("snips", logged).text()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from hybridrec.base import extensions
from hybridrec.base.errors import PermanentError
from hybridrec.types import Doubles

FOLDER = "estimators"
MIN_EFFECTIVE = 100.0  # rows that speak for the policy, and of all rows
MIN_SHARE = 0.01
NORMAL = 1.959963984540054  # standard errors on each side of a 95 % interval


@dataclass(frozen=True)
class Logged:
    """Rows of a log, float64 (n_rows,) each.

    rewards: what came of the action. weights: probability of the action under the policy over that under which it was logged.
    units: int64, rows of one user have one number, their errors go together; None: no two rows belong together.
    predicted: reward that a model expects of the logged action. expected: of an action of the policy. None without a model; the model must
    not have learnt from the row.
    """

    rewards: Doubles
    weights: Doubles
    units: NDArray[np.int64] | None = None
    predicted: Doubles | None = None
    expected: Doubles | None = None


class Terms(NamedTuple):
    """An estimate, and how far each row moves it, float64 (n_rows,): their mean is 0, their spread gives the interval."""

    value: float
    influence: Doubles


class Estimate(NamedTuple):
    """A policy's mean reward with its 95 % interval; NaN if it is refused.

    effective: rows of equal weight that would say as much. refused: why there is no estimate, empty if there is one.
    """

    value: float
    low: float
    high: float
    effective: float
    n_rows: int
    refused: str

    def text(self) -> str:
        """Format as "0.0046 [0.0029, 0.0063] from 812 of 10000 rows"."""
        if self.refused:
            return self.refused
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] from {self.effective:.0f} of {self.n_rows} rows"


def estimate(name: str, logged: Logged) -> Estimate:
    """Return the estimate of an estimator by name; PermanentError for rows that no estimator could use."""
    _require_rows(logged)
    effective, n_rows = effective_sample(logged.weights), len(logged.rewards)
    nothing = float("nan")
    if reason := refusal(effective, n_rows):
        return Estimate(nothing, nothing, nothing, effective, n_rows, reason)
    terms = cast(Terms, extensions.module(FOLDER, name).terms(logged))
    margin = NORMAL * standard_error(terms.influence, logged.units)
    return Estimate(terms.value, terms.value - margin, terms.value + margin, effective, n_rows, "")


def effective_sample(weights: Doubles) -> float:
    """Return the number of rows of equal weight that say as much: the square of the sum over the sum of squares.

    Kong 1992, A note on importance sampling using standardized weights.
    """
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def refusal(effective: float, n_rows: int) -> str:
    """Return why so small a sample gives no estimate, empty if it is large enough."""
    needed = max(MIN_EFFECTIVE, MIN_SHARE * n_rows)
    if effective >= needed:
        return ""
    return f"no estimate: {n_rows} rows say as much of this policy as {effective:.4g} of its own, {needed:.0f} are needed; explore more"


def standard_error(influence: Doubles, units: NDArray[np.int64] | None) -> float:
    """Return the standard error of a mean of terms; rows of one unit go together."""
    sums = influence
    if units is not None:
        _, numbers = np.unique(units, return_inverse=True)
        sums = np.bincount(numbers, weights=influence).astype(np.float64)
    n = len(sums)
    return float(np.sqrt(sums @ sums * n / max(n - 1, 1)) / len(influence))


def _require_rows(logged: Logged) -> None:
    if not len(logged.rewards):
        raise PermanentError("estimators: there are no rows; serve lists whose probabilities are logged first, see docs/bandits.md")
    for name in ("rewards", "weights", "predicted", "expected"):
        values = getattr(logged, name)
        if values is not None and not (values.shape == logged.rewards.shape and np.isfinite(values).all()):
            raise PermanentError(f"estimators: {name} are not finite numbers, one a row; a logged probability may not be 0 or missing")
    if (logged.weights < 0).any():
        raise PermanentError(f"estimators: a weight is {logged.weights.min():g}, expected probabilities from 0 to 1")
