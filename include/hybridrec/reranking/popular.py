"""The most popular items: a table for anonymous sessions, and the fallback that fills entries no retriever could fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PUBLISHED_ITEMS = 200  # of each window: ten pages of a list of 20
TIERS = ("popular_recent", "popular_all_time", "catalogue")
FALLBACK_SENTENCES = ("popular with everyone lately", "popular with everyone", "in the catalogue, and new to you")


@dataclass(frozen=True)
class Popularity:
    """Counts per item, float64 (n_items,): events of the newest 30 days, users over all time."""

    recent: NDArray[np.float64]
    all_time: NDArray[np.float64]


@dataclass(frozen=True)
class FallbackTiers:
    """All available items, best first.

    items: int32 (n,). tiers: int8 (n,), index in TIERS: why the item is there. scores: float64 (n,), falling from 1 to above 0.
    """

    items: NDArray[np.int32]
    tiers: NDArray[np.int8]
    scores: NDArray[np.float64]


def popularity(item_features: pa.Table, n_items: int) -> Popularity:
    """Return counts from model_item_features; 0 for an item without a row."""
    where = item_features["item_idx"].to_numpy()
    counts = np.zeros((2, n_items))
    counts[0, where] = item_features["item_n_events_30d"].to_numpy()
    counts[1, where] = item_features["item_n_users"].to_numpy()
    return Popularity(counts[0], counts[1])


def fallback_tiers(counts: Popularity, available: NDArray[np.bool_]) -> FallbackTiers:
    """Return recently popular items, then all-time popular ones, then the rest of the catalogue; ties by item."""
    numbers = np.arange(len(available))
    tiers = np.select([counts.recent > 0, counts.all_time > 0], [0, 1], default=2)
    within = np.where(tiers == 0, counts.recent, counts.all_time)
    order = np.lexsort((numbers, -counts.all_time, -within, tiers))
    order = order[available[order]]
    return FallbackTiers(order.astype(np.int32), tiers[order].astype(np.int8), 1.0 - np.arange(len(order)) / max(len(order), 1))


def popular_items(counts: Popularity, items: pd.DataFrame) -> pa.Table:
    """Return out_popular_items: the first available items of both windows; items that are equal lately go by all time."""
    import pyarrow as pa

    parts = []
    available = np.flatnonzero(items["is_available"].to_numpy(dtype=bool))
    for window, values in (("recent", counts.recent), ("all_time", counts.all_time)):
        order = np.lexsort((available, -counts.all_time[available], -values[available]))
        best = available[order][:PUBLISHED_ITEMS]
        columns = {
            "window": [window] * len(best),
            "rank": np.arange(1, len(best) + 1, dtype=np.int32),
            "item_id": items["item_id"].to_numpy()[best],
            "score": values[best].astype(np.float32),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)
