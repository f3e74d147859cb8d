"""Tables that only some nights have: positive events by type, and impressions without a choice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from hybridrec.base.settings import Settings
from hybridrec.candidates.candidate_set import feature_files, load_candidates, load_items
from hybridrec.dataset import features, impressions
from hybridrec.evaluation import leaks
from hybridrec.metrics import positions
from hybridrec.opening.new_run import Request, open_run
from hybridrec.runs.run import Run, Split
from hybridrec.splitting import visits
from hybridrec.storage import store
from hybridrec.tables import table
from hybridrec.training import fits
from jobs import build_features, build_interactions
from tests.support import made_candidates, small_world
from tests.support.feature_alarm import features_must_not_change

CUT = datetime(2026, 3, 1, tzinfo=UTC)
SPLIT = Split("holdout", CUT, CUT + timedelta(days=10))


def rows_of(spark: SparkSession, *rows: tuple[int, int, str, float]) -> DataFrame:
    """Return events of (user, item, type, days before the cut); below 0 in the label window."""
    made = [(user, item, kind, CUT - timedelta(days=days), 0 if days > 0 else 2) for user, item, kind, days in rows]
    return spark.createDataFrame(made, "user_idx int, item_idx int, event_type string, event_at timestamp, stage int")


def test_visits_are_one_a_day_and_type_before_the_cut(spark: SparkSession) -> None:
    events = rows_of(spark, (0, 1, "view", 5.5), (0, 1, "view", 5.25), (0, 1, "view", 4.0), (0, 1, "purchase", 5.5), (0, 2, "view", -1))
    found = visits.visited(events, SPLIT).collect()
    ages = sorted((row["event_type"], (CUT.replace(tzinfo=None) - row["event_at"]) / timedelta(days=1)) for row in found)
    assert ages == [("purchase", 5.5), ("view", 4.0), ("view", 5.5)]


def test_impressions_without_a_choice_are_counted_by_pair_and_item(spark: SparkSession) -> None:
    shown = (
        rows_of(spark, (0, 1, "", 9), (0, 1, "", 7), (0, 1, "", 3), (1, 1, "", 9), (1, 2, "", 2), (1, 1, "", -1))
        .drop("stage")
        .selectExpr("*", "event_at AS known_at")
    )
    events = rows_of(spark, (0, 1, "purchase", 5), (1, 2, "purchase", -1), (0, 3, "view", 5))
    pairs = impressions.shown_pairs(shown, events, SPLIT)
    assert sorted(tuple(row) for row in pairs.collect()) == [(0, 1, 3, 1), (1, 1, 1, 1), (1, 2, 1, 1)]
    assert sorted(tuple(row) for row in impressions.shown_items(pairs).collect()) == [(1, 2, 1), (2, 1, 0)]


@pytest.mark.parametrize("hours", [1, 24 * 28])
def test_the_window_does_not_read_past_the_cut(spark: SparkSession, hours: int) -> None:
    events = rows_of(spark, *((user, item, "view", day) for user in range(3) for item in range(3) for day in (0.02, 1.5, 40.0, -0.02)))
    typed = events.selectExpr("*", "cast(null as string) device", "event_at as calendar_at")
    features_must_not_change(partial(features.item_features, window_hours=hours), typed, SPLIT)
    within = {row["item_n_events_window"] for row in features.item_features(typed, SPLIT, hours).collect()}
    assert within == {3 if hours == 1 else 6}


def test_impressions_after_the_run_do_not_count(home: Path) -> None:
    """As in a backfill of a day before impressions were delivered first."""
    run, events = small_world.make_run(), small_world.core_events().to_pandas()
    shown = events.head(5).assign(event_type="impression", position=1, event_id=[f"shown {n}" for n in range(5)])
    for at, is_there in ((run.manifest.as_of, False), (run.manifest.as_of - timedelta(seconds=1), True)):
        run.write(
            "core_events",
            table("core_events").conform(pa.Table.from_pandas(pd.concat([events, shown.assign(event_at=at)]), preserve_index=False)),
        )
        assert impressions.has_some(run) is positions.shows_lists(run) is is_there


def _prepare(run: Run) -> None:
    """Run the jobs before an ingest replaces the tables that the run was opened on."""
    build_interactions.main(build_interactions.Params(run.run_id))
    build_features.main(build_features.Params(run.run_id))
    made_candidates.add_candidates(run)


def test_a_night_of_several_types_with_impressions_has_their_columns(
    home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession
) -> None:
    """And a night of one type has neither tables nor columns nor the model that needs types."""
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    plain = small_world.events()
    small_world.write_core_tables()
    one_type = open_run(Request("plain", "files", k=10), Settings.from_env())
    assert one_type.manifest.event_types == () and "co_visitation" not in one_type.manifest.models
    assert one_type.manifest.window_hours > 0
    _prepare(one_type)
    views = plain.assign(event_type="view", event_at=plain.event_at - pd.Timedelta(hours=1))
    seen = plain.iloc[::2].assign(event_type="impression", event_at=plain.event_at - pd.Timedelta(hours=2))
    monkeypatch.setattr(small_world, "events", lambda: pd.concat([plain, views, seen], ignore_index=True))
    small_world.write_core_tables("files")
    night = open_run(Request("typed", "files", k=10), Settings.from_env())
    assert night.manifest.event_types == ("purchase", "view") and "co_visitation" in night.manifest.models
    _prepare(night)
    assert not any(store.is_committed(one_type.dataset(name, "holdout")) for name in ("model_visits", "model_shown", "model_item_shown"))
    plain_columns, columns = (set(load_candidates(run, "holdout").features) for run in (one_type, night))
    assert columns - plain_columns >= {
        *(f"affinity_{label}_{kind}" for label in ("brand", "category") for kind in ("purchase", "view")),
        *("item_taken_rate", "pair_log_n_shown", "pair_log_n_passed"),
    }
    hours = one_type.manifest.window_hours
    assert {f"item_log_n_events_{hours}h", f"item_trend_{hours}h", "item_category_rank", "price_gap", "affinity_brand"} <= plain_columns
    assert fits.training_data(night, "holdout", "item_knn").visits is None, "only a model that asks reads the visits"
    read = fits.training_data(night, "holdout", "co_visitation").visits
    assert read is not None and (read.days > 0).all() and (np.diff(read.users) >= 0).all()
    assert sorted(set(read.weights.tolist())) == pytest.approx([0.2, 1.0])
    assert load_items(feature_files(night, "holdout")).features["item_taken_rate"].max() <= 1
    leaks.require_recomputed_features(night, "holdout")
