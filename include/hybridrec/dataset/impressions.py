"""Count the items that users were shown and did not take, as Spark frames: an impression without a choice says something too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from hybridrec.dataset.interactions import as_declared, numbered_events
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
    return run.config.split == "time" and data.head(1, columns=["event_type"], filter=shown).num_rows > 0


def numbered(spark: SparkSession, run: Run) -> DataFrame:
    """Return user_idx, item_idx, event_at of the impressions before as_of."""
    return numbered_events(spark, run, F.col("event_type") == IMPRESSION)


def shown_pairs(impressions: DataFrame, events: DataFrame, split: Split) -> DataFrame:
    """Return model_shown of a split. events: user_idx, item_idx, event_at, stage of all positive events."""
    taken = held_out.history(events, split).groupBy("user_idx", "item_idx").agg(F.max("event_at").alias("taken_at"))
    known = impressions.where(F.col("event_at") < F.lit(split.cut)).join(taken, ["user_idx", "item_idx"], "left")
    passed = F.col("taken_at").isNull() | (F.col("event_at") > F.col("taken_at"))
    counts = known.groupBy("user_idx", "item_idx").agg(F.count("*").alias("n_shown"), F.count_if(passed).alias("n_passed"))
    return as_declared(counts, table("model_shown"))


def shown_items(shown: DataFrame) -> DataFrame:
    """Return model_item_shown from model_shown of a split."""
    taken = F.count_if(F.col("n_passed") < F.col("n_shown"))
    counts = shown.groupBy("item_idx").agg(F.count("*").alias("n_shown"), taken.alias("n_taken"))
    return as_declared(counts, table("model_item_shown"))
