"""The compiled loops of metrics/metrics.py, over lists int32 (n_users, depth). Imported inside functions only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.compiled import compiled
from hybridrec.candidates.candidate_set import Ints
from hybridrec.candidates.groups import Floats, Starts
from hybridrec.retrieval.kernels.arrays import Longs

NOWHERE = -1
CELL = np.dtype([("term", np.int32), ("value", np.float32)])  # of a content vector: side by side, so that both come at once


@compiled
def find_labels(items: Ints, starts: Starts, wanted: Ints, rows: Longs, positions: Longs, labels: Longs) -> int:
    """Find the positions of the users' labels wanted[starts[u]:starts[u + 1]] in their lists; returns how many were found.

    Fills rows, positions and the labels' numbers, by row, then position.
    """
    n_found = 0
    for row in range(len(items)):
        first = n_found
        for label in range(starts[row], starts[row + 1]):
            position = _position_of(items[row], wanted[label])
            if position == NOWHERE:
                continue
            at = n_found
            while at > first and positions[at - 1] > position:
                positions[at], labels[at] = positions[at - 1], labels[at - 1]
                at -= 1
            positions[at], labels[at], rows[n_found] = position, label, row
            n_found += 1
    return n_found


@compiled
def order_gains(starts: Starts, gains: Floats, depth: int, rows: Longs, positions: Longs, falling: Floats) -> None:
    """Sort the first `depth` of each user's gains[starts[u]:starts[u + 1]], largest first. Fills rows, positions and falling."""
    first = 0
    for row in range(len(starts) - 1):
        n_kept = 0
        for label in range(starts[row], starts[row + 1]):
            if n_kept < depth:
                n_kept += 1
            elif gains[label] <= falling[first + depth - 1]:
                continue
            at = first + n_kept - 1
            while at > first and falling[at - 1] < gains[label]:
                falling[at] = falling[at - 1]
                at -= 1
            falling[at] = gains[label]
        for position in range(n_kept):
            rows[first + position], positions[first + position] = row, position
        first += n_kept


@compiled
def _position_of(of_list: Ints, item: int) -> int:
    holds = False
    for position in range(len(of_list)):  # to the end, without a branch, so that it becomes vector instructions
        holds |= of_list[position] == item
    if holds:
        for position in range(len(of_list)):
            if of_list[position] == item:
                return position
    return NOWHERE


@compiled
def mean_of_items(items: Ints, values: NDArray[np.float64], k: int, means: NDArray[np.float64]) -> None:
    """Compute the mean value of the items within the first k positions, 0 for an empty list."""
    for row in range(len(items)):
        total, n_items = 0.0, 0
        for position in range(k):
            if items[row, position] >= 0:
                total += values[items[row, position]]
                n_items += 1
        means[row] = total / max(n_items, 1)


@compiled
def count_items(items: Ints, k: int, counts: Longs) -> None:
    """Count how often each item is within the first k positions."""
    for row in range(len(items)):
        for position in range(k):
            if items[row, position] >= 0:
                counts[items[row, position]] += 1


@compiled
def mean_cosines(items: Ints, starts: Longs, cells: NDArray[np.void], n_terms: int, k: int, means: NDArray[np.float64]) -> int:
    """Return mean cosine over the pairs of the first k items with content, 1 for fewer than two.

    cells: of CELL, of item i starts[i]:starts[i + 1], whose values have length 1. The number that is returned means nothing.
    """
    total = np.zeros(n_terms, np.float32)  # the sum of the list's items so far
    touched = np.empty(k * np.diff(starts).max(), np.int32)
    fetched = np.int32(0)
    for row in range(len(items)):
        for position in range(k):  # all at once from memory, in place of each in its turn: a third of the time
            item = items[row, position]
            if item >= 0 and starts[item] < starts[item + 1]:
                fetched ^= cells[starts[item]]["term"] ^ cells[starts[item + 1] - 1]["term"]
        n_items, n_touched, cosines = 0, 0, np.float64(0)
        for position in range(k):
            item = items[row, position]
            if item < 0 or starts[item] == starts[item + 1]:
                continue
            n_items += 1
            of_item = np.float32(0)  # the cosines with all items above: the product with their sum
            for cell in range(starts[item], starts[item + 1]):
                term, value = cells[cell]["term"], cells[cell]["value"]
                before = total[term]
                of_item += before * value
                total[term] = before + value
                touched[n_touched] = term
                n_touched += 1
            cosines += of_item
        for at in range(n_touched):
            total[touched[at]] = 0  # so that the next list starts from nothing
        means[row] = 2 * cosines / (n_items * (n_items - 1)) if n_items > 1 else 1.0
    return int(fetched)  # or else the compiler would leave out what it is for
