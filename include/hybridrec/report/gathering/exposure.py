"""Measure how evenly positions are spread over items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.metrics.metrics import gini, top_share
from hybridrec.report.list_facts import Exposure

CURVE_POINTS = 61


def exposure(name: str, counts: NDArray[np.int64]) -> Exposure:
    """Measure the spread of `counts`, the number of entries of each item, zeros included."""
    rising = np.sort(counts)  # (n_items,)
    total = max(int(rising.sum()), 1)
    cumulated = np.concatenate([[0.0], np.cumsum(rising) / total])  # (n_items + 1,)
    n_items = len(rising)
    at = np.unique(np.linspace(0, n_items, CURVE_POINTS).round().astype(int))
    curve = tuple((round(int(i) / max(n_items, 1), 4), round(float(cumulated[i]), 4)) for i in at)
    return Exposure(
        name=name,
        n_items=n_items,
        n_shown=int((rising > 0).sum()),
        n_for_half=int(n_items - np.searchsorted(cumulated, 0.5, side="right") + 1) if rising.any() else 0,
        gini=round(gini(counts), 4),
        top_1_percent=round(top_share(counts, 0.01), 4),
        top_10_percent=round(top_share(counts, 0.10), 4),
        curve=curve,
    )
