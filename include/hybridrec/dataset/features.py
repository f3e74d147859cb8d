"""User and item features as of a split's cut, as Spark frames. No feature reads an event outside of the split's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from hybridrec.dataset.interactions import as_declared, exact_mean, n_files
from hybridrec.runs.run import Run, Split
from hybridrec.splitting import held_out
from hybridrec.tables import table

if TYPE_CHECKING:
    import pyarrow as pa

EVENING, MORNING = 18, 6  # hours, UTC
PART = "part"  # of what recomputed joins to one table
HAND_HELD = ("mobile", "phone", "tablet", "app")


def user_features(events: DataFrame, split: Split) -> DataFrame:
    """Return model_user_features of a split. events: user_idx, item_idx, event_at, device, stage of all positive events."""
    seen = _history(events, split)
    popularity = seen.groupBy("item_idx").agg(F.log1p(F.countDistinct("user_idx")).alias("log_popularity"))
    features = (
        seen.join(popularity, "item_idx")
        .groupBy("user_idx")
        .agg(
            F.countDistinct("item_idx").alias("user_n_items"),
            F.count("*").alias("user_n_events"),
            F.min("age_days").alias("user_recency_days"),
            (F.max("age_days") - F.min("age_days")).alias("user_span_days"),
            exact_mean(F.col("log_popularity")).alias("user_mean_log_popularity"),
            *_habits("user"),
        )
    )
    return as_declared(features, table("model_user_features"))


def item_features(events: DataFrame, split: Split, window_hours: int = 0) -> DataFrame:
    """Return model_item_features of a split.

    events: user_idx, item_idx, event_at, device, stage of all positive events. window_hours: of the run, 0 for none.
    """
    features = (
        _history(events, split)
        .groupBy("item_idx")
        .agg(
            F.countDistinct("user_idx").alias("item_n_users"),
            F.count("*").alias("item_n_events"),
            F.count_if(F.col("age_days") <= 30).alias("item_n_events_30d"),
            F.count_if(F.col("age_days") <= 7).alias("item_n_events_7d"),
            F.count_if(F.col("age_days") <= 90).alias("item_n_events_90d"),
            *_trend(window_hours),
            F.max("age_days").alias("item_age_days"),
            F.min("age_days").alias("item_recency_days"),
            *_habits("item"),
        )
    )
    return as_declared(features, table("model_item_features"))


def _trend(hours: int) -> list[Column]:
    if not hours:
        return [F.lit(None).cast("int").alias("item_n_events_window"), F.lit(None).cast("float").alias("item_trend")]
    days = hours / 24
    within, around = (F.count_if(F.col("age_days") <= n * days) for n in (1, 4))
    return [within.alias("item_n_events_window"), F.log((within + 1) / ((around - within) / 3 + 1)).alias("item_trend")]


def item_repeats(pairs: DataFrame) -> DataFrame:
    """Return model_repeats from a split's model_interactions."""
    days = (F.unix_micros("last_event_at") - F.unix_micros("first_event_at")) / F.lit(held_out.DAY_SECONDS * 1e6)
    again = F.col("days") >= 1
    of_items = pairs.withColumn("days", days).groupBy("item_idx")
    repeats = of_items.agg(
        exact_mean(again.cast("double")).alias("item_repeat_share"),
        exact_mean(F.when(again, F.col("days") / F.greatest(F.col("n_events") - 1, F.lit(1)))).alias("item_gap_days"),
    )
    return as_declared(repeats, table("model_repeats"))


def _history(events: DataFrame, split: Split) -> DataFrame:
    return held_out.history(events, split).withColumn("age_days", held_out.age_days(F.col("event_at"), split))


def _habits(of: str) -> list[Column]:
    """Return shares of the events on week-ends, in the evening, on a hand-held device; null if unknown."""
    week_day, hour = F.dayofweek("calendar_at"), F.hour("calendar_at")
    habits = {
        "weekend": week_day.isin(1, 7),
        "evening": (hour >= EVENING) | (hour < MORNING),
        "mobile": F.lower("device").isin(*HAND_HELD),
    }
    return [F.try_divide(F.count_if(habit), F.count(habit)).alias(f"{of}_{name}_share") for name, habit in habits.items()]


def recomputed(events: DataFrame, run: Run, users: Mapping[str, Sequence[int]]) -> dict[str, tuple[pa.Table, pa.Table]]:
    """Recompute, for each split, the features of some users and of their items from events that end at its cut.

    users: by split. All events of these items and users are there, so the values equal those of the whole tables: a leak alarm compares
    them. Time is cut here by itself, since the stages may be what is wrong.
    """
    sampled = sorted({user for of_split in users.values() for user in of_split})
    items = {row["item_idx"] for row in events.where(F.col("user_idx").isin(*sampled)).select("item_idx").distinct().collect()}
    # in one partition, unless the events are many, nothing is shuffled, and all splits are one action: what costs is their number
    known = events.where(F.col("item_idx").isin(*items)).coalesce(n_files(run))
    parts = []
    for name, of_split in users.items():
        split = run.split(name)
        past = known.where(F.col("event_at") < F.lit(split.cut)) if run.config.split == "time" else held_out.history(known, split)
        of_users = user_features(past, split).where(F.col("user_idx").isin(*of_split))
        of_items = item_features(past, split, run.manifest.window_hours)
        parts += [of_users.withColumn(PART, F.lit(f"{name}_user")), of_items.withColumn(PART, F.lit(f"{name}_item"))]
    rows = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts).toArrow()
    return {name: (_rows_of(rows, f"{name}_user", "user"), _rows_of(rows, f"{name}_item", "item")) for name in users}


def _rows_of(rows: pa.Table, part: str, kind: str) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.field(PART) == part).select([name for name in rows.column_names if name.startswith(f"{kind}_")])
