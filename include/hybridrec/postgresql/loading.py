"""Rows into a table by several COPYs at a time: they take turns at one stream of batches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection as BulkConnection

# Rows above 2 kB are compressed: lz4, where the server has it, takes a third less of its time than pglz and no more room.
COMPRESSION = """
SELECT set_config(name, 'lz4', true) FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)
"""


def load(connections: Sequence[BulkConnection], storage: str, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write all batches into the table `name` of the schema `storage`; each connection commits when all of them have written.

    An error while making the batches is raised here, and nothing is committed.
    """
    rows = _Turns(batches)

    def copy(connection: BulkConnection) -> None:
        import pyarrow as pa

        try:
            with connection.cursor() as cursor:
                cursor.execute(COMPRESSION)
                reader = pa.RecordBatchReader.from_batches(schema, rows)
                cursor.adbc_ingest(name, reader, mode="append", db_schema_name=storage)
        except Exception as error:
            rows.stop(error)

    with ThreadPoolExecutor(len(connections)) as workers:
        list(workers.map(copy, connections))
    if rows.error:
        raise rows.error
    for connection in connections:
        connection.commit()


class _Turns:
    """Batches that several threads take one by one; after the first error all of them get it, and none takes it for the end."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = iter(batches)
        self._turn = threading.Lock()
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        with self._turn:
            if self.error:
                raise self.error
            try:
                return next(self._batches)
            except StopIteration:
                raise
            except Exception as error:  # the driver passes on its text only
                self.error = error
                raise

    def stop(self, error: Exception) -> None:
        """Give the error to the next caller; the first one stays."""
        with self._turn:
            self.error = self.error or error
