"""User and item features as of a fold's cut, as Spark frames. No feature reads an event outside of the fold's history."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from hybridrec import splits
from hybridrec.errors import Leak
from hybridrec.interactions import age_days, as_declared, exact_mean
from hybridrec.run import Fold
from hybridrec.tables import table

EVENING, MORNING = 18, 6  # hours, UTC
HAND_HELD = ("mobile", "phone", "tablet", "app")


def user_features(events: DataFrame, fold: Fold) -> DataFrame:
    """model_user_features of a fold. events: user_idx, item_idx, event_at, device, stage of all positive events."""
    seen = _history(events, fold)
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


def item_features(events: DataFrame, fold: Fold) -> DataFrame:
    """model_item_features of a fold. events: user_idx, item_idx, event_at, device, stage of all positive events."""
    features = (
        _history(events, fold)
        .groupBy("item_idx")
        .agg(
            F.countDistinct("user_idx").alias("item_n_users"),
            F.count("*").alias("item_n_events"),
            F.count_if(F.col("age_days") <= 30).alias("item_n_events_30d"),
            F.count_if(F.col("age_days") <= 7).alias("item_n_events_7d"),
            F.count_if(F.col("age_days") <= 90).alias("item_n_events_90d"),
            F.max("age_days").alias("item_age_days"),
            F.min("age_days").alias("item_recency_days"),
            *_habits("item"),
        )
    )
    return as_declared(features, table("model_item_features"))


def _history(events: DataFrame, fold: Fold) -> DataFrame:
    return splits.history(events, fold).withColumn("age_days", age_days(F.col("event_at"), fold))


def _habits(of: str) -> list[Column]:
    """When and on what things happen: shares of the events on week-ends, in the evening, on a hand-held device; null if unknown."""
    week_day, hour = F.dayofweek("calendar_at"), F.hour("calendar_at")
    habits = {
        "weekend": week_day.isin(1, 7),
        "evening": (hour >= EVENING) | (hour < MORNING),
        "mobile": F.lower("device").isin(*HAND_HELD),
    }
    return [F.try_divide(F.count_if(habit), F.count(habit)).alias(f"{of}_{name}_share") for name, habit in habits.items()]


def features_must_not_change(compute: Callable[[DataFrame, Fold], DataFrame], events: DataFrame, fold: Fold) -> None:
    """Leak alarm: features computed from all events equal those from the fold's history alone; Leak otherwise."""
    whole = compute(events, fold)
    truncated = compute(splits.history(events, fold), fold)
    changed = whole.exceptAll(truncated).union(truncated.exceptAll(whole)).limit(5).collect()
    if changed:
        raise Leak(f"features of fold {fold.name} change when events that it must not see are removed, in {whole.columns}: {changed}")
