"""What each model buys: a strategy with it, minus the same strategy fitted and judged on a pool without it.

The model's columns and what it alone nominated are taken from the pools of both folds, so a strategy meets the pool as
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
from hybridrec.base.errors import BadData
from hybridrec.evaluation.bootstrap import Doubles, paired_difference
from hybridrec.evaluation.comparisons import Resampling
from hybridrec.execution import job
from hybridrec.metrics import metrics
from hybridrec.metrics.labels import LabelledPool, labelled_pool
from hybridrec.metrics.metrics import judge, row_gains
from hybridrec.metrics.positions import training_gains
from hybridrec.strategies import LearntStrategy, Strategy

if TYPE_CHECKING:
    from hybridrec.runs.run import Run

log = logging.getLogger(__name__)
NIGHT_ROWS = 60_000  # of either fold's pool, in the nightly version
NIGHT_ROUNDS = 40  # trees, in the nightly version
Scope = Literal["night", "study"]
Fit = Callable[[str, LabelledPool], Strategy]


class Cost(NamedTuple):
    """What fitting a model took: seconds over all folds, MiB at the peak."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Ablation:
    """One row of out_ablation; marginal_ndcg is with the source minus without it, so above 0 it helps."""

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
class Pools:
    """Where strategies learn and where they are judged. n_items: of the catalogue. k: length of the lists."""

    train: LabelledPool
    judged: LabelledPool
    n_items: int
    k: int

    def without(self, model: str) -> Pools:
        """The same had the model never existed."""
        train, judged = (fold._replace(pool=fold.pool.without(model)) for fold in (self.train, self.judged))
        return replace(self, train=train, judged=judged)


class Quality(NamedTuple):
    """A strategy's lists in figures: NDCG of each user, float64 (n_users,), and coverage of them all."""

    ndcg: Doubles
    coverage: float


def ablate_night(run: Run, ready: Strategy, name: str, threads: int) -> list[Ablation]:
    """The cheap version: one strategy, on a sample of the users, fitted again with few trees, with and without each model."""
    train, judged = (labelled_pool(run, fold, NIGHT_ROWS) for fold in ("rank", "eval"))

    def fit(_: str, fold: LabelledPool) -> Strategy:
        return _refitted(_in_short(ready.unfitted()), fold, run, threads=1) if isinstance(ready, LearntStrategy) else ready

    pools = Pools(train, judged, _n_items(run), run.config.k)
    return ablate(run, "night", pools, (name,), fit, at_once=threads)


def ablate_fully(run: Run, names: Iterable[str], sources: Iterable[str], threads: int) -> list[Ablation]:
    """The whole version: strategies learn from all rows, and choose anew, with and without each of the sources (empty: all)."""

    def fit(name: str, fold: LabelledPool) -> Strategy:
        return _refitted(strategies.create(name, run.config), fold, run, threads)

    pools = Pools(labelled_pool(run, "rank"), labelled_pool(run, "eval"), _n_items(run), run.config.k)
    return ablate(run, "study", pools, names, fit, sources)


def ablate(
    run: Run, scope: Scope, pools: Pools, names: Iterable[str], fit: Fit, sources: Iterable[str] = (), at_once: int = 1
) -> list[Ablation]:
    """A row for each model, or each of `sources`, and each of the named strategies; BadData for a source that the pool lacks.

    at_once: models that are left out at the same time, each with pools of its own.
    """
    models = (*pools.judged.pool.sources, *pools.judged.pool.scorers)
    unknown = sorted(set(sources) - set(models))
    if unknown:
        raise BadData(f"sources: the pool of run {run.run_id} has no {', '.join(unknown)}; choose from {', '.join(models)}")
    costs, how = fit_costs(run), Resampling(run.config.bootstrap_samples, run.config.seed)
    whole = {name: _quality(fit, name, pools) for name in names}

    def leave_out(model: str) -> list[Ablation]:
        left = pools.without(model)
        hits, (seconds, peak_mib) = unique_hits(pools.judged, model), costs.get(model, (None, None))
        rows = []
        for name, with_it in whole.items():
            try:
                without = _quality(fit, name, left)
            except BadData as error:  # as a weight that the options give to just this source
                log.warning("%s cannot do without %s: %s", name, model, error)
                continue
            marginal = paired_difference(with_it.ndcg, without.ndcg, how.samples, how.seed)
            added = with_it.coverage - without.coverage
            rows.append(Ablation(scope, model, name, f"ndcg@{pools.k}", *marginal, len(with_it.ndcg), hits, added, seconds, peak_mib))
        log.info("%s: judged without %s", scope, model)
        return rows

    only = pools.judged.pool.sources if len(pools.judged.pool.sources) == 1 else ()  # without its only source there is no pool
    with ThreadPoolExecutor(at_once) as workers:
        return [row for rows in workers.map(leave_out, (model for model in sources or models if model not in only)) for row in rows]


def unique_hits(fold: LabelledPool, model: str) -> int:
    """Labels that the model alone nominated; a pair scorer nominates none."""
    if model not in fold.pool.sources:
        return 0
    alone = (fold.pool.features["n_sources"] == 1) & ~np.isnan(fold.pool.features[f"rank_{model}"])
    return int((alone & (row_gains(fold.pool, fold.labels) > 0)).sum())


def fit_costs(run: Run) -> dict[str, Cost]:
    """What each model's fits took, from the records that the tasks have left."""
    found: dict[str, Cost] = {}
    for record in job.read_records(run.folder):
        if record.job == "train_model":
            model = record.part.partition(".")[0]
            before = found.get(model, Cost(0.0, 0.0))
            found[model] = Cost(before.seconds + record.wall_seconds, max(before.peak_mib, record.peak_mib))
    return found


def as_columns(rows: Iterable[Ablation]) -> list[dict[str, object]]:
    """Rows for an Arrow table."""
    return [asdict(row) for row in rows]


def _quality(fit: Fit, name: str, pools: Pools) -> Quality:
    pool, labels = pools.judged
    judged = judge(pool, fit(name, pools.train).score(pool), labels, pools.k)
    return Quality(metrics.ndcg(judged, pools.k), metrics.coverage(metrics.exposure(judged.items, pools.n_items, pools.k)))


def _refitted(strategy: Strategy, fold: LabelledPool, run: Run, threads: int) -> Strategy:
    if isinstance(strategy, LearntStrategy):
        strategy.fit(fold.pool, training_gains(run, "rank", fold.pool, fold.labels), run.config.seed, threads)
    return strategy


def _in_short(strategy: LearntStrategy) -> LearntStrategy:
    """The strategy with few trees, where its options count them, and all columns for each.

    Columns that are drawn would be drawn anew without the model's, and the luck of the draw weighs more than most models.
    """
    options = getattr(strategy, "config", None)
    if options is None or not hasattr(options, "rounds"):
        return strategy
    short = replace(options, rounds=min(options.rounds, NIGHT_ROUNDS), column_share=1.0)
    return type(strategy)(short)


def _n_items(run: Run) -> int:
    return int(run.read("model_items", columns=["item_idx"]).num_rows)
