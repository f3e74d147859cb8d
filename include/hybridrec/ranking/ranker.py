"""The learnt ranker: LightGBM LambdaRank, mixed with a blend of the retrievers as far as the labels carry it.

    score = (1 - mix) * z(blend) + mix * z(mean of the trees)        z: per-user standard score

The blend is a mean of the retrievers' z-scores, of all or of some, plus weighted z-scores of all models where labels carry
that. The ranker keeps the names of its columns and refuses a candidate set with other ones. How it is fitted: ranking/ranker_fit.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hybridrec.base.errors import PermanentError
from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, Rows, zscore
from hybridrec.ranking.forest import Forest, forest_of
from hybridrec.storage import store

if TYPE_CHECKING:
    import lightgbm

NO_CORRECTION = 1e6  # a penalty under which no weight leaves 0
TREES, COLUMNS = "trees-*.txt", "columns.json"
ARRAYS = ".npz"


@dataclass(frozen=True)
class Blend:
    """The linear part of a ranker.

    shares: weights of the retrievers' mean by retriever; empty: all retrievers alike. corrections: weights by column that are added,
    and the penalty under which they were fitted.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    corrections: Mapping[str, float] = field(default_factory=dict)
    penalty: float = NO_CORRECTION

    def score(self, candidates: CandidateSet) -> Floats:
        """Return float32 (n_rows,); a score that a model does not have counts 0, the user's mean."""
        total = weighted_mean(candidates, self.shares) if self.shares else candidates.features["mean_z"].copy()
        for column, weight in sorted(self.corrections.items()):
            total += np.float32(weight) * np.nan_to_num(candidates.features[column])
        return total

    def weights(self) -> dict[str, float]:
        """Return the weight of each column, shares and corrections together; mean_z if all retrievers have the same weight."""
        mean = {f"z_{retriever}": share for retriever, share in self.shares.items()} or {"mean_z": 1.0}
        return {column: mean.get(column, 0.0) + self.corrections.get(column, 0.0) for column in {**mean, **self.corrections}}


PLAIN_BLEND = Blend()


class Trees(Protocol):
    """A scorer of rows."""

    def predict(self, matrix: Floats) -> NDArray[np.float64]:
        """Return scores of the rows of (n_rows, n_columns), float64 (n_rows,)."""

    def moves(self, matrix: Floats) -> NDArray[np.float64]:
        """Return each column's contribution to each row's score, float64 (n_rows, n_columns)."""


@dataclass(frozen=True)
class LightGbmTrees:
    """Trees of a kind that only LightGBM scores; moves are Shapley values, which cost much more than scores."""

    booster: lightgbm.Booster
    rounds: int

    def predict(self, matrix: Floats) -> NDArray[np.float64]:
        """See Trees."""
        return np.asarray(self.booster.predict(matrix, num_iteration=self.rounds, num_threads=1), dtype=np.float64)

    def moves(self, matrix: Floats) -> NDArray[np.float64]:
        """See Trees."""
        moved = self.booster.predict(matrix, num_iteration=self.rounds, num_threads=1, pred_contrib=True)
        return np.asarray(moved, dtype=np.float64)[:, :-1]


class Boosted(NamedTuple):
    """A booster in LightGBM's words, and its first trees, those that count."""

    text: str
    trees: Trees

    @classmethod
    def of(cls, booster: lightgbm.Booster, rounds: int) -> Boosted:
        """Return the booster with its first `rounds` trees."""
        return cls(booster.model_to_string(), trees_of(booster, rounds))

    def save(self, file: Path) -> None:
        """Write the text, and beside it the trees as arrays, for whom LightGBM's import costs more than its work."""
        file.write_text(self.text)
        if isinstance(self.trees, Forest):
            self.trees.save(file.with_suffix(ARRAYS))

    @classmethod
    def load(cls, file: Path, rounds: int) -> Boosted:
        """Read the files of save."""
        text, arrays = file.read_text(), file.with_suffix(ARRAYS)
        if arrays.exists():
            return cls(text, Forest.load(arrays))
        import lightgbm

        return cls(text, trees_of(lightgbm.Booster(model_str=text), rounds))


class Ranker:
    """A fitted ranker; without trees it is the blend, with several boosters their mean counts."""

    def __init__(self, boosted: tuple[Boosted, ...], columns: tuple[str, ...], rounds: int, mix: float, blend: Blend) -> None:
        self._boosted = boosted
        self.columns = columns
        self.rounds = rounds
        self.mix = mix
        self.blend = blend

    def score(self, candidates: CandidateSet) -> Floats:
        """Return scores, float32 (n_rows,); PermanentError unless the candidates' columns are just those of the fit."""
        require_columns(candidates, self.columns)
        blend = self.blend.score(candidates)
        if not self._boosted or self.mix == 0 or not len(candidates.items):
            return mixed(candidates, blend, np.zeros(len(candidates.items)), 0.0)
        matrix = matrix_of(candidates, self.columns)
        return mixed(candidates, blend, np.mean([one.trees.predict(matrix) for one in self._boosted], axis=0), self.mix)

    def top_features(self, candidates: CandidateSet, rows: Rows, n: int = 3) -> list[list[str]]:
        """Return the columns that moved each row's score most, largest first: the trees', or without trees the blend's."""
        require_columns(candidates, self.columns)
        if not self._boosted or self.mix == 0:
            weights = self.blend.weights()
            columns = tuple(sorted(weights))
            moved = np.abs(np.nan_to_num(matrix_of(candidates, columns, rows)) * np.array([weights[name] for name in columns]))
        else:
            columns = self.columns
            matrix = matrix_of(candidates, columns, rows)
            moved = np.abs(np.sum([one.trees.moves(matrix) for one in self._boosted], axis=0))
        largest = np.argsort(-moved, axis=1, kind="stable")[:, :n]
        return [[columns[c] for c in of_row if moved[row, c] > 0] for row, of_row in enumerate(largest)]

    def save(self, folder: Path) -> None:
        """Write the trees, if there are any, and the rest as JSON."""
        for number, boosted in enumerate(self._boosted):
            boosted.save(folder / TREES.replace("*", str(number)))
        rest = {"columns": self.columns, "rounds": self.rounds, "mix": self.mix, "blend": asdict(self.blend)}
        store.write_json(folder / COLUMNS, rest)

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """Return the saved ranker."""
        stored = json.loads((folder / COLUMNS).read_text())
        boosted = tuple(Boosted.load(file, stored["rounds"]) for file in sorted(folder.glob(TREES)))
        return cls(boosted, tuple(stored["columns"]), stored["rounds"], stored["mix"], Blend(**stored["blend"]))


def require_columns(candidates: CandidateSet, columns: tuple[str, ...]) -> None:
    """Raise PermanentError naming the candidates' missing columns, or those that the ranker has never seen."""
    missing, unknown = sorted(set(columns) - set(candidates.features)), sorted(set(candidates.features) - set(columns))
    if missing or unknown:
        raise PermanentError(
            f"ranker: the candidates' columns differ from the fit's: missing {missing}, unknown {unknown}; train the ranker again"
        )


def weighted_mean(candidates: CandidateSet, shares: Mapping[str, float]) -> Floats:
    """Return weighted mean of the retrievers' existing z-scores, float32 (n_rows,); 0 without any."""
    total, weight = np.zeros(len(candidates.items), np.float32), np.zeros(len(candidates.items), np.float32)
    for retriever, share in sorted(shares.items()):
        z = candidates.features[f"z_{retriever}"]
        total += np.float32(share) * np.nan_to_num(z)
        weight += np.float32(share) * ~np.isnan(z)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)


def mixed(candidates: CandidateSet, blend: Floats, trees: NDArray[np.float64], mix: float) -> Floats:
    """Return the blend and the trees' scores on one scale, mixed."""
    of_blend = np.nan_to_num(zscore(blend, candidates.starts))
    if mix == 0:
        return of_blend
    return ((1 - mix) * of_blend + mix * np.nan_to_num(zscore(trees, candidates.starts))).astype(np.float32)


def trees_of(booster: lightgbm.Booster, rounds: int) -> Trees:
    """Return the first `rounds` trees, scored in the fastest way that they can be."""
    return forest_of(booster, rounds) or LightGbmTrees(booster, rounds)


def matrix_of(candidates: CandidateSet, columns: tuple[str, ...], rows: Rows | None = None) -> Floats:
    """Return the columns side by side, float32 (n_rows, n_columns)."""
    chosen = [candidates.features[name] if rows is None else candidates.features[name][rows] for name in columns]
    return np.stack(chosen, axis=1)
