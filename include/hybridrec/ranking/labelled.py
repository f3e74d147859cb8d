"""The part of a candidate set that a learner learns from: users who chose one of their candidates."""

from __future__ import annotations

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet, Ints
from hybridrec.candidates.groups import Floats, group_sums, starts_of
from hybridrec.metrics.metrics import Labels


def labelled_users(candidates: CandidateSet, gains: Floats) -> Ints:
    """Return users who count and have a gain above 0 among their rows, sorted; int32."""
    chose = group_sums((gains > 0).astype(np.float64), candidates.starts) > 0
    return candidates.users[chose if candidates.weights is None else chose & (candidates.weights > 0)]


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
