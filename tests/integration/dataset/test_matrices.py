"""Interactions, labels and features by Spark against the small world's own arithmetic; the truncation alarm."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from hybridrec.base.errors import Leak, PermanentError
from hybridrec.base.settings import Settings
from hybridrec.dataset import features, interactions
from hybridrec.evaluation import leaks
from hybridrec.metrics import positions
from hybridrec.opening.new_run import Request, open_run
from hybridrec.runs.run import Run, Split
from hybridrec.splitting import held_out
from jobs import build_features, build_interactions
from tests.support import made_candidates, small_world
from tests.support.feature_alarm import features_must_not_change


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> Run:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    small_world.write_core_tables()
    return open_run(Request("night", "files", k=10), Settings.from_env())


def _frame(run: Run, name: str, split: str) -> pd.DataFrame:
    frame = run.read(name, split).to_pandas()
    keys = [key for key in ("user_idx", "item_idx") if key in frame]
    return frame.sort_values(keys).reset_index(drop=True)


def test_jobs_agree_with_a_second_implementation(run: Run) -> None:
    build_interactions.main(build_interactions.Params("night"))
    build_features.main(build_features.Params("night"))
    assert run.read("model_users").column("user_id").to_pylist() == small_world.users().user_id.tolist()
    assert run.read("model_items").column("title").to_pylist() == small_world.items().title.tolist()
    for split in run.manifest.splits.values():
        expected = {
            "model_interactions": small_world.interactions(split, run.config),
            "model_user_features": small_world.user_features(split),
            "model_item_features": small_world.item_features(split, run.manifest.window_hours),
        }
        if split.label_end is not None:
            expected["model_labels"] = small_world.labels(split, run.config)
        for name, frame in expected.items():
            wanted = frame.sort_values(list(frame.columns[:2])).reset_index(drop=True)
            pd.testing.assert_frame_equal(
                _frame(run, name, split.name), wanted, check_dtype=False, rtol=1e-5, check_like=True, obj=f"{name} {split.name}"
            )


def test_features_that_read_past_the_cut_stop_the_night(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alarm's features are computed from events that end at the cut, whatever the features' code does."""
    build_interactions.main(build_interactions.Params("night"))
    build_features.main(build_features.Params("night"))
    made_candidates.add_candidates(run)
    assert (
        leaks.require_recomputed_features(run, "ranker").detail
        == "split ranker: those of 20 users and 39 items are the same without later events"
    )
    whole = held_out.history
    monkeypatch.setattr(held_out, "history", lambda events, split: events if split.name == "holdout" else whole(events, split))
    build_features.main(build_features.Params("night"))
    leaks.require_recomputed_features(run, "ranker")
    with pytest.raises(Leak, match=r"split holdout: model_user_features user_evening_share, .*knows what came after the cut"):
        leaks.require_recomputed_features(run, "holdout")


def test_a_night_without_labels_says_why(home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession) -> None:
    monkeypatch.setenv("HYBRIDREC_SPARK", "local[2]")
    (home / "hybridrec.toml").write_text('[night]\nsplit = "last_per_user"\n')
    short, items = small_world.events().groupby("user_id").head(2), small_world.items()
    known = items[items.item_id.isin(short.item_id)]  # with new ones in the catalogue, items would be held out as a whole
    monkeypatch.setattr(small_world, "events", lambda: short)
    monkeypatch.setattr(small_world, "items", lambda: known)
    small_world.write_core_tables()
    open_run(Request("night", "files", k=10), Settings.from_env())
    with pytest.raises(
        PermanentError,
        match=r"split holdout: no labels, so nothing can be judged: of 116 positive events of 58 users, .* longest history has 2",
    ):
        build_interactions.main(build_interactions.Params("night"))


def test_a_rerun_gives_the_same_bytes(run: Run) -> None:
    def digest() -> str:
        files = [file for split in ("ranker", "full") for file in run.files("model_interactions", split)]
        return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()

    build_interactions.main(build_interactions.Params("night"))
    first = digest()
    build_interactions.main(build_interactions.Params("night"))
    assert digest() == first


def _numbered(spark: SparkSession) -> DataFrame:
    events = small_world.numbered_events()[["user_idx", "item_idx", "event_at"]]
    stage = (events.event_at >= small_world.CUTS["ranker"]).astype(int) + (events.event_at >= small_world.CUTS["holdout"]).astype(int)
    return spark.createDataFrame(events.assign(stage=stage, calendar_at=events.event_at)).withColumn("device", F.lit("phone"))


def test_lists_are_counted_before_the_cut_only(run: Run, spark: SparkSession) -> None:
    split = run.split("ranker")
    before, after = split.cut - timedelta(days=1), split.cut
    rows: list[tuple[str, str, datetime, int | None]]
    rows = [("a", "impression", before, 1), ("a", "click", before, 1), ("a", "impression", before, 2), ("b", "impression", before, 1)]
    rows += [("a", "impression", after, 1), ("a", "purchase", before, 1), ("b", "impression", before, None), ("b", "click", before, 3)]
    events = spark.createDataFrame(rows, "item_id string, event_type string, event_at timestamp, position int")
    counted = positions.count_shown(events, split).toPandas().sort_values(["item_id", "position"]).to_numpy().tolist()
    assert counted == [["a", 1, 1, 1], ["a", 2, 1, 0], ["b", 1, 1, 0], ["b", 3, 0, 0]]
    assert not positions.shows_lists(run)


def test_features_do_not_read_past_the_cut(spark: SparkSession) -> None:
    split = Split("ranker", small_world.CUTS["ranker"], small_world.CUTS["holdout"])
    events = _numbered(spark)
    features_must_not_change(features.user_features, events, split)
    features_must_not_change(features.item_features, events, split)


def test_the_truncation_alarm_goes_off_when_a_feature_reads_ahead(spark: SparkSession) -> None:
    split = Split("ranker", small_world.CUTS["ranker"], small_world.CUTS["holdout"])

    def leaky(events: DataFrame, split: Split) -> DataFrame:
        return events.groupBy("item_idx").agg(F.count("*").alias("item_n_events"))

    with pytest.raises(Leak, match="item_n_events"):
        features_must_not_change(leaky, _numbered(spark), split)


def test_a_rating_weighs_by_its_stars(spark: SparkSession) -> None:
    rows = [("rating", 5.0), ("rating", 1.0), ("rating", 0.0), ("purchase", None), ("impression", None)]
    events = spark.createDataFrame(rows, "event_type string, rating float")
    weight = interactions.event_weight({"rating": 1.0, "purchase": 0.9})
    found = [row[0] for row in events.select(weight).collect()]
    np.testing.assert_allclose(found, [1.0, 0.2, 0.1, 0.9, 0.0])
