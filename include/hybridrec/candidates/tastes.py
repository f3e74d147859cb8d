"""Features of what the catalogue says of items, and of how much a user is used to it; a catalogue without it adds no column.

item_category_rank        log(1 + n) for n items with more events lately in the item's category, the best of its categories
item_log_price            log of the price
user_log_price            mean of the history's, by weight
price_gap                 log of the price over the user's usual one
affinity_brand            share of the user's history that has the item's brand
affinity_category_<type>  share of the user's events of a type whose items have the item's categories, where several types count
affinity_brand_<type>     the same for the brand
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.candidates.groups import Floats, Starts, rank_score
from hybridrec.types import Ints

if TYPE_CHECKING:
    import pyarrow as pa

USERS_AT_ONCE = 4096  # bounds the rows that are spread out over labels at a time
MIN_PRICES = 2  # one price for all says nothing


@dataclass(frozen=True)
class Chosen:
    """Choices of some users: row of the user, item and weight of each pair, in any order."""

    rows: NDArray[np.integer]
    items: Ints
    weights: NDArray[np.float64]


def chosen_of(history: pa.Table, users: Ints, weight: str = "") -> Chosen:
    """Return the pairs of a table with user_idx and item_idx; weight: the column, each pair counts 1 without one."""
    rows = np.searchsorted(users, history["user_idx"].to_numpy())
    weights = history[weight].to_numpy().astype(np.float64) if weight else np.ones(len(rows))
    return Chosen(rows, history["item_idx"].to_numpy(), weights)


def affinity(chosen: Chosen, labels: csr_array, starts: Starts, row_items: Ints) -> Floats:
    """Return the share of each user's choices with the item's labels, averaged over them; 0 without labels, float32 (n_rows,).

    labels: csr of ones (n_items, n_labels).
    """
    n_users = len(starts) - 1
    totals = np.bincount(chosen.rows, chosen.weights, minlength=n_users)
    shares = csr_array((chosen.weights / totals[chosen.rows], (chosen.rows, chosen.items)), shape=(n_users, labels.shape[0]))
    profiles = csr_array(shares @ labels)  # (n_users, n_labels)
    n_labels = np.maximum(np.diff(labels.indptr), 1)
    found = np.zeros(len(row_items))
    for first in range(0, n_users, USERS_AT_ONCE):
        last = min(first + USERS_AT_ONCE, n_users)
        block = slice(starts[first], starts[last])
        of_rows = profiles[np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))]
        found[block] = of_rows.multiply(labels[row_items[block]]).sum(axis=1) / n_labels[row_items[block]]
    return found.astype(np.float32)


def price_columns(chosen: Chosen, log_price: Floats, starts: Starts, row_items: Ints) -> dict[str, Floats]:
    """Return what the user usually pays and how far the item is from it, float32 (n_rows,) by name; log_price: of all items."""
    prices = log_price[chosen.items].astype(np.float64)
    priced = ~np.isnan(prices)
    n_users = len(starts) - 1
    weights = np.bincount(chosen.rows[priced], chosen.weights[priced], minlength=n_users)
    sums = np.bincount(chosen.rows[priced], chosen.weights[priced] * prices[priced], minlength=n_users)
    usual = np.repeat(sums / np.where(weights > 0, weights, np.nan), np.diff(starts))
    return {"user_log_price": usual.astype(np.float32), "price_gap": (log_price[row_items] - usual).astype(np.float32)}


def log_prices(prices: NDArray[np.float64]) -> Floats | None:
    """Return logarithms of the prices, NaN without one or for free; None if no two items differ in it. prices: NaN without one."""
    logs = np.log(np.where(prices > 0, prices, np.nan))
    return logs.astype(np.float32) if len(np.unique(logs[~np.isnan(logs)])) >= MIN_PRICES else None


def label_matrix(labels: Sequence[Sequence[str] | None]) -> csr_array:
    """Return which labels each item has, csr of ones (n_items, n_labels), of one empty column without any."""
    names = {name: column for column, name in enumerate(sorted({name for of_item in labels for name in of_item or ()}))}
    pairs = [(row, names[name]) for row, of_item in enumerate(labels) for name in sorted(set(of_item or ()))]
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(labels), max(len(names), 1)))


def label_ranks(labels: csr_array, counts: Floats) -> Floats | None:
    """Return log(1 + n) for n items with a larger count and the same label, the best over an item's labels; None without labels.

    counts: (n_items,). Equal counts share their mean position, so no number of an item decides; NaN for an item without labels.
    """
    if not labels.nnz:
        return None
    by_label = labels.T.tocsr()
    sizes = np.diff(by_label.indptr)
    starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)
    items, size = by_label.indices, np.repeat(sizes, sizes)
    position = (1 - rank_score(np.nan_to_num(counts[items]), starts).astype(np.float64)) * size
    best = np.full(labels.shape[0], np.inf)
    np.minimum.at(best, items, position)
    return np.where(np.isfinite(best), np.log1p(np.where(np.isfinite(best), best, 0)), np.nan).astype(np.float32)
