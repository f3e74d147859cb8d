"""Each item's nearest other items, found in the sparse product of who chose them.

Only cells that the product stores are looked at, one row after the other, so the work is the number of times that two
items meet in a history, and the memory that of the neighbours kept; neither grows with the square of the catalogue.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.base.threads import as_they_end
from hybridrec.retrieval.kernels.arrays import Longs, Norms, Reach, Rows, Sparse
from hybridrec.retrieval.select import uneven_blocks
from hybridrec.retrieval.sparse import arrays_of


def nearest(
    left: csr_array, right: csr_array, n_kept: int, threads: int, norms: Norms | None = None, reach: Reach | None = None
) -> csr_array:
    """Return the n_kept largest cells of each row of left @ right off the diagonal, csr float32 (n_items, n_items), sorted indices.

    left: csr float32 (n_items, n). right: csr float32 (n, n_items). Only nearness above 0 counts; the lower item wins a tie.
    A row is summed by itself and in the order of left's row, so the result does not depend on blocks or threads.
    """
    search = _Search(left, right, n_kept, norms or Norms.none(left.shape[0]), reach or Reach.itself(left.shape[1]))
    sizes = np.zeros(left.shape[0] + 1, dtype=np.int64)
    room = int(search.most.sum())
    columns, values, end = np.empty(room, np.int32), np.empty(room, np.float32), 0  # what is never written takes no memory
    blocks = list(uneven_blocks(search.work + 1))
    for rows, block in zip(blocks, as_they_end(search.of, blocks, threads), strict=True):
        sizes[rows.start + 1 : rows.stop + 1] = block.sizes
        start, end = end, end + len(block.columns)
        columns[start:end], values[start:end] = block.columns, block.values
    return csr_array((values[:end], columns[:end], _narrow(np.cumsum(sizes))), shape=(left.shape[0], right.shape[1]), copy=False)


class _Search:
    """The product, and how much work each of its rows is. most: cells that a row can keep."""

    def __init__(self, left: csr_array, right: csr_array, n_kept: int, norms: Norms, reach: Reach) -> None:
        self.left, self.right = arrays_of(left), arrays_of(right)
        self.n_kept, self.norms, self.reach = n_kept, norms, reach
        self.work = _work(self.left, self.right, reach)
        self.most = np.minimum(self.work, min(n_kept, right.shape[1]))

    def of(self, rows: slice) -> Rows:
        """Return the neighbours of a block of items."""
        from hybridrec.retrieval.kernels.nearest import nearest_sums

        room = int(self.most[rows].sum())
        block = Rows(np.zeros(rows.stop - rows.start, np.int64), np.empty(room, np.int32), np.empty(room, np.float32))
        nearest_sums(self.left, self.right, self.norms, self.reach, rows.start, self.n_kept, self.work[rows], block)
        size = int(block.sizes.sum())
        return Rows(block.sizes, block.columns[:size], block.values[:size])


def _work(left: Sparse, right: Sparse, reach: Reach) -> Longs:
    """Return products to be added up for each row, int64 (n_rows,)."""
    columns, half = np.arange(len(reach.firsts)), len(reach.weights) // 2
    firsts, ends = np.maximum(reach.firsts, columns - half), np.minimum(reach.ends, columns + half + 1)
    upto = np.concatenate([[0], np.cumsum((right.starts[ends] - right.starts[firsts])[left.columns])])
    work: Longs = upto[left.starts[1:]] - upto[left.starts[:-1]]
    return work


def _narrow(indptr: Longs) -> NDArray[np.integer]:
    """Return int32 where that is enough: scipy copies an index array whose type is not its partner's."""
    return indptr.astype(np.int32) if indptr[-1] < np.iinfo(np.int32).max else indptr
