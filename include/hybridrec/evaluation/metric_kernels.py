"""The compiled loops of evaluation/metrics.py, over lists int32 (n_users, depth). Imported inside functions only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.compiled import compiled
from hybridrec.ranking.groups import Starts
from hybridrec.ranking.pool import Ints
from hybridrec.retrieval.kernels import Longs, Sparse

CHUNK = 32  # places that are compared at once
NOWHERE = -1


@compiled
def find_labels(items: Ints, starts: Starts, wanted: Ints, rows: Longs, places: Longs, labels: Longs) -> int:
    """Where lists hold their users' labels wanted[starts[u]:starts[u + 1]]; how many were found.

    Fills rows, places and the labels' numbers, by row, then place.
    """
    n_found = 0
    for row in range(len(items)):
        first = n_found
        for label in range(starts[row], starts[row + 1]):
            place = _place_of(items[row], wanted[label])
            if place == NOWHERE:
                continue
            at = n_found
            while at > first and places[at - 1] > place:
                places[at], labels[at] = places[at - 1], labels[at - 1]
                at -= 1
            places[at], labels[at], rows[n_found] = place, label, row
            n_found += 1
    return n_found


@compiled
def _place_of(of_list: Ints, item: int) -> int:
    whole = len(of_list) - len(of_list) % CHUNK
    for start in range(0, whole, CHUNK):
        n_equal = 0
        for place in range(CHUNK):  # of a fixed length, so that it becomes vector instructions
            n_equal += of_list[start + place] == item
        if n_equal:
            for place in range(start, start + CHUNK):
                if of_list[place] == item:
                    return place
    for place in range(whole, len(of_list)):
        if of_list[place] == item:
            return place
    return NOWHERE


@compiled
def mean_of_items(items: Ints, values: NDArray[np.float64], k: int, means: NDArray[np.float64]) -> None:
    """The mean value of the items within the first k places, 0 for an empty list."""
    for row in range(len(items)):
        total, n_items = 0.0, 0
        for place in range(k):
            if items[row, place] >= 0:
                total += values[items[row, place]]
                n_items += 1
        means[row] = total / max(n_items, 1)


@compiled
def count_items(items: Ints, k: int, counts: Longs) -> None:
    """How often each item stands within the first k places."""
    for row in range(len(items)):
        for place in range(k):
            if items[row, place] >= 0:
                counts[items[row, place]] += 1


@compiled
def mean_cosines(items: Ints, vectors: Sparse, n_terms: int, k: int, means: NDArray[np.float64]) -> None:
    """Mean cosine over the pairs of the first k items with content, 1 for fewer than two; vectors: rows of length 1."""
    total = np.zeros(n_terms, np.float32)  # the list's sum
    for row in range(len(items)):
        for place in range(k):
            item = items[row, place]
            if item >= 0:
                for cell in range(vectors.starts[item], vectors.starts[item + 1]):
                    total[vectors.columns[cell]] += vectors.values[cell]
        n_items, square = 0, np.float64(0)
        for place in range(k):
            item = items[row, place]
            if item < 0 or vectors.starts[item] == vectors.starts[item + 1]:
                continue
            n_items += 1
            of_item = np.float32(0)  # a sum of its own, so that items need not wait for each other
            for cell in range(vectors.starts[item], vectors.starts[item + 1]):
                value = total[vectors.columns[cell]]
                of_item += value * value
                total[vectors.columns[cell]] = 0  # so a term counts once, and the next list starts from nothing
            square += of_item
        means[row] = (square - n_items) / (n_items * (n_items - 1)) if n_items > 1 else 1.0
