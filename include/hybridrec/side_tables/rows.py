"""Ranked lists as rows of a published table, some at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.tables import table
from hybridrec.types import NO_ITEM, Neighbours

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 5_000  # of a batch: texts of some thousand lists stay far below the 2 GiB that an Arrow array of strings can hold


def in_batches(name: str, keys: pa.Array, ids: pa.Array, lists: Neighbours) -> Iterator[pa.Table]:
    """Yield out_<name> of lists, a row for each that is not empty, in their order. keys: of the rows, ids: of what the lists hold."""
    for start in range(0, len(lists.items), ROWS):
        part = slice(start, start + ROWS)
        yield _as_table(name, keys[start : start + ROWS], ids, Neighbours(lists.items[part], lists.scores[part]))


def _as_table(name: str, keys: pa.Array, ids: pa.Array, lists: Neighbours) -> pa.Table:
    import pyarrow as pa

    filled = lists.items != NO_ITEM
    rows = np.flatnonzero(filled.any(axis=1))
    offsets = pa.array(np.concatenate([[0], np.cumsum(filled[rows].sum(axis=1))]), pa.int32())
    definition = table(f"out_{name}")
    key, listed, scores = definition.column_names
    columns = {
        key: keys.take(pa.array(rows)).cast(pa.string()),
        listed: pa.ListArray.from_arrays(offsets, ids.take(pa.array(lists.items[rows][filled[rows]])).cast(pa.string())),
        scores: pa.ListArray.from_arrays(offsets, pa.array(lists.scores[rows][filled[rows]], pa.float32())),
    }
    return pa.table(columns)
