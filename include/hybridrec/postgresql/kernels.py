"""PostgreSQL's extended hash functions, compiled: Bob Jenkins' lookup3 of 2006 with a seed, for little-endian machines.

Partitioning by hash relies on these functions, so PostgreSQL keeps them as they are. Imported inside functions only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.compiled import compiled

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Hashes = NDArray[np.uint64]
START = 0x9E3779B9 + 3_923_095
MIX, FINISH = (4, 6, 8, 16, 19, 4), (14, 11, 25, 16, 4, 14, 24)


@compiled
def turned(word: np.uint32, by: int) -> np.uint32:
    """Return the bits of a word turned to the left."""
    return np.uint32((word << by) | (word >> (32 - by)))


@compiled
def mixed(a: np.uint32, b: np.uint32, c: np.uint32) -> tuple[np.uint32, np.uint32, np.uint32]:
    """Return three words after twelve more bytes. In each step they change places; after six each is where it was."""
    for by in MIX:
        a, b, c = b, np.uint32(c + b), np.uint32((a - c) ^ turned(c, by))
    return a, b, c


@compiled
def finished(a: np.uint32, b: np.uint32, c: np.uint32) -> np.uint64:
    """Return the hash that three words amount to. After seven steps b has the place of a, and c that of b."""
    for by in FINISH:
        a, b, c = b, np.uint32((c ^ b) - turned(b, by)), a
    return np.uint64((np.uint64(a) << np.uint64(32)) | np.uint64(b))


@compiled
def word(data: Bytes, offset: int) -> np.uint32:
    """Return four bytes, the first one lowest."""
    return np.uint32(data[offset] | data[offset + 1] << 8 | data[offset + 2] << 16 | data[offset + 3] << 24)


@compiled
def rest(data: Bytes, offset: int, end: int) -> np.uint32:
    """Return up to four bytes as a word; bytes after `end` count as 0."""
    tail = np.uint32(0)
    for number in range(min(4, end - offset)):
        tail = np.uint32(tail | (data[offset + number] << (8 * number)))
    return tail


@compiled
def hash_of(data: Bytes, offset: int, end: int, seed: np.uint64) -> np.uint64:
    """Return hash_bytes_extended of data[offset:end]."""
    a = b = c = np.uint32(START + (end - offset))
    if seed != 0:
        a, b, c = mixed(np.uint32(a + (seed >> np.uint64(32))), np.uint32(b + seed), c)
    while end - offset >= 12:
        a, b, c = mixed(np.uint32(a + word(data, offset)), np.uint32(b + word(data, offset + 4)), np.uint32(c + word(data, offset + 8)))
        offset += 12
    last = rest(data, offset + 8, end) << 8  # at most three bytes: the lowest one of c is the length's
    return finished(np.uint32(a + rest(data, offset, end)), np.uint32(b + rest(data, offset + 4, end)), np.uint32(c + last))


@compiled
def hashed(data: Bytes, borders: Longs, seeds: Hashes) -> Hashes:
    """Return the hash of each data[borders[i]:borders[i + 1]] with seeds[i]."""
    hashes = np.empty(len(seeds), np.uint64)
    for at, seed in enumerate(seeds):
        hashes[at] = hash_of(data, borders[at], borders[at + 1], seed)
    return hashes


@compiled
def folded(hashes: Hashes, borders: Longs) -> Hashes:
    """Return one hash for each list: its elements' are hashes[borders[i]:borders[i + 1]], and their order counts."""
    lists = np.ones(len(borders) - 1, np.uint64)
    for at in range(len(lists)):
        for element in hashes[borders[at] : borders[at + 1]]:
            lists[at] = lists[at] * np.uint64(31) + element
    return lists
