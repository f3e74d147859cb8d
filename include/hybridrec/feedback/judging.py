"""Judge what has landed of the look-up's log: which lists and events are new, whole and possible.

Delivery is at least once, in any order. A list or an event that comes again with the same content is dropped, with other content it is
refused, and which of two came first does not depend on the order of files. Only the DataFrame API is used.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hybridrec.tables import Table, spark_type, table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CLOCK_SECONDS = 300  # by which the clock of a caller may differ from ours
PREFIX = "served~"  # of the ids of events from the look-up, so that none is an id of the source's own
EVENT_CONTENT = ("recommendation_id", "event_type", "item_id", "event_at", "position", "user_id")
UNKNOWN = "recommendation_id is not known: its list has not landed, or was never served"
OTHER_USER = "user_id is another than that of the recommendation: its answer was kept in a cache or shared, or it names another id"
NO_USER = "user_id is missing, and the recommendation was for no user"
OTHER_ITEM = "item_id is not in the recommendation"
AHEAD = "event_at is in the future: after the look-up took the event; the clock of the caller is off"
BEFORE = "event_at is before the recommendation was served; the clock of the caller is off"
CONFLICT = "event_id was used before, for an event of other content"
SERVED_AHEAD = "served_at is in the future: after the log landed; the clock of the look-up is off"
SERVED_CONFLICT = "recommendation_id was used before, for a list of other content"
NOT_YET = "event_at is after the log landed: it is judged again with the next ingest"
WAITS = (UNKNOWN, NOT_YET)


def judge_served(landed: DataFrame, stored: DataFrame | None, landed_at: datetime) -> DataFrame:
    """Return lists that are new or refused: columns of core_served, `_reason` and `_file`. landed: rows of the served log."""
    from pyspark.sql import functions as F
    from pyspark.sql.window import Window

    definition = table("core_served")
    content = [column.name for column in definition.columns if not column.made]
    once = landed.groupBy(*content).agg(F.min("source_file").alias("_file"))
    order = Window.partitionBy("recommendation_id").orderBy("served_at", _hash(content))
    reasons = [_when(F.row_number().over(order) > 1, SERVED_CONFLICT)]
    reasons.append(_when(F.col("served_at") > moment(landed_at + timedelta(seconds=CLOCK_SECONDS)), SERVED_AHEAD))
    judged = once.withColumns({"served_date": F.to_date("served_at"), "_reason": F.coalesce(*reasons)})
    if stored is not None:
        there = stored.select("recommendation_id", _hash(content).alias("_there"))
        judged = judged.join(there, "recommendation_id", "left").where(F.col("_there").isNull() | (F.col("_there") != _hash(content)))
        judged = judged.withColumn("_reason", F.coalesce(_when(F.col("_there").isNotNull(), SERVED_CONFLICT), "_reason"))
    return judged.select(*_declared(definition), "_reason", "_file")


def judge_events(landed: DataFrame, served: DataFrame, stored: DataFrame | None, landed_at: datetime) -> DataFrame:
    """Return events that are new or refused.

    landed: rows of the events log and rows that have waited, with `waiting_since`, null for a landed one. served: core_served with what
    has landed. stored: core_events. Columns: those of waiting_feedback, `_reason`, `_own_user`, `_own_position`, and of the list.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.window import Window

    first = [F.min(name).alias(name) for name in ("received_at", "source_file", "waiting_since")]
    once = landed.groupBy("event_id", *EVENT_CONTENT).agg(*first)
    lists = served.join(once.select("recommendation_id").distinct(), "recommendation_id", "left_semi").select(
        "recommendation_id", "served_at", "surface", "experiment", "variant", "item_ids", F.nullif("user_id", F.lit("")).alias("_asked")
    )
    known = once.join(lists, "recommendation_id", "left").withColumns(
        {
            "_own_user": F.coalesce("user_id", "_asked"),
            "_at": F.array_position("item_ids", F.col("item_id")).cast("int"),
        }
    )
    known = known.withColumn("_own_position", F.coalesce("position", "_at"))
    taken, sent, slack = F.unix_micros("received_at"), F.unix_micros("event_at"), F.lit(CLOCK_SECONDS * 1_000_000)
    reasons = [
        _when(F.col("served_at").isNull(), UNKNOWN),
        _when(F.col("_own_user") != F.col("_asked"), OTHER_USER),
        _when(F.col("_own_user").isNull(), NO_USER),
        _when(F.col("_at") == 0, OTHER_ITEM),
        _when(sent > taken + slack, AHEAD),
        _when(sent < F.unix_micros("served_at") - slack, BEFORE),
        _when(F.col("event_at") > moment(landed_at), NOT_YET),
    ]
    judged = known.withColumn("_reason", F.coalesce(*reasons))
    # A good event is not refused for a faulty one of the same id, which its sender has corrected.
    order = Window.partitionBy("event_id", F.col("_reason").isNull()).orderBy("received_at", _hash(EVENT_CONTENT))
    judged = judged.withColumn("_nth", F.row_number().over(order))
    judged = judged.withColumn("_reason", F.coalesce("_reason", _when(F.col("_nth") > 1, CONFLICT)))
    return judged if stored is None else _without_stored(judged, stored)


def _without_stored(judged: DataFrame, stored: DataFrame) -> DataFrame:
    """Drop events that core_events has already, and refuse those whose id it has for other content."""
    from pyspark.sql import functions as F

    own = {"user_id": "_own_user", "position": "_own_position"}
    content = [own.get(name, name) for name in EVENT_CONTENT]
    there = stored.where(F.col("event_id").startswith(PREFIX)).select(
        F.substring("event_id", len(PREFIX) + 1, 2**20).alias("event_id"), _hash(EVENT_CONTENT).alias("_there")
    )
    compared = judged.join(there, "event_id", "left")
    fresh = compared.where(F.col("_there").isNull() | (F.col("_there") != _hash(content)))
    conflict = _when(F.col("_there").isNotNull(), CONFLICT)
    return fresh.withColumn("_reason", F.coalesce(conflict, "_reason")).drop("_there")


def as_core_events(judged: DataFrame) -> DataFrame:
    """Return good events in the columns of core_events that a source may deliver, and `_file`."""
    from pyspark.sql import functions as F

    values = {
        "event_id": F.concat(F.lit(PREFIX), "event_id"),
        "user_id": F.col("_own_user"),
        "item_id": F.col("item_id"),
        "event_type": F.col("event_type"),
        "event_at": F.col("event_at"),
        "page": F.col("surface"),
        "position": F.col("_own_position"),
        "recommendation_id": F.col("recommendation_id"),
        "experiment_id": F.nullif(F.concat_ws("/", "experiment", "variant"), F.lit("")),
    }
    columns = [column for column in table("core_events").columns if not column.made]
    typed = [values.get(column.name, F.lit(None)).cast(spark_type(column.type)).alias(column.name) for column in columns]
    return judged.where("_reason is null").select(*typed, F.col("source_file").alias("_file"))


def of_two_users(judged: DataFrame) -> int:
    """Count recommendations with events of more users than one, or of another than the list was for: a cached answer."""
    from pyspark.sql import functions as F

    users = judged.where(F.col("served_at").isNotNull()).groupBy("recommendation_id")
    counted = users.agg((F.count_distinct("_own_user") > 1).alias("_several"), F.max(F.col("_reason") == OTHER_USER).alias("_other"))
    return int(counted.where(F.col("_several") | F.coalesce("_other", F.lit(False))).count())


def _declared(definition: Table) -> list[Column]:
    from pyspark.sql import functions as F

    return [F.col(column.name).cast(spark_type(column.type)) for column in definition.columns]


def _hash(names: list[str] | tuple[str, ...]) -> Column:
    """Return a hash of columns; JSON leaves out nulls, which xxhash64 would not tell from their neighbours."""
    from pyspark.sql import functions as F

    values = [F.unix_micros(name) if name.endswith("_at") else F.col(name) for name in names]
    return F.xxhash64(F.to_json(F.struct(*[value.alias(f"c{number}") for number, value in enumerate(values)])))


def moment(at: datetime) -> Column:
    """Return a time as Spark compares it, whatever the session's zone."""
    from pyspark.sql import functions as F

    return F.timestamp_micros(F.lit(int(at.timestamp() * 1_000_000)))


def _when(broken: Column, sentence: str) -> Column:
    from pyspark.sql import functions as F

    return F.when(broken, F.lit(sentence))
