"""A column that has 39,90 in one row and 1.299 in another: the comma is its decimal mark, so the point groups thousands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hybridrec.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa

NUMERIC = ("float32", "float64", "int16", "int32", "int64")
WITH_COMMA = r"^\s*[+-]?[\d.]*,(\d{1,2}|\d{4,})\s*$"
THOUSANDS = r"^\s*([+-]?\d{1,3}\.\d{3})\s*$"


def numeric_columns(names: Iterable[str], definition: Table) -> list[str]:
    """Return the names that are declared as numbers."""
    numeric = {column.name for column in definition.columns if column.type in NUMERIC}
    return [name for name in names if name in numeric]


def columns_with_decimal_comma(blocks: Iterable[pa.RecordBatch], names: list[str]) -> list[str]:
    """Return the columns in which a comma is certainly a decimal mark."""
    from pyarrow import compute as pc

    with_comma: dict[str, None] = {}
    for block in blocks:
        for name in names:
            if name not in with_comma and pc.any(pc.match_substring_regex(block.column(name), WITH_COMMA)).as_py():
                with_comma[name] = None
    return list(with_comma)


def mark_thousands(block: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """Return the block with 1.299 as '1.299,' in those columns, which casting reads as 1299."""
    from pyarrow import compute as pc

    for name in names:
        marked = pc.replace_substring_regex(block.column(name), THOUSANDS, r"\1,")
        block = block.set_column(block.schema.get_field_index(name), name, marked)
    return block
