"""A confidence sequence: intervals that hold at all looks at once, however many there will be.

Asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory and asymptotic
confidence sequences, theorem 2.2. It guards a canary, whose size is not known beforehand. It is wider than the bounds of a test with a
horizon: that is the price of no plan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.experiments.bounds import ALPHA

Floats = NDArray[np.float64]


def tightness(tightest_at: float, alpha: float = ALPHA) -> float:
    """Return the parameter rho that makes the interval tightest at that amount of data (their appendix B.2)."""
    log = -2 * np.log(alpha)
    return float(np.sqrt((log + np.log(log) + 1) / tightest_at))


def multiplier(amount: float | Floats, tightest_at: float, alpha: float = ALPHA) -> Floats:
    """Return the number of standard errors on each side of the estimate; inf without data.

    amount: of data so far, in units of which each brings as much as another, as days of users. tightest_at: in the same units.
    """
    scaled = np.asarray(amount, dtype=np.float64) * tightness(tightest_at, alpha) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        width = np.sqrt(2 * (scaled + 1) / scaled * np.log(np.sqrt(scaled + 1) / alpha))
    return np.where(scaled > 0, width, np.inf)
