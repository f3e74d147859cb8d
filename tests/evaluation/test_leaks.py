"""Each leak alarm is silent on honest data, and goes off when the leak is put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pools
import pyarrow as pa
import pytest
import small_world

from hybridrec import strategies
from hybridrec.evaluation.labels import labelled_pool, load_labels
from hybridrec.evaluation.leaks import Leak, require_item_absent, require_past, require_unlearnable, shuffle_labels
from hybridrec.evaluation.metrics import Labels, row_gains
from hybridrec.ranking.pool import Pool, build_pool, feature_files, load_items, load_pool
from hybridrec.ranking.ranker_fit import Config
from hybridrec.run import Run

PLANTED = small_world.N_ITEMS
CONFIG = Config(max_rounds=40, min_rows_in_leaf=10, k=10)


@pytest.fixture
def planted_run(home: object, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The small world with one item more, which nothing describes and which every user buys just after the eval cut."""
    events, items = small_world.events(), small_world.items()
    planted = f"i{PLANTED:02d}"
    rush = pd.DataFrame({"user_id": sorted(events.user_id.unique()), "item_id": planted, "event_type": "purchase"})
    rush["event_at"] = small_world.CUTS["eval"] + pd.Timedelta(hours=1)
    blank = items.iloc[-1:].assign(item_id=planted, title=None, description=None, brand=None)
    blank.at[blank.index[0], "categories"] = []
    monkeypatch.setattr(small_world, "events", lambda: pd.concat([events, rush], ignore_index=True))
    monkeypatch.setattr(small_world, "items", lambda: pd.concat([items, blank], ignore_index=True))
    return small_world.make_run()


def eval_pool(run: Run, learn_from: str) -> tuple[Pool, dict[str, strategies.Strategy]]:
    """The eval pool of sources that learn from a fold's interactions, with a ranker fitted on fold rank."""
    for fold, learnt in (("rank", "rank"), ("eval", learn_from)):
        rows = pools.candidates(run, fold, learn_from=learnt)
        run.write("model_candidates", pa.Table.from_pandas(rows, preserve_index=False), fold)
    pool, labels = labelled_pool(run, "rank")
    stacking = strategies.create("stacking", run.config)
    assert isinstance(stacking, strategies.LearntStrategy)
    stacking.fit(pool, row_gains(pool, labels), seed=1, threads=1)
    return load_pool(run, "eval"), {"stacking": stacking, "weighted": strategies.create("weighted", run.config)}


def test_future_item_does_not_surface(planted_run: Run) -> None:
    pool, ready = eval_pool(planted_run, learn_from="eval")
    require_item_absent(pool, ready, PLANTED, k=10)


def test_future_item_surfaces_when_sources_see_past_the_cut(planted_run: Run) -> None:
    pool, ready = eval_pool(planted_run, learn_from="final")
    with pytest.raises(Leak, match=r"(item_knn|popularity) shows item 40 to \d+ of 58 users"):
        require_item_absent(pool, ready, PLANTED, k=10)


def pool_from(run: Run, labels: Labels, leaky: bool) -> Pool:
    """The rank pool; the leaky way joins the pair's weight from a table that reaches into the label window."""
    rows = pools.candidates(run, "rank")
    files = feature_files(run, "rank")
    pool = build_pool(pa.Table.from_pandas(rows, preserve_index=False), files, load_items(files))
    if leaky:
        pool.features["affinity_pair"] = row_gains(pool, labels)
    return pool


def test_shuffled_labels_cannot_be_learnt(small_run: Run) -> None:
    found = require_unlearnable(
        lambda labels: pool_from(small_run, labels, leaky=False), load_labels(small_run, "rank"), CONFIG, 10, seed=3
    )
    assert found.low <= 0


def test_shuffled_labels_are_learnt_through_a_feature_that_saw_them(small_run: Run) -> None:
    with pytest.raises(Leak, match=r"labels drawn at random were learnt.*above chance"):
        require_unlearnable(lambda labels: pool_from(small_run, labels, leaky=True), load_labels(small_run, "rank"), CONFIG, 10, seed=3)


def test_shuffling_keeps_each_users_number_of_labels(small_run: Run) -> None:
    labels = load_labels(small_run, "rank")
    pool = pool_from(small_run, labels, leaky=False)
    before = row_gains(pool, labels)
    after = row_gains(pool, shuffle_labels(pool, labels, np.random.default_rng(1)))
    np.testing.assert_array_equal(np.add.reduceat(before, pool.starts[:-1]), np.add.reduceat(after, pool.starts[:-1]))
    assert (before != after).any()


@pytest.mark.parametrize("fold", ["rank", "eval"])
def test_honest_folds_are_past(small_run: Run, fold: str) -> None:
    require_past(small_run, fold)


def test_interactions_beyond_the_cut_stop_the_night(small_run: Run) -> None:
    small_run.write("model_interactions", small_run.read("model_interactions", "final"), "eval")
    with pytest.raises(Leak, match=r"fold eval: 232 pairs .* at or after the cut 2026-03-22 00:00, 232 are labels"):
        require_past(small_run, "eval")


def test_features_of_unknown_items_stop_the_night(small_run: Run) -> None:
    rows = small_run.read("model_item_features", "eval").to_pandas()
    extra = rows.iloc[:1].assign(item_idx=39)
    table = pa.Table.from_pandas(pd.concat([rows, extra]), preserve_index=False)
    small_run.write("model_item_features", table, "eval")
    with pytest.raises(Leak, match="1 items of model_item_features have no event"):
        require_past(small_run, "eval")
