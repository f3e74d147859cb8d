"""The part of a candidate set that a learner learns from: users who chose one of their candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet, Ints
from hybridrec.candidates.groups import Floats, group_sums, starts_of
from hybridrec.metrics.metrics import Labels
from hybridrec.splitting.mix import segments_of, user_weights, weighed_mix


def labelled_users(candidates: CandidateSet, gains: Floats) -> Ints:
    """Return users who count and have a gain above 0 among their rows, sorted; int32."""
    chose = _have_hits(candidates, gains)
    return candidates.users[chose if candidates.weights is None else chose & (candidates.weights > 0)]


def weigh_taught(candidates: CandidateSet, gains: Floats, served: dict[str, int], light_max_items: int) -> CandidateSet:
    """Return the candidates with weights for a fit: users with a hit stand for the users served, the others teach nothing.

    served: number of users served by segment. Users of one segment find their labels among the candidates more often than those of
    another, so the weights of all labelled users would not do.
    """
    taught = _have_hits(candidates, gains)
    own = user_weights(segments_of(candidates.n_history[taught], light_max_items), served)
    if own is None:
        return replace(candidates, weights=None)
    weights = np.zeros(len(candidates.users))
    weights[taught] = own
    return replace(candidates, weights=weights)


def taught_mix(candidates: CandidateSet, gains: Floats, light_max_items: int) -> dict[str, dict[str, float]]:
    """Return the shares of the segments among the users with a hit: `labelled` each counts one, `counted` by the candidates' weights."""
    taught = _have_hits(candidates, gains)
    segments = segments_of(candidates.n_history[taught], light_max_items)
    weights = None if candidates.weights is None else candidates.weights[taught]
    return {"labelled": weighed_mix(segments, None), "counted": weighed_mix(segments, weights)}


def _have_hits(candidates: CandidateSet, gains: Floats) -> NDArray[np.bool_]:
    return np.asarray(group_sums((gains > 0).astype(np.float64), candidates.starts) > 0)


def sample_users(candidates: CandidateSet, gains: Floats, users: Ints, max_rows: int, seed: int) -> tuple[CandidateSet, Floats]:
    """Return the candidates and gains of users drawn by seed until their rows reach max_rows; at least one user."""
    drawn = np.random.default_rng(seed).permutation(users)
    sizes = np.diff(candidates.starts)[np.searchsorted(candidates.users, drawn)]
    chosen = drawn[: max(1, int((np.cumsum(sizes) <= max_rows).sum()))]
    return candidates.rows_of(chosen), gains[np.isin(candidates.row_users, chosen)]


def labels_in(candidates: CandidateSet, gains: Floats) -> Labels:
    """Return the labels that are rows of the candidates, the reverse of row_gains."""
    hits = np.flatnonzero(gains > 0)
    starts = starts_of(candidates.row_users[hits])
    return Labels(candidates.row_users[hits][starts[:-1]], starts, candidates.items[hits], gains[hits])
