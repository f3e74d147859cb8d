"""One value, many spellings: the result of each in the declared type, and refused ambiguous ones."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import types as T

from hybridrec.ingest.casting import NULL_WORDS, as_declared, as_text, is_too_long
from hybridrec.tables import MAX_ID, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Values = dict[object, object]
EIGHT = datetime(2026, 5, 1, 8, tzinfo=UTC)
QUARTER = EIGHT.replace(microsecond=250_000)


def cast(spark: SparkSession, name: str, values: list[object], raw: T.DataType | None = None) -> list[tuple[object, object]]:
    """Return each value and what it is in the declared type of `table.column`; times as epoch microseconds."""
    from pyspark.sql import functions as F

    spark.conf.set("spark.sql.session.timeZone", "UTC")
    column = next(column for column in table(name.split(".", maxsplit=1)[0]).columns if column.name == name.split(".")[1])
    raw = raw or T.StringType()
    frame = spark.createDataFrame([(value,) for value in values], T.StructType([T.StructField("v", raw)])).coalesce(1)
    found = as_declared(as_text(F.col("v"), raw), F.col("v"), raw, column)
    if column.type == "timestamp":
        found = F.unix_micros(found)
    return [(row[0], row[1]) for row in frame.select("v", found).collect()]


def micros(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)


TIMES: dict[str, datetime | None] = {
    "2026-05-01T08:00:00Z": EIGHT,
    "2026-05-01 08:00:00": EIGHT,
    "2026-05-01T08:00Z": EIGHT,
    "2026-05-01t08:00:00z": EIGHT,
    "2026-05-01T10:00:00+0200": EIGHT,
    "2026-05-01 08:00:00+00": EIGHT,
    "2026-05-01 08:00:00 UTC": EIGHT,
    "2026-05-01 08:00:00 -0000": EIGHT,
    "2026/5/1 8:00": EIGHT,
    "2026.05.01 08:00:00": EIGHT,
    "20260501T080000Z": EIGHT,
    "20260501 08:00:00": EIGHT,
    "20260501080000": EIGHT,
    "202605010800": EIGHT,
    "20260501": EIGHT.replace(hour=0),
    "20260501.0": EIGHT.replace(hour=0),
    "2026-05-01T08:00:00.25Z": QUARTER,
    "2026-05-01 08:00:00,250": QUARTER,
    "2026-05-01T08:00:00.250000999Z": QUARTER,
    "1777622400": EIGHT,
    "1777622400.0": EIGHT,
    "1777622400.25": QUARTER,
    "1.777622400250000000e+09": QUARTER,
    "1777622400250": QUARTER,
    "1777622400250000": QUARTER,
    "1777622400250000000": QUARTER,
    "875000000000": datetime(1997, 9, 23, 7, 33, 20, tzinfo=UTC),
    "1900000000000": datetime(2030, 3, 17, 17, 46, 40, tzinfo=UTC),  # milliseconds that begin like a compact date
    "1.77762E+09": None,  # Excel has dropped the minutes
    "01/05/2026": None,
    "05/01/26": None,
    "1.5.2026": None,
    "202605": None,
    "20261301": None,
    "2026-13-01": None,
    "10000-01-01": None,
    "12:30": None,
    "46143.33": None,
    "yesterday": None,
    "-1777622400": None,
    "253402214400": None,  # 9999-12-31 in seconds, no night of 1978
    "253402214400000": None,
    "9999-12-31": None,
    "9999-12-31T23:59:59Z": None,
    "NaT": None,
}


def test_times(spark: SparkSession) -> None:
    assert dict(cast(spark, "core_events.event_at", list(TIMES))) == {text: micros(moment) for text, moment in TIMES.items()}


def test_times_as_numbers(spark: SparkSession) -> None:
    doubles = {1777622400.25: QUARTER, 1777622400.0: EIGHT, 1777622400250.0: QUARTER, 20260501.0: EIGHT.replace(hour=0), 5.0: None}
    found = cast(spark, "core_events.event_at", [*doubles, float("nan")], T.DoubleType())
    assert [at for _, at in found] == [*map(micros, doubles.values()), None]
    whole = {
        1777622400: EIGHT,
        1777622400250: QUARTER,
        1777622400250000000: QUARTER,
        20260501080000: EIGHT,
        20260501: EIGHT.replace(hour=0),
    }
    assert dict(cast(spark, "core_events.event_at", list(whole), T.LongType())) == {n: micros(at) for n, at in whole.items()}
    assert cast(spark, "core_events.event_at", [1777622400.0], T.FloatType())[0][1] is None  # 32 bits would be two minutes off
    assert cast(spark, "core_events.event_at", [Decimal("1777622400.250000")], T.DecimalType(20, 6))[0][1] == micros(QUARTER)


def test_numbers(spark: SparkSession) -> None:
    expected: Values = {
        "39,90": 39.9, "120": 120, "0,125": 0.125, ",5": 0.5, "5.": 5, "-3,5": -3.5, "12345,678": 12345.678, "1e3": 1000,
        "1.234,56": 1234.56, "1,234.56": 1234.56, "1.234.567": 1234567, "1.234,": 1234,
        "1,234,567": 1234567, "1 234,5": 1234.5, "1'234.50": 1234.5,
        "1\u00a0234": 1234, "1.234": 1.234,
        "1,234": None, "1,2,3": None, "1.5.2": None, "1.234,567.8": None, "€5": None, "3d": None, "0x10": None, "five": None, "#N/A": None,
    }  # fmt: skip
    found = {
        text: None if price is None else round(float(str(price)), 3) for text, price in cast(spark, "core_items.price", list(expected))
    }
    assert found == {text: None if price is None else pytest.approx(price, rel=1e-6) for text, price in expected.items()}
    whole: Values = {"3": 3, "3.0": 3, "3,0": 3, "1,5": None, "1,000": None, "1 000": 1000, "x": None}
    assert dict(cast(spark, "core_events.position", list(whole))) == whole


def test_ids(spark: SparkSession) -> None:
    expected: Values = {
        "196": "196", "196.0": "196", "007": "007", "007.0": "007.0", "1.50": "1.50", "1e5": "1e5", " u1\t": "u1", "none": "none",
        "1.23456789E8": "123456789", "1.5E0": None, "9007199254740993.0": None, "4.00638E+12": None, "4,00638E+12": None,
        "1.7776224002500001e+18": None, "12E34567": "12E34567", "\u200b196\u200e": "196",
        "a\0b": "a\ufffdb", "[x] y": "[x] y", "a\nb": None, '{"a": 1}': None, '["a"]': None,
    }  # fmt: skip
    assert dict(cast(spark, "core_events.user_id", list(expected))) == expected
    doubles: Values = {196.0: "196", 1.5: "1.5", 2.0**53: None, 1e22: None}
    assert dict(cast(spark, "core_events.user_id", list(doubles), T.DoubleType())) == doubles
    assert cast(spark, "core_events.user_id", [float("nan"), None, 2.0**24], T.FloatType())[1:] == [(None, None), (2.0**24, None)]
    assert cast(spark, "core_events.user_id", [Decimal("196.00")], T.DecimalType(10, 2))[0][1] == "196"
    assert cast(spark, "core_events.user_id", [196], T.LongType())[0][1] == "196"


@pytest.mark.parametrize("column", ["core_events.user_id", "core_events.event_at", "core_items.price", "core_items.categories"])
def test_words_for_null(spark: SparkSession, column: str) -> None:
    assert {value for _, value in cast(spark, column, [*NULL_WORDS, " NULL ", "nan\r", "------------"])} == {None}


def test_texts(spark: SparkSession) -> None:
    expected: Values = {
        "None": None, '{"en": "x"}': None, '["a"]': None, "[SALE] lamp": "[SALE] lamp", "[REC]": "[REC]", "196.0": "196.0",
        "x\0": "x\ufffd", "-5-": "-5-",
    }  # fmt: skip
    assert dict(cast(spark, "core_items.title", list(expected))) == expected


def test_lists(spark: SparkSession) -> None:
    expected: Values = {
        '["a", null, "", "NULL", "b"]': ["a", "b"],
        r'["x\ud83d", "\ude00", "\ud83d\ude00", "b\u0000"]': ["x\ufffd", "\ufffd", "😀", "b\ufffd"],
        "a| nan |b||": ["a", "b"],
        "['a', 'b']": ["a", "b"],  # as pandas writes a list
        "[1, 2.5]": ["1", "2.5"],
        "[]": [],
        '[["a"], "b"]': None,
        '[{"name": "a"}]': None,
        '["cut off': None,
    }
    assert dict(cast(spark, "core_items.categories", list(expected))) == expected
    found = cast(spark, "core_items.categories", [["lamps", None, " x\0", "nan"], [], None], T.ArrayType(T.StringType()))
    assert [parts for _, parts in found] == [["lamps", "x\ufffd"], [], None]


def test_booleans(spark: SparkSession) -> None:
    expected: Values = {"true": True, "FALSE": False, "1": True, "0.0": False, "1.0": True, "2.0": None, "maybe": None, "NA": None}
    assert dict(cast(spark, "core_items.is_available", list(expected))) == expected


def test_an_id_may_be_as_long_as_the_look_up_takes(spark: SparkSession) -> None:
    from pyspark.sql import functions as F

    user_id, title = table("core_events").columns[1], table("core_items").columns[1]
    frame = spark.createDataFrame([("é" * MAX_ID,), ("é" * (MAX_ID + 1),)], "v string").coalesce(1)
    assert [row[0] for row in frame.select(is_too_long(F.col("v"), user_id)).collect()] == [False, True]
    assert [row[0] for row in frame.select(is_too_long(F.col("v"), title)).collect()] == [None, None]
