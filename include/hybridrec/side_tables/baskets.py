"""Items that complete a basket: near each other by the orders that hold both.

A shrunk cosine between items over orders, in which an order counts less the older it is and the more it holds: Sarwar, Karypis, Konstan and
Riedl, "Item-based collaborative filtering recommendation algorithms", WWW 2001, with orders in the place of users. The rows of several
items add up, as the model item_knn adds up those of a history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.retrieval.item_item import user_weights
from hybridrec.retrieval.kernels.arrays import Norms
from hybridrec.retrieval.nearest import nearest
from hybridrec.retrieval.select import Pairs, empty_lists, rank_pairs, row_numbers
from hybridrec.retrieval.sparse import as_csr, power
from hybridrec.side_tables.rows import in_batches

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from hybridrec.dataset.orders import Orders
    from hybridrec.types import Doubles, Ints, Neighbours

LISTED = 50  # per item: enough that the rows of several items meet
KEPT = 150  # of which the available ones are listed
MAX_ITEMS = 1_000  # of an order: a larger one is a restock, and costs its square
HALF_LIFE_DAYS = 180.0
DAMPING = 0.5  # an order is divided by its length to this power
OWN, OTHER = 0.5, 0.4  # exponents of the norms of the two items, as in the model item_knn
SHRINKAGE = 1.0
BLOCK_ITEMS = 10_000


def order_matrix(orders: Orders, n_items: int) -> csr_array:
    """Return what each order holds, ones, csr float32 (n_orders, n_items); orders of more than MAX_ITEMS have an empty row."""
    sizes = np.bincount(orders.order, minlength=orders.n_orders)
    kept = sizes[orders.order] <= MAX_ITEMS
    indptr = np.concatenate([[0], np.cumsum(np.where(sizes <= MAX_ITEMS, sizes, 0))]).astype(np.int32)
    return csr_array((np.ones(int(kept.sum()), np.float32), orders.item[kept], indptr), shape=(orders.n_orders, n_items))


def together(parts: Iterable[Orders], n_items: int, threads: int) -> csr_array:
    """Return the nearness of items by their orders, csr float32 (n_items, n_items); row i holds what having i in the basket adds.

    parts: all orders, those of some users at a time. Only the items of orders with several are held.
    """
    items, sizes, days = (np.concatenate(column) for column in zip(*map(_several, parts), strict=True))
    if not len(sizes):
        return as_csr(csr_array((n_items, n_items), dtype=np.float32))
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    indptr = indptr.astype(np.int32) if len(items) < np.iinfo(np.int32).max else indptr
    by_order = csr_array((np.empty(len(items), np.float32), items, indptr), shape=(len(sizes), n_items))
    weights = user_weights(by_order, DAMPING) * 0.5 ** (days / HALF_LIFE_DAYS)
    by_order.data[:] = np.repeat(weights.astype(np.float32), sizes)
    squares = np.bincount(items, by_order.data**2, n_items).astype(np.float32)
    norms = Norms(power(squares, OWN), power(squares, OTHER), np.float32(SHRINKAGE))
    return nearest(by_order.T.tocsr(), by_order, KEPT, threads, norms)


def _several(orders: Orders) -> tuple[Ints, NDArray[np.int64], Doubles]:
    """Return the items of the orders that hold 2 to MAX_ITEMS, order by order, and the size and the age of each."""
    sizes = np.bincount(orders.order, minlength=orders.n_orders)
    wanted = (sizes > 1) & (sizes <= MAX_ITEMS)
    days = np.zeros(orders.n_orders)
    np.maximum.at(days, orders.order, orders.days)  # an order is as old as its oldest item
    return orders.item[wanted[orders.order]], sizes[wanted], days[wanted]


def listed(nearness: csr_array, available: NDArray[np.bool_]) -> Neighbours:
    """Return the LISTED best available items of each item."""
    lists = empty_lists(nearness.shape[0], LISTED)
    for start in range(0, nearness.shape[0], BLOCK_ITEMS):
        part = nearness[start : start + BLOCK_ITEMS]
        rows, there = row_numbers(part), available[part.indices]
        best = rank_pairs(Pairs(rows[there], part.indices[there].astype(np.intp)), part.data[there], part.shape[0], LISTED)
        block = slice(start, start + part.shape[0])
        lists.items[block], lists.scores[block] = best
    return lists


def bought_together(nearness: csr_array, items: pd.DataFrame) -> Iterator[pa.Table]:
    """Yield out_bought_together in batches."""
    import pyarrow as pa

    ids = pa.array(items["item_id"], pa.large_string())
    yield from in_batches("bought_together", ids, ids, listed(nearness, items["is_available"].to_numpy(dtype=bool)))
