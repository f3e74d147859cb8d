"""Weights of the retrievers by greedy selection: the retriever that improves the blend most joins it, again and again.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models", ICML 2004: with replacement,
so that a retriever picked twice weighs twice. It starts with the best single retriever, so it hardly ever ends below it.
"""

from __future__ import annotations

import numpy as np

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.splitting.mix import weighted_mean

PICKS = 12
MIN_GAIN = 1e-4  # of NDCG: less is not worth a retriever


def select_retrievers(candidates: CandidateSet, gains: Floats, k: int, max_users: int, seed: int) -> dict[str, float]:
    """Return weights by retriever, as shares; retrievers that do not help are left out. Learns from at most max_users users.

    gains: float32 (n_rows,), 0 if the user did not choose the item.
    """
    retrievers = candidates.retrievers
    if not len(gains):
        return {}
    users = np.random.default_rng(seed).permutation(candidates.users)[:max_users]
    part, of_part = candidates.rows_of(users), gains[np.isin(candidates.row_users, users)]
    judge = _Judge(part, of_part, k)
    z = np.stack([part.features[f"z_{retriever}"] for retriever in retrievers])  # (n_sources, n_rows)
    present = ~np.isnan(z)
    z = np.nan_to_num(z)
    picks, total, weight, best = [], np.zeros(z.shape[1], np.float32), np.zeros(z.shape[1], np.float32), -1.0
    for _ in range(PICKS):
        quality = [judge.ndcg(_blend(total + z[s], weight + present[s])) for s in range(len(retrievers))]
        winner = int(np.argmax(quality))
        if quality[winner] < best + MIN_GAIN:
            break
        picks.append(winner)
        best, total, weight = quality[winner], total + z[winner], weight + present[winner]
    return {retrievers[s]: picks.count(s) / len(picks) for s in sorted(set(picks))}


def _blend(total: Floats, weight: Floats) -> Floats:
    """Return means of the existing scores; rows that no retriever scores come last."""
    return np.where(weight > 0, total / np.maximum(weight, 1), np.float32(-np.inf)).astype(np.float32)


class _Judge:
    """Mean binary NDCG of many scorings of the same rows: only labels are ranked, by counting what is above them."""

    def __init__(self, candidates: CandidateSet, gains: Floats, k: int) -> None:
        self._k = k
        self._sizes = np.diff(candidates.starts)
        self._filled = np.arange(int(self._sizes.max())) < self._sizes[:, None]  # (n_users, most candidates)
        self._relevant = np.zeros(self._filled.shape, dtype=bool)
        self._relevant[self._filled] = gains > 0
        n_relevant = np.minimum(self._relevant.sum(axis=1), k)
        discounts = np.append(0.0, np.cumsum(1 / np.log2(np.arange(2, k + 2))))
        self._ideal = np.maximum(discounts[n_relevant], 1e-12)
        self._weights = candidates.weights

    def ndcg(self, scores: Floats) -> float:
        """Return the mean of NDCG at k over the users as they count; rows with equal scores all get the worst of their positions."""
        padded = np.full(self._filled.shape, -np.inf, dtype=np.float32)
        padded[self._filled] = scores
        width = len(self._filled[0])
        top = padded if width <= self._k else np.partition(padded, width - self._k, axis=1)[:, width - self._k :]
        rows, columns = np.nonzero(self._relevant)
        of_labels = padded[rows, columns]
        position = (top[rows] >= of_labels[:, None]).sum(axis=1)  # of a label that is among the top, itself included
        last = top.min(axis=1)
        crowded = (padded >= last[:, None]).sum(axis=1) > self._k  # more rows tie for the last position than there is room
        listed = np.where(crowded[rows], of_labels > last[rows], of_labels >= last[rows]) & np.isfinite(of_labels)
        worth = np.where(listed, 1 / np.log2(position + 1.0), 0.0)
        return weighted_mean(np.bincount(rows, worth, minlength=len(padded)) / self._ideal, self._weights)
