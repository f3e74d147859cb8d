"""User and item features as of a fold's cut, as Spark frames. No feature reads an event outside of the fold's history."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from hybridrec import splits
from hybridrec.errors import Leak
from hybridrec.interactions import age_days, as_declared, exact_mean
from hybridrec.run import Fold
from hybridrec.tables import table


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
            F.max("age_days").alias("item_age_days"),
            F.min("age_days").alias("item_recency_days"),
        )
    )
    return as_declared(features, table("model_item_features"))


def _history(events: DataFrame, fold: Fold) -> DataFrame:
    return splits.history(events, fold).withColumn("age_days", age_days(F.col("event_at"), fold))


def features_must_not_change(compute: Callable[[DataFrame, Fold], DataFrame], events: DataFrame, fold: Fold) -> None:
    """Leak alarm: features computed from all events equal those from the fold's history alone; Leak otherwise."""
    whole = compute(events, fold)
    truncated = compute(splits.history(events, fold), fold)
    changed = whole.exceptAll(truncated).union(truncated.exceptAll(whole)).limit(5).collect()
    if changed:
        raise Leak(f"features of fold {fold.name} change when events that it must not see are removed, in {whole.columns}: {changed}")
