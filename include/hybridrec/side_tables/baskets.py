"""Items that complete a basket: near each other by the orders that hold both.

A shrunk cosine between items over orders, in which an order counts less the older it is and the more it holds: Sarwar, Karypis, Konstan and
Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001, with orders in the place of users. The rows of several
items add up, as the model item_knn adds up those of a history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from hybridrec.retrieval.item_item import user_weights
from hybridrec.retrieval.kernels.arrays import Norms
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.select import Pairs, rank_pairs, row_numbers
from hybridrec.retrieval.sparse import as_csr, column_sums, power, scaled
from hybridrec.side_tables.rows import as_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.dataset.orders import Orders
    from hybridrec.types import Neighbours

LISTED = 50  # per item: enough that the rows of several items meet
KEPT = 150  # of which the available ones are listed
MAX_ITEMS = 1_000  # of an order: a larger one is a restock, and costs its square
HALF_LIFE_DAYS = 180.0
DAMPING = 0.5  # an order is divided by its length to this power
OWN, OTHER = 0.5, 0.4  # exponents of the norms of the two items, as in the model item_knn
SHRINKAGE = 1.0


def order_matrix(orders: Orders, n_items: int) -> csr_array:
    """Return what each order holds, ones, csr float32 (n_orders, n_items); orders of more than MAX_ITEMS have an empty row."""
    sizes = np.bincount(orders.order, minlength=orders.n_orders)
    kept = sizes[orders.order] <= MAX_ITEMS
    indptr = np.concatenate([[0], np.cumsum(np.where(sizes <= MAX_ITEMS, sizes, 0))]).astype(np.int32)
    return csr_array((np.ones(int(kept.sum()), np.float32), orders.item[kept], indptr), shape=(orders.n_orders, n_items))


def together(orders: Orders, n_items: int, threads: int) -> csr_array:
    """Return the nearness of items by their orders, csr float32 (n_items, n_items); row i holds what having i in the basket adds."""
    held = order_matrix(orders, n_items)
    several = np.flatnonzero(np.diff(held.indptr) > 1)
    if not len(several):
        return as_csr(csr_array((n_items, n_items), dtype=np.float32))
    days = np.zeros(orders.n_orders)
    np.maximum.at(days, orders.order, orders.days)  # an order is as old as its oldest item
    weights = user_weights(held[several], DAMPING) * 0.5 ** (days[several] / HALF_LIFE_DAYS)
    by_order = scaled(held[several], weights.astype(np.float32), np.ones(n_items, np.float32))
    squares = column_sums(by_order.power(2))
    norms = Norms(power(squares, OWN), power(squares, OTHER), np.float32(SHRINKAGE))
    return nearest(by_order.T.tocsr(), by_order, KEPT, threads, norms)


def listed(nearness: csr_array, available: np.ndarray) -> Neighbours:
    """Return the LISTED best available items of each item."""
    rows, there = row_numbers(nearness), available[nearness.indices]
    return rank_pairs(Pairs(rows[there], nearness.indices[there]), nearness.data[there], nearness.shape[0], LISTED)


def bought_together(nearness: csr_array, items: pd.DataFrame) -> pa.Table:
    """Return out_bought_together."""
    import pyarrow as pa

    ids = pa.array(items["item_id"], pa.string())
    return as_table("bought_together", ids, ids, listed(nearness, items["is_available"].to_numpy(dtype=bool)))
