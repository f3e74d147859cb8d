"""A cut inside the training data: some pairs are held out, and what is left is training data again.

Options are chosen on it, so the labels of the night's own splits stay unseen until they judge the result.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.errors import PermanentError
from hybridrec.metrics.metrics import Labels
from hybridrec.retrieval.select import row_numbers
from hybridrec.types import TrainingData, UserBlock, Visits

MIN_PAIRS = 3  # a user with fewer is left whole where each user's newest pair is held out
MAX_USERS = 2_000  # judged users: enough to tell options apart that differ by a few per cent

Mask = NDArray[np.bool_]


class InnerCut(NamedTuple):
    """Training data without the held-out pairs, and who is judged by what.

    users: the judged users with their history in `data`, rising. labels: their held-out pairs, each of gain 1.
    """

    data: TrainingData
    users: UserBlock
    labels: Labels


def inner_cut(data: TrainingData, share: float, seed: int, max_users: int = MAX_USERS) -> InnerCut:
    """Hold out pairs as the night's label splits do, by data.split.

    time: the newest `share` of all pairs. last_per_user: the newest pair of each user who has three, whatever the share.
    random_per_user: `share` of each user's pairs. Users without a remaining history are not evaluated; at most max_users of the others
    are, drawn by seed. PermanentError if no user can be evaluated.
    """
    rng = np.random.default_rng(seed)
    if data.split == "time":
        held, days_back = _newest(data.last_event_day, share)
    else:
        held = _newest_of_each(data, rng) if data.split == "last_per_user" else _some_of_each(data.matrix, share, rng)
        days_back = 0.0
    left = _without(data, held, days_back)
    labels = _cells(data.matrix, held)
    judged = np.flatnonzero((np.diff(labels.indptr) > 0) & (np.diff(left.matrix.indptr) > 0))
    if not len(judged):
        n_users, n_pairs = data.matrix.shape[0], data.matrix.nnz
        raise PermanentError(
            f"inner cut: no user of {n_users} has both a pair held out and a history left, of {n_pairs} pairs; load more events"
        )
    judged = np.sort(rng.permutation(judged)[:max_users])
    return InnerCut(left, _block(left, judged), _labels(labels[judged], judged))


def _newest(days: NDArray[np.float64], share: float) -> tuple[Mask, float]:
    """Choose at most `share` of the pairs, the newest; returns the cut in days too. Pairs of one moment stay together."""
    if not len(days):
        return np.zeros(0, dtype=bool), 0.0
    n_held = int(len(days) * share)
    cut = np.partition(days, n_held)[n_held]
    if cut == days.min():  # the newest moment alone holds more pairs than that
        cut = days[days > cut].min(initial=np.inf)
    held = days < cut
    return held, 0.0 if held.all() else float(cut)


def _newest_of_each(data: TrainingData, rng: np.random.Generator) -> Mask:
    """Return the newest pair of each user with at least MIN_PAIRS; any one of several at the same moment."""
    matrix = data.matrix
    order = np.lexsort((rng.permutation(matrix.nnz), data.last_event_day, row_numbers(matrix)))
    first = matrix.indptr[:-1][np.diff(matrix.indptr) >= MIN_PAIRS]
    held = np.zeros(matrix.nnz, dtype=bool)
    held[order[first]] = True
    return held


def _some_of_each(matrix: csr_array, share: float, rng: np.random.Generator) -> Mask:
    """Return `share` of each user's pairs, fractions of a pair rounded by chance, never the last one."""
    rows, sizes = row_numbers(matrix), np.diff(matrix.indptr)
    n_held = np.minimum(np.floor(sizes * share + rng.random(len(sizes))), sizes - 1)
    position = np.arange(matrix.nnz) - matrix.indptr[rows]
    held = np.zeros(matrix.nnz, dtype=bool)
    held[np.lexsort((rng.permutation(matrix.nnz), rows))] = position < n_held[rows]
    return held


def _without(data: TrainingData, held: Mask, days_back: float) -> TrainingData:
    """Return the data as it would have been before the new cut, `days_back` days before the old one.

    Weights stay decayed to the old cut: that is one factor for all.
    """
    matrix = _cells(data.matrix, ~held)
    has_pairs = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
    ages = np.where(has_pairs, data.item_age_days - days_back, np.nan).astype(np.float32)
    days = data.last_event_day[~held] - days_back
    return replace(data, matrix=matrix, last_event_day=days, item_age_days=ages, visits=_visits_before(data.visits, days_back))


def _visits_before(visits: Visits | None, days_back: float) -> Visits | None:
    if visits is None:
        return None
    past = visits.days >= days_back
    return Visits(visits.users[past], visits.items[past], visits.days[past] - days_back, visits.weights[past])


def _cells(matrix: csr_array, chosen: Mask) -> csr_array:
    """Return the matrix with only the chosen ones of its stored cells."""
    starts = np.concatenate([[0], np.cumsum(chosen)])[matrix.indptr].astype(matrix.indptr.dtype)
    return csr_array((matrix.data[chosen], matrix.indices[chosen], starts), shape=matrix.shape)


def _block(data: TrainingData, users: NDArray[np.intp]) -> UserBlock:
    everybody = np.arange(data.matrix.shape[0], dtype=np.int32)
    return UserBlock(everybody, data.matrix, data.last_event_day.astype(np.float32)).take(users)


def _labels(held: csr_array, users: NDArray[np.intp]) -> Labels:
    return Labels(users.astype(np.int32), held.indptr.astype(np.int64), held.indices, np.ones(held.nnz, dtype=np.float32))
