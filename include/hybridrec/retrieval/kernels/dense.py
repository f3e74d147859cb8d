"""Loops over dense vectors: scores of tiles of the catalogue, what is kept of them, products of single pairs."""

from __future__ import annotations

import numpy as np

from hybridrec.base.compiled import compiled
from hybridrec.retrieval.kernels.arrays import Kept, Longs, Seen
from hybridrec.types import Floats, Ints

CHUNK = 64  # scores that are compared with a threshold at once
LOWEST = np.finfo(np.float32).min  # above -inf, the score of what is not eligible
UNSURE = -1  # in Kept.sizes: what is kept may lack one of the k best, or there was no room for all that tie


@compiled
def leave_out(tile: Floats, users: Longs, first: int, step: int, seen: Seen) -> None:
    """Make seen items not eligible; moves seen.heads behind the tile.

    Row r of the tile is users[r] of the block, column c is item first + c * step.
    """
    behind = first + tile.shape[1] * step
    for row, user in enumerate(users):
        index = seen.heads[user]
        while index < seen.ends[user] and seen.items[index] < behind:
            if seen.items[index] >= first and (seen.items[index] - first) % step == 0:
                tile[row, (seen.items[index] - first) // step] = -np.inf
            index += 1
        seen.heads[user] = index


@compiled
def scores_of_rank(sample: Floats, rank: int, thresholds: Floats) -> None:
    """Find each row's score of that rank, 1 is the best, and at least LOWEST."""
    best = np.empty(rank, np.float32)  # falling
    for row in range(len(sample)):
        of_row, n_best = sample[row], 0
        best[:] = LOWEST
        for start in range(0, len(of_row), CHUNK):
            end = min(start + CHUNK, len(of_row))
            n_above = 0
            for column in range(start, end):
                n_above += of_row[column] > best[rank - 1]
            if n_above == 0:
                continue
            for column in range(start, end):
                score = of_row[column]
                if score > best[rank - 1]:
                    at = min(n_best, rank - 1)
                    while at > 0 and best[at - 1] < score:
                        best[at] = best[at - 1]
                        at -= 1
                    best[at] = score
                    n_best = min(n_best + 1, rank - 1)
        thresholds[row] = best[rank - 1]


@compiled
def collect(tile: Floats, users: Longs, first: int, k: int, kept: Kept) -> None:
    """Keep what a tile has at or above each user's threshold; rows and columns as in leave_out, a multiple of CHUNK of them.

    When the room is used up, only the k best and the scores within the slack below them stay, and the threshold rises.
    """
    for row, user in enumerate(users):
        of_row, size, threshold = tile[row], kept.sizes[user], kept.thresholds[user]
        for start in range(0, tile.shape[1], CHUNK):
            n_above = 0
            for column in range(CHUNK):  # of a fixed length, so that it becomes vector instructions
                n_above += of_row[start + column] >= threshold
            if n_above == 0 or size == UNSURE:
                continue
            if size + n_above > kept.scores.shape[1]:
                size, threshold = shrink(kept.scores[user], kept.items[user], size, k, kept.slack[user])
                if size + n_above > kept.scores.shape[1]:
                    size = UNSURE
                    continue
            for column in range(start, start + CHUNK):
                if of_row[column] >= threshold:
                    kept.scores[user, size] = of_row[column]
                    kept.items[user, size] = first + column
                    size += 1
        kept.sizes[user], kept.thresholds[user] = size, threshold


@compiled
def raise_thresholds(users: Longs, k: int, kept: Kept) -> None:
    """Raise each user's threshold to what is known of the k-th best."""
    for user in users:
        if kept.sizes[user] >= 2 * k:  # fewer are cheaper to carry along
            size_and_threshold = shrink(kept.scores[user], kept.items[user], kept.sizes[user], k, kept.slack[user])
            kept.sizes[user], kept.thresholds[user] = size_and_threshold[0], max(size_and_threshold[1], kept.thresholds[user])


@compiled
def shrink(scores: Floats, items: Ints, size: int, k: int, slack: np.float32) -> tuple[int, np.float32]:
    """Drop what can no longer be among the k best of the first `size`; the new size and threshold."""
    threshold = np.partition(scores[:size], size - k)[size - k] - slack
    left = 0
    for index in range(size):
        score, item = scores[index], items[index]
        scores[left], items[left] = score, item
        left += score >= threshold
    return left, threshold


@compiled
def rank_kept(users: Floats, vectors: Floats, numbers: Ints, k: int, kept: Kept, items: Ints, scores: Floats) -> None:
    """Return lists of k into items and scores (n_users, k), each pair scored by itself; the lower number first in a tie.

    A user who started at a threshold is sure only if the k-th best lies above it by the slack: otherwise an omitted item could still be
    better when it is scored by itself.
    """
    room = kept.scores.shape[1]
    exact, keys = np.empty(room, np.float32), np.empty(room, np.uint64)
    bits = exact.view(np.uint32)
    for user in range(len(users)):
        size = kept.sizes[user]
        if size >= k:
            size, needed = shrink(kept.scores[user], kept.items[user], size, k, kept.slack[user])
            size = size if needed >= kept.thresholds[user] else UNSURE
        elif kept.thresholds[user] > LOWEST:
            size = UNSURE
        kept.sizes[user] = size
        if size == UNSURE:
            continue
        for index in range(size):
            exact[index] = dot(users[user], vectors[kept.items[user, index]]) + np.float32(0)  # makes -0 a 0, which it equals
            keys[index] = (np.uint64(_falling(bits[index])) << np.uint64(32)) | np.uint64(numbers[kept.items[user, index]])
        keys[:size].sort()  # twice as fast as to sort the scores' indices, and equals come in the order of their numbers
        for index in range(min(size, k)):
            items[user, index] = np.int32(keys[index] & np.uint64(0xFFFFFFFF))
            bits[index] = _falling(np.uint32(keys[index] >> np.uint64(32)))
            scores[user, index] = exact[index]


@compiled
def _falling(bits: np.uint32) -> np.uint32:
    """Return the bits of a float as a whole number that is the smaller, the larger the float; the same again gives the bits back."""
    return np.uint32(bits ^ np.uint32(0x7FFFFFFF)) if bits < np.uint32(0x80000000) else bits


@compiled
def dots_of_pairs(users: Floats, items: Floats, rows: Longs, columns: Longs, scores: Floats) -> None:
    """Compute scores[i] = users[rows[i]] times items[columns[i]]."""
    for pair in range(len(rows)):
        scores[pair] = dot(users[rows[pair]], items[columns[pair]])


@compiled
def dot(left: Floats, right: Floats) -> np.float32:
    """Return a product of two vectors, summed in an order that depends on their length alone; eight sums fill a vector register."""
    a = b = c = d = e = f = g = h = np.float32(0)
    whole = len(left) - len(left) % 8
    for index in range(0, whole, 8):
        a += left[index] * right[index]
        b += left[index + 1] * right[index + 1]
        c += left[index + 2] * right[index + 2]
        d += left[index + 3] * right[index + 3]
        e += left[index + 4] * right[index + 4]
        f += left[index + 5] * right[index + 5]
        g += left[index + 6] * right[index + 6]
        h += left[index + 7] * right[index + 7]
    for index in range(whole, len(left)):
        a += left[index] * right[index]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))
