"""Raw values, text or typed, to the declared types: Spark expressions that give null where a value is no such thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.tables import Column as Declared
from hybridrec.tables import spark_type

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

EPOCH_SECONDS = r"^\d{9,11}(\.\d+)?$"  # 1973 and later; fewer digits would be a year or a compact date
EPOCH_MILLIS = r"^\d{12,14}$"
STARTS_WITH_YEAR = r"^\d{4}"  # Spark takes '12:30' for half past twelve today
FLOATS = ("float", "double")
INTEGERS = ("int16", "int32", "int64")


def fits(raw_type: DataType, declared: Declared) -> bool:
    """Whether every raw value of that type has a value in the declared type."""
    name, wanted = raw_type.simpleString(), spark_type(declared.type)
    numbers = (*FLOATS, "tinyint", "smallint", "int", "bigint")
    return wanted in (name, "string") or (wanted in FLOATS and name in numbers)


def as_text(value: Column, raw_type: DataType) -> Column:
    """The raw value as text, trimmed; null for the empty text and for NaN, lists as JSON."""
    from pyspark.sql import functions as F

    name = raw_type.simpleString()
    if name.startswith(("array", "map", "struct")):
        return F.to_json(value)
    if name in FLOATS:
        exact = F.when(value == F.floor(value), value.try_cast("decimal(38,0)").cast("string"))  # 196.0 is user 196
        return F.when(~F.isnan(value), F.coalesce(exact, value.cast("string")))
    return F.nullif(F.trim(value.cast("string")), F.lit(""))


def as_declared(text: Column, value: Column, raw_type: DataType, declared: Declared) -> Column:
    """The raw value in its declared type; null where it cannot be read as that.

    Time stamps: a zone in the text is honoured, none means UTC; 9 to 11 digits are seconds, 12 to 14 milliseconds
    since 1970. Lists: JSON, or parts with '|' between them.
    """
    from pyspark.sql import functions as F

    wanted = spark_type(declared.type)
    if wanted in FLOATS and fits(raw_type, declared):
        return F.nanvl(value.cast(wanted), F.lit(None))
    if raw_type.simpleString() == wanted and wanted != "string":
        return value
    if declared.type == "timestamp":
        return _timestamp(text, value, raw_type)
    if declared.type == "list<string>":
        return _list_of_text(text)
    if declared.type in INTEGERS:
        return _whole_number(text, wanted)
    if wanted in FLOATS:
        return F.nanvl(text.try_cast(wanted), F.lit(None))
    return text.try_cast(wanted)


def _timestamp(text: Column, value: Column, raw_type: DataType) -> Column:
    from pyspark.sql import functions as F

    if raw_type.simpleString() in ("date", "timestamp_ntz"):
        return value.cast("timestamp")
    seconds = F.when(text.rlike(EPOCH_SECONDS), text).otherwise(None).try_cast("decimal(20,6)")
    millis = F.when(text.rlike(EPOCH_MILLIS), text).otherwise(None).try_cast("decimal(20,6)") / 1000
    written = F.when(text.rlike(STARTS_WITH_YEAR), text).try_cast("timestamp")
    return F.coalesce(F.coalesce(seconds, millis).try_cast("timestamp"), written)


def _list_of_text(text: Column) -> Column:
    from pyspark.sql import functions as F

    parts = F.transform(F.split(text, r"\|"), F.trim)
    split = F.filter(parts, lambda part: part != "")
    return F.when(text.startswith("["), F.from_json(text, "array<string>")).otherwise(split)


def _whole_number(text: Column, wanted: str) -> Column:
    from pyspark.sql import functions as F

    number = text.try_cast("decimal(28,6)")  # '3.0' is 3, '3.5' is no whole number
    return F.when(number == F.floor(number), number.try_cast(wanted))
