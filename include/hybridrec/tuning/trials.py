"""A small search for a model's options, judged by NDCG on an inner cut of the training data.

Tree-structured Parzen estimators: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011, by Optuna.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridrec.base import extensions
from hybridrec.base.config import Options, SplitMethod
from hybridrec.base.errors import PermanentError
from hybridrec.metrics.metrics import Judged, Labels, judge_items, ndcg
from hybridrec.training.fits import config_of
from hybridrec.tuning.inner_cut import InnerCut, inner_cut
from hybridrec.types import Doubles, Ints, Linear, Log, OneOf, Retriever, SearchSpace, TrainingData

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

log = logging.getLogger(__name__)
# As the night's own label splits: on a shorter newest window another choice won, which then lost after the cut.
HELD_SHARE: dict[SplitMethod, float] = {"time": 0.2, "last_per_user": 0.0, "random_per_user": 0.1}
DIGITS = 3  # of a number that is tried; more tell nothing and are hard to read
UNGUIDED_SHARE = 0.3  # of the trials are drawn at random before the sampler follows what it has seen


@dataclass(frozen=True)
class Budget:
    """Limits of a search: trials, including those of the current options, and seconds.

    No trial begins that would end past `seconds` if it took as long as the longest so far; the first always runs.
    """

    trials: int = 20
    seconds: float = 300.0


@dataclass(frozen=True)
class Trial:
    """Options that were tried. ndcg: mean over the judged users, -inf for options that the model refuses, which `refused` tells."""

    options: Options
    ndcg: float
    seconds: float
    refused: str = ""
    of_users: Doubles = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    options: values of the searched options to go on with: of the best trial, or, where that is not clearly better, those
    of the options given to the search, without the ones that are the model's default anyway.
    difference, standard_error: NDCG of the best trial less that of the current options, over the same users.
    trials: in their order, the current options first.
    """

    model: str
    metric: str
    n_users: int
    options: Options
    improved: bool
    difference: float
    standard_error: float
    trials: tuple[Trial, ...]

    @property
    def current_ndcg(self) -> float:
        """NDCG of the options that the search began with."""
        return self.trials[0].ndcg

    @property
    def best_ndcg(self) -> float:
        """NDCG of the best trial."""
        return max(trial.ndcg for trial in self.trials)


def search_space(model: str) -> SearchSpace:
    """Return the options of a model that are worth a search; empty for a model that declares none."""
    space: SearchSpace = getattr(extensions.module("models", model), "SEARCH", {})
    return space


def search(
    model: str, data: TrainingData, options: Mapping[str, Any], budget: Budget, seed: int, k: int = 20, fixed: Collection[str] = ()
) -> SearchResult:
    """Look for better options of a model that declares SEARCH.

    options: the current ones; they are tried first and stay unless another trial's mean NDCG at k is higher by more than
    one standard error of the difference. fixed: names that are not to be searched. PermanentError when the current options are refused.
    """
    space = {name: of for name, of in search_space(model).items() if name not in fixed}
    judge = partial(_try, model, inner_cut(data, HELD_SHARE[data.split], seed), options, k)
    first = judge(_current(model, options, space))
    if first.refused:
        raise PermanentError(first.refused)
    trials = _trials(model, space, first, judge, budget, seed) if space else (first,)
    return choose(model, f"ndcg@{k}", options, trials)


def _trials(
    model: str, space: SearchSpace, first: Trial, judge: Callable[[Options], Trial], budget: Budget, seed: int
) -> tuple[Trial, ...]:
    """Return the first trial and those that the sampler proposes; a repeated proposal is tried once."""
    from optuna.trial import TrialState

    started = time.monotonic() - first.seconds
    distributions = {name: _distribution(of, first.options[name]) for name, of in space.items()}
    study = _study(distributions, first, budget, seed)
    tried = {_key(first.options): first}
    _report(model, 1, budget, first, first)
    for number in range(2, budget.trials + 1):
        if time.monotonic() - started + max(trial.seconds for trial in tried.values()) > budget.seconds:
            log.info("%s: another trial might not end within %.0f s; stopped after %d", model, budget.seconds, number - 1)
            break
        asked = study.ask(distributions)
        values = {name: _rounded(value, space[name]) for name, value in asked.params.items()}
        trial = tried.get(_key(values)) or judge(values)
        tried[_key(values)] = trial
        study.tell(asked, **({"state": TrialState.PRUNED} if trial.refused else {"values": trial.ndcg}))
        _report(model, number, budget, trial, max(tried.values(), key=lambda trial: trial.ndcg))
    return tuple(tried.values())


def _study(distributions: dict[str, BaseDistribution], first: Trial, budget: Budget, seed: int) -> Study:
    """Return a study in memory that knows the first trial, unless the space leaves its options out."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=math.ceil(budget.trials * UNGUIDED_SHARE))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    if all(of._contains(of.to_internal_repr(first.options[name])) for name, of in distributions.items()):
        study.add_trial(optuna.trial.create_trial(params=dict(first.options), distributions=distributions, value=first.ndcg))
    return study


def _distribution(of: Log | Linear | OneOf, current: object) -> BaseDistribution:
    """Return Optuna's word for a part of the space; an option that holds a whole number is searched among whole numbers."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(of, OneOf):
        return CategoricalDistribution(of.values)
    if isinstance(current, int):
        return IntDistribution(int(of.low), int(of.high), log=isinstance(of, Log))
    return FloatDistribution(of.low, of.high, log=isinstance(of, Log))


def _rounded(value: Any, of: Log | Linear | OneOf) -> Any:
    if isinstance(of, OneOf) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), of.low), of.high)


def _current(model: str, options: Mapping[str, Any], space: SearchSpace) -> Options:
    """Return values of the searched options as the model has them now."""
    values = asdict(config_of(model, options))
    return {name: values[name] for name in space}


def _try(model: str, cut: InnerCut, options: Mapping[str, Any], k: int, values: Options) -> Trial:
    """Fit the model with the options and these values on what is left, and judge its lists by what is held out."""
    started = time.monotonic()
    try:
        fitted = extensions.module("models", model).Model(config_of(model, {**options, **values}))
        if not isinstance(fitted, Retriever):
            raise PermanentError(f"models.{model} only scores pairs, so it has no lists to judge; take SEARCH out of it")
        fitted.fit(cut.data)
        items = fitted.top_k(cut.users, k).items
    except PermanentError as refusal:
        return Trial(values, -math.inf, time.monotonic() - started, refused=str(refusal))
    of_users = ndcg(judged_lists(items, cut.labels), k)
    return Trial(values, float(of_users.mean()), time.monotonic() - started, of_users=of_users)


def judged_lists(items: Ints, labels: Labels) -> Judged:
    """Return lists, one row for each user of the labels, judged by them; every label counts 1. items: int32 (n_users, depth)."""
    return judge_items(items, labels._replace(gains=np.ones_like(labels.gains)))


def choose(model: str, metric: str, options: Mapping[str, Any], trials: tuple[Trial, ...]) -> SearchResult:
    """Return the best trial, or the first where the best is not better by more than one standard error."""
    first, best = trials[0], max(trials, key=lambda trial: trial.ndcg)
    differences = best.of_users - first.of_users
    n_users = len(differences)
    error = float(differences.std(ddof=1) / math.sqrt(n_users)) if n_users > 1 else math.inf
    improved = bool(differences.mean() > error)
    kept = best.options if improved else {name: options[name] for name in first.options if name in options}
    text = "%s: best %s %.4f after %d trials, %.4f with the current options (difference %+.4f, standard error %.4f): %s"
    choice = f"chosen {as_text(kept)}" if improved else "the current options stay"
    log.info(text, model, metric, best.ndcg, len(trials), first.ndcg, differences.mean(), error, choice)
    return SearchResult(model, metric, n_users, kept, improved, float(differences.mean()), error, trials)


def _report(model: str, number: int, budget: Budget, trial: Trial, best: Trial) -> None:
    outcome = f"refused: {trial.refused}" if trial.refused else f"ndcg {trial.ndcg:.4f} (best {best.ndcg:.4f})"
    log.info("%s trial %d of %d: %s, %.1f s, %s", model, number, budget.trials, outcome, trial.seconds, as_text(trial.options))


def as_text(options: Options) -> str:
    """Return options for a person: "alpha=20, factors=128"."""
    return ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in sorted(options.items()))


def _key(options: Options) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(options.items()))
