"""Measure each model's contribution: a strategy with it, minus the same strategy fitted and evaluated on a candidate set without it.

The model's columns and what it alone retrieved are taken from the sets of both splits, so a strategy meets the candidates as
it would be had the model never existed. Every night measures the published strategy on a sample of the users, with few
trees; the DAG `ablation_study` measures every strategy in full.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from hybridrec import strategies
from hybridrec.base.errors import PermanentError
from hybridrec.evaluation.bootstrap import paired_difference
from hybridrec.evaluation.comparisons import Resampling
from hybridrec.execution import task_records
from hybridrec.metrics import metrics
from hybridrec.metrics.labels import LabelledCandidates, labelled_candidates
from hybridrec.metrics.metrics import judge, row_gains
from hybridrec.metrics.positions import training_gains
from hybridrec.ranking.labelled import weigh_taught
from hybridrec.splitting.mix import served_users
from hybridrec.strategies import LearntStrategy, Strategy
from hybridrec.types import Doubles

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

log = logging.getLogger(__name__)
NIGHT_ROWS = 60_000  # of either split's candidates, in the nightly version
NIGHT_ROUNDS = 40  # trees, in the nightly version
Scope = Literal["night", "study"]
Fit = Callable[[str, LabelledCandidates], Strategy]


class Cost(NamedTuple):
    """Cost of a model's fits: seconds over all splits, MiB at the peak."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Ablation:
    """One row of out_ablation; marginal_ndcg is with the model minus without it, so above 0 it helps."""

    scope: str
    source: str
    strategy: str
    metric: str
    marginal_ndcg: float
    low: float
    high: float
    n_users: int
    unique_hits: int
    coverage_added: float
    seconds: float | None
    peak_mib: float | None


@dataclass(frozen=True)
class CandidateSets:
    """Data for fitting and evaluating strategies. n_items: of the catalogue. k: length of the lists."""

    train: LabelledCandidates
    judged: LabelledCandidates
    n_items: int
    k: int

    def without(self, model: str) -> CandidateSets:
        """Return the same had the model never existed."""
        train, judged = (labelled._replace(candidates=labelled.candidates.without(model)) for labelled in (self.train, self.judged))
        return replace(self, train=train, judged=judged)


class Quality(NamedTuple):
    """A strategy's lists in figures: NDCG of each user, float64 (n_users,), and coverage of them all."""

    ndcg: Doubles
    coverage: float


def ablate_night(run: Run, ready: Strategy, name: str, threads: int) -> list[Ablation]:
    """Return the cheap version: one strategy, on a sample of the users, fitted again with few trees, with and without each model."""
    train, judged = (labelled_candidates(run, split, NIGHT_ROWS) for split in ("ranker", "holdout"))

    def fit(_: str, labelled: LabelledCandidates) -> Strategy:
        return _refitted(_in_short(ready.unfitted()), labelled, run, threads=1) if isinstance(ready, LearntStrategy) else ready

    sets = CandidateSets(train, judged, _n_items(run), run.config.k)
    return ablate(run, "night", sets, (name,), fit, at_once=threads)


def ablate_fully(run: Run, names: Iterable[str], left_out: Iterable[str], threads: int) -> list[Ablation]:
    """Return the whole version: strategies learn from all rows, and choose again, with and without each of the models (empty: all)."""

    def fit(name: str, labelled: LabelledCandidates) -> Strategy:
        return _refitted(strategies.create(name, run.config), labelled, run, threads)

    sets = CandidateSets(labelled_candidates(run, "ranker"), labelled_candidates(run, "holdout"), _n_items(run), run.config.k)
    return ablate(run, "study", sets, names, fit, left_out)


def ablate(
    run: Run, scope: Scope, sets: CandidateSets, names: Iterable[str], fit: Fit, left_out: Iterable[str] = (), at_once: int = 1
) -> list[Ablation]:
    """Return a row for each model, or each of `left_out`, and each named strategy; PermanentError for an unknown model.

    at_once: models that are left out at the same time, each with its own candidates.
    """
    models = (*sets.judged.candidates.retrievers, *sets.judged.candidates.scorers)
    unknown = sorted(set(left_out) - set(models))
    if unknown:
        raise PermanentError(f"sources: the candidates of run {run.run_id} have no {', '.join(unknown)}; choose from {', '.join(models)}")
    costs, how = fit_costs(run), Resampling(run.config.bootstrap_samples, run.config.seed)
    whole = {name: _quality(fit, name, sets) for name in names}

    def leave_out(model: str) -> list[Ablation]:
        left = sets.without(model)
        hits, (seconds, peak_mib) = unique_hits(sets.judged, model), costs.get(model, (None, None))
        rows = []
        for name, with_it in whole.items():
            try:
                without = _quality(fit, name, left)
            except PermanentError as error:  # as a weight that the options give to just this retriever
                log.warning("%s cannot do without %s: %s", name, model, error)
                continue
            marginal = paired_difference(with_it.ndcg, without.ndcg, how.samples, how.seed)
            added = with_it.coverage - without.coverage
            rows.append(Ablation(scope, model, name, f"ndcg@{sets.k}", *marginal, len(with_it.ndcg), hits, added, seconds, peak_mib))
        log.info("%s: judged without %s", scope, model)
        return rows

    only = (
        sets.judged.candidates.retrievers if len(sets.judged.candidates.retrievers) == 1 else ()
    )  # without its only retriever there are no candidates
    with ThreadPoolExecutor(at_once) as workers:
        return [row for rows in workers.map(leave_out, (model for model in left_out or models if model not in only)) for row in rows]


def unique_hits(labelled: LabelledCandidates, model: str) -> int:
    """Return labels that the model alone retrieved; a pair scorer retrieves none."""
    if model not in labelled.candidates.retrievers:
        return 0
    alone = (labelled.candidates.features["n_sources"] == 1) & ~np.isnan(labelled.candidates.features[f"rank_{model}"])
    return int((alone & (row_gains(labelled.candidates, labelled.labels) > 0)).sum())


def fit_costs(run: Run) -> dict[str, Cost]:
    """Return the cost of each model's fits, from the records of the tasks."""
    costs: dict[str, Cost] = {}
    for record in task_records.read_records(run.folder):
        if record.job == "train_model":
            model = record.part.partition(".")[0]
            before = costs.get(model, Cost(0.0, 0.0))
            costs[model] = Cost(before.seconds + record.wall_seconds, max(before.peak_mib, record.peak_mib))
    return costs


def as_columns(rows: Iterable[Ablation]) -> list[dict[str, object]]:
    """Return rows for an Arrow table."""
    return [asdict(row) for row in rows]


def _quality(fit: Fit, name: str, sets: CandidateSets) -> Quality:
    candidates, labels = sets.judged
    judged = judge(candidates, fit(name, sets.train).score(candidates), labels, sets.k)
    return Quality(metrics.ndcg(judged, sets.k), metrics.coverage(metrics.exposure(judged.items, sets.n_items, sets.k)))


def _refitted(strategy: Strategy, labelled: LabelledCandidates, run: Run, threads: int) -> Strategy:
    if isinstance(strategy, LearntStrategy):
        gains = training_gains(run, "ranker", labelled.candidates, labelled.labels)
        taught = weigh_taught(labelled.candidates, gains, served_users(run), run.config.light_max_items)
        strategy.fit(taught, gains, run.config.seed, threads)
    return strategy


def _in_short(strategy: LearntStrategy) -> LearntStrategy:
    """Return the strategy with few trees, where its options count them, and all columns for each.

    Drawn columns would be drawn again without the model's, and chance weighs more than most models.
    """
    options = getattr(strategy, "config", None)
    if options is None or not hasattr(options, "rounds"):
        return strategy
    short = replace(options, rounds=min(options.rounds, NIGHT_ROUNDS), column_share=1.0)
    return type(strategy)(short)


def _n_items(run: Run) -> int:
    return int(run.read("model_items", columns=["item_idx"]).num_rows)
