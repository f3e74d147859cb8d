"""Raw rows to core rows: types, the rules of the table's definition, and what only events need.

Every raw row ends either in the core table or in quarantine with one reason, the first rule that it broke. Only what decides
a row can cost it: a wrong value of any other column becomes null and is counted. Only the DataFrame API is used, so this runs
in its own session, under Spark Connect and by spark-submit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrec.base.config import BUYING
from hybridrec.base.errors import PermanentError
from hybridrec.ingest.casting import as_declared, as_text, fits, is_header, is_too_long, source_file
from hybridrec.storage import shared_files
from hybridrec.tables import MAX_ID, Table, spark_type
from hybridrec.tables import Column as Declared

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

DUPLICATE, ROBOT = "duplicate", "robot"
FUTURE = "event_at is in the future: after the data landed"
RATING_BELOW = "rating is below 0"
NOT_RATED = (-1.0, -9.0, -99.0, -999.0)
UNKNOWN = "item_id is not in the catalogue"
REPEATED = f"{DUPLICATE} event: another file has one of the same user, item, type and time"
NOT_BOUGHT = "quantity is 0 or less: nothing was bought, as in a return; leave such rows out of the delivery"
NO_ITEM, EMPTY_ORDER = "item_id is missing", "order_id names an order without items: item_id is missing; deliver a row for each item"
HARMLESS = (ROBOT, REPEATED, NOT_BOUGHT, f"{DUPLICATE} event_id")  # say nothing about the rest of a delivery
SMALL = 1_000  # of fewer rows half may be bad: a few say little
FAULTS = "array<struct<reason: string, value: string>>"


@dataclass(frozen=True)
class EventRules:
    """Tables that an event is compared with.

    landed_at: a later event is in the future. catalogue: files of core_items when the source has a catalogue.
    users: files of core_users. n_removed: users who are to be forgotten.
    """

    landed_at: datetime
    catalogue: tuple[str, ...]
    users: tuple[str, ...]
    n_removed: int


def read_raw(spark: SparkSession, files: list[Path], table: Table) -> DataFrame:
    """Return raw files in the declared types; files may differ in their columns and types.

    Returns the table's columns, `_reason` (null for a good row), `_mended` (what was wrong with values that are null now, by
    reason), `_row` (a refused row as it came, JSON) and `_file`.
    """
    import pyarrow.parquet as pq

    groups: dict[str, list[str]] = defaultdict(list)
    for path in files:
        groups[pq.read_schema(path).remove_metadata().to_string()].append(shared_files.spark_path(path))
    frames = [_typed(spark.read.parquet(*paths), table) for _, paths in sorted(groups.items())]
    return reduce(lambda left, right: left.unionByName(right), frames)


def _typed(raw: DataFrame, table: Table) -> DataFrame:
    from pyspark.sql import functions as F

    declared = [column for column in table.columns if not column.made]
    types = {field.name: field.dataType for field in raw.schema.fields}
    present = [column for column in declared if column.name in types]
    came = [F.col(f"`{column.name}`") for column in present]
    texts = {c.name: as_text(F.col(c.name), types[c.name]) for c in present}
    values = {c.name: F.lit(None).cast(spark_type(c.type)) for c in declared}
    values |= {c.name: _without_nulls(c, as_declared(texts[c.name], F.col(c.name), types[c.name], c)) for c in present}
    texts |= {c.name: F.lit(None).cast("string") for c in declared if c not in present}
    staged = raw.select(
        *came,
        F.struct(*[values[c.name].alias(c.name) for c in declared]).alias("_v"),
        F.struct(*[texts[c.name].alias(c.name) for c in declared]).alias("_t"),
        source_file(raw).alias("_file"),
    )
    judged_columns = [c for c in declared if c in present or c.required]
    column_faults = [_fault(c, c not in present or fits(types[c.name], c)).alias(c.name) for c in judged_columns]
    staged = staged.withColumn("_f", F.struct(*column_faults))  # a step of its own: what follows names each fault twice
    faults = dict.fromkeys([c.name for c in declared], F.lit(None).cast("string"))
    faults |= {c.name: F.col(f"_f.{c.name}") for c in judged_columns}
    mended = [_entry(faults[c.name], F.col(f"_t.{c.name}")) for c in declared if not c.decisive and c in present]
    judged = staged.withColumns(
        {
            "_reason": _first([faults[c.name] for c in declared if c.decisive]),
            "_mended": F.filter(F.array(*mended).cast(FAULTS), lambda entry: entry.isNotNull()),
        }
    )
    filled = [_filled(c, faults[c.name]).alias(c.name) for c in declared]
    row = F.when(F.col("_reason").isNotNull(), F.to_json(F.struct(*came))).alias("_row")
    return judged.select(*filled, row, "_file", "_reason", "_mended")


def _without_nulls(column: Declared, value: Column) -> Column:
    from pyspark.sql import functions as F

    if column.type == "list<string>":
        return F.filter(value, lambda part: part.isNotNull())
    return F.lower(value) if column.one_of else value


def _fault(column: Declared, fits_type: bool) -> Column:
    """Return the fault of the column's value `_v`, or null; `_t` is the delivered text."""
    from pyspark.sql import functions as F

    value = F.col(f"_v.{column.name}")
    unreadable = F.col(f"_t.{column.name}").isNotNull() & value.isNull()
    rules = [] if fits_type else [_reason(unreadable, f"{column.name} is not of type {column.type}")]
    return _first([*rules, *_column_rules(column, value)])


def _entry(fault: Column, text: Column) -> Column:
    from pyspark.sql import functions as F

    return F.when(fault.isNotNull(), F.struct(fault.alias("reason"), text.alias("value")))


def _filled(column: Declared, fault: Column) -> Column:
    """Return the value, or what stands for a missing or, where that does not cost the row, a wrong one."""
    from pyspark.sql import functions as F

    value = F.coalesce(F.col(f"_v.{column.name}"), default_of(column))
    if column.decisive:
        return value
    bad = default_of(column) if column.if_bad is None else F.lit(column.if_bad)
    if column.if_below is not None:
        below = F.lit(column.if_below).cast(spark_type(column.type))  # a float and a whole number would give a double
        bad = F.when(value < column.minimum, below).otherwise(bad)
    return F.when(fault.isNull(), value).otherwise(bad)


def default_of(column: Declared) -> Column:
    """Return the value that replaces a missing one: the declared default, or null."""
    from pyspark.sql import functions as F

    if isinstance(column.default, tuple):
        return F.array(*[F.lit(part) for part in column.default]).cast(spark_type(column.type))
    return F.lit(column.default)


def _column_rules(column: Declared, value: Column) -> list[Column]:
    """Return a reason, or null, for each way in which a value can break its column's definition."""
    rules = [_reason(is_too_long(value, column), f"{column.name} is longer than {MAX_ID} characters")]
    rules.append(_reason(is_header(value, column), f"{column.name} is the name of its column: a header amid the rows"))
    if column.required:
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

    return F.coalesce(*reasons, F.lit(None).cast("string"))


def judge_events(spark: SparkSession, frame: DataFrame, rules: EventRules) -> DataFrame:
    """Add event_date; refuse impossible times, unknown items and purchases of nothing; drop the events of users who are to be forgotten.

    The latter leave no trace: their rows would keep in quarantine what shall be forgotten.
    """
    from pyspark.sql import functions as F

    landed_at = F.timestamp_micros(F.lit(int(rules.landed_at.timestamp() * 1_000_000)))
    times = [
        _reason(F.col("event_at") > landed_at, FUTURE),
        _reason(F.col("event_at") < F.timestamp_seconds(F.lit(0)), "event_at is before 1970"),
    ]
    empty = _reason((F.col("_reason") == NO_ITEM) & F.col("order_id").isNotNull(), EMPTY_ORDER)
    reasons = [empty, F.col("_reason"), *times, _reason(F.col("event_type").isin(*BUYING) & (F.col("quantity") <= 0), NOT_BOUGHT)]
    frame = frame.withColumns({"event_date": F.to_date("event_at"), "_reason": _first(reasons)})
    if rules.n_removed:
        frame = frame.join(removed_users(spark, rules.users), "user_id", "left_anti")
    if rules.catalogue:
        known = spark.read.parquet(*rules.catalogue).select("item_id", F.lit(True).alias("_known")).distinct()
        frame = frame.join(known, "item_id", "left").withColumn(
            "_reason", _first([F.col("_reason"), _reason(F.col("_known").isNull(), UNKNOWN)])
        )
    return frame.drop("_known")


def without_unrated(raw: DataFrame) -> DataFrame:
    """Return the events with null for a rating that only says that there is none; raw, as read_raw returns it, is read once.

    A negative rating is a thumb down. But if NOT_RATED, a common code for a missing value, is the only negative one beside a scale that
    goes beyond 1, then it means "not rated" in this shop.
    """
    from pyspark.sql import functions as F

    low = F.filter("_mended", lambda entry: entry["reason"] == RATING_BELOW)
    value = F.when(F.size(low) > 0, F.element_at(low, 1)["value"].try_cast("double"))
    ratings = raw.agg(F.max("rating").alias("highest"), F.min(value).alias("least"), F.max(value).alias("most")).first()
    if ratings is None or ratings["least"] not in NOT_RATED or ratings["least"] != ratings["most"] or ratings["highest"] <= 1:
        return raw
    return raw.withColumn("rating", F.when(value.isNull(), F.col("rating")))


def removed_users(spark: SparkSession, files: tuple[str, ...]) -> DataFrame:
    """Return user_id of the users in these files of core_users who are to be forgotten."""
    from pyspark.sql import functions as F

    return spark.read.parquet(*files).where(F.col("standing") == "removed").select("user_id")


def refuse_duplicates(frame: DataFrame, key: tuple[str, ...]) -> DataFrame:
    """Keep one of the good rows with the same key: the last file's, then by content; the others are duplicates.

    Reads frame once to see whether there are any, which is much cheaper than to sort all rows: it should be persisted.
    Events that got their id from their content (`_made`) repeat one of another file.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    good = F.col("_reason").isNull()
    if frame.where(good).groupBy(*key).count().where("count > 1").isEmpty():
        return frame
    content = [name for name in frame.columns if name[0] != "_"]
    window = Window.partitionBy(*key, good).orderBy(F.col("_file").desc(), F.xxhash64(*content))
    repeated = good & (F.row_number().over(window) > 1)
    sentence = F.lit(f"{DUPLICATE} {', '.join(key)}")
    if "_made" in frame.columns:
        sentence = F.when(F.col("_made"), F.lit(REPEATED)).otherwise(sentence)
    return frame.withColumn("_reason", _first([F.col("_reason"), F.when(repeated, sentence)]))


def refuse_robots(frame: DataFrame, max_per_day: int) -> DataFrame:
    """Refuse all events of a user on a day with more than the limit; frame is read twice and should be persisted."""
    from pyspark.sql import functions as F

    counts = frame.where("_reason is null").groupBy("user_id", "event_date").count()
    robots = counts.where(F.col("count") > max_per_day).select("user_id", "event_date", F.lit(True).alias("_robot"))
    if robots.isEmpty():
        return frame
    sentence = f"{ROBOT}: more than {max_per_day} events of one user on one day"
    marked = frame.join(F.broadcast(robots), ["user_id", "event_date"], "left")
    return marked.withColumn("_reason", _first([F.col("_reason"), _reason(F.col("_robot"), sentence)])).drop("_robot")


def good_rows(frame: DataFrame, table: Table) -> DataFrame:
    """Return the rows that no rule refuses, with the declared columns only."""
    return frame.where("_reason is null").select(*table.column_names)


def quarantined(frame: DataFrame) -> DataFrame:
    """Return the refused rows as (reason, row, source_file)."""
    from pyspark.sql import functions as F

    columns = [name for name in frame.columns if name[0] != "_"]
    row = F.coalesce(F.col("_row"), F.to_json(F.struct(*columns))).alias("row")  # without _row all values could be read
    return frame.where("_reason is not null").select(F.col("_reason").alias("reason"), row, F.col("_file").alias("source_file"))


def count_reasons(frame: DataFrame) -> tuple[dict[str, int], dict[str, int]]:
    """Count rows by reason, of the delivery and of those that waited; good rows are under the empty text."""
    from pyspark.sql import functions as F

    waited = F.col("_since").isNotNull() if "_since" in frame.columns else F.lit(False)
    delivered: dict[str, int] = {}
    earlier: dict[str, int] = {}
    for row in frame.groupBy("_reason", waited.alias("_waited")).count().collect():
        (earlier if row["_waited"] else delivered)[row["_reason"] or ""] = row["count"]
    return delivered, earlier


def require_mostly_good(table: str, reasons: Mapping[str, int], max_bad_share: float) -> None:
    """Raise PermanentError if no row is good, or when too many are bad.

    Robots and repetitions do not count, since they say nothing about the rest. Half of a small delivery may be bad, and half of any may be
    events of unknown items, which wait for the catalogue.
    """
    total, good = sum(reasons.values()), reasons.get("", 0)
    if not total:
        raise PermanentError(f"{table}: the source delivered no rows; the table stays as it was; look at the delivery and land it again")
    judged = total - sum(n for reason, n in reasons.items() if reason.startswith(HARMLESS))
    bad = judged - good
    generous = max(0.5, max_bad_share) if max_bad_share else 0.0
    share = max_bad_share if judged >= SMALL else generous
    if good and bad <= generous * judged and bad - reasons.get(UNKNOWN, 0) <= share * judged:
        return
    worst = sorted(((n, reason) for reason, n in reasons.items() if reason), reverse=True)[:3]
    limit = generous if bad > generous * judged else share
    raise PermanentError(
        f"{table}: {total - good} of {total} rows are bad ({'; '.join(f'{reason}: {n}' for n, reason in worst)}); "
        f"expected a good row and at most {limit:.0%} bad ones; the table stays as it was; look at "
        f"quarantine_{table}, then correct the source or raise max_bad_share, land and clean again"
    )
