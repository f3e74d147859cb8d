"""Shared base of strategies that learn one number per column or retriever: fit, save and load.

The penalty, which pulls the weights towards 0, the plain blend, is chosen by cross-fitting over users: every user is
scored by weights that have not seen this user's labels. The penalty with the best NDCG wins, if it beats the blend by
more than two standard errors of the paired difference; so with few labels the blend stays.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet, Ints
from hybridrec.candidates.groups import Floats, best_first, starts_of
from hybridrec.metrics.metrics import judge, ndcg
from hybridrec.ranking.labelled import labelled_users, labels_in, sample_users
from hybridrec.ranking.listwise import Mask, Scorer, fit_weights, targets_of
from hybridrec.splitting.mix import standard_error, weighted_mean
from hybridrec.storage import store
from hybridrec.types import Doubles

log = logging.getLogger(__name__)
WEIGHTS = "weights.json"
BLEND = 1e6  # a penalty under which no weight leaves 0
SURE = 2.0  # of several choices on noise the best is often one standard error ahead
PENALTIES = (BLEND, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit.

    penalty: strength of the pull towards the plain blend; below 0 it is chosen by cross-fitting in `folds` parts.
    folds: parts of the cross-fitting.
    depth: each user's best rows by the plain blend, from which the fit learns.
    max_rows: with more rows of labelled users, users are sampled.
    search_rows: the same limit during cross-fitting.
    k: length of the list whose NDCG decides.
    """

    penalty: float = -1.0
    folds: int = 4
    depth: int = 60
    max_rows: int = 600_000
    search_rows: int = 300_000
    k: int = 20


Options = TypeVar("Options", bound=FitOptions)


class Learner(NamedTuple):
    """A fit's input from a candidate set.

    names: of the scorer's weights. rows: bool (n_rows,), rows of the candidates that are learnt from; the scorer holds just these.
    """

    names: tuple[str, ...]
    scorer: Scorer
    rows: Mask


class LearntWeights(ABC, Generic[Options]):
    """A strategy with learnt weights by name; a subclass has `learner` and `score`."""

    def __init__(self, config: Options, weights: Mapping[str, float] | None = None, penalty: float = BLEND) -> None:
        self.config = config
        self.penalty = penalty
        self._weights = weights

    @abstractmethod
    def learner(self, candidates: CandidateSet) -> Learner:
        """Return the learner for a candidate set."""

    @abstractmethod
    def score(self, candidates: CandidateSet) -> Floats:
        """Return scores by the fitted weights, float32 (n_rows,)."""

    @property
    def weights(self) -> Mapping[str, float]:
        """The fitted weights."""
        if self._weights is None:
            raise PermanentError(f"{self._name}: not fitted; run python -m jobs.train_ranker for this run first")
        return self._weights

    def fit(self, candidates: CandidateSet, gains: Floats, seed: int, threads: int) -> dict[str, float]:
        """Fit on the users who chose one of their candidates; without any, the plain blend stays."""
        users = labelled_users(candidates, gains)
        if not len(users):
            log.warning("%s: no candidate is a label of its user, the plain blend stays; widen label_share or pool_k", self._name)
        self.penalty = self._choose(*sample_users(candidates, gains, users, self.config.search_rows, seed), seed)
        learnt_from, gains = sample_users(candidates, gains, users, self.config.max_rows, seed)
        names, scorer, rows = self._best_rows(learnt_from)
        weights = _fitted(_taught(learnt_from, gains, scorer, rows), self.penalty, np.zeros(len(names)))
        self._weights = dict(zip(names, weights.tolist(), strict=True))
        return {"penalty": self.penalty, "n_users": float(len(learnt_from.users)), "n_weights": float(len(names))}

    def unfitted(self) -> Self:
        """Return one with the penalty that this one chose."""
        return type(self)(replace(self.config, penalty=self.penalty))

    def save(self, folder: Path) -> None:
        """Write weights.json."""
        store.write_json(folder / WEIGHTS, {"weights": dict(self.weights), "penalty": self.penalty})

    @classmethod
    def load(cls, folder: Path, config: Options) -> Self:
        """Return the saved strategy."""
        stored = json.loads((folder / WEIGHTS).read_text())
        return cls(config, stored["weights"], stored["penalty"])

    def _choose(self, candidates: CandidateSet, gains: Floats, seed: int) -> float:
        """Return the penalty, by cross-fitting over users unless the options fix it."""
        if self.config.penalty >= 0:
            return self.config.penalty
        if len(candidates.users) < 2 * self.config.folds:
            return BLEND
        _, scorer, rows = self._best_rows(candidates)
        fold_of_user = np.random.default_rng(seed).permutation(len(candidates.users)) % self.config.folds
        fold_of_row = np.repeat(fold_of_user, np.diff(candidates.starts))[rows]
        scores = np.full((len(PENALTIES), len(gains)), np.nan, dtype=np.float32)
        scores[:, rows] = _out_of_fold(_taught(candidates, gains, scorer, rows), fold_of_row)
        labels, k = labels_in(candidates, gains), self.config.k
        quality = np.stack([ndcg(judge(candidates, of_penalty, labels, k), k) for of_penalty in scores])
        return PENALTIES[best_choice(quality, candidates.weights)]

    def _best_rows(self, candidates: CandidateSet) -> Learner:
        """Return the learner of each user's best `depth` rows by the plain blend: deeper candidates will not be shown anyway."""
        names, scorer, rows = self.learner(candidates)
        plain = np.full(len(candidates.items), np.nan, dtype=np.float32)
        plain[rows] = scorer.score(np.zeros(len(names)))
        listed, _ = best_first(plain, candidates.items, candidates.starts, self.config.depth)
        best = np.zeros(len(rows), dtype=bool)
        best[listed] = True
        return Learner(names, scorer.take(best[rows]), best)

    @property
    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2]


class Taught(NamedTuple):
    """Rows that a fit learns from: their scorer, gains, users, and how much each one's user counts (None: all alike)."""

    scorer: Scorer
    gains: Floats
    row_users: Ints
    weights: Doubles | None

    def take(self, rows: Mask) -> Taught:
        """Return some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return Taught(self.scorer.take(rows), self.gains[rows], self.row_users[rows], weights)


def best_choice(quality: Doubles, weights: Doubles | None = None) -> int:
    """Return the row of (n_choices, n_users) with the best mean; the first unless it is beaten by SURE standard errors.

    weights: how much each user counts, None for all alike.
    """
    best = int(np.argmax([weighted_mean(of_choice, weights) for of_choice in quality]))
    ahead = quality[best] - quality[0]
    return best if weighted_mean(ahead, weights) > SURE * standard_error(ahead, weights) else 0


def _taught(candidates: CandidateSet, gains: Floats, scorer: Scorer, rows: Mask) -> Taught:
    weights = candidates.row_weights
    return Taught(scorer, gains[rows], candidates.row_users[rows], None if weights is None else weights[rows])


def _out_of_fold(taught: Taught, fold_of_row: NDArray[np.int64]) -> Floats:
    """Return each row's score by weights that were fitted without its user, up to a factor, for each penalty; (n_penalties, n_rows)."""
    scores = np.zeros((len(PENALTIES), len(taught.gains)), dtype=np.float32)
    for fold in np.unique(fold_of_row):
        held = fold_of_row == fold
        learner, judged, weights = taught.take(~held), taught.scorer.take(held), np.zeros(taught.scorer.n_weights)
        for index, penalty in enumerate(PENALTIES):  # falling: a fit starts where the last one ended
            weights = _fitted(learner, penalty, weights)
            scores[index, held] = judged.score(weights)
    return scores


def _fitted(taught: Taught, penalty: float, start: Doubles) -> Doubles:
    if penalty >= BLEND or not taught.gains.any():
        return np.zeros(len(start))
    return fit_weights(taught.scorer, targets_of(taught.gains, starts_of(taught.row_users), taught.weights), penalty, start)
