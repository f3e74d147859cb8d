"""Bounds of a test that looks every night: how large a statistic must be to decide.

Alpha spending of Lan and DeMets 1983, Discrete sequential boundaries for clinical trials, with a function in the shape of O'Brien and
Fleming 1979: hardly any error is spent early, so the last look is nearly a test that looks once. Probabilities of a crossing are
integrated look by look as in Armitage, McPherson and Rowe 1969, Repeated significance tests on accumulating data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from hybridrec.base.errors import PermanentError

Floats = NDArray[np.float64]
ALPHA = 0.05
LARGEST = 40.0  # in standard errors; a bound beyond any statistic
REACH = 9.0  # in standard errors: density beyond it does not count
NODES_PER_STEP = 6.0  # of the integration, for each standard deviation of the step to the next look
FEWEST_NODES, MOST_NODES = 96, 1_500


def spent(fractions: Floats, alpha: float = ALPHA) -> Floats:
    """Return the error of one side that may be spent up to each fraction of the horizon, 0 to 1."""
    one_side = alpha / 2
    with np.errstate(divide="ignore"):
        spending: Floats = 2 * norm.sf(norm.isf(one_side / 2) / np.sqrt(np.asarray(fractions, dtype=np.float64)))
    return spending


def bounds(fractions: Sequence[float], alpha: float = ALPHA) -> Floats:
    """Return the bound of |z| at each look, two-sided.

    fractions: of the horizon at each look, rising, in (0, 1]; a look that brings nothing new has the bound inf.
    """
    times = tuple(min(float(fraction), 1.0) for fraction in fractions)
    if not times or times[0] <= 0 or any(later < earlier for earlier, later in pairwise(times)):
        raise PermanentError(f"fractions of the horizon are {list(fractions)}, expected rising numbers above 0")
    return np.array(_bounds(times, alpha))


@lru_cache(maxsize=64)
def _bounds(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    to_spend = np.diff(spent(np.array(times), alpha), prepend=0.0)
    found: list[float] = []
    nodes, density, before = np.zeros(1), np.ones(1), 0.0  # of the sum that has not crossed yet; a sum is z times the root of the time
    for number, (time, share) in enumerate(zip(times, to_spend, strict=True)):
        if time <= before:
            found.append(np.inf)
            continue
        step = float(np.sqrt(time - before))
        limit = _limit(nodes, density, step, share, time)
        found.append(limit / np.sqrt(time))
        following = times[number + 1] if number + 1 < len(times) else time
        nodes, density = _carried(nodes, density, step, limit, np.sqrt(time), following - time)
        before = time
    return tuple(found)


def _limit(nodes: Floats, density: Floats, step: float, share: float, time: float) -> float:
    """Return the sum above which the share of all paths lies at this look."""
    root = np.sqrt(time)

    def too_many(limit: float) -> float:
        return float(density @ norm.sf((limit - nodes) / step)) - share

    if too_many(LARGEST * root) >= 0:
        return LARGEST * float(root)
    return float(brentq(too_many, 0.0, LARGEST * root, xtol=1e-10))


def _carried(nodes: Floats, density: Floats, step: float, limit: float, root: float, gap: float) -> tuple[Floats, Floats]:
    """Return nodes within the limits, and the density there times the weights of the integration (Gauss and Legendre)."""
    reach = min(limit, REACH * root)
    following = np.sqrt(gap) if gap > 0 else reach
    number = int(np.clip(NODES_PER_STEP * 2 * reach / min(step, following), FEWEST_NODES, MOST_NODES))
    places, weights = np.polynomial.legendre.leggauss(number)
    after = places * reach  # (n_after,)
    kernel = norm.pdf((after[:, None] - nodes[None, :]) / step) / step  # (n_after, n_before)
    return after, (kernel @ density) * weights * reach
