"""Avoid lists of near-identical items.

Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
summaries", SIGIR 1998: each position goes to the item with the best balance of relevance and distance from those above.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hybridrec.candidates.groups import starts_of
from hybridrec.rules import Kind, RuleContext

DOC = "Reorders the top of each list so that neighbours differ in content."
KIND = Kind.DIVERSIFY
STEP = 1e-9  # least distance of two positions, as a share of the user's spread: keeps ties in the chosen order

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """Options.

    relevance: weight of the score against similarity; 1 changes nothing.
    depth: positions per user that take part.
    """

    relevance: float = 0.8
    depth: int = 60


def apply(ranked: pd.DataFrame, context: RuleContext, config: Config) -> pd.DataFrame:
    """Return the same rows; the scores of each user's first `depth` rows change places, so their scale stays."""
    starts = starts_of(ranked["user_idx"].to_numpy())
    if len(starts) == 1 or config.relevance >= 1:
        return ranked
    position = np.arange(len(ranked)) - np.repeat(starts[:-1], np.diff(starts))
    user = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    top = position < config.depth
    shape = (len(starts) - 1, int(min(config.depth, np.diff(starts).max())))
    scores = np.full(shape, -np.inf)
    scores[user[top], position[top]] = ranked["score"].to_numpy()[top]  # (n_users, depth)
    items = np.full(shape, -1)
    items[user[top], position[top]] = ranked["item_idx"].to_numpy()[top]
    moved = _permuted(scores, _new_positions(scores, _similarities(items, context.vectors), context.k, config.relevance))
    changed = ranked["score"].to_numpy(dtype=np.float64).copy()
    changed[top] = moved[user[top], position[top]]
    return ranked.assign(score=changed)


def _similarities(items: NDArray[np.int64], vectors: csr_array) -> NDArray[np.float32]:
    """Return cosines of each user's items, float32 (n_users, depth, depth).

    Every user gets terms of their own, so one sparse product gives the users' blocks and nothing between users.
    """
    n_users, depth = items.shape
    flat = items.ravel()
    rows = vectors[np.maximum(flat, 0)]
    lengths = np.where(flat >= 0, np.diff(rows.indptr), 0)
    keep = np.repeat(flat >= 0, np.diff(rows.indptr))
    shift = np.repeat(np.arange(len(flat), dtype=np.int64) // depth, np.diff(rows.indptr)) * vectors.shape[1]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    own = csr_array((rows.data[keep], (rows.indices + shift)[keep], indptr), shape=(len(flat), n_users * vectors.shape[1]))
    product = (own @ own.T).tocoo()
    similarities = np.zeros((len(flat), depth), dtype=np.float32)
    similarities[product.row, product.col % depth] = product.data
    return similarities.reshape(n_users, depth, depth)


def _new_positions(scores: Matrix, similarities: NDArray[np.float32], k: int, relevance: float) -> NDArray[np.int64]:
    """Return for each user the columns in their new order, (n_users, depth); after k positions the old order goes on."""
    n_users, depth = scores.shape
    users = np.arange(n_users)
    gain = relevance * _unit_scale(scores)
    nearest = np.zeros((n_users, depth), dtype=np.float32)  # to anything chosen so far
    position = np.full((n_users, depth), depth, dtype=np.int64)
    for slot in range(min(k, depth)):
        value = np.where(position < depth, -np.inf, gain - (1 - relevance) * nearest)
        best = value.argmax(axis=1)
        alive = np.isfinite(value[users, best])
        position[users[alive], best[alive]] = slot
        nearest = np.maximum(nearest, similarities[users, best])
    return np.argsort(position, axis=1, kind="stable")


def _unit_scale(scores: Matrix) -> Matrix:
    """Return scores between 0 and 1 per user, -inf without one."""
    present = np.isfinite(scores)
    low = np.where(present, scores, np.inf).min(axis=1, keepdims=True)
    high = scores.max(axis=1, keepdims=True)
    width = np.where(high > low, high - low, 1.0)
    return np.where(present, (np.where(present, scores, low) - low) / width, -np.inf)


def _permuted(scores: Matrix, order: NDArray[np.int64]) -> Matrix:
    """Return the best score for the first of the order, the next for the second, each at least a step above the one below."""
    n_users, depth = scores.shape
    present = np.isfinite(scores)
    low = np.where(present, scores, np.inf).min(axis=1)
    step = STEP * np.maximum(scores.max(axis=1) - low, np.maximum(np.abs(low), 1.0))
    fallen = np.where(present, scores, np.nan)
    for position in range(depth - 2, -1, -1):
        fallen[:, position] = np.fmax(fallen[:, position], fallen[:, position + 1] + step)
    moved = np.empty_like(fallen)
    moved[np.arange(n_users)[:, None], order] = fallen
    return moved
