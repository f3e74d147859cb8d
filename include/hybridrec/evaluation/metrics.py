"""What a list is worth, each metric defined once.

Metrics of a user take `Judged` lists and k and return float64 (n_users,); a user with labels and an empty list counts
0, never drops out. Metrics of a table take the lists of all users together. Higher is better unless it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.models import NO_ITEM
from hybridrec.ranking.groups import Floats, Starts, best_first
from hybridrec.ranking.pool import Ints, Pool

Doubles = NDArray[np.float64]


class Labels(NamedTuple):
    """What users turned to in a label window, sorted by user, then item.

    users: int32 (n_users,), distinct. starts: pairs starts[u]:starts[u + 1] are of users[u].
    items: int32 (n_pairs,). gains: float32 (n_pairs,), above 0.
    """

    users: Ints
    starts: Starts
    items: Ints
    gains: Floats


class Judged(NamedTuple):
    """Lists beside labels, one row a user with labels.

    items: int32 (n_users, depth), NO_ITEM where the list has ended. gains: float32 (n_users, depth), 0 for a miss.
    ideal: float32 (n_users, depth), the user's label gains, falling, 0 where there are no more.
    n_relevant: int32 (n_users,), at least 1.
    """

    items: Ints
    gains: Floats
    ideal: Floats
    n_relevant: Ints


def row_gains(pool: Pool, labels: Labels) -> Floats:
    """Gain of every row of the pool, 0 where the user did not turn to the item; float32 (n_rows,)."""
    label_keys = pair_keys(np.repeat(labels.users, np.diff(labels.starts)), labels.items)
    keys = pair_keys(pool.row_users, pool.items)
    at = np.minimum(np.searchsorted(label_keys, keys), len(label_keys) - 1)
    return np.where(label_keys[at] == keys, labels.gains[at], 0.0).astype(np.float32)


def judge(pool: Pool, scores: Floats, labels: Labels, depth: int) -> Judged:
    """The best `depth` rows of every user with labels, judged; users without labels are passed over."""
    rows, ranks = best_first(scores, pool.items, pool.starts)
    users = pool.row_users[rows]
    at = np.minimum(np.searchsorted(labels.users, users), len(labels.users) - 1)
    listed = (ranks <= depth) & (labels.users[at] == users)
    place = (at[listed], ranks[listed] - 1)
    items = np.full((len(labels.users), depth), NO_ITEM, dtype=np.int32)
    gains = np.zeros((len(labels.users), depth), dtype=np.float32)
    items[place] = pool.items[rows[listed]]
    gains[place] = row_gains(pool, labels)[rows[listed]]
    return Judged(items, gains, _ideal(labels, depth), np.diff(labels.starts).astype(np.int32))


def rows_of(judged: Judged, users: NDArray[np.bool_]) -> Judged:
    """The judged lists of some of the users."""
    return Judged(judged.items[users], judged.gains[users], judged.ideal[users], judged.n_relevant[users])


def precision(judged: Judged, k: int) -> Doubles:
    """Share of the first k places that hold a relevant item; 0 to 1. Missing places count as misses."""
    return np.asarray((judged.gains[:, :k] > 0).sum(axis=1) / k, dtype=np.float64)


def recall(judged: Judged, k: int) -> Doubles:
    """Share of the user's relevant items within the first k places; 0 to min(1, k / relevant)."""
    return np.asarray((judged.gains[:, :k] > 0).sum(axis=1) / judged.n_relevant, dtype=np.float64)


def average_precision(judged: Judged, k: int) -> Doubles:
    """Mean, over the min(k, relevant) items that could be found, of the precision at each one's place; 0 to 1.

    Its mean over users is MAP.
    """
    hits = judged.gains[:, :k] > 0
    precisions = hits.cumsum(axis=1) / np.arange(1, k + 1)
    return np.asarray((precisions * hits).sum(axis=1) / np.minimum(judged.n_relevant, k), dtype=np.float64)


def ndcg(judged: Judged, k: int) -> Doubles:
    """Gains discounted by 1 / log2(1 + place), as a share of the best order's; 0 to 1. Graded: gain is the label's."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    return np.asarray((judged.gains[:, :k] @ discounts) / (judged.ideal[:, :k] @ discounts), dtype=np.float64)


def ndcg_binary(judged: Judged, k: int) -> Doubles:
    """NDCG with gain 1 for every relevant item; 0 to 1."""
    binary = judged._replace(gains=np.sign(judged.gains), ideal=np.sign(judged.ideal))
    return ndcg(binary, k)


def reciprocal_rank(judged: Judged, k: int) -> Doubles:
    """1 / place of the first relevant item within k, 0 without one; 0 to 1. Its mean over users is MRR."""
    hits = judged.gains[:, :k] > 0
    return np.asarray(np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0.0))


def hit(judged: Judged, k: int) -> Doubles:
    """1 if a relevant item is within the first k places, else 0. Its mean over users is the hit rate."""
    return np.asarray((judged.gains[:, :k] > 0).any(axis=1), dtype=np.float64)


METRICS: dict[str, Callable[[Judged, int], Doubles]] = {
    "ndcg": ndcg,
    "ndcg_binary": ndcg_binary,
    "precision": precision,
    "recall": recall,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit,
}


def novelty(items: Ints, n_users_of_item: Doubles, n_users: int, k: int) -> Doubles:
    """Mean over the first k items of -log2(share of users who know the item); 0 to log2(2 n_users); 0 for an empty list.

    An item that nobody knows counts as known by half a user.
    """
    information = -np.log2(np.clip(np.maximum(n_users_of_item, 0.5) / max(n_users, 1), 0.0, 1.0))
    shown = items[:, :k] != NO_ITEM
    total = np.where(shown, information[items[:, :k]], 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)


def exposure(items: Ints, n_items: int, k: int) -> NDArray[np.int64]:
    """How many lists show each item within the first k places, int64 (n_items,)."""
    shown = items[:, :k]
    return np.bincount(shown[shown != NO_ITEM], minlength=n_items)


def coverage(shown: NDArray[np.int64]) -> float:
    """Share of the catalogue that is in at least one list; 0 to 1."""
    return float((shown > 0).mean()) if len(shown) else 0.0


def gini(shown: NDArray[np.int64]) -> float:
    """Inequality of exposure over the catalogue: 0 all items equal, towards 1 one item has it all; lower is more even."""
    total, n = int(shown.sum()), len(shown)
    if not total:
        return 0.0
    ordered = np.sort(shown)
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * total) - (n + 1) / n)


def _ideal(labels: Labels, depth: int) -> Floats:
    rows, ranks = best_first(labels.gains, labels.items, labels.starts)
    users = np.repeat(np.arange(len(labels.users)), np.diff(labels.starts))
    ideal = np.zeros((len(labels.users), depth), dtype=np.float32)
    kept = ranks <= depth
    ideal[users[rows[kept]], ranks[kept] - 1] = labels.gains[rows[kept]]
    return ideal


def pair_keys(users: Ints, items: Ints) -> NDArray[np.int64]:
    """One number for each pair, rising with user, then item."""
    return (users.astype(np.int64) << 32) | items.astype(np.int64)
