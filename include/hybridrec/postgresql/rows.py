"""Rows of a version: sent, summed up by the server, read, and shown by views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hybridrec.postgresql import checksum, loading
from hybridrec.postgresql.checksum import TableChecksum
from hybridrec.postgresql.version_tables import qualified, quoted
from hybridrec.storage.ahead import one_ahead
from hybridrec.tables import Column, arrow_type
from hybridrec.versions.content_hash import TableHash
from hybridrec.versions.publications import (
    definition,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection as BulkConnection
    from psycopg import Connection

READ_BYTES = 4 * 2**20  # of a batch of rows that comes from the server


def value(db: Connection[tuple[Any, ...]], query: str, *values: object) -> object:
    """Return the one value that a query asks for; None without a row."""
    row = db.execute(query, values).fetchone()
    return row[0] if row else None


def fill(bulks: list[BulkConnection], name: str, storage: str, batches: Iterable[pa.RecordBatch]) -> tuple[TableHash, TableChecksum]:
    """Write the rows; meanwhile the next batch is hashed, and the one after it is read."""
    shape = definition(name)
    hashed, summed = TableHash(shape), TableChecksum(shape)

    def counted(batch: pa.RecordBatch) -> pa.RecordBatch:
        typed = hashed.add(batch)
        summed.add(typed)
        return typed

    loading.load(bulks, storage, name, shape.arrow_schema(), one_ahead(map(counted, one_ahead(batches))))
    return hashed, summed


def stored(db: Connection[tuple[Any, ...]], name: str, storage: str) -> tuple[int, int]:
    """Return rows and checksum of a table as the server has it."""
    table = qualified(name, storage)
    if value(db, "SELECT to_regclass(%s)", table) is None:
        return 0, -1  # no sum has this value; only a person with a tool can have dropped the table
    with db.transaction():
        # From the number of pages the planner assumes a cheap scan; the hash takes the time, and its cost is unknown to the planner.
        db.execute("SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL jit = off")
        [(rows, total)] = db.execute(checksum.stored_sum(table, definition(name)))
    return rows, int(total) % checksum.MODULUS


def batches(bulk: BulkConnection, table: str, columns: list[Column], key: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Yield columns of a table or view in the order of its key, with the types of the definition."""
    import pyarrow as pa

    names = [column.name for column in columns]
    with bulk.cursor() as cursor:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": READ_BYTES})
        cursor.execute(f"SELECT {', '.join(map(quoted, names))} FROM {table} ORDER BY {', '.join(map(quoted, key))}")  # noqa: S608
        for batch in cursor.fetch_record_batch():
            arrays = [batch.column(column.name).cast(arrow_type(column.type)) for column in columns]
            yield pa.RecordBatch.from_arrays(arrays, names=names)


def replace_views(db: Connection[tuple[Any, ...]], queries: Mapping[str, str]) -> None:
    """Replace views, which keeps views built on them by others; a view is made again only if its columns have changed."""
    from psycopg import errors

    statements = {view: f"VIEW {view} AS {query}" for view, query in queries.items()}
    with suppress(errors.InvalidTableDefinition), db.transaction():
        db.execute("; ".join(f"CREATE OR REPLACE {statement}" for statement in statements.values()))  # one message: no waiting for each
        return
    for view, statement in statements.items():
        try:
            with db.transaction():
                db.execute(f"CREATE OR REPLACE {statement}")
        except errors.InvalidTableDefinition:
            db.execute(f"DROP VIEW {view}")
            db.execute(f"CREATE {statement}")
