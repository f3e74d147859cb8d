"""Events that each split holds out, counted by hand and on random histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from hybridrec.base.config import Config, SplitMethod
from hybridrec.base.errors import Leak
from hybridrec.dataset.features import item_features, user_features
from hybridrec.runs.run import RunManifest, Split
from hybridrec.splitting import held_out
from tests.support.feature_alarm import features_must_not_change

END = datetime(2026, 1, 1, tzinfo=UTC)
SPLITS = {"ranker": Split("ranker", END, END), "holdout": Split("holdout", END, END), "full": Split("full", END, None)}


def manifest(split: SplitMethod) -> RunManifest:
    config = Config(split=split, label_share=0.4)
    return RunManifest("r", "files", END, (), False, "test", SPLITS, {}, config)


def world(spark: SparkSession) -> DataFrame:
    """Return a matrix in which user u has u + 1 items, one per day; u = 0..19, the newest has the highest number."""
    rows = [(u, (3 * u + n) % 40, END - timedelta(days=30 - n)) for u in range(20) for n in range(u + 1)]
    frame = pd.DataFrame(rows, columns=["user_idx", "item_idx", "event_at"])
    return spark.createDataFrame(frame.assign(calendar_at=frame.event_at, device="phone", weight=1.0))


def staged(spark: SparkSession, split: SplitMethod, n_items: int = 40) -> pd.DataFrame:
    return held_out.with_stage(world(spark), manifest(split), n_items).toPandas().sort_values(["user_idx", "event_at"])


def test_last_per_user_holds_out_the_newest_two(spark: SparkSession) -> None:
    found = staged(spark, "last_per_user").groupby("user_idx").stage.agg(list)
    assert found[0] == [0] and found[1] == [0, 0], "fewer than three pairs are all kept"
    assert all(found[u] == [0] * (u - 1) + [1, 2] for u in range(2, 20))


def test_random_per_user_holds_out_a_share_and_leaves_one(spark: SparkSession) -> None:
    found = staged(spark, "random_per_user").groupby("user_idx").stage.agg(list)
    assert all(0 in stages for stages in found)
    for stage in (1, 2):
        held = sum(stages.count(stage) for stages in found)
        assert abs(held - 0.2 * found.map(len).sum()) < 8
    assert staged(spark, "random_per_user").equals(staged(spark, "random_per_user"))


def test_new_items_are_held_out_at_the_catalogues_rate(spark: SparkSession) -> None:
    found = staged(spark, "random_per_user", n_items=50)  # ten of fifty items have no event
    by_item = found.groupby("item_idx").stage.agg(["min", "max", "size"])
    whole = by_item[(by_item["min"] == 2) & (by_item["size"] > 2)]
    assert 2 <= len(whole) <= 16
    assert held_out.new_item_share(50, 40) == pytest.approx(0.2) and held_out.new_item_share(100, 10) == held_out.MAX_NEW_SHARE
    assert held_out.new_item_share(40, 40) == 0


@pytest.mark.parametrize("split", ["last_per_user", "random_per_user"])
def test_features_see_the_history_only(spark: SparkSession, split: SplitMethod) -> None:
    events = held_out.with_stage(world(spark), manifest(split), 40)
    features_must_not_change(user_features, events, SPLITS["ranker"])
    features_must_not_change(item_features, events, SPLITS["ranker"])

    def leaky(events: DataFrame, split: Split) -> DataFrame:
        return events.groupBy("item_idx").count()

    with pytest.raises(Leak):
        features_must_not_change(leaky, events, SPLITS["ranker"])


@pytest.mark.parametrize(
    ("split", "sentence"),
    [
        (
            "last_per_user",
            "split holdout: no labels, so nothing can be judged: of 3 positive events of 2 users, 2025-12-02 00:00 to 2025-12-03 00:00, "
            "none is held out for it; split last_per_user holds out each user's last items, of users with at least 3 different ones, "
            "and the longest history has 2; load more events",
        ),
        (
            "random_per_user",
            "none is held out for it; split random_per_user holds out 20% of each user's items, of users with at least 3 different ones",
        ),
    ],
)
def test_a_split_without_labels_says_what_the_split_found(spark: SparkSession, split: SplitMethod, sentence: str) -> None:
    events = held_out.with_stage(world(spark).where("user_idx < 2"), manifest(split), 3)
    assert sentence in str(held_out.no_labels(events, SPLITS["holdout"], manifest(split).config))


def test_a_window_of_repeats_says_so(spark: SparkSession) -> None:
    split = Split("holdout", END - timedelta(days=10), END)
    again = world(spark).where("user_idx = 5").withColumn("event_at", F.expr("event_at + interval 24 days")).withColumn("stage", F.lit(2))
    events = world(spark).withColumn("stage", F.lit(0)).unionByName(again)
    assert str(held_out.no_labels(events, split, Config())) == (
        "split holdout: no labels, so nothing can be judged: of 216 positive events of 20 users, 2025-12-02 00:00 to 2025-12-31 00:00, 6 "
        "are held out for it, 2025-12-26 00:00 to 2025-12-31 00:00, and their users had each item before; split time needs a user who "
        "chooses a new item between 2025-12-22 00:00 and 2026-01-01 00:00; load more events, move as_of or widen the window by "
        "[night] label_share (0.2) or min_label_events"
    )


def test_labels_are_of_a_sample_of_users(spark: SparkSession) -> None:
    events = held_out.with_stage(world(spark), manifest("last_per_user"), 40)
    labels, known = held_out.labelled(events, SPLITS["holdout"]), held_out.history(events, SPLITS["holdout"])
    assert held_out.sample_users(labels, known, None, 20, Config(max_label_users=100)).count() == labels.count() == 18
    some = held_out.sample_users(labels, known, None, 20, Config(max_label_users=9, seed=1)).toPandas()
    assert 3 <= len(some) <= 15
    other = held_out.sample_users(labels, known, None, 20, Config(max_label_users=9, seed=2)).toPandas()
    assert not np.array_equal(np.sort(some.user_idx), np.sort(other.user_idx))


def test_many_labelled_users_are_drawn_as_they_are_served(spark: SparkSession) -> None:
    """Nine in ten of 3,000 labelled users are newcomers, and all users served have a history."""
    users = spark.range(3_000).select(F.col("id").cast("int").alias("user_idx"), F.lit(7).alias("item_idx"))
    known = users.where("user_idx < 300").select("user_idx", F.lit(1).alias("item_idx"))
    served = spark.range(0, 1_000).select(F.col("id").cast("int").alias("user_idx"), F.lit(1).alias("item_idx"))
    drawn = held_out.sample_users(users, known, served, 1_000, Config(max_label_users=400)).toPandas().user_idx
    assert (drawn < 300).sum() == 300, "too few to be drawn from: all of them stay"
    assert 5 <= (drawn >= 300).sum() <= 45, "newcomers are not served, and keep just enough to be judged by themselves"
    many = held_out.sample_users(users, known, served, 2_000, Config(max_label_users=400)).toPandas().user_idx
    assert 150 <= (many >= 300).sum() <= 250, "half of the users served have no history"
