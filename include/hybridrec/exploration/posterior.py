"""Count the outcomes of each arm, by segment: a nightly batch of all that are old enough.

Every night counts all feedback again, so a rerun gives the same, and no state can fall behind or be counted twice. The count is checked
all the same to hold every draw: a bandit whose counts stand still goes on looking like one that works.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.bandits import Counts
from hybridrec.base.errors import PermanentError
from hybridrec.exploration.arms import published_names
from hybridrec.splitting.mix import SEGMENTS
from hybridrec.types import Longs

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)
DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Posterior:
    """Counts by segment and arm, (n_segments, n_arms); each draw weighs by its age.

    n_draws: draws counted, each as one. newest: when the last of them was served; None without any.
    """

    arms: tuple[str, ...]
    counts: Counts
    n_draws: int = 0
    newest: datetime | None = None


def updated(outcomes: pa.Table, arms: tuple[str, ...], as_of: datetime, half_life_days: float) -> Posterior:
    """Return the posterior of all outcomes of these arms; those of arms that are no longer played are left out."""
    import pyarrow.compute as pc

    cells = cells_of(outcomes, arms)
    known = cells >= 0
    served = outcomes["served_at"].cast("int64").to_numpy() / 1e6  # seconds since 1970
    age_days = (as_of.timestamp() - served) / DAY_SECONDS
    weights = np.where(known, 0.5 ** (age_days / half_life_days) if half_life_days else 1.0, 0.0)
    clicked = outcomes["clicked"].to_numpy(zero_copy_only=False).astype(np.float64)
    size, shape = len(SEGMENTS) * len(arms), (len(SEGMENTS), len(arms))
    at = np.maximum(cells, 0)
    successes, trials = (
        np.bincount(at, values, minlength=size).astype(np.float64).reshape(shape) for values in (weights * clicked, weights)
    )
    newest = pc.max(outcomes["served_at"]).as_py() if known.any() else None
    if not known.all():
        log.info("bandit: %d of %d draws are of arms that are not played any more", int((~known).sum()), len(known))
    return Posterior(arms, Counts(successes, trials), int(known.sum()), newest)


def require_updated(posterior: Posterior, outcomes: pa.Table) -> None:
    """Raise PermanentError unless every outcome of a played arm is in the counts."""
    expected = int((cells_of(outcomes, posterior.arms) >= 0).sum())
    if posterior.n_draws != expected or (expected > 0) != bool(posterior.counts.trials.sum() > 0):
        raise PermanentError(
            f"bandit: {expected} draws of its arms were fed back, {posterior.n_draws} are counted: its probabilities would stand still; "
            "correct hybridrec.exploration.posterior, or remove [bandit.arms] from hybridrec.toml"
        )


def cells_of(outcomes: pa.Table, arms: tuple[str, ...]) -> Longs:
    """Return the cell of (segment, arm) of each outcome, -1 for an arm that is not played; int64 (n_outcomes,)."""
    encoded = outcomes["arm"].combine_chunks().dictionary_encode()
    places = published_names(arms)
    of_names = [places.get(name, (0, -1)) for name in encoded.dictionary.to_pylist()]
    cells = np.array([row * len(arms) + column if column >= 0 else -1 for row, column in of_names], dtype=np.int64)
    return np.asarray(cells[encoded.indices.to_numpy()]) if len(cells) else np.zeros(0, dtype=np.int64)
