"""Loops over sparse products: a row's sums, the best of them, items by the terms that they share."""

from __future__ import annotations

import numpy as np

from hybridrec.base.compiled import compiled
from hybridrec.retrieval.kernels.arrays import Bounds, Doubles, Groups, Longs, Sparse, Sums
from hybridrec.retrieval.kernels.dense import dot
from hybridrec.types import Floats, Ints

SUMMED_ANEW = 8  # summing an item again costs as much as so many cells of a term
SELECTED = 4  # to find the k-th best costs as much an item as so many cells


@compiled
def best_sums(left: Sparse, right: Sparse, seen: Sparse, n_items: int, items: Ints, scores: Floats) -> None:
    """Find the best of each row of left @ right without seen items, into items and scores (n_rows, k); ties by item."""
    k = items.shape[1]
    sums = _no_sums(n_items)
    for row in range(len(left.starts) - 1):
        for index in range(seen.starts[row], seen.starts[row + 1]):
            sums.state[seen.columns[index]] = 2 * row + 1
        n_reached = 0
        for index in range(left.starts[row], left.starts[row + 1]):
            middle = left.columns[index]
            n_reached = _add(right, middle, left.values[index], 2 * row, n_reached, sums)
        _rank_sums(sums.reached[:n_reached], sums.total, k, items[row], scores[row])


@compiled
def best_sums_and_dots(
    left: Sparse, right: Sparse, seen: Sparse, users: Floats, vectors: Floats, others: Ints, items: Ints, scores: Floats
) -> None:
    """Extend best_sums to left @ right + users @ vectors.T, if no cell of left @ right is below 0.

    vectors: (n_items, n_factors). others: (n_rows, n), the best unseen items by users @ vectors.T alone, NO_ITEM pads: what is
    neither among them nor reached by left @ right cannot be among the best of both, if n is at least k.
    """
    k, sums = items.shape[1], _no_sums(len(vectors))
    total, state, reached = sums
    for row in range(len(left.starts) - 1):
        for index in range(seen.starts[row], seen.starts[row + 1]):
            state[seen.columns[index]] = 2 * row + 1
        n_reached = 0
        for index in range(left.starts[row], left.starts[row + 1]):
            n_reached = _add(right, left.columns[index], left.values[index], 2 * row, n_reached, sums)
        for item in others[row]:
            if item >= 0 and state[item] < 2 * row:
                state[item], total[item] = 2 * row, 0
                reached[n_reached] = item
                n_reached += 1
        for item in reached[:n_reached]:
            total[item] += dot(users[row], vectors[item])
        _rank_sums(reached[:n_reached], total, k, items[row], scores[row])


@compiled
def _no_sums(n_items: int) -> Sums:
    """Return the state before the first row; row r's number is 2 * r."""
    return Sums(np.empty(n_items, np.float32), np.full(n_items, -1, np.int64), np.empty(n_items, np.int32))


@compiled
def _add(right: Sparse, middle: int, weight: np.float32, number: int, n_reached: int, sums: Sums) -> int:
    """Add a weighted row of `right` to the sums of the row of that number; how many items are reached so far."""
    for other in range(right.starts[middle], right.starts[middle + 1]):
        item = right.columns[other]
        if sums.state[item] == number:
            sums.total[item] += weight * right.values[other]
        elif sums.state[item] != number + 1:
            sums.state[item] = number
            sums.total[item] = weight * right.values[other]
            sums.reached[n_reached] = item
            n_reached += 1
    return n_reached


@compiled
def _rank_sums(reached: Ints, total: Floats, k: int, items: Ints, scores: Floats) -> None:
    keys = np.empty(len(reached), np.float32)
    for index in range(len(reached)):
        keys[index] = -total[reached[index]]
    if len(reached) > k > 0:
        reached = reached[keys <= np.partition(keys, k - 1)[k - 1]]
    chosen = np.sort(reached)
    for index in range(len(chosen)):
        keys[index] = -total[chosen[index]]
    order = np.argsort(keys[: len(chosen)], kind="mergesort")  # stable
    for index in range(min(len(chosen), k)):
        items[index] = chosen[order[index]]
        scores[index] = -keys[order[index]]


@compiled
def sums_of_pairs(left: Sparse, right: Sparse, n_items: int, starts: Longs, columns: Longs, scores: Floats) -> None:
    """Compute cells of left @ right; pairs starts[row]:starts[row + 1] name the columns of a row. The same sums as best_sums."""
    total, asked = np.zeros(n_items, np.float32), np.full(n_items, -1, np.int64)
    for row in range(len(left.starts) - 1):
        if starts[row] == starts[row + 1]:
            continue
        for pair in range(starts[row], starts[row + 1]):
            asked[columns[pair]] = row
            total[columns[pair]] = 0
        for index in range(left.starts[row], left.starts[row + 1]):
            weight, middle = left.values[index], left.columns[index]
            for other in range(right.starts[middle], right.starts[middle + 1]):
                if asked[right.columns[other]] == row:
                    total[right.columns[other]] += weight * right.values[other]
        for pair in range(starts[row], starts[row + 1]):
            scores[pair] = total[columns[pair]]


@compiled
def best_by_terms(left: Sparse, by_term: Sparse, vectors: Sparse, bounds: Bounds, wanted: Longs, items: Ints, scores: Floats) -> None:
    """Find the wanted[row] best of each row of left @ by_term, none below 0, without visiting every item that shares a term.

    vectors: the transpose of by_term, sorted. items, scores: as of best_sums, at least as wide as what is wanted.
    Items near the k-th best are summed again, in the order of their terms, so that the sums are those of best_sums.
    """
    n_items, n_terms = len(vectors.starts) - 1, len(bounds.largest)
    sums, weights = _no_sums(n_items), np.zeros(n_terms, np.float32)
    total, _, reached = sums
    for row in range(len(left.starts) - 1):
        terms = left.columns[left.starts[row] : left.starts[row + 1]]
        values = left.values[left.starts[row] : left.starts[row + 1]]
        n_reached, least = _reach_by_terms(terms, values, by_term, bounds, wanted[row], 2 * row, sums)
        weights[terms] = values
        n_left = 0
        for item in reached[:n_reached]:
            if total[item] >= least:
                total[item] = _sum_of(weights, vectors, item)
                reached[n_left] = item
                n_left += 1
        weights[terms] = 0
        _rank_sums(reached[:n_left], total, wanted[row], items[row], scores[row])


@compiled
def _reach_by_terms(terms: Ints, values: Floats, by_term: Sparse, bounds: Bounds, k: int, number: int, sums: Sums) -> tuple[int, float]:
    """Add up terms, the rare and heavy ones first, until the others cannot matter; how many items are reached, and the least that counts.

    Those left add at most the sum of what each can, and at most the product of the lengths. Once the k-th best so far has more, and
    it costs less to sum the items near it again than to go on, the search ends.
    """
    order = np.argsort(_worth(terms, values, by_term))
    ahead = _most_ahead(terms[order], values[order], bounds)
    inexact = 4 * (len(terms) + 4) * np.float64(np.finfo(np.float32).eps)
    n_reached, work, checked = 0, 0, 0
    left = np.sum(by_term.starts[terms + 1] - by_term.starts[terms])
    for rank in range(len(terms)):
        term = terms[order[rank]]
        n_items_of_term = by_term.starts[term + 1] - by_term.starts[term]
        if work + n_items_of_term > 2 * checked and left - work > SELECTED * n_reached and n_reached > k > 0:
            checked = work + n_items_of_term
            kth, most = _kth_largest(sums.reached[:n_reached], sums.total, k) * (1 - inexact), ahead[rank] * (1 + inexact)
            if kth > most and SUMMED_ANEW * _count_from(sums.reached[:n_reached], sums.total, kth - most) < n_items_of_term:
                return n_reached, kth - most
        n_reached = _add(by_term, term, values[order[rank]], number, n_reached, sums)
        work += n_items_of_term
    if n_reached > k > 0:
        return n_reached, _kth_largest(sums.reached[:n_reached], sums.total, k) * (1 - inexact) ** 2
    return n_reached, 0.0


@compiled
def _worth(terms: Ints, values: Floats, by_term: Sparse) -> Doubles:
    """Return the smaller, the more a term says for each item that has it."""
    worth = np.empty(len(terms), np.float64)
    for index in range(len(terms)):
        term = terms[index]
        worth[index] = -(np.float64(values[index]) ** 2) / max(by_term.starts[term + 1] - by_term.starts[term], 1)
    return worth


@compiled
def _most_ahead(terms: Ints, values: Floats, bounds: Bounds) -> Doubles:
    """Return the most that the terms from each index on can add, float64 (n + 1,)."""
    most = np.zeros(len(terms) + 1, np.float64)
    added, squares = 0.0, 0.0
    for index in range(len(terms) - 1, -1, -1):
        added += np.float64(values[index]) * bounds.largest[terms[index]]
        squares += np.float64(values[index]) ** 2
        most[index] = min(added, np.sqrt(squares) * bounds.longest)
    return most


@compiled
def _kth_largest(reached: Ints, total: Floats, k: int) -> float:
    """Return the k-th largest total of more than k items."""
    among = np.empty(len(reached), np.float32)
    for index in range(len(reached)):
        among[index] = total[reached[index]]
    return np.float64(np.partition(among, len(among) - k)[len(among) - k])


@compiled
def _count_from(reached: Ints, total: Floats, least: float) -> int:
    """Count the items with at least that total."""
    n = 0
    for index in range(len(reached)):
        n += total[reached[index]] >= least
    return n


@compiled
def _sum_of(weights: Floats, vectors: Sparse, item: int) -> np.float32:
    """Return the product of an item's vector and dense weights, summed in the order of the terms; a weight of 0 adds nothing."""
    total = np.float32(0)
    for index in range(vectors.starts[item], vectors.starts[item + 1]):
        total += weights[vectors.columns[index]] * vectors.values[index]
    return total


@compiled
def sums_by_item(left: Sparse, vectors: Sparse, n_terms: int, starts: Longs, items: Longs, scores: Floats) -> None:
    """Compute cells of left @ vectors.T as in sums_of_pairs, by the requested items and not by all that share a term.

    Both are sorted, so the sums are those of best_sums.
    """
    weights = np.zeros(n_terms, np.float32)
    for row in range(len(left.starts) - 1):
        if starts[row] == starts[row + 1]:
            continue
        for index in range(left.starts[row], left.starts[row + 1]):
            weights[left.columns[index]] = left.values[index]
        for pair in range(starts[row], starts[row + 1]):
            scores[pair] = _sum_of(weights, vectors, items[pair])
        for index in range(left.starts[row], left.starts[row + 1]):
            weights[left.columns[index]] = 0


@compiled
def members_of(groups: Groups, numbers: Ints, of_groups: Floats, seen: Sparse, items: Ints, scores: Floats) -> None:
    """Find the first unseen members of each row's groups, into items and scores (n_rows, k); ties by item.

    numbers, of_groups: (n_rows, n), groups by falling score, NO_ITEM pads.
    """
    k = items.shape[1]
    state = np.full(len(groups.members), -1, np.int64)
    candidates = np.empty(min(len(groups.members), k * numbers.shape[1]), np.int32)
    for row in range(len(numbers)):
        state[seen.columns[seen.starts[row] : seen.starts[row + 1]]] = row
        size, first = 0, 0
        while size < k and first < numbers.shape[1] and numbers[row, first] >= 0:
            score, end, n_found = of_groups[row, first], first, 0
            while end < numbers.shape[1] and numbers[row, end] >= 0 and of_groups[row, end] == score:
                n_found = _unseen_of(groups, numbers[row, end], state, row, k - size, candidates, n_found)
                end += 1
            for item in np.sort(candidates[:n_found])[: k - size]:
                items[row, size], scores[row, size] = item, score
                size += 1
            first = end


@compiled
def _unseen_of(groups: Groups, group: int, state: Longs, row: int, most: int, candidates: Ints, size: int) -> int:
    """Put the first unseen members of a group into the candidates from `size` on; its new size."""
    end = size + most
    for item in groups.members[groups.starts[group] : groups.starts[group + 1]]:
        if size == end:
            break
        if state[item] != row:
            candidates[size] = item
            size += 1
    return size
