"""Features of pairs that the user may choose again: how often before, how long ago, and whether it is about time.

pair_log_n_events     log(1 + events of the pair), 0 outside of the history
pair_days             days since its newest event
pair_gap_days         mean days between its events, if they are on more than one day
pair_due              pair_days in units of that gap, or of the item's where the pair has none
user_repeat_share     share of the user's items with events on more than one day
user_gap_days         mean gap of those items
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybridrec.candidates.groups import Floats, Starts

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.types import Ints

TABLE = "model_repeats"
COLUMNS = ("n_events", "first_event_at", "last_event_at")
DAY_MICROS = 86_400e6


def columns(history: pa.Table, users: Ints, starts: Starts, row_items: Ints, cut: float, item_gap_days: Floats) -> dict[str, Floats]:
    """Return the features of candidates, float32 (n_rows,) by name, NaN without a value.

    history: user_idx, item_idx and COLUMNS of the users' pairs, in any order. cut: seconds since 1970. item_gap_days: of each row's item.
    """
    n_items = np.int64(max(int(row_items.max(initial=0)), int(history["item_idx"].to_numpy().max(initial=0))) + 1)
    row = np.searchsorted(users, history["user_idx"].to_numpy())
    keys = row * n_items + history["item_idx"].to_numpy()
    order = np.argsort(keys)
    n_events = history["n_events"].to_numpy().astype(np.float64)
    first, last = (history[name].cast("int64").to_numpy() / DAY_MICROS for name in COLUMNS[1:])
    again = last - first >= 1
    gaps = np.where(again, (last - first) / np.maximum(n_events - 1, 1), np.nan)
    asked = np.repeat(np.arange(len(users)), np.diff(starts)) * n_items + row_items
    at = np.minimum(np.searchsorted(keys, asked, sorter=order), max(len(keys) - 1, 0))
    pair = order[at] if len(keys) else np.zeros(len(asked), np.int64)
    known = keys[pair] == asked if len(keys) else np.zeros(len(asked), bool)

    def of_pairs(values: np.ndarray, missing: float) -> np.ndarray:
        return np.where(known, values[pair], missing) if len(keys) else np.full(len(asked), missing)

    days, gap = of_pairs(cut * 1e6 / DAY_MICROS - last, np.nan), of_pairs(gaps, np.nan)
    usual = np.where(np.isnan(gap), item_gap_days, gap)
    of_rows = {
        "pair_log_n_events": np.log1p(of_pairs(n_events, 0.0)),
        "pair_days": days,
        "pair_gap_days": gap,
        "pair_due": days / np.maximum(usual, 1.0),
    }
    n_pairs, n_again = np.bincount(row, minlength=len(users)), np.bincount(row[again], minlength=len(users))
    of_users = {
        "user_repeat_share": n_again / np.maximum(n_pairs, 1),
        "user_gap_days": np.bincount(row[again], gaps[again], minlength=len(users)) / np.where(n_again > 0, n_again, np.nan),
    }
    of_rows |= {name: np.repeat(values, np.diff(starts)) for name, values in of_users.items()}
    return {name: values.astype(np.float32) for name, values in of_rows.items()}
