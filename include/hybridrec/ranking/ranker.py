"""The learnt ranker: LightGBM LambdaRank, mixed with the equal-weight blend as far as the labels carry it.

    score = (1 - mix) * z(mean_z) + mix * z(trees)        z: per-user standard score

With few labelled users trees learn noise, so the number of rounds and `mix` are chosen by cross-fitting over users:
every user is scored by trees that have not seen this user's labels. Among the choices that are no worse than the
best by more than one standard error of the paired difference, the one nearest to the plain blend wins.

The ranker keeps the names of its columns and refuses a pool with other ones.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec import store
from hybridrec.errors import BadData
from hybridrec.evaluation.metrics import Labels, judge, ndcg
from hybridrec.ranking.groups import Floats, Rows, starts_of, zscore
from hybridrec.ranking.pool import Pool

if TYPE_CHECKING:
    import lightgbm

log = logging.getLogger(__name__)
TREES, COLUMNS = "ranker.txt", "columns.json"
LEVELS = 30  # LambdaRank wants whole relevance levels: gains are rounded to thirtieths of the largest
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Config:
    """Options.

    rounds: number of trees, 0: chosen among `max_rounds` / 8, / 4, / 2 and `max_rounds`. mix: weight of the trees, below 0: chosen.
    max_rows: more rows of labelled users than this are sampled by user; search_rows: the same for cross-fitting.
    k: length of the list whose NDCG chooses.
    """

    rounds: int = 0
    mix: float = -1.0
    max_rounds: int = 160
    learning_rate: float = 0.05
    leaves: int = 15
    min_rows_in_leaf: int = 40
    l2: float = 10.0
    column_share: float = 0.7
    folds: int = 4
    max_rows: int = 300_000  # 160 rounds on so many take 11 s of CPU
    search_rows: int = 150_000
    k: int = 20


class Choice(NamedTuple):
    """What cross-fitting has chosen; ndcg and blend_ndcg are out-of-fold means of the choice and of the blend, 0 if it was fixed."""

    rounds: int
    mix: float
    ndcg: float
    blend_ndcg: float


class Ranker:
    """A fitted ranker; without trees it is the blend."""

    def __init__(self, trees: lightgbm.Booster | None, columns: tuple[str, ...], rounds: int, mix: float) -> None:
        self._trees = trees
        self.columns = columns
        self.rounds = rounds
        self.mix = mix

    def score(self, pool: Pool) -> Floats:
        """Scores, float32 (n_rows,); BadData unless the pool's columns are just those of the fit."""
        require_columns(pool, self.columns)
        if self._trees is None or self.mix == 0 or not len(pool.items):
            return mixed(pool, np.zeros(len(pool.items)), 0.0)
        return mixed(pool, _predict(self._trees, _matrix(pool, self.columns), self.rounds), self.mix)

    def top_features(self, pool: Pool, rows: Rows, n: int = 3) -> list[list[str]]:
        """The columns that moved the trees' score of each row most, upwards or downwards, largest first."""
        require_columns(pool, self.columns)
        if self._trees is None or self.mix == 0 or not len(rows):
            return [["mean_z"]] * len(rows)
        matrix = _matrix(pool, self.columns, rows)
        moved = np.abs(np.asarray(self._trees.predict(matrix, pred_contrib=True, num_threads=1))[:, :-1])
        largest = np.argsort(-moved, axis=1, kind="stable")[:, :n]
        return [[self.columns[c] for c in of_row if moved[row, c] > 0] for row, of_row in enumerate(largest)]

    def importances(self) -> dict[str, float]:
        """Total gain of each column's splits, as shares of all; empty without trees."""
        if self._trees is None:
            return {}
        gains = self._trees.feature_importance("gain")
        return {name: float(gain / max(gains.sum(), 1e-12)) for name, gain in zip(self.columns, gains, strict=True)}

    def save(self, folder: Path) -> None:
        """Write the trees, if there are any, as LightGBM text and the columns as JSON."""
        if self._trees is not None:
            (folder / TREES).write_text(self._trees.model_to_string())
        store.write_json(folder / COLUMNS, {"columns": self.columns, "rounds": self.rounds, "mix": self.mix})

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """The saved ranker."""
        import lightgbm

        stored = json.loads((folder / COLUMNS).read_text())
        path = folder / TREES
        trees = lightgbm.Booster(model_str=path.read_text()) if path.exists() else None
        return cls(trees, tuple(stored["columns"]), stored["rounds"], stored["mix"])


def stored_columns(folder: Path) -> tuple[str, ...]:
    """The columns of a saved ranker."""
    return tuple(json.loads((folder / COLUMNS).read_text())["columns"])


def require_columns(pool: Pool, columns: tuple[str, ...]) -> None:
    """BadData names the columns that the pool lacks, or that the ranker has never seen."""
    missing, unknown = sorted(set(columns) - set(pool.features)), sorted(set(pool.features) - set(columns))
    if missing or unknown:
        raise BadData(f"ranker: the pool's columns differ from the fit's: missing {missing}, unknown {unknown}; train the ranker anew")


def fit_ranker(pool: Pool, gains: Floats, config: Config, seed: int, threads: int) -> tuple[Ranker, dict[str, float]]:
    """Fit on the users of the pool who turned to one of their candidates; where nobody did, the ranker is the blend."""
    found = np.add.reduceat(gains, pool.starts[:-1]) > 0 if len(gains) else np.zeros(0, dtype=bool)
    if not found.any():
        log.warning("no candidate is a label of its user: the ranker is the plain blend; widen label_share or pool_k, or add sources")
        return Ranker(None, tuple(sorted(pool.features)), 0, 0.0), {"rounds": 0.0, "mix": 0.0, "n_users": 0.0}
    pool, gains = _sample(pool, gains, pool.users[found], config.max_rows, seed)
    columns = tuple(sorted(pool.features))
    choice = _choose(*_sample(pool, gains, pool.users, config.search_rows, seed), columns, config, seed, threads)
    trees = _train(_matrix(pool, columns), pool, gains, choice.rounds, config, seed, threads)
    ranker = Ranker(trees, columns, choice.rounds, choice.mix)
    metrics = choice._asdict() | {"n_users": len(pool.users), "n_rows": len(pool.items), "n_columns": len(columns)}
    return ranker, {name: float(value) for name, value in metrics.items()}


def mixed(pool: Pool, trees: NDArray[np.float64], mix: float) -> Floats:
    """The blend and the trees' scores on one scale, mixed."""
    blend = np.nan_to_num(zscore(pool.features["mean_z"], pool.starts))
    learnt = np.nan_to_num(zscore(trees, pool.starts))
    return ((1 - mix) * blend + mix * learnt).astype(np.float32)


def _choose(pool: Pool, gains: Floats, columns: tuple[str, ...], config: Config, seed: int, threads: int) -> Choice:
    """Rounds and mix by cross-fitting over users; what the options fix is not searched."""
    if config.rounds > 0 and config.mix >= 0:
        return Choice(config.rounds, config.mix, 0.0, 0.0)
    all_rounds = (config.rounds,) if config.rounds > 0 else tuple(max(1, config.max_rounds // part) for part in (8, 4, 2, 1))
    mixes = (config.mix,) if config.mix >= 0 else MIXES
    labels = _labels(pool, gains)
    quality = {(0, 0.0): ndcg(judge(pool, mixed(pool, np.zeros(len(gains)), 0.0), labels, config.k), config.k)}
    for rounds, trees in _out_of_fold(pool, gains, columns, all_rounds, config, seed, threads).items():
        for mix in (mix for mix in mixes if mix > 0):
            quality[rounds, mix] = ndcg(judge(pool, mixed(pool, trees, mix), labels, config.k), config.k)
    rounds, mix = nearest_to_blend(quality if config.mix <= 0 else {key: v for key, v in quality.items() if key[1] == config.mix})
    chosen = float(quality[rounds, mix].mean())
    return Choice(max(rounds, min(all_rounds)), mix, chosen, float(quality[0, 0.0].mean()))


def nearest_to_blend(quality: dict[tuple[int, float], NDArray[np.float64]]) -> tuple[int, float]:
    """The (rounds, mix) with the smallest mix, then fewest rounds, within one standard error of the best.

    quality: by (rounds, mix), out-of-fold NDCG of the same users. The standard error is that of the mean paired difference.
    """
    best = max(sorted(quality), key=lambda key: float(quality[key].mean()))
    for key in sorted(quality, key=lambda key: (key[1], key[0])):
        behind = quality[best] - quality[key]
        error = float(behind.std(ddof=1)) / np.sqrt(len(behind)) if len(behind) > 1 else np.inf
        if float(behind.mean()) <= error:
            return key
    return best


def _out_of_fold(
    pool: Pool, gains: Floats, columns: tuple[str, ...], all_rounds: tuple[int, ...], config: Config, seed: int, threads: int
) -> dict[int, NDArray[np.float64]]:
    """Scores of every row by trees fitted without its user, by number of rounds; all 0 when there is one user only."""
    n_folds = min(config.folds, len(pool.users))
    fold_of_user = np.random.default_rng(seed).permutation(len(pool.users)) % n_folds
    fold_of_row = np.repeat(fold_of_user, np.diff(pool.starts))
    matrix = _matrix(pool, columns)
    scores = {rounds: np.zeros(len(gains)) for rounds in all_rounds}
    for fold in range(n_folds if n_folds > 1 else 0):
        held = fold_of_row == fold
        others = pool.rows_of(pool.users[fold_of_user != fold])
        trees = _train(matrix[~held], others, gains[~held], max(all_rounds), config, seed, threads)
        for rounds in all_rounds:
            scores[rounds][held] = _predict(trees, matrix[held], rounds)
    return scores


def _train(matrix: Floats, pool: Pool, gains: Floats, rounds: int, config: Config, seed: int, threads: int) -> lightgbm.Booster:
    import lightgbm

    levels = np.ceil(gains / gains.max() * LEVELS).astype(np.int32)
    data = lightgbm.Dataset(matrix, label=levels, group=np.diff(pool.starts), free_raw_data=True)
    options = {
        "objective": "lambdarank",
        "label_gain": [level / LEVELS for level in range(LEVELS + 1)],
        "lambdarank_truncation_level": config.k + 10,
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "lambda_l2": config.l2,
        "feature_fraction": config.column_share,
        "seed": seed % 2**31,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    return lightgbm.train(options, data, num_boost_round=rounds)


def _predict(trees: lightgbm.Booster, matrix: Floats, rounds: int) -> NDArray[np.float64]:
    return np.asarray(trees.predict(matrix, num_iteration=rounds, num_threads=1), dtype=np.float64)


def _matrix(pool: Pool, columns: tuple[str, ...], rows: Rows | None = None) -> Floats:
    chosen = [pool.features[name] if rows is None else pool.features[name][rows] for name in columns]
    return np.stack(chosen, axis=1)  # (n_rows, n_columns)


def _labels(pool: Pool, gains: Floats) -> Labels:
    """The labels that are in the pool; every user of it has one."""
    hits = np.flatnonzero(gains > 0)
    starts = starts_of(pool.row_users[hits])
    return Labels(pool.users, starts, pool.items[hits], gains[hits])


def _sample(pool: Pool, gains: Floats, users: NDArray[np.int32], max_rows: int, seed: int) -> tuple[Pool, Floats]:
    """The pool and gains of so many of the users, drawn by seed, that their rows stay below max_rows; of at least one."""
    sizes = np.diff(pool.starts)[np.searchsorted(pool.users, users)]
    drawn = np.random.default_rng(seed).permutation(len(users))
    n = max(1, int((np.cumsum(sizes[drawn]) <= max_rows).sum()))
    chosen = users[drawn[:n]]
    return pool.rows_of(chosen), gains[np.isin(pool.row_users, chosen)]
