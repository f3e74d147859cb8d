"""Fitting the ranker: how far to trust what was learnt is itself learnt.

With few labelled users trees learn noise, so everything is chosen by cross-fitting over users: every user is scored by
trees and weights that have not seen this user's labels. First the blend: equal weights, or retrievers selected greedily,
each with or without learnt corrections. Then how many trees are mixed into it, and how much they count. A choice is
taken where it beats the simpler one by more than a standard error of the paired difference.

Trees learn from each labelled user's labels and a uniform draw of the other candidates. Not from the blend's best beside
the labels: then what lies deep in the candidates would mostly be labels, and trees learn to lift it. Choices are judged on
all candidates. The result is the mean of several fits that differ by the draw of candidates and columns: with few labelled users a single
fit depends on chance.

Burges, "From RankNet to LambdaRank to LambdaMART: an overview", 2010.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybridrec.candidates.candidate_set import CandidateSet
from hybridrec.candidates.groups import Floats, best_first
from hybridrec.metrics.metrics import judge, ndcg
from hybridrec.ranking.labelled import labelled_users, labels_in, sample_users
from hybridrec.ranking.linear import LinearScorer
from hybridrec.ranking.listwise import fit_weights, targets_of
from hybridrec.ranking.ranker import NO_CORRECTION, PLAIN_BLEND, Blend, Boosted, Ranker, matrix_of, mixed, trees_of
from hybridrec.ranking.selection import select_retrievers
from hybridrec.splitting.mix import standard_error, weighted_mean
from hybridrec.types import Doubles

if TYPE_CHECKING:
    import lightgbm

log = logging.getLogger(__name__)
LEVELS = 30  # LambdaRank wants whole relevance levels: gains are rounded to thirtieths of the largest
MIN_USERS = 20  # with fewer the standard error of a difference says nothing
MIXES = (0.15, 0.3, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Config:
    """Options.

    rounds: number of trees; 0 chooses among `max_rounds` / 8, / 4, / 2 and `max_rounds`.
    mix: weight of the trees in the score; below 0 it is chosen.
    selected: whether the blend uses only the selected models, if rounds and mix are fixed; see BlendChoice.
    penalty: pull of the blend's correction towards the plain blend, if rounds and mix are fixed; see BlendChoice.
    corrected: each user's best rows that corrections learn from.
    max_rounds: most trees.
    learning_rate: shrinkage of each tree.
    leaves: leaves of a tree.
    min_rows_in_leaf: fewest rows in a leaf.
    l2: regularisation of the leaves.
    column_share: share of the columns that each tree may use.
    folds: parts of the cross-fitting that makes the choices.
    drawn: candidates of a user that the trees learn from beside the labels.
    bags: fits whose mean is used.
    max_rows: with more rows, users are sampled.
    search_users: users on whom choices are evaluated.
    k: length of the list whose NDCG decides.
    """

    rounds: int = 0
    mix: float = -1.0
    selected: bool = False
    penalty: float = NO_CORRECTION
    corrected: int = 60
    max_rounds: int = 240
    learning_rate: float = 0.06
    leaves: int = 15
    min_rows_in_leaf: int = 40
    l2: float = 10.0
    column_share: float = 0.5
    folds: int = 3
    drawn: int = 100
    bags: int = 4
    max_rows: int = 500_000
    search_users: int = 1_500
    k: int = 20


class BlendChoice(NamedTuple):
    """Form of the linear part: retrievers selected or all with one weight, and the penalty on its corrections; NO_CORRECTION: none."""

    selected: bool
    penalty: float


class TreeChoice(NamedTuple):
    """Number of trees, and their weight relative to the blend."""

    rounds: int
    mix: float


PLAIN, NO_TREES = BlendChoice(selected=False, penalty=NO_CORRECTION), TreeChoice(rounds=0, mix=0.0)
BLENDS = tuple(BlendChoice(selected, penalty) for selected in (False, True) for penalty in (NO_CORRECTION, 0.01, 0.001))
K = TypeVar("K", BlendChoice, TreeChoice)


class Examples(NamedTuple):
    """A candidate set with each row's gain, 0 if the user did not choose the item."""

    candidates: CandidateSet
    gains: Floats

    def of(self, users: NDArray[np.int32]) -> Examples:
        """Return the rows of some of the users."""
        return Examples(self.candidates.rows_of(users), self.gains[np.isin(self.candidates.row_users, users)])

    def take(self, rows: NDArray[np.bool_]) -> Examples:
        """Return some of the rows."""
        return Examples(self.candidates.take(rows), self.gains[rows])


class Held(NamedTuple):
    """Result for users whose labels were not seen: scores of all their candidates by every choice."""

    examples: Examples
    blends: dict[BlendChoice, Floats]
    trees: dict[int, Doubles]


def fit_ranker(candidates: CandidateSet, gains: Floats, config: Config, seed: int, threads: int) -> tuple[Ranker, dict[str, float]]:
    """Fit on the users who chose one of their candidates; without any, the ranker is the plain blend."""
    columns = tuple(sorted(candidates.features))
    examples = Examples(candidates, gains).of(labelled_users(candidates, gains))
    if len(examples.candidates.users) < MIN_USERS:
        text = "%d users chose a candidate, too few to learn from: the ranker is the plain blend; widen label_share or pool_k"
        log.warning(text, len(examples.candidates.users))
        return Ranker((), columns, 0, 0.0, PLAIN_BLEND), {"rounds": 0.0, "mix": 0.0, "n_users": float(len(examples.candidates.users))}
    blend_choice, tree_choice, figures = _choose(examples, columns, config, seed, threads)
    taught = teaching_rows(examples, config, seed)

    def fit_bag(bag: int) -> Boosted:
        rows = teaching_rows(examples, config, seed + bag) if bag else taught
        return Boosted.of(_train(rows, columns, tree_choice.rounds, config, seed + bag), tree_choice.rounds)

    with ThreadPoolExecutor(threads) as workers:
        trees = tuple(workers.map(fit_bag, range(config.bags if tree_choice.mix > 0 else 0)))
    shares = choose_shares(examples, config, seed) if blend_choice.selected else {}
    ranker = Ranker(trees, columns, *tree_choice, blend=fit_blend(examples, shares, blend_choice.penalty, config))
    figures |= blend_choice._asdict() | tree_choice._asdict()
    figures |= {"n_users": len(taught.candidates.users), "n_rows": len(taught.gains), "n_columns": len(columns)}
    return ranker, {name: float(value) for name, value in figures.items()}


def teaching_rows(examples: Examples, config: Config, seed: int) -> Examples:
    """Return the rows that trees learn from; see the module."""
    candidates, gains = examples
    draws = np.random.default_rng(seed).random(len(gains)).astype(np.float32)
    drawn, _ = best_first(draws, candidates.items, candidates.starts, config.drawn)
    kept = gains > 0
    kept[drawn] = True
    thinned = examples.take(kept)
    return Examples(*sample_users(*thinned, thinned.candidates.users, config.max_rows, seed))


def choose_shares(examples: Examples, config: Config, seed: int) -> dict[str, float]:
    """Return the retrievers' weights by greedy selection."""
    return select_retrievers(*examples, config.k, config.search_users, seed)


def fit_blend(examples: Examples, shares: Mapping[str, float], penalty: float, config: Config) -> Blend:
    """Return the linear part: the mean of the retrievers by their shares, and corrections by the listwise loss on each user's best rows."""
    if penalty >= NO_CORRECTION:
        return Blend(shares)
    base = Blend(shares).score(examples.candidates)
    best, _ = best_first(base, examples.candidates.items, examples.candidates.starts, config.corrected)
    rows = np.zeros(len(base), dtype=bool)
    rows[best] = True
    part = examples.take(rows)
    names = tuple(name for name in sorted(examples.candidates.features) if name.startswith("z_"))
    scorer = LinearScorer(base[rows], np.nan_to_num(matrix_of(part.candidates, names)))
    if not part.gains.any():
        return Blend(shares)
    targets = targets_of(part.gains, part.candidates.starts, part.candidates.row_weights)
    weights = fit_weights(scorer, targets, penalty, np.zeros(len(names)))
    return Blend(shares, dict(zip(names, weights.tolist(), strict=True)), penalty)


def better(quality: dict[K, Doubles], simple: K, weights: Doubles | None = None) -> K:
    """Return the best choice by mean, if it beats the simple one by more than a standard error; else the simple one.

    quality: out-of-fold NDCG of the same users for each choice. The standard error is that of the mean paired difference.
    weights: how much each user counts, None for all alike.
    """
    best = max(quality, key=lambda choice: weighted_mean(quality[choice], weights))
    gained = quality[best] - quality[simple]
    return best if weighted_mean(gained, weights) > standard_error(gained, weights) else simple


def _choose(
    examples: Examples, columns: tuple[str, ...], config: Config, seed: int, threads: int
) -> tuple[BlendChoice, TreeChoice, dict[str, float]]:
    """Return the blend and trees, and the out-of-fold NDCG of the plain blend, of the chosen one and of the whole."""
    if config.rounds > 0 and config.mix >= 0:
        return BlendChoice(config.selected, config.penalty), TreeChoice(config.rounds, config.mix), {}
    held = cross_fit(examples, columns, config, seed, threads)
    of_blends = {choice: np.concatenate([_ndcg(part, part.blends[choice], config) for part in held]) for choice in BLENDS}
    weights = None if examples.candidates.weights is None else np.concatenate([_weights(part) for part in held])
    blend = better(of_blends, PLAIN, weights)
    of_trees = {NO_TREES: of_blends[blend]} | {
        TreeChoice(rounds, mix): np.concatenate(
            [_ndcg(part, mixed(part.examples.candidates, part.blends[blend], part.trees[rounds], mix), config) for part in held]
        )
        for rounds in _all_rounds(config)
        for mix in ((config.mix,) if config.mix >= 0 else MIXES)
        if mix > 0
    }
    if config.mix < 0:
        trees = better(of_trees, NO_TREES, weights)
    else:
        trees = max(of_trees, key=lambda choice: (choice.mix, weighted_mean(of_trees[choice], weights)))
    figures = {"plain_ndcg": of_blends[PLAIN], "blend_ndcg": of_blends[blend], "ndcg": of_trees[trees]}
    return blend, trees, {name: weighted_mean(values, weights) for name, values in figures.items()}


def cross_fit(examples: Examples, columns: tuple[str, ...], config: Config, seed: int, threads: int) -> list[Held]:
    """Return every choice's scores of search_users users in `folds` parts, each by what was fitted without the part's users."""
    users = np.random.default_rng(seed).permutation(examples.candidates.users)[: 2 * config.search_users]

    def judge_part(users_held: NDArray[np.int32]) -> Held:
        learner = examples.of(np.setdiff1d(users, users_held))
        judged = examples.of(users_held[: config.search_users // config.folds])
        trees = _train(teaching_rows(learner, config, seed), columns, max(_all_rounds(config)), config, seed)
        matrix = matrix_of(judged.candidates, columns)
        shares = {False: {}, True: choose_shares(learner, config, seed)}
        blends = {choice: fit_blend(learner, shares[choice.selected], choice.penalty, config).score(judged.candidates) for choice in BLENDS}
        thin = Examples(replace(judged.candidates, features={}), judged.gains)
        return Held(thin, blends, {rounds: trees_of(trees, rounds).predict(matrix) for rounds in _all_rounds(config)})

    with ThreadPoolExecutor(threads) as workers:
        return list(workers.map(judge_part, np.array_split(users, config.folds)))


def _all_rounds(config: Config) -> tuple[int, ...]:
    return (config.rounds,) if config.rounds > 0 else tuple(max(1, config.max_rounds // part) for part in (8, 4, 2, 1))


def _weights(part: Held) -> Doubles:
    weights = part.examples.candidates.weights
    return np.ones(len(part.examples.candidates.users)) if weights is None else weights


def _ndcg(part: Held, scores: Floats, config: Config) -> Doubles:
    labels = labels_in(part.examples.candidates, part.examples.gains)
    return ndcg(judge(part.examples.candidates, scores, labels, config.k), config.k)


def _row_weights(candidates: CandidateSet) -> Doubles | None:
    """Return each row's weight, (n_rows,), 1 for the mean user, so that regularisation means what it means without; None: all alike."""
    weights = candidates.weights
    if weights is None or np.ptp(weights) == 0:
        return None
    return np.repeat(weights / weights.mean(), np.diff(candidates.starts))


def _train(examples: Examples, columns: tuple[str, ...], rounds: int, config: Config, seed: int) -> lightgbm.Booster:
    """Fit on one thread: two fits, a core each, end sooner than in sequence on two."""
    import lightgbm

    candidates, gains = examples
    levels = np.ceil(gains / gains.max() * LEVELS).astype(np.int32)
    matrix, sizes = matrix_of(candidates, columns), np.diff(candidates.starts)
    data = lightgbm.Dataset(matrix, label=levels, weight=_row_weights(candidates), group=sizes, free_raw_data=True)
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
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    return lightgbm.train(options, data, num_boost_round=rounds)
