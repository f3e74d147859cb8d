"""Raw rows to core rows: types, the rules of the table's definition, and what only events need.

Every raw row ends either in the core table or in quarantine with one reason, the first rule that it broke. Only the
DataFrame API is used, so this runs in a session of its own, under Spark Connect and by spark-submit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec import storage
from hybridrec.errors import BadData
from hybridrec.ingest.casting import as_declared, as_text, fits, is_too_long, source_file
from hybridrec.tables import MAX_ID, Table, spark_type
from hybridrec.tables import Column as Declared

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

DERIVED = ("event_date",)  # made here, never taken from a source
DUPLICATE, ROBOT = "duplicate", "robot"
FUTURE = "event_at is in the future: after the data landed"
ID_DIGITS = 32  # 128 bits of SHA-256


@dataclass(frozen=True)
class EventRules:
    """What an event is held against besides its table.

    landed_at: a later event is in the future. catalogue: files of core_items when the source has a catalogue.
    max_per_day: more events of one user on one day are a robot's.
    """

    landed_at: datetime
    catalogue: tuple[str, ...]
    max_per_day: int


def read_raw(spark: SparkSession, files: list[Path], table: Table) -> DataFrame:
    """Raw files in the declared types; files may differ in their columns and types.

    Returns the table's columns, `_reason` (null for a good row), `_row` (a refused row as it came, JSON) and `_file`.
    """
    import pyarrow.parquet as pq

    groups: dict[str, list[str]] = defaultdict(list)
    for path in files:
        groups[pq.read_schema(path).remove_metadata().to_string()].append(storage.spark_path(path))
    frames = [_typed(spark.read.parquet(*paths), table) for _, paths in sorted(groups.items())]
    return reduce(lambda left, right: left.unionByName(right), frames)


def _typed(raw: DataFrame, table: Table) -> DataFrame:
    from pyspark.sql import functions as F

    declared = [column for column in table.columns if column.name not in DERIVED]
    types = {field.name: field.dataType for field in raw.schema.fields}
    present = [column for column in declared if column.name in types]
    came = [F.col(f"`{column.name}`") for column in present]
    texts = {c.name: as_text(F.col(c.name), types[c.name]) for c in present}
    values = {c.name: F.lit(None).cast(spark_type(c.type)) for c in declared}
    values |= {c.name: as_declared(texts[c.name], F.col(c.name), types[c.name], c) for c in present}
    unreadable = [
        _reason(texts[c.name].isNotNull() & F.col(f"_v.{c.name}").isNull(), f"{c.name} is not of type {c.type}")
        for c in present
        if not fits(types[c.name], c)
    ]
    rules = [rule for column in declared for rule in _column_rules(column, F.col(f"_v.{column.name}"))]
    staged = raw.select(*came, F.struct(*[values[c.name].alias(c.name) for c in declared]).alias("_v"), source_file(raw).alias("_file"))
    judged = staged.withColumn("_reason", _first([*unreadable, *rules]))
    filled = [F.coalesce(F.col(f"_v.{c.name}"), default_of(c)).alias(c.name) for c in declared]
    row = F.when(F.col("_reason").isNotNull(), F.to_json(F.struct(*came))).alias("_row")
    return judged.select(*filled, row, "_file", "_reason")


def default_of(column: Declared) -> Column:
    """What a missing value becomes: the declared default, or null."""
    from pyspark.sql import functions as F

    if isinstance(column.default, tuple):
        return F.array(*[F.lit(part) for part in column.default]).cast(spark_type(column.type))
    return F.lit(column.default)


def _column_rules(column: Declared, value: Column) -> list[Column]:
    """A reason, or null, for each way in which a value can break its column's definition."""
    rules = [_reason(is_too_long(value, column), f"{column.name} is longer than {MAX_ID} characters")]
    if not column.nullable and column.default is None and column.name != "event_id":
        rules.append(_reason(value.isNull(), f"{column.name} is missing"))
    if column.one_of:
        rules.append(_reason(~value.isin(*column.one_of), f"{column.name} is none of {', '.join(column.one_of)}"))
    if column.type.startswith("float"):
        rules.append(_reason(value.isin(float("inf"), float("-inf")), f"{column.name} is not finite"))
    if column.minimum is not None:
        rules.append(_reason(value < column.minimum, f"{column.name} is below {column.minimum:g}"))
    if column.maximum is not None:
        rules.append(_reason(value > column.maximum, f"{column.name} is above {column.maximum:g}"))
    return rules


def _reason(broken: Column, sentence: str) -> Column:
    from pyspark.sql import functions as F

    return F.when(broken, F.lit(sentence))


def _first(reasons: list[Column]) -> Column:
    from pyspark.sql import functions as F

    return F.coalesce(*reasons)


def judge_events(spark: SparkSession, frame: DataFrame, rules: EventRules) -> DataFrame:
    """Add event_id where the source has none and event_date; refuse impossible times, unknown items and repetitions."""
    from pyspark.sql import functions as F

    content = F.concat_ws("\x1f", "user_id", "item_id", "event_type", F.unix_micros("event_at").cast("string"))
    made = F.substring(F.sha2(content, 256), 1, ID_DIGITS)
    frame = frame.withColumns({"event_id": F.coalesce("event_id", made), "event_date": F.to_date("event_at")})
    landed_at = F.timestamp_micros(F.lit(int(rules.landed_at.timestamp() * 1_000_000)))
    times = [
        _reason(F.col("event_at") > landed_at, FUTURE),
        _reason(F.col("event_at") < F.timestamp_seconds(F.lit(0)), "event_at is before 1970"),
    ]
    frame = frame.withColumn("_reason", _first([F.col("_reason"), *times]))
    if rules.catalogue:
        known = spark.read.parquet(*rules.catalogue).select("item_id", F.lit(True).alias("_known"))
        frame = frame.join(known, "item_id", "left").withColumn(
            "_reason", _first([F.col("_reason"), _reason(F.col("_known").isNull(), "item_id is not in the catalogue")])
        )
    return frame.drop("_known")


def refuse_duplicates(frame: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """Of good rows with the same key keep one: the last file's, then by content; the others are duplicates.

    Reads frame once to see whether there are any, which is much cheaper than to sort all rows: it should be persisted.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    good = F.col("_reason").isNull()
    if frame.where(good).groupBy(*key).count().where("count > 1").isEmpty():
        return frame
    content = [name for name in frame.columns if name[0] != "_"]
    window = Window.partitionBy(*key, good).orderBy(F.col("_file").desc(), F.xxhash64(*content))
    repeated = good & (F.row_number().over(window) > 1)
    return frame.withColumn("_reason", _first([F.col("_reason"), _reason(repeated, f"{DUPLICATE} {', '.join(key)}")]))


def refuse_robots(frame: DataFrame, max_per_day: int) -> DataFrame:
    """Refuse all events of a user on a day with more than so many; frame is read twice and should be persisted."""
    from pyspark.sql import functions as F

    counts = frame.where("_reason is null").groupBy("user_id", "event_date").count()
    robots = counts.where(F.col("count") > max_per_day).select("user_id", "event_date", F.lit(True).alias("_robot"))
    if robots.isEmpty():
        return frame
    sentence = f"{ROBOT}: more than {max_per_day} events of one user on one day"
    marked = frame.join(F.broadcast(robots), ["user_id", "event_date"], "left")
    return marked.withColumn("_reason", _first([F.col("_reason"), _reason(F.col("_robot"), sentence)])).drop("_robot")


def good_rows(frame: DataFrame, table: Table) -> DataFrame:
    """The rows that no rule refuses, with the declared columns only."""
    return frame.where("_reason is null").select(*table.column_names)


def quarantined(frame: DataFrame) -> DataFrame:
    """The refused rows as (reason, row, source_file)."""
    from pyspark.sql import functions as F

    columns = [name for name in frame.columns if name[0] != "_"]
    row = F.coalesce(F.col("_row"), F.to_json(F.struct(*columns))).alias("row")  # without _row all values could be read
    return frame.where("_reason is not null").select(F.col("_reason").alias("reason"), row, F.col("_file").alias("source_file"))


def count_reasons(frame: DataFrame) -> dict[str, int]:
    """Rows by reason; the good ones stand under the empty text."""
    rows = frame.groupBy("_reason").count().collect()
    return {row["_reason"] or "": row["count"] for row in rows}


def require_mostly_good(table: str, reasons: Mapping[str, int], max_bad_share: float) -> None:
    """BadData when no row is good, or when too many are bad; robots do not count, since they say nothing about the rest."""
    total, good = sum(reasons.values()), reasons.get("", 0)
    if not total:
        raise BadData(f"{table}: the source delivered no rows; the table stays as it was; look at the delivery and land it again")
    robots = sum(n for reason, n in reasons.items() if reason.startswith(ROBOT))
    bad = total - good - robots
    if good and bad <= max_bad_share * (total - robots):
        return
    worst = sorted(((n, reason) for reason, n in reasons.items() if reason), reverse=True)[:3]
    raise BadData(
        f"{table}: {total - good} of {total} rows are bad ({'; '.join(f'{reason}: {n}' for n, reason in worst)}); "
        f"expected a good row and at most {max_bad_share:.0%} bad ones; the table stays as it was; look at "
        f"quarantine_{table}, then correct the source or raise max_bad_share, land and clean again"
    )
