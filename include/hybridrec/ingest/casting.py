"""Raw values, text or typed, to the declared types: Spark expressions that give null where a value is no such thing.

docs/your-data.md says how values may be written; a source needs to know nothing of it.
"""

from __future__ import annotations

from decimal import Decimal
from functools import reduce
from typing import TYPE_CHECKING

from hybridrec.sources import SOURCE_FILE
from hybridrec.tables import MAX_ID, spark_type
from hybridrec.tables import Column as Declared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

# what pandas reads as null, and what MySQL (\N), pandas (NaT) and people write besides; 'none' is an occupation in MovieLens
NULL_WORDS = (
    *("", "NULL", "Null", "null", "None", "NONE", "NaN", "nan", "NAN", "-NaN", "-nan", "NaT", "<NA>", "NA", "N/A", "n/a", "\\N"),
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
    # logs of web servers, JavaScript, database tools, C#'s empty id
    *("-", "--", "undefined", "(null)", "[null]", "[NULL]", "<null>", "<NULL>", "#NULL!", "00000000-0000-0000-0000-000000000000"),
)
NO_DATE = ("9999-12-31", "0001-01-01")  # stand for 'no end' and 'no beginning' in other people's tables
WHITE = " \t\r\n\u00a0\u3000\u202f\ufeff\u200b\u200e\u200f\u2060"  # and zero-width characters: pasted with a text, invisible
FLOATS = ("float", "double")
INTEGERS = ("int16", "int32", "int64")
WHOLE = ("tinyint", "smallint", "int", "bigint")
VECTOR = "list<float32>"
EXACT_IDS = {"float": 2**24, "double": 2**53}  # from here on two whole numbers may be one float
FLOAT_ID = r"^-?(?:(?:0|[1-9]\d*)\.0|\d[.,]\d+[eE]\+?\d+)$"  # 196.0 (pandas), 1.23456789E8 (Java), 4.00638E+12 (Excel)
CONTROLS = r"[\x00-\x1f\x7f]"  # the look-up refuses ids with them
NESTED = r"(?s)^(\{.*\}|\[.*\])$"
LONE_SURROGATE = (  # half of an escaped pair in JSON
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)

# times
TIME_FORM = (  # 20260501, 20260501T080000Z, 2026/5/1 8:00, 2026-05-01T08:00Z, 2026-05-01 08:00:00,250 +0200
    r"^(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|(?<=^(?:19|20)\d\d)(\d\d)(\d\d))"
    r"(?:[Tt ]?(\d\d|\d(?=:)):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?\s*([Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?(?:\.0)?$"
)
TIME_STEPS = (  # (pattern, replacement), in this order: what TIME_FORM has not found is empty
    (TIME_FORM, "$1-$2$4-$3$5T$6:$7:$8.$9$10"),
    (r"T::\.", "T00:00:00."),
    (r":\.", ":00."),
    (r"\.(?!\d)", ""),
    (r"(?<=\d)z$", "Z"),
)
YEAR_FIRST = r"^((?!0000)\d{4}(?:-.*)?)$"  # Spark takes '12:30' for half past twelve today, and 202605 for a year
OPEN_END = r"(?!253(?:3[7-9]|40))"  # 9999-12-31 in the next larger unit, which would be a night of 1978
EPOCHS = (  # (digits, microseconds of one): 1973 and later; as doubles only with all digits, 1.77762E+09 has lost its minutes
    (r"^(\d{9,11}(?:\.\d+)?|\d\.\d{9,}[eE]\+?0?(?:8|9|10))$", Decimal(1_000_000)),
    (rf"^({OPEN_END}\d{{12,14}}(?:\.\d+)?|\d\.\d{{9,}}[eE]\+?1[1-3])$", Decimal(1_000)),
    (rf"^({OPEN_END}\d{{15,17}}(?:\.\d+)?|\d\.\d{{9,}}[eE]\+?1[4-6])$", Decimal(1)),
    (rf"^({OPEN_END}\d{{18,20}}(?:\.\d+)?|\d\.\d{{9,}}[eE]\+?1[7-9])$", Decimal("0.001")),
)

NUMBER_STEPS = (  # '1,234' may be either, so nothing is done to it
    ("(?<=\\d)[ '\u2019\u00a0\u202f](?=\\d{3}(?:\\D|$))", ""),  # 1 234
    (r"(?<!\d{4})\.(?=\d{3}(?:\.\d{3})*,\d*$)", ""),  # 1.234,56
    (r"(?<!\d{4}),(?=\d{3}(?:,\d{3})*\.\d*$)", ""),  # 1,234.56
    (r"^([+-]?\d{1,3})([.,])(\d{3})\2(\d{3})(?:\2(\d{3}))?$", "$1$3$4$5"),  # 1.234.567
    (r"^([+-]?\d*),(\d{1,2}|\d{4,}|)$", "$1.$2"),  # 39,90
    (r"^([+-]?(?:0|\d{4,})),(\d{3})$", "$1.$2"),  # 0,125
)
NUMBER = r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?i:inf|infinity))$"


def fits(raw_type: DataType, declared: Declared) -> bool:
    """Return whether every raw value of that type has a value in the declared type."""
    name, wanted = raw_type.simpleString(), spark_type(declared.type)
    if wanted == "string":
        return name in (*WHOLE, "boolean")
    if wanted in FLOATS:
        return name in (*FLOATS, *WHOLE)
    if declared.type == VECTOR:
        return name in [f"array<{number}>" for number in (*FLOATS, *WHOLE)]
    return name == wanted and name in (*WHOLE, "boolean", "date")


def source_file(raw: DataFrame) -> Column:
    """Return the delivered name of a raw row's file."""
    from pyspark.sql import functions as F

    return F.col(SOURCE_FILE) if SOURCE_FILE in raw.columns else F.col("_metadata.file_name")


def is_too_long(value: Column, declared: Declared) -> Column:
    """Return whether an id is longer than the look-up takes; null for other columns."""
    from pyspark.sql import functions as F

    return F.length(value) > MAX_ID if _is_id(declared) else F.lit(None).cast("boolean")


def is_header(value: Column, declared: Declared) -> Column:
    """Return whether an id is its column's name, as where files were joined with their headers; null for other columns."""
    from pyspark.sql import functions as F

    return value == declared.name if _is_id(declared) else F.lit(None).cast("boolean")


def as_text(value: Column, raw_type: DataType) -> Column:
    """Return the raw value as text, trimmed; null for the words and dates that stand for nothing, lists as JSON.

    NUL, which PostgreSQL cannot hold, becomes U+FFFD. 196.0 as a number is the text 196.
    """
    from pyspark.sql import functions as F

    name = raw_type.simpleString()
    if name.startswith(("array", "map", "struct")):
        return F.to_json(value)
    if name in FLOATS:
        exact = F.when(value == F.floor(value), value.try_cast("decimal(38,0)").cast("string"))
        return F.when(~F.isnan(value), F.coalesce(exact, value.cast("string")))
    if name.startswith("decimal"):
        return F.regexp_replace(value.cast("string"), r"\.0+$", "")
    text = _safe(value.cast("string"))
    undated = F.lit(False) if name in (*WHOLE, "boolean") else text.startswith(NO_DATE[0]) | text.startswith(NO_DATE[1])
    ruled = F.translate(text, "-", "") == ""  # the line that database tools draw below a header
    return F.when(~(text.isin(*NULL_WORDS) | ruled | undated), text)


def _safe(text: Column) -> Column:
    from pyspark.sql import functions as F

    return F.btrim(F.translate(text, "\0", "\ufffd"), F.lit(WHITE))


def as_declared(text: Column, value: Column, raw_type: DataType, declared: Declared) -> Column:
    """Return the raw value in its declared type; null where it cannot be read as that. text: the same by as_text."""
    from pyspark.sql import functions as F

    name, wanted = raw_type.simpleString(), spark_type(declared.type)
    if declared.type == "string":
        return _plain_text(text, name, declared)
    if declared.type == "timestamp":
        return _timestamp(text, value, name)
    if declared.type.startswith("list<"):
        return _vector(text, value, raw_type, declared) if declared.type == VECTOR else _list_of_text(text)
    if wanted in FLOATS and fits(raw_type, declared):
        return F.nanvl(value.cast(wanted), F.lit(None))
    if name == wanted:
        return value
    if declared.type in INTEGERS:
        return _whole_number(text, wanted)
    if wanted in FLOATS:
        return F.nanvl(_number(text).try_cast(wanted), F.lit(None))
    return F.regexp_replace(text, r"^([01])\.0$", "$1").try_cast(wanted)


def _is_id(declared: Declared) -> bool:
    return declared.name.endswith("_id")


def _plain_text(text: Column, raw_type: str, declared: Declared) -> Column:
    """Return text that is not a JSON object or array. An id 196.0 is 196, as pandas writes whole numbers in a column with gaps."""
    from pyspark.sql import functions as F

    if not _is_id(declared):
        return F.when(~_is_nested(text), text)
    if raw_type in FLOATS:
        return F.when(F.abs(text.try_cast("decimal(38,0)")) < EXACT_IDS[raw_type], text)
    plain = F.when(text.rlike(FLOAT_ID), _whole_id(text)).otherwise(text)
    return F.when(~(_is_nested(text) | text.rlike(CONTROLS)), plain)


def _whole_id(text: Column) -> Column:
    """Return the whole number of a float's text; null if it is ambiguous: Excel and Python round numbers that they write with E+."""
    from pyspark.sql import functions as F

    number = text.try_cast("decimal(38,9)")
    exact = ~text.contains("+") & (number == F.floor(number)) & (F.abs(number) < EXACT_IDS["double"])
    return F.when(exact, number.cast("decimal(38,0)").cast("string"))


def _is_nested(text: Column) -> Column:
    from pyspark.sql import functions as F

    begins = text.startswith("{") | text.startswith("[")  # much cheaper than the pattern
    return begins & text.rlike(NESTED) & F.try_parse_json(text).isNotNull()


def _timestamp(text: Column, value: Column, raw_type: str) -> Column:
    from pyspark.sql import functions as F

    if raw_type in ("date", "timestamp", "timestamp_ntz"):
        return F.when(F.year(value).between(2, 9998), value.cast("timestamp"))  # the years before and after stand for no date
    if raw_type == "float":  # 32 bits tell the seconds of our days to two minutes
        return F.lit(None).cast("timestamp")
    return F.coalesce(_written_time(text), _epoch_time(text))


def _written_time(text: Column) -> Column:
    """Parse a time with the year first. A zone is applied, none means UTC. 01/02/2026 is ambiguous, so it is none."""
    from pyspark.sql import functions as F

    return F.regexp_extract(_replace(text, TIME_STEPS), YEAR_FIRST, 1).try_cast("timestamp")


def _epoch_time(text: Column) -> Column:
    """Return seconds, milli-, micro- or nanoseconds since 1970, told apart by their number of digits."""
    from pyspark.sql import functions as F

    micros = [F.regexp_extract(text, digits, 1).try_cast("decimal(29,9)") * scale for digits, scale in EPOCHS]
    return F.timestamp_micros(F.coalesce(*[number.cast("decimal(38,6)") for number in micros]).cast("bigint"))


def _replace(text: Column, steps: Sequence[tuple[str, str]]) -> Column:
    """Return text after each of the replacements; nested, since a text that is named twice is also computed twice."""
    from pyspark.sql import functions as F

    return reduce(lambda left, step: F.regexp_replace(left, *step), steps, text)


def _list_of_text(text: Column) -> Column:
    """Return a JSON array, or parts with '|' between them; words for null are dropped, nested values make the list unreadable."""
    from pyspark.sql import functions as F

    parsed = F.from_json(F.regexp_replace(text, LONE_SURROGATE, r"\\ufffd"), "array<string>")
    parts = F.transform(F.when(text.startswith("["), parsed).otherwise(F.split(text, r"\|")), _safe)
    kept = F.filter(parts, lambda part: part.isNotNull() & ~part.isin(*NULL_WORDS))
    return F.when(~F.exists(kept, _is_nested), kept)


def _vector(text: Column, value: Column, raw_type: DataType, declared: Declared) -> Column:
    """Return numbers or a JSON array of them in their order, null for one that is none, so that it is found; null without any."""
    from pyspark.sql import functions as F

    numbers = value if fits(raw_type, declared) else F.from_json(text, "array<string>")
    return F.when(F.size(numbers) > 0, F.transform(numbers, lambda number: number.try_cast("float")))


def _number(text: Column) -> Column:
    """Return a number as Spark reads it; "" where a lone comma or several marks leave open what they are."""
    from pyspark.sql import functions as F

    return F.regexp_extract(_replace(text, NUMBER_STEPS), NUMBER, 1)


def _whole_number(text: Column, wanted: str) -> Column:
    from pyspark.sql import functions as F

    number = _number(text).try_cast("decimal(28,6)")  # '3.0' is 3, '3.5' is no whole number
    return F.when(number == F.floor(number), number.try_cast(wanted))
