"""Similar items for item pages and anonymous sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.retrieval.select import empty_lists, row_blocks
from hybridrec.types import NO_ITEM, Neighbours

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PREFERRED = ("item_knn", "content")  # what people choose together before what merely looks alike


def similar_items(neighbours_by_model: dict[str, Neighbours], items: pd.DataFrame, k: int) -> pa.Table:
    """Return out_similar_items: each item's k nearest available ones.

    A row is from one model only, so that its scores compare: the preferred one that fills k positions, or else the one that
    fills most. An item without any neighbour has no row.
    """
    import pyarrow as pa

    available = items["is_available"].to_numpy(dtype=bool)
    names = [name for name in PREFERRED if name in neighbours_by_model]
    lists = [_available_first(neighbours_by_model[name], available, k) for name in names]
    counts = np.array([(of_model.items != NO_ITEM).sum(axis=1) for of_model in lists])  # (n_models, n_items)
    best = counts.argmax(axis=0)  # the first of equals
    rows = np.flatnonzero(counts.max(axis=0) > 0)
    chosen = np.stack([of_model.items for of_model in lists])[best[rows], rows]  # (n_rows, k)
    scores = np.stack([of_model.scores for of_model in lists])[best[rows], rows]
    filled = chosen != NO_ITEM
    offsets = pa.array(np.concatenate([[0], np.cumsum(filled.sum(axis=1))]), pa.int32())
    item_ids = pa.array(items["item_id"])
    columns = {
        "item_id": item_ids.take(pa.array(rows)),
        "item_ids": pa.ListArray.from_arrays(offsets, item_ids.take(pa.array(chosen[filled]))),
        "scores": pa.ListArray.from_arrays(offsets, pa.array(scores[filled])),
        "reason": [names[model] for model in best[rows]],
    }
    return pa.table(columns)


def _available_first(neighbours: Neighbours, available: NDArray[np.bool_], k: int) -> Neighbours:
    """Return the first k available neighbours of each item, in their order; NO_ITEM pads."""
    best = empty_lists(len(neighbours.items), min(k, neighbours.items.shape[1]))
    for rows in row_blocks(*neighbours.items.shape):
        items, scores = neighbours.items[rows], neighbours.scores[rows]
        usable = (items != NO_ITEM) & available[items]
        order = np.argsort(~usable, axis=1, kind="stable")[:, :k]
        best.items[rows] = np.take_along_axis(np.where(usable, items, NO_ITEM), order, axis=1)
        best.scores[rows] = np.take_along_axis(scores, order, axis=1)
    return best
