"""A night's evaluation on the holdout split, from the run's tables to out_metrics, out_comparisons, out_ablation and the decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybridrec import strategies
from hybridrec.base import extensions
from hybridrec.dataset.content import item_vectors
from hybridrec.evaluation import ablation
from hybridrec.evaluation.comparisons import Resampling, as_columns, compare_lists, decide, default_list
from hybridrec.evaluation.judged_lists import JudgedLists, judge_lists, metric_rows
from hybridrec.evaluation.served import judge_served, user_mixes
from hybridrec.evaluation.shrinkage import shrink, with_chosen
from hybridrec.metrics.labels import LabelledCandidates, history_lengths, labelled_candidates
from hybridrec.metrics.metrics import Catalogue
from hybridrec.policy.policy import Choice
from hybridrec.splitting.mix import segments_of, served_users
from hybridrec.strategies import Strategy

if TYPE_CHECKING:
    import pyarrow as pa

    from hybridrec.runs.run import Run


class Evaluation(NamedTuple):
    """Result of a night's evaluation. figures: further content of decision.json."""

    metrics: pa.Table
    comparisons: pa.Table
    ablation: pa.Table
    choices: dict[str, Choice]
    figures: dict[str, object]


def evaluate(run: Run, threads: int, ablate: bool = True) -> Evaluation:
    """Judge all lists on the holdout split, choose each segment's list and, if asked to, leave out one model at a time."""
    import pyarrow as pa

    from hybridrec.tables import table

    how = Resampling(run.config.bootstrap_samples, run.config.seed)
    ready = load_strategies(run)
    labelled, users = labelled_candidates(run, "holdout"), served_users(run)
    lists = judge_all(run, labelled, ready)
    rows = compare_lists(lists, how)
    decided = decide(lists, rows, run.config.k)
    choices, joined = shrink(decided, lists, labelled.candidates, lambda name, part: ready[name].score(part), users, run.config.k, how)
    lists = with_chosen(lists, choices, joined)
    name = published_strategy(lists, choices) if ablate else ""
    left_out = ablation.as_columns(ablation.ablate_night(run, ready[name], name, threads)) if name else []
    served = judge_served(lists, users, run.config.k, how)
    metrics = table("out_metrics").conform(metric_rows(lists, how.samples, how.seed, threads))
    return Evaluation(
        pa.concat_tables([metrics, pa.Table.from_pylist(served.metrics, metrics.schema)]),
        pa.Table.from_pylist(as_columns([*rows, *served.comparisons]), table("out_comparisons").arrow_schema()),
        pa.Table.from_pylist(left_out, table("out_ablation").arrow_schema()),
        choices,
        {"metric": f"ndcg@{run.config.k}", "served": served.users, "judged": served.judged, "mix": user_mixes(run, lists.segments, users)},
    )


def published_strategy(lists: JudgedLists, choices: dict[str, Choice]) -> str:
    """Return the strategy that most of the evaluated users get, of an ensemble the first; else the default; empty without strategies."""
    kind, default = default_list(lists)
    served = {name: 0 for choice in choices.values() for name in choice.strategies[:1]}
    for segment, choice in choices.items():
        for name in choice.strategies[:1]:
            served[name] += int((lists.segments == segment).sum())
    return max(sorted(served), key=lambda name: served[name], default=default if kind == "strategy" else "")


def load_strategies(run: Run) -> dict[str, Strategy]:
    """Return every strategy that is switched on, ready to score."""
    ready = {}
    for name in extensions.names(strategies.FOLDER):
        folder = run.artefact(strategies.artefact_name(name)) if strategies.learns(name) else None
        ready[name] = strategies.load(name, run.config, folder)
    return ready


def judge_all(run: Run, labelled: LabelledCandidates, ready: dict[str, Strategy]) -> JudgedLists:
    """Return all lists of the holdout split."""
    lengths = history_lengths(run, "holdout", labelled.labels.users)
    segments = segments_of(lengths, run.config.light_max_items)
    ks = tuple(sorted({10, 20, run.config.k}))
    return judge_lists(labelled.candidates, labelled.labels, ready, ks, segments, catalogue(run))


def catalogue(run: Run) -> Catalogue:
    """Return each item's popularity before the holdout split's cut, and its content."""
    table = run.read("model_item_features", "holdout", ["item_idx", "item_n_users"])
    items = run.read("model_items").sort_by("item_idx").to_pandas()
    known = np.zeros(len(items))
    known[table["item_idx"].to_numpy()] = table["item_n_users"].to_numpy()
    return Catalogue(known, run.read("model_user_features", "holdout", ["user_idx"]).num_rows, item_vectors(items))
