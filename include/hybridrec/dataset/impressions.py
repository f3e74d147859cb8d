"""Count the items that users were shown and did not take, as Spark frames: an impression without a choice says something too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from hybridrec.dataset.interactions import as_declared, events_before, with_numbers
from hybridrec.feedback import outcomes
from hybridrec.runs.run import Run, Split
from hybridrec.splitting import held_out
from hybridrec.tables import table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

IMPRESSION = "impression"


def has_some(run: Run) -> bool:
    """Return whether the night's events before as_of hold impressions, on a calendar that tells which came before the cut."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    shown = (pc.field("event_type") == IMPRESSION) & (pc.field("event_at") < pa.scalar(run.manifest.as_of))
    data = ds.dataset(run.files("core_events"), format="parquet", partitioning=None)
    return run.config.split == "time" and (outcomes.any_shown(run) or data.head(1, columns=["event_type"], filter=shown).num_rows > 0)


def numbered(spark: SparkSession, run: Run) -> DataFrame:
    """Return user_idx, item_idx, event_at, known_at of the impressions before as_of.

    known_at: from when on it is known what came of it; for a list that the look-up has served, from the end of its attribution window on.
    """
    plain = events_before(spark, run).where(F.col("event_type") == IMPRESSION)
    if not outcomes.is_there(run):
        return with_numbers(spark, run, plain.withColumn("known_at", F.col("event_at")), "known_at")
    plain = without_served(spark, run, plain).withColumn("known_at", F.col("event_at"))
    shown = run.read_spark(spark, outcomes.TABLE).where(F.col("shown") & (F.col("user_id") != ""))
    of_lists = shown.withColumns({"event_at": F.col("served_at"), "known_at": known_at(run)})
    columns = ("user_id", "item_id", "event_at", "known_at")
    return with_numbers(spark, run, plain.select(*columns).unionByName(of_lists.select(*columns)), "known_at")


def without_served(spark: SparkSession, run: Run, events: DataFrame) -> DataFrame:
    """Return events without those of lists that the look-up has served: model_feedback has what is known of them."""
    return events.join(run.read_spark(spark, outcomes.SERVED).select("recommendation_id"), "recommendation_id", "left_anti")


def known_at(run: Run) -> Column:
    """Return the end of a list's attribution window, of rows of model_feedback."""
    return F.timestamp_micros(F.unix_micros("served_at") + F.lit(round(run.config.attribution_days * 86_400_000_000)))


def shown_pairs(impressions: DataFrame, events: DataFrame, split: Split) -> DataFrame:
    """Return model_shown of a split. events: user_idx, item_idx, event_at, stage of all positive events."""
    taken = held_out.history(events, split).groupBy("user_idx", "item_idx").agg(F.max("event_at").alias("taken_at"))
    known = impressions.where(F.col("known_at") < F.lit(split.cut)).join(taken, ["user_idx", "item_idx"], "left")
    passed = F.col("taken_at").isNull() | (F.col("event_at") > F.col("taken_at"))
    counts = known.groupBy("user_idx", "item_idx").agg(F.count("*").alias("n_shown"), F.count_if(passed).alias("n_passed"))
    return as_declared(counts, table("model_shown"))


def shown_items(shown: DataFrame) -> DataFrame:
    """Return model_item_shown from model_shown of a split."""
    taken = F.count_if(F.col("n_passed") < F.col("n_shown"))
    counts = shown.groupBy("item_idx").agg(F.count("*").alias("n_shown"), taken.alias("n_taken"))
    return as_declared(counts, table("model_item_shown"))
