"""The main directions of a large sparse matrix.

Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011: some passes over the matrix find the
space of its largest singular values, and a small dense decomposition the values themselves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from hybridrec.models import Floats

PASSES = 4
MAX_SHARE = 4  # of the smaller side, one in so many: all directions together only repeat the matrix
SPARE = 16  # directions that are found and dropped, which makes the kept ones exact enough


class Directions(NamedTuple):
    """Right singular vectors of a matrix, strongest first. items: float32 (n_columns, n). strengths: float32 (n,)."""

    items: Floats
    strengths: Floats


def main_directions(matrix: csr_array, n_directions: int, seed: int) -> Directions:
    """The strongest directions of a csr float32 (n_rows, n_columns), fewer of a small one; equal seeds give equal bytes."""
    from sklearn.utils.extmath import randomized_svd

    n_kept = min(n_directions, max(1, min(matrix.shape) // MAX_SHARE))
    _, strengths, vectors = randomized_svd(
        matrix, n_kept, n_oversamples=SPARE, n_iter=PASSES, power_iteration_normalizer="QR", random_state=seed
    )
    return Directions(np.ascontiguousarray(vectors.T, dtype=np.float32), strengths.astype(np.float32))
