"""The checksum of rows that we compute is the one that a server computes, for every type; and it shows what it is to show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime

import psycopg
import pyarrow as pa
import pytest
from adbc_driver_postgresql import dbapi

from hybridrec.postgresql.checksum import MODULUS, TableChecksum, stored_sum
from hybridrec.postgresql.version_tables import column_ddl
from hybridrec.tables import ARROW_TYPES, Column, Table
from hybridrec.versions.publications import PUBLISHED, definition
from tests.support.published_rows import rows

TEXTS = [
    "",
    "a",
    "Zoë",
    "elf bytes..",
    "a dozen byte",
    "thirteen byte",
    "ギター",
    "\U0001f3b8 a longer one, with more than two dozen bytes",
    "x" * 50_000,
]
VALUES: dict[str, Sequence[object]] = {
    "string": TEXTS,
    "bool": [True, False],
    "int16": [0, 1, -1, 2**15 - 1, -(2**15)],
    "int32": [0, 1, -1, 2**31 - 1, -(2**31)],
    "int64": [0, 1, -1, 2**32, -(2**32) - 5, 2**63 - 1, -(2**63)],
    "float32": [0.0, -0.0, 0.1, -1e30, 3e-45],
    "float64": [0.0, -0.0, 0.1, -1e300, 5e-324],
    "date": [date(2026, 4, 11), date(1969, 7, 20), date(2000, 1, 1)],
    "timestamp": [datetime(2026, 4, 11, 1, 2, 3, 456789, UTC), datetime(1969, 7, 20, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)],
}


def sum_of(table: Table, batches: list[pa.RecordBatch]) -> int:
    summed = TableChecksum(table)
    for batch in batches:
        summed.add(batch)
    return summed.value


def summed_by_the_server(address: str, table: Table, stored: pa.Table) -> tuple[int, int]:
    with closing(dbapi.connect(address)) as bulk, bulk.cursor() as cursor:
        cursor.execute(f"CREATE TABLE stored ({', '.join(map(column_ddl, table.columns))})")
        bulk.commit()
        cursor.adbc_ingest("stored", stored, mode="append")
        bulk.commit()
    with psycopg.connect(address) as db:
        [(count, total)] = db.execute(stored_sum("stored", table))
    return count, int(total) % MODULUS


@pytest.mark.parametrize("kind", ARROW_TYPES)
def test_a_server_sums_up_the_same(postgres_address: str, kind: str) -> None:
    columns = (Column("place", "int32", ""), Column("value", kind, "", nullable=True), Column("values", f"list<{kind}>", "", nullable=True))
    table = Table("every_type", "", columns, key=("place", "value"))
    values = [*VALUES[kind], None]
    lists = [VALUES[kind][:length] for length in (0, *range(2, len(values)))] + [None]
    made = pa.table({"place": range(len(values)), "value": values, "values": lists}, table.arrow_schema())
    cut = [batch for start in (0, 1) for batch in made.slice(start, 1 if start == 0 else None).to_batches()]  # one that starts at an offset
    assert summed_by_the_server(postgres_address, table, made) == (len(values), sum_of(table, cut))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_server_sums_up_published_tables_the_same(postgres_address: str, name: str) -> None:
    made = rows(name, "one")
    expected = sum_of(definition(name), made.to_batches(7))
    assert summed_by_the_server(postgres_address, definition(name), made) == (made.num_rows, expected)


@pytest.mark.parametrize("name", ["user_id", "item_ids", "scores", "reasons", "reason", "shortfall"])
def test_rows_that_exchange_a_value_have_another_sum(name: str) -> None:
    made = rows("recommendations", "one")
    exchanged = made.column(name).take([1, 0, *range(2, made.num_rows)])
    swapped = made.set_column(made.schema.get_field_index(name), made.schema.field(name), exchanged)
    sums = {sum_of(definition("recommendations"), table.to_batches()) for table in (made, swapped)}
    assert len(sums) == (2 if not exchanged.equals(made.column(name)) else 1)


def test_lost_doubled_and_empty_rows_have_other_sums() -> None:
    made = rows("recommendations", "one")
    tables = [
        made,
        made.slice(1),
        pa.concat_tables([made, made.slice(0, 1)]),
        pa.concat_tables([made.slice(1), made.slice(1, 1)]),
        made.slice(0, 0),
    ]
    assert len({sum_of(definition("recommendations"), table.to_batches()) for table in tables}) == len(tables)
