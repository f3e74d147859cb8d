"""The catalogue as a split may know it.

It may recommend no item that appeared after its cut, and as many unknown ones as in production; categories
that follow from the events are not learnt from.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from hybridrec.candidates.candidate_set import feature_files, load_items
from hybridrec.dataset.catalogue import candidate_items, category_excess, keep_learnt_categories
from hybridrec.report.gathering.collect import collect
from hybridrec.runs.run import Run
from hybridrec.training.fits import training_data
from tests.support import small_world

N = 4_000


def with_items(run: Run, released: np.ndarray, first: np.ndarray) -> Run:
    """Return the run with a catalogue of these times, days before its eval cut; NaN: unknown, or no event."""
    cut = run.split("holdout").cut
    rows = small_world.items().iloc[np.zeros(len(released), int)].assign(item_id=[f"n{i:05d}" for i in range(len(released))])
    rows = rows.assign(learnt_categories=rows.categories)

    def times(days: np.ndarray) -> list[object]:
        return [None if np.isnan(day) else cut - timedelta(days=float(day)) for day in days]

    rows = rows.assign(item_idx=range(len(released)), released_at=times(released), first_event_at=times(first))  # type: ignore[arg-type]
    types = {name: pa.timestamp("us", tz="UTC") for name in ("released_at", "first_event_at")}
    table = pa.Table.from_pandas(rows.drop(columns=list(types)), preserve_index=False)
    for name, kind in types.items():
        table = table.append_column(name, pa.array(list(rows[name].astype(object).where(rows[name].notna(), None)), kind))  # type: ignore[call-overload]
    run.write("model_items", table)
    return run


def test_dates_decide_where_there_are_any(small_run: Run) -> None:
    unknown = np.nan
    released, first = np.array([3, -3, 3, -3, unknown, unknown]), np.array([1, unknown, unknown, 1, 1, -1.0])
    run = with_items(small_run, released, first)
    assert candidate_items(run, "holdout").tolist() == [True, False, True, True, True, False]
    assert candidate_items(run, "full").all()
    ahead = with_items(small_run, np.array([3, -300]), np.array([unknown, unknown]))
    assert candidate_items(ahead, "full").tolist() == [True, False], "an unreleased item is no candidate"


def test_without_dates_as_many_are_unknown_as_on_the_last_split(small_run: Run) -> None:
    """A thousand items are chosen for the first time after the cut, 300 never: 300 of them all are candidates without history."""
    first = np.concatenate([np.full(N - 1300, 5.0), np.full(1000, -5.0), np.full(300, np.nan)])
    run = with_items(small_run, np.full(N, np.nan), first)
    known = candidate_items(run, "holdout")
    assert known[: N - 1300].all()
    assert 250 < known[N - 1300 :].sum() < 350
    assert 180 < known[N - 1300 : N - 300].sum() < 280, "some of them will find their user, so a ranker need not bury new items"
    assert candidate_items(run, "full").all()
    assert (candidate_items(run, "holdout") == known).all(), "a rerun draws the same"


def test_where_nothing_is_known_of_time_everything_is_a_candidate(small_run: Run) -> None:
    run = with_items(small_run, np.array([-3.0, np.nan]), np.array([np.nan, -1.0]))
    run.manifest = replace(run.manifest, config=replace(run.config, split="random_per_user"))
    assert candidate_items(run, "holdout").all()


def tags(n_events: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the number of categories where each of an item's users may give it one more."""
    return 1 + rng.binomial(n_events, 0.3)


def test_categories_that_users_give_know_who_comes_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    appeal = rng.pareto(1.2, N) + 0.5
    before, behind = rng.poisson(4 * appeal), rng.poisson(0.5 * appeal)
    given = category_excess(tags(before + behind, rng), before, behind)
    assert given.is_leak and given.share > 0.15
    past = category_excess(tags(before, rng), before, behind)
    assert not past.is_leak, "tags of the past follow from popularity, but tell no more than it"
    assert not category_excess(rng.integers(1, 6, N), before, behind).is_leak
    assert not category_excess(np.zeros(N, np.int64), before, behind).is_leak, "a catalogue without categories"
    few = slice(0, 30)
    assert not category_excess(tags(before + behind, rng)[few], before[few], behind[few]).is_leak, "30 items prove nothing"


def test_models_and_ranker_do_without_categories_that_know_the_future(small_run: Run) -> None:
    n_items = 400
    rng = np.random.default_rng(1)
    cut = small_run.split("holdout").cut
    run = with_items(small_run, np.full(n_items, np.nan), np.full(n_items, 5.0))
    pairs = pa.table(
        {"user_idx": np.repeat(np.arange(5, dtype=np.int32), n_items), "item_idx": np.tile(np.arange(n_items, dtype=np.int32), 5)}
    )
    history = pairs.filter(pa.array(pairs["user_idx"].to_numpy() < 3))
    held = pairs.filter(pa.array((pairs["user_idx"].to_numpy() >= 3) & (pairs["item_idx"].to_numpy() % 2 == 0)))
    day = cut - timedelta(days=1)
    ones = {"weight": np.float32(1), "n_events": 1, "first_event_at": day, "last_event_at": day}
    run.write("model_interactions", pa.Table.from_pandas(history.to_pandas().assign(**ones), preserve_index=False), "holdout")
    labels = held.to_pandas().assign(gain=np.float32(1), position=None)
    run.write("model_labels", pa.Table.from_pandas(labels, preserve_index=False), "holdout")
    given = np.where(np.arange(n_items) % 2 == 0, 6, 3) + rng.integers(0, 3, n_items)
    for n_categories, learnt in ((rng.integers(1, 6, n_items), True), (given, False)):
        names = pa.array([[f"c{number}" for number in range(n)] for n in n_categories])
        items = run.read("model_items")
        for column in ("categories", "learnt_categories"):
            items = items.set_column(items.column_names.index(column), column, names)
        run.write("model_items", items)
        keep_learnt_categories(run)
        assert run.read("model_items").sort_by("item_idx")["categories"].to_pylist() == names.to_pylist(), "what people read stays"
        assert any("models ignored them" in notice.text for notice in collect(run, cut).warnings) is not learnt
        seen = training_data(run, "holdout").items["categories"]
        assert [len(of_item) for of_item in seen] == (n_categories.tolist() if learnt else [0] * n_items)
        assert load_items(feature_files(run, "holdout")).categories.nnz == (n_categories.sum() if learnt else 0)
