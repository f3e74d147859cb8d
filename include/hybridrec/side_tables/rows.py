"""Ranked lists as rows of a published table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hybridrec.tables import table
from hybridrec.types import NO_ITEM, Neighbours

if TYPE_CHECKING:
    import pyarrow as pa


def as_table(name: str, keys: pa.Array, ids: pa.Array, lists: Neighbours) -> pa.Table:
    """Return out_<name> of lists, a row for each that is not empty. keys: of the rows, ids: of what the lists hold."""
    import pyarrow as pa

    filled = lists.items != NO_ITEM
    rows = np.flatnonzero(filled.any(axis=1))
    offsets = pa.array(np.concatenate([[0], np.cumsum(filled[rows].sum(axis=1))]), pa.int32())
    definition = table(f"out_{name}")
    key, listed, scores = definition.column_names
    columns = {
        key: keys.take(pa.array(rows)),
        listed: pa.ListArray.from_arrays(offsets, ids.take(pa.array(lists.items[rows][filled[rows]]))),
        scores: pa.ListArray.from_arrays(offsets, pa.array(lists.scores[rows][filled[rows]], pa.float32())),
    }
    return pa.table(columns)
