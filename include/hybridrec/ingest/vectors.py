"""The catalogue's own vectors: all of one length, every number finite, or the delivery is refused.

A wrong title costs the title. But vectors of two lengths come from two models, and no cosine between them means anything: an item
without its vector would be better off than one with it, so the shop is asked instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hybridrec.base.errors import PermanentError
from hybridrec.ingest.casting import VECTOR
from hybridrec.tables import Table

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

NAMED = 3  # ids that a message shows
REMEDY = (
    "expected equally many finite numbers for each item, made by one model; correct these rows or leave their vector empty, then land and "
    "clean again; the table stays as it was"
)


def require_comparable(rows: DataFrame, definition: Table) -> None:
    """Raise PermanentError if good rows have vectors of different lengths, or one with a number that is not finite.

    rows: delivered rows with `_reason`; they are read once, and should be persisted.
    """
    from pyspark.sql import functions as F

    for name in vector_columns(definition):
        given = rows.where(F.col("_reason").isNull() & F.col(name).isNotNull())
        found = given.groupBy(F.size(name).alias("length"), _is_broken(name).alias("broken")).count().collect()
        counts: dict[int, int] = {}
        for row in found:
            counts[row["length"]] = counts.get(row["length"], 0) + row["count"]
        if n_broken := sum(row["count"] for row in found if row["broken"]):
            shown = _ids(given.where(_is_broken(name)), definition)
            raise PermanentError(f"{definition.name}: {name} has a number that is not finite (NaN) in {_rows(n_broken)}: {shown}; {REMEDY}")
        if len(counts) > 1:
            usual = max(counts, key=lambda length: (counts[length], length))
            others = given.where(F.size(name) != usual)
            shown = _ids(others, definition, F.concat(F.lit(" has "), F.size(name)))
            n_others = sum(counts.values()) - counts[usual]
            raise PermanentError(
                f"{definition.name}: {name} has {usual} numbers in {_rows(counts[usual])}, but another length in {_rows(n_others)}: "
                f"{shown}; {REMEDY}"
            )


def without_old_lengths(lacking: DataFrame, delivered: DataFrame, definition: Table) -> DataFrame:
    """Return rows that a delivery lacks, without a vector of another length than those of the delivery."""
    from pyspark.sql import functions as F

    for name in vector_columns(definition):
        first = delivered.where(F.col(name).isNotNull()).select(F.size(name)).first()
        length = first[0] if first else 0
        lacking = lacking.withColumn(name, F.when(F.size(name) == length, F.col(name)))
    return lacking


def vector_columns(definition: Table) -> list[str]:
    """Return the names of the columns that hold vectors."""
    return [column.name for column in definition.columns if column.type == VECTOR]


def _is_broken(name: str) -> Column:
    from pyspark.sql import functions as F

    infinite = (float("inf"), float("-inf"))
    return F.exists(name, lambda number: number.isNull() | F.isnan(number) | F.coalesce(number.isin(*infinite), F.lit(False)))


def _ids(rows: DataFrame, definition: Table, note: Column | None = None) -> str:
    """Return the first ids, with a note each."""
    from pyspark.sql import functions as F

    key = definition.key[0]
    named = rows.orderBy(key).limit(NAMED + 1).select(F.concat(F.lit(f"{key} "), F.col(key), note if note is not None else F.lit("")))
    texts = [row[0] for row in named.collect()]
    return ", ".join(texts[:NAMED]) + (", ..." if len(texts) > NAMED else "")


def _rows(n_rows: int) -> str:
    return f"{n_rows:,} row{'s' if n_rows > 1 else ''}"
