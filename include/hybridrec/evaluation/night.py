"""A night's evaluation on fold eval, from the run's tables to out_metrics, out_comparisons and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec import discover, strategies
from hybridrec.evaluation.comparisons import Comparison, Resampling, ablate, as_columns, compare_lists, decide
from hybridrec.evaluation.labels import LabelledPool, history_lengths, labelled_pool
from hybridrec.evaluation.lists import Catalogue, JudgedLists, judge_lists, metric_rows
from hybridrec.ranking.policy import Choice, segments_of
from hybridrec.strategies import Strategy

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.run import Run

ABLATED = ("stacking", "weighted")


class Evaluation(NamedTuple):
    """What a night's evaluation found."""

    metrics: pa.Table
    comparisons: pa.Table
    choices: dict[str, Choice]


def evaluate(run: Run, threads: int) -> Evaluation:
    """Judge all lists on fold eval, leave out one source at a time, choose each segment's list."""
    import pyarrow as pa

    how = Resampling(run.config.bootstrap_samples, run.config.seed)
    ready = load_strategies(run)
    judged = labelled_pool(run, "eval")
    lists = judge_all(run, judged, ready)
    comparisons = compare_lists(lists, how)
    train = labelled_pool(run, "rank")
    ablated = {name: strategy for name, strategy in ready.items() if name in ABLATED}
    rows: list[Comparison] = comparisons + ablate(lists, ablated, train, judged, run.config.k, how, threads)
    choices = decide(lists, comparisons, run.config.k)
    return Evaluation(metric_rows(lists, how.samples, how.seed), pa.Table.from_pylist(as_columns(rows)), choices)


def load_strategies(run: Run) -> dict[str, Strategy]:
    """Every strategy that is switched on, ready to score."""
    ready = {}
    for name in discover.names(strategies.FOLDER):
        folder = run.artefact(strategies.artefact_name(name)) if strategies.learns(name) else None
        ready[name] = strategies.load(name, run.config, folder)
    return ready


def judge_all(run: Run, fold: LabelledPool, ready: dict[str, Strategy]) -> JudgedLists:
    """All lists of fold eval."""
    lengths = history_lengths(run, "eval", fold.labels.users)
    segments = segments_of(lengths, run.config.light_max_items)
    ks = tuple(sorted({10, 20, run.config.k}))
    return judge_lists(fold.pool, fold.labels, ready, ks, segments, catalogue(run))


def catalogue(run: Run) -> Catalogue:
    """How well each item is known before the eval fold's cut."""
    table = run.read("model_item_features", "eval", ["item_idx", "item_n_users"])
    known = np.zeros(run.read("model_items", columns=["item_idx"]).num_rows)
    known[table["item_idx"].to_numpy()] = table["item_n_users"].to_numpy()
    return Catalogue(known, run.read("model_user_features", "eval", ["user_idx"]).num_rows)
