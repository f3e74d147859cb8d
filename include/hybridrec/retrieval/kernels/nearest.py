"""Loops over the sparse product of items and histories: each item's nearest others.

A row that reaches few items is summed in a small hash table that stays in the processor's cache, as sparse matrix products
are (Nagasaka et al., High-performance sparse matrix-matrix products, 2018); a long row in an array of all items.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hybridrec.base.compiled import compiled
from hybridrec.retrieval.kernels.arrays import Longs, Norms, Reach, Rows, Sparse
from hybridrec.types import Floats, Ints

EMPTY = -1
SPREAD = 0x9E3779B97F4A7C15  # 2**64 / the golden ratio: neighbouring numbers go to distant slots (Knuth, vol. 3, 6.4)


class Sums(NamedTuple):
    """Sums of the current row by slot. items: item of the slot's sum, EMPTY without one. used: slots in use, as many as are counted."""

    items: Ints
    totals: Floats
    used: Ints


@compiled
def nearest_sums(left: Sparse, right: Sparse, norms: Norms, reach: Reach, first: int, n_kept: int, work: Longs, nearest: Rows) -> None:
    """Find the n_kept largest cells of the rows of left @ right from `first` on; columns rise, the lower one wins a tie.

    Without the diagonal and what is not above 0. work: products that each of these rows adds up; as many rows as `nearest` has sizes.
    """
    n_items = len(norms.other)
    sums = Sums(np.full(n_items, EMPTY, np.int32), np.empty(n_items, np.float32), np.empty(n_items, np.int32))
    items, nearness = np.empty(n_items, np.int32), np.empty(n_items, np.float32)
    half, end = len(reach.weights) // 2, 0
    for row in range(len(nearest.sizes)):
        own, n_used = first + row, 0
        bits = _table_bits(work[row], n_items)
        for entry in range(left.starts[own], left.starts[own + 1]):
            middle, value = left.columns[entry], left.values[entry]
            for near in range(max(reach.firsts[middle], middle - half), min(reach.ends[middle], middle + half + 1)):
                weight = reach.weights[near - middle + half]
                if weight > 0:
                    n_used = _add(right, near, value * weight, own, bits, n_used, sums)
        n_near = _take(sums, n_used, norms, own, items, nearness)
        size = _keep_best(items[:n_near], nearness[:n_near], n_kept, nearest.columns[end:], nearest.values[end:])
        nearest.sizes[row] = size
        end += size


@compiled
def _table_bits(work: int, n_items: int) -> int:
    """Return the bits of a row's hash table: 2 ** bits slots, twice as many as it can use; 0 if an array of all items is smaller."""
    bits = 4
    while 1 << bits < 2 * work:
        bits += 1
    return bits if 1 << bits <= n_items // 8 else 0


@compiled
def _add(right: Sparse, middle: int, weight: np.float32, own: int, bits: int, n_used: int, sums: Sums) -> int:
    """Add a weighted row of `right`, but for the item itself; how many slots are in use now."""
    last, shift = (1 << bits) - 1, np.uint64(64 - bits)
    for entry in range(right.starts[middle], right.starts[middle + 1]):
        item = right.columns[entry]
        if item == own:
            continue
        slot = np.int64(item)
        if bits:
            slot = np.int64((np.uint64(item) * np.uint64(SPREAD)) >> shift)
            while sums.items[slot] != item and sums.items[slot] != EMPTY:
                slot = (slot + 1) & last
        if sums.items[slot] == item:
            sums.totals[slot] += weight * right.values[entry]
        else:
            sums.items[slot] = item
            sums.totals[slot] = weight * right.values[entry]
            sums.used[n_used] = slot
            n_used += 1
    return n_used


@compiled
def _take(sums: Sums, n_used: int, norms: Norms, own: int, items: Ints, nearness: Floats) -> int:
    """Turn the sums into the nearness of items, empty the slots; how many are above 0: what is too little for a float is nothing."""
    n_near = 0
    for entry in range(n_used):
        slot = sums.used[entry]
        other = sums.items[slot]
        sums.items[slot] = EMPTY
        norm = norms.own[own] * norms.other[other] + norms.shrinkage
        if norm > 0 and sums.totals[slot] > 0:
            items[n_near], nearness[n_near] = other, sums.totals[slot] / norm
            n_near += nearness[n_near] > 0
    return n_near


@compiled
def _keep_best(items: Ints, nearness: Floats, k: int, columns: Ints, values: Floats) -> int:
    """Write the k nearest items, rising; the lower ones win a tie at the end. Returns their number."""
    last, n_equal = np.float32(0), k
    if len(items) > k:
        last = np.partition(nearness, len(items) - k)[len(items) - k]
        n_equal = k - np.sum(nearness > last)  # so many that equal the last one have room
    chosen = np.flatnonzero(nearness >= last)
    order = chosen[np.argsort(items[chosen])]
    size = 0
    for entry in order:
        n_equal -= nearness[entry] == last
        if nearness[entry] > last or n_equal >= 0:
            columns[size], values[size] = items[entry], nearness[entry]
            size += 1
    return size
