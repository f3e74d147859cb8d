"""How recent the items of a history are, by their order alone: it holds where days are too coarse or mean nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.models import UserBlock
from hybridrec.retrieval.select import row_numbers


def newer_items(users: UserBlock) -> NDArray[np.int64]:
    """How many items of the same history are newer, for each stored pair of `users.history`; equal days count as equal."""
    rows = row_numbers(users.history)
    order = np.lexsort((users.days, rows))  # by row, newest first
    days = users.days[order]
    starts = np.r_[True, (rows[1:] != rows[:-1]) | (days[1:] != days[:-1])][: len(rows)]  # of a run of equals
    first = np.maximum.accumulate(np.where(starts, np.arange(len(rows)), 0))
    newer = np.empty(len(rows), dtype=np.int64)
    newer[order] = first - users.history.indptr[rows]
    return newer
