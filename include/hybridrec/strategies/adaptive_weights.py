"""Weights of the retrievers that adapt from night to night: who did badly on what came next counts less (Hedge).

    w_s = exp(-eta * L_s) / sum over retrievers        L_s = sum of the losses of all earlier nights        eta = sqrt(8 ln N / nights)

A night's loss of a retriever is what its own list lacks of the best retriever's NDCG, 0 to 1, on the labels of the ranker split: these lie
before the holdout split, so the weights have not seen what they are judged on. A night scores with the weights of the nights before it and
hands its losses on to the next; the first one is an equal blend. With any losses, after T nights the mean loss is above that of the
best retriever by at most sqrt(2 ln N / T) and a little. A retriever that is new starts with the mean of the others.

Freund and Schapire 1997, A decision-theoretic generalization of on-line learning; Cesa-Bianchi and Lugosi 2006, Prediction, learning, and
games, theorem 2.3, for the falling eta.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats
from hybridrec.metrics.metrics import judge, ndcg
from hybridrec.ranking.labelled import labelled_users, labels_in
from hybridrec.splitting.mix import weighted_mean
from hybridrec.storage import store
from hybridrec.strategies.weighted import blend, require_normaliser
from hybridrec.types import Doubles

DOC = "Weighted sum of the retrievers' normalised scores; the weights follow what each has lost in the nights before (Hedge)."
STATE = "losses.json"


@dataclass(frozen=True)
class Config:
    """Options.

    normaliser: `zscore`, `minmax` or `rank`.
    k: length of the list whose NDCG is the loss.
    """

    normaliser: str = "zscore"
    k: int = 20


class Losses(NamedTuple):
    """Sums of losses by retriever over a number of nights."""

    nights: int = 0
    sums: Mapping[str, float] = {}

    def after(self, losses: Mapping[str, float]) -> Losses:
        """Return the sums with those of one more night; a retriever that is missing there loses as much as the mean."""
        if not losses:
            return self
        mean = sum(losses.values()) / len(losses)
        own = self.of(losses.keys() | self.sums.keys())
        return Losses(self.nights + 1, {name: own[name] + losses.get(name, mean) for name in sorted(own)})

    def of(self, retrievers: Iterable[str]) -> dict[str, float]:
        """Return the sum of each retriever; the mean of all for a new one."""
        mean = sum(self.sums.values()) / len(self.sums) if self.sums else 0.0
        return {name: self.sums.get(name, mean) for name in sorted(retrievers)}

    def weights(self, retrievers: Iterable[str]) -> dict[str, float]:
        """Return the weights of the next night, which sum to 1."""
        sums = self.of(retrievers)
        weights = hedge(np.array(list(sums.values())), self.nights)
        return dict(zip(sums, weights.tolist(), strict=True))


def hedge(sums: Doubles, nights: int) -> Doubles:
    """Return the weights after so many nights with these sums of losses, (..., n); equal ones after none."""
    n = sums.shape[-1]
    eta = np.sqrt(8 * np.log(max(n, 2)) / max(nights, 1))
    odds = np.exp(-eta * (sums - sums.min(axis=-1, keepdims=True, initial=np.inf)))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True), dtype=np.float64)


class Strategy:
    """See the module."""

    def __init__(self, config: Config, before: Losses | None = None) -> None:
        require_normaliser("adaptive_weights", config.normaliser)
        self.config = config
        self._before = before or Losses()
        self._after: Losses | None = None

    def carry(self, folder: Path | None) -> None:
        """Go on from what an earlier night has saved; None: there is none."""
        if folder is not None:
            self._before = _read(folder, "after")

    def fit(self, candidates: CandidateSet, gains: Floats, seed: int, threads: int) -> dict[str, float]:
        """Add this run's losses for the next night; the weights of this run follow from the nights before."""
        losses = retriever_losses(candidates, gains, self.config.k)
        self._after = self._before.after(losses)
        weights = self._before.weights(candidates.retrievers)
        largest = max(weights.values(), default=0.0)
        return {"nights": float(self._before.nights), "largest_weight": largest, **{f"loss_{name}": loss for name, loss in losses.items()}}

    def score(self, candidates: CandidateSet) -> Floats:
        """Return weighted mean of the normalised scores that exist, float32 (n_rows,)."""
        if self._after is None:
            raise PermanentError("adaptive_weights: not fitted; run python -m jobs.train_ranker for this run first")
        return blend(candidates, self._before.weights(candidates.retrievers), self.config.normaliser)

    def unfitted(self) -> Self:
        """Return one that goes on from the same nights."""
        return type(self)(self.config, self._before)

    def save(self, folder: Path) -> None:
        """Write losses.json: before this run, from which the weights follow, and after it."""
        assert self._after is not None
        store.write_json(folder / STATE, {"before": _plain(self._before), "after": _plain(self._after)})

    @classmethod
    def load(cls, folder: Path, config: Config) -> Self:
        """Return the saved strategy."""
        loaded = cls(config, _read(folder, "before"))
        loaded._after = _read(folder, "after")
        return loaded


def retriever_losses(candidates: CandidateSet, gains: Floats, k: int) -> dict[str, float]:
    """Return what each retriever's own list lacks of the best one's NDCG at k, 0 to 1; none without a label among the candidates."""
    if not len(labelled_users(candidates, gains)):
        return {}
    labels = labels_in(candidates, gains)
    weights = None if candidates.weights is None else candidates.weights[np.isin(candidates.users, labels.users)]
    quality = {}
    for name in candidates.retrievers:
        own = (1 / candidates.features[f"rank_{name}"]).astype(np.float32)
        quality[name] = weighted_mean(ndcg(judge(candidates, own, labels, k), k), weights)
    best = max(quality.values(), default=0.0)
    return {name: 1 - value / best for name, value in quality.items()} if best > 0 else {}


def _plain(losses: Losses) -> dict[str, object]:
    return {"nights": losses.nights, "sums": dict(losses.sums)}


def _read(folder: Path, when: str) -> Losses:
    raw = json.loads((folder / STATE).read_text())[when]
    return Losses(int(raw["nights"]), raw["sums"])
