"""Which events are the same: ids for those without one, and other ids for those that share one.

Without an id an event is its user, item, type and time. A file may hold the same content several times: a track that was
played thrice on a day, where times are days. The nth of them is a separate event, and every file is counted from the start,
so a file that comes again, whole or in part and under whatever name, names the events that are there.

With an id, an event that comes again with the same id replaces the one that is there: it is a correction. If one id names several users or
items the source's ids are not unique, as when every file counts from 1: then no event of the delivery replaces one of other content. The
one that was there first keeps the id, the others get their content appended to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hybridrec.ingest.cleaning import UNKNOWN

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

CONTENT = ("user_id", "item_id", "event_type", "event_at")
ID_DIGITS, SHORT_DIGITS = 32, 16  # of SHA-256: 128 bits, and 64 beside an id of the source's own


class ToldApart(NamedTuple):
    """Events with ids of their own.

    n_shared_ids: ids of the source that named several users or items. n_corrected: ids whose event replaces one of another time or type.
    """

    events: DataFrame
    n_shared_ids: int
    n_corrected: int


def name_events(frame: DataFrame) -> DataFrame:
    """Give events without an id one from their content; adds `_made`, whether it was."""
    from pyspark.sql import functions as F

    given = F.nullif("event_id", F.lit(""))
    return frame.withColumns({"_made": given.isNull(), "event_id": F.coalesce(given, _digest(ID_DIGITS))})


def number_repeats(frame: DataFrame) -> DataFrame:
    """Make the second and further events of equal content in a file events of their own; frame is read twice and should be persisted."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    made = F.col("_made")
    if frame.where(made).groupBy("_file", "event_id").count().where("count > 1").isEmpty():
        return frame
    values = [name for name in frame.columns if name[0] != "_"]
    nth = F.row_number().over(Window.partitionBy("_file", "event_id", made).orderBy(F.xxhash64(*values)))
    numbered = frame.withColumn("_nth", nth)
    further = made & (F.col("_nth") > 1)
    own = _digest(ID_DIGITS, F.col("_nth").cast("string"))
    return numbered.withColumn("event_id", F.when(further, own).otherwise(F.col("event_id"))).drop("_nth")


def tell_apart(frame: DataFrame, stored: DataFrame | None) -> ToldApart:
    """Give events whose id names another user or item, in the frame or in the stored events, an id of their own."""
    from pyspark.sql import functions as F

    named = ~F.col("_made") & (F.col("_reason").isNull() | (F.col("_reason") == UNKNOWN))
    events = frame.where(named).select("event_id", *CONTENT, F.lit(1).alias("_order"))
    if stored is not None:
        there = stored.join(events.select("event_id").distinct(), "event_id", "left_semi")
        events = events.union(there.select("event_id", *CONTENT, F.lit(0).alias("_order")))
    pair, whole = F.xxhash64("user_id", "item_id"), F.xxhash64(*CONTENT)
    ids = events.groupBy("event_id").agg(
        (F.min(pair) != F.max(pair)).alias("_shared"),
        (F.min(whole) != F.max(whole)).alias("_differs"),
        F.min(F.struct("_order", "event_at", whole.alias("_whole"))).alias("_first"),
    )
    n_shared, n_differ = ids.agg(F.count_if("_shared"), F.count_if("_differs")).collect()[0]
    if not n_shared:
        return ToldApart(frame, 0, n_differ)
    owners = ids.where("_differs").select("event_id", F.col("_first._whole").alias("_owner"))
    joined = frame.join(owners, "event_id", "left")
    other = named & F.col("_owner").isNotNull() & (F.col("_owner") != whole)
    own = F.concat_ws("~", "event_id", _digest(SHORT_DIGITS))
    return ToldApart(joined.withColumn("event_id", F.when(other, own).otherwise(F.col("event_id"))).drop("_owner"), n_shared, 0)


def _digest(n_digits: int, *more: Column) -> Column:
    from pyspark.sql import functions as F

    texts = ["user_id", "item_id", "event_type", F.unix_micros("event_at").cast("string"), *more]
    return F.substring(F.sha2(F.concat_ws("\x1f", *texts), 256), 1, n_digits)
