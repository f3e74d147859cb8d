"""Count what a night knows of the lists that were served: how much of it can be learnt from, and what should not be there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from hybridrec.feedback import outcomes
from hybridrec.runs.run import Run
from hybridrec.storage import store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ARTEFACT, FILE = "feedback_figures", "figures.json"


@dataclass(frozen=True)
class FeedbackFigures:
    """Figures of a run's model_feedback and of what it was made from.

    lists: served, of any age. mature: those that are judged. by_impression, by_click: judged lists by how it is known what was shown.
    positions, shown, clicked: of judged lists. complete: shown positions whose user and item have features in this run.
    clicks: with a recommendation_id, in core_events. orphan_clicks: those of them whose list is not known.
    two_users: lists that events of another user name, or events of several users: a cached answer.
    """

    lists: int = 0
    mature: int = 0
    by_impression: int = 0
    by_click: int = 0
    positions: int = 0
    shown: int = 0
    complete: int = 0
    clicked: int = 0
    clicks: int = 0
    orphan_clicks: int = 0
    two_users: int = 0


def keep_figures(spark: SparkSession, run: Run) -> None:
    """Count, once the run's model_feedback and its numbers of users and items are there, and keep the figures beside them."""
    from pyspark.sql import functions as F

    served = run.read_spark(spark, outcomes.SERVED)
    events = run.read_spark(spark, "core_events").where(F.col("recommendation_id").isNotNull())
    known = [
        run.read_spark(spark, table).select(key, F.lit(True).alias(f"_{key}"))
        for table, key in (("model_users", "user_id"), ("model_items", "item_id"))
    ]
    rows = run.read_spark(spark, outcomes.TABLE)
    for of_run in known:
        rows = rows.join(of_run, of_run.columns[0], "left")
    of_rows = rows.agg(
        F.count_if(F.col("position") == 1).alias("mature"),
        F.count_if((F.col("position") == 1) & (F.col("shown_by") == "impression")).alias("by_impression"),
        F.count_if((F.col("position") == 1) & (F.col("shown_by") == "click")).alias("by_click"),
        F.count("*").alias("positions"),
        F.count_if("shown").alias("shown"),
        F.count_if(F.col("shown") & F.col("_user_id") & F.col("_item_id")).alias("complete"),
        F.count_if("clicked").alias("clicked"),
    )
    counts = of_rows.collect()[0].asDict() | _of_events(events, served)
    with run.staged(ARTEFACT) as folder:
        store.write_json(folder / FILE, asdict(FeedbackFigures(lists=run.manifest.inputs[outcomes.SERVED].rows, **counts)))


def _of_events(events: DataFrame, served: DataFrame) -> dict[str, int]:
    from pyspark.sql import functions as F

    asked = F.nullif("user_id", F.lit(""))
    lists = served.select("recommendation_id", asked.alias("_asked"), F.lit(True).alias("_known"))
    joined = events.select("recommendation_id", "event_type", F.col("user_id").alias("_who")).join(lists, "recommendation_id", "left")
    click = F.col("event_type") == "click"
    by_list = joined.groupBy("recommendation_id").agg(
        F.count_if(click).alias("clicks"),
        F.count_if(click & F.col("_known").isNull()).alias("orphans"),
        F.coalesce(F.bool_and("_known"), F.lit(False)).alias("known"),
        ((F.count_distinct("_who") > 1) | F.coalesce(F.max(F.col("_who") != F.col("_asked")), F.lit(False))).alias("mixed"),
    )
    row = by_list.agg(F.sum("clicks"), F.sum("orphans"), F.count_if(F.col("known") & F.col("mixed"))).collect()[0]
    return {name: int(row[number] or 0) for number, name in enumerate(("clicks", "orphan_clicks", "two_users"))}


def read_figures(run: Run) -> FeedbackFigures | None:
    """Return the run's figures; None if nothing was served before it."""
    if not store.is_committed(run.dataset(ARTEFACT)):
        return None
    return TypeAdapter(FeedbackFigures).validate_json((run.artefact(ARTEFACT) / FILE).read_text())
