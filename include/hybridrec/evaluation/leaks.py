"""Leak alarms: what must not be possible when no model, feature or ranker has seen what it is judged on.

`require_past` runs every night on the folds as they are. The other two put something into the data that only a leak
can find, and run in the tests: an item that nobody knew before the cut, and labels that mean nothing. The third alarm
of the kind, features recomputed from truncated data, belongs to the jobs that build features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hybridrec.errors import BadData
from hybridrec.evaluation import metrics
from hybridrec.evaluation.bootstrap import Interval, paired_difference
from hybridrec.evaluation.labels import labels_of, load_labels
from hybridrec.evaluation.metrics import Labels, judge, pair_keys, row_gains
from hybridrec.ranking.groups import best_first, starts_of
from hybridrec.ranking.policy import own_lists, own_scores
from hybridrec.ranking.pool import Pool
from hybridrec.ranking.ranker_fit import Config, fit_ranker
from hybridrec.strategies import Strategy

if TYPE_CHECKING:
    from hybridrec.run import Run


class Leak(BadData):
    """Something has seen what it will be judged on, so no figure of this night can be believed."""


def require_past(run: Run, fold: str) -> None:
    """Leak when the fold's interactions reach its cut, hold a label, or miss an item that has features."""
    import pyarrow.dataset as ds

    by_time = run.config.split == "time"
    cut, labels = run.fold(fold).cut, load_labels(run, fold)
    label_keys = pair_keys(np.repeat(labels.users, np.diff(labels.starts)), labels.items)
    known = np.zeros(run.read("model_items", columns=["item_idx"]).num_rows, dtype=bool)
    late = held = 0
    data = ds.dataset(run.files("model_interactions", fold), format="parquet", partitioning=None)
    for batch in data.to_batches(columns=["user_idx", "item_idx", "last_event_at"]):
        items = batch["item_idx"].to_numpy()
        known[items] = True
        late += by_time and int((batch["last_event_at"].cast("int64").to_numpy() >= cut.timestamp() * 1e6).sum())
        held += int(np.isin(pair_keys(batch["user_idx"].to_numpy(), items), label_keys).sum())
    featured = run.read("model_item_features", fold, ["item_idx"])["item_idx"].to_numpy()
    unknown = int((~known[featured]).sum())
    if late or held or unknown:
        raise Leak(
            f"fold {fold}: {late} pairs of model_interactions have events at or after the cut {cut:%Y-%m-%d %H:%M}, {held} are labels, "
            f"{unknown} items of model_item_features have no event before it; expected none; rerun build_interactions and build_features"
        )


def require_item_absent(pool: Pool, ready: dict[str, Strategy], item: int, k: int) -> None:
    """Leak when a model or strategy shows the item in its first k places: nobody knew it before the cut, nothing describes it."""
    own = {name: own_scores(pool, kind, name) for kind, name in own_lists(pool)}
    lists = own | {name: strategy.score(pool) for name, strategy in ready.items()}
    for name, scores in lists.items():
        rows, ranks = best_first(scores, pool.items, pool.starts)
        n_users = int((pool.items[rows[ranks <= k]] == item).sum())
        if n_users:
            raise Leak(f"{name} shows item {item} to {n_users} of {len(pool.users)} users, though its first event is after the cut")


def require_unlearnable(build: Callable[[Labels], Pool], labels: Labels, config: Config, k: int, seed: int) -> Interval:
    """Leak when a ranker learns labels that were drawn at random; returns NDCG above chance with its interval.

    build: the way from labels to the pool that is under suspicion; an honest one does not look at them. Each user's
    labels are moved to random candidates first. The ranker, its trees alone, learns from half of the users and is judged
    on the others, against the candidates in random order.
    """
    generator = np.random.default_rng(seed)
    shuffled = shuffle_labels(build(labels), labels, generator)
    pool = build(shuffled)
    half = np.sort(generator.permutation(pool.users)[: len(pool.users) // 2])
    learners, judged = pool.rows_of(half), pool.rows_of(np.setdiff1d(pool.users, half))
    ranker, _ = fit_ranker(learners, row_gains(learners, shuffled), replace(config, mix=1.0), seed, threads=1)
    of_judged = labels_of(shuffled, judged.users)
    by_chance = generator.random(len(judged.items)).astype(np.float32)
    ours = metrics.ndcg(judge(judged, ranker.score(judged), of_judged, k), k)
    theirs = metrics.ndcg(judge(judged, by_chance, of_judged, k), k)
    found = paired_difference(ours, theirs, 1_000, seed)
    if found.low > 0:
        text = f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
        raise Leak(
            f"labels drawn at random were learnt: ndcg@{k} {text} above chance over {len(ours)} users; a feature has seen the labels"
        )
    return found


def shuffle_labels(pool: Pool, labels: Labels, generator: np.random.Generator) -> Labels:
    """As many labels for each user of the pool as before, of the same gains, on candidates drawn at random."""
    gains = row_gains(pool, labels)
    draws = generator.random(len(gains)).astype(np.float32)
    by_draw, _ = best_first(draws, pool.items, pool.starts)
    moved = gains[by_draw]  # groups keep their places, rows change within them
    rows = np.flatnonzero(moved > 0)
    users = pool.row_users[rows]
    starts = starts_of(users)
    return Labels(users[starts[:-1]], starts, pool.items[rows], moved[rows])
