"""Sparse rows in a few dimensions, for networks that want dense numbers."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from hybridrec.dataset.content import item_vectors
from hybridrec.types import Floats, TrainingData


def content_vectors(data: TrainingData, dims: int) -> Floats:
    """Return the content of the items in at most `dims` dimensions, float32 (n_items, dims); no columns without any content.

    The catalogue's own vectors, if it has any, are as many dimensions beside those of attributes and text.
    """
    described = project(item_vectors(data.items), dims, data.seed)
    if data.item_vectors is None:
        return described
    return np.hstack([described, project(data.item_vectors(), dims, data.seed)])


def item_factors(matrix: csr_array, dims: int, seed: int) -> Floats:
    """Return items by who chose them, float32 (n_items, dims): PureSVD (Cremonesi, Koren and Turrin, RecSys 2010) of the pairs."""
    chosen = csr_array((np.ones(matrix.nnz, np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
    return project(chosen.T.tocsr(), dims, seed)


def project(rows: csr_array | Floats, dims: int, seed: int) -> Floats:
    """Return the rows by a truncated SVD, float32 (n_rows, at most dims), of mean length 1; no columns if there is nothing to project."""
    from sklearn.decomposition import TruncatedSVD

    n_dims = min(dims, min(rows.shape) - 1)
    if n_dims < 1:
        return np.zeros((rows.shape[0], 0), dtype=np.float32)
    projected = TruncatedSVD(n_dims, random_state=seed).fit_transform(rows)
    lengths = np.linalg.norm(projected, axis=1)
    scaled: Floats = (projected / max(lengths[lengths > 0].mean(), 1e-9) if lengths.any() else projected).astype(np.float32)
    return scaled
