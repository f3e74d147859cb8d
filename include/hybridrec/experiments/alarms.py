"""Alarms: an experiment whose arms were filled in another ratio than asked for, and one that hurts what it must not.

A ratio that is off means that users or their events were lost in one arm; then no figure of the experiment can be believed
(Fabijan et al. 2019, Diagnosing sample ratio mismatch in online controlled experiments). It is checked on users, the units that were
assigned: events depend on each other, and a better list has more of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from hybridrec.experiments.estimates import Difference

Floats = NDArray[np.float64]
ALARM_BELOW = 0.001  # of the p-value: one of a thousand sound experiments rings
Guard = Literal["kept", "broken", "unclear"]


class SampleRatio(NamedTuple):
    """Result of a check of the ratio between arms."""

    p_value: float
    alarm: bool


def sample_ratio(users: Floats, shares: Floats) -> SampleRatio:
    """Return the check of one experiment by Pearson's chi-square. users: of each arm. shares: asked for, in any unit."""
    p_value = float(sample_ratios(users, shares, np.zeros(1, dtype=np.int64))[0])
    return SampleRatio(p_value, p_value < ALARM_BELOW)


def sample_ratios(users: Floats, shares: Floats, starts: NDArray[np.int64]) -> Floats:
    """Return the p-value of each experiment; their arms follow each other, and starts has the first one of each.

    An experiment without users, or with one arm, has the p-value 1.
    """
    n_arms = np.diff(np.append(starts, len(users)))
    totals, shared = np.add.reduceat(users, starts), np.add.reduceat(shares, starts)
    expected = shares * np.repeat(np.divide(totals, shared, out=np.zeros_like(totals), where=shared > 0), n_arms)
    parts = np.divide((users - expected) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)
    p_values: Floats = np.where(n_arms > 1, chi2.sf(np.add.reduceat(parts, starts), np.maximum(n_arms - 1, 1)), 1.0)
    return p_values


def guard(difference: Difference, multiplier: float, max_loss: float) -> Guard:
    """Return whether a guardrail holds. max_loss: of the control's figure, which may be lost, 0.02 for 2 %.

    broken: even the upper end of the interval loses more. kept: even the lower end does not. unclear: neither.
    """
    low, high = difference.interval(multiplier)
    allowed = -max_loss * abs(difference.control)
    if high < allowed:
        return "broken"
    return "kept" if low >= allowed else "unclear"
