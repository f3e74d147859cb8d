"""Choose the window of time whose popularity says best what is chosen next: an hour where news live for hours, weeks in a shop.

Each window ends where the labels of the ranker split begin, and is judged by them: by how high its most chosen items rank what comes next.
One window serves a whole run, since a feature must mean the same on every split; the labels of the holdout split have no say in it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.config import Config
from hybridrec.splitting import purposes
from hybridrec.splitting.likes import is_positive

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Split

log = logging.getLogger(__name__)
HOURS = (1, 3, 12, 24, 72, 168, 336, 672)  # an hour to 28 days
HOUR_MICROS = 3_600_000_000
PARTS = 32  # counts of batches that are added up at a time
LABEL = -1  # instead of the number of a window


def best_window(config: Config, files: Iterable[str], split: Split) -> int:
    """Return the hours of the window, 0 where events have no calendar. files: of core_events. split: the one with the labels.

    The most popular items of the last hours are few, so a window is judged by its DCG at config.k over all labels; a tie counts as the
    worst of its positions, and of equal windows the longest wins.
    """
    if config.split != "time" or split.label_end is None:
        return 0
    counts, labels = _counts(config, files, split)
    if not labels.sum():
        return HOURS[-1]
    upto = np.cumsum(counts, axis=0)  # (n_windows, n_items), each window holds the shorter ones
    worth = np.array([_worth(of_window, labels, config.k) for of_window in upto])
    best = len(HOURS) - 1 - int(np.argmax(worth[::-1]))
    log.info("popularity of the last %d hours says best what comes next: %s", HOURS[best], dict(zip(HOURS, worth.round(4), strict=True)))
    return HOURS[best]


def _worth(counts: NDArray[np.int64], labels: NDArray[np.int64], k: int) -> float:
    """Return the mean DCG at k of the labels in the order of the counts; counts, labels: (n_items,)."""
    falling = np.sort(counts)[::-1]
    position = len(counts) - np.searchsorted(falling[::-1], counts)  # items with as many or more
    listed = (counts > 0) & (position <= k)
    return float((labels[listed] / np.log2(1.0 + position[listed])).sum() / labels.sum())


def _counts(config: Config, files: Iterable[str], split: Split) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positive events of each item by the shortest window that holds them, (n_windows, n_items), and its labels, (n_items,).

    Streams core_events in batches: memory grows with the items, not with the events.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    cut, end = (int(at.timestamp() * 1e6) for at in (split.cut, split.label_end or split.cut))
    at = pc.field("event_at").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    is_label = pc.field("event_type").isin(list(purposes.label_types(config)))
    wanted = is_positive(config) & (at >= cut - HOURS[-1] * HOUR_MICROS) & (at < end) & ((at < cut) | is_label)
    parts = []
    for batch in ds.dataset(list(files)).scanner(columns={"item_id": pc.field("item_id"), "at": at}, filter=wanted).to_batches():
        age = cut - batch["at"].to_numpy()
        window = np.where(age <= 0, LABEL, np.searchsorted(HOURS, age / HOUR_MICROS))
        rows = pa.table({"item_id": batch["item_id"], "window": window, "n": np.ones(len(window), np.int64)})
        parts.append(_added(rows))
        if len(parts) == PARTS:
            parts = [_added(pa.concat_tables(parts))]
    found = _added(pa.concat_tables(parts))
    item = found["item_id"].dictionary_encode().combine_chunks()
    counts = np.zeros((len(HOURS), len(item.dictionary)), np.int64)
    labels = np.zeros(len(item.dictionary), np.int64)
    numbers, window, n = item.indices.to_numpy(), found["window"].to_numpy(), found["n"].to_numpy()
    labels[numbers[window == LABEL]] = n[window == LABEL]
    counts[window[window != LABEL], numbers[window != LABEL]] = n[window != LABEL]
    return counts, labels


def _added(rows: pa.Table) -> pa.Table:
    summed = rows.group_by(["item_id", "window"]).aggregate([("n", "sum")])
    return summed.rename_columns({"n_sum": "n"})
