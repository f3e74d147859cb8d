"""The main directions of a large sparse matrix.

Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011: some passes of the matrix over random
vectors turn them into the space of its largest singular values, and a small dense decomposition finds these in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.types import Floats

PASSES = 5
SPARE = 16  # directions that are found and dropped, which makes the kept ones exact enough
MAX_SHARE = 4  # of the smaller side, one in so many: all directions together only repeat the matrix
NOTHING = 1e-12  # of the largest squared length: less is rounding


class Directions(NamedTuple):
    """Right singular vectors of a matrix, strongest first. items: float32 (n_columns, n). strengths: float32 (n,)."""

    items: Floats
    strengths: Floats


def main_directions(matrix: csr_array, n_directions: int, seed: int) -> Directions:
    """Return the strongest directions of a csr float32 (n_rows, n_columns), fewer of a small one; equal seeds give equal bytes."""
    n_kept = min(n_directions, max(1, min(matrix.shape) // MAX_SHARE))
    exact = matrix.astype(np.float64)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], n_kept + SPARE))
    for _ in range(PASSES):
        basis = _orthonormal(exact.T @ (exact @ basis))
    image = exact @ basis
    squares, axes = np.linalg.eigh(image.T @ image)  # rising
    strongest = np.argsort(-squares, kind="stable")[:n_kept]
    items = basis @ axes[:, strongest]
    return Directions(items.astype(np.float32), np.sqrt(np.maximum(squares[strongest], 0)).astype(np.float32))


def _orthonormal(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a basis of the space of some columns, by way of their products: ten times as quick as QR."""
    squares, axes = np.linalg.eigh(vectors.T @ vectors)
    there = squares > NOTHING * squares[-1]
    basis: NDArray[np.float64] = vectors @ (axes[:, there] / np.sqrt(squares[there]))
    return basis
