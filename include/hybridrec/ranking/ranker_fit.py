"""Fitting the ranker: how far to trust the trees is itself learnt.

With few labelled users trees learn noise, so the blend, the number of rounds and `mix` are chosen by cross-fitting over
users: every user is scored by trees and weights that have not seen this user's labels. Among the choices that are no
worse than the best by more than one standard error of the paired difference, the one nearest to the plain blend wins.

Trees learn from each labelled user's labels, the best of the other candidates by the blend, and some drawn by seed: what
the blend puts deep into the pool teaches little and there is much of it. Choices are judged on whole pools.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview", 2010.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hybridrec.evaluation.metrics import judge, ndcg
from hybridrec.ranking.groups import Floats, best_first
from hybridrec.ranking.labelled import labelled_users, labels_in, sample_users
from hybridrec.ranking.pool import Pool
from hybridrec.ranking.ranker import Ranker, blended, matrix_of, mixed, predict
from hybridrec.ranking.selection import select_sources

if TYPE_CHECKING:
    import lightgbm

log = logging.getLogger(__name__)
LEVELS = 30  # LambdaRank wants whole relevance levels: gains are rounded to thirtieths of the largest
MIN_USERS = 20  # with fewer the standard error of a difference says nothing
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Config:
    """Options.

    rounds: number of trees, 0: chosen among `max_rounds` / 8, / 4, / 2 and `max_rounds`. mix: weight of the trees, below 0: chosen.
    learnt: whether the blend's weights are learnt, where rounds and mix are fixed.
    hard, drawn: candidates without a label that a user teaches with: the blend's best, and others. max_rows: more rows than this
    are sampled by user. search_users: users on whom choices are judged. k: length of the list whose NDCG chooses.
    """

    rounds: int = 0
    mix: float = -1.0
    learnt: bool = False
    max_rounds: int = 240
    learning_rate: float = 0.06
    leaves: int = 15
    min_rows_in_leaf: int = 40
    l2: float = 10.0
    column_share: float = 0.5
    folds: int = 3
    hard: int = 50
    drawn: int = 50
    max_rows: int = 500_000
    search_users: int = 1_500
    k: int = 20


class Choice(NamedTuple):
    """A way to rank: whether the blend's weights are learnt, how many trees, and how much these count."""

    learnt: bool
    rounds: int
    mix: float


PLAIN = Choice(learnt=False, rounds=0, mix=0.0)
Quality = dict[Choice, NDArray[np.float64]]


def fit_ranker(pool: Pool, gains: Floats, config: Config, seed: int, threads: int) -> tuple[Ranker, dict[str, float]]:
    """Fit on the users of the pool who turned to one of their candidates; where nobody did, the ranker is the plain blend."""
    columns = tuple(sorted(pool.features))
    users = labelled_users(pool, gains)
    if not len(users):
        log.warning("no candidate is a label of its user: the ranker is the plain blend; widen label_share or pool_k, or add sources")
        return Ranker(None, columns, 0, 0.0, {}), {"rounds": 0.0, "mix": 0.0, "n_users": 0.0}
    pool, gains = pool.rows_of(users), gains[np.isin(pool.row_users, users)]
    choice, figures = _choose(pool, gains, columns, config, seed, threads)
    weights = select_sources(pool, gains, config.k, config.search_users, seed) if choice.learnt else {}
    lesson, lesson_gains = lessons(pool, gains, config, seed)
    trees = _train(lesson, lesson_gains, columns, max(choice.rounds, 1), config, seed, threads)
    metrics = choice._asdict() | {"n_users": len(lesson.users), "n_rows": len(lesson.items), "n_columns": len(columns)}
    return Ranker(trees, columns, choice.rounds, choice.mix, weights), {name: float(value) for name, value in metrics.items()} | figures


def lessons(pool: Pool, gains: Floats, config: Config, seed: int) -> tuple[Pool, Floats]:
    """The rows to learn from; see the module."""
    hard, _ = best_first(pool.features["mean_z"], pool.items, pool.starts, config.hard)
    draws = np.random.default_rng(seed).random(len(gains)).astype(np.float32)
    drawn, _ = best_first(draws, pool.items, pool.starts, config.drawn)
    kept = gains > 0
    kept[hard] = True
    kept[drawn] = True
    thinned = pool.take(kept)
    return sample_users(thinned, gains[kept], thinned.users, config.max_rows, seed)


def nearest_to_blend(quality: Quality) -> Choice:
    """The choice with the smallest mix, then equal weights, then fewest rounds, within one standard error of the best.

    quality: out-of-fold NDCG of the same users. The standard error is that of the mean paired difference.
    """
    best = max(quality, key=lambda choice: float(quality[choice].mean()))
    for choice in sorted(quality, key=lambda choice: (choice.mix, choice.learnt, choice.rounds)):
        behind = quality[best] - quality[choice]
        error = float(behind.std(ddof=1)) / np.sqrt(len(behind)) if len(behind) > 1 else np.inf
        if float(behind.mean()) <= error:
            return choice
    return best


def _choose(
    pool: Pool, gains: Floats, columns: tuple[str, ...], config: Config, seed: int, threads: int
) -> tuple[Choice, dict[str, float]]:
    """The choice, and the out-of-fold NDCG of it and of the plain blend where there was a search."""
    if config.rounds > 0 and config.mix >= 0:
        return Choice(config.learnt, config.rounds, config.mix), {}
    if len(pool.users) < MIN_USERS:
        log.warning("%d users turned to a candidate, too few to learn from: the ranker is the plain blend", len(pool.users))
        return PLAIN, {}
    quality = cross_fit(pool, gains, columns, config, seed, threads)
    choice = nearest_to_blend(quality)
    return choice, {name: float(quality[key].mean()) for name, key in (("ndcg", choice), ("blend_ndcg", PLAIN)) if key in quality}


def cross_fit(pool: Pool, gains: Floats, columns: tuple[str, ...], config: Config, seed: int, threads: int) -> Quality:
    """Out-of-fold NDCG of search_users users for every choice that the options leave open."""
    pool, gains = _some_users(pool, gains, 2 * config.search_users, seed)
    n_folds = config.folds
    fold_of_user = np.random.default_rng(seed).permutation(len(pool.users)) % n_folds
    found: dict[Choice, list[NDArray[np.float64]]] = {}
    for fold in range(n_folds):
        learner, learner_gains = _of_users(pool, gains, pool.users[fold_of_user != fold])
        judged, judged_gains = _of_users(pool, gains, pool.users[fold_of_user == fold][: config.search_users // n_folds])
        for choice, quality in _judge_choices(learner, learner_gains, judged, judged_gains, columns, config, seed, threads).items():
            found.setdefault(choice, []).append(quality)
    return {choice: np.concatenate(parts) for choice, parts in found.items()}


def _judge_choices(
    learner: Pool, gains: Floats, judged: Pool, judged_gains: Floats, columns: tuple[str, ...], config: Config, seed: int, threads: int
) -> Quality:
    weights = {False: {}, True: select_sources(learner, gains, config.k, config.search_users, seed)}
    blends = {learnt: blended(judged, of_blend) for learnt, of_blend in weights.items()}
    lesson, lesson_gains = lessons(learner, gains, config, seed)
    all_rounds = (config.rounds,) if config.rounds > 0 else tuple(max(1, config.max_rounds // part) for part in (8, 4, 2, 1))
    trees = _train(lesson, lesson_gains, columns, max(all_rounds), config, seed, threads)
    matrix, labels = matrix_of(judged, columns), labels_in(judged, judged_gains)
    nothing = np.zeros(len(judged.items))
    scored = {0: nothing} | {rounds: predict(trees, matrix, rounds) for rounds in all_rounds}
    mixes = (config.mix,) if config.mix >= 0 else MIXES
    choices = [Choice(learnt, 0, 0.0) for learnt in weights if 0.0 in mixes]
    choices += [Choice(learnt, rounds, mix) for learnt in weights for rounds in all_rounds for mix in mixes if mix > 0]
    return {
        choice: ndcg(judge(judged, mixed(judged, blends[choice.learnt], scored[choice.rounds], choice.mix), labels, config.k), config.k)
        for choice in choices
    }


def _train(pool: Pool, gains: Floats, columns: tuple[str, ...], rounds: int, config: Config, seed: int, threads: int) -> lightgbm.Booster:
    import lightgbm

    levels = np.ceil(gains / gains.max() * LEVELS).astype(np.int32)
    data = lightgbm.Dataset(matrix_of(pool, columns), label=levels, group=np.diff(pool.starts), free_raw_data=True)
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


def _some_users(pool: Pool, gains: Floats, n_users: int, seed: int) -> tuple[Pool, Floats]:
    drawn = np.random.default_rng(seed).permutation(pool.users)[:n_users]
    return _of_users(pool, gains, drawn)


def _of_users(pool: Pool, gains: Floats, users: NDArray[np.int32]) -> tuple[Pool, Floats]:
    return pool.rows_of(users), gains[np.isin(pool.row_users, users)]
