"""Weigh the labelled users so that they stand for the users who are served.

Users with labels are not the users who get a list: cut by time, most of a label window may be newcomers, while nearly all served users
have a history. Fits and figures over labelled users count each segment of histories by its share of the served users
(post-stratification: Cochran, "Sampling techniques", 3rd edition, 1977, 5A.9). If the labelled users are a mix like the served ones, all
count alike, and nothing is weighed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.storage import store
from hybridrec.types import Doubles

if TYPE_CHECKING:
    from hybridrec.runs.run import Run
    from hybridrec.types import Ints

SEGMENTS = ("none", "light", "heavy")
LEARNT_MIX = "learnt_mix"  # artefact: the segments of the users that strategies learn from
MIN_USERS = 20  # with fewer, chance says more than they do
MAX_WEIGHT = 3.0  # of a user of a segment with fewer, over the mean of the labelled users
OWN_SHARE = 0.05  # of the users drawn: so few of a segment can still be judged
EVEN = 0.01  # shares that differ by less are the same mix
COVERED = 0.5  # of the users served: with fewer of them, the rest would be judged by a few others
Texts = NDArray[np.str_]


class Stratum(NamedTuple):
    """Segments whose labelled users count alike, and the number of their users served."""

    names: tuple[str, ...]
    n_served: int

    def of(self, segments: Texts) -> NDArray[np.bool_]:
        """Mark the users who belong to it."""
        return np.isin(segments, self.names)


def segments_of(lengths: Ints, light_max_items: int) -> Texts:
    """Return none, light or heavy for each length of history."""
    return np.select([lengths == 0, lengths <= light_max_items], ["none", "light"], default="heavy")


def served_users(run: Run) -> dict[str, int]:
    """Return the number of users who get a list, by segment; empty for a run that is only evaluated."""
    if "full" not in run.splits:
        return {}
    lengths = run.read("model_user_features", "full", ["user_n_items"])["user_n_items"].to_numpy()
    n_light = int(np.count_nonzero(lengths <= run.config.light_max_items))
    n_users = store.read_manifest(run.dataset("model_users")).rows
    return {"none": n_users - len(lengths), "light": n_light, "heavy": len(lengths) - n_light}


def strata(segments: Texts, served: dict[str, int]) -> tuple[Stratum, ...]:
    """Return the groups of segments that have labelled users enough to stand for their users served; segments: of each labelled user.

    Enough are MIN_USERS; or fewer, if none of them counts more than MAX_WEIGHT users and all segments together have MIN_USERS. If light or
    heavy users are too few, both are one stratum, since they are more alike than either is to newcomers. No stratum is
    returned if all of them stand for less than COVERED of the users served: the others would be judged by those who are hardly served.
    """
    counts = {name: int(np.count_nonzero(segments == name)) for name in SEGMENTS if served.get(name)}
    total, n_users = sum(served.get(name, 0) for name in counts), sum(counts.values())

    def enough(group: Stratum) -> bool:
        n = sum(counts[name] for name in group.names)
        small = n_users >= MIN_USERS and n >= group.n_served / total * n_users / MAX_WEIGHT
        return n >= MIN_USERS or (n > 0 and small)

    alone = {name: Stratum((name,), served[name]) for name in counts}
    known = [group for name, group in alone.items() if name != "none"]
    if not all(map(enough, known)):
        known = [Stratum(tuple(group.names[0] for group in known), sum(group.n_served for group in known))]
    kept = tuple(filter(enough, [group for name, group in alone.items() if name == "none"] + known))
    return kept if sum(group.n_served for group in kept) >= COVERED * total else ()


def judged_segments(segments: Texts, served: dict[str, int]) -> dict[str, int]:
    """Return the labelled users of each segment that is in a stratum."""
    names = {name for group in strata(segments, served) for name in group.names}
    counts = {name: int(np.count_nonzero(segments == name)) for name in SEGMENTS if name in names}
    return {name: n for name, n in counts.items() if n}


def user_weights(segments: Texts, served: dict[str, int]) -> Doubles | None:
    """Return how much each labelled user counts, float64 (n_users,): 1 on average, 0 in a segment of no stratum.

    None if all count alike: where the shares are those of the served users, or there is no stratum.
    """
    groups = strata(segments, served)
    if not groups:
        return None
    n_users, total = len(segments), sum(group.n_served for group in groups)
    weights = np.zeros(n_users)
    for group in groups:
        users = group.of(segments)
        weights[users] = group.n_served / total * n_users / int(users.sum())
    labelled, counted = weighed_mix(segments, None), weighed_mix(segments, weights)
    return None if all(abs(labelled.get(name, 0.0) - counted.get(name, 0.0)) < EVEN for name in SEGMENTS) else weights


def draw_rates(labelled: dict[str, int], served: dict[str, int], n_users: int) -> dict[str, float]:
    """Return the share of each segment's labelled users to be drawn, so that some n_users are a mix like the users served.

    A segment that is hardly served keeps OWN_SHARE of n_users: it is judged by itself too.
    """
    shares = mix_of(served)
    return {name: min(1.0, n_users * max(shares.get(name, 0.0), OWN_SHARE) / n) for name, n in labelled.items()}


def mix_of(counts: dict[str, float] | dict[str, int]) -> dict[str, float]:
    """Return each segment's share; segments without users are left out."""
    total = sum(counts.values())
    return {name: n / total for name, n in counts.items() if n}


def weighed_mix(segments: Texts, weights: Doubles | None) -> dict[str, float]:
    """Return each segment's share of the labelled users as they count."""
    of_users = np.ones(len(segments)) if weights is None else weights
    return mix_of({name: float(of_users[segments == name].sum()) for name in SEGMENTS})


def weighted_mean(values: Doubles, weights: Doubles | None) -> float:
    """Return the mean over users; values, weights: float64 (n_users,), None for all alike."""
    return float(values.mean() if weights is None else np.average(values, weights=weights))


def standard_error(values: Doubles, weights: Doubles | None) -> float:
    """Return the standard error of weighted_mean."""
    if weights is None:
        return float(values.std(ddof=1) / np.sqrt(len(values)))
    n = max(int(np.count_nonzero(weights)), 2)
    spread = weights * (values - weighted_mean(values, weights))
    return float(np.sqrt(np.sum(spread**2) * n / (n - 1)) / weights.sum())
