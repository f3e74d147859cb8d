"""Take the users of a run some at a time, so that memory does not grow with all that they have done."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hybridrec.dataset import orders
from hybridrec.storage import store

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

BLOCK_ROWS = 2_000_000  # pairs or purchases of a block, if users are alike: as many as a file of events fills


def user_blocks(run: Run, split: str) -> list[range]:
    """Return ranges of all users, in order; tables are in the order of users, so a range reads its own part of them."""
    rows = store.read_manifest(run.dataset("model_interactions", split)).rows
    if orders.has_orders(run):
        rows = max(rows, store.read_manifest(run.dataset(orders.TABLE)).rows)
    n_users = store.read_manifest(run.dataset("model_users")).rows
    n_blocks = 1 + rows // BLOCK_ROWS
    ends = [-(-n_users * number // n_blocks) for number in range(n_blocks + 1)]  # rounded up, as the files' ranges are
    return [range(first, stop) for first, stop in pairwise(ends) if stop > first]
