"""Find the items that a user's visits lead to: from a view to a cart, from a cart to a purchase, from a purchase to the next.

Linden, Smith and York, "Amazon.com recommendations: item-to-item collaborative filtering", IEEE Internet Computing 2003, relate items by
who bought both; here an item of one event is related to those of the same user's later events that weigh more, within `visit_days`, and
what weighs most to what weighs as much, within `again_days`. Views are so many that among themselves they say little of purchases and cost
most, so a view only begins a way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.item_item import ItemItemModel, user_weights
from hybridrec.retrieval.kernels.arrays import Norms, Reach
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.recency import newer_visits
from hybridrec.retrieval.sparse import as_csr, power
from hybridrec.types import Doubles, Linear, Log, Longs, TrainingData, UserBlock, Visits

DOC = "Items that a view, a cart or a purchase of the history leads to, by how people went on (co-visitation by type)."
BECAUSE = "people who looked at what you did went on to take it"
BECAUSE_OF = "people who turned to {title} went on to take it"
REQUIRED = False
NEEDS = ("types",)
SEARCH = {
    "visit_days": Log(1 / 24, 28.0),
    "again_days": Log(1.0, 90.0),
    "recency": Linear(0.0, 2.0),
    "rarity": Linear(0.1, 0.6),
}


@dataclass(frozen=True)
class Config:
    """Options.

    visit_days: days after an event within which another one that weighs more follows from it.
    again_days: the same between two events of the heaviest type.
    reach: an event at most so many further on in the user's history can follow.
    again_share: weight of the latter ways relative to the former.
    recency: an item of the history with n later visits counts 1 / (1 + n)**recency.
    neighbours: kept per item and kind of way.
    shrinkage: events that are added to the product of norms, so that few common users count little.
    user_damping: a way is divided by the length of its user's history to this power.
    rarity: exponent of the number of events of the recommended item.
    """

    visit_days: float = 1.0
    again_days: float = 28.0
    reach: int = 50
    again_share: float = 1.0
    recency: float = 0.75
    neighbours: int = 100
    shrinkage: float = 1.0
    user_damping: float = 0.25
    rarity: float = 0.3


class Model(ItemItemModel[Config]):
    """One row per item of what follows it; a user's score is the history, by recency, times these rows."""

    def fit(self, data: TrainingData) -> dict[str, float]:
        """Count the ways from each item, light to heavy and heavy to heavy."""
        visits = data.visits or _of_one_type(data)
        kinds = np.unique(visits.weights)
        ways = [self._ways(data, visits, weight, is_last=bool(weight == kinds[-1])) for weight in kinds]
        self.neighbours = as_csr(sum(ways[1:], ways[0]))
        return {"neighbours_per_item": self.neighbours.nnz / self.neighbours.shape[0], "visits": float(len(visits.items))}

    def queries(self, users: UserBlock) -> csr_array:
        """Return the items of the history by recency."""
        weights = ((1.0 + newer_visits(users)) ** -self.config.recency).astype(np.float32)
        return csr_array((weights, users.history.indices, users.history.indptr), shape=users.history.shape)

    def _ways(self, data: TrainingData, visits: Visits, weight: np.float32, is_last: bool) -> csr_array:
        """Return the nearness of what follows to the items of events of one weight, csr float32 (n_items, n_items)."""
        begins = visits.weights == weight
        ends = np.where(begins if is_last else visits.weights > weight, visits.weights / visits.weights.max(), 0)
        damping = user_weights(data.matrix, self.config.user_damping)[visits.users]
        n_items = data.matrix.shape[1]
        of_item = as_csr(_one_item_each(visits, begins, n_items).T)
        n_begun, n_ended = (np.bincount(visits.items, of, minlength=n_items).astype(np.float32) for of in (begins, ends))
        norms = Norms(power(n_begun, 0.5), power(n_ended, self.config.rarity), np.float32(self.config.shrinkage))
        firsts, stops = _reached(visits, self.config.again_days if is_last else self.config.visit_days)
        reach = Reach(firsts, stops, np.ones(2 * self.config.reach + 1, np.float32))
        near = nearest(of_item, _one_item_each(visits, ends * damping, n_items), self.config.neighbours, data.threads, norms, reach)
        return near * np.float32(self.config.again_share if is_last else 1.0)


def _of_one_type(data: TrainingData) -> Visits:
    """Return every pair as one visit: what is left where events have no types."""
    users = np.repeat(np.arange(data.matrix.shape[0], dtype=np.int32), np.diff(data.matrix.indptr))
    order = np.lexsort((data.matrix.indices, -data.last_event_day, users))
    return Visits(users[order], data.matrix.indices[order], data.last_event_day[order], np.ones(len(order), np.float32))


def _one_item_each(visits: Visits, values: np.ndarray, n_items: int) -> csr_array:
    """Return a matrix of events and items with one value each, csr float32 (n_events, n_items) without zeros."""
    stored = values > 0
    starts = np.concatenate([[0], np.cumsum(stored)])
    return csr_array((values[stored].astype(np.float32), visits.items[stored], starts), shape=(len(values), n_items))


def _reached(visits: Visits, days: float) -> tuple[Longs, Longs]:
    """Return the first event and the end of those that follow each: of the same user, at the same time or up to `days` later."""
    at: Doubles = -visits.days
    span = float(at.max(initial=0) - at.min(initial=0)) + days + 1.0
    moments = visits.users * span + (at - at.min(initial=0))  # rising: user by user
    firsts = np.searchsorted(moments, moments, side="left")
    ends = np.searchsorted(moments, moments + days, side="right")
    return firsts.astype(np.int64), ends.astype(np.int64)
