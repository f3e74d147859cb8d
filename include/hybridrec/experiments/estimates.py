"""The difference between two arms and its standard error; always of users, who were assigned, never of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from hybridrec.base.errors import PermanentError

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """Treatment minus control. Fields may be arrays of many experiments alike."""

    control: float
    treatment: float
    estimate: float
    standard_error: float

    @property
    def z(self) -> float:
        """Estimate in standard errors; 0 without any spread, since nothing was measured then."""
        return float(self.estimate / self.standard_error) if self.standard_error > 0 else 0.0

    @property
    def p_value(self) -> float:
        """Two-sided p-value of a test that looks once."""
        return float(2 * norm.sf(abs(self.z)))

    def interval(self, multiplier: float) -> tuple[float, float]:
        """Return the estimate minus and plus so many standard errors."""
        half = multiplier * self.standard_error if self.standard_error > 0 else np.inf
        return float(self.estimate - half), float(self.estimate + half)


class Moments(NamedTuple):
    """Users, mean and variance (of a sample) of one arm; arrays of experiments are welcome."""

    n: Floats
    mean: Floats
    variance: Floats


@dataclass(frozen=True)
class Covariate:
    """A figure of each user for CUPED. measured_until: the end of the time that it is made of."""

    values: Floats
    measured_until: datetime


def difference_of_means(control: Floats, treatment: Floats) -> Difference:
    """Return the difference of the means of two samples of users, each with its own variance (Welch 1947)."""
    _require_users(len(control), len(treatment))
    parts = [Moments(np.array(float(len(arm))), np.asarray(arm.mean()), np.asarray(arm.var(ddof=1))) for arm in (control, treatment)]
    estimate, error = difference_of_moments(*parts)
    return Difference(float(parts[0].mean), float(parts[1].mean), float(estimate), float(error))


def difference_of_moments(control: Moments, treatment: Moments) -> tuple[Floats, Floats]:
    """Return estimate and standard error from the arms' moments, for many experiments at once."""
    error: Floats = np.sqrt(control.variance / control.n + treatment.variance / treatment.n)
    return treatment.mean - control.mean, error


def difference_of_ratios(control: tuple[Floats, Floats], treatment: tuple[Floats, Floats]) -> Difference:
    """Return the difference of two ratios of sums, as clicks for each item shown, by the delta method.

    Deng, Knoblich and Lu 2018, Applying the delta method in metric analytics. control, treatment: numerator and denominator of each user.
    """
    _require_users(len(control[0]), len(treatment[0]))
    (low, low_variance), (high, high_variance) = (_ratio(*arm) for arm in (control, treatment))
    return Difference(low, high, high - low, float(np.sqrt(low_variance + high_variance)))


def _ratio(numerator: Floats, denominator: Floats) -> tuple[float, float]:
    total = float(denominator.sum())
    if total <= 0:
        raise PermanentError("the denominator of a ratio is 0 for all users of an arm: nothing was shown to them")
    ratio = float(numerator.sum()) / total
    residual = numerator - ratio * denominator  # its variance is that of the ratio's linear part, without four sums
    return ratio, float(residual.var(ddof=1)) * len(residual) / total**2


def with_cuped(outcome: Floats, treated: NDArray[np.bool_], covariate: Covariate, assigned_from: datetime) -> Difference:
    """Return the difference of means with the part of the spread removed that the users had before.

    Deng, Xu, Kohavi and Walker 2013, Improving the sensitivity of online controlled experiments by utilizing pre-experiment data. The
    slope is that of all users together, as theirs.
    PermanentError for a covariate that covers time after the assignment: the treatment may have moved it, and would be subtracted.
    """
    if covariate.measured_until > assigned_from:
        raise PermanentError(
            f"the covariate is measured until {covariate.measured_until:%Y-%m-%d %H:%M}, but users are assigned from"
            f" {assigned_from:%Y-%m-%d %H:%M} on; take one from before that, or the effect is subtracted from itself"
        )
    before = covariate.values
    slope = _slope(outcome, before)
    adjusted = outcome - slope * (before - before.mean())
    return difference_of_means(adjusted[~treated], adjusted[treated])


def _slope(outcome: Floats, before: Floats) -> float:
    """Return the slope of the outcome on the covariate; 0 for a covariate without spread."""
    centred = before - before.mean()
    spread = float(centred @ centred)
    return float(centred @ outcome) / spread if spread > 0 else 0.0


def _require_users(*counts: int) -> None:
    if min(counts) < 2:
        raise PermanentError(f"the arms have {' and '.join(map(str, counts))} users, expected at least 2 in each")
