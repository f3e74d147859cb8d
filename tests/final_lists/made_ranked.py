"""Ranked rows over the small world."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from small_world import N_ITEMS, N_USERS

NO_ROWS = {7, 58}  # users whom no source reached


def ranked_rows() -> pa.Table:
    """Random lists, some of them over seen or unavailable items: only the rules keep those out."""
    rng = np.random.default_rng(1)
    rows = []
    for user in sorted(set(range(N_USERS)) - NO_ROWS):
        items = rng.choice(N_ITEMS, 15, replace=False)
        scores = np.sort(rng.normal(0, 1, 15))[::-1]
        for place, (item, score) in enumerate(zip(items, scores, strict=True)):
            sources = ["content", "als"] if item % 2 else ["item_knn"]
            rows.append((user, item, score, place + 1, "stacking" if user < 50 else "weighted", sources, ["score_als"]))
    names = ["user_idx", "item_idx", "score", "rank", "strategy", "sources", "top_features"]
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=names)
