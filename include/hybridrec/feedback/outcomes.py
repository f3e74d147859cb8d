"""Join what was served with what came of it: model_feedback of a run.

Only lists older than attribution_days as of the run are judged: the window of a younger one is still open, and its events may yet come.
Impressions that a caller tells of beat those that follow from clicks, all positions at or above the lowest click, and these beat none:
being served is no impression.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hybridrec.base.config import Config
from hybridrec.feedback.judging import CLOCK_SECONDS, moment
from hybridrec.runs.run import Run
from hybridrec.storage import store
from hybridrec.tables import spark_type, table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

TABLE, SERVED = "model_feedback", "core_served"
IMPRESSION = "impression"
ROWS_PER_FILE, MEAN_LENGTH = 2_000_000, 20


def has_lists(run: Run) -> bool:
    """Return whether lists were served before the run was opened."""
    return SERVED in run.manifest.inputs


def is_there(run: Run) -> bool:
    """Return whether the run's model_feedback has been written."""
    return store.is_committed(run.dataset(TABLE))


def any_shown(run: Run) -> bool:
    """Return whether the run's model_feedback has a position that a person saw."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    if not is_there(run):
        return False
    data = ds.dataset(run.files(TABLE), format="parquet", partitioning=None)
    found: int = data.head(1, columns=["position"], filter=pc.field("shown")).num_rows
    return found > 0


def of_run(spark: SparkSession, run: Run) -> DataFrame:
    """Return model_feedback in as many files as it fills, sorted."""
    rows = outcomes(run.read_spark(spark, SERVED), run.read_spark(spark, "core_events"), run.config, run.manifest.as_of)
    n_files = 1 + run.manifest.inputs[SERVED].rows * MEAN_LENGTH // ROWS_PER_FILE
    return rows.repartition(n_files, "recommendation_id").sortWithinPartitions("recommendation_id", "position")


def outcomes(served: DataFrame, events: DataFrame, config: Config, as_of: datetime) -> DataFrame:
    """Return model_feedback. served: core_served; events: core_events, those with a recommendation_id count."""
    from pyspark.sql import functions as F

    window = timedelta(days=config.attribution_days)
    mature = served.where(F.col("served_at") <= moment(as_of - window))
    lists = mature.join(_by_list(mature, events, config, as_of), "recommendation_id", "left")
    clicked = F.filter(F.map_entries("came"), lambda entry: entry["value"]["clicked"])
    lists = lists.withColumns(
        {
            "by_impression": F.exists(F.map_values("came"), lambda value: value["seen"]),
            "lowest": F.array_max(F.transform(clicked, lambda entry: F.array_position("item_ids", entry["key"]).cast("int"))),
        }
    )
    rows = lists.select("*", F.posexplode("item_ids").alias("_index", "item_id")).withColumns(
        {"position": F.col("_index") + 1, "came": F.try_element_at("came", F.col("item_id"))}
    )
    by_impression = F.coalesce("by_impression", F.lit(False))
    clicked_here = F.coalesce(F.col("came.clicked"), F.lit(False))
    seen_here = F.coalesce(F.col("came.seen"), F.lit(False)) | clicked_here
    values = {
        "probability": _probability(),
        "shown": F.when(by_impression, seen_here).otherwise(F.coalesce(F.col("position") <= F.col("lowest"), F.lit(False))),
        "shown_by": F.when(by_impression, F.lit("impression")).when(F.col("lowest").isNotNull(), F.lit("click")),
        "clicked": clicked_here,
        "reward": F.coalesce(F.col("came.reward"), F.lit(0.0)),
    }
    definition = table(TABLE)
    rows = rows.withColumns(values)
    return rows.select([F.col(column.name).cast(spark_type(column.type)) for column in definition.columns])


def _by_list(lists: DataFrame, events: DataFrame, config: Config, as_of: datetime) -> DataFrame:
    """Return recommendation_id and `came`: of each item with an event in time, whether it was seen and clicked, and its reward."""
    from pyspark.sql import functions as F

    named = events.where(F.col("recommendation_id").isNotNull() & (F.col("event_at") < moment(as_of)))
    of_events = named.select(
        "recommendation_id", "item_id", "event_type", F.col("user_id").alias("_who"), F.unix_micros("event_at").alias("_at")
    )
    joined = of_events.join(
        lists.select("recommendation_id", "user_id", F.unix_micros("served_at").alias("_from"), "item_ids"), "recommendation_id"
    )
    until = F.col("_from") + F.lit(round(config.attribution_days * 86_400_000_000))
    in_time = (F.col("_at") >= F.col("_from") - F.lit(CLOCK_SECONDS * 1_000_000)) & (F.col("_at") <= until)
    own = ((F.col("user_id") == "") | (F.col("user_id") == F.col("_who"))) & F.array_contains("item_ids", F.col("item_id"))
    choice = F.col("event_type") != IMPRESSION
    by_item = (
        joined.where(in_time & own)
        .groupBy("recommendation_id", "item_id")
        .agg(
            F.max(~choice).alias("seen"),
            F.max(choice).alias("clicked"),
            F.max(F.when(choice, _weight(config)).otherwise(F.lit(0.0))).alias("reward"),
        )
    )
    entry = F.struct("item_id", F.struct("seen", "clicked", "reward"))
    return by_item.groupBy("recommendation_id").agg(F.map_from_entries(F.collect_list(entry)).alias("came"))


def _weight(config: Config) -> Column:
    from pyspark.sql import functions as F

    weight = F.lit(0.0)
    for name, value in sorted(config.event_weights.items()):
        weight = F.when(F.col("event_type") == name, F.lit(float(value))).otherwise(weight)
    return weight


def _probability() -> Column:
    """Return the probability of a position's item; null if nothing was drawn, or if the position is not the one that the night gave it."""
    from pyspark.sql import functions as F

    arm, slot = F.col("arm_probability").cast("double"), F.get("slot_probabilities", F.col("_index")).cast("double")
    product = F.coalesce(arm, F.lit(1.0)) * F.coalesce(slot, F.lit(1.0))
    return F.when(~F.col("altered") & (arm.isNotNull() | slot.isNotNull()), product)
