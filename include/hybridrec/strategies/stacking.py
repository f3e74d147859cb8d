"""The learnt hybrid: LightGBM LambdaRank over all retrievers' scores and ranks, user, item and pair features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Rows
from hybridrec.ranking.ranker import Ranker
from hybridrec.ranking.ranker_fit import Config, fit_ranker

__all__ = ["DOC", "Config", "Strategy"]
DOC = "LightGBM LambdaRank over all columns of the candidates, mixed with a blend of the retrievers as far as labels carry it."


class Strategy:
    """See hybridrec.ranking.ranker."""

    def __init__(self, config: Config, ranker: Ranker | None = None) -> None:
        self.config = config
        self._ranker = ranker

    @property
    def ranker(self) -> Ranker:
        """The fitted ranker."""
        if self._ranker is None:
            raise PermanentError("stacking: not fitted; run python -m jobs.train_ranker for this run first")
        return self._ranker

    def fit(self, candidates: CandidateSet, gains: Floats, seed: int, threads: int) -> dict[str, float]:
        """Fit on the ranker split; returns the chosen rounds and mix with what cross-fitting saw."""
        self._ranker, metrics = fit_ranker(candidates, gains, self.config, seed, threads)
        return metrics

    def unfitted(self) -> Strategy:
        """Return one with the choices that this one made, and a single fit of the trees."""
        ranker = self.ranker
        selected, penalty = bool(ranker.blend.shares), ranker.blend.penalty
        chosen = replace(self.config, rounds=max(1, ranker.rounds), mix=ranker.mix, selected=selected, penalty=penalty)
        return Strategy(replace(chosen, bags=1))  # what it is fitted again for is compared with its like

    def score(self, candidates: CandidateSet) -> Floats:
        """Return the ranker's scores; PermanentError unless the candidates have just the columns that it was fitted on."""
        return self.ranker.score(candidates)

    def top_features(self, candidates: CandidateSet, rows: Rows) -> list[list[str]]:
        """List the names of the columns that moved each row's score most."""
        return self.ranker.top_features(candidates, rows)

    def save(self, folder: Path) -> None:
        """Write the trees (LightGBM) and columns.json."""
        self.ranker.save(folder)

    @classmethod
    def load(cls, folder: Path, config: Config) -> Strategy:
        """Return the fitted strategy from its folder."""
        return cls(config, Ranker.load(folder))
